"""Writes and finds cookies as specified in RFC 6265, whatever their purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from ..errors import SettingsError
from .public_suffix import is_public_suffix
from .request import is_local_host

MAX_AGE = 34_560_000  # 400 days in seconds: browsers keep no cookie longer (draft-ietf-httpbis-rfc6265bis)

MOST_COOKIES = 100  # of one name in one request; more are not looked at

SameSite = Literal["lax", "strict", "none"]
Secure = Literal["auto"] | bool

_LONGEST_NAME = 255  # so that name and value of each of our cookies fit into the 4,096 bytes that browsers keep
_LONGEST_PATH = 1024  # bytes; browsers ignore a longer attribute
_LONGEST_DOMAIN = 253  # characters of a host name (RFC 1035)
_PREFIXES = ("__host-", "__secure-", "__http-")  # of names that browsers take with Secure only, in any case
_RESERVED = frozenset(
    {"comment", "domain", "expires", "httponly", "max-age", "partitioned", "path", "samesite", "secure", "version"}
)

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_hexadecimal = re.compile(r"0x[0-9a-f]*").fullmatch
_is_path = re.compile(r"/[ -:<-~]*").fullmatch
_is_domain = re.compile(r"\.?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+").fullmatch


class SetCookie(NamedTuple):
    """One cookie to set. Each framework integration writes it in its own way.

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
        return f"{self.name}={self.value}{_attributes_text(*self[2:])}"


@lru_cache(maxsize=64)  # an app has few of them
def _attributes_text(
    max_age: int,
    path: str,
    domain: str | None,
    same_site: SameSite,
    secure: bool,
    http_only: bool,
    partitioned: bool,
) -> str:
    text = f"; Max-Age={max_age}; Path={path}; SameSite={same_site.capitalize()}"
    if domain:
        text += f"; Domain={domain}"
    if secure:
        text += "; Secure"
    if http_only:
        text += "; HttpOnly"
    return text + "; Partitioned" if partitioned else text


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """The attributes of cookies; checked once, when the settings are created.

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
                'expected a domain name of two or more labels such as "example.com", in ASCII, no scheme, no port; '
                "leave it out for localhost and addresses, which take no Domain",
                setting="cookie_domain",
            )
        if self.domain and is_public_suffix(self.domain.lower().removeprefix(".")):
            raise SettingsError(
                "found a public suffix, for which browsers keep no cookie; expected the site's own domain such as "
                f'"example.{self.domain.lower().removeprefix(".")}", or none',
                setting="cookie_domain",
            )
        if not isinstance(self.path, str) or not _is_path(self.path) or self.path.endswith(" "):
            raise SettingsError(
                'expected a path that begins with "/", in printable ASCII without ";", not ending with a blank',
                setting="cookie_path",
            )
        if len(self.path) > _LONGEST_PATH:
            raise SettingsError(
                f"found {len(self.path)} characters, expected at most {_LONGEST_PATH}", setting="cookie_path"
            )
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
        if self.secure != "auto" and not isinstance(self.secure, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
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

    def for_name(self, name: str) -> CookieAttributes:
        """Return the attributes for a cookie of this name. Raises SettingsError if they do not fit its prefix.

        Browsers take `__Secure-` and `__Http-` with Secure only, `__Host-` also without a domain and for all paths.
        """
        prefix = next((one for one in _PREFIXES if name.lower().startswith(one)), None)
        if prefix is None:
            return self
        found = f'found a name with the prefix "{name[: len(prefix)]}", which browsers take'
        if self.secure is False:
            raise SettingsError(f"{found} with cookie_secure only; choose another name", setting="cookie_name")
        if prefix == "__host-" and (self.domain or self.path != "/"):
            advice = 'without cookie_domain and with cookie_path="/" only; choose another name, or leave these two out'
            raise SettingsError(f"{found} {advice}", setting="cookie_name")
        return self if self.secure is True else replace(self, secure=True)

    def secure_for(self, scheme: str, host: str) -> bool:
        """Return whether a cookie set on this scheme and host is marked Secure."""
        if self.secure == "auto":
            return not (scheme == "http" and is_local_host(host))
        return self.secure

    def make(self, name: str, value: str, *, secure: bool, http_only: bool, max_age: int | None = None) -> SetCookie:
        """Make a cookie. Without Secure it cannot be SameSite=None or Partitioned, so it becomes Lax."""
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
    if not isinstance(domain, str) or len(domain) > _LONGEST_DOMAIN or not _is_domain(domain.lower()):
        return False
    last = domain.lower().rpartition(".")[2]
    return not (last.isdigit() or _is_hexadecimal(last))  # else browsers take it for an address


def check_cookie_name(name: str) -> str:
    """Return the name if it can be a cookie's, else raise SettingsError."""
    _check_token(name)
    if len(name) > _LONGEST_NAME:
        raise SettingsError(
            f"found {len(name)} characters, expected at most {_LONGEST_NAME}; browsers keep 4,096 bytes of a cookie",
            setting="cookie_name",
        )
    if name.lower() in _RESERVED:
        raise SettingsError(f"found {name!r}, the name of a cookie's attribute; choose another", setting="cookie_name")
    return name


def _check_token(name: object) -> None:
    if not isinstance(name, str) or not _is_token(name):
        raise SettingsError("expected ASCII letters, digits and !#$%&'*+-.^_`|~ only", setting="cookie_name")


class CookieFinder:
    """Finds the cookies of one name in a raw Cookie header, without parsing the rest."""

    __slots__ = ("_key", "_start", "name")

    def __init__(self, name: str) -> None:
        _check_token(name)
        self.name: str = name
        self._key = f"{name}="
        self._start = f"; {name}="

    def find(self, header: str) -> list[str]:
        """Return the values of all cookies of the name, in order, at most `MOST_COOKIES`.

        A quote at each end is part of the syntax (RFC 6265, section 4.1.1). Escapes are not decoded.
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
        values = (_value(value) for name, equals, value in pairs if equals and name.strip(" \t") == self.name)
        return list(islice(values, MOST_COOKIES))


def _value(text: str) -> str:
    value = text.strip(" \t")
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
