"""The app of tests/faces on Django: views that are sync, and one that is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import cast

from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from passerby.django import TrackedRequest
from tests.faces import pages


async def home(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(pages.home(request.tracker))


def who(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(pages.who(request.tracker))


def seen(request: TrackedRequest, rest: str) -> HttpResponse:
    return HttpResponse(pages.seen(request.tracker))


def stream(request: HttpRequest) -> HttpResponseBase:
    return send_in_pieces(request, pages.stream())


def log_in(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(pages.log_in(request.tracker, request.GET["user"]))


def log_out(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(pages.log_out(request.tracker))


def upload(request: HttpRequest) -> HttpResponse:
    received = pages.Upload()
    while piece := request.read(65_536):
        received.add(piece)
    return HttpResponse(str(received))


def file(request: HttpRequest) -> HttpResponseBase:
    return cast(HttpResponseBase, FileResponse(pages.FILE.open("rb"), content_type="text/x-python"))


def json(request: HttpRequest) -> HttpResponse:
    return HttpResponse(pages.JSON, content_type="application/json")


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def unmodified(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=304)


def fail(request: HttpRequest) -> HttpResponse:
    raise pages.OwnError("before the response")


def break_off(request: HttpRequest) -> HttpResponseBase:
    return send_in_pieces(request, pages.break_off())


def forever(request: HttpRequest) -> HttpResponseBase:
    return send_in_pieces(request, pages.forever())


def send_in_pieces(request: HttpRequest, pieces: Iterator[str]) -> HttpResponseBase:
    return StreamingHttpResponse(one_by_one(pieces) if isinstance(request, ASGIRequest) else pieces)


async def one_by_one(pieces: Iterator[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


urlpatterns = [
    path("", home),
    path("who", who),
    path("seen/<path:rest>", seen),
    path("stream", stream),
    path("login", log_in),
    path("logout", log_out),
    path("upload", upload),
    path("file", file),
    path("json", json),
    path("nothing", nothing),
    path("unmodified", unmodified),
    path("fail", fail),
    path("break", break_off),
    path("forever", forever),
]
