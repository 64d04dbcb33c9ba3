"""The reference's bodies: what a call sends, or why it is refused, by the arguments alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .case import JSON
from .javascript import decode_uri, form_pairs, is_truthy, is_url, to_json, trim_url, well_formed, write_date, URIMalformed
from .recorded import ANY_ERROR

MESSAGES = {
    "MV-0001": '"clientKey" is required.',
    "MV-0002": '"targetURL" is required.',
    "MV-0003": '"pointOfSale" is required.',
    "MV-0004": '"identifiers" is required.',
    "MV-0008": '"friendlyId" is required.',
    "MV-0009": '"pointOfSale" cannot be empty.',
    "IV-0001": 'Incorrect value for "targetURL". Set the value to a valid URL string.',
    "IV-0002": 'Incorrect value for "dob". Format the value according to ISO 8601.',
    "IV-0003": 'Incorrect value for "email". Set the value to a valid email address.',
    "IV-0004": 'Incorrect value for "expiryDate". Format the value according to ISO 8601.',
    "IV-0005": "This event supports maximum 50 attributes. Reduce the number of attributes.",
    "IV-0006": "Incorrect value for the timeout parameter. Set the value to an integer greater than or equal to 0.",
    "IE-0001": 'The "window" object is not available on the server side. Use the "window" object only on the client side, '
    "and in the correct execution context.",
    "IE-0003": "Timeout exceeded. The server did not respond within the allotted time.",
    "IE-0004": "Unable to set the cookie because the browser ID could not be retrieved from the server. "
    "Try again later, or use try-catch blocks to handle this error.",
}
IDENTITY_FIELDS = {
    "city": "city", "country": "country", "dob": "dob", "email": "email", "firstName": "firstname", "gender": "gender",
    "lastName": "lastname", "mobile": "mobile", "phone": "phone", "postalCode": "postal_code", "state": "state",
    "street": "street", "title": "title",
}  # fmt: skip
SNAKE_CASE = {
    "pageView": {"point_of_sale": "pointOfSale", "page_variant_id": "pageVariantId"},
    "event": {"point_of_sale": "pointOfSale"},
    "identity": {
        "point_of_sale": "pointOfSale", "first_name": "firstName", "last_name": "lastName", "postal_code": "postalCode",
    },
    "personalize": {"point_of_sale": "pointOfSale", "friendly_id": "friendlyId"},
}  # fmt: skip
BLANK = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
EMAIL = re.compile(rf"[^{BLANK}@]+@[^{BLANK}@]+\.[^{BLANK}@]+")
MINUTE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})")
MAX_DEPTH = 12
MAX_SIZE = 32_768


class Refused(Exception):
    """The call fails."""

    def __init__(self, error: JSON) -> None:
        self.error = error
        super().__init__(error)


def coded(code: str) -> JSON:
    return {"code": code, "text": f"[{code}] {MESSAGES[code]}"}


OWN_ERROR: JSON = {"code": None, "text": None}  # passerby's own words


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

    def make(self, call: str, args: Mapping[str, Any]) -> JSON:
        """The body of `call` without its browser ID; raises Refused."""
        if call == "personalize":
            return self._personalize(args)
        if call == "event" and "event-type-required" in self.on and not _is_filled(args.get("type")):
            raise Refused(OWN_ERROR)
        data = self._data(call, args.get("eventData"))
        extension = self._checked(self._mapping(args.get("extensionData")))
        body = {"pageView": self._view, "identity": self._identity, "event": self._event}[call](data, args)
        common = self._common(call, data)
        if call == "identity":
            self._check_identity(data)
            body["identifiers"] = [self._identifier(one) for one in data["identifiers"]]
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

    def _view(self, data: JSON, args: Mapping[str, Any]) -> JSON:
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

    def _identity(self, data: JSON, args: Mapping[str, Any]) -> JSON:
        body = {theirs: to_json(data[ours]) for ours, theirs in IDENTITY_FIELDS.items() if ours in data}
        if "dates-written" in self.on and isinstance(data.get("dob"), datetime):
            body["dob"] = _minutes(data["dob"])
        return body | {"type": "IDENTITY"}

    def _event(self, data: JSON, args: Mapping[str, Any]) -> JSON:
        named = ("channel", "currency", "language", "page", "pointOfSale")
        body: JSON = {"type": args["type"]} if "type" in args else {}
        return body | {name: to_json(value) for name, value in data.items() if name not in named}

    def _identifier(self, one: Any) -> JSON:
        names = {"id": "id", "provider": "provider", "expiryDate": "expiry_date"}
        if not isinstance(one, dict):
            return {}
        if "snake-case-names" in self.on and "expiry_date" in one:
            one = {"expiryDate": one["expiry_date"]} | one
        expiry = one.get("expiryDate")
        if "dates-written" in self.on and isinstance(expiry, datetime):
            one = one | {"expiryDate": _minutes(expiry)}
        return {theirs: to_json(one[ours]) for ours, theirs in names.items() if ours in one}

    def _check_identity(self, data: JSON) -> None:
        identifiers = data.get("identifiers")
        if identifiers is None:
            raise Refused(coded("MV-0004") if "absent-data" in self.on else ANY_ERROR)
        if identifiers in ([], ""):
            raise Refused(coded("MV-0004"))
        if not isinstance(identifiers, list):
            raise Refused(coded("MV-0004") if "types-checked" in self.on else ANY_ERROR)
        if None in identifiers and "types-checked" not in self.on:
            raise Refused(ANY_ERROR)
        if any(not isinstance(one, dict) for one in identifiers) and "types-checked" in self.on:
            raise Refused(OWN_ERROR)
        if "dob" in data and not self._is_minute(data["dob"]):
            raise Refused(coded("IV-0002"))
        for one in identifiers:
            self._check_expiry(one if isinstance(one, dict) else {})
        self._check_email(data.get("email"))
        if "types-checked" in self.on and any(one.get("provider", "") is None for one in identifiers):
            raise Refused(OWN_ERROR)

    def _check_expiry(self, one: JSON) -> None:
        expiry = one.get("expiryDate", one.get("expiry_date") if "snake-case-names" in self.on else None)
        if self._is_given(expiry) and not self._is_minute(expiry):
            raise Refused(coded("IV-0004"))

    def _check_email(self, email: Any) -> None:
        text = ",".join(map(str, email)) if isinstance(email, list) and "types-checked" not in self.on else email
        if self._is_given(email) and not (isinstance(text, str) and EMAIL.fullmatch(text)):
            raise Refused(coded("IV-0003"))

    def _is_given(self, value: Any) -> bool:
        """Whether there is something to be checked."""
        return value not in (None, "") if "types-checked" in self.on else is_truthy(value)

    def _is_minute(self, value: Any) -> bool:
        if isinstance(value, datetime):
            return "dates-written" in self.on
        found = MINUTE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return False
        year, month, day, hour, minute = map(int, found.groups())
        try:
            datetime(year or 2000, month, day, hour, minute)  # noqa: DTZ001 - only whether it exists is asked
        except ValueError:
            return False
        return True

    def _add_extension(self, call: str, body: JSON, data: JSON, extension: JSON) -> None:
        flat = self._flatten(extension)
        if len(flat) > 50:
            raise Refused(coded("IV-0005"))
        had_attributes = bool(flat)
        if call == "pageView":
            chosen = (data.get("pageVariantId"), self._variant_of_url(), flat.pop("pageVariantId", None))
            variant = next(filter(is_truthy, chosen), None)
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
        body = {name: to_json(data[name]) for name in ("channel", "friendlyId") if name in data}
        body |= {"clientKey": self.page.client_key, "pointOfSale": self._point_of_sale(data)}
        language = data.get("language")
        if language is None and self.page.infers:
            language = self._inferred_language()
        if language is not None:
            body["language"] = to_json(language)
        if "currency" in data:
            body["currencyCode"] = to_json(data["currency"])
        if data.get("params") is not None:
            body["params"] = self._flatten(self._mapping(data["params"]))
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
        try:
            decoded = decode_uri(query, lenient=lenient)
        except URIMalformed:
            raise Refused(ANY_ERROR) from None
        return form_pairs(decoded)

    def _variant_of_url(self) -> str | None:
        return next((value for name, value in self._query_pairs() if name == "variantid"), None)

    def _inferred_page(self) -> str:
        path = re.sub(r"^[a-z]+://[^/?#]*", "", self.page.url).partition("?")[0].partition("#")[0]
        return path.rpartition("/")[2] if path not in ("", "/") else "Home Page"

    def _inferred_language(self) -> str | None:
        return self.page.language


def language_of(tag: str) -> str | None:
    """The language a page's `lang` gives, of plain tags such as en-GB; a malformed one raises Refused."""
    if len(tag) < 2:
        return None
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", tag):
        raise Refused(ANY_ERROR)
    return tag.partition("-")[0].upper()


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _minutes(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M")


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


__all__ = ["OWN_ERROR", "Bodies", "Page", "Refused", "coded", "language_of", "write_date"]
