"""One Chromium for the tests in this folder, and for each test profiles of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from .chromium import launched, user_agent_of
from .watch import Watch

PATIENCE = 30_000  # milliseconds, on the slowest machine
expect.set_options(timeout=PATIENCE)


class OpenProfile(Protocol):
    """Makes a browser's profile: no cookies, nothing remembered; `options` are those of Playwright's contexts."""

    def __call__(self, **options: Any) -> BrowserContext: ...


# Not for the whole session: Playwright keeps an event loop running in this thread, in which asynchronous tests of
# other folders could not run theirs.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    with launched() as browser:
        yield browser


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test where a page did what none may do."""
    watch = Watch()
    yield watch
    watch.end()


@pytest.fixture
def open_profile(chromium: Browser, watch: Watch) -> OpenProfile:
    """Make watched profiles; they are closed in the end."""

    def open_one(**options: Any) -> BrowserContext:
        context = chromium.new_context(**{"user_agent": user_agent_of(chromium), **options})
        context.set_default_timeout(PATIENCE)
        watch.follow(context)
        return context

    return open_one
