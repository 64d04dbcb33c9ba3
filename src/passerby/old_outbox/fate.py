"""What becomes of a row that a dead process left, by the notices which that process may not have heard of."""

from __future__ import annotations

from collections.abc import Iterable

from ..values.json import dumps
from .board import Notice, read_which_dead
from .entry import CLEARED, PURGED
from .eventtext import UnreadableEvent, read_event
from .row import Row


def decide(row: Row, notices: Iterable[Notice], now: float) -> Row | str:
    """Return the row as it is after all notices that concern it, or why it is not kept.

    What was told, or died, after a notice was posted is not concerned. What the dead process did hear of has been done;
    to do that again changes nothing.

    Args:
        row: as it was found.
        notices: in their order.
        now: seconds since 1970.
    """
    for notice in notices:
        if row.told_at <= notice.at or (notice.kind == "purge visitor" and is_of_the_future(row, now)):
            fate = _after(row, notice, now)
            if isinstance(fate, str):
                return fate
            row = fate
    return row


def is_of_the_future(row: Row, now: float) -> bool:
    """Whether an entry was told before the clock was set back: nobody can say how long ago, so it is to be erased."""
    return row.told_at > now


def is_about(row: Row, who: str) -> bool:
    """Whether an entry is of a visitor, given by browser ID or user ID."""
    if who in (row.visitor, row.linked):
        return True
    if dumps(who) not in row.body:
        return False
    try:
        event = read_event(row.body)
    except UnreadableEvent:
        return False
    return who in (event.browser_id, event.user_id)


def _after(row: Row, notice: Notice, now: float) -> Row | str:
    match notice.kind:
        case "release" | "clear" if row.state == "held" and notice.subject in (row.visitor, row.linked):
            return row._replace(state="waiting") if notice.kind == "release" else CLEARED
        case "purge visitor" if is_about(row, notice.subject):
            return PURGED
        case "purge dead" if _is_meant_dead(row, notice):
            return PURGED
        case "retry dead" if _is_meant_dead(row, notice):
            return row._replace(state="waiting", attempts=0, due=0.0, wait=0.0, reason=None, told_at=now)
        case "send now" if row.state == "waiting" and row.due - row.wait <= notice.at:
            return row._replace(due=0.0, wait=0.0)
        case _:
            return row


def _is_meant_dead(row: Row, notice: Notice) -> bool:
    if row.state != "dead" or row.due > notice.at:
        return False
    try:
        destination, event_id = read_which_dead(notice.subject)
    except ValueError:  # of a version to come
        return False
    return destination in (None, row.destination) and event_id in (None, row.event_id)
