"""Making passerby do what a case says, to Segment."""

from __future__ import annotations

from passerby import Segment, Tracking

from ..case import JSON
from ..customerio.case import Case
from ..customerio.checking import compare
from ..customerio.recorded import recorded_outcome
from ..customerio.replay import Replay
from ..report import Verdict
from ..stage import Stage
from .differences import apply


class SegmentReplay(Replay):
    """One case on its collector, which takes the batches that it knows as Customer.io's."""

    def _make_tracking(self) -> Tracking:
        target = self.base + self.case.client.get("host_suffix", "")
        destination = Segment(
            write_key=self.case.write_key, target_url=target, gzip=self.case.uses_gzip, name="customerio"
        )
        return Tracking(
            destination, secret_key="signs cookies", infer_from_request=False, retry_base=0.01, retry_cap=0.05
        )


def replay(case: Case, stage: Stage, expected: JSON) -> JSON:
    with stage.collector_for(case) as (collector, base):
        return SegmentReplay(case, collector, base, expected).run()


def check(case: Case, stage: Stage) -> Verdict:
    """Replay a case and compare; a case that cannot be replayed has failed."""
    try:
        expected, applied = apply(case, recorded_outcome(case))
        got = replay(case, stage, expected)
    except Exception as error:
        return Verdict(case, [f"cannot be replayed: {type(error).__name__}: {error}"], ())
    return Verdict(case, [*compare(expected, got)], applied)
