"""T3: hypothesis thinks of what may happen to a store, and a plain model says what must come of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from tests.outbox.test_model import SqliteMachine, StoreMachine

from ..finding import Finding
from ..scene import Trial

EXAMPLES, EXAMPLES_LONG = 120, 5_000
STEPS = 50  # of an example, at most
_MACHINES: dict[str, type[StoreMachine]] = {"memory": StoreMachine, "SQLite": SqliteMachine}


def beside_the_store(trial: Trial) -> Iterator[Finding]:
    """Run the state machines of the tests, with restarts and deaths, from the seed of this run."""
    number = EXAMPLES_LONG if trial.is_long else EXAMPLES
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for job in [pool.submit(_compare, store, number, trial.seed) for store in _MACHINES]:
            yield job.result()


def _compare(store: str, number: int, seed: int) -> Finding:
    begun = time.monotonic()
    finding = Finding(f"T3 model beside the store, {store}", f"{number} examples of {STEPS} steps")
    try:
        _run(store, number, seed)
    except Exception as error:  # hypothesis says by notes how to repeat it
        errors = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        for each in errors:
            finding.faults.append(f"{type(each).__name__}: {each}; {' '.join(getattr(each, '__notes__', []))}")
    finding.seconds = time.monotonic() - begun
    return finding


def _run(store: str, number: int, seed: int) -> None:
    settings = hypothesis.settings(
        max_examples=number,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(seed)(_MACHINES[store]), settings=settings)
