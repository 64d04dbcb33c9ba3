"""Every recorded case, replayed against passerby; and that whatever is wrong would be found.

`customerio.jsonl` holds the cases everybody has, `borders.jsonl` more of the kind, recorded as `vendor` does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..case import JSON
from ..stage import Stage
from .case import Case, read_cases
from .checking import check, compare
from .differences import DIFFERENCES, apply
from .ours import message_of
from .recorded import recorded_outcome
from .replay import replay

FOLDER = Path(__file__).parent
RECORDED = list(read_cases(FOLDER / "customerio.jsonl"))
CASES = [*RECORDED, *read_cases(FOLDER / "borders.jsonl")]
VECTORS = {case.id: case for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, stage: Stage) -> None:
    verdict = check(case, stage)

    assert not verdict.problems, str(verdict)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_differences_add_up_to_what_passerby_sends(case: Case) -> None:
    """Each difference is a step away from the SDK; all of them together must lead to the one place."""
    expected, _ = apply(case, recorded_outcome(case))
    taken = [call for call, verdict in zip(case.calls, expected["calls"], strict=True) if verdict == "taken"]

    assert [one["message"] for one in expected["sent"]] == [json.loads(json.dumps(message_of(call))) for call in taken]


def test_every_case_is_there() -> None:
    assert len(RECORDED) == 68
    assert len(VECTORS) == len(CASES)


def test_every_difference_is_used_by_a_case() -> None:
    used = {name for case in CASES for name in apply(case, recorded_outcome(case))[1]}

    assert used == {difference.name for difference in DIFFERENCES}


def test_differences_are_told_in_whole_sentences() -> None:
    for difference in DIFFERENCES:
        for text in difference[1:4]:
            assert text.strip() == text
            assert not text.endswith("."), f"{difference.name}: the report adds the full stop"


@pytest.mark.parametrize(
    ("case_id", "path"),
    [
        ("python/identify/user", ("sent", 0, "body", "batch", 0, "traits", "email")),
        ("python/identify/user", ("sent", 0, "body", "batch", 0, "userId")),
        ("python/identify/user", ("sent", 0, "body", "batch", 0, "type")),
        ("python/identify/user", ("sent", 0, "path")),
        ("python/identify/user", ("sent", 0, "headers", "authorization")),
        ("python/identify/no-id", ("sent",)),
        ("python/transport/key-missing", ("threw",)),
        ("python/transport/gzip", ("sent", 0, "headers", "content-encoding")),
        ("python/transport/400-json", ("sent", 0, "body", "batch", 0, "event")),
        ("node/page/full", ("sent", 0, "body", "batch", 0, "properties", "url")),
        ("node/batch/three", ("sent", 0, "body", "batch", 1, "event")),
    ],
)
def test_corrupted_expectation_is_found(case_id: str, path: tuple[Any, ...], stage: Stage) -> None:
    outcome = copy.deepcopy(VECTORS[case_id].outcome)
    place: Any = outcome
    for key in path[:-1]:
        place = place[key]
    replaced = {"sent": VECTORS["python/track/event"].outcome["sent"], "threw": None}
    place[path[-1]] = replaced.get(path[0], "changed") if len(path) == 1 else "changed"

    assert check(replace(VECTORS[case_id], outcome=outcome), stage).problems


@pytest.mark.parametrize("case_id", ["python/identify/context", "python/batch/three", "python/transport/500-text"])
def test_every_single_change_of_an_outcome_is_found(case_id: str, stage: Stage) -> None:
    case = VECTORS[case_id]
    expected, _ = apply(case, recorded_outcome(case))
    got = replay(case, stage, expected)
    assert not [*compare(expected, got)]

    for path in leaves_of(got):
        changed = copy.deepcopy(got)
        place: Any = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = "changed"
        assert [*compare(expected, changed)], path


def leaves_of(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves_of(item, *path, key)
    else:
        yield path


def test_no_recording_is_changed_by_reading_it() -> None:
    before: list[JSON] = [copy.deepcopy(case.outcome) for case in CASES]
    for case in CASES:
        apply(case, recorded_outcome(case))

    assert [repr(case.outcome) for case in CASES] == list(map(repr, before))
