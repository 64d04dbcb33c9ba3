"""Many requests at once: nobody's tracker is another's (U34)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from passerby import current_tracker
from passerby.collector import CollectorServer
from passerby.django import TrackedRequest
from tests.making import NAVIGATION, body_of, call, cookie_header, make_scope

from .conftest import MakeProject
from .wire import ask_wsgi

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(200)]


def plain(request: TrackedRequest) -> HttpResponse:
    said = tell(request)
    time.sleep(0.001)  # lets another thread in
    return HttpResponse(f"{said} {current_tracker().browser_id} {request.tracker.browser_id}")


async def coroutine(request: TrackedRequest) -> HttpResponse:
    said = tell(request)
    await asyncio.sleep(0)
    return HttpResponse(f"{said} {current_tracker().browser_id} {request.tracker.browser_id}")


def stream(request: TrackedRequest) -> HttpResponseBase:
    def pieces() -> Iterator[str]:
        yield f"{tell(request)} "
        time.sleep(0.001)
        yield f"{current_tracker().browser_id} "
        yield f"{current_tracker().browser_id}"

    return StreamingHttpResponse(pieces())


def stream_async(request: TrackedRequest) -> HttpResponseBase:
    async def pieces() -> AsyncIterator[str]:
        yield f"{tell(request)} "
        await asyncio.sleep(0)
        yield f"{current_tracker().browser_id} "
        yield f"{current_tracker().browser_id}"

    return StreamingHttpResponse(pieces())


def tell(request: HttpRequest) -> str | None:
    current_tracker().event("SEEN", {"of": request.headers["x-of"]})
    return current_tracker().browser_id


def headers_of(browser_id: str) -> dict[str, str]:
    return NAVIGATION | cookie_header(bid_key=browser_id) | {"x-of": browser_id}


def test_in_threads(make_project: MakeProject, collector: CollectorServer) -> None:
    tracking = make_project(plain, coroutine, stream)
    app = WSGIHandler()

    def visit(at: int) -> str:
        path = ("/plain", "/coroutine", "/stream")[at % 3]
        return ask_wsgi(app, path, headers_of(IDS[at])).body.decode()

    with ThreadPoolExecutor(16) as threads:
        said = list(threads.map(visit, range(len(IDS))))
    assert said == [" ".join([browser_id] * 3) for browser_id in IDS]
    assert tracking.flush(60) == 0
    assert sorted((event["browser_id"], event["of"]) for event in collector.events) == [(one, one) for one in IDS]


async def test_in_one_loop(make_project: MakeProject, collector: CollectorServer) -> None:
    tracking = make_project(plain, coroutine, stream_async)
    app = ASGIHandler()

    async def visit(at: int) -> str:
        path = ("/plain", "/coroutine", "/stream_async")[at % 3]
        return body_of(await call(app, make_scope(path, headers_of(IDS[at])))).decode()

    said = await asyncio.gather(*map(visit, range(len(IDS))))
    assert said == [" ".join([browser_id] * 3) for browser_id in IDS]
    assert await tracking.aflush(60) == 0
    assert sorted((event["browser_id"], event["of"]) for event in collector.events) == [(one, one) for one in IDS]


async def test_new_visitors_each_have_an_id_of_their_own(make_project: MakeProject) -> None:
    make_project(plain, coroutine)
    app = ASGIHandler()
    scopes = [make_scope("/coroutine", NAVIGATION | {"x-of": "somebody"}) for _ in range(50)]
    said = [body_of(sent).decode().split() for sent in await asyncio.gather(*(call(app, scope) for scope in scopes))]
    assert all(len(set(ids)) == 1 for ids in said)
    assert len({ids[0] for ids in said}) == 50
