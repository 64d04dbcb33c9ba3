"""uvicorn's connection, with its transport within reach: a reset or a cut needs more than ASGI offers."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import Scope

try:
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        'The collector is served by uvicorn, which is not installed. Run: pip install "passerby[collector]"',
        name="uvicorn",
    ) from _error

TRANSPORT = "passerby.collector.transport"


class RemembersTransport(asyncio.Protocol):
    """Put the transport into the state that uvicorn copies into the scope of each request."""

    app_state: dict[str, Any]
    access_log: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
        self.access_log = False  # of this server alone; uvicorn's own switch is one for the whole process


def transport_of(scope: Scope) -> asyncio.Transport:
    """The transport a request came by."""
    return cast(asyncio.Transport, scope["state"][TRANSPORT])


Connection: type[asyncio.Protocol] = type("Connection", (RemembersTransport, AutoHTTPProtocol), {})
