"""The collector as a whole: Sitecore, Customer.io and Datalyr on this machine, in a thread of the current process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any

from ..delivery.dry_run import dry_run_mode
from .ask import Played, Route, System
from .control import Control
from .cross_origin import OpenToPages
from .datalyr_api import DatalyrApi
from .exchange import Apis, Exchange
from .feed import Feed
from .guard import is_loopback_name
from .health import FindOutbox, Health
from .json_object import JSONObject
from .people import People
from .pipelines_api import PipelinesApi
from .received import Received
from .scripted import Misbehaviour, RouteOrAll, Scripted
from .server_thread import ServerThread
from .site import Site, make_pages
from .static import StaticFiles
from .store import Store
from .stream import Stream
from .stream_api import StreamApi


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
        token: str | None = None,  # lets those who are elsewhere see the page; needed where the host is not loopback
        frame_ancestors: str | None = None,  # origins whose pages may show the page in a frame, parted by spaces
        outbox: FindOutbox | None = None,  # how the app's outbox is; called once a second in a thread
        on_received: Callable[[Received], None] | None = None,  # called in the server's thread
    ) -> None:
        if token is None and not is_loopback_name(host):
            raise ValueError(
                f"{host} can be reached from other machines, and what arrives is not for everybody to see. "
                "Use 127.0.0.1, or set a token (--token) that whoever looks has to know"
            )
        self.accept_any_browser_id = accept_any_browser_id
        self._store = Store(db)
        self._misbehaviour = Misbehaviour()
        api = StreamApi(knows=self._takes_events_of, client_keys=client_keys)
        apis = Apis(api, PipelinesApi(write_keys), DatalyrApi(workspaces, api_keys))
        exchange = Exchange(apis, self._store, self._misbehaviour, on_received)
        feed = Feed(self._store)
        stream = Stream(self._store, feed, self._misbehaviour)
        health = Health(self._store, feed, outbox)
        control = Control(self._store, feed, self._misbehaviour, stream, health)
        routes = [*control.routes, *StaticFiles().routes]
        pages = make_pages(routes, self._store, stream, health, token=token, frame_ancestors=frame_ancestors)
        self._thread = ServerThread(
            Site(OpenToPages(exchange), pages), host=host, port=port, name="passerby collector", on_end=stream.end
        )

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
        dry_run_mode.ports.add(self.port)

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

    def people(self, system: Played) -> People:
        """Who is who, by what "sitecore", "customerio" or "datalyr" was told."""
        people = People(system)
        for one in self._store.taken(system):
            people.add(one.message, one.number, one.position, one.time)
        return people

    def wait_for_messages(self, system: System, count: int, timeout: float = 5.0) -> list[JSONObject]:
        """The accepted messages, as soon as there are `count` or the time (in seconds) is up."""
        ends = time.monotonic() + timeout
        while self._store.taken_count(system) < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.messages(system)

    def clear(self) -> None:
        """Forget all that has arrived. Browser IDs stay known."""
        self._store.clear()

    def known(self, browser_id: str) -> bool:
        """Whether this browser ID was issued here."""
        return self._store.knows(browser_id)

    def wait_for_events(self, count: int, timeout: float = 5.0) -> list[JSONObject]:
        """The accepted events, as soon as there are `count` or the time (in seconds) is up."""
        ends = time.monotonic() + timeout
        while self._store.taken_count("sitecore") < count and time.monotonic() < ends:
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
        dry_run_mode.ports.discard(self.port)

    def _takes_events_of(self, browser_id: str) -> bool:
        return self.accept_any_browser_id or self._store.knows(browser_id)
