"""The current tracker: that of the request which is being handled, found anywhere below it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .tracker import Tracker

_current: ContextVar[Tracker | None] = ContextVar("passerby_tracker", default=None)


def current_tracker() -> Tracker:
    """Return the tracker of the request that is being handled, anywhere below it.

    Raises:
        LookupError: there is no request, or no middleware has seen it.
    """
    tracker = _current.get()
    if tracker is None:
        raise LookupError(
            "no tracker here: this is not below a request that passed the middleware; "
            "use tracking.for_visitor(browser_id) outside of requests"
        )
    return tracker


enter: Callable[[Tracker | None], Any] = _current.set
leave: Callable[[Any], None] = _current.reset


def step_in(tracker: Tracker) -> None:
    """Make a tracker the current one, where it is not known in advance when it stops being that."""
    outer = _current.get()
    # A request within a request comes back to it; one that just lingers in this thread has had its time.
    tracker.outer = outer if outer is not None and outer.visit.is_under_way else None
    tracker.visit.is_under_way = True
    _current.set(tracker)


def step_out(tracker: Tracker) -> None:
    """Let a tracker no longer be the current one, if it still is."""
    if _current.get() is tracker:
        _current.set(tracker.outer)
