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

from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.old_outbox.window import SIZE
from passerby.values.outcome import Outcome

from .conftest import MakeSqlite
from .test_model import DESTINATIONS, MAX_EVENTS, OutboxAndModel, Waiting, visitors
from .told import PatientOutbox, die, flush, is_long

LONG_AGO = 1_750_000_000.0


class DurableOutboxAndModel(OutboxAndModel):
    """What may happen to an outbox whose process ends."""

    outbox: SqliteOutbox

    def __init__(self, make_sqlite: MakeSqlite, **options: Any) -> None:
        self.now = 0.0
        self.is_alive = True
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
        self.neighbour = self.make()
        self.neighbour.start().result(30)

    @rule(data=st.data())
    def neighbour_asks(self, data: st.DataObject) -> None:
        self.ask_neighbour(data)
        self.outbox.start().result(30)  # it looks at the board

    def ask_neighbour(self, data: st.DataObject) -> None:
        """Have another process of the folder ask for something."""
        match data.draw(st.sampled_from(["release", "release", "clear", "visitor", "retry", "dead", "now"]), "what"):
            case "release":
                visitor = self.name_of(data.draw(visitors))
                self.neighbour.release(visitor)
                self.model_release(visitor)
            case "clear":
                visitor = self.name_of(data.draw(visitors))
                self.neighbour.clear(visitor)
                self.model_clear(visitor)
            case "visitor":
                who = self.draw_person(data)
                self.neighbour.purge_visitor(who)
                self.model_purge_visitor(who)
            case "now":
                self.neighbour.send_now()
                self.model_send_now()
            case what:
                name, event_id = data.draw(st.sampled_from([None, *DESTINATIONS])), self.draw_dead(data)
                if what == "retry":
                    self.neighbour.retry_dead(self.now, name, event_id)
                    self.model_retry_dead(name, event_id)
                else:
                    self.neighbour.purge_dead(name, event_id)
                    self.model_purge_dead(name, event_id)
        flush(self.neighbour)

    @rule(dies=st.booleans(), seconds=st.integers(0, 15), number=st.integers(0, 2), data=st.data())
    def end_and_begin_again(self, dies: bool, seconds: int, number: int, data: st.DataObject) -> None:
        flush(self.outbox)
        if dies:
            die(self.outbox)
        else:
            assert self.outbox.close(30)
        self.is_alive = False
        self.now += seconds
        self.last_unheard = self.serial
        for shelf in self.shelves.values():
            shelf.forget_process()
        for _ in range(number):  # while nobody is there who would hear it
            self.ask_neighbour(data)
        self.outbox = self.make()
        self.outbox.start().result(30)
        self.is_alive = True
        self.generation += 1  # a visit is over with its process
        for shelf in self.shelves.values():
            shelf.count_anew()
            for lane in (*shelf.lanes.values(), *shelf.held.values()):
                lane.sort(key=lambda one: one.place)

    def move_behind(self, one: Waiting) -> None:
        """What nobody owns stays where it is in the order."""
        if self.is_alive:
            super().move_behind(one)

    def expect(self, event_id: str, name: str, outcome: Outcome) -> None:
        """Nobody listens to what was told to an earlier process."""
        if int(event_id.removeprefix("event ")) > self.last_unheard:
            super().expect(event_id, name, outcome)

    def teardown(self) -> None:
        super().teardown()
        assert self.neighbour.close(30)
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
