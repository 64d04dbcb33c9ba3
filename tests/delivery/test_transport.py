"""The door to the network: real sockets, real certificates, and servers that behave badly."""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import h11
import httpx
import pytest

from passerby.delivery.http_stream import MAX_BODY, MAX_PIECES
from passerby.delivery.transport import _REASONS, Connection, TransportError, _reason, make_ssl_context, proxy_for
from passerby.destinations import DestinationResponse, OutgoingRequest
from tests.making import PATIENCE

from .certificates import Authority

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SECRET = "secret-client-key"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    connection = Connection(make_ssl_context)
    yield connection
    await connection.aclose()


def answers(*answers: bytes, keep: bool = False) -> Talk:
    """Talk that reads a request and sends the next answer, again and again."""
    waiting = list(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while waiting:
            await read_request(reader)
            writer.write(waiting.pop(0))
            await writer.drain()
            if not keep:
                return

    return talk


def endless(first: bytes, then: bytes) -> Talk:
    """Talk that reads a request and answers it without end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while True:
            writer.write(then)
            await writer.drain()
            await asyncio.sleep(0)

    return talk


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    length = int(found[1]) if found else 0
    return head, await reader.readexactly(length)


@asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a port of this machine; yield the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def call_to(port: int, path: str = "/v1.2/events", scheme: str = "http", host: str = "localhost") -> OutgoingRequest:
    url = f"{scheme}://{host}:{port}{path}?client_key={SECRET}"
    return OutgoingRequest("POST", url, {"Content-Type": "application/json", "X-Key": SECRET}, b'{"secret": "value"}')


async def reason_of(connection: Connection, call: OutgoingRequest, timeout: float = PATIENCE) -> str:
    with pytest.raises(TransportError) as caught:
        await connection.perform(call, timeout)
    reason = str(caught.value)
    assert caught.value.__cause__ is None
    for word in (SECRET, "localhost", "127.0.0.1", "http:", "https:", "secret", "/v1.2"):
        assert word not in reason
    return reason


# Good answers


async def test_what_is_sent_and_what_comes_back(connection: Connection) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}")

    async with serving(talk) as port:
        answer = await connection.perform(call_to(port), PATIENCE)

    assert answer == DestinationResponse(201, {"content-length": "2", "retry-after": "7"}, b"{}")
    head, body = seen[0]
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST /v1.2/events?client_key={SECRET} HTTP/1.1"
    assert body == b'{"secret": "value"}'
    names = [line.partition(":")[0].lower() for line in lines[1:] if line]
    assert sorted(names) == ["accept", "content-length", "content-type", "host", "user-agent", "x-key"]
    assert f"localhost:{port}" in head.decode()


async def test_a_call_replaces_headers_of_every_call(connection: Connection) -> None:
    heads: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append((await read_request(reader))[0].decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with serving(talk) as port:
        for body in (b"{}", None):
            call = call_to(port)
            await connection.perform(replace(call, headers={"user-agent": "A visitor's"}, body=body), PATIENCE)

    for head in heads:
        named = [line for line in head.split("\r\n") if line.lower().startswith("user-agent:")]
        assert named == ["user-agent: A visitor's"]


async def test_a_connection_is_kept_for_the_next_call(connection: Connection) -> None:
    connections = 0
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answers(*[ok] * 9, keep=True)(reader, writer)

    async with serving(talk) as port:
        for _ in range(9):
            assert (await connection.perform(call_to(port), PATIENCE)).status == 200
    assert connections == 1


async def test_a_kept_connection_that_was_ended_meanwhile_is_made_again(connection: Connection) -> None:
    async with serving(answers(*[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"] * 3)) as port:
        for _ in range(3):
            assert (await connection.perform(call_to(port), PATIENCE)).status == 200
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 503, b"busy"),
    ],
)
async def test_answers_of_all_forms(connection: Connection, answer: bytes, status: int, body: bytes) -> None:
    async with serving(answers(answer)) as port:
        found = await connection.perform(call_to(port), PATIENCE)

    assert (found.status, found.body) == (status, body)


# No answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "connection lost"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answer is not HTTP or was cut off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "answer is not HTTP or was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "answer is not HTTP or was cut off"),
        (b"HTTP/1.1 200 OK\r\nContent-", "answer is not HTTP or was cut off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000, "answer is not HTTP or was cut off"),
    ],
    ids=["nothing", "not HTTP", "cut off", "bad chunk", "half a head", "huge head"],
)
async def test_bad_answers_are_told_apart(connection: Connection, answer: bytes, reason: str) -> None:
    async with serving(answers(answer)) as port:
        assert await reason_of(connection, call_to(port)) == reason
        assert await reason_of(connection, call_to(port)), "the next call starts anew"


@pytest.mark.parametrize("length", [b"Content-Length: 9000000\r\n", b""], ids=["huge", "endless"])
async def test_of_a_body_beyond_the_limit_the_status_is_taken(connection: Connection, length: bytes) -> None:
    """The service has taken the call; to send it again would be worse than not to read what it says."""
    answer = b"HTTP/1.1 201 OK\r\n" + length + b"\r\n" + b"x" * (MAX_BODY + 70_000)
    async with serving(answers(answer, answer)) as port:
        for _ in range(2):  # the next call starts anew
            assert await connection.perform(call_to(port), PATIENCE) == DestinationResponse(201, ANY, b"")


async def test_a_body_of_the_largest_size_is_read(connection: Connection) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_BODY
    async with serving(answers(head + b"x" * MAX_BODY)) as port:
        assert len((await connection.perform(call_to(port), PATIENCE)).body) == MAX_BODY


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_the_time_limit_holds_over_the_whole_answer(connection: Connection, said: bytes) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(said)
        await asyncio.sleep(60)

    async with serving(stall) as port:
        assert await reason_of(connection, call_to(port), 0.2) == "no answer in time"


async def test_a_drip_of_bytes_does_not_stretch_the_time(connection: Connection) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with serving(drip) as port:
        assert await reason_of(connection, call_to(port), 0.3) == "no answer in time"


async def test_chunks_of_a_byte_each_are_not_read_for_ever(connection: Connection) -> None:
    """Each chunk costs CPU time of the app's process; of an answer with more than enough its status is taken."""
    head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(endless(head, b"1\r\nx\r\n" * 1_000)) as port:
        for _ in range(2):
            assert await connection.perform(call_to(port), PATIENCE) == DestinationResponse(201, ANY, b"")


async def test_an_answer_in_many_small_chunks_is_read(connection: Connection) -> None:
    chunks = b"".join(b"1f4\r\n" + b"x" * 500 + b"\r\n" for _ in range(MAX_PIECES // 2))
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with serving(answers(answer)) as port:
        assert len((await connection.perform(call_to(port), PATIENCE)).body) == 250 * MAX_PIECES


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\nX: " + b"y" * 30_000 + b"\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"y" * 1_000),
    ],
    ids=["100", "103", "102 with long headers", "headers", "a header", "trailers", "a chunk's extension"],
)
async def test_endless_answers_are_given_up(connection: Connection, first: bytes, then: bytes) -> None:
    """They are given up because of what they are, not because of the time they take."""
    async with serving(endless(first, then)) as port:
        assert await reason_of(connection, call_to(port)) == "answer is not HTTP or was cut off"


async def test_a_few_interim_answers_are_passed_over(connection: Connection) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 20
    async with serving(answers(interim + b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}")) as port:
        assert (await connection.perform(call_to(port), PATIENCE)).body == b"{}"


async def test_nobody_there_and_no_such_host(connection: Connection) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # so that nobody else listens there
        port = nobody.getsockname()[1]
        assert await reason_of(connection, call_to(port, host="127.0.0.1")) == "connection refused"
    assert await reason_of(connection, call_to(port, host="nowhere.invalid")) == "host name not found"


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".example", "xn--\u00fc.example"])
async def test_a_host_that_no_name_lookup_takes(connection: Connection, host: str) -> None:
    assert await reason_of(connection, call_to(80, host=host)) == "host name is not valid"


# TLS


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="session")
def authority(folder: Path) -> Authority:
    if not shutil.which("openssl"):
        pytest.skip("the openssl command is not installed")
    return Authority.make(folder, "trusted")


def serving_with(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
async def trusting_lane(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """A connection that trusts our authority, as an operator would have it do."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    connection = Connection(make_ssl_context)
    yield connection
    await connection.aclose()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_good_certificate_is_accepted(authority: Authority, trusting_lane: Connection) -> None:
    async with serving(answers(OK), serving_with(authority.issue("localhost"))) as port:
        assert (await trusting_lane.perform(call_to(port, scheme="https"), PATIENCE)).status == 200


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 40_000, MAX_BODY])
@pytest.mark.parametrize("form", ["length", "chunked", "until the end"])
async def test_answers_of_all_sizes_over_tls(
    authority: Authority, trusting_lane: Connection, size: int, form: str
) -> None:
    """They come in records of 16 KB, of which several may have been received before the first is read."""
    body = bytes(number % 251 for number in range(size))
    answer = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n"
        % (b"%x\r\n%b\r\n" % (size, body) if size else b""),
        "until the end": b"HTTP/1.0 200 OK\r\n\r\n" + body,
    }[form]
    talk = answers(*[answer] * 3, keep=form != "until the end")
    async with serving(talk, serving_with(authority.issue("localhost"))) as port:
        for _ in range(3):
            assert (await trusting_lane.perform(call_to(port, scheme="https"), PATIENCE)).body == body


async def test_over_tls_openssl_is_asked_only_where_something_was_received() -> None:
    """Each question of a thread beside an app that computes costs it the switch interval."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = make_ssl_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    buffer = bytearray(16_384)
    with pytest.raises(ssl.SSLWantReadError, match="nothing more"):
        tls.read(16_384)
    with pytest.raises(ssl.SSLWantReadError, match="nothing more"):
        tls.read(100_000, buffer)
    assert not outgoing.pending, "OpenSSL would have begun to shake hands"


@pytest.mark.parametrize("fault", ["expired", "wrong host", "unknown authority"])
async def test_a_bad_certificate_is_refused_and_nothing_is_said(
    authority: Authority, trusting_lane: Connection, connection: Connection, fault: str
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))

    certificate = {
        "expired": lambda: authority.issue("localhost", days=-1),
        "wrong host": lambda: authority.issue("elsewhere.example"),
        "unknown authority": lambda: Authority.make(authority.folder, "stranger").issue("localhost"),
    }[fault]()
    async with serving(listen, serving_with(certificate)) as port:
        assert await reason_of(trusting_lane, call_to(port, scheme="https")) == "certificate not accepted"
    assert b"".join(heard) == b"", "there is no falling back to plain text"


async def test_a_checked_address_is_connected_to_and_its_certificate_is_that_of_the_name(
    authority: Authority, trusting_lane: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loopback address is public, so that here the one of the server stands for one that is."""
    checked: list[str] = []

    def is_public(address: str) -> bool:
        checked.append(address)
        return address == "127.0.0.1"

    monkeypatch.setattr("passerby.delivery.connecting.is_public_address", is_public)
    async with serving(answers(OK), serving_with(authority.issue("localhost"))) as port:
        call = replace(call_to(port, scheme="https"), public_only=True)
        assert (await trusting_lane.perform(call, PATIENCE)).status == 200
    assert "127.0.0.1" in checked
    async with serving(answers(OK), serving_with(authority.issue("elsewhere.example"))) as port:
        call = replace(call_to(port, scheme="https"), public_only=True)
        assert await reason_of(trusting_lane, call) == "certificate not accepted"


async def test_a_private_address_is_not_connected_to_with_or_without_tls(connection: Connection) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(b"a connection")

    async with serving(listen) as port:
        for scheme in ("http", "https"):
            reason = await reason_of(connection, replace(call_to(port, scheme=scheme), public_only=True))
            assert reason == "host has no public address, and allow_private_addresses is not set"
    assert heard == []


async def test_https_to_a_server_without_tls(connection: Connection) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(listen) as port:
        assert await reason_of(connection, call_to(port, scheme="https")) == "TLS failed"
    assert SECRET.encode() not in b"".join(heard)


# Proxies


@pytest.mark.parametrize(
    ("environment", "scheme", "host", "proxy"),
    [
        ({}, "https", "api.example", None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "https", "api.example", "http://proxy.example:3128"),
        ({"https_proxy": "proxy.example:3128"}, "https", "api.example", "http://proxy.example:3128"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, "https", "api.example", None),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "https", "api.example", "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example"}, "https", "api.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, "https", "api.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https", "api.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.example"}, "https", "api.example", "http://p:1"),
    ],
)
def test_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], scheme: str, host: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(scheme, host) == proxy


async def test_calls_go_through_the_proxy(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n" if head.startswith(b"CONNECT") else OK)

    async with serving(talk) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert (await connection.perform(call_to(80, host="api.example"), PATIENCE)).status == 200
        assert await reason_of(connection, call_to(443, scheme="https", host="api.example")) == "proxy refused"

    assert heads == [
        f"POST http://api.example/v1.2/events?client_key={SECRET} HTTP/1.1".encode(),
        b"CONNECT api.example:443 HTTP/1.1",
    ]


async def test_a_tunnel_in_which_tls_fails_is_given_up(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep the place of the connection's one connection, and no call would ever get through again."""
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        writer.transport.abort()

    async with serving(talk) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        for _ in range(3):
            await reason_of(connection, call_to(443, scheme="https", host="api.example"))

    assert heads == [b"CONNECT api.example:443 HTTP/1.1"] * 3


async def test_bad_answers_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        b"": "answer is not HTTP or was cut off",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf": "answer is not HTTP or was cut off",
    }
    for answer, reason in faults.items():
        async with serving(answers(answer)) as port:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            connection = Connection(make_ssl_context)
            assert await reason_of(connection, call_to(80, host="api.example")) == reason
            await connection.aclose()


# What nobody asked for


@pytest.mark.parametrize("when", ["with the answer", "after it"])
async def test_what_comes_before_a_call_is_no_answer_to_it(connection: Connection, when: str) -> None:
    ok, bad = (b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status for status in (b"200 OK", b"500 No"))
    connections = 0
    has_said_more = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(bad + ok if when == "with the answer" else bad)
        await writer.drain()
        if when == "after it":
            await asyncio.sleep(0.1)
            writer.write(ok)
            await writer.drain()
        await asyncio.sleep(0.1)  # until that is there
        has_said_more.set()
        await reader.read()

    async with serving(talk) as port:
        for number in (1, 2):
            has_said_more.clear()
            assert (await connection.perform(call_to(port), PATIENCE)).status == 500
            await has_said_more.wait()
            assert connections == number


# Every exception


def all_subclasses(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(all_subclasses(one) for one in kind.__subclasses__()))


@pytest.mark.parametrize("proxy", ["http://[::1", "http://localhost:port", "gopher://localhost:70"])
async def test_a_proxy_that_cannot_be_used(connection: Connection, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    assert "proxy" in await reason_of(connection, call_to(80, host="api.example"))


async def test_without_certificates_only_tls_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    connection = Connection(make_ssl_context)

    assert await reason_of(connection, call_to(443, scheme="https")) == "TLS cannot be set up"
    async with serving(answers(OK)) as port:
        assert (await connection.perform(call_to(port), PATIENCE)).status == 200
    await connection.aclose()


def test_no_exception_of_the_libraries_is_forgotten() -> None:
    """What has no reason of its own here can only come from what we do not use: clients, redirects, streamed bodies."""
    not_used = {
        httpx.HTTPError, httpx.RequestError, httpx.HTTPStatusError, httpx.TooManyRedirects, httpx.CookieConflict,
        httpx.StreamError, httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead,
    }  # fmt: skip
    known = tuple(kind for kind, _ in _REASONS)
    exceptions = {one for _, one in inspect.getmembers(httpx, inspect.isclass) if issubclass(one, Exception)}
    exceptions |= {one for _, one in inspect.getmembers(h11, inspect.isclass) if issubclass(one, Exception)}

    assert {one for one in exceptions if not issubclass(one, known)} == not_used
    assert all(issubclass(one, known) for one in all_subclasses(OSError))


def test_every_reason_can_be_reached() -> None:
    """None stands behind one that is more general."""
    for kind, reason in _REASONS:
        error = kind.__new__(kind)
        assert _reason(error) == reason
