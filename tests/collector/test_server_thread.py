from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from passerby.collector.server_thread import ServerThread, bind
from tests.making import PATIENCE

HOST = "127.0.0.1"


def make_app(seen: list[str], *, starts: bool = True) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not starts:
            raise RuntimeError("not today")
        seen.append("startup")
        yield
        seen.append("shutdown")

    async def answer_slowly(request: Request) -> PlainTextResponse:
        seen.append("request")
        await asyncio.sleep(float(request.query_params["seconds"]))
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/", answer_slowly)], lifespan=lifespan)


def test_app_is_started_and_shut_down_each_time() -> None:
    seen: list[str] = []
    server = ServerThread(make_app(seen), host=HOST, port=0, name="test")
    for _ in range(2):
        server.start()
        assert httpx.get(f"{server.url}/?seconds=0").text == "done"
        server.stop()
    server.close()

    assert seen == ["startup", "request", "shutdown"] * 2


def test_request_under_way_is_finished_within_the_grace() -> None:
    seen: list[str] = []
    server = ServerThread(make_app(seen), host=HOST, port=0, name="test", stop_grace=30)
    server.start()
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n")
        while "request" not in seen:
            time.sleep(0.01)
        server.close()
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.endswith(b"done")
    assert seen == ["startup", "request", "shutdown"]


def test_stream_that_never_ends_is_cut_off() -> None:
    """Its handler does not listen, and so hears nothing of the connection that is gone."""
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Starlette()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                await asyncio.sleep(0.01)
        finally:
            ended.append("stream")

    server = ServerThread(app, host=HOST, port=0, name="test")
    server.start()
    with httpx.stream("GET", server.url) as answer:
        assert next(answer.iter_raw())
        server.close()

    assert ended == ["stream"]


def test_thread_that_does_not_end_is_left_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    is_over = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Starlette()(scope, receive, send)
        else:
            await asyncio.to_thread(is_over.wait)

    server = ServerThread(app, host=HOST, port=0, name="test", end_timeout=0.3)
    server.start()
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.close()
        is_over.set()

    assert f"test on {server.url} did not stop within 0.3 s" in caplog.text


def test_port_that_was_bound_before_is_served() -> None:
    bound = bind(HOST, 0)
    port = bound.getsockname()[1]
    server = ServerThread(make_app([]), host=HOST, port=port, name="test", bound=bound)
    server.start()
    assert httpx.get(f"http://{HOST}:{port}/?seconds=0").text == "done"
    server.close()


def test_app_that_does_not_start_is_an_error() -> None:
    server = ServerThread(make_app([], starts=False), host=HOST, port=0, name="test")
    with pytest.raises(OSError, match="did not start"):
        server.start()
    server.close()


def test_host_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(OSError, match=r"."):
        ServerThread(make_app([]), host="does-not-exist.invalid", port=0, name="test").start()


def test_port_taken_while_stopped_is_an_error_at_the_next_start() -> None:
    server = ServerThread(make_app([]), host=HOST, port=0, name="test")
    other = ServerThread(make_app([]), host=HOST, port=0, name="other")
    server.start()
    server.stop()
    other._address = (HOST, server.port)
    try:
        other.start()
    except OSError:
        return  # the system did not let it happen
    with pytest.raises(OSError, match="in use"):
        server.start()
    other.close()
    server.start()
    server.close()
