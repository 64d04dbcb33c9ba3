"""The vendor's own packages beside passerby, on generated inputs, and beside the vectors.

Hypothesis makes up the inputs, the packages run them in Node.js and so record a case, which is then checked like every
other. The inputs are the same in every run of the same modules: hypothesis picks up the texts in those that are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from ..case import JSON
from ..comparison import differences_of
from ..stage import Stage
from . import inputs
from .case import EdgeCase
from .checking import check
from .recorded import recorded_outcome
from .test_edge import FOLDER
from .vendor import EdgeVendor, as_sequence

pytestmark = pytest.mark.node

# How many cases of each kind, of both SDKs together.
KINDS: dict[str, tuple[SearchStrategy[JSON], int]] = {
    "settings": (inputs.init_cases, 50),
    "cookies": (inputs.cookie_cases, 60),
    "page views": (inputs.view_cases, 60),
    "identities": (inputs.identity_cases, 50),
    "events": (inputs.event_cases, 50),
    "forms and bots": (inputs.form_cases, 25),
    "personalisations": (inputs.personalize_cases, 40),
    "sequences": (inputs.sequence_cases, 40),
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[EdgeVendor]:
    with EdgeVendor() as vendor:
        yield vendor


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("kind", KINDS)
def test_passerby_does_what_the_packages_do(kind: str, vendor: EdgeVendor, stage: Stage) -> None:
    """Or what an allowed difference says it does instead."""
    cases, number = KINDS[kind]

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a failure waits for seconds, and shrinking repeats it
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(cases)
    def check_one(line: JSON) -> None:
        verdict = check(vendor.record(line, stage), stage)

        assert not verdict.problems, f"{verdict}\n  inputs {json.dumps(line)}"

    check_one()


@pytest.mark.timeout(600)  # hundreds of cases, each of which takes milliseconds on a quiet machine
@pytest.mark.parametrize("name", ["sitecore_edge.jsonl", "borders.jsonl"])
def test_vectors_are_what_the_packages_do(name: str, vendor: EdgeVendor, stage: Stage) -> None:
    checked = 0
    for line in inputs_of(name):
        case = EdgeCase.from_json(line)
        if can_be_recorded(case):
            expected, got = outcome_of(case), outcome_of(vendor.record(as_sequence(line), stage))
            assert got == expected, "\n".join([case.id, *differences_of("recorded", expected, got)])
            checked += 1
    assert checked


def inputs_of(name: str) -> Iterator[JSON]:
    for text in (FOLDER / name).read_text(encoding="utf-8").split("\n"):
        if text and "_about" not in (line := json.loads(text)):
            yield line


def outcome_of(case: EdgeCase) -> JSON:
    """What was recorded, but for requests that may or may not have gone out before the time was over."""
    outcome = recorded_outcome(case)
    is_timed = case.chosen.get("timeout") is not None or any(
        "timeout" in (args.get("opts") or {}) for _, args in case.steps
    )
    return outcome | {"sent": None} if is_timed else outcome


def can_be_recorded(case: EdgeCase) -> bool:
    """Whether the runner can do it: plain requests to a server of ours, one thing after the other."""
    if case.call in ("browser", "visits", "overlap", "getGuestIdServer") or case.is_for_javascript_only:
        return False
    calls = {call for call, _ in case.steps}
    is_ours = case.call == "initialize" or ("edgeUrl" in case.chosen and case.target.startswith(("{MOCK}", "{CLOSED}")))
    return is_ours and "getClientId" not in calls and case.settings is not None
