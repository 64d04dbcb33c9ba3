"""The reference's identities: their fields, and what is checked of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from .case import JSON
from .javascript import is_truthy, to_json
from .recorded import ANY_ERROR
from .refusal import OWN_ERROR, Refused, coded

FIELDS = {
    "city": "city", "country": "country", "dob": "dob", "email": "email", "firstName": "firstname", "gender": "gender",
    "lastName": "lastname", "mobile": "mobile", "phone": "phone", "postalCode": "postal_code", "state": "state",
    "street": "street", "title": "title",
}  # fmt: skip
IDENTIFIER_FIELDS = {"id": "id", "provider": "provider", "expiryDate": "expiry_date"}
BLANK = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
EMAIL = re.compile(rf"[^{BLANK}@]+@[^{BLANK}@]+\.[^{BLANK}@]+")
MINUTE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})")


class Identity:
    """Checks identities and makes their bodies, with some differences switched on."""

    codes: Mapping[str, JSON] = {
        "identifiers": coded("MV-0004"),
        "dob": coded("IV-0002"),
        "email": coded("IV-0003"),
        "expiryDate": coded("IV-0004"),
    }

    def __init__(self, on: Collection[str]) -> None:
        self.on = on

    def body(self, data: JSON) -> JSON:
        """What of the data is sent; raises Refused."""
        self._check(data)
        return {
            **{theirs: to_json(self._minutes(ours, data[ours])) for ours, theirs in FIELDS.items() if ours in data},
            "identifiers": [self._identifier(one if isinstance(one, dict) else {}) for one in data["identifiers"]],
            "type": "IDENTITY",
        }

    def _identifier(self, one: JSON) -> JSON:
        if "snake-case-names" in self.on and "expiry_date" in one:
            one = {"expiryDate": one["expiry_date"]} | one
        names = IDENTIFIER_FIELDS.items()
        return {theirs: to_json(self._minutes(ours, one[ours])) for ours, theirs in names if ours in one}

    def _minutes(self, name: str, value: Any) -> Any:
        """Sitecore's own dates go to the minute."""
        is_date = name in ("dob", "expiryDate") and isinstance(value, datetime)
        return value.strftime("%Y-%m-%dT%H:%M") if is_date and "dates-written" in self.on else value

    def _check(self, data: JSON) -> None:
        identifiers = data.get("identifiers")
        if identifiers is None:
            raise Refused(self.codes["identifiers"] if "absent-data" in self.on else ANY_ERROR)
        if identifiers in ([], ""):
            raise Refused(self.codes["identifiers"])
        if "types-checked" in self.on and not isinstance(identifiers, list):
            raise Refused(self.codes["identifiers"])
        if "types-checked" in self.on and any(not isinstance(one, dict) for one in identifiers):
            raise Refused(OWN_ERROR)
        if "dob" in data and not self._is_birthday(data["dob"]):
            raise Refused(self.codes["dob"])
        if not isinstance(identifiers, list) or None in identifiers:
            raise Refused(ANY_ERROR)
        for one in identifiers:
            self._check_expiry(one if isinstance(one, dict) else {})
        self._check_email(data.get("email"))
        if "types-checked" in self.on and any(one.get("provider", "") is None for one in identifiers):
            raise Refused(OWN_ERROR)

    def _check_expiry(self, one: JSON) -> None:
        expiry = one.get("expiryDate", one.get("expiry_date") if "snake-case-names" in self.on else None)
        if self._is_given(expiry) and not self._is_minute(expiry):
            raise Refused(self.codes["expiryDate"])

    def _check_email(self, email: Any) -> None:
        text = ",".join(map(str, email)) if isinstance(email, list) and "types-checked" not in self.on else email
        if self._is_given(email) and not (isinstance(text, str) and self._is_email(text)):
            raise Refused(self.codes["email"])

    def _is_email(self, text: str) -> bool:
        return EMAIL.fullmatch(text) is not None

    def _is_given(self, value: Any) -> bool:
        """Whether there is something to be checked."""
        return value not in (None, "") if "types-checked" in self.on else is_truthy(value)

    def _is_birthday(self, value: Any) -> bool:
        return self._is_minute(value)

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
