"""Every recorded case, replayed against passerby; and the model beside what was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..comparison import canonical, differences_of
from .case import EdgeCase, read_cases
from .model import run_model
from .recorded import recorded_outcome

FOLDER = Path(__file__).parent
CASES = list(read_cases(FOLDER / "sitecore_edge.jsonl"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_model_comes_to_what_was_recorded(case: EdgeCase) -> None:
    """Differences are judged by the model, so without them it must be the SDK."""
    if not case.is_for_javascript_only:
        model, recorded = run_model(case, ()), recorded_outcome(case)
        if recorded["sent"] is None:
            recorded["sent"] = model["sent"]
        assert canonical(model) == canonical(recorded), "\n".join(differences_of("model", recorded, model))
