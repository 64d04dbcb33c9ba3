"""What is expected of passerby in a case: the recorded outcome, changed where an allowed difference changes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .case import JSON, Case
from .comparison import ABSENT, canonical, shown
from .differences import ALL, BY_NAME
from .recorded import ANY_ERROR, ANYTHING, recorded_outcome
from .reference import run_reference
from .wire import HURRY

C = TypeVar("C", bound=Case)


@dataclass(frozen=True)
class Expectation:
    """What is expected.

    Attributes:
        outcome: to be compared with what passerby does.
        differences: the allowed differences that made it another than the recorded one.
        conflicts: where one of them would change something that the SDK, as recorded, does not do.
    """

    outcome: JSON
    differences: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def expect(case: Case) -> Expectation:
    expectation = _expect(case)
    if is_in_a_hurry(case):
        expectation.outcome["sent"] = None
    return expectation


def is_in_a_hurry(case: Case) -> bool:
    """Whether a time limit is so short that it is chance whether the call still goes out."""
    limits = [args["timeout"] for _, args in case.steps if "timeout" in args]
    return any(isinstance(limit, int | float) and 0 <= limit / 1000 <= HURRY for limit in limits)


def _expect(case: Case) -> Expectation:
    if case.is_for_javascript_only:
        return Expectation(run_reference(case, ALL), ("javascript-only",))
    return expectation_of(case, recorded_outcome(case), run_reference, tuple(BY_NAME))


def expectation_of(
    case: C, recorded: JSON, run: Callable[[C, Collection[str]], JSON], names: Sequence[str]
) -> Expectation:
    """What a reference, run without differences and with all of them, makes of a recorded outcome."""
    theirs, ours = run(case, ()), run(case, frozenset(names))
    if theirs == ours:
        return Expectation(recorded)
    # Those that matter; where two of them come to the same, those that would matter alone.
    applied = tuple(name for name in names if run(case, frozenset(names) - {name}) != ours)
    applied = applied or tuple(name for name in names if run(case, {name}) != theirs)
    merge = Merge()
    outcome = merge.merge("", theirs, recorded, ours)
    return Expectation(outcome, applied, tuple(merge.conflicts))


class Merge:
    """Takes over into a recorded outcome what differs between two runs of the reference, and nothing else."""

    def __init__(self) -> None:
        self.conflicts: list[str] = []

    def merge(self, where: str, base: Any, recorded: Any, ours: Any) -> Any:
        if canonical(base) == canonical(ours):
            return recorded
        if (
            isinstance(base, dict)
            and isinstance(recorded, dict)
            and isinstance(ours, dict)
            and not where.endswith("error")
        ):
            return self._merge_members(where, base, recorded, ours)
        if _are_of_one_length(base, recorded, ours):
            triples = zip(base, recorded, ours, strict=True)
            return [self.merge(f"{where}[{index}]", *triple) for index, triple in enumerate(triples)]
        if not _agree(recorded, base) and not _agree(recorded, ours):
            self.conflicts.append(
                f"{where}: the recorded outcome is not the one that the differences change\n"
                f"    recorded {shown(recorded)}\n    expected {shown(base)}"
            )
        return ours

    def _merge_members(self, where: str, base: JSON, recorded: JSON, ours: JSON) -> JSON:
        merged = {
            name: self.merge(f"{where}.{name}".lstrip("."), *(one.get(name, ABSENT) for one in (base, recorded, ours)))
            for name in dict.fromkeys([*recorded, *ours])
        }
        return {name: value for name, value in merged.items() if value is not ABSENT}


def _are_of_one_length(*values: Any) -> bool:
    return all(isinstance(one, list) and len(one) == len(values[0]) for one in values)


def _agree(one: Any, other: Any) -> bool:
    """Whether two values say the same; an engine's error says only that there is one."""
    are_errors = isinstance(one, dict) and isinstance(other, dict) and "code" in one and "code" in other
    if are_errors and ANY_ERROR in (one, other):
        return True
    return ANYTHING in (one, other) or canonical(one) == canonical(other)
