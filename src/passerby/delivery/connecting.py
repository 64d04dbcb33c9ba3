"""Connecting to a host that has several addresses, of which some may not answer (RFC 8305, "happy eyeballs").

The next address is tried when the one before has failed, or has not answered for a moment; the first that is connected
is used, and all others are let go of. asyncio's own `happy_eyeballs_delay` leaves sockets open on cancellation in
Python 3.11.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from typing import Any

from ..destinations.target import is_public_address
from .errors import DeliveryError
from .gil import GilHoldingSocket

NEXT_AFTER = 0.25  # seconds; the delay that RFC 8305 recommends

Address = tuple[int, Any]  # family, and what a socket of it connects to


class PrivateAddress(DeliveryError, OSError):
    """A host that must be public has only addresses that are not."""


async def connect(host: str, port: int, *, public_only: bool = False) -> socket.socket:
    """Connect to a host by whichever of its addresses answers first.

    The name is resolved once, and what was checked is what is connected to: an answer that changes between the two (DNS
    rebinding) would lead to another address otherwise.

    Args:
        host: a name or an address.
        port: the port.
        public_only: whether only public addresses are connected to.

    Raises:
        OSError: none answers; PrivateAddress if there is none that may be tried. No time limit is kept.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    given = [(family, address) for family, _, _, _, address in found]
    if public_only:
        given = [(family, address) for family, address in given if is_public_address(str(address[0]))]
        if not given:
            raise PrivateAddress
    addresses = deque(_by_turns(given))
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: BaseException = OSError("no address")
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(asyncio.create_task(_try(*addresses.popleft())))
            done, _ = await asyncio.wait(
                attempts, timeout=NEXT_AFTER if addresses else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                attempts.remove(attempt)
                failure = attempt.exception()
                if failure is None:
                    return attempt.result()
                error = failure
        raise error
    finally:
        for attempt in attempts:
            _give_up(attempt)


async def _try(family: int, address: Any) -> socket.socket:
    connected = GilHoldingSocket(family)
    try:
        await asyncio.get_running_loop().sock_connect(connected, address)
    except BaseException:
        connected.close()
        raise
    return connected


def _give_up(attempt: asyncio.Task[socket.socket]) -> None:
    """Let go of an attempt: one that is under way closes its socket itself, one that has succeeded cannot."""
    if not attempt.cancel() and not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _by_turns(addresses: Iterable[Address]) -> list[Address]:
    """Let the families take turns, beginning with that of the first address (RFC 8305, section 4)."""
    families: dict[int, deque[Address]] = {}
    for family, address in addresses:
        families.setdefault(family, deque()).append((family, address))
    ordered: list[Address] = []
    while families:
        for family, waiting in list(families.items()):
            ordered.append(waiting.popleft())
            if not waiting:
                del families[family]
    return ordered
