"""How much has arrived, kept as it is written: to count the rows would take longer with every one of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

from .ask import OWNERS, PLAYED, Played, Route
from .json_object import JSONObject
from .row import Kept
from .scripted import AS_TOLD

BY_ROUTE = """
SELECT route, count(*), sum(refusal IS NOT NULL), sum(is_failed), sum(refusal IS NOT NULL AND NOT is_failed)
FROM (SELECT route, refusal, status IS NULL OR refusal IS ? AS is_failed FROM requests) GROUP BY route
"""
ACCEPTED = """
SELECT 'sitecore', count(*) FROM events UNION ALL SELECT system, count(*) FROM messages GROUP BY system
"""
REPEATED = "SELECT system, number FROM repeats"


class Counts:
    """The figures.

    Attributes:
        by_route: the requests.
        refused: those that were refused, for whatever reason.
        accepted: the accepted events or messages, by system.
        wrong: the requests that the real service would refuse, by system.
        failed: the requests at which the collector misbehaved as it was told to, by system.
        repeated: the messages that had been taken before, by system.
    """

    def __init__(self) -> None:
        self.by_route: Counter[Route] = Counter()
        self.refused: int = 0
        self.accepted: Counter[Played] = Counter()
        self.wrong: Counter[Played] = Counter()
        self.failed: Counter[Played] = Counter()
        self.repeated: Counter[Played] = Counter()

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Counts:
        """Count what there is."""
        counts = cls()
        for route, number, refused, failed, wrong in connection.execute(BY_ROUTE, (AS_TOLD,)):
            counts._add(route, number, refused, failed, wrong)
        counts.accepted.update(dict(connection.execute(ACCEPTED).fetchall()))
        counts.repeated.update(dict(connection.execute(REPEATED).fetchall()))
        return counts

    def add(self, kept: Iterable[Kept], repeated: Mapping[Played, int]) -> None:
        """Count what was written, and how many messages of it had been taken before."""
        for each in kept:
            received = each.received
            is_failed = received.status is None or received.refusal == AS_TOLD
            is_refused = received.refusal is not None
            self._add(received.route, 1, is_refused, is_failed, is_refused and not is_failed)
            if each.event is not None:
                self.accepted["sitecore"] += 1
            elif each.system is not None:
                self.accepted[each.system] += len(each.messages)
        self.repeated.update(repeated)

    def as_json(self, browser_ids: int) -> JSONObject:
        """What the control path says in its statistics."""
        return {
            "requests": self.by_route.total(),
            "accepted_events": self.accepted.total(),
            "refused": self.refused,
            "browser_ids": browser_ids,
            "by_route": dict(sorted(self.by_route.items())),
        }

    def by_system(self) -> dict[Played, dict[str, int]]:
        """What the live page says of each system."""
        return {
            system: {
                "accepted": self.accepted[system],
                "refused": self.wrong[system],
                "failed": self.failed[system],
                "repeated": self.repeated[system],
            }
            for system in PLAYED
        }

    def _add(self, route: Route, number: int, refused: int, failed: int, wrong: int) -> None:
        self.by_route[route] += number
        self.refused += refused
        if route in OWNERS:
            system = OWNERS[route]
            self.failed[system] += failed
            self.wrong[system] += wrong
