"""What is expected of passerby in a case: the recorded outcome, changed where an allowed difference changes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .case import JSON, Case
from .differences import ALL, DIFFERENCES
from .recorded import recorded_outcome
from .reference import run_reference


@dataclass(frozen=True)
class Expectation:
    """An outcome, and the differences from the recorded one that it makes use of."""

    outcome: JSON
    differences: tuple[str, ...]


def expect(case: Case) -> Expectation:
    ours = run_reference(case, ALL)
    if case.is_for_javascript_only:
        return Expectation(ours, ("javascript-only",))
    applied = tuple(
        difference.name
        for difference in DIFFERENCES
        if run_reference(case, ALL - {difference.name}) != ours
    )
    if not applied:
        return Expectation(recorded_outcome(case), ())
    return Expectation(merge(run_reference(case, ()), recorded_outcome(case), ours), applied)


def merge(base: Any, recorded: Any, ours: Any) -> Any:
    """Change `recorded` where `ours` differs from `base`, and nowhere else."""
    if base == ours:
        return recorded
    if isinstance(base, dict) and isinstance(recorded, dict) and isinstance(ours, dict):
        names = dict.fromkeys([*recorded, *ours])
        merged = {name: merge(base.get(name, _GONE), recorded.get(name, _GONE), ours.get(name, _GONE)) for name in names}
        return {name: value for name, value in merged.items() if value is not _GONE}
    if isinstance(base, list) and isinstance(recorded, list) and isinstance(ours, list) and len(base) == len(recorded) == len(ours):
        return [merge(*items) for items in zip(base, recorded, ours, strict=True)]
    return ours


_GONE: Any = object()
