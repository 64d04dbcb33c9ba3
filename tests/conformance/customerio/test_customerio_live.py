"""The vendor's own packages beside passerby, on inputs that nobody thought of, and beside the vectors.

Hypothesis makes up the inputs, a package runs them and so records a case, which is then checked like every other. The
inputs are the same in every run of the same modules: hypothesis picks up the texts in those that are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ..case import JSON
from ..stage import Stage
from .case import Case
from .checking import check
from .inputs import cases
from .recorded import recorded_outcome
from .test_customerio import FOLDER, VECTORS
from .vendor import NodePackage, PythonPackage, Vendor, record

CALLS = ("identify", "track", "page", "screen", "group", "alias")


@pytest.fixture(scope="module")
def python() -> PythonPackage:
    pytest.importorskip("customerio.analytics", reason="needs the vendor's package, which is in requirements")
    return PythonPackage()


@pytest.fixture(scope="module")
def node() -> Iterator[NodePackage]:
    with NodePackage() as node:
        yield node


def compare(vendor: Vendor, sdk: str, call: str, stage: Stage, number: int) -> None:
    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a failure waits for seconds, and shrinking repeats it
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(cases(sdk, call))
    def check_one(line: JSON) -> None:
        verdict = check(record(vendor, line, stage), stage)

        assert not verdict.problems, f"{verdict}\n  inputs {json.dumps(line)}"

    check_one()


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("call", CALLS)
def test_passerby_does_what_the_python_package_does(call: str, python: PythonPackage, stage: Stage) -> None:
    """Or what an allowed difference says it does instead."""
    compare(python, "python", call, stage, 60)


@pytest.mark.node
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("call", CALLS)
def test_passerby_does_what_the_node_package_does(call: str, node: NodePackage, stage: Stage) -> None:
    """Or what an allowed difference says it does instead."""
    compare(node, "node", call, stage, 40)


@pytest.mark.parametrize("name", ["customerio.jsonl", "borders.jsonl"])
def test_vectors_are_what_the_python_package_does(name: str, python: PythonPackage, stage: Stage) -> None:
    lines = [line for line in inputs_of(name) if line["sdk"] == "python" and can_be_recorded(line)]
    for line in lines:
        assert outcome_of(record(python, line, stage)) == outcome_of(VECTORS[line["id"]]), line["id"]
    assert lines


@pytest.mark.node
@pytest.mark.parametrize("name", ["customerio.jsonl", "borders.jsonl"])
def test_vectors_are_what_the_node_package_does(name: str, node: NodePackage, stage: Stage) -> None:
    lines = [line for line in inputs_of(name) if line["sdk"] == "node" and can_be_recorded(line)]
    for line in lines:
        assert outcome_of(record(node, line, stage)) == outcome_of(VECTORS[line["id"]]), line["id"]
    assert lines


def inputs_of(name: str) -> Iterator[JSON]:
    for text in (FOLDER / name).read_text(encoding="utf-8").split("\n"):
        if text and "_about" not in (line := json.loads(text)):
            line.pop("outcome")
            yield line


def can_be_recorded(line: JSON) -> bool:
    """Whether a run can be compared with the recording: nothing is left to chance, and no queue is involved."""
    if line["sdk"] == "python" and line["call"] in ("batch", "client"):
        return False
    args = line.get("args", {})
    return line["call"] in ("client", "batch") or bool({"message_id", "messageId"} & args.keys())


def outcome_of(case: Case) -> JSON:
    outcome = recorded_outcome(case)
    for one in outcome["sent"]:
        one["message"].pop("_metadata", None)
    outcome.pop("callers_context", None)
    return json.loads(json.dumps(outcome))  # type: ignore[no-any-return]
