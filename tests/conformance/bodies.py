"""The reference's bodies: what a call sends, or why it is refused, by the arguments alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .case import JSON
from .identity import Identity
from .javascript import URIMalformed, decode_uri, form_pairs, is_truthy, is_url, to_json, trim_url, well_formed
from .recorded import ANY_ERROR, ANYTHING
from .refusal import OWN_ERROR, Refused, coded

SNAKE_CASE = {
    "pageView": {"point_of_sale": "pointOfSale", "page_variant_id": "pageVariantId"},
    "event": {"point_of_sale": "pointOfSale"},
    "identity": {
        "point_of_sale": "pointOfSale", "first_name": "firstName", "last_name": "lastName", "postal_code": "postalCode",
    },
    "personalize": {"point_of_sale": "pointOfSale", "friendly_id": "friendlyId"},
}  # fmt: skip
OWN_FIELDS = {"type", "clientkey", "browserid", "pos", "requestedat", "ext"}
MAX_DEPTH = 12
MAX_SIZE = 32_768
MAX_QUERY = 8192
MAX_PARAMETERS = 200


@dataclass
class Page:
    """Where a call is made: the settings in force, the request's URL, and what a page infers."""

    client_key: str
    point_of_sale: Any
    include_utm_parameters: bool
    url: str
    infers: bool = False
    language: str | None = None
    referrer: str | None = None


class Bodies:
    """Makes the bodies of calls, with some differences switched on."""

    def __init__(self, page: Page, on: Collection[str]) -> None:
        self.page = page
        self.on = on
        self._identity = Identity(on)

    def make(self, call: str, args: Mapping[str, Any]) -> JSON:
        """The body of `call` without its browser ID; raises Refused."""
        if call == "personalize":
            return self._personalize(args)
        if call == "event" and "event-type-required" in self.on and not _is_filled(args.get("type")):
            raise Refused(OWN_ERROR)
        data = self._data(call, args.get("eventData"))
        extension = self._checked(self._mapping(args.get("extensionData")))
        body = self._view(data) if call == "pageView" else self._event(data, args) if call == "event" else {}
        common = self._common(call, data)
        if call == "event" and "own-fields-kept" in self.on and _is_of_another_event(data, args.get("type")):
            raise Refused(OWN_ERROR)
        if call == "identity":
            body |= self._identity.body(data)
        self._add_extension(call, body, data, extension)
        return body | common

    def _data(self, call: str, data: Any) -> JSON:
        if data is None:
            if "absent-data" not in self.on:
                raise Refused(ANY_ERROR)
            return {}
        mapping = self._checked(self._mapping(data))
        names = SNAKE_CASE[call] if "snake-case-names" in self.on else {}
        renamed = {names[name]: value for name, value in mapping.items() if name in names}
        return {name: value for name, value in mapping.items() if name not in names} | {
            name: mapping.get(name, value) for name, value in renamed.items()
        }

    def _mapping(self, value: Any) -> JSON:
        if isinstance(value, dict):
            return value
        if "types-checked" in self.on and is_truthy(value):
            raise Refused(OWN_ERROR)
        indexed = isinstance(value, str | list)
        return {str(index): item for index, item in enumerate(value)} if indexed else {}

    def _checked(self, mapping: JSON) -> JSON:
        if "data-bounded" in self.on and (_depth(mapping) > MAX_DEPTH or _size(mapping) > MAX_SIZE):
            raise Refused(OWN_ERROR)
        return dict(well_formed(mapping)) if "text-well-formed" in self.on else mapping

    def _common(self, call: str, data: JSON) -> JSON:
        body: JSON = {"browser_id": "", "client_key": self.page.client_key, "pos": self._point_of_sale(data)}
        body |= {name: to_json(data[name]) for name in ("channel", "currency") if name in data}
        language, page = data.get("language"), data.get("page")
        if self.page.infers:
            language = self._inferred_language() if language is None else language
            page = self._inferred_page() if page is None else page
        if language is not None:
            body["language"] = to_json(language)
        return body | {"page": "" if page is None else to_json(page)}

    def _point_of_sale(self, data: JSON) -> Any:
        chosen = data.get("pointOfSale")
        chosen = chosen if is_truthy(chosen) else self.page.point_of_sale
        if is_truthy(chosen) and not isinstance(chosen, str):
            raise Refused(ANY_ERROR)
        if not _is_filled(chosen):
            raise Refused(coded("MV-0003"))
        return chosen

    def _view(self, data: JSON) -> JSON:
        body: JSON = {"type": "VIEW"}
        pairs = self._query_pairs()
        if self.page.include_utm_parameters:
            body |= {name.lower(): value for name, value in pairs if name.lower().startswith("utm_")}
        referrer = data.get("referrer")
        if is_truthy(referrer):
            body["referrer"] = to_json(referrer)
        elif self.page.infers and self.page.referrer:
            body["referrer"] = self.page.referrer
        return body

    def _event(self, data: JSON, args: Mapping[str, Any]) -> JSON:
        named = ("channel", "currency", "language", "page", "pointOfSale")
        body: JSON = {"type": args["type"]} if "type" in args else {}
        return body | {name: to_json(value) for name, value in data.items() if name not in named}

    def _add_extension(self, call: str, body: JSON, data: JSON, extension: JSON) -> None:
        flat = self._flatten(extension)
        if len(flat) > 50:
            raise Refused(coded("IV-0005"))
        had_attributes = bool(flat)
        if call == "pageView":
            chosen = (data.get("pageVariantId"), self._variant_of_url(), flat.pop("pageVariantId", None))
            is_one = bool if "types-checked" in self.on else is_truthy
            variant = next(filter(is_one, chosen), None)
            if variant is not None:
                flat["pageVariantId"] = to_json(variant)
        if flat or had_attributes:
            body["ext"] = flat

    def _flatten(self, values: JSON, prefix: str = "") -> JSON:
        flat: JSON = {}
        for name, value in values.items():
            path = f"{prefix}_{name}" if prefix else name
            if isinstance(value, dict):
                flat |= self._flatten(value, path)
            elif value is not None and (not isinstance(value, datetime) or "dates-written" in self.on):
                flat[path] = to_json(value)
        return flat

    def _personalize(self, args: Mapping[str, Any]) -> JSON:
        data = args.get("personalizeData")
        if data is None and "absent-data" not in self.on:
            raise Refused(ANY_ERROR)
        data = self._data("personalize", data)
        friendly = data.get("friendlyId")
        if is_truthy(friendly) and not isinstance(friendly, str) and "types-checked" not in self.on:
            raise Refused(ANY_ERROR)
        if not _is_filled(friendly):
            raise Refused(coded("MV-0008"))
        body: JSON = {name: to_json(data[name]) for name in ("channel", "friendlyId") if name in data}
        body |= {"clientKey": self.page.client_key, "pointOfSale": self._point_of_sale(data)}
        language = data.get("language")
        if language is None and self.page.infers:
            language = self._inferred_language()
        if language is not None:
            body["language"] = to_json(language)
        if "currency" in data:
            body["currencyCode"] = to_json(data["currency"])
        params = self._mapping(data.get("params"))
        if params:
            body["params"] = self._flatten(params)
        if _is_filled(data.get("email")):
            body["email"] = data["email"]
        identifier = data.get("identifier")
        if isinstance(identifier, dict) and _is_filled(identifier.get("id")):
            body["identifiers"] = to_json(identifier)
        return body if "email" in body or "identifiers" in body else body | {"browserId": ""}

    def _query_pairs(self) -> list[tuple[str, str]]:
        lenient = "malformed-input-read" in self.on
        url = trim_url(self.page.url)
        if not is_url(url, has_base=True) and not lenient:
            raise Refused(ANY_ERROR)
        query = url.partition("#")[0].partition("?")[2]
        is_bounded = "data-bounded" in self.on
        try:
            decoded = decode_uri(query[:MAX_QUERY] if is_bounded else query, lenient=lenient)
        except URIMalformed:
            raise Refused(ANY_ERROR) from None
        return form_pairs("&".join(decoded.split("&")[:MAX_PARAMETERS]) if is_bounded else decoded)

    def _variant_of_url(self) -> str | None:
        return next((value for name, value in self._query_pairs() if name == "variantid"), None)

    def _inferred_page(self) -> str:
        path = re.sub(r"^[a-z]+://[^/?#]*", "", self.page.url).partition("?")[0].partition("#")[0]
        if "page-without-slash" in self.on:
            path = path.rstrip("/")
        return path.rpartition("/")[2] if path not in ("", "/") else "Home Page"

    def _inferred_language(self) -> str | None:
        return self.page.language


def language_of(tag: str, on: Collection[str]) -> str | None:
    """The language a page's `lang` gives; of rare ones only Intl.Locale knows. A malformed one raises Refused."""
    if len(tag) < 2:
        return None
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", tag):
        raise Refused(ANY_ERROR)
    language = tag.partition("-")[0]
    is_rare = len(language) > 2 or language.lower() in ("in", "iw", "ji", "jw", "mo", "sh", "tl")
    return ANYTHING if is_rare and "language-as-sent" not in on else language.upper()


def _is_of_another_event(data: JSON, kind: Any) -> bool:
    spelt = {re.sub(r"[\W_]", "", name).lower() for name in data}
    return bool(OWN_FIELDS & spelt) or (isinstance(kind, str) and re.sub(r"[\W_]", "", kind).lower() == "identity")


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(8 + len(name) + _size(item) for name, item in value.items())
    if isinstance(value, list):
        return sum(8 + _size(item) for item in value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return MAX_SIZE + 1
    return len(value) if isinstance(value, str) else 0
