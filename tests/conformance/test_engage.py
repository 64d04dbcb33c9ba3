"""Every recorded case, replayed against passerby.

`engage.jsonl` holds the cases everybody has, `borders.jsonl` more of the kind, recorded by `engage_runner.mjs`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .case import Case, read_cases
from .comparison import canonical
from .differences import ALL, DIFFERENCES
from .expectation import expect, is_in_a_hurry
from .recorded import ANYTHING, recorded_outcome
from .reference import run_reference
from .report import check
from .stage import Stage

FOLDER = Path(__file__).parent
ENGAGE = list(read_cases(FOLDER / "engage.jsonl"))
CASES = [*ENGAGE, *read_cases(FOLDER / "borders.jsonl")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, stage: Stage) -> None:
    verdict = check(case, stage)

    assert not verdict.problems, str(verdict)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_reference_comes_to_what_was_recorded(case: Case) -> None:
    """Differences are judged by the reference, so without them it must be the SDK."""
    if not (case.is_for_javascript_only or is_in_a_hurry(case)):
        reference = run_reference(case, ())

        assert canonical(reference) == canonical(but_for_anything(reference, recorded_outcome(case)))


def but_for_anything(reference: Any, recorded: Any) -> Any:
    """What was recorded, but for what the reference does not claim to know."""
    if isinstance(reference, dict) and isinstance(recorded, dict):
        return {name: but_for_anything(reference.get(name), value) for name, value in recorded.items()}
    if isinstance(reference, list) and isinstance(recorded, list) and len(reference) == len(recorded):
        return [but_for_anything(*pair) for pair in zip(reference, recorded, strict=True)]
    return ANYTHING if reference == ANYTHING else recorded


def test_every_case_is_there() -> None:
    assert len(ENGAGE) == 225
    assert len({case.id for case in CASES}) == len(CASES)


def test_every_difference_is_used_by_a_case() -> None:
    used = {name for case in CASES for name in expect(case).differences}

    assert used == ALL


def test_differences_are_told_in_whole_sentences() -> None:
    for difference in DIFFERENCES:
        for text in difference[1:]:
            assert text.strip() == text
            assert not text.endswith("."), f"{difference.name}: the report adds the full stop"
