"""Adding cookies to any framework's response without touching those it already has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http.cookies import Morsel
from typing import Any, cast

from .errors import ValidationError
from .http_cookie import SetCookie


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
    for name in getattr(response, "cookies", ()):  # Django keeps cookies apart from headers
        yield "set-cookie", f"{name}="


def add_cookies(response: Any, cookies: Iterable[SetCookie], *, is_text: bool = False) -> None:
    """Append cookies to a response: a header list (of text or bytes), or the response of Starlette, Flask or Django.

    An empty list gets text if `is_text` says that it is a WSGI app's, else bytes.

    Raises ValidationError for anything else.
    """
    for cookie in cookies:
        if isinstance(response, list):
            headers = cast("list[tuple[Any, Any]]", response)
            is_bytes = isinstance(headers[0][0], bytes) if headers else not is_text
            headers.append(_pair(cookie, is_bytes=is_bytes))
        elif hasattr(response, "raw_headers"):
            response.raw_headers.append(_pair(cookie, is_bytes=True))
        elif hasattr(getattr(response, "headers", None), "add"):
            response.headers.add("Set-Cookie", cookie.header())
        elif hasattr(response, "set_cookie"):
            _set_as_django_does(response, cookie)
        else:
            raise ValidationError(
                f"found {type(response).__name__} where a response was expected: pass a list of headers, "
                "or the response object of Starlette, FastAPI, Django or Flask"
            )


def _pair(cookie: SetCookie, *, is_bytes: bool) -> tuple[Any, Any]:
    return (b"set-cookie", cookie.header().encode("latin-1")) if is_bytes else ("Set-Cookie", cookie.header())


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
