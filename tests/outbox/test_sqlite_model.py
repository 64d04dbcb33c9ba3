"""The outbox on disk beside the model, through restarts and deaths as well."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from passerby.outbox.sqlite import SqliteOutbox
from passerby.outbox.window import SIZE
from passerby.outcome import Outcome

from .conftest import MakeSqlite
from .test_model import DESTINATIONS, MAX_EVENTS, OutboxAndModel
from .told import PatientOutbox, die, flush, is_long

LONG_AGO = 1_750_000_000.0


class DurableOutboxAndModel(OutboxAndModel):
    """What may happen to an outbox whose process ends."""

    outbox: SqliteOutbox

    def __init__(self, make_sqlite: MakeSqlite, **options: Any) -> None:
        self.now = 0.0
        self.last_unheard = 0
        self.directory = tempfile.TemporaryDirectory()
        self.make: Callable[[], SqliteOutbox] = partial(
            make_sqlite,
            DESTINATIONS,
            MAX_EVENTS,
            directory=self.directory.name,
            clock=lambda: self.now,
            now=lambda: LONG_AGO + self.now,
            look_every=1e9,
            **options,
        )
        super().__init__(self.make())

    @rule(dies=st.booleans(), seconds=st.integers(0, 15))
    def end_and_begin_again(self, dies: bool, seconds: int) -> None:
        flush(self.outbox)
        if dies:
            die(self.outbox)
        else:
            assert self.outbox.close(30)
        self.now += seconds
        self.outbox = self.make()
        self.outbox.start().result(30)
        self.generation += 1  # a visit is over with its process
        self.last_unheard = self.serial
        for shelf in self.shelves.values():
            shelf.forget_process()

    def expect(self, event_id: str, name: str, outcome: Outcome) -> None:
        """Nobody listens to what was told to an earlier process."""
        if int(event_id.removeprefix("event ")) > self.last_unheard:
            super().expect(event_id, name, outcome)

    def teardown(self) -> None:
        super().teardown()
        assert self.outbox.close(30)
        self.directory.cleanup()


@pytest.mark.parametrize("size", [2, SIZE])
def test_it_behaves_as_the_model_does_through_restarts(make_sqlite: MakeSqlite, size: int) -> None:
    class WithThisOutbox(DurableOutboxAndModel):
        def __init__(self) -> None:
            super().__init__(make_sqlite, window=size, kind=PatientOutbox)

    examples = 3_000 if is_long() else 60
    run_state_machine_as_test(
        WithThisOutbox, settings=settings(max_examples=examples, stateful_step_count=50, deadline=None)
    )
