"""What the collector does with clients that read nothing, send without end, or come in crowds."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer, connection, request_handler
from passerby.collector.event_stream import MAX_PAGES
from tests.making import eventually

STREAM = "/_collector/stream?after=0"
KERNEL = 4096  # bytes that the system keeps for a client, as few as it can


@pytest.fixture
def lose_patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have connections that begin from now on end soon."""

    def lose() -> None:
        for name, seconds in (("UNREAD_TIMEOUT", 0.5), ("HEAD_TIMEOUT", 0.5), ("LOOK_EVERY", 0.05)):
            monkeypatch.setattr(connection, name, seconds)
        monkeypatch.setattr(request_handler, "BODY_TIMEOUT", 0.5)

    return lose


@contextmanager
def connected(collector: CollectorServer, sends: bytes = b"") -> Iterator[socket.socket]:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL)
        client.settimeout(30)
        client.connect(("127.0.0.1", collector.port))
        client.sendall(sends)
        yield client


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def fill(client: httpx.Client, number: int, size: int = 1_000) -> None:
    """Have so many messages of Customer.io's kind arrive."""
    for begin in range(0, number, 200):
        calls = [
            {
                "type": "track",
                "event": "Seen " * 60,
                "userId": "u",
                "messageId": f"{begin}-{one}",
                "properties": {"x": "y" * size},
            }
            for one in range(200)
        ]
        assert client.post("/v1/batch", json={"batch": calls}, auth=("key", "")).status_code == 200


def open_connections(collector: CollectorServer) -> set[Any]:
    server = collector._thread._server
    return set() if server is None else set(server.server_state.connections)


def is_closed(client: socket.socket) -> bool:
    """Whether the other side has closed; what it sent before is read over."""
    try:
        while client.recv(65_536):
            pass
    except ConnectionError:
        pass
    return True


def test_unread_pages_need_little_memory_and_are_closed(
    collector: CollectorServer, client: httpx.Client, lose_patience: Callable[[], None]
) -> None:
    fill(client, 6_000, 10)
    lose_patience()
    with ExitStack() as stack:
        pages = [stack.enter_context(connected(collector, get(STREAM))) for _ in range(10)]
        eventually(lambda: len(open_connections(collector)) > 10)
        most = 0
        until = time.monotonic() + 60
        while len(open_connections(collector)) > 1 and time.monotonic() < until:  # the client's own is kept alive
            most = max(most, *(one.transport.get_write_buffer_size() for one in open_connections(collector)))
            time.sleep(0.01)

        assert len(open_connections(collector)) <= 1
        assert 0 < most < 1_000_000
        assert all(map(is_closed, pages))
    assert client.get("/_collector/stats").status_code == 200


def test_a_page_that_is_read_slowly_stays_open(
    collector: CollectorServer, client: httpx.Client, lose_patience: Callable[[], None]
) -> None:
    fill(client, 400, 10)
    lose_patience()
    with connected(collector, get(STREAM)) as page:
        until = time.monotonic() + 1.5  # three times what would be too long
        while time.monotonic() < until:
            assert page.recv(2_000)
            time.sleep(0.05)


@pytest.mark.parametrize("path", ["/_collector/export", "/_collector/messages/customerio"])
def test_an_unread_response_is_given_up(
    collector: CollectorServer, client: httpx.Client, lose_patience: Callable[[], None], path: str
) -> None:
    fill(client, 8_000)
    lose_patience()
    with connected(collector, get(path)) as reader:
        eventually(lambda: len(open_connections(collector)) > 1)
        eventually(lambda: len(open_connections(collector)) <= 1)
        assert is_closed(reader)


def test_so_many_pages_at_once_and_no_more(collector: CollectorServer, client: httpx.Client) -> None:
    with ExitStack() as stack:
        pages = [stack.enter_context(connected(collector, get(STREAM))) for _ in range(MAX_PAGES + 20)]
        statuses = sorted(page.recv(12)[9:] for page in pages)

        assert statuses == [b"200"] * MAX_PAGES + [b"503"] * 20
        assert client.get("/v1.2/browser/create.json?client_key=key&message={}").status_code == 200
    eventually(lambda: httpx.get(f"{collector.url}/_collector/stats").status_code == 200)
    with httpx.stream("GET", f"{collector.url}{STREAM}") as again:
        eventually(lambda: again.status_code == 200)


@pytest.mark.parametrize(
    "sends",
    [
        b"",
        b"GET / HT",
        b"POST /v1.2/events HTTP/1.1\r\nHost: localhost\r\nX-More: ",
        b"POST /v1.2/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1.2/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
    ids=["nothing", "a line", "headers", "body", "chunks"],
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(
    collector: CollectorServer, lose_patience: Callable[[], None], sends: bytes
) -> None:
    lose_patience()
    with connected(collector, sends) as slow:
        assert is_closed(slow)
    assert collector.counts["accepted_events"] == 0


def test_headers_without_end_are_given_up(collector: CollectorServer) -> None:
    begin = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
    with connected(collector, begin) as hostile, pytest.raises(ConnectionError):
        send_without_end(hostile)


def send_without_end(client: socket.socket) -> None:
    for _ in range(10_000):
        client.sendall(b"x" * 10_000)


def test_a_body_without_end_is_not_kept(collector: CollectorServer, client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(3_000):
            yield b"x" * 10_000

    try:
        answer = client.post("/v1.2/events", content=endless())
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # it was cut off while it was sent
    assert max(len(one.body) for one in collector.requests) <= request_handler.MAX_BODY
