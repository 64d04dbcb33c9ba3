"""The collector: emulates Sitecore, Customer.io and Datalyr in a thread of the current process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any

from ..delivery.dry_run import dry_run_mode
from .access_control import is_loopback_name
from .admin_api import AdminApi
from .api_request import MessageSystem, Route, System
from .app import CollectorApp, make_admin_app
from .collected_request import CollectedRequest
from .cors import StreamApiCors
from .datalyr_api import DatalyrApi
from .event_stream import EventStream
from .faults import Faults, RouteOrAll, ScriptedResponse
from .feed import Feed
from .health import FindOutbox, Health
from .json_object import JSONObject
from .people import People
from .pipelines_api import PipelinesApi
from .request_handler import Apis, RequestHandler
from .server_thread import ServerThread
from .static import StaticFiles
from .store import Store
from .stream_api import StreamApi


class CollectorServer:
    """Emulates Sitecore's Stream API and edge, Customer.io's Data Pipelines and Datalyr, and stores what arrives.

    with CollectorServer() as collector:
        tracking = Tracking(Sitecore(client_key="key", target_url=collector.url))
    """

    def __init__(
        self,
        db: str | os.PathLike[str] | None = None,  # None: in memory
        port: int = 0,  # 0: any free one, the same after stop() and start()
        host: str = "127.0.0.1",
        *,
        accept_any_browser_id: bool = False,
        client_keys: Collection[str] = (),  # empty: all keys are valid; also below
        context_ids: Collection[str] = (),  # of Sitecore's edge
        write_keys: Collection[str] = (),  # of Customer.io
        workspaces: Collection[str] = (),  # of Datalyr
        api_keys: Collection[str] = (),  # of Datalyr
        token: str | None = None,  # gives access from other machines; required if the host is not loopback
        frame_ancestors: str | None = None,  # origins that may frame the page, separated by spaces
        outbox: FindOutbox | None = None,  # the health of the app's outbox; called once a second in a thread
        on_received: Callable[[CollectedRequest], None] | None = None,  # called in the server's thread
    ) -> None:
        if token is None and not is_loopback_name(host):
            raise ValueError(
                f"{host} can be reached from other machines, and the received events are personal data. "
                "Use 127.0.0.1, or set a token (--token)"
            )
        self.accept_any_browser_id = accept_any_browser_id
        self._store = Store(db)
        self._faults = Faults()
        api = StreamApi(is_known=self._accepts_events_of, client_keys=client_keys, context_ids=context_ids)
        apis = Apis(api, PipelinesApi(write_keys), DatalyrApi(workspaces, api_keys))
        handler = RequestHandler(apis, self._store, self._faults, on_received)
        feed = Feed(self._store)
        stream = EventStream(self._store, feed, self._faults)
        health = Health(self._store, feed, outbox)
        control = AdminApi(self._store, feed, self._faults, stream, health)
        routes = [*control.routes, *StaticFiles().routes]
        pages = make_admin_app(routes, self._store, stream, health, token=token, frame_ancestors=frame_ancestors)
        self._thread = ServerThread(
            CollectorApp(StreamApiCors(handler), pages),
            host=host,
            port=port,
            name="passerby collector",
            on_end=stream.end,
        )

    def __enter__(self) -> CollectorServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release_port()

    def start(self) -> None:
        """Start the server; after a stop on the same port."""
        self._thread.start()
        dry_run_mode.ports.add(self.port)

    def stop(self) -> None:
        """Refuse connections until the next start. Received events are kept."""
        self._thread.stop()

    def close(self) -> None:
        """Stop the server and close the database."""
        self._release_port()
        self._store.close()

    @property
    def url(self) -> str:
        """The `target_url`, or `edge_url`, for destinations."""
        return self._thread.url

    @property
    def port(self) -> int:
        """The port; 0 before the first start if any free one is used."""
        return self._thread.port

    @property
    def requests(self) -> list[CollectedRequest]:
        """All received requests, in order."""
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
        """The counts: requests, accepted_events, refused, browser_ids, by_route."""
        return self._store.counts()

    def messages(self, system: MessageSystem) -> list[JSONObject]:
        """The accepted messages to "customerio" or "datalyr", in order of arrival."""
        return self._store.messages(system)

    def people(self, system: System) -> People:
        """The people of "sitecore", "customerio" or "datalyr"."""
        people = People(system)
        for one in self._store.accepted(system):
            people.add(one.message, one.number, one.position, one.time, one.path)
        return people

    def wait_for_messages(self, system: MessageSystem, count: int, timeout: float = 5.0) -> list[JSONObject]:
        """Wait until there are `count` messages or the timeout (in seconds) expires. Returns the accepted messages."""
        ends = time.monotonic() + timeout
        while self._store.accepted_count(system) < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.messages(system)

    def clear(self) -> None:
        """Delete everything that arrived. Issued browser IDs stay valid."""
        self._store.clear()

    def has_issued(self, browser_id: str) -> bool:
        """Whether this browser ID was issued here."""
        return self._store.knows(browser_id)

    def wait_for_events(self, count: int, timeout: float = 5.0) -> list[JSONObject]:
        """Wait until there are `count` events or the timeout (in seconds) expires. Returns the accepted events."""
        ends = time.monotonic() + timeout
        while self._store.accepted_count("sitecore") < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.events

    def script(self, route: Route, answers: Sequence[ScriptedResponse] | None) -> None:
        """Respond on `route` with these in turn; the last one repeats. None clears the script."""
        self._faults.script(route, answers)

    def fail(self, route: RouteOrAll, times: int | None = None, *, status: int | None = 503, **accident: Any) -> None:
        """Respond `times` times (None: until cleared) with a `ScriptedResponse` of these arguments."""
        self._faults.fail(route, ScriptedResponse(status=status, **accident), times)

    def clear_faults(self) -> None:
        """Clear all faults."""
        self._faults.clear()

    def _release_port(self) -> None:
        self._thread.close()
        dry_run_mode.ports.discard(self.port)

    def _accepts_events_of(self, browser_id: str) -> bool:
        return self.accept_any_browser_id or self._store.knows(browser_id)
