"""The vendor's own packages beside passerby, on inputs that nobody thought of, and beside the vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ..case import JSON
from ..comparison import differences_of
from ..stage import Stage
from .case import EdgeCase
from .recorded import recorded_outcome
from .test_edge import FOLDER
from .vendor import EdgeVendor, as_sequence

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def vendor() -> Iterator[EdgeVendor]:
    with EdgeVendor() as vendor:
        yield vendor


def test_vectors_are_what_the_packages_do(vendor: EdgeVendor, stage: Stage) -> None:
    for line in inputs_of("sitecore_edge.jsonl"):
        case = EdgeCase.from_json(line)
        if can_be_recorded(case):
            recorded = outcome_of(vendor.record(as_sequence(line), stage))
            expected = outcome_of(case)
            assert recorded == expected, "\n".join([case.id, *differences_of("", expected, recorded)])


def inputs_of(name: str) -> Iterator[JSON]:
    for text in (FOLDER / name).read_text(encoding="utf-8").split("\n"):
        if text and "_about" not in (line := json.loads(text)):
            yield line


def outcome_of(case: EdgeCase) -> JSON:
    outcome = recorded_outcome(case)
    if "timeout-" in case.id:
        outcome["sent"] = None
    return outcome


def can_be_recorded(case: EdgeCase) -> bool:
    """Whether the runner can do it: plain requests to a server of ours, one thing after the other."""
    if case.call in ("browser", "visits", "overlap", "getGuestIdServer") or case.is_for_javascript_only:
        return False
    calls = {call for call, _ in case.steps}
    is_ours = case.call == "initialize" or ("edgeUrl" in case.chosen and case.target.startswith(("{MOCK}", "{CLOSED}")))
    return is_ours and "getClientId" not in calls and case.settings is not None
