"""Checking cases one by one."""

from __future__ import annotations

from dataclasses import replace

from ..expectation import Expectation, expectation_of
from ..report import Verdict
from ..stage import Stage
from .case import EdgeCase
from .comparison import compare
from .differences import ALL, BY_NAME
from .model import run_model
from .recorded import recorded_outcome
from .replay import replay
from .wire import ANSWERS


def check(case: EdgeCase, stage: Stage) -> Verdict:
    """Replay a case and compare; a case that cannot be replayed has failed."""
    try:
        expectation = expect(case)
        if case.is_in_a_hurry:
            expectation.outcome["sent"] = None
        got = replay(slowed(case) if case.is_in_a_hurry else case, stage, expectation.outcome)
    except Exception as error:
        return Verdict(case, [f"cannot be replayed: {type(error).__name__}: {error}"], ())
    return Verdict(case, [*expectation.conflicts, *compare(expectation.outcome, got)], expectation.differences)


def slowed(case: EdgeCase) -> EdgeCase:
    """A case in a hurry with a service that is slower."""
    late = {route: [{**ANSWERS[route], "delay_ms": 60}] for route in ("create", "personalize")}
    return replace(case, server=late | dict(case.server))


def expect(case: EdgeCase) -> Expectation:
    """What is expected of passerby: the recorded outcome, changed where a difference changes it."""
    if case.is_for_javascript_only:
        return Expectation(run_model(case, ALL), ("javascript-only",))
    recorded = recorded_outcome(case)
    if recorded["sent"] is None:  # not determined, and the same each time
        recorded["sent"] = run_model(case, ())["sent"]
    return expectation_of(case, recorded, run_model, tuple(BY_NAME))
