"""The current tracker: that of the request being handled, available anywhere in its code."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..http.request import TRACKER_KEY
from .tracker import Tracker

# The current tracker. Its request may have ended.
active: ContextVar[Tracker | None] = ContextVar("passerby_tracker", default=None)
_finders: list[Callable[[], Tracker | None]] = []


def current_tracker() -> Tracker:
    """Return the tracker of the request being handled, anywhere in its code.

    Raises:
        LookupError: there is no request, or no middleware has seen it.
    """
    tracker = active.get()
    for find in _finders:
        found = find()
        if found is not None and not _is_within(tracker, found):
            tracker = found
    if tracker is None:
        raise LookupError(
            "no tracker here: this code does not run in a request that passed the middleware; "
            "use tracking.for_visitor(browser_id) outside of requests"
        )
    return tracker


def register_finder(find: Callable[[], Tracker | None]) -> None:
    """Register a function of a framework for `current_tracker`, for code that context variables do not reach.

    Args:
        find: returns the tracker of the framework's current request, or None if it has none.
    """
    if find not in _finders:
        _finders.append(find)


def context_tracker() -> Tracker | None:
    """Return the tracker in the context variable, whether or not its request has ended."""
    return active.get()


reset_current: Callable[[Any], None] = active.reset


def set_current(tracker: Tracker) -> Any:
    """Make a tracker the current one. Returns the token for `reset_current`."""
    outer = active.get()
    if outer is not None or tracker.outer is not None:
        tracker.nest(outer if outer is not None and is_open(outer) else None)
    return active.set(tracker)


def activate(tracker: Tracker) -> None:
    """Make a tracker the current one, until `deactivate`, which may be called in another context."""
    outer = active.get()
    # After a nested request the outer one is current again, but not a finished one that is still set in this thread.
    tracker.nest(outer if outer is not None and outer.session.is_active else None)
    tracker.session.start_handling()
    active.set(tracker)


def deactivate(tracker: Tracker) -> None:
    """Restore the outer tracker, if this one is still the current one."""
    if active.get() is tracker:
        active.set(tracker.outer)


def is_open(tracker: Tracker) -> bool:
    """Return whether the request of a tracker has not ended."""
    request = tracker.session.request
    return request is not None and TRACKER_KEY in request.native  # a finished request is detached


def _is_within(inner: Tracker | None, outer: Tracker) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.outer
    return inner is outer
