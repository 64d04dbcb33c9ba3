"""The current tracker: that of the request being handled, available anywhere in its code."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..http.request import TRACKER_KEY
from .tracker import Tracker

_current: ContextVar[Tracker | None] = ContextVar("passerby_tracker", default=None)
_finders: list[Callable[[], Tracker | None]] = []


def current_tracker() -> Tracker:
    """Return the tracker of the request being handled, anywhere in its code.

    Raises:
        LookupError: there is no request, or no middleware has seen it.
    """
    tracker = _current.get()
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
    return _current.get()


def active_tracker() -> Tracker | None:
    """Return the tracker of the request in which this runs, unless the request has ended."""
    tracker = _current.get()
    return tracker if tracker is not None and _is_open(tracker) else None


reset_current: Callable[[Any], None] = _current.reset


def set_current(tracker: Tracker) -> Any:
    """Make a tracker the current one. Returns the token for `reset_current`."""
    outer = _current.get()
    tracker.nest(outer if outer is not None and _is_open(outer) else None)
    return _current.set(tracker)


def activate(tracker: Tracker) -> None:
    """Make a tracker the current one, until `deactivate`, which may be called in another context."""
    outer = _current.get()
    # After a nested request the outer one is current again, but not a finished one that is still set in this thread.
    tracker.nest(outer if outer is not None and outer.session.is_active else None)
    tracker.session.start_handling()
    _current.set(tracker)


def deactivate(tracker: Tracker) -> None:
    """Restore the outer tracker, if this one is still the current one."""
    if _current.get() is tracker:
        _current.set(tracker.outer)


def _is_open(tracker: Tracker) -> bool:
    request = tracker.session.request
    return request is not None and TRACKER_KEY in request.native  # a finished request is detached


def _is_within(inner: Tracker | None, outer: Tracker) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.outer
    return inner is outer
