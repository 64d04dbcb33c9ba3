"""The outcome of an event at one destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination accepted the event.

    Attributes:
        response: the parsed JSON body of its response, or None if there was none.
    """

    response: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Dead:
    """The destination will never accept the event. It is a dead letter.

    Attributes:
        reason: the reason, without values of the event.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The event was dropped on purpose, and counted.

    Attributes:
        reason: a short fixed word, such as ``"consent"``, ``"gpc"``, ``"bot"``, ``"invalid"``, ``"unchanged"``,
            ``"full"``, ``"cleared"``, ``"purged"``.
        in_dry_run: whether it would have been sent, had this been no test.
    """

    reason: str
    in_dry_run: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """The event waits in the outbox.

    Attributes:
        reason: what it waits for, if known.
    """

    reason: str = "waiting"


Outcome = Delivered | Dead | Dropped | Pending
