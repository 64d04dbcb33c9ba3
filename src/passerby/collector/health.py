"""Health for the page: counts, lag and the state of the app's outbox, sampled once a second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from logging import Logger
from statistics import quantiles

from ..logs import get_logger
from .api_request import SYSTEMS, System
from .feed import Feed
from .json_object import JSONObject
from .outbox_health import OutboxHealth
from .store import Store

log: Logger = get_logger("passerby.collector")

SAMPLE_INTERVAL = 1.0  # seconds between two samples
HISTORY = 600  # samples
LAG_SAMPLES = 60  # samples from which lag is calculated
LAG_REQUESTS = 50  # requests per sample for lag: enough for a percentile, at a bounded cost

BACKFILLED = 43_200.0  # seconds; older events were imported, they are not late

FindOutbox = Callable[[], OutboxHealth | None]


class Health:
    """Samples the health while the collector runs.

    Args:
        store: the received requests.
        feed: the received items.
        find_outbox: returns the outbox's health, if there is an outbox. Called once a second, in a thread.
        clock: the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        find_outbox: FindOutbox | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._feed = feed
        self._find_outbox = find_outbox
        self._clock = clock
        self._cursor = feed.end
        self._outbox: OutboxHealth | None = None
        self._before = store.counts_by_system()
        self._lags: deque[dict[str, list[float]]] = deque(maxlen=LAG_SAMPLES)
        self._history: deque[JSONObject] = deque(maxlen=HISTORY)

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            try:
                await asyncio.to_thread(self.sample)
            except Exception:  # such as a full disk: the page keeps the last values, and later samples may succeed
                log.exception("health check failed")
            await asyncio.sleep(SAMPLE_INTERVAL)

    def sample(self) -> None:
        """Take one sample."""
        lags = self._read_lags()
        outbox = self._outbox = self._read_outbox()
        (before, clears), now = self._before, self._store.counts_by_system()
        self._before = now
        new = now[0] if now[1] != clears else _difference(now[0], before)
        self._lags.append(lags)
        self._history.append(
            {
                "time": self._clock(),
                "accepted": sum(counts["accepted"] for counts in new.values()),
                "failed": sum(counts["failed"] for counts in new.values()),
                "pending": None if outbox is None else outbox.total("pending"),
                "dead": None if outbox is None else outbox.total("dead"),
                "retries": None if outbox is None else outbox.total("retries"),
                "lag": _percentile([lag for some in lags.values() for lag in some], 95),
            }
        )

    def as_json(self) -> JSONObject:
        """The current values and their history."""
        recent = list(self._lags)
        counts, _ = self._store.counts_by_system()
        return {
            "seen": {
                system: {**counts[system], "lag": _lag([lag for each in recent for lag in each.get(system, ())])}
                for system in SYSTEMS
            },
            "outbox": None if self._outbox is None else self._outbox.as_json(),
            "history": list(self._history),
        }

    def _read_lags(self) -> dict[str, list[float]]:
        """The lag of the latest events, by system."""
        lags: dict[str, list[float]] = {}
        page = self._feed.read(max(self._cursor, self._feed.latest(LAG_REQUESTS)))
        for item in page.items:
            if item.occurred_at is not None and item.accepted and item.time - item.occurred_at < BACKFILLED:
                lags.setdefault(item.system, []).append(max(0.0, item.time - item.occurred_at))
        self._cursor = self._feed.end
        return lags

    def _read_outbox(self) -> OutboxHealth | None:
        try:
            return None if self._find_outbox is None else self._find_outbox()
        except Exception:  # the function is the user's; the collector continues
            log.exception("reading the outbox's health failed")
            return None


def _difference(
    now: Mapping[System, Mapping[str, int]], before: Mapping[System, Mapping[str, int]]
) -> dict[System, dict[str, int]]:
    return {
        system: {name: number - before[system][name] for name, number in counts.items()}
        for system, counts in now.items()
    }


def _lag(lags: list[float]) -> JSONObject | None:
    return {"p50": _percentile(lags, 50), "p95": _percentile(lags, 95)} if lags else None


def _percentile(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[percent - 1]
