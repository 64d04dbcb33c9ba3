"""Connecting to a host with several addresses, of which some swallow every packet, refuse, or cannot be reached."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from passerby.delivery.connecting import NEXT_AFTER, PrivateAddress, connect
from passerby.delivery.transport import Connection, TransportError, make_ssl_context
from passerby.destinations import OutgoingRequest
from tests.making import PATIENCE

HOST = "several.example"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Addresses = list[tuple[socket.AddressFamily, Any]]


class Loop(asyncio.SelectorEventLoop):
    """An event loop for which one host has the addresses that a test gives it."""

    addresses: Addresses

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        assert host == HOST
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for family, address in self.addresses]


def run(addresses: Addresses, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run in such a loop; a socket that is left open is an error."""

    async def wait() -> Any:
        return await work()

    loop = Loop()
    loop.addresses = addresses
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        try:
            result = loop.run_until_complete(asyncio.wait_for(wait(), PATIENCE))
            loop.run_until_complete(asyncio.sleep(0.01))  # attempts that were given up close their sockets
            assert asyncio.all_tasks(loop) == set()
        finally:
            loop.close()
        gc.collect()
    return result


@pytest.fixture
def swallowing() -> Iterator[tuple[socket.AddressFamily, Any]]:
    """An address that answers no packet: a listener whose queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with closing(socket.socket()) as trial:
            trial.settimeout(0.2)
            try:
                trial.connect(listener.getsockname())
            except TimeoutError:
                yield socket.AF_INET, listener.getsockname()
            else:
                pytest.skip("this system answers where the queue is full")


@pytest.fixture
def refusing() -> Iterator[tuple[socket.AddressFamily, Any]]:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield socket.AF_INET, nobody.getsockname()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize("before", ["sss", "s", "r", "sr", "rs", "u", "us", ""])
def test_the_first_address_that_answers_is_used(
    swallowing: Any, refusing: Any, listening: socket.socket, before: str
) -> None:
    """s swallows, r refuses, u is of a network that cannot be reached from here."""
    kinds = {"s": swallowing, "r": refusing, "u": (socket.AF_INET6, ("100::1", 9, 0, 0))}
    good = (socket.AF_INET, listening.getsockname())

    async def work() -> Any:
        connected = await connect(HOST, 80)
        with closing(connected):
            return connected.getpeername()

    assert run([*(kinds[kind] for kind in before), good, swallowing], work) == listening.getsockname()


def test_an_address_that_swallows_packets_takes_no_attempt_away(swallowing: Any, listening: socket.socket) -> None:
    """As an event is delivered: within its time limit, though the limit is far below that of the system."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def work() -> int:
        server = await asyncio.start_server(serve, sock=listening)
        connection = Connection(make_ssl_context)
        try:
            return (
                await connection.perform(OutgoingRequest("POST", f"http://{HOST}/v1.2/events", {}, b"{}"), PATIENCE)
            ).status
        finally:
            await connection.aclose()
            server.close()

    assert run([swallowing, (socket.AF_INET, listening.getsockname())], work) == 200


@pytest.mark.parametrize("kinds", ["r", "rr", "ru", "ur"])
def test_where_no_address_answers_the_last_one_says_why(refusing: Any, kinds: str) -> None:
    addresses = [{"r": refusing, "u": (socket.AF_INET6, ("100::1", 9, 0, 0))}[kind] for kind in kinds]

    async def work() -> str:
        connection = Connection(make_ssl_context)
        with pytest.raises(TransportError) as caught:
            await connection.perform(OutgoingRequest("POST", f"http://{HOST}/", {}, b"{}"), PATIENCE)
        await connection.aclose()
        return str(caught.value)

    assert run(addresses, work) in ("connection refused", "connection lost")


def test_a_host_without_addresses() -> None:
    async def work() -> None:
        with pytest.raises(OSError, match="no address"):
            await connect(HOST, 80)

    run([], work)


def heard_nothing(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("before", [0, 1, 3])
def test_each_address_is_checked_where_only_public_ones_may_be_tried(
    swallowing: Any, listening: socket.socket, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loopback address is public, so that here some of them stand for such ones."""
    stand_ins = ("127.0.0.1", "127.0.0.2")
    monkeypatch.setattr("passerby.delivery.connecting.is_public_address", lambda address: address in stand_ins)

    async def work() -> Any:
        connected = await connect(HOST, 80, public_only=True)
        with closing(connected):
            return connected.getpeername()

    with socket.create_server(("127.0.0.3", 0)) as listener:
        private = (socket.AF_INET, listener.getsockname())
        good = (socket.AF_INET, listening.getsockname())
        assert run([*[private] * before, swallowing, private, good, private], work) == listening.getsockname()
        assert heard_nothing(listener)


@pytest.mark.parametrize(
    "others",
    [
        [],
        [(socket.AF_INET, ("10.1.2.3", 80)), (socket.AF_INET6, ("::1", 80, 0, 0))],
        [(socket.AF_INET, ("169.254.169.254", 80)), (socket.AF_INET6, ("::ffff:10.0.0.1", 80, 0, 0))],
        [(socket.AF_INET6, ("fe80::1%eth0", 80, 0, 2)), (socket.AF_INET6, ("fd00:ec2::254", 80, 0, 0))],
    ],
)
def test_a_host_of_private_addresses_is_not_tried(listening: socket.socket, others: Addresses) -> None:
    async def work() -> None:
        with pytest.raises(PrivateAddress):
            await connect(HOST, 80, public_only=True)

    run([(socket.AF_INET, listening.getsockname()), *others], work)
    assert heard_nothing(listening)


@pytest.mark.parametrize("after", [0.0, 0.01, NEXT_AFTER + 0.05, 2 * NEXT_AFTER + 0.05])
def test_who_gives_up_leaves_no_socket_open(swallowing: Any, after: float) -> None:
    async def work() -> None:
        connecting = asyncio.create_task(connect(HOST, 80))
        await asyncio.sleep(after)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    run([swallowing] * 3, work)


@pytest.mark.parametrize("steps", range(12))
def test_who_gives_up_at_any_step_leaves_no_socket_open(listening: socket.socket, steps: int) -> None:
    """Also in between, when an attempt has succeeded and the one who waited has not heard of it."""

    async def work() -> None:
        connecting = asyncio.create_task(connect(HOST, 80))
        for _ in range(steps):
            await asyncio.sleep(0)
        connecting.cancel()
        with suppress(asyncio.CancelledError):
            (await connecting).close()

    run([(socket.AF_INET, listening.getsockname())] * 2, work)


def test_the_families_take_turns(listening: socket.socket, swallowing: Any) -> None:
    """Many dead addresses of the preferred family do not put off the first of the other."""
    dead = [(socket.AF_INET, swallowing[1])] * 20
    with closing(socket.socket(socket.AF_INET6)) as other:
        try:
            other.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        other.listen()

        async def work() -> Any:
            connected = await connect(HOST, 80)
            with closing(connected):
                return connected.getpeername()

        assert run([*dead, (socket.AF_INET6, other.getsockname())], work)[:2] == other.getsockname()[:2]
