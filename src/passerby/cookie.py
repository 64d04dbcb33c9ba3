"""The two cookies: one with the browser ID, one with the signed identity, and the signature that goes with the first.

The browser-ID cookie has the plain value and the name that the browser SDK uses, so that both sides share one visitor.
Where there is a secret key, a second, HttpOnly cookie carries its signature and time. What arrives is validated and
never echoed; a bad cookie is no error but a new visitor.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from itsdangerous import BadData, BadSignature, TimestampSigner, URLSafeSerializer

from .errors import SettingsError
from .event import PLAIN_UUID, BrowserIdForm
from .request import is_local_host

MAX_AGE = 34_560_000  # 400 days in seconds: browsers keep no cookie longer (draft-ietf-httpbis-rfc6265bis)
RENEW_AFTER = 604_800  # 7 days in seconds
_CACHED = 8192  # verified values remembered, so that a returning visitor costs no HMAC
_MOST = 4  # cookies of one name that are verified: a host, its parents and a path may each have left one
_LONGEST_SIGNATURE = 128  # characters
_LONGEST_IDENTITY = 4096  # characters; browsers store no longer cookie

SameSite = Literal["lax", "strict", "none"]
OnTamper = Literal["reissue", "adopt"]
Secure = Literal["auto"] | bool

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_path = re.compile(r"/[ -:<-~]*").fullmatch
_is_domain = re.compile(r"\.?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+").fullmatch


class SetCookie(NamedTuple):
    """One cookie to set: a neutral value that each face renders in its own way.

    Attributes:
        max_age: in seconds; 0 deletes the cookie.
    """

    name: str
    value: str
    max_age: int
    path: str
    domain: str | None
    same_site: SameSite
    secure: bool
    http_only: bool
    partitioned: bool

    def header(self) -> str:
        """Return the value of a Set-Cookie header."""
        text = f"{self.name}={self.value}; Max-Age={self.max_age}; Path={self.path}"
        text += f"; SameSite={self.same_site.capitalize()}"
        if self.domain:
            text += f"; Domain={self.domain}"
        if self.secure:
            text += "; Secure"
        if self.http_only:
            text += "; HttpOnly"
        return text + "; Partitioned" if self.partitioned else text


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """How cookies are set; checked once, when the settings are made.

    Attributes:
        max_age: in seconds, at most 400 days.
        secure: "auto" leaves Secure out on plain http for hosts that only a developer visits.

    Raises:
        SettingsError: an attribute is malformed, or two do not fit each other.
    """

    domain: str | None = None
    path: str = "/"
    max_age: int = MAX_AGE
    same_site: SameSite = "lax"
    secure: Secure = "auto"
    partitioned: bool = False

    def __post_init__(self) -> None:
        if self.domain and not _is_cookie_domain(self.domain):
            raise SettingsError(
                'expected a domain name of two or more labels such as "example.com"; '
                "leave it out for localhost and addresses, which take no Domain",
                setting="cookie_domain",
            )
        if not isinstance(self.path, str) or not _is_path(self.path):
            raise SettingsError('expected a path that begins with "/" and has no ";"', setting="cookie_path")
        if isinstance(self.max_age, bool) or not isinstance(self.max_age, int) or not 0 < self.max_age <= MAX_AGE:
            raise SettingsError(
                f"found {self.max_age!r}, expected a whole number of seconds from 1 to {MAX_AGE} "
                "(400 days, where browsers stop)",
                setting="cookie_max_age",
            )
        if self.same_site not in ("lax", "strict", "none"):
            raise SettingsError(
                f'found {self.same_site!r}, expected "lax", "strict" or "none"', setting="cookie_same_site"
            )
        if self.secure not in ("auto", True, False):
            raise SettingsError(f'found {self.secure!r}, expected "auto", True or False', setting="cookie_secure")
        if self.same_site == "none" and self.secure is False:
            raise SettingsError(
                'found False, but cookie_same_site="none" needs it: browsers refuse the cookie otherwise',
                setting="cookie_secure",
            )
        if self.partitioned and (self.secure is False or self.same_site != "none"):
            raise SettingsError(
                'found True, which needs cookie_secure and cookie_same_site="none"', setting="cookie_partitioned"
            )

    def secure_for(self, scheme: str, host: str) -> bool:
        """Whether a cookie set on this scheme and host is marked Secure."""
        if self.secure == "auto":
            return not (scheme == "http" and is_local_host(host))
        return self.secure

    def make(self, name: str, value: str, *, secure: bool, http_only: bool, max_age: int | None = None) -> SetCookie:
        """Make the cookie; without Secure it cannot be SameSite=None or Partitioned, so it becomes Lax."""
        return SetCookie(
            name,
            value,
            self.max_age if max_age is None else max_age,
            self.path,
            self.domain,
            self.same_site if secure or self.same_site != "none" else "lax",
            secure,
            http_only,
            self.partitioned and secure,
        )


def _is_cookie_domain(domain: object) -> bool:
    if not isinstance(domain, str) or not _is_domain(domain.lower()):
        return False
    return not domain.lstrip(".").replace(".", "").isdigit()  # an address


def check_cookie_name(name: str) -> str:
    """Return the name if it can be a cookie's, else raise SettingsError."""
    if not isinstance(name, str) or not _is_token(name):
        raise SettingsError("expected ASCII letters, digits and !#$%&'*+-.^_`|~ only", setting="cookie_name")
    return name


class CookieFinder:
    """Finds the cookies of one name in a raw Cookie header, reading nothing else of it."""

    __slots__ = ("_key", "_start", "name")

    def __init__(self, name: str) -> None:
        self.name: str = check_cookie_name(name)
        self._key = f"{name}="
        self._start = f"; {name}="

    def find(self, header: str) -> list[str]:
        """Return the values of all cookies of the name, in order.

        One quote at each end belongs to the syntax (RFC 6265, section 4.1.1); no escapes are undone.
        """
        text = f"; {header}"
        if text.count(self._key) == 1 and " =" not in text and "\t" not in text:
            # The usual case: it is there once, and written as every browser writes it.
            _, found, rest = text.partition(self._start)
            value = rest.partition(";")[0]
            if found and '"' not in value and " " not in value:
                return [value]
        elif self.name not in text:
            return []
        pairs = (piece.partition("=") for piece in header.split(";"))
        return [_value(value) for name, equals, value in pairs if equals and name.strip(" \t") == self.name]


def _value(text: str) -> str:
    value = text.strip(" \t")
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


class Sighting(NamedTuple):
    """What the browser-ID cookie said.

    Attributes:
        browser_id: the valid ID, or None: a new visitor.
        refresh: whether to set the cookie again, because it is unsigned or old.
        present: whether there was a cookie of the name at all, good or bad.
    """

    browser_id: str | None
    refresh: bool = False
    present: bool = False


_NOTHING = Sighting(None)


class BrowserIdCookie:
    """Reads and writes the cookie with the browser ID and the one with its signature.

    Args:
        name: the cookie's name; the signature's is the same with ``_sig`` behind it.
        attributes: how cookies are set.
        secret_keys: keys for the signature, the newest first; without any there is no signature.
        readable: whether scripts may read the ID, as the browser SDK must.
        renew_after: seconds after which a signed cookie is set again.
        on_tamper: what to do with a wrong signature: a new ID, or keep the ID and sign it.
        form: what an ID looks like.
    """

    def __init__(
        self,
        name: str,
        attributes: CookieAttributes,
        secret_keys: Sequence[str | bytes] = (),
        *,
        readable: bool = True,
        renew_after: float = RENEW_AFTER,
        on_tamper: OnTamper = "reissue",
        form: BrowserIdForm = PLAIN_UUID,
    ) -> None:
        self.name = name
        self.form: BrowserIdForm = form
        self._length = form.length
        self.signature_name: str = f"{name}_sig"
        self._ids = CookieFinder(name)
        self._signatures = CookieFinder(self.signature_name)
        self.attributes = attributes
        self._readable = readable
        self._renew_after = renew_after
        self._on_tamper = on_tamper
        self._signer = (
            TimestampSigner(_oldest_first(secret_keys), salt="passerby.browser-id", digest_method=hashlib.sha256)
            if secret_keys
            else None
        )
        self._signed = lru_cache(_CACHED)(self._verify)
        self._plain = lru_cache(_CACHED)(self._look)

    def read(self, header: str, now: float) -> Sighting:
        """Read a raw Cookie header; `now` is in seconds since 1970."""
        values = self._ids.find(header)
        if not values:
            return _NOTHING
        signatures = self._signatures.find(header) if self._signer is not None else []
        if len(values) == len(signatures) == 1 and len(signatures[0]) <= _LONGEST_SIGNATURE:
            signed = self._signed(values[0], signatures[0]) if len(values[0]) == self._length else None
            if signed is not None and now - signed[0] <= self._renew_after:
                return signed[1]
        return self._read_any(values, signatures, now)

    def _read_any(self, values: Sequence[str], signatures: Sequence[str], now: float) -> Sighting:
        """Read what is not the usual case of one good value with one fresh signature."""
        values = [value for value in values if len(value) == self._length][:_MOST]
        if self._signer is None:
            return self._plain(*values)
        for signature in signatures[:_MOST]:
            for value in values if len(signature) <= _LONGEST_SIGNATURE else ():
                signed = self._signed(value, signature)
                if signed is not None:
                    signed_at, sighting = signed
                    return sighting if now - signed_at <= self._renew_after else sighting._replace(refresh=True)
        return self._judge_unsigned(values, is_tampered=bool(signatures))

    def write(self, browser_id: str, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that give a browser this ID."""
        make = self.attributes.make
        cookies = [make(self.name, browser_id, secure=secure, http_only=not self._readable)]
        if self._signer is not None:
            signed = self._signer.sign(browser_id).decode()
            cookies.append(make(self.signature_name, signed[len(browser_id) + 1 :], secure=secure, http_only=True))
        return cookies

    def expire(self, *, secure: bool) -> list[SetCookie]:
        """Make the cookies that take the ID away."""
        return [
            self.attributes.make(name, "", secure=secure, http_only=hidden, max_age=0)
            for name, hidden in ((self.name, not self._readable), (self.signature_name, True))
        ]

    def _look(self, *values: str) -> Sighting:
        return Sighting(next(filter(self.form.fits, values), None), present=True)

    def _judge_unsigned(self, values: Sequence[str], *, is_tampered: bool) -> Sighting:
        valid = next(filter(self.form.fits, values), None)
        if valid is None or (is_tampered and self._on_tamper == "reissue"):
            return Sighting(None, present=True)
        return Sighting(valid, refresh=True, present=True)  # the browser SDK made it: adopt and sign

    def _verify(self, browser_id: str, signature: str) -> tuple[float, Sighting] | None:
        """Return when a browser ID was signed, and what that makes of it; None if the signature is wrong."""
        if self._signer is None or not signature.isascii() or not self.form.fits(browser_id):
            return None
        try:
            _, signed_at = self._signer.unsign(f"{browser_id}.{signature}", return_timestamp=True)
        except BadSignature:
            return None
        return signed_at.timestamp(), Sighting(browser_id, present=True)


class Remembered(NamedTuple):
    """What the identity cookie remembers of a visitor.

    Attributes:
        user_id: who they are.
        digest: of the last identity sent, to know an unchanged one again.
        sent_at: when it was sent, in seconds since 1970.
    """

    user_id: str
    digest: str
    sent_at: int

    def __repr__(self) -> str:
        return "<Remembered>"  # what it holds is about a person


class IdentityCookie:
    """Reads and writes the signed, HttpOnly cookie that remembers the user ID, bound to the browser ID.

    Written only when an identity changes, never renewed in passing, so that a parallel response cannot bring a
    logged-out user back.
    """

    def __init__(self, name: str, attributes: CookieAttributes, secret_keys: Sequence[str | bytes]) -> None:
        self.name = name
        self._cookies = CookieFinder(name)
        self._attributes = attributes
        self._serializer = URLSafeSerializer(
            _oldest_first(secret_keys),
            salt="passerby.identity",
            signer_kwargs={"digest_method": hashlib.sha256},
        )
        self._loads: Callable[[str], Any] = lru_cache(_CACHED)(self._load)

    def read(self, header: str, browser_id: str) -> Remembered | None:
        """Return what is remembered of this browser, or None."""
        for value in self._cookies.find(header)[:_MOST]:
            payload = self._loads(value) if len(value) <= _LONGEST_IDENTITY else None
            if payload is not None and payload[0] == browser_id:
                return Remembered(payload[1], payload[2], payload[3])
        return None

    def write(self, browser_id: str, remembered: Remembered, *, secure: bool) -> SetCookie:
        """Make the cookie that remembers a user ID for this browser."""
        value = self._serializer.dumps([browser_id, *remembered])
        return self._attributes.make(self.name, str(value), secure=secure, http_only=True)

    def expire(self, *, secure: bool) -> SetCookie:
        """Make the cookie that forgets the user ID."""
        return self._attributes.make(self.name, "", secure=secure, http_only=True, max_age=0)

    def _load(self, value: str) -> tuple[str, str, str, int] | None:
        try:
            payload = self._serializer.loads(value)
        except BadData:
            return None
        match payload:
            case [str() as browser_id, str() as user_id, str() as digest, int() as sent_at]:
                return browser_id, user_id, digest, sent_at
            case _:
                return None


def _oldest_first(secret_keys: Sequence[str | bytes]) -> list[bytes]:
    """Give the keys in the order itsdangerous wants them: the last one signs."""
    return [key.encode() if isinstance(key, str) else key for key in reversed(secret_keys)]
