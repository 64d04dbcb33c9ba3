"""Counts of what arrived, updated with each write, as counting rows would get slower with each row."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

from .api_request import SYSTEM_OF_ROUTE, SYSTEMS, Route, System
from .faults import BY_FAULT
from .json_object import JSONObject
from .request_record import RequestRecord

BY_ROUTE = """
SELECT route, count(*), sum(refusal IS NOT NULL), sum(is_failed), sum(refusal IS NOT NULL AND NOT is_failed)
FROM (SELECT route, refusal, status IS NULL OR refusal IS ? AS is_failed FROM requests) GROUP BY route
"""
ACCEPTED = """
SELECT 'sitecore', count(*) FROM events UNION ALL SELECT system, count(*) FROM messages GROUP BY system
"""
REPEATED = "SELECT system, number FROM repeats"


class Counts:
    """The counts.

    Attributes:
        by_route: the requests.
        refused: the refused requests.
        accepted: the accepted events or messages, by system.
        wrong: the requests that the real service would refuse, by system.
        failed: the requests that a fault answered, by system.
        repeated: the messages that had been accepted before, by system.
    """

    def __init__(self) -> None:
        self.by_route: Counter[Route] = Counter()
        self.refused: int = 0
        self.accepted: Counter[System] = Counter()
        self.wrong: Counter[System] = Counter()
        self.failed: Counter[System] = Counter()
        self.repeated: Counter[System] = Counter()

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Counts:
        """Count the rows of a database."""
        counts = cls()
        for route, number, refused, failed, wrong in connection.execute(BY_ROUTE, (BY_FAULT,)):
            counts._add(route, number, refused, failed, wrong)
        counts.accepted.update(dict(connection.execute(ACCEPTED).fetchall()))
        counts.repeated.update(dict(connection.execute(REPEATED).fetchall()))
        return counts

    def add(self, kept: Iterable[RequestRecord], repeated: Mapping[System, int]) -> None:
        """Add written requests, and how many of their messages were repeated."""
        for each in kept:
            received = each.received
            is_refused = received.refusal is not None
            self._add(received.route, 1, is_refused, received.is_failed, is_refused and not received.is_failed)
            if each.event is not None:
                self.accepted["sitecore"] += 1
            elif each.system is not None:
                self.accepted[each.system] += len(each.messages)
        self.repeated.update(repeated)

    def as_json(self, browser_ids: int) -> JSONObject:
        """The counts for the admin API."""
        return {
            "requests": self.by_route.total(),
            "accepted_events": self.accepted.total(),
            "refused": self.refused,
            "browser_ids": browser_ids,
            "by_route": dict(sorted(self.by_route.items())),
        }

    def by_system(self) -> dict[System, dict[str, int]]:
        """The counts of each system for the live page."""
        return {
            system: {
                "accepted": self.accepted[system],
                "refused": self.wrong[system],
                "failed": self.failed[system],
                "repeated": self.repeated[system],
            }
            for system in SYSTEMS
        }

    def _add(self, route: Route, number: int, refused: int, failed: int, wrong: int) -> None:
        self.by_route[route] += number
        self.refused += refused
        if route in SYSTEM_OF_ROUTE:
            system = SYSTEM_OF_ROUTE[route]
            self.failed[system] += failed
            self.wrong[system] += wrong
