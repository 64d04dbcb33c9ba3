"""Serves an ASGI app with uvicorn in a thread; can be stopped and started again on the same port."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from logging import Logger

import uvicorn
from starlette.types import ASGIApp

from ..logs import get_logger
from .connection import Connection

KEEP_ALIVE = 75  # seconds; longer than the clients under test keep an idle connection
START_TIMEOUT = 10.0  # seconds
STOP_GRACE = 0.2  # seconds after which hanging requests are closed
TURNS = 10  # of the event loop, enough to register accepted connections
CUT_OFF_TIMEOUT = 1.0  # seconds for their handlers, once after closing and once after cancelling
LIFESPAN_TIMEOUT = 10.0  # seconds in which the app must shut down
END_TIMEOUT = 15.0  # seconds to wait for the thread

log: Logger = get_logger("passerby.collector")


def bind(host: str, port: int) -> socket.socket:
    """Bind a port, 0 for any free one, without listening yet. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere the option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


class ServerThread:
    """Serves an app until it is stopped.

    The port is bound from the first start until `close()`, so that no other process can use it. While stopped,
    connections are refused.

    Args:
        app: the app.
        host: where.
        port: where; 0: any free one.
        name: the thread's.
        stop_grace: seconds after which hanging requests are closed.
        end_timeout: seconds to wait for the thread.
        bound: a socket with this address, from `bind()`; None: a new one.
        on_end: called in the server's loop at a stop, to end responses that do not end themselves.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        name: str,
        stop_grace: float = STOP_GRACE,
        end_timeout: float = END_TIMEOUT,
        bound: socket.socket | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._app = app
        self._address = (host, port)
        self._name = name
        self._stop_grace = stop_grace
        self._end_timeout = end_timeout
        self._reserved = bound
        self._on_end = on_end
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port; 0 before the first start if any free one is used."""
        return self._address[1]

    @property
    def url(self) -> str:
        """The URL of the app."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Start the thread, and wait until connections are accepted. Raises OSError."""
        if self._thread is not None:
            return
        listener = self._reserved or self._bind()
        self._reserved = None
        try:
            listener.listen()
        except OSError:
            listener.close()
            raise
        self._serve(listener)

    def stop(self) -> None:
        """Finish current requests, close all connections and keep the port."""
        if self._thread is not None:
            self._end()
            with suppress(OSError):  # another process was faster; the next start reports it
                self._reserved = self._bind()

    def close(self) -> None:
        """Stop, and release the port."""
        self._end()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _bind(self) -> socket.socket:
        listener = bind(*self._address)
        self._address = (self._address[0], listener.getsockname()[1])
        return listener

    def _serve(self, listener: socket.socket) -> None:
        self._server = _Server(self._app, self._stop_grace, self._on_end)
        self._thread = threading.Thread(
            target=self._server.run_to_end, args=([listener],), name=self._name, daemon=True
        )
        self._thread.start()
        gives_up = time.monotonic() + START_TIMEOUT
        while not self._server.accepts.wait(0.05):
            if not self._thread.is_alive() or time.monotonic() > gives_up:
                self._thread = self._server = None
                listener.close()
                raise OSError(f"the app on {self.url} did not start")

    def _end(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join(self._end_timeout)
            if self._thread.is_alive():
                log.warning(
                    "%s on %s did not stop within %g s; no longer waiting for it",
                    self._name,
                    self.url,
                    self._end_timeout,
                )
            self._thread = self._server = None


class _Server(uvicorn.Server):
    """uvicorn's server, which another thread can stop."""

    def __init__(self, app: ASGIApp, stop_grace: float, on_end: Callable[[], None] | None) -> None:
        # Without log_level and log_config uvicorn leaves the process's logging as it is.
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
            )
        )
        self.accepts = threading.Event()
        self._stop_grace = stop_grace
        self._on_end = on_end
        self._ending = asyncio.Event()

    def run_to_end(self, listeners: list[socket.socket]) -> None:
        """Serve until `end()`, or until the app fails to start."""
        with suppress(SystemExit):  # raised by uvicorn after logging the reason
            self.run(listeners)

    def end(self) -> None:
        """Start the shutdown. Thread-safe."""
        self._loop.call_soon_threadsafe(self._ending.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.accepts.set()

    async def main_loop(self) -> None:
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own shutdown takes 0.1 s without requests, and does not end with hanging requests.
        await self._stop_listening(sockets or [])
        if self._on_end is not None:
            self._on_end()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if not await self._is_idle_within(self._stop_grace):
            await self._cut_off()
        with suppress(TimeoutError):
            async with asyncio.timeout(LIFESPAN_TIMEOUT):
                await self.lifespan.shutdown()

    async def _cut_off(self) -> None:
        """End hanging requests, such as endless streams: close their connections, then cancel them."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if not await self._is_idle_within(CUT_OFF_TIMEOUT):
            for task in list(self.server_state.tasks):
                task.cancel()
            await self._is_idle_within(CUT_OFF_TIMEOUT)

    async def _stop_listening(self, listeners: list[socket.socket]) -> None:
        # asyncio loses a connection that is accepted while its server closes. So stop accepting, register the
        # accepted connections, then close.
        with suppress(NotImplementedError):  # of event loops without readers
            for listener in listeners:
                self._loop.remove_reader(listener.fileno())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.close()

    async def _is_idle_within(self, seconds: float) -> bool:
        gives_up = self._loop.time() + seconds
        while self.server_state.connections or self.server_state.tasks:
            if self._loop.time() > gives_up:
                return False
            await asyncio.sleep(0.002)
        return True
