"""Test helpers for apps: nothing is sent, and the events that the app tracks are captured.

With pytest no set-up is needed: a plugin comes with the package, and its fixture `captured_events` records the events.
With other runners `dry_run()` does the same.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..delivery.dry_run import dry_run_mode
from .captured_events import CapturedEvents as CapturedEvents


@contextmanager
def dry_run() -> Generator[CapturedEvents]:
    """Send nothing within the block, and capture events.

    New visitors get browser IDs without a network call, and events count as dropped ("dry-run"). Events to a
    `passerby.collector.CollectorServer` in this process are still delivered.
    """
    before = dry_run_mode.enter()
    try:
        with capture_events() as events:
            yield events
    finally:
        dry_run_mode.restore(before)


@contextmanager
def capture_events() -> Generator[CapturedEvents]:
    """Capture the events of every `Tracking` in this process within the block."""
    events = CapturedEvents()
    dry_run_mode.observers.append(events)
    try:
        yield events
    finally:
        dry_run_mode.observers.remove(events)
