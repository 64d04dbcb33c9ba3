"""The contestants: passerby and its peers behind one face, each as its documentation has it set up.

Three ways to set up a peer are tried. Its *defaults*. *Tuned*: a queue for 100,000 events, more retries, and its
`shutdown()` called in the end, as the documentation of each recommends. *Sync*: every call sends by itself and blocks,
where the client offers that; then no queue can be lost.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from passerby import Sitecore, Tracking
from passerby.values.outcome import Dropped

QUEUE = 100_000  # events, where a queue can be made larger
RETRIES = 10
PATIENCE = 120.0  # seconds that an event is waited for to be stored

VISITORS = [str(uuid4()) for _ in range(50)]


class Client(Protocol):
    """One contestant's client."""

    @property
    def said(self) -> Counter[str]:
        """What it reports by itself of events that it did not deliver, counted."""
        ...

    def tell(self, event_id: str, number: int) -> bool:
        """Tell one event; whether the call says that it was taken."""
        ...

    def end(self) -> None:
        """Do what the documentation asks for at the end of a program."""
        ...


class Contestant(NamedTuple):
    """One row of the table.

    Attributes:
        name: as it is called in the table.
        package: the distribution it comes from.
        make: makes the client, for an address and a directory.
        ends_by_itself: whether nothing is called in the end, since its own exit handler is to see to it.
        has_queue: whether events wait in the process.
    """

    name: str
    package: str
    make: Callable[[str, str], Client]
    ends_by_itself: bool = True
    has_queue: bool = True

    @property
    def label(self) -> str:
        return f"{self.name} {version(self.package)}"


class OwnClient:
    """passerby. With the outbox on disk, a call counts when the event is stored, and that wait is measured."""

    def __init__(self, url: str, outbox: str) -> None:
        sitecore = Sitecore(client_key="chaos", target_url=url, point_of_sale="shop")
        self._tracking = Tracking(
            sitecore, outbox=outbox, secret_key="a key for the comparison", browser_id_pool_size=0
        )
        self._visitors = [self._tracking.for_visitor(visitor) for visitor in VISITORS]
        self._is_durable = outbox != "memory"
        self._tracking.start()

    @property
    def said(self) -> Counter[str]:
        (ledger,) = self._tracking.stats().destinations.values()
        return Counter({f"dropped({reason})": number for reason, number in ledger.dropped.items()})

    def tell(self, event_id: str, number: int) -> bool:
        receipt = self._visitors[number % len(self._visitors)].event("ADD", {"told": event_id})
        if self._is_durable:
            receipt.wait_stored(PATIENCE)
        return not any(isinstance(outcome, Dropped) for outcome in receipt.outcomes.values())

    def end(self) -> None:
        self._tracking.close()


class SegmentLike:
    """Segment's client, and Customer.io's, which was once the same."""

    def __init__(self, module: str, url: str, **settings: Any) -> None:
        self.said: Counter[str] = Counter()
        self._client = importlib.import_module(module).Client("chaos", host=url, on_error=self._on_error, **settings)

    def tell(self, event_id: str, number: int) -> bool:
        is_taken, _ = self._client.track(
            anonymous_id=VISITORS[number % len(VISITORS)], event="ADD", properties={}, message_id=event_id
        )
        if not is_taken:
            self.said["the call said no"] += 1
        return bool(is_taken)

    def end(self) -> None:
        if self._client.consumers is not None:  # else there is nothing to shut down, and it would raise
            self._client.shutdown()

    def _on_error(self, error: Exception, events: Sequence[Any]) -> None:
        self.said["on_error"] += len(events)


class PosthogClient:
    """PostHog's client."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.said: Counter[str] = Counter()
        self._client = importlib.import_module("posthog").Posthog(
            "chaos", host=url, on_error=self._on_error, **settings
        )

    def tell(self, event_id: str, number: int) -> bool:
        taken = self._client.capture("ADD", distinct_id=VISITORS[number % len(VISITORS)], uuid=event_id)
        if taken is None:
            self.said["the call said no"] += 1
        return taken is not None

    def end(self) -> None:
        self._client.shutdown()

    def _on_error(self, error: Exception, events: Sequence[Any]) -> None:
        self.said["on_error"] += len(events)


def _segment(**settings: Any) -> Callable[[str, str], Client]:
    return lambda url, _: SegmentLike("segment.analytics.client", url, **settings)


def _customerio(**settings: Any) -> Callable[[str, str], Client]:
    return lambda url, _: SegmentLike("customerio.analytics.client", url, **settings)


def _posthog(**settings: Any) -> Callable[[str, str], Client]:
    return lambda url, _: PosthogClient(url, **settings)


_TUNED: dict[str, Any] = {"max_queue_size": QUEUE, "max_retries": RETRIES}

CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("passerby, sqlite", "passerby", lambda url, directory: OwnClient(url, f"sqlite://{directory}")),
    Contestant("passerby, memory", "passerby", lambda url, _: OwnClient(url, "memory")),
    Contestant("segment, defaults", "segment-analytics-python", _segment()),
    Contestant("segment, tuned", "segment-analytics-python", _segment(**_TUNED), ends_by_itself=False),
    Contestant("segment, sync", "segment-analytics-python", _segment(sync_mode=True), has_queue=False),
    Contestant("customerio, defaults", "customerio-cdp-analytics", _customerio()),
    Contestant("customerio, tuned", "customerio-cdp-analytics", _customerio(**_TUNED), ends_by_itself=False),
    Contestant("customerio, sync", "customerio-cdp-analytics", _customerio(sync_mode=True), has_queue=False),
    Contestant("posthog, defaults", "posthog", _posthog()),
    Contestant("posthog, tuned", "posthog", _posthog(**_TUNED), ends_by_itself=False),
    Contestant("posthog, sync", "posthog", _posthog(sync_mode=True), has_queue=False),
)


def contestant_named(name: str) -> Contestant:
    return next(one for one in CONTESTANTS if one.name == name)
