"""The two cookies: one with the browser ID, one with the signed identity, and the signature that goes with the first.

The browser-ID cookie has the plain value and the name that the browser SDK uses, so that both sides share one visitor.
Where there is a secret key, a second, HttpOnly cookie carries its signature and time. What arrives is validated and
never echoed; a bad cookie is no error but a new visitor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from itsdangerous import BadData, BadSignature, TimestampSigner, URLSafeSerializer

from .event import PLAIN_UUID, BrowserIdForm
from .http_cookie import CookieAttributes, CookieFinder, SetCookie

RENEW_AFTER = 604_800  # 7 days in seconds
_CACHED = 8192  # verified values remembered, so that a returning visitor costs no HMAC
_MOST = 4  # cookies of one name that are verified: a host, its parents and a path may each have left one
_LONGEST_SIGNATURE = 128  # characters
_LONGEST_IDENTITY = 4096  # characters; browsers store no longer cookie
_REMEMBERED_IDENTITY = 512  # characters; what we write of ordinary user IDs has some 200

OnTamper = Literal["reissue", "adopt"]


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
            if len(value) <= _REMEMBERED_IDENTITY and value.isascii():
                payload = self._loads(value)
            else:
                payload = self._load(value) if len(value) <= _LONGEST_IDENTITY else None
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
