"""The visitor's cookies: the browser ID and its signature, the signed identity, and the log-out counter.

The browser-ID cookie has the plain value and the name that the browser SDK uses, so that both sides share one visitor.
With a secret key, a second, HttpOnly cookie carries its signature and time. Values from the browser are validated and
never echoed. A bad cookie is not an error: its visitor is treated as new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice, product
from math import inf
from typing import Any, ClassVar, Literal, NamedTuple

from itsdangerous import BadData, BadSignature, TimestampSigner, URLSafeSerializer

from ..values.browser_id import PLAIN_UUID, BrowserIdFormat
from .set_cookie import MOST_COOKIES, CookieAttributes, CookieFinder, SetCookie

COOKIE_RENEW_AFTER = 604_800  # 7 days in seconds
IDENTITY_MAX_AGE = 7_776_000  # 90 days in seconds
_CACHED = 8192  # cached verified values, so that a returning visitor needs no HMAC
_MOST_TRIES = 64  # signatures verified per request, if a name occurs many times
_LONGEST_SIGNATURE = 128  # characters
_LENGTH_OF_DIGEST = 43  # characters: 32 bytes in base 64 without padding
_LONGEST_IDENTITY = 4096  # characters; browsers store no longer cookie
_LONGEST_MARK = 256  # characters of the log-out cookie
_CACHED_IDENTITY = 512  # characters; with ordinary user IDs we write about 200

OnBadSignature = Literal["reissue", "adopt"]
OnMissingSignature = Literal["reissue", "adopt"]


class ParsedBrowserId(NamedTuple):
    """The parsed browser-ID cookie.

    Attributes:
        browser_id: the valid ID, or None for a new visitor.
        needs_renewal: whether to set the cookie again, because it is unsigned or old.
        is_present: whether there was a cookie of the name at all, valid or not.
        is_unread: whether there were too many cookies to try them all, so that the valid one may be among the others.
        is_old: whether the ID is that of an old cookie, from which it has to be moved into the current one.
    """

    browser_id: str | None
    needs_renewal: bool = False
    is_present: bool = False
    is_unread: bool = False
    is_old: bool = False


_NOTHING = ParsedBrowserId(None)


class BrowserIdCookie:
    """Reads and writes the cookie with the browser ID and the one with its signature.

    Args:
        name: the cookie's name; the signature's is the same with ``_sig`` behind it.
        attributes: the attributes of the cookies.
        secret_keys: keys for the signature, the newest first; without keys there is no signature.
        readable: whether scripts may read the ID, as the browser SDK must.
        cookie_renew_after: seconds after which a signed cookie is set again.
        on_bad_signature: what to do with a wrong signature: assign a new ID, or keep the ID and sign it.
        on_missing_signature: what to do with an ID without a signature although there are keys: assign a new ID, or
            keep the ID and sign it. Keeping it is for cookies that a browser SDK writes too.
        id_format: the format of the IDs.
    """

    def __init__(
        self,
        name: str,
        attributes: CookieAttributes,
        secret_keys: Sequence[str | bytes] = (),
        *,
        readable: bool = True,
        cookie_renew_after: float = COOKIE_RENEW_AFTER,
        on_bad_signature: OnBadSignature = "reissue",
        on_missing_signature: OnMissingSignature = "adopt",
        id_format: BrowserIdFormat = PLAIN_UUID,
    ) -> None:
        self.name = name
        self.id_format: BrowserIdFormat = id_format
        self._length = id_format.length
        self.signature_name: str = f"{name}_sig"
        self._ids = CookieFinder(name)
        self._signatures = CookieFinder(self.signature_name)
        self.attributes = attributes
        self._readable = readable
        self._cookie_renew_after = cookie_renew_after
        self._on_bad_signature = on_bad_signature
        self._on_missing_signature = on_missing_signature
        self._signer = (
            TimestampSigner(_oldest_first(secret_keys), salt="passerby.browser-id", digest_method=hashlib.sha256)
            if secret_keys
            else None
        )
        self._signed = lru_cache(_CACHED)(self._verify)
        self._plain = lru_cache(_CACHED)(self._parse_plain)

    def read(self, header: str, now: float) -> ParsedBrowserId:
        """Read a raw Cookie header; `now` is in seconds since 1970."""
        values = self._ids.find(header)
        if not values:
            return _NOTHING
        if self._signer is None and len(values) == 1:
            return self._plain(values[0]) if len(values[0]) == self._length else ParsedBrowserId(None, is_present=True)
        signatures = self._signatures.find(header) if self._signer is not None else []
        if len(values) == len(signatures) == 1 and len(signatures[0]) <= _LONGEST_SIGNATURE:
            signed = self._signed(values[0], signatures[0]) if len(values[0]) == self._length else None
            if signed is not None and now - signed[0] <= self._cookie_renew_after:
                return signed[1]
        return self._read_uncommon(values, signatures, now)

    def _read_uncommon(self, values: Sequence[str], signatures: Sequence[str], now: float) -> ParsedBrowserId:
        """Read anything but the usual case of one valid value, with one fresh signature if there are keys.

        Other hosts of the domain, and other paths, may have set cookies of the same name.
        """
        is_unread = max(len(values), len(signatures)) >= MOST_COOKIES
        values = [value for value in dict.fromkeys(values) if len(value) == self._length]
        if self._signer is None:
            valid = next(filter(self.id_format.matches, values), None)
            return ParsedBrowserId(valid, is_present=True, is_unread=is_unread and valid is None)
        short = (signature for signature in dict.fromkeys(signatures) if len(signature) <= _LONGEST_SIGNATURE)
        likely = list(filter(_may_be_signed, short))
        if not (likely or is_unread):
            return self._parse_unsigned(values, is_tampered=bool(signatures))
        fitting = list(filter(self.id_format.matches, values)) if likely else []
        # Browsers send cookies in the order in which they were set, so a value and its signature have equal positions.
        pairs = chain(zip(reversed(fitting), reversed(likely), strict=False), product(fitting, likely))
        for value, signature in islice(pairs, _MOST_TRIES):
            signed = self._signed(value, signature)
            if signed is not None:
                signed_at, parsed_browser_id = signed
                return (
                    parsed_browser_id
                    if now - signed_at <= self._cookie_renew_after
                    else parsed_browser_id._replace(needs_renewal=True)
                )
        if is_unread or next(pairs, None) is not None:
            return ParsedBrowserId(None, is_present=True, is_unread=True)
        return self._parse_unsigned(fitting, is_tampered=bool(signatures))

    def write(self, browser_id: str, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that set this browser ID."""
        make = self.attributes.make
        cookies = [make(self.name, browser_id, secure=secure, http_only=not self._readable)]
        if self._signer is not None:
            signed = self._signer.sign(browser_id).decode()
            cookies.append(make(self.signature_name, signed[len(browser_id) + 1 :], secure=secure, http_only=True))
        return cookies

    def expire(self, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that delete the ID."""
        return [
            self.attributes.make(name, "", secure=secure, http_only=hidden, max_age=0)
            for name, hidden in ((self.name, not self._readable), (self.signature_name, True))
        ]

    def has_written(self, line: str) -> bool:
        """Return whether a Set-Cookie header was made by `write` or `expire`, for any browser."""
        value = line.partition(";")[0].partition("=")[2].strip(' "')
        made = self.write(value, secure=True) if self.id_format.matches(value) else self.expire(secure=True)
        return is_same_cookie(made[0], line)

    def protects(self, header: str, browser_id: str) -> bool:
        """Return whether a raw Cookie header has a valid signature of an ID, so that no unsigned one replaces it."""
        if self._signer is None or self._on_bad_signature == "adopt":
            return False
        short = [one for one in self._signatures.find(header) if len(one) <= _LONGEST_SIGNATURE and _may_be_signed(one)]
        return any(self._signed(browser_id, signature) is not None for signature in short[:_MOST_TRIES])

    def _parse_plain(self, value: str) -> ParsedBrowserId:
        return ParsedBrowserId(value if self.id_format.matches(value) else None, is_present=True)

    def _parse_unsigned(self, values: Sequence[str], *, is_tampered: bool) -> ParsedBrowserId:
        if (self._on_bad_signature if is_tampered else self._on_missing_signature) == "reissue":
            return ParsedBrowserId(None, is_present=True)
        valid = next(filter(self.id_format.matches, values), None)
        return ParsedBrowserId(
            valid, needs_renewal=valid is not None, is_present=True
        )  # set by the browser SDK: adopt and sign

    def _verify(self, browser_id: str, signature: str) -> tuple[float, ParsedBrowserId] | None:
        """Return when a browser ID was signed, and the parsed ID, or None if the signature is wrong."""
        if self._signer is None or not signature.isascii() or not self.id_format.matches(browser_id):
            return None
        try:
            _, signed_at = self._signer.unsign(f"{browser_id}.{signature}", return_timestamp=True)
        except BadSignature:
            return None
        return signed_at.timestamp(), ParsedBrowserId(browser_id, is_present=True)


class StoredIdentity(NamedTuple):
    """The content of the identity cookie.

    Attributes:
        user_id: the user ID.
        digest: a hash of the last identity sent, to detect an unchanged one.
        sent_at: when it was sent, in seconds since 1970.
        log_outs: the number of log-outs of the browser when it was written; see `LogOutCookie`.
    """

    user_id: str
    digest: str
    sent_at: int
    log_outs: int = 0

    def __repr__(self) -> str:
        return "<StoredIdentity>"  # without personal data


class _SignedCookie:
    """A signed, HttpOnly cookie whose content begins with the browser ID.

    Args:
        name: the cookie's name.
        attributes: the attributes of the cookie.
        secret_keys: keys for the signature, the newest first.
        max_age: seconds for which its content counts.
    """

    _SALT: ClassVar[str]  # separates its signatures from those of other cookies

    def __init__(
        self, name: str, attributes: CookieAttributes, secret_keys: Sequence[str | bytes], max_age: float = inf
    ) -> None:
        self.name = name
        self._cookies = CookieFinder(name)
        self._attributes = attributes
        self._max_age = max_age
        self._serializer = URLSafeSerializer(
            _oldest_first(secret_keys), salt=self._SALT, signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._loads: Callable[[str], Any] = lru_cache(_CACHED)(self._load)

    def expire(self, *, secure: bool) -> SetCookie:
        """Make the cookie that deletes this one."""
        return self._attributes.make(self.name, "", secure=secure, http_only=True, max_age=0)

    def _make(self, content: Sequence[object], *, secure: bool) -> SetCookie:
        value = str(self._serializer.dumps(content))
        max_age = int(min(self._attributes.max_age, self._max_age))
        return self._attributes.make(self.name, value, secure=secure, http_only=True, max_age=max_age)

    def _load(self, value: str) -> Any:
        """Return the content of a value, or None if the signature is wrong."""
        try:
            return self._serializer.loads(value)
        except BadData:
            return None


class IdentityCookie(_SignedCookie):
    """Reads and writes the signed, HttpOnly cookie with the user ID, bound to the browser ID.

    Written only when an identity changes, never renewed on other requests, so that a parallel response cannot restore a
    logged-out user. A late response that identifies the user again has a lower log-out count and is ignored.
    """

    _SALT = "passerby.identity"

    def read(self, header: str, browser_id: str, now: float = 0.0, log_outs: int = 0) -> StoredIdentity | None:
        """Return the identity stored for this browser, or None.

        Args:
            header: the raw Cookie header.
            browser_id: the browser's ID.
            now: seconds since 1970; an identity sent too long ago is ignored.
            log_outs: the log-out count of the browser; an identity written with a lower count is ignored.
        """
        for value in _signed_values(self._cookies, header, _LONGEST_IDENTITY):
            is_ordinary = len(value) <= _CACHED_IDENTITY and value.isascii()
            payload = self._loads(value) if is_ordinary else self._load(value)
            if payload is not None and payload[0] == browser_id:
                _, user_id, digest, sent_at, known = payload
                remembered = StoredIdentity(user_id, digest, sent_at, known)
                if remembered.log_outs >= log_outs and now - remembered.sent_at <= self._max_age:
                    return remembered
        return None

    def write(self, browser_id: str, remembered: StoredIdentity, *, secure: bool) -> SetCookie:
        """Make the cookie that stores a user ID for this browser."""
        return self._make([browser_id, *remembered], secure=secure)

    def _load(self, value: str) -> tuple[str, str, str, int, int] | None:
        match super()._load(value):
            case [str() as browser_id, str() as user_id, str() as digest, int() as sent_at, int() as log_outs]:
                return browser_id, user_id, digest, sent_at, log_outs
            case _:
                return None


class LogOutCookie(_SignedCookie):
    """Reads and writes the signed, HttpOnly cookie that counts the log-outs of a browser.

    A response that began before a log-out may arrive after it and set the identity cookie again. Therefore the count is
    in a separate cookie, which such a response does not change.
    """

    _SALT = "passerby.log-out"
    ROTATED = -1  # in place of a count: the browser has a new ID, and this one must not return

    def read(self, header: str, browser_id: str) -> int | None:
        """Return the log-out count of this browser, `ROTATED`, or None if there was no log-out."""
        found = map(self._loads, _signed_values(self._cookies, header, _LONGEST_MARK))
        counts = [payload[1] for payload in found if payload is not None and payload[0] == browser_id]
        return self.ROTATED if self.ROTATED in counts else max(counts, default=None)

    def write(self, browser_id: str, count: int, *, secure: bool) -> SetCookie:
        """Make the cookie with the log-out count of a browser, or `ROTATED`."""
        return self._make([browser_id, count], secure=secure)

    def _load(self, value: str) -> tuple[str, int] | None:
        match super()._load(value):
            case [str() as browser_id, int() as count]:
                return browser_id, count
            case _:
                return None


def _may_be_signed(value: str) -> bool:
    """Return whether a value ends with the 43 characters of a SHA-256 signature; cheaper than verifying it."""
    return len(value) - value.rfind(".") == _LENGTH_OF_DIGEST + 1 and "." in value


def _signed_values(cookies: CookieFinder, header: str, longest: int) -> Iterator[str]:
    """Return the values of a name that may have a valid signature, without duplicates."""
    values = dict.fromkeys(cookies.find(header))
    return islice((value for value in values if len(value) <= longest and _may_be_signed(value)), _MOST_TRIES)


def is_same_cookie(cookie: SetCookie, line: str) -> bool:
    """Return whether a Set-Cookie header sets this cookie, in whichever way a framework has written it."""
    return _attributes_of(cookie.header()) == _attributes_of(line)


def _attributes_of(line: str) -> frozenset[str]:
    """Return the parts of a Set-Cookie header that do not depend on the time, the scheme and the framework."""
    parts = (part.strip().lower().replace('"', "") for part in line.split(";"))
    return frozenset(part for part in parts if part != "secure" and not part.startswith("expires="))


def _oldest_first(secret_keys: Sequence[str | bytes]) -> list[bytes]:
    """Return the keys in the order of itsdangerous: the last one signs."""
    return [key.encode() if isinstance(key, str) else key for key in reversed(secret_keys)]
