from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from passerby.collector.server_thread import ServerThread

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
    with socket.create_connection((HOST, server.port), timeout=30) as connection:
        connection.sendall(b"GET /?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n")
        while "request" not in seen:
            time.sleep(0.01)
        server.close()
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.endswith(b"done")
    assert seen == ["startup", "request", "shutdown"]


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
