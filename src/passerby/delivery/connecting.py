"""Connects to a host that has several addresses, of which some may not respond (RFC 8305, "happy eyeballs").

The next address is tried when the previous one has failed, or has not responded for a short time. The first connection
is used, and all others are closed. asyncio's `happy_eyeballs_delay` leaves sockets open on cancellation in Python 3.11.
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

NEXT_AFTER = 0.25  # seconds; the delay recommended by RFC 8305

Address = tuple[int, Any]  # family, and the address for a socket of this family


class PrivateAddress(DeliveryError, OSError):
    """A host that must be public has no public address."""


async def connect(host: str, port: int, *, public_only: bool = False) -> socket.socket:
    """Connect to the first address of a host that responds.

    The name is resolved once, and the checked addresses are those that are connected to. Otherwise a DNS answer that
    changes in between (DNS rebinding) could lead to another address.

    Args:
        host: a name or an address.
        port: the port.
        public_only: whether to connect to public addresses only.

    Raises:
        OSError: no address responds; PrivateAddress if none may be tried. There is no time limit.
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
    """Cancel an attempt. A running one closes its socket; a completed one must be closed here."""
    if not attempt.cancel() and not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _by_turns(addresses: Iterable[Address]) -> list[Address]:
    """Alternate between the address families, beginning with that of the first address (RFC 8305, section 4)."""
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
