"""The demo as its users have it: a command that runs, and browsers on two devices."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.running import PATIENCE, Running, running

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
SYSTEMS = ("sitecore", "customerio", "datalyr")


class Demo:
    """A demo that runs.

    Attributes:
        command: its process.
        laptop: the shop's origin on the laptop.
        phone: the shop's origin on the phone.
        collector: the collector's origin.
        outbox: the directory in which events wait.
    """

    def __init__(self, command: Running) -> None:
        self.command = command
        self.laptop = command.wait_for(r"Open (http://localhost:\d+)/side-by-side and click around")[1]
        self.phone = command.wait_for(r"on a phone +(http://127\.0\.0\.1:\d+)/")[1]
        self.collector = command.wait_for(r"what arrives +(http://localhost:\d+)/_collector/")[1]
        self.outbox = command.wait_for(r"the outbox +(\S+)")[1]

    def ledger(self) -> dict[str, tuple[int, ...]]:
        """What the command said at its end: recorded, delivered, pending, dead, dropped."""
        equation = re.compile(
            r"  (\w+) +recorded (\d+) = delivered (\d+) \+ pending (\d+) \+ dead (\d+) \+ dropped (\d+)"
        )
        found = [match for line in self.command.lines if (match := equation.fullmatch(line))]
        return {match[1]: tuple(map(int, match.groups()[1:])) for match in found}

    def ask(self, path: str) -> Any:
        """What the collector says."""
        return httpx.get(f"{self.collector}/_collector/{path}", timeout=PATIENCE).json()

    def people(self, system: str, events: int) -> Any:
        """Who is who in a system, as soon as so many events of known people have arrived."""
        gives_up = time.monotonic() + PATIENCE
        while True:
            people = self.ask(f"people/{system}")
            if sum(one["events"] for one in people["users"]) >= events:
                return people
            assert time.monotonic() < gives_up, people
            time.sleep(0.02)

    def person(self, system: str, user_id: str) -> Any:
        """A person of a system, with the timeline."""
        return self.ask(f"person/{system}?user={user_id}")["person"]


@contextmanager
def playing(*arguments: str) -> Generator[Demo]:
    """Start the demo on free ports; it is ended in the end."""
    with running("demo", "--port", "0", "--collector-port", "0", *arguments) as command:
        yield Demo(command)


@contextmanager
def browsing(origin: str) -> Generator[httpx.Client]:
    """Open a browser at a shop."""
    with httpx.Client(base_url=origin, headers=NAVIGATION, follow_redirects=True, timeout=PATIENCE) as client:
        yield client


def browser_id_of(browser: httpx.Client, cookie: str = "bid_demo") -> str:
    return browser.cookies[cookie]


def shown(answer: httpx.Response, what: str) -> str:
    """What a page says that passerby knows, such as the user-id."""
    found = re.search(rf"data-{what}>([^<]*)<", answer.text)
    assert found is not None
    return found[1]
