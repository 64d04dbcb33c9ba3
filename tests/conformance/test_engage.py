"""Every recorded case, replayed against passerby."""

from __future__ import annotations

from pathlib import Path

import pytest

from .case import Case, read_cases
from .differences import ALL, DIFFERENCES
from .expectation import expect
from .recorded import recorded_outcome
from .reference import run_reference
from .report import check
from .stage import Stage

ONLY_LIVE = {
    "data-bounded",
    "language-as-sent",
    "page-without-slash",
    "point-of-sale-none",
    "text-well-formed",
}  # of these `test_live` has examples
CASES = list(read_cases(Path(__file__).with_name("engage.jsonl")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, stage: Stage) -> None:
    verdict = check(case, stage)

    assert not verdict.problems, str(verdict)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_reference_comes_to_what_was_recorded(case: Case) -> None:
    """Differences are judged by the reference, so without them it must be the SDK."""
    if not case.is_for_javascript_only:
        assert run_reference(case, ()) == recorded_outcome(case)


def test_every_case_is_there() -> None:
    assert len({case.id for case in CASES}) == len(CASES) == 225


def test_every_difference_is_used_by_a_case_or_by_the_live_test() -> None:
    used = {name for case in CASES for name in expect(case).differences}

    assert ALL - used == ONLY_LIVE


def test_differences_are_told_in_whole_sentences() -> None:
    for difference in DIFFERENCES:
        for text in difference[1:]:
            assert text.strip() == text
            assert not text.endswith("."), f"{difference.name}: the report adds the full stop"
