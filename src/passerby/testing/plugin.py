"""The pytest plugin: tests tell nobody, and the fixture `tracked` says what they would have told."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from ..delivery.dry_run import dry_run_mode
from ..logs import rate_limit
from . import Told, listen

LIVE = "passerby_live"
_BEFORE = pytest.StashKey[object]()  # a run of pytest within another must leave that as it was


def pytest_configure(config: pytest.Config) -> None:
    """Begin the rehearsal before any app is imported."""
    config.addinivalue_line("markers", f"{LIVE}: events of this test are sent")
    config.stash[_BEFORE] = dry_run_mode.enter()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    if (before := config.stash.get(_BEFORE, None)) is not None:
        dry_run_mode.restore(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test out that says it wants to be, and let none be quiet because of what another has logged."""
    rate_limit.clear()
    if item.get_closest_marker(LIVE) is None:
        return (yield)
    dry_run_mode.stop()
    try:
        return (yield)
    finally:
        dry_run_mode.start()


@pytest.fixture
def tracked() -> Iterator[Told]:
    """What the app under test tells, with assertions; see `passerby.testing.Told`."""
    with listen() as told:
        yield told
