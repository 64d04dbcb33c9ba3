"""The current tracker: that of the request which is being handled, found anywhere below it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..http.request import TRACKER_KEY
from .tracker import Tracker

_current: ContextVar[Tracker | None] = ContextVar("passerby_tracker", default=None)
_finders: list[Callable[[], Tracker | None]] = []


def current_tracker() -> Tracker:
    """Return the tracker of the request that is being handled, anywhere below it.

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
            "no tracker here: this is not below a request that passed the middleware; "
            "use tracking.for_visitor(browser_id) outside of requests"
        )
    return tracker


def register_finder(find: Callable[[], Tracker | None]) -> None:
    """Have `current_tracker` ask a framework too, which may carry its request where a context variable does not go.

    Args:
        find: returns the tracker of the framework's current request, or None if it has none.
    """
    if find not in _finders:
        _finders.append(find)


def context_tracker() -> Tracker | None:
    """Return the tracker that the context variables have, whether or not its request has ended."""
    return _current.get()


def active_tracker() -> Tracker | None:
    """Return the tracker of the request within which this runs, unless that request has ended."""
    tracker = _current.get()
    return tracker if tracker is not None and _is_open(tracker) else None


reset_current: Callable[[Any], None] = _current.reset


def set_current(tracker: Tracker) -> Any:
    """Make a tracker the current one; return what `leave` needs."""
    tracker.nest(active_tracker())
    return _current.set(tracker)


def activate(tracker: Tracker) -> None:
    """Make a tracker the current one, where it is not known in advance when it stops being that."""
    outer = _current.get()
    # A request within a request comes back to it; one that just lingers in this thread has had its time.
    tracker.nest(outer if outer is not None and outer.session.is_active else None)
    tracker.session.start_handling()
    _current.set(tracker)


def deactivate(tracker: Tracker) -> None:
    """Let a tracker no longer be the current one, if it still is."""
    if _current.get() is tracker:
        _current.set(tracker.outer)


def _is_open(tracker: Tracker) -> bool:
    request = tracker.session.request
    return request is not None and TRACKER_KEY in request.native  # the end of a request detaches it from the server's


def _is_within(inner: Tracker | None, outer: Tracker) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.outer
    return inner is outer
