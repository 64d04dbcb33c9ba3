"""How much has arrived, kept as it is written: to count the rows would take longer with every one of them."""

from __future__ import annotations

import sqlite3
from collections import Counter

from .ask import PLAYED, Played
from .json_object import JSONObject

BY_ROUTE = "SELECT route, count(*), sum(refusal IS NOT NULL) FROM requests GROUP BY route"
TAKEN = """
SELECT 'sitecore', count(*) FROM events UNION ALL SELECT system, count(*) FROM messages GROUP BY system
"""


class Counts:
    """The figures.

    Attributes:
        by_route: the requests.
        refused: those that were refused.
        taken: the accepted events or messages, by system.
    """

    def __init__(self) -> None:
        self.by_route: Counter[str] = Counter()
        self.refused: int = 0
        self.taken: Counter[Played] = Counter()

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Counts:
        """Count what there is."""
        counts = cls()
        for route, number, refused in connection.execute(BY_ROUTE):
            counts.by_route[route] = number
            counts.refused += refused
        counts.taken.update(dict(connection.execute(TAKEN).fetchall()))
        return counts

    def as_json(self, browser_ids: int) -> JSONObject:
        """All of it, in the words of the control path."""
        return {
            "requests": self.by_route.total(),
            "accepted_events": sum(self.taken[system] for system in PLAYED),
            "refused": self.refused,
            "browser_ids": browser_ids,
            "by_route": dict(sorted(self.by_route.items())),
        }
