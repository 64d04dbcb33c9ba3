"""Changing any framework's response: cookies are added to those it has, and headers that keep caches out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookies import Morsel
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from ..errors import ValidationError
from .set_cookie import SetCookie

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Changes(NamedTuple):
    """What to change in a response: a neutral value that each face applies to a response of this request only.

    Attributes:
        cookies: the cookies to add.
        headers: the headers to set, by name in lower case; each takes the place of all of its name.
    """

    cookies: Sequence[SetCookie] = ()
    headers: Mapping[str, str] = _NO_HEADERS


UNCHANGED = Changes()


def changed(headers: Iterable[tuple[Any, Any]], changes: Changes, *, is_text: bool = False) -> list[tuple[Any, Any]]:
    """Return a new header list with the changes; the given one, which may be used again, stays as it is.

    Without any header to go by the new ones are text if `is_text` says so, else bytes.
    """
    result: list[tuple[Any, Any]] = []
    left = dict(changes.headers)
    for name, value in headers:
        is_text = isinstance(name, str)
        lowered = (name if is_text else name.decode("latin-1")).lower() if left or changes.headers else ""
        if lowered not in changes.headers:
            result.append((name, value))
        elif lowered in left:
            said = left.pop(lowered)
            result.append((name, said if is_text else said.encode("latin-1")))
    result += [_pair("set-cookie", cookie.header(), is_text=is_text) for cookie in changes.cookies]
    return result + [_pair(name, value, is_text=is_text) for name, value in left.items()]


def change(response: Any, changes: Changes, *, is_text: bool = False) -> None:
    """Change a response in place: a header list (of text or bytes), or the response of Starlette, Flask or Django.

    Raises TypeError for anything else, if there is something to change.
    """
    if isinstance(response, list):
        listed = cast("list[tuple[Any, Any]]", response)
        listed[:] = changed(listed, changes, is_text=is_text)
        return
    if hasattr(response, "raw_headers"):  # Starlette; others may hold the list too
        response.raw_headers[:] = changed(response.raw_headers, changes)
        return
    add_cookies(response, changes.cookies, is_text=is_text)
    for name, value in changes.headers.items():
        response.headers[name.title()] = value


def without_cookies(response: Any, names: Iterable[str]) -> None:
    """Remove the cookies of these names from a response, in place."""
    unwanted = frozenset(names)

    def stays(pair: tuple[Any, Any]) -> bool:
        name, value = (one.decode("latin-1") if isinstance(one, bytes) else one for one in pair)
        return name.lower() != "set-cookie" or value.partition("=")[0].strip() not in unwanted

    if isinstance(response, list):
        listed = cast("list[tuple[Any, Any]]", response)
        listed[:] = filter(stays, listed)
    elif hasattr(response, "raw_headers"):
        response.raw_headers[:] = filter(stays, response.raw_headers)
    elif hasattr(getattr(response, "headers", None), "add"):
        lines = response.headers.getlist("Set-Cookie")
        response.headers.remove("Set-Cookie")
        for line in lines:
            if stays(("set-cookie", line)):
                response.headers.add("Set-Cookie", line)
    else:
        for name in unwanted:
            response.cookies.pop(name, None)


def headers_of(response: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the headers of a response as pairs: of a header list, or of the response of Starlette, Flask or Django.

    Nothing is read before it is asked for, since of most responses nobody wants to know them.
    """
    if isinstance(response, list):
        yield from cast("list[tuple[Any, Any]]", response)
        return
    headers = getattr(response, "raw_headers", None)
    if headers is not None:  # Starlette
        yield from headers
        return
    yield from getattr(response, "headers", {}).items()
    cookies: Mapping[str, Morsel[str]] = getattr(response, "cookies", {})
    for cookie in cookies.values():  # Django keeps cookies apart from headers
        yield "set-cookie", cookie.OutputString()


def add_cookies(response: Any, cookies: Iterable[SetCookie], *, is_text: bool = False) -> None:
    """Append cookies to a response: a header list (of text or bytes), or the response of Starlette, Flask or Django.

    An empty list gets text if `is_text` says that it is a WSGI app's, else bytes.

    Raises ValidationError for anything else.
    """
    for cookie in cookies:
        if isinstance(response, list):
            headers = cast("list[tuple[Any, Any]]", response)
            has_text = isinstance(headers[0][0], str) if headers else is_text
            headers.append(_pair("set-cookie", cookie.header(), is_text=has_text))
        elif hasattr(response, "raw_headers"):
            response.raw_headers.append(_pair("set-cookie", cookie.header(), is_text=False))
        elif hasattr(getattr(response, "headers", None), "add"):
            response.headers.add("Set-Cookie", cookie.header())
        elif hasattr(response, "set_cookie"):
            _set_as_django_does(response, cookie)
        else:
            raise ValidationError(
                f"found {type(response).__name__} where a response was expected: pass a list of headers, "
                "or the response object of Starlette, FastAPI, Django or Flask"
            )


def _pair(name: str, value: str, *, is_text: bool) -> tuple[Any, Any]:
    return (name.title(), value) if is_text else (name.encode("latin-1"), value.encode("latin-1"))


def _set_as_django_does(response: Any, cookie: SetCookie) -> None:
    response.set_cookie(
        cookie.name,
        cookie.value,
        max_age=cookie.max_age,
        path=cookie.path,
        domain=cookie.domain,
        secure=cookie.secure,
        httponly=cookie.http_only,
        samesite=cookie.same_site.capitalize(),
    )
    if cookie.partitioned:
        response.cookies[cookie.name] = _PartitionedMorsel.of(response.cookies[cookie.name])


class _PartitionedMorsel(Morsel[str]):
    """A cookie with `Partitioned`, which the standard library knows from Python 3.14 on and Django not yet."""

    @classmethod
    def of(cls, morsel: Morsel[str]) -> _PartitionedMorsel:
        partitioned = cls()
        partitioned.__setstate__(morsel.__getstate__())  # type: ignore[attr-defined]
        partitioned.update(morsel)
        return partitioned

    def OutputString(self, attrs: Any = None) -> str:  # noqa: N802 - the standard library's name
        return f"{super().OutputString(attrs)}; Partitioned"
