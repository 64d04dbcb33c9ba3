"""The vendor's own package in a Node.js process: it records the outcome of a case, as the vectors were recorded."""

from __future__ import annotations

import json
from pathlib import Path

from .case import JSON, Case
from .node_process import NodeProcess
from .recorded import COMPARED_HEADERS
from .stage import Stage, received

RUNNER = Path(__file__).with_name("engage_runner.mjs")


class Vendor(NodeProcess):
    """A process that runs one case after the other."""

    def __init__(self) -> None:
        super().__init__(RUNNER)

    def record(self, line: JSON, stage: Stage) -> Case:
        """The case of these inputs, with what the package makes of them."""
        case = Case.from_json(line | {"outcome": {}})
        with stage.collector_for(case) as (collector, base):
            settings = {name: stage.fill_in(value, base) for name, value in line["settings"].items()}
            answered = self.ask(line | {"settings": settings})
            outcome = json.loads(answered.replace(base, "{MOCK}"))
            outcome["sent"] = [_written_down(one) for one in received(collector, base)]
        return Case.from_json(line | {"outcome": outcome})


def _written_down(request: JSON) -> JSON:
    headers = {name: value for name, value in request["headers"].items() if name in COMPARED_HEADERS and value}
    return {name: value for name, value in request.items() if value is not None} | {"headers": headers}
