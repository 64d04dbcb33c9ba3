"""A process that records and delivers on a shared file until it is killed; it writes down what was acknowledged."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from passerby.outbox.contract import ClaimedEvent
from passerby.outbox.inflight import DeliveryWish
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore

from .process import event_of


def main(directory: str, name: str) -> None:
    """Record as fast as it goes; deliver by appending to a file."""
    folder = Path(directory)
    acknowledged = os.open(folder / f"{name}.acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    delivered = os.open(folder / f"{name}.delivered", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    outbox = Outbox(SqliteStore(folder / "outbox"), lease=1.0)

    def take(claims: Sequence[ClaimedEvent]) -> None:
        os.write(delivered, "".join(f"{claim.event_id}\n" for claim in claims).encode())
        for claim in claims:
            outbox.settle(claim, "delivered")

    if not name.startswith("app"):
        outbox.deliver({"a": DeliveryWish(20)}, take)
    number = 0
    print("runs", flush=True)
    while True:
        number += 1
        event = event_of(f"visitor {random.randrange(50)}", id=f"{name}-{number}")
        ticket = outbox.record(event, ("a",), is_awaited=True)
        if outbox.wait_stored(ticket, 30.0):
            os.write(acknowledged, f"{event.id}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
