"""T3: hypothesis thinks of what may happen to an outbox, and a plain model says what must come of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.old_outbox.window import SIZE
from tests.old_outbox.test_sqlite_model import DurableOutboxAndModel
from tests.old_outbox.told import PatientOutbox

from ..finding import Finding
from ..scene import Trial

EXAMPLES, EXAMPLES_LONG = 120, 5_000
STEPS = 50  # of an example, at most


def beside_the_store(trial: Trial) -> Iterator[Finding]:
    """Run the state machine of the tests, with restarts and deaths, from the seed of this run."""
    number = EXAMPLES_LONG if trial.is_long else EXAMPLES
    # Nearly all on disk, and nearly all in memory; each needs a processor of its own all the time.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for job in [pool.submit(_compare, window, number, trial.seed) for window in (2, SIZE)]:
            yield job.result()


def _compare(window: int, number: int, seed: int) -> Finding:
    begun = time.monotonic()
    finding = Finding(f"T3 model beside the store, {window:,} in memory", f"{number} examples of {STEPS} steps")
    try:
        _run(window, number, seed)
    except Exception as error:  # hypothesis says by notes how to repeat it
        finding.faults.append(f"{type(error).__name__}: {error}; {' '.join(getattr(error, '__notes__', []))}")
    finding.seconds = time.monotonic() - begun
    return finding


def _run(window: int, number: int, seed: int) -> None:
    def make(destinations: Sequence[str], max_events: int, directory: str, **options: Any) -> SqliteOutbox:
        return PatientOutbox(directory, destinations, max_events=max_events, **options)

    @hypothesis.seed(seed)
    class Machine(DurableOutboxAndModel):
        def __init__(self) -> None:
            super().__init__(make, window=window)

    settings = hypothesis.settings(
        max_examples=number, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True
    )
    run_state_machine_as_test(Machine, settings=settings)
