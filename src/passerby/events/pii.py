"""Sensitive traits: rejects secrets, and hashes the traits that the settings name.

A trait that looks like a password, a token, a social security number or a card number must not reach a customer data
platform. It is rejected before anything is stored. Names are matched by their words, values by their format.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, cast

from ..errors import ValidationError
from ..values import json

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# A name that ends with one of these words, such as `loginPassword` or `reset_token`, is that of a secret.
_SECRET_WORDS = {
    "password": "a password",
    "passwords": "a password",
    "passwd": "a password",
    "pwd": "a password",
    "passphrase": "a password",
    "passcode": "a password",
    "secret": "a secret",
    "token": "a token",
    "jwt": "a token",
    "ssn": "a social security number",
    "cvv": "a card's check number",
    "cvc": "a card's check number",
}
# So is a name that ends with one of these, in any spelling.
_SECRET_ENDINGS = {
    "passwordhash": "a password",
    "apikey": "a key",
    "accesskey": "a key",
    "secretkey": "a key",
    "privatekey": "a key",
    "socialsecuritynumber": "a social security number",
    "socialsecurity": "a social security number",
    "creditcard": "a card number",
    "creditcardnumber": "a card number",
    "debitcard": "a card number",
    "cardnumber": "a card number",
    "ccnumber": "a card number",
}
_SHORT = 64  # characters; only shorter names are cached

_is_ssn = re.compile(r"(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}", re.ASCII).fullmatch
_is_grouped_digits = re.compile(r"\d[\d -]{12,22}\d", re.ASCII).fullmatch
# The issuers' ranges and lengths (ISO/IEC 7812): Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay.
# Visa's rare ones of 13 and 19 digits are left out: too many other numbers look like them.
_is_issued = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}",
    re.ASCII,
).fullmatch
# A card number among other text: its digits in one piece, or in groups with one or two characters between them.
_DIGIT_RUNS = re.compile(r"\d{14,}|\d{2,}(?:[ +._-]{1,2}\d{2,})+", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_SHORTEST_CARD, _LONGEST_CARD = 14, 19  # digits
_MOST_GROUPS = 8

# The first characters of tokens and numbers. Most values that are no secrets begin differently.
_BEGINNINGS = frozenset("eB$-0123456789")
_TOKEN_FORMS = re.compile(
    r"ey[JK][\w-]{8,}\.ey[JK][\w-]{8,}\.[\w-]*"  # a JSON Web Token (RFC 7519)
    r"|Bearer\s+\S{8,}"
    r"|\$(?:2[abxy]|argon2(?:id|i|d)|6|5|1|pbkdf2-sha\d+|scrypt)\$.+"  # a hashed password in crypt's form
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.ASCII | re.DOTALL,
).fullmatch

_SHORTEST_SECRET = 11  # characters: a social security number

_NOT_DIGITS = re.compile(r"[^\d+]")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def check_traits(traits: Mapping[str, Any]) -> None:
    """Raise ValidationError, with the name of the trait and never its value, if one looks like a secret.

    Args:
        traits: plain values by name, nested or not.
    """
    for name, value in traits.items():
        if type(value) is str and type(name) is str and len(name) <= _SHORT and _known_name(name) is None:
            first = value[:1]
            is_harmless = len(value) < _SHORTEST_SECRET or (" " < first <= "~" and first not in _BEGINNINGS)
            if is_harmless:  # as nearly all text is
                continue
        found = _secret_in(str(name), value)
        if found is not None:
            trait, what = found
            raise ValidationError(
                f"trait {trait!r}: found a value that looks like {what}, which must not be sent; "
                'leave it out, or set sensitive_traits="allow" if it is none'
            )


def hash_traits(traits: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Replace the named traits by hashes. Return the hashes by flattened name.

    A hash is the SHA-256, in hexadecimal digits, of the normalised value: an email or other text in lower case without
    surrounding blanks, a phone number as digits with its plus sign. This is the usual form for comparing hashes of
    several sources. Each value of a list, and everything nested in a named trait, is hashed.

    Args:
        traits: plain values by name, nested or not; changed in place.
        names: in snake_case, and flattened: `contact_email` is the email in a contact.
    """
    return _hash_within(traits, names, "", is_named=False)


def snake_case(name: str) -> str:
    """Return a name in snake_case: `first_name` for `firstName`."""
    return _HUMP.sub("_", name).lower()


def _hash_within(traits: dict[str, Any], names: Collection[str], before: str, *, is_named: bool) -> dict[str, Any]:
    hashes: dict[str, Any] = {}
    for name, value in traits.items():
        path = f"{before}_{name}" if before else name
        is_meant = is_named or snake_case(path) in names
        if type(value) is dict:
            hashes |= _hash_within(cast("dict[str, Any]", value), names, path, is_named=is_meant)
        elif is_meant and value is not None and value != "":
            hashes[path] = traits[name] = _hash(snake_case(name), value)
    return hashes


def _hash(name: str, value: Any) -> Any:
    if type(value) is list:
        return [_hash(name, one) for one in cast("list[object]", value)]
    return hashlib.sha256(_normalised(name, value).encode("utf-8", "replace")).hexdigest()


def _normalised(name: str, value: Any) -> str:
    plain_text = json.dumps_sorted(value).decode() if type(value) is dict else str(value)
    text = plain_text.strip().lower()
    return _NOT_DIGITS.sub("", text) if name in ("phone", "mobile") else text


def names_secret(name: str) -> bool:
    """Return whether the name of a trait or a parameter is that of a secret."""
    return (_known_name(name) if len(name) <= _SHORT else _named_secret(name)) is not None


def find_card_number(text: str) -> bool:
    """Return whether a text contains a card number, in one piece or in groups of digits."""
    for run in _DIGIT_RUNS.findall(text):
        groups = _DIGITS.findall(run)
        for first, group in enumerate(groups):
            if group[0] not in "23456":  # the first digits of the issuers' ranges
                continue
            digits = ""
            for group in groups[first : first + _MOST_GROUPS]:
                digits += group
                if len(digits) >= _SHORTEST_CARD and _is_card_number(digits):
                    return True
                if len(digits) >= _LONGEST_CARD:
                    break
    return False


def _secret_in(name: str, value: Any) -> tuple[str, str] | None:
    """Return the name of a trait that looks like a secret, and the kind of secret."""
    if type(value) is dict:
        nested = cast("dict[str, Any]", value)
        found = (_secret_in(f"{name}.{inner}", one) for inner, one in nested.items())
        return next((one for one in found if one is not None), None)
    if type(value) is list:
        several = cast("list[object]", value)
        found = (_secret_in(name, one) for one in several)
        return next((one for one in found if one is not None), None)
    if value is None or value == "" or value is True or value is False:  # `has_password: true` is not a secret
        return None
    what = (_known_name(name) if len(name) <= _SHORT else _named_secret(name)) or _formed_secret(value)
    return None if what is None else (name, what)


def _named_secret(name: str) -> str | None:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return None
    joined = "".join(words)
    return _SECRET_WORDS.get(words[-1]) or next(
        (what for ending, what in _SECRET_ENDINGS.items() if joined.endswith(ending)), None
    )


_known_name = lru_cache(maxsize=1024)(_named_secret)  # an app has few names, and the same ones in each call


def _formed_secret(value: Any) -> str | None:
    if type(value) is float:
        return None
    text = (value if type(value) is str else str(value)).strip()
    if len(text) < _SHORTEST_SECRET or text[0] not in _BEGINNINGS:
        return None
    if _is_ssn(text):
        return "a social security number"
    if _is_grouped_digits(text) and _is_card_number(text.replace(" ", "").replace("-", "")):
        return "a card number"
    return "a token" if _TOKEN_FORMS(text) else None


def _is_card_number(digits: str) -> bool:
    """Return whether digits are in an issuer's range and pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    if not _is_issued(digits):
        return False
    total = sum(map(int, digits[-1::-2])) + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0
