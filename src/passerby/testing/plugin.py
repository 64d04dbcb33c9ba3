"""The pytest plugin: in tests nothing is sent, and the fixture `captured_events` records the events."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from ..delivery.dry_run import dry_run_mode
from ..logs import rate_limit
from . import CapturedEvents, capture_events

LIVE = "passerby_live"
_BEFORE = pytest.StashKey[object]()  # the state before: a nested run of pytest must restore it


def pytest_configure(config: pytest.Config) -> None:
    """Start the dry run before any app is imported."""
    config.addinivalue_line("markers", f"{LIVE}: events of this test are sent")
    config.stash[_BEFORE] = dry_run_mode.enter()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the dry run."""
    if (before := config.stash.get(_BEFORE, None)) is not None:
        dry_run_mode.restore(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Send the events of tests marked `passerby_live`, and reset the rate limits of log messages for each test."""
    rate_limit.clear()
    if item.get_closest_marker(LIVE) is None:
        return (yield)
    dry_run_mode.stop()
    try:
        return (yield)
    finally:
        dry_run_mode.start()


@pytest.fixture
def captured_events() -> Iterator[CapturedEvents]:
    """The events of the app under test, with assertions; see `passerby.testing.CapturedEvents`."""
    with capture_events() as events:
        yield events
