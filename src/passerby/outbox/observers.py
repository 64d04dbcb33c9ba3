"""Who waits for what becomes of events: observers, watched events, and pending flushes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from logging import Logger
from typing import Protocol

from ..logs import get_logger
from ..values.outcome import Dead, Delivered, Dropped, Outcome
from .buffer import BufferedPart
from .contract import BrowserLink, ExchangeBatch, ExchangeResult, Settlement, StoreCommand, StoreRequest

log: Logger = get_logger("passerby.outbox")

WATCH_EVERY = 0.05  # seconds
_TRACKED = 100_000  # events of which a flush knows
_WATCHED_AT_ONCE = 100
_VISITS = 10_000  # linked ones whose browser IDs are remembered


class StoreObserver(Protocol):
    """Is notified of what becomes of an event. The reference to it is weak."""

    def on_stored(self) -> None:
        """The event is in the store."""
        ...

    def on_settled(self, destination: str, outcome: Outcome) -> None:
        """A destination's outcome is known."""
        ...


class PendingFlush:
    """The events that a flush waits for.

    Args:
        until: when the flush gives up, on the outbox's clock.
    """

    def __init__(self, until: float) -> None:
        self._until = until
        self._pending: set[str] = set()
        self._postponed: set[str] = set()
        self._done = threading.Event()

    def begin(self, event_ids: Sequence[str]) -> None:
        """Wait for events."""
        self._pending |= set(event_ids)
        if not self._pending:
            self._done.set()

    def settle(self, event_id: str) -> None:
        """Note that an event has all its outcomes."""
        self._pending.discard(event_id)
        self._postponed.discard(event_id)
        if not self._pending:
            self._done.set()

    def postpone(self, event_id: str, due: float) -> None:
        """Note that an event is tried again only then."""
        if due > self._until and event_id in self._pending:
            self._postponed.add(event_id)
            self._pending.discard(event_id)
            if not self._pending:
                self._done.set()

    def wait(self, timeout: float) -> bool:
        """Wait until no event can be tried any more. Returns whether that is so."""
        return self._done.wait(timeout)

    @property
    def left(self) -> int:
        """How many events are not settled."""
        return len(self._pending) + len(self._postponed)

    @property
    def pending(self) -> list[str]:
        """The events that it waits for."""
        return [*self._pending, *self._postponed]

    @property
    def sample(self) -> list[str]:
        """Some of the events that it waits for."""
        return list(self._pending)[:_WATCHED_AT_ONCE]


class ObserverRegistry:
    """The observers of a process's events, by event ID. Used by all threads."""

    def __init__(self) -> None:
        self._observers: weakref.WeakValueDictionary[str, StoreObserver] = weakref.WeakValueDictionary()
        self._watched: dict[str, float] = {}
        self._open: dict[str, Sequence[str]] = {}
        self._held: dict[str, dict[str, Sequence[str]]] = {}
        self._visits: dict[str, str] = {}
        self._recorded: list[str] = []
        self._flushes: list[PendingFlush] = []

    def add(
        self, event_id: str, observer: StoreObserver | None, destinations: Sequence[str], holder: str | None = None
    ) -> None:
        """Note who observes an event, and at which destinations it is followed.

        Args:
            event_id: the event's ID.
            observer: who observes it.
            destinations: the destinations at which it is followed, if any.
            holder: the visitor for whom it is held, if it is.
        """
        if observer is not None:
            self._observers[event_id] = observer
        if destinations and holder is None:
            self._open[event_id] = destinations
            if len(self._open) > _TRACKED:
                self._open.pop(next(iter(self._open)), None)
        elif destinations and holder is not None:
            self._held.setdefault(holder, {})[event_id] = destinations
            if len(self._held) > _TRACKED:
                self._held.pop(next(iter(self._held)), None)

    def follow_request(self, request: StoreRequest) -> None:
        """Follow what a request does with held events: they are released, dropped, or those of another visitor."""
        if isinstance(request, BrowserLink) and request.kind == "visit":
            self._visits[request.key] = request.browser_id
            if len(self._visits) > _VISITS:
                self._visits.pop(next(iter(self._visits)), None)
            if held := self._held.pop(request.key, None):
                self._held.setdefault(request.browser_id, {}).update(held)
        elif isinstance(request, StoreCommand) and request.kind in {"release", "clear", "purge_visitor", "suppress"}:
            for holder in {request.who, self._visits.get(request.who, request.who)}:
                held = self._held.pop(holder, None)
                if held and request.kind == "release":
                    self._open |= held

    def watch(self, event_ids: Sequence[str]) -> None:
        """Ask the store for the outcomes of events from now on."""
        self._watched |= dict.fromkeys(event_ids, 0.0)

    @property
    def unsettled(self) -> int:
        """Of how many events not all outcomes are known."""
        return len(self._open)

    @property
    def is_watching(self) -> bool:
        """Whether a caller waits for an outcome."""
        return bool(self._watched)

    @contextmanager
    def flushing(self, until: float) -> Generator[PendingFlush]:
        """Follow the events of which not all outcomes are known, the last hundred thousand."""
        flush = PendingFlush(until)
        self._flushes.append(flush)
        try:
            flush.begin(list(self._open))
            yield flush
        finally:
            self._flushes.remove(flush)

    def forget(self, event_ids: Sequence[str]) -> None:
        """Note that events wait nowhere any more: other processes have delivered them."""
        for event_id in event_ids:
            self._open.pop(event_id, None)
            for flush in self._flushes:
                flush.settle(event_id)

    def note_empty(self, is_empty: bool) -> None:
        """Note whether nothing waits in the store. What was recorded before the last such note is settled then."""
        if is_empty:
            self.forget(self._recorded)
        self._recorded = list(self._open) if self._open else []

    def postpone(self, event_id: str, due: float) -> None:
        """Note that an event is tried again only then."""
        for flush in self._flushes:
            flush.postpone(event_id, due)

    def watched_now(self, now: float) -> Sequence[str]:
        """Return what to ask the store for."""
        if not self._watched:
            return ()
        return [event_id for event_id, at in list(self._watched.items()) if now - at >= WATCH_EVERY]

    def notify_all(self, batch: ExchangeBatch, part: BufferedPart, result: ExchangeResult) -> None:
        """Notify the observers of what an exchange has shown."""
        refused = {event_id for event_id, _, _ in result.dropped} if result.dropped else ()
        for event in part.events if self._observers else ():
            observer = self._observers.get(event.event_id)
            if observer is not None and event.event_id not in refused:
                with _logged():
                    observer.on_stored()
        for future, answer in zip(part.futures, result.answers, strict=False):
            if future.set_running_or_notify_cancel():
                future.set_result(answer)
        for settlement in batch.outcomes:
            outcome = _outcome_of(settlement)
            if outcome is not None:
                self.notify(settlement.claim.event_id, [settlement.claim.destination], outcome)
        for event_id, name, reason in result.dropped:
            self.notify(event_id, [name], Dropped(reason))
        for event_id, name, outcome in result.settled:
            self.notify(event_id, [name], outcome)
        for event_id in batch.watched:
            if event_id in self._observers or event_id in self._open:
                self._watched[event_id] = batch.at
            else:
                self._watched.pop(event_id, None)

    def notify(self, event_id: str, names: Sequence[str], outcome: Outcome) -> None:
        """Notify the observer of an event of its outcome at some destinations."""
        left = [name for name in self._open.get(event_id, ()) if name not in names]
        if left:
            self._open[event_id] = left
        else:
            self._open.pop(event_id, None)
            for flush in self._flushes:
                flush.settle(event_id)
        observer = self._observers.get(event_id)
        if observer is not None:
            for name in names:
                with _logged():
                    observer.on_settled(name, outcome)


@contextmanager
def _logged() -> Generator[None]:
    """Log what an observer raises: it must not keep the others from being notified."""
    try:
        yield
    except Exception:
        log.exception("internal error of an observer")


def _outcome_of(settlement: Settlement) -> Outcome | None:
    if settlement.kind == "delivered":
        return Delivered(settlement.response)
    return Dead(settlement.reason or "unknown") if settlement.kind == "dead" else None
