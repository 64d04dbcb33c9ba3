"""A demo and browsers in it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .playing import Demo, browsing, playing


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A demo of the test's own."""
    with playing() as running:
        yield running


@pytest.fixture
def laptop(demo: Demo) -> Iterator[httpx.Client]:
    """A browser on the laptop, which has never been here."""
    with browsing(demo.laptop) as browser:
        yield browser


@pytest.fixture
def phone(demo: Demo) -> Iterator[httpx.Client]:
    """Another one, on the phone."""
    with browsing(demo.phone) as browser:
        yield browser


@pytest.fixture(scope="module")
def open_demo() -> Iterator[Demo]:
    """A demo that the tests of a module share."""
    with playing() as running:
        yield running


@pytest.fixture
def browser(open_demo: Demo) -> Iterator[httpx.Client]:
    """A browser on the laptop in the shared demo."""
    with browsing(open_demo.laptop) as client:
        yield client
