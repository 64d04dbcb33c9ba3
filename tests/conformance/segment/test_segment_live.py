"""The vendor's own package beside passerby, on made-up inputs and on those at the edges.

The package runs each input and so records a case, against a collector; passerby is then held to it, but for the
differences that are listed. The inputs are the same in every run.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ..case import JSON
from ..customerio.case import Case
from ..customerio.checking import compare
from ..customerio.inputs import cases
from ..customerio.recorded import recorded_outcome
from ..customerio.vendor import record
from ..stage import Stage
from .cases import EDGES
from .differences import DIFFERENCES, apply
from .replay import check, replay
from .vendor import SegmentPackage


@pytest.fixture(scope="module")
def package() -> SegmentPackage:
    pytest.importorskip("segment.analytics", reason="needs the vendor's package, which is in requirements")
    return SegmentPackage()


def recorded(line: JSON, package: SegmentPackage, stage: Stage) -> Case:
    return record(package, copy.deepcopy(line), stage)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("call", ["identify", "track", "page", "group", "alias"])
def test_passerby_does_what_the_package_does(call: str, package: SegmentPackage, stage: Stage) -> None:
    """Or what an allowed difference says it does instead."""

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(cases("python", call))
    def check_one(line: JSON) -> None:
        verdict = check(recorded(line, package, stage), stage)

        assert not verdict.problems, f"{verdict}\n  inputs {json.dumps(line)}"

    check_one()


@pytest.mark.parametrize("line", EDGES, ids=lambda line: line["id"])
def test_at_the_edges(line: JSON, package: SegmentPackage, stage: Stage) -> None:
    verdict = check(recorded(line, package, stage), stage)

    assert not verdict.problems, str(verdict)


def test_every_difference_is_used(package: SegmentPackage, stage: Stage) -> None:
    used: set[str] = set()
    for line in EDGES:
        case = recorded(line, package, stage)
        used |= set(apply(case, recorded_outcome(case))[1])

    assert used == {difference.name for difference in DIFFERENCES}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("segment/traits", ("sent", 0, "message", "traits", "firstName")),
        ("segment/track", ("sent", 0, "message", "userId")),
        ("segment/track", ("sent", 0, "request", "authorization")),
        ("segment/track", ("sent", 0, "request", "path")),
        ("segment/gzip", ("sent", 0, "request", "content-encoding")),
        ("segment/bad", ("ends", 0)),
    ],
)
def test_a_wrong_expectation_is_found(name: str, path: tuple[Any, ...], package: SegmentPackage, stage: Stage) -> None:
    line = next(line for line in EDGES if line["id"] == name)
    case = recorded(line, package, stage)
    expected, _ = apply(case, recorded_outcome(case))
    got = replay(case, stage, expected)
    assert not [*compare(expected, got)]

    place: Any = expected
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "changed"
    assert [*compare(expected, got)]


def test_differences_are_whole_sentences() -> None:
    for difference in DIFFERENCES:
        for text in difference[1:4]:
            assert text.strip() == text
            assert not text.endswith(".")
