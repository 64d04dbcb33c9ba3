"""How things go, for the page: what arrived, how late, and how the app's outbox is; sampled once a second."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from logging import Logger
from statistics import quantiles

from ..logs import get_logger
from .ask import PLAYED, Played
from .feed import Feed
from .item import Item
from .json_object import JSONObject
from .outbox_health import OutboxHealth
from .scripted import AS_TOLD

log: Logger = get_logger("passerby.collector")

EVERY = 1.0  # seconds between two samples
HISTORY = 600  # samples
RECENT = 60  # seconds over which lag is looked at
MOST_LAGS = 200  # kept of one second and system: enough for a percentile

FindOutbox = Callable[[], OutboxHealth | None]


@dataclass(slots=True)
class _Seen:
    """What arrived for a system."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    repeated: int = 0
    lags: deque[list[float]] = field(default_factory=lambda: deque[list[float]](maxlen=RECENT))  # second by second

    def add(self, items: Iterable[Item]) -> None:
        lags: list[float] = []
        for item in items:
            self.failed += is_failed(item)
            self.refused += item.refusal is not None and not is_failed(item)
            self.repeated += item.repeated
            if item.accepted and item.is_event:
                self.accepted += 1
                lags += [] if item.told is None else [max(0.0, item.time - item.told)]
        self.lags.append(lags[:: len(lags) // MOST_LAGS + 1])

    def as_json(self) -> JSONObject:
        lags = [lag for second in self.lags for lag in second]
        return {
            "accepted": self.accepted,
            "refused": self.refused,
            "failed": self.failed,
            "repeated": self.repeated,
            "lag": {"p50": _percentile(lags, 50), "p95": _percentile(lags, 95)} if lags else None,
        }


class Health:
    """Samples what has arrived since the collector was made, or since all was forgotten.

    Args:
        feed: what arrives.
        find_outbox: gives the outbox's health, if there is one to look at. Called once a second, in a thread.
        clock: the time of day, in seconds since the epoch.
    """

    def __init__(
        self, feed: Feed, find_outbox: FindOutbox | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._feed = feed
        self._find_outbox = find_outbox
        self._clock = clock
        self._lock = threading.Lock()
        self._cursor = feed.end
        self._clears = feed.clears
        self._seen = _nothing_seen()
        self._outbox: OutboxHealth | None = None
        self._history: deque[JSONObject] = deque(maxlen=HISTORY)

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            try:
                await asyncio.to_thread(self.sample)
            except Exception:  # such as a full disk: what is shown stays as it was, and may go on later
                log.exception("how things go could not be found out")
            await asyncio.sleep(EVERY)

    def sample(self) -> None:
        """Take one sample."""
        items, clears = self._read()
        outbox = self._ask_outbox()
        with self._lock:
            if clears != self._clears:
                self._clears, self._seen = clears, _nothing_seen()
            for system, seen in self._seen.items():
                seen.add(item for item in items if item.system == system)
            self._outbox = outbox
            self._history.append(
                {
                    "time": self._clock(),
                    "accepted": sum(item.accepted and item.is_event for item in items),
                    "failed": sum(is_failed(item) for item in items),
                    "pending": None if outbox is None else outbox.total("pending"),
                    "dead": None if outbox is None else outbox.total("dead"),
                    "retries": None if outbox is None else outbox.total("retries"),
                    "lag": _percentile([lag for seen in self._seen.values() for lag in seen.lags[-1]], 95),
                }
            )

    def as_json(self) -> JSONObject:
        """The figures, and their history."""
        with self._lock:
            return {
                "seen": {system: seen.as_json() for system, seen in self._seen.items()},
                "outbox": None if self._outbox is None else self._outbox.as_json(),
                "history": list(self._history),
            }

    def _read(self) -> tuple[list[Item], int]:
        """What has arrived since the last time, and the era it is of."""
        items: list[Item] = []
        clears = self._clears
        for page in self._feed.pages(self._cursor, self._feed.end):
            items = [*(items if page.clears == clears else ()), *page.items]
            self._cursor, clears = page.cursor, page.clears
        return items, clears if items else self._feed.clears

    def _ask_outbox(self) -> OutboxHealth | None:
        try:
            return None if self._find_outbox is None else self._find_outbox()
        except Exception:  # whoever gave it may do anything in it, and the collector goes on
            log.exception("the outbox could not be asked how it is")
            return None


def is_failed(item: Item) -> bool:
    """Whether the collector was told to misbehave here."""
    return item.status is None or item.refusal == AS_TOLD


def _nothing_seen() -> dict[Played, _Seen]:
    return {system: _Seen() for system in PLAYED}


def _percentile(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[percent - 1]
