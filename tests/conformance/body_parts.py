"""What the references of both forms make bodies of: mappings, extension data, a page's URL."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .case import JSON
from .javascript import URIMalformed, decode_uri, form_pairs, is_truthy, is_url, to_json, trim_url, well_formed
from .recorded import ANY_ERROR, ANYTHING
from .refusal import OWN_ERROR, Refused

MAX_DEPTH = 12
MAX_SIZE = 32_768
MAX_QUERY = 8192
MAX_PARAMETERS = 200


@dataclass
class Page:
    """Where a call is made: the settings in force, the request's URL, and what a page infers."""

    url: str
    include_utm_parameters: bool = True
    client_key: str = ""
    point_of_sale: Any = None
    infers: bool = False
    language: str | None = None
    referrer: str | None = None


class BodyParts:
    """The parts of bodies, with some differences switched on."""

    snake_case: Mapping[str, Mapping[str, str]] = {}

    def __init__(self, page: Page, on: Collection[str]) -> None:
        self.page = page
        self.on = on

    def _renamed(self, call: str, mapping: JSON) -> JSON:
        """The data under the SDK's names: a name in camelCase wins over the same in snake_case."""
        names = self.snake_case.get(call, {}) if "snake-case-names" in self.on else {}
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

    def _flatten(self, values: JSON, prefix: str = "") -> JSON:
        flat: JSON = {}
        for name, value in values.items():
            path = f"{prefix}_{name}" if prefix else name
            if isinstance(value, dict):
                flat |= self._flatten(value, path)
            elif value is not None and (not isinstance(value, datetime) or "dates-written" in self.on):
                flat[path] = to_json(value)
        return flat

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

    def _where(self, data: JSON) -> JSON:
        """Channel, currency, language and page, as they are given or inferred."""
        body: JSON = {name: to_json(data[name]) for name in ("channel", "currency") if name in data}
        language, page = data.get("language"), data.get("page")
        if self.page.infers:
            language = self.page.language if language is None else language
            page = self._inferred_page() if page is None else page
        if language is not None:
            body["language"] = to_json(language)
        return body | {"page": "" if page is None else to_json(page)}

    def _referrer(self, data: JSON) -> JSON:
        if is_truthy(data.get("referrer")):
            return {"referrer": to_json(data["referrer"])}
        return {"referrer": self.page.referrer} if self.page.infers and self.page.referrer else {}

    def _utm_parameters(self) -> JSON:
        return {name.lower(): value for name, value in self._query_pairs() if name.lower().startswith("utm_")}

    def _with_variant(self, chosen: Any, flat: JSON) -> bool:
        """Put a page view's variant into its extension data, the first of three; whether there were any before."""
        had_attributes = bool(flat)
        candidates = (chosen, self._variant_of_url(), flat.pop("pageVariantId", None))
        is_one = bool if "types-checked" in self.on else is_truthy
        variant = next(filter(is_one, candidates), None)
        if variant is not None:
            flat["pageVariantId"] = to_json(variant)
        return had_attributes

    def _identifies(self, value: Any) -> bool:
        return is_filled(value)

    def _person(self, data: JSON) -> JSON:
        person: JSON = {}
        if self._identifies(data.get("email")):
            person["email"] = data["email"]
        identifier = data.get("identifier")
        if isinstance(identifier, dict) and self._identifies(identifier.get("id")):
            person["identifiers"] = to_json(identifier)
        return person or {"browserId": ""}


def language_of(tag: str, on: Collection[str]) -> str | None:
    """The language a page's `lang` gives; of rare ones only Intl.Locale knows. A malformed one raises Refused."""
    if len(tag) < 2:
        return None
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", tag):
        raise Refused(ANY_ERROR)
    language = tag.partition("-")[0]
    is_rare = len(language) > 2 or language.lower() in ("in", "iw", "ji", "jw", "mo", "sh", "tl")
    return ANYTHING if is_rare and "language-as-sent" not in on else language.upper()


def is_filled(value: Any) -> bool:
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
