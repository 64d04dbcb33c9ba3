"""Changes the response of any framework: adds cookies, and headers against shared caches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookies import Morsel
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from ..errors import ValidationError
from .set_cookie import SetCookie

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ResponseChanges(NamedTuple):
    """What to change in a response. Each framework integration applies it to the response of one request.

    Attributes:
        cookies: the cookies to add.
        headers: the headers to set, by lower-case name; each replaces all headers of its name.
    """

    cookies: Sequence[SetCookie] = ()
    headers: Mapping[str, str] = _NO_HEADERS


UNCHANGED = ResponseChanges()


def with_changes(
    headers: Iterable[tuple[Any, Any]], changes: ResponseChanges, *, is_text: bool = False
) -> list[tuple[Any, Any]]:
    """Return a new header list with the changes. The given list, which the app may reuse, is not changed.

    If the list is empty, new headers are text if `is_text` is true, else bytes.
    """
    result: list[tuple[Any, Any]] = []
    cookies, replaced = changes
    lengths = set(map(len, replaced))
    left = dict(replaced)
    name: Any = None
    for name, value in headers:
        if len(name) in lengths:
            lowered = (name if isinstance(name, str) else name.decode("latin-1")).lower()
            if lowered in replaced:
                if lowered in left:
                    said = left.pop(lowered)
                    result.append((name, said if isinstance(name, str) else said.encode("latin-1")))
                continue
        result.append((name, value))
    if name is not None:
        is_text = isinstance(name, str)
    result += [_pair("set-cookie", cookie.header(), is_text=is_text) for cookie in cookies]
    for name, value in left.items():
        result.append(_pair(name, value, is_text=is_text))
    return result


def apply_changes(response: Any, changes: ResponseChanges, *, is_text: bool = False) -> None:
    """Change a response in place: a header list (of text or bytes), or a response of Starlette, Flask or Django.

    Raises ValidationError for anything else, if there is a cookie to add.
    """
    if isinstance(response, list):
        listed = cast("list[tuple[Any, Any]]", response)
        listed[:] = with_changes(listed, changes, is_text=is_text)
        return
    if hasattr(response, "raw_headers"):  # Starlette; other code may hold the same list
        response.raw_headers[:] = with_changes(response.raw_headers, changes)
        return
    add_cookies(response, changes.cookies, is_text=is_text)
    for name, value in changes.headers.items():
        response.headers[name.title()] = value


def remove_cookies(response: Any, names: Iterable[str]) -> None:
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
    """Yield the headers of a response as pairs: of a header list, or of a response of Starlette, Flask or Django.

    A generator, because for most responses the headers are never read.
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
    for cookie in cookies.values():  # Django stores cookies separately
        yield "set-cookie", cookie.OutputString()


def add_cookies(response: Any, cookies: Iterable[SetCookie], *, is_text: bool = False) -> None:
    """Append cookies to a response: a header list (of text or bytes), or a response of Starlette, Flask or Django.

    An empty list gets text if `is_text` is true, as for a WSGI app, else bytes.

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
    """A cookie with `Partitioned`, which the standard library supports from Python 3.14 on, and Django not yet."""

    @classmethod
    def of(cls, morsel: Morsel[str]) -> _PartitionedMorsel:
        partitioned = cls()
        partitioned.__setstate__(morsel.__getstate__())  # type: ignore[attr-defined]
        partitioned.update(morsel)
        return partitioned

    def OutputString(self, attrs: Any = None) -> str:  # noqa: N802 - the standard library's name
        return f"{super().OutputString(attrs)}; Partitioned"
