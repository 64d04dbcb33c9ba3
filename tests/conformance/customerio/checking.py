"""Checking cases one by one."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import JSON
from ..comparison import differences_of
from ..report import Verdict
from ..stage import Stage
from .case import Case
from .differences import apply
from .recorded import recorded_outcome
from .replay import replay


def check(case: Case, stage: Stage) -> Verdict:
    """Replay a case and compare; a case that cannot be replayed has failed."""
    try:
        expected, applied = apply(case, recorded_outcome(case))
        got = replay(case, stage, expected)
    except Exception as error:
        return Verdict(case, [f"cannot be replayed: {type(error).__name__}: {error}"], ())
    return Verdict(case, [*compare(expected, got)], applied)


def compare(expected: JSON, got: JSON) -> Iterator[str]:
    """Say what differs."""
    yield from differences_of("outcome", expected | {"is_balanced": True}, got)
