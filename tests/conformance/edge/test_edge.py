"""Every recorded case, replayed against passerby.

`sitecore_edge.jsonl` holds the cases everybody has, `borders.jsonl` more of the kind, recorded by `edge_runner.cjs`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..case import JSON
from ..comparison import canonical, differences_of
from ..customerio.test_customerio import leaves_of
from ..stage import Stage
from .case import EdgeCase, read_cases
from .checking import check, expect
from .comparison import compare
from .differences import ALL, DIFFERENCES
from .model import run_model
from .recorded import recorded_outcome
from .replay import replay

FOLDER = Path(__file__).parent
RECORDED = list(read_cases(FOLDER / "sitecore_edge.jsonl"))
CASES = [*RECORDED, *read_cases(FOLDER / "borders.jsonl")]
BY_ID = {case.id: case for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: EdgeCase, stage: Stage) -> None:
    verdict = check(case, stage)

    assert not verdict.problems, str(verdict)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_model_comes_to_what_was_recorded(case: EdgeCase) -> None:
    """Differences are judged by the model, so without them it must be the SDK, its defects among it."""
    if not case.is_for_javascript_only:
        model, recorded = run_model(case, ()), recorded_outcome(case)
        if recorded["sent"] is None:
            recorded["sent"] = model["sent"]

        assert canonical(model) == canonical(recorded), "\n".join(differences_of("model", recorded, model))


def test_every_case_is_there() -> None:
    assert len(RECORDED) == 631
    assert len(BY_ID) == len(CASES)
    assert sum(case.is_for_javascript_only for case in RECORDED) == 7


def test_every_difference_is_used_by_a_case() -> None:
    used = {name for case in CASES for name in expect(case).differences}

    assert used == ALL


def test_differences_are_told_in_whole_sentences() -> None:
    for difference in DIFFERENCES:
        for text in difference[1:]:
            assert text.strip() == text
            assert not text.endswith("."), f"{difference.name}: the report adds the full stop"


def test_no_case_is_changed_by_running_it() -> None:
    before = copy.deepcopy(RECORDED)
    for case in RECORDED:
        run_model(case, ())
        run_model(case, ALL)

    assert repr(before) == repr(RECORDED)


CORRUPTIONS: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("cloud/pageview/minimal", ("sent", 0, "body", "channel"), "APP", "request 1.body.channel"),
    ("content/pageview/minimal", ("sent", 0, "body", "extra"), "x", "request 1.body.extra"),
    ("cloud/pageview/minimal", ("sent", 0, "path"), "/v1/events/v1.3/events", "request 1.path"),
    ("content/event/minimal", ("sent", 0, "headers", "x-sitecore-contextid"), "other", "x-sitecore-contextid"),
    ("content/personalize/minimal", ("sent", 0, "headers", "x-sc-correlation-id"), "1", "x-sc-correlation-id"),
    ("cloud/settings/url-default", ("sent", 0, "host"), "https://edge.example", "host"),
    ("cloud/pageview/minimal", ("sent",), [], "one request more"),
    ("content/pageview/minimal", ("returned",), {"status": "NO"}, "result"),
    ("cloud/identity/dob-feb-30", ("code",), "IV-0003", "ValidationError"),
    ("cloud/identity/dob-feb-30", ("threw",), "[IV-0002] Other words.", "error text"),
    ("content/settings/site-blank", ("code",), "MV-001", "SettingsError"),
    ("content/cookie/expiry-half", ("set_cookie",), [], "cookies"),
    ("cloud/cookie/expiry-half", ("set_cookie",), ["sc_cid=x; Path=/"], "cookies"),
    ("cloud/browser/queue-clear", ("steps", 2, "queue"), [1, 2], "held"),
    # Where a difference applies, what it does not speak of is compared all the same.
    ("cloud/cookie/returning", ("set_cookie",), [], "cookies"),
    ("content/cookie/new", ("sent",), [], "one request more"),
    ("cloud/failure/400-json", ("sent", 0, "body", "type"), "OTHER", "request 1.body.type"),
    ("content/visits/overlap-browser-id", ("sent", 2, "body", "browser_id"), "x", "request 3.body.browser_id"),
]


@pytest.mark.parametrize(("case_id", "path", "value", "words"), CORRUPTIONS)
def test_corrupted_expectation_is_found(
    case_id: str, path: tuple[Any, ...], value: Any, words: str, stage: Stage
) -> None:
    outcome = copy.deepcopy(BY_ID[case_id].outcome)
    place: Any = outcome
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    verdict = check(replace(BY_ID[case_id], outcome=outcome), stage)

    assert any(words in problem for problem in verdict.problems), str(verdict)


@pytest.mark.parametrize(
    "case_id", ["cloud/sequence/new-then-all", "content/guest-cookie/new", "content/form/viewed", "cloud/browser/queue"]
)
def test_every_single_change_of_an_outcome_is_found(case_id: str, stage: Stage) -> None:
    expected = expect(BY_ID[case_id]).outcome
    got = replay(BY_ID[case_id], stage, expected)
    assert not compare(expected, got)

    for path in leaves_of({"sent": got["sent"], "visits": got["visits"]}):
        if path[-1] == "known_id" and "known_id" not in expected["visits"][0]:
            continue
        changed: JSON = copy.deepcopy(got)
        place: Any = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = {"code": "x", "text": "", "class": ValueError} if path[-1] == "error" else "changed"
        assert compare(expected, changed), path
    assert compare(expected, got | {"is_balanced": False})
