"""What the callers of a process want of the store, until the next batch takes it along."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from logging import Logger
from typing import Any

from ..logs import get_logger
from .contract import MAX_BATCH, BrowserIdExchange, RecordedEvent, StoreCommand, StoreRequest

log: Logger = get_logger("passerby.outbox")

_BATCH_BYTES = 4 << 20
_REQUEST_BYTES = 200  # about what a request takes
_RESENT = 2.0  # seconds; so much of what was acknowledged is sent again where a store has lost batches


@dataclass(slots=True)
class BufferedPart:
    """Some of the buffer, in order: events, then requests.

    Attributes:
        ticket: of the last item.
        events: the events.
        requests: the requests.
        futures: for their answers.
        dropped: counts of events that were not recorded.
    """

    ticket: int
    events: list[RecordedEvent] = field(default_factory=list[RecordedEvent])
    requests: list[StoreRequest] = field(default_factory=list[StoreRequest])
    futures: list[Future[Any]] = field(default_factory=list[Future[Any]])
    dropped: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])


class RecordBuffer:
    """A queue of events and requests, bounded in bytes. Used by all threads.

    Args:
        max_bytes: of the payloads.

    Attributes:
        entries: how many entries (an event at a destination) are in no store yet.
        ticket: the number of the last item.
        stored: the number up to which all items are in the store.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._items: deque[RecordedEvent | tuple[StoreRequest, Future[Any]]] = deque()
        self._dropped: dict[tuple[str, str], int] = {}
        self._bytes = 0
        self.entries: int = 0
        self._again: deque[RecordedEvent] = deque()
        self._recent: deque[tuple[float, list[RecordedEvent]]] = deque()
        self._waiting: list[tuple[int, Future[None]]] = []
        self.ticket: int = 0
        self.stored: int = 0

    def __len__(self) -> int:
        return len(self._items) + len(self._again) + len(self._dropped)

    def add(self, event: RecordedEvent) -> int:
        """Add an event. Returns its ticket, or 0 if there is no room."""
        size = len(event.payload)
        with self._lock:
            if self._bytes + size <= self._max_bytes:
                self._bytes += size
                self.entries += len(event.destinations)
                self._items.append(event)
                self.ticket += 1
                return self.ticket
        return 0

    def ask(self, request: StoreRequest) -> Future[Any]:
        """Add a request. Returns a future for its answer, which says nothing if there is no room."""
        answer: Future[Any] = Future()
        with self._lock:
            if self._bytes + _REQUEST_BYTES <= self._max_bytes or _must_be_kept(request):
                self._bytes += _REQUEST_BYTES
                self._items.append((request, answer))
                self.ticket += 1
                return answer
        log.warning("too many requests wait for the outbox's store; one is dropped, and what is held stays held")
        answer.set_result([] if isinstance(request, BrowserIdExchange) else None)
        return answer

    def drop(self, destination: str, reason: str, number: int = 1) -> None:
        """Count events that were not recorded."""
        with self._lock:
            self._dropped[destination, reason] = self._dropped.get((destination, reason), 0) + number

    def take(self) -> BufferedPart:
        """Take what fits into a batch. An event behind a request waits for the next one, to keep the order."""
        with self._lock:
            items, taken, size = self._items, BufferedPart(0), 0
            while self._again and len(taken.events) < MAX_BATCH:
                taken.events.append(self._again.popleft())
            while items and len(taken.events) < MAX_BATCH and size < _BATCH_BYTES:
                item = items[0]
                if isinstance(item, RecordedEvent):
                    if taken.requests:
                        break
                    taken.events.append(item)
                    size += len(item.payload)
                else:
                    size += _REQUEST_BYTES
                    taken.requests.append(item[0])
                    taken.futures.append(item[1])
                items.popleft()
            self._bytes -= size
            taken.ticket = self.ticket - len(items)
            taken.dropped = [(*key, number) for key, number in self._dropped.items()]
            self._dropped.clear()
        return taken

    def events(self) -> list[RecordedEvent]:
        """Return the events that wait for a batch."""
        with self._lock:
            return [item for item in self._items if isinstance(item, RecordedEvent)]

    def when_stored(self, ticket: int) -> Future[None]:
        """Return a future that is done when all up to a ticket is in the store."""
        future: Future[None] = Future()
        with self._lock:
            if ticket > self.stored:
                self._waiting.append((ticket, future))
                return future
        future.set_result(None)
        return future

    def note_stored(self, part: BufferedPart, now: float) -> None:
        """Note that a part is in the store."""
        with self._lock:
            self.stored = max(self.stored, part.ticket)
            self.entries -= sum(len(event.destinations) for event in part.events)
            if part.events:
                self._recent.append((now, part.events))
            while self._recent and self._recent[0][0] < now - _RESENT:
                self._recent.popleft()
            done = [future for ticket, future in self._waiting if ticket <= self.stored]
            self._waiting = [each for each in self._waiting if each[0] > self.stored]
        for future in done:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def send_again(self, now: float) -> int:
        """Put what was stored in the last moments before what waits. Returns how many events."""
        with self._lock:
            events = [event for at, recent in self._recent if at >= now - _RESENT for event in recent]
            self._recent.clear()
            self._again.extend(events)
            self.entries += sum(len(event.destinations) for event in events)
        return len(events)


def _must_be_kept(request: StoreRequest) -> bool:
    """Return whether a request is kept though there is no room: who is to be erased is."""
    return isinstance(request, StoreCommand) and request.kind in ("purge_visitor", "suppress")
