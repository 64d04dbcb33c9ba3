"""Visitors of a site: each a browser with a cookie, and with the patience to come back when a server dies."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

TIMEOUT = 10.0  # seconds for one page


class Visitor:
    """One browser on one connection.

    Attributes:
        recorded: the IDs of the events of all pages that were answered.
        times: how many seconds each of these took.
        failures: how many pages were not answered.
        statuses: what they were answered with.
    """

    def __init__(self, port: int) -> None:
        self.recorded: list[str] = []
        self.times: list[float] = []
        self.failures: int = 0
        self.statuses: set[int] = set()
        self._port = port
        self._connection: http.client.HTTPConnection | None = None
        self._headers = {"Sec-Fetch-Dest": "document", "Cookie": f"bid_chaos={uuid4()}"}

    def visit(self) -> bool:
        """Ask for a page; whether it was answered."""
        begun = time.perf_counter()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
            self._connection.request("GET", "/", headers=self._headers)
            response = self._connection.getresponse()
            recorded = response.headers.get("x-recorded")
            if recorded is not None:  # the response has started: that is the promise
                self.recorded.append(recorded)
            self.statuses.add(response.status)
            response.read()
        except (OSError, http.client.HTTPException):
            self.leave()
            self.failures += 1
            return False
        self.times.append(time.perf_counter() - begun)
        return True

    def leave(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def visit_all(visitors: list[Visitor], number: int) -> None:
    """Have each of them see so many pages, all at the same time."""
    threads = [threading.Thread(target=_visit_often, args=(visitor, number)) for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _visit_often(visitor: Visitor, number: int) -> None:
    for _ in range(number):
        if not visitor.visit():
            time.sleep(0.05)
    visitor.leave()


@contextmanager
def visiting(visitors: list[Visitor], pause: float) -> Iterator[None]:
    """Have all of them come again and again meanwhile."""
    is_over = threading.Event()

    def keep_visiting(visitor: Visitor) -> None:
        while not is_over.wait(pause):
            visitor.visit()
        visitor.leave()

    threads = [threading.Thread(target=keep_visiting, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
