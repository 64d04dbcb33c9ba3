"""The vendor's own package beside passerby, on inputs that nobody thought of.

Hypothesis makes up the inputs, the package runs them in Node.js and so records a case,
which is then checked like every other. The inputs are the same in every run of
the same modules: hypothesis picks up the texts in those that are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from . import inputs
from .case import JSON, Case, read_cases
from .expectation import is_in_a_hurry
from .recorded import recorded_outcome
from .report import check
from .stage import Stage
from .vendor import Vendor

pytestmark = pytest.mark.node

FOLDER = Path(__file__).parent
# How many cases of each kind.
KINDS: dict[str, tuple[SearchStrategy[JSON], int]] = {
    "settings": (inputs.init_cases, 60),
    "cookies": (inputs.cookie_cases, 60),
    "page views": (inputs.view_cases, 60),
    "identities": (inputs.identity_cases, 60),
    "events": (inputs.event_cases, 60),
    "personalisations": (inputs.personalize_cases, 20),
    "sequences": (inputs.sequence_cases, 25),
    "pages": (inputs.page_cases, 25),
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with Vendor() as vendor:
        yield vendor


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("kind", KINDS)
def test_passerby_does_what_the_package_does(kind: str, vendor: Vendor, stage: Stage) -> None:
    """Or what an allowed difference says it does instead."""
    cases, number = KINDS[kind]

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a failure waits for seconds, and shrinking repeats it
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def check_one(line: JSON) -> None:
        verdict = check(vendor.record(line, stage), stage)

        assert not verdict.problems, f"{verdict}\n  inputs {json.dumps(line)}"

    check_one()


@pytest.mark.parametrize("name", ["engage.jsonl", "borders.jsonl"])
def test_vectors_are_what_the_package_does(name: str, vendor: Vendor, stage: Stage) -> None:
    path = FOLDER / name
    for line, case in zip(inputs_of(path), read_cases(path), strict=True):
        if not can_be_recorded(case):
            continue
        if case.request.get("referrer"):
            with Vendor() as another:  # only the first page view of a process has a referrer
                recorded = another.record(line, stage)
        else:
            recorded = vendor.record(line, stage)

        assert outcome_of(recorded) == outcome_of(case), case.id


def inputs_of(path: Path) -> Iterator[JSON]:
    for text in path.read_text(encoding="utf-8").split("\n")[1:]:
        if text:
            line = json.loads(text)
            line.pop("outcome")
            yield line


def outcome_of(case: Case) -> JSON:
    outcome = recorded_outcome(case)
    return outcome | {"sent": None} if is_in_a_hurry(case) else outcome


def can_be_recorded(case: Case) -> bool:
    """Whether the runner can do it: plain requests, one thing after the other, and a server of ours."""
    in_turn = not any("background" in args for _, args in case.steps)
    target = str((case.settings or {}).get("targetURL"))
    is_ours = case.call == "initServer" or target.startswith(("{MOCK}", "{CLOSED}"))
    return in_turn and is_ours and case.settings is not None and not case.is_for_javascript_only
