"""The checks that both forms of Sitecore's requests share: which values the service accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ...errors import SettingsError, ValidationError
from ...events.event import Event
from ...events.identity import identifiers_in
from ...values.app_values import has_control_characters
from ...values.callbacks import check_function
from ..reserved import is_reserved, refuse_reserved

MAX_ID = 128  # characters of a client key or a context ID; Sitecore's have some 30
_MAX_SITE = 255

_is_cookie_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_minute = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d", re.ASCII).fullmatch
_is_day = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
# JavaScript's \s: it counts U+FEFF in and the separators U+001C to U+001F and U+0085 out, other than Python's.
_BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
is_email: Callable[[str], object] = re.compile(rf"[^{_BLANKS}@]+@[^{_BLANKS}@]+\.[^{_BLANKS}@]+").fullmatch

# Fields of a custom event that are on the same level as its data: data with these names would overwrite them.
_OWN_FIELDS = frozenset({"type", "clientkey", "browserid", "pos", "requestedat", "ext"})


def is_empty(setting: object) -> bool:
    """Return whether a setting is falsy in JavaScript and Python. A value without a truth value is not."""
    try:
        return not setting
    except Exception:
        return False


def checked_account(value: object, setting: str) -> str:
    """Return a client key or a context ID. Raises SettingsError unless it can be part of a cookie's name."""
    if isinstance(value, str) and len(value) <= MAX_ID and _is_cookie_name(value):
        return value
    raise SettingsError(
        f"expected ASCII letters, digits and -_. only, at most {MAX_ID}, since it names the cookie", setting=setting
    )


def check_site(value: object, setting: str) -> None:
    """Raise SettingsError unless a point of sale or a site name is text, None, or a function of a request."""
    if isinstance(value, str) and (len(value) > _MAX_SITE or has_control_characters(value)):
        raise SettingsError(f"expected at most {_MAX_SITE} characters, no control characters", setting=setting)
    if not isinstance(value, str | None):
        check_function(value, setting, "text or a plain function that makes it from a request")


def check_site_of_call(site: str | None, required: ValidationError, name: str) -> None:
    """Raise ValidationError unless the point of sale or the site name of a call is text of a usual length.

    Args:
        site: what was chosen.
        required: raised if there is none.
        name: the vendor's name of it.
    """
    if not (isinstance(site, str) and site.strip()):
        raise required
    if len(site) > _MAX_SITE:
        raise ValidationError(f"{name}: found {len(site)} characters, expected at most {_MAX_SITE}")


def is_real_minute(text: object) -> bool:
    """Return whether a text is a valid YYYY-MM-DDThh:mm. The year 0000, not supported by Python, was a leap year."""
    return isinstance(text, str) and _is_minute(text) is not None and _is_real(text)


def is_real_day(text: object) -> bool:
    """Return whether a text is a valid YYYY-MM-DD."""
    return isinstance(text, str) and _is_day(text) is not None and _is_real(text)


def _is_real(text: str) -> bool:
    try:
        datetime.fromisoformat(text if text[:4] != "0000" else "2000" + text[4:])
    except ValueError:
        return False
    return True


class IdentityCodes(NamedTuple):
    """The vendor's codes for what is wrong in an identity."""

    identifiers: str
    dob: str
    expiry_date: str
    email: str


def check_identity(
    data: Mapping[str, Any],
    codes: IdentityCodes,
    is_date_of_birth: Callable[[object], bool],
    is_address: Callable[[str], object] = is_email,
) -> None:
    """Raise ValidationError with the vendor's code and words, in the vendor's order, if an identity is not valid.

    Args:
        data: the data of the identity.
        codes: the vendor's codes.
        is_date_of_birth: decides which dates of birth are accepted.
        is_address: decides which email addresses are accepted.
    """
    if not data.get("identifiers") or not isinstance(data["identifiers"], list):
        raise ValidationError('"identifiers" is required.', code=codes.identifiers)
    identifiers = identifiers_in(data)
    if not identifiers:
        raise ValidationError('identifiers: expected a list of dicts such as {"id": "123", "provider": "CRM"}')
    if "dob" in data and not is_date_of_birth(data["dob"]):
        raise ValidationError('Incorrect value for "dob". Format the value according to ISO 8601.', code=codes.dob)
    for identifier in identifiers:
        if identifier.get("expiry_date") not in (None, "") and not is_real_minute(identifier["expiry_date"]):
            raise ValidationError(
                'Incorrect value for "expiryDate". Format the value according to ISO 8601.', code=codes.expiry_date
            )
    email = data.get("email")
    if email is not None and email != "" and not (isinstance(email, str) and is_address(email)):
        raise ValidationError('Incorrect value for "email". Set the value to a valid email address.', code=codes.email)
    if any("provider" in one and one["provider"] is None for one in identifiers):
        raise ValidationError(
            "identify needs to know by which provider Sitecore CDP knows the user ID: set identity_provider"
        )


def check_event_data(event: Event, destination: str) -> None:
    """Raise ValidationError if the data of a custom event would overwrite the service's own fields."""
    refuse_reserved(event.data, _OWN_FIELDS, destination, "event data")
    if is_reserved(event.type or "", ("identity",)):
        raise ValidationError(f"{destination}: event type: found that of an identity; call identity or identify")
