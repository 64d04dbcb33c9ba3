"""The program that a contestant is part of: `python -m chaos.peers.child '{"contestant": ..., ...}'`.

It says of every call how long it took, so that whoever kills it knows what was told until then.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import signal
import sys
import time
from collections import Counter
from typing import Any
from uuid import UUID

from .contestants import Client, Contestant, contestant_named

raised: Counter[str] = Counter()  # what calls raised


def event_id_of(number: int) -> str:
    """The ID of the event of a number, the same in every process."""
    return str(UUID(int=number, version=4))


def say(*words: object) -> None:
    text = (" ".join(map(str, words)) + "\n").encode()
    while text:
        text = text[os.write(1, text) :]


class Log(logging.Handler):
    """Counts what is logged: contestants that report a loss that way have reported it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines[f'log "{re.sub(r"[0-9][0-9.]*", "n", record.getMessage())[:60]}"'] += 1


def tell(client: Client, first: int, number: int, gap: float) -> None:
    """Tell events, and say of each whether the call took it and how many milliseconds that lasted.

    Without a gap it is said in the end: to say it would be one.
    """
    lines: list[str] = []
    for count in range(first, first + number):
        begun = time.perf_counter()
        try:
            is_taken = client.tell(event_id_of(count), count)
        except Exception as error:
            is_taken = False
            raised[f"raised {type(error).__name__}"] += 1
        took = (time.perf_counter() - begun) * 1000
        lines.append(f"{'told' if is_taken else 'refused'} {count} {took:.3f}")
        if gap:
            say(lines.pop())
            time.sleep(gap)
    if lines:
        say("\n".join(lines))


def end(contestant: Contestant, client: Client) -> None:
    """End the client, unless it does so by itself."""
    say("ending")
    if not contestant.ends_by_itself:
        client.end()


def fork(contestant: Contestant, client: Client, number: int, gap: float, rest: float) -> None:
    """Be a server that loads the app and then forks its workers, each of which tells some events."""
    children: list[int] = []
    for worker in range(4):
        child = os.fork()
        if child == 0:
            tell(client, worker * number, number, gap)
            time.sleep(rest)
            end(contestant, client)
            sys.exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def main(contestant: str, url: str, directory: str, number: int, gap: float, way: str, rest: float = 0.0) -> None:
    log = Log()
    logging.getLogger().addHandler(log)
    logging.getLogger("passerby").setLevel(logging.INFO)
    chosen = contestant_named(contestant)
    client: Client | None = None

    def report() -> None:
        if client is not None:
            say("said", json.dumps(client.said + raised + log.lines))

    atexit.register(report)  # before the client's own, so that it comes after that
    client = chosen.make(url, directory)
    say("ready")
    if way == "fork":
        fork(chosen, client, number, gap, rest)
        return
    tell(client, 0, number, gap)
    if way == "pause":
        signal.pause()
    if way == "os._exit":
        os._exit(0)
    if way == "wait":
        say("waiting")
        sys.stdin.readline()
    end(chosen, client)


if __name__ == "__main__":
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    main(**arguments)
