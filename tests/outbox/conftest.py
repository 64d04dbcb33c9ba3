"""The outboxes that are held to the contract."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from passerby.outbox import Outbox
from passerby.outbox.memory import MemoryOutbox

from .told import MakeOutbox


def make_memory_outbox(destinations: Sequence[str] = ("a", "b"), max_events: int = 1_000_000) -> Outbox:
    return MemoryOutbox(destinations, max_events)


@pytest.fixture(params=[pytest.param(make_memory_outbox, id="memory")])
def make_outbox(request: pytest.FixtureRequest) -> MakeOutbox:
    """Make an outbox for the destinations "a" and "b", or others, of at most so many events each."""
    maker: MakeOutbox = request.param
    return maker


@pytest.fixture
def outbox(make_outbox: MakeOutbox) -> Outbox:
    return make_outbox()
