"""The collector as a whole: Sitecore, Customer.io and Datalyr on this machine, in a thread of the current process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..rehearsal import rehearsal
from .ask import Route, System
from .control import Control, is_loopback_name
from .cross_origin import OpenToPages
from .datalyr_api import DatalyrApi
from .exchange import Apis, Exchange
from .json_object import JSONObject
from .people import People
from .pipelines_api import PipelinesApi
from .received import Received
from .scripted import Misbehaviour, RouteOrAll, Scripted
from .server_thread import ServerThread
from .store import Store
from .stream_api import StreamApi

COMMIT_EVERY = 0.2  # seconds


class CollectorServer:
    """Play Sitecore's Stream API, Customer.io's Data Pipelines and Datalyr on loopback, and remember what arrived.

    with CollectorServer() as collector:
        tracking = Tracking(Sitecore(client_key="key", target_url=collector.url))
    """

    def __init__(
        self,
        db: str | os.PathLike[str] | None = None,  # None: in memory
        port: int = 0,  # 0: any free one, kept over stop() and start()
        host: str = "127.0.0.1",
        *,
        accept_any_browser_id: bool = False,
        client_keys: Collection[str] = (),  # none: every key is right, as below
        write_keys: Collection[str] = (),  # of Customer.io
        workspaces: Collection[str] = (),  # of Datalyr
        api_keys: Collection[str] = (),  # of Datalyr
        unsafe_host: bool = False,
        on_received: Callable[[Received], None] | None = None,  # called in the server's thread
    ) -> None:
        if not unsafe_host and not is_loopback_name(host):
            raise ValueError(
                f"{host} can be reached from other machines, and the collector asks nobody who they are. "
                "Use 127.0.0.1, or allow it with unsafe_host (--unsafe-host)"
            )
        self.accept_any_browser_id = accept_any_browser_id
        self._store = Store(db)
        self._misbehaviour = Misbehaviour()
        api = StreamApi(knows=self._takes_events_of, client_keys=client_keys)
        apis = Apis(api, PipelinesApi(write_keys), DatalyrApi(workspaces, api_keys))
        exchange = Exchange(apis, self._store, self._misbehaviour, on_received)
        app = _make_app(Control(self._store, self._misbehaviour), exchange, self._store)
        self._thread = ServerThread(app, host=host, port=port, name="passerby collector")

    def __enter__(self) -> CollectorServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_up_port()

    def start(self) -> None:
        """Serve, after a stop on the same port as before."""
        self._thread.start()
        rehearsal.ports.add(self.port)

    def stop(self) -> None:
        """Refuse connections until the next start. What has arrived stays."""
        self._thread.stop()

    def close(self) -> None:
        """Stop for good and close the database."""
        self._give_up_port()
        self._store.close()

    @property
    def url(self) -> str:
        """What to use as `target_url`."""
        return self._thread.url

    @property
    def port(self) -> int:
        """The port, 0 before the first start where any would do."""
        return self._thread.port

    @property
    def requests(self) -> list[Received]:
        """All that arrived, in order."""
        return self._store.requests()

    @property
    def events(self) -> list[JSONObject]:
        """The accepted events, in order of arrival."""
        return [event for _, _, event in self._store.events()]

    @property
    def browser_ids(self) -> list[str]:
        """The IDs issued so far, oldest first."""
        return self._store.browser_ids()

    @property
    def counts(self) -> JSONObject:
        """How much arrived: requests, accepted_events, refused, browser_ids, by_route."""
        return self._store.counts()

    def messages(self, system: System) -> list[JSONObject]:
        """The accepted messages to "customerio" or "datalyr", in order of arrival."""
        return self._store.messages(system)

    def people(self, system: System) -> People:
        """Who is who, by what "customerio" or "datalyr" was told."""
        return People(system, self._store.messages(system))

    def wait_for_messages(self, system: System, count: int, timeout: float = 5.0) -> list[JSONObject]:
        """The accepted messages, as soon as there are `count` or the time (in seconds) is up."""
        ends = time.monotonic() + timeout
        while self._store.message_count(system) < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.messages(system)

    def known(self, browser_id: str) -> bool:
        """Whether this browser ID was issued here."""
        return self._store.knows(browser_id)

    def wait_for_events(self, count: int, timeout: float = 5.0) -> list[JSONObject]:
        """The accepted events, as soon as there are `count` or the time (in seconds) is up."""
        ends = time.monotonic() + timeout
        while self._store.event_count() < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.events

    def script(self, route: Route, answers: Sequence[Scripted] | None) -> None:
        """Answer `route` with these in turn; the last one repeats. None: normal service."""
        self._misbehaviour.script(route, answers)

    def fail(self, route: RouteOrAll, times: int | None = None, *, status: int | None = 503, **accident: Any) -> None:
        """Misbehave `times` times (None: until further notice) as a `Scripted` of these arguments says."""
        self._misbehaviour.fail(route, Scripted(status=status, **accident), times)

    def behave(self) -> None:
        """End all misbehaviour."""
        self._misbehaviour.end()

    def _give_up_port(self) -> None:
        self._thread.close()
        rehearsal.ports.discard(self.port)

    def _takes_events_of(self, browser_id: str) -> bool:
        return self.accept_any_browser_id or self._store.knows(browser_id)


def _make_app(control: Control, exchange: Exchange, store: Store) -> Starlette:
    @asynccontextmanager
    async def commits_regularly(app: Starlette) -> AsyncGenerator[None, None]:
        task = asyncio.create_task(_commit_regularly(store))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            store.commit()

    app = Starlette(
        routes=[control.mount()],
        exception_handlers={HTTPException: _answer_error},
        lifespan=commits_regularly,
    )
    app.router.default = OpenToPages(exchange)
    app.router.redirect_slashes = False
    return app


async def _commit_regularly(store: Store) -> None:
    while True:
        await asyncio.sleep(COMMIT_EVERY)
        store.commit()


async def _answer_error(request: Request, exc: Exception) -> JSONResponse:
    status, detail = (exc.status_code, exc.detail) if isinstance(exc, HTTPException) else (500, "Server Error")
    return JSONResponse({"status": status, "message": detail}, status_code=status)
