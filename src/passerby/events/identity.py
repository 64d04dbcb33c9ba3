"""Identities: converts the calls `identity` and `identify` into the same data.

`identity` uses Sitecore's terms, with identifiers and fields; `identify` those of Customer.io and Datalyr, with a user
ID and traits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from ..errors import ValidationError
from ..http.visitor_cookies import StoredIdentity
from ..values import json
from ..values.app_values import bounded_items, has_control_characters, id_text, is_mapping, unwrap, wrap_read_errors
from ..values.browser_id import BrowserIdFormat
from .attributes import check_attribute_count, plain, read_extension
from .event import Event, IdentityData, PageViewData
from .pii import check_traits, hash_traits, snake_case

MAX_USER_ID = 255  # characters; Datalyr's limit, the strictest
REPEAT_AFTER = 86_400  # seconds after which an unchanged identity is sent again

CAMEL_CASE = {"firstName": "first_name", "lastName": "last_name", "postalCode": "postal_code"}

_FIELDS = frozenset(IdentityData.__annotations__) - frozenset(PageViewData.__annotations__) - {"identifiers"}
_ONLY_DICT = frozenset({dict})
_TEXT_OR_INTEGER = frozenset({str, int})
_OF_THE_PAGE = frozenset({"channel", "currency", "language", "page"})  # not about the person
_NO_TRAITS = _OF_THE_PAGE | {"identifiers"}


def checked_user_id(user_id: object, browser_id: str | None) -> str:
    """Return the user ID as text. Raises ValidationError if it is empty, too long, or the browser ID."""
    text = checked_id(user_id, "user ID", "the same on all devices")
    if text == browser_id:
        raise ValidationError("user ID: found the browser ID, which names no person; use a database key")
    return text


@wrap_read_errors("browser ID")
def checked_browser_id(browser_id: object, form: BrowserIdFormat) -> str:
    """Return a browser ID as text. Raises ValidationError if it has another format."""
    text = unwrap(browser_id)
    if isinstance(text, str) and form.matches(text):
        return text
    raise ValidationError("browser ID: expected the UUID that tracker.browser_id returned")


@wrap_read_errors("ID")
def checked_id(value: object, name: str, hint: str) -> str:
    """Return an ID of a person or a group as text. Raises ValidationError if it is empty, too long, or no ID."""
    text = "" if value is None else id_text(value)
    if text is None:
        if type(value) is int:
            raise ValidationError(f"{name}: found a number beyond 64 bits; pass it as text")
        raise ValidationError(f"{name}: found {type(value).__name__}, expected text, a whole number or a UUID")
    if not text:
        raise ValidationError(f"{name}: found none, expected text, a number or a UUID, {hint}")
    if len(text) > MAX_USER_ID:
        raise ValidationError(
            f"{name}: found {len(text)} characters, expected at most {MAX_USER_ID}; use a database key"
        )
    if has_control_characters(text):
        raise ValidationError(f"{name}: found control characters or half a surrogate pair, expected text without")
    return text


@wrap_read_errors("traits")
def identity_of(
    user_id: str, traits: Mapping[str, Any] | None, provider: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Convert the arguments of `identify` to those of `identity`.

    Returns the event data, with the traits that have a field there, and the other traits as extension data. Raises
    ValidationError if there are too many of these.
    """
    if traits is not None and not is_mapping(traits):
        plain(traits, "traits")  # raises with the expected type
    data: dict[str, Any] = {"identifiers": [{"id": user_id, "provider": provider}]}
    extension: dict[str, Any] = {}
    for name, value in bounded_items(traits, "traits") if traits is not None else ():
        field = CAMEL_CASE.get(name, name)
        if field in _FIELDS:
            data[field] = value
        else:
            extension[name] = value
    check_attribute_count(read_extension(extension, "traits"))
    return data, extension


@wrap_read_errors("event data")
def read_identity(event_data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return plain identity data. Raises ValidationError as `plain` does.

    Dates of birth and expiry may be dates: Sitecore CDP accepts both with minutes only.
    """
    data = plain(_with_minutes(event_data) if is_mapping(event_data) else event_data, "event data")
    for identifier in identifiers_in(data):
        if "expiryDate" in identifier:
            identifier["expiry_date"] = identifier.pop("expiryDate")
    return data


def identifiers_in(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the identifiers of identity data, or none if they are not a list of mappings."""
    given: Any = data.get("identifiers")
    if type(given) is not list or not _ONLY_DICT.issuperset(map(type, cast("list[object]", given))):
        return []
    return cast("list[dict[str, Any]]", given)


def refuse_secrets(
    data: dict[str, Any],
    flat: dict[str, Any],
    given: dict[str, Any] | None = None,
    *,
    refuses_secrets: bool,
    hashed: Collection[str],
) -> None:
    """Refuse or hash secrets in identity data and the app's attributes, in place.

    Args:
        data: identity data; a hashed field moves to the attributes, since a hash is not a valid email.
        flat: the app's attributes, flattened.
        given: the app's attributes before flattening, if different.
        refuses_secrets: whether a value that looks like a secret raises ValidationError.
        hashed: the names of the traits to hash.
    """
    person = _traits_in(data)
    if refuses_secrets:
        for one in (person, flat, given):
            if one:
                check_traits(one)
    if not hashed:
        return
    names = frozenset(map(snake_case, hashed))
    hashes = hash_traits(person, names)
    moved = {name: hashes[name] for name in hashes if name in _FIELDS}
    data.update(person)
    for name in moved:
        del data[name]
    hash_traits(flat, names)
    if given is not None:
        flat.update(hash_traits(given, names))
        given.update(moved)
    flat.update(moved)


def user_id_in(data: Mapping[str, Any], provider: str | None, browser_id: str | None) -> str | None:
    """Return the user ID in identity data: the identifier of the provider, else the first, if it is valid."""
    identifiers = identifiers_in(data)
    chosen = next((one for one in identifiers if one.get("provider") == provider), None)
    if chosen is None and identifiers:
        chosen = identifiers[0]
    try:
        return checked_user_id(chosen.get("id"), browser_id) if chosen is not None else None
    except ValidationError:
        return None


def is_another_person(event: Event, known: str | None) -> bool:
    """Return whether an identity is about another user than the one known for this browser.

    It is not if the known user ID is among its identifiers, because then both are one person.
    """
    if known is None or event.user_id == known:
        return False
    return all(one.get("id") != known for one in identifiers_in(event.data))


def traits_of(event: Event) -> dict[str, Any]:
    """Return the traits of an identity: its known fields, then the app's attributes before flattening."""
    return _traits_in(event.data) | event.attributes


def make_stored_identity(event: Event, destinations: Sequence[str], now: float) -> StoredIdentity:
    """Return the content of the identity cookie for an identity event.

    Equal identities have equal digests in every process, whatever the order of dicts, sets and destinations.
    """
    person = {name: value for name, value in event.data.items() if name not in _OF_THE_PAGE}
    recipients = [event.point_of_sale, *sorted(destinations), event.integrations]
    content = json.dumps_sorted([event.browser_id, event.user_id, recipients, person, event.extension])
    return StoredIdentity(event.user_id or "", hashlib.blake2b(content, digest_size=9).hexdigest(), int(now))


def is_unchanged(now: StoredIdentity, before: StoredIdentity | None) -> bool:
    """Return whether the same identity was sent less than a day ago."""
    return before is not None and now.digest == before.digest and now.sent_at - before.sent_at < REPEAT_AFTER


def _traits_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the traits in identity data, including unknown names."""
    return {name: value for name, value in data.items() if name not in _NO_TRAITS}


def _with_minutes(event_data: Mapping[str, Any]) -> dict[str, Any]:
    given = bounded_items(event_data, "event data")
    data: dict[Any, Any] = dict(given)
    if "dob" in data:
        data["dob"] = _minutes(data["dob"])
    identifiers: Any = data.get("identifiers")
    if type(identifiers) in (list, tuple):
        data["identifiers"] = list(map(_identifier_with_minutes, identifiers))
    return data


def _identifier_with_minutes(identifier: Any) -> Any:
    if not is_mapping(identifier):
        return identifier
    given = bounded_items(identifier, "identifiers")
    return {
        name: _IDENTIFIER_READERS[name](value) if type(name) is str and name in _IDENTIFIER_READERS else value
        for name, value in given
    }


def _whole(value: Any) -> Any:
    """Convert a whole Decimal, such as a database key, to an integer. Return anything else unchanged."""
    if type(value) in _TEXT_OR_INTEGER:
        return value
    found = unwrap(value)
    is_whole = isinstance(found, Decimal) and found.is_finite() and abs(found) < 2**63 and found == int(found)
    return int(found) if is_whole else value


def _minutes(value: Any) -> Any:
    """Format a date or datetime with minutes and without a time zone. Return anything else unchanged."""
    moment = unwrap(value)
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=None).isoformat(timespec="minutes")
    return f"{moment.isoformat()}T00:00" if isinstance(moment, date) else value


_IDENTIFIER_READERS = {"id": _whole, "expiryDate": _minutes, "expiry_date": _minutes}
