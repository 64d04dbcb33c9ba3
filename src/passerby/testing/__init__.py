"""Test helpers for apps: nothing is sent, and the events that the app tracks are captured.

With pytest nothing has to be set up: the plugin comes with the package, and its fixture `tracked` is a `Told`.
Elsewhere `rehearse()` does the same.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..delivery.dry_run import dry_run_mode
from .captured_events import Told as Told


@contextmanager
def rehearse() -> Generator[Told]:
    """Refuse all calls for a while, and note what is told.

    New visitors get browser IDs without anybody being asked, and events count as dropped ("dry-run"). What goes to a
    `passerby.collector.CollectorServer` that runs in this process is delivered as ever.
    """
    before = dry_run_mode.enter()
    try:
        with listen() as told:
            yield told
    finally:
        dry_run_mode.restore(before)


@contextmanager
def listen() -> Generator[Told]:
    """Note what is told for a while, by every `Tracking` of this process."""
    told = Told()
    dry_run_mode.observers.append(told)
    try:
        yield told
    finally:
        dry_run_mode.observers.remove(told)
