"""Responses are the same with and without the middleware, but for our cookies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIHandler
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase

from tests.making import NAVIGATION

from .browser import Face
from .conftest import MakeProject
from .wire import ask, environ_of

FILE = Path(__file__)

# Django under ASGI says it of its own FileResponse.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")


def plain(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("a page", headers={"X-App": "yes", "Vary": "Accept-Language"})
    response.set_cookie("session", "1", httponly=True)
    return response


async def from_coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


def json(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"answer": 42})


def stream(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(iter(["one ", "two ", "three"]))


def stream_async(request: HttpRequest) -> HttpResponseBase:
    async def pieces() -> AsyncIterator[str]:
        for piece in ("one ", "two ", "three"):
            await asyncio.sleep(0)
            yield piece

    return StreamingHttpResponse(pieces())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(FILE.open("rb"))


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def unmodified(request: HttpRequest) -> HttpResponse:
    return HttpResponseNotModified(headers={"ETag": '"1"'})


def moved(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/plain")


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("the app's own")


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404("no such product")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


VIEWS: list[Callable[..., Any]] = [
    plain, from_coroutine, json, stream, stream_async, file, nothing, unmodified, moved, fail, missing, forbidden,
]  # fmt: skip
STATUSES = {nothing: 204, unmodified: 304, moved: 302, fail: 500, missing: 404, forbidden: 403}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_a_response_is_the_same_but_for_our_cookies(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture, face: Face, view: Callable[..., Any], method: str
) -> None:
    with caplog.at_level(logging.CRITICAL, "django.request"):
        make_project(view, middleware=[])
        bare = ask(face, method=method)
        make_project(view)
        tracked = ask(face, method=method)
    assert tracked.bare == bare.bare
    assert bare.status == STATUSES.get(view, 200)
    assert [name for name in tracked.cookies if name not in bare.cookies] == (
        [] if method == "HEAD" else ["bid_key", "bid_key_sig"]
    )


def test_the_servers_own_way_of_sending_files_is_kept(make_project: MakeProject) -> None:
    """U30."""
    opened: list[Any] = []

    def send(request: HttpRequest) -> FileResponse:
        opened.append(FILE.open("rb"))
        return FileResponse(opened[0])

    make_project(send)
    body: Any = WSGIHandler()(environ_of() | {"wsgi.file_wrapper": FileWrapper}, lambda *args: print)
    assert type(body) is FileWrapper
    assert body.filelike is opened[0]
    body.close()
    assert opened[0].closed


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("headers", [NAVIGATION, NAVIGATION | {"sec-gpc": "1"}], ids=["with cookies", "without"])
def test_the_server_gets_the_very_response_of_the_view_where_no_cookie_is_set(
    make_project: MakeProject, headers: dict[str, str], streams: bool
) -> None:
    """With cookies it gets a copy, since the view may return its own to others too."""
    made: list[HttpResponseBase] = []

    def pieces() -> Iterator[str]:
        try:
            yield "a piece"
        finally:
            closed.append(True)

    def page(request: HttpRequest) -> HttpResponseBase:
        made.append(StreamingHttpResponse(pieces()) if streams else HttpResponse("a page"))
        return made[0]

    closed: list[bool] = []
    make_project(page)
    body: Any = WSGIHandler()(environ_of(headers=headers), lambda *args: print)
    assert (body is made[0]) == ("sec-gpc" in headers)
    assert type(body) is type(made[0])
    assert not made[0].cookies
    next(iter(body))
    body.close()
    assert closed == [True] * streams
