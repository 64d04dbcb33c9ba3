"""The runner can fail: whatever is wrong in an expectation is found, and the command says so."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from .case import JSON, Case, read_cases
from .comparison import compare
from .differences import DIFFERENCES
from .expectation import expect
from .replay import replay as replay_case
from .report import Verdict, check, report, table
from .stage import Stage

ROOT = Path(__file__).parents[2]
VECTORS = Path(__file__).with_name("engage.jsonl")
CASES = {case.id: case for case in read_cases(VECTORS)}
LINES = {json.loads(line).get("id"): line for line in VECTORS.read_text(encoding="utf-8").split("\n") if line}


def set_to(value: Any, *path: Any) -> Callable[[JSON], None]:
    """A corruption: put a value where `path` leads."""

    def corrupt(outcome: JSON) -> None:
        place: Any = outcome
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return corrupt


def corrupted(case_id: str, corrupt: Callable[[JSON], None]) -> Case:
    outcome = copy.deepcopy(CASES[case_id].outcome)
    corrupt(outcome)
    return replace(CASES[case_id], outcome=outcome)


SENT = CASES["pageview/minimal"].outcome["sent"]
CORRUPTIONS: dict[str, tuple[str, Callable[[JSON], None], str | None]] = {
    "body field": ("pageview/minimal", set_to("APP", "sent", 0, "body", "channel"), "request 1.body.channel"),
    "one field more": ("pageview/minimal", set_to("x", "sent", 0, "body", "extra"), "request 1.body.extra"),
    "number for a boolean": ("ext/flat", set_to(1, "sent", 0, "body", "ext", "t"), "request 1.body.ext.t"),
    "path": ("pageview/minimal", set_to("/v1.3/events", "sent", 0, "path"), "request 1.path"),
    "header": ("pageview/minimal", set_to("text/plain", "sent", 0, "headers", "content-type"), "content-type"),
    "request missing": ("pageview/minimal", set_to([], "sent"), "one request more"),
    "request more": ("pageview/pos-nowhere", set_to(SENT, "sent"), "request 1"),
    "order": ("browser/queue-two", lambda outcome: outcome["sent"].reverse(), "request 1"),
    "answer": ("pageview/minimal", set_to({"status": "NO"}, "returned"), "result"),
    "error missing": ("pageview/pos-nowhere", set_to(None, "threw"), "error"),
    "error code": ("identity/dob-feb-30", set_to("IV-0003", "code"), "ValidationError"),
    "error text": ("identity/dob-feb-30", set_to("[IV-0002] Other words.", "threw"), "error text"),
    "settings error code": ("settings/pos-blank", set_to("MV-0001", "code"), "SettingsError"),
    "cookie missing": ("cookie/expiry-half", set_to([], "set_cookie"), "cookies"),
    "cookie value": ("cookie/expiry-half", set_to(["bid_ck_demo_0001=x; Path=/"], "set_cookie"), "cookies"),
    "cookie more": ("cookie/mode-false", set_to(["a=b"], "set_cookie"), "cookies"),
    "queue": ("browser/queue-clear", set_to([1, 2], "steps", 0, "queue"), "held"),
    # Where a difference applies, what it does not speak of is compared all the same ...
    "cookie missing, other age": ("cookie/returning", set_to([], "set_cookie"), "cookies"),
    "request missing, other age": ("cookie/new-no-header", set_to([], "sent"), "one request more"),
    "body field, dead letter": (
        "failure/event-400-json",
        set_to("APP", "sent", 0, "body", "channel"),
        "request 1.body.channel",
    ),
    "body field, ID to be had": ("sequence/view-without-cookie", set_to("X", "sent", 0, "body", "type"), "sent"),
    "error code, other time": ("cookie/timeout-null", set_to("IE-0003", "code"), "error"),
    # ... and an SDK that did what passerby does would be right.
    "nothing wrong": ("personalize/fail-400", set_to(None, "returned"), None),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_expectation_is_found(name: str, stage: Stage) -> None:
    case_id, corrupt, words = CORRUPTIONS[name]

    verdict = check(corrupted(case_id, corrupt), stage)

    assert any(words in problem for problem in verdict.problems) if words else not verdict.problems, str(verdict)


@pytest.mark.parametrize(
    "case_id",
    [
        "sequence/cookie-then-all",
        "sequence/cookie-fails-then-view",
        "browser/queue-failure-lost",
        "browser/init-mints",
        "cookie/other-set-cookie-lost",
        "event/attributes",
    ],
)
def test_every_single_change_of_an_outcome_is_found(case_id: str, stage: Stage) -> None:
    expected = expect(CASES[case_id]).outcome
    got = replay_case(CASES[case_id], stage, expected)
    assert not compare(expected, got)

    for changed in changes_of(got):
        assert compare(expected, changed), changed


def changes_of(got: JSON) -> Iterator[JSON]:
    """The outcome with one leaf changed, for each; the order of calls is changed too."""
    for path in leaves_of({name: got[name] for name in ("cookies", "kept", "sent") if got[name]}):
        changed = copy.deepcopy(got)
        set_to("changed", *path)(changed)
        yield changed
    for index in range(len(got["steps"])):
        changed = copy.deepcopy(got)
        changed["steps"][index]["error"] = {"code": "IV-0005", "text": "", "class": ValueError}
        yield changed
    if len(got["sent"]) > 1 and got["sent"][0] != got["sent"][1]:
        yield got | {"sent": got["sent"][1:]}
    yield got | {"sent": [*got["sent"], {"method": "GET", "path": "/", "headers": {}, "body": None}]}
    yield got | {"is_balanced": False}


def leaves_of(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves_of(item, *path, key)
    else:
        yield path


def test_report_lists_differences_and_closes_with_a_line() -> None:
    good = Verdict(CASES["cookie/returning"], [], ("cookie-age",))
    bad = Verdict(CASES["pageview/minimal"], ["request 1\n    expected x\n    got      y"], ())
    out = io.StringIO()

    assert not report([good, bad], out)

    text = out.getvalue()
    assert "FAILED pageview/minimal: channel and currency only" in text
    assert "cookie-age: 1 case\n" in text
    assert "  cookie/returning\n" in text
    assert text.splitlines()[-1] == "1 passed, 1 failed"


def test_table_has_a_row_for_each_difference() -> None:
    rows = table().splitlines()[2:]

    assert [row.count(" | ") for row in rows] == [2] * len(DIFFERENCES)


def run_command(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.conformance", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_command_passes_what_is_right(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    renamed = json.loads(LINES["cookie/returning"]) | {"id": "another/name"}
    file.write_text(f"{LINES[None]}\n{json.dumps(renamed)}\n")

    run = run_command(file)

    assert run.stdout.splitlines()[-1] == "1 passed, 0 failed", run.stdout + run.stderr
    assert "cookie-age: 1 case" in run.stdout
    assert run.returncode == 0
    assert not run.stderr


@pytest.mark.parametrize(
    ("name", "case_id"),
    [("edge/sitecore_edge.jsonl", "cloud/cookie/returning"), ("edge/sitecore_edge.jsonl", "content/event/minimal"),
     ("customerio/customerio.jsonl", "python/track/event")],
)  # fmt: skip
@pytest.mark.parametrize("has_head", [True, False], ids=["with its first line", "cases only"])
def test_command_knows_files_by_their_content(tmp_path: Path, name: str, case_id: str, has_head: bool) -> None:
    lines = (VECTORS.parent / name).read_text(encoding="utf-8").split("\n")
    chosen = next(line for line in lines if line and json.loads(line).get("id") == case_id)
    file = tmp_path / "renamed.jsonl"
    file.write_text("\n".join([lines[0], chosen] if has_head else [chosen]))

    run = run_command(file)

    assert run.stdout.splitlines()[-1] == "1 passed, 0 failed", run.stdout + run.stderr
    assert run.returncode == 0


def test_command_fails_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text(LINES["pageview/minimal"].replace('"channel":"WEB"', '"channel":"APP"', 1) + "\n")

    run = run_command(file)

    assert run.stdout.splitlines()[-1] == "0 passed, 1 failed", run.stdout + run.stderr
    assert "request 1.body.channel\n" in run.stdout
    assert run.returncode == 1
