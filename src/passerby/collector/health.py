"""How things go, for the page: what arrived, how late, and how the app's outbox is; sampled once a second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from logging import Logger
from statistics import quantiles

from ..logs import get_logger
from .ask import PLAYED, Played
from .feed import Feed
from .json_object import JSONObject
from .outbox_health import OutboxHealth
from .store import Store

log: Logger = get_logger("passerby.collector")

EVERY = 1.0  # seconds between two samples
HISTORY = 600  # samples
RECENT = 60  # samples over which lag is looked at
LATEST = 50  # requests a sample at whose lag it looks: enough for a percentile, and little work however much arrives

FindOutbox = Callable[[], OutboxHealth | None]


class Health:
    """Samples how things go as long as the collector runs.

    Args:
        store: what has arrived.
        feed: the same as items.
        find_outbox: gives the outbox's health, if there is one to look at. Called once a second, in a thread.
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
        self._lags: deque[dict[str, list[float]]] = deque(maxlen=RECENT)
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
        lags = self._read_lags()
        outbox = self._outbox = self._ask_outbox()
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
        """The figures, and their history."""
        recent = list(self._lags)
        counts, _ = self._store.counts_by_system()
        return {
            "seen": {
                system: {**counts[system], "lag": _lag([lag for each in recent for lag in each.get(system, ())])}
                for system in PLAYED
            },
            "outbox": None if self._outbox is None else self._outbox.as_json(),
            "history": list(self._history),
        }

    def _read_lags(self) -> dict[str, list[float]]:
        """How late the latest events came, by system."""
        lags: dict[str, list[float]] = {}
        page = self._feed.read(max(self._cursor, self._feed.latest(LATEST)))
        for item in page.items:
            if item.told is not None and item.accepted:
                lags.setdefault(item.system, []).append(max(0.0, item.time - item.told))
        self._cursor = self._feed.end
        return lags

    def _ask_outbox(self) -> OutboxHealth | None:
        try:
            return None if self._find_outbox is None else self._find_outbox()
        except Exception:  # whoever gave it may do anything in it, and the collector goes on
            log.exception("the outbox could not be asked how it is")
            return None


def _difference(
    now: Mapping[Played, Mapping[str, int]], before: Mapping[Played, Mapping[str, int]]
) -> dict[Played, dict[str, int]]:
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
