"""The vendor's own packages in a Node.js process: they record the outcome of a case, as the vectors were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..case import JSON
from ..node_process import NodeProcess
from ..stage import Stage
from .case import EdgeCase
from .neutral import requests_to
from .wire import ANSWERS

RUNNER = Path(__file__).with_name("edge_runner.cjs")


class EdgeVendor(NodeProcess):
    """A process that runs one case after the other."""

    def __init__(self) -> None:
        super().__init__(RUNNER)

    def record(self, line: JSON, stage: Stage) -> EdgeCase:
        """The case of these inputs, with what the packages make of them; `line` is a sequence of calls."""
        case = EdgeCase.from_json(line | {"outcome": {}})
        with stage.collector_for(case, ANSWERS) as (collector, base):
            answered = self.ask(line | {"settings": filled_in(line["settings"], stage, base)})
            outcome = json.loads(answered.replace(base, "{MOCK}"))
            outcome["sent"] = [_written_down(one) for one in requests_to(case, collector, base)]
        return EdgeCase.from_json(line | {"outcome": outcome})


def filled_in(value: Any, stage: Stage, base: str) -> Any:
    """Settings with addresses in the place of their names, at any depth."""
    if isinstance(value, dict):
        return {name: filled_in(item, stage, base) for name, item in value.items()}
    return stage.fill_in(value, base)


def as_sequence(line: JSON) -> JSON:
    """A recorded case's inputs as a sequence of calls."""
    if line["call"] in ("sequence", "browser"):
        return line
    first: list[JSON] = [] if line.get("no_init") else [{"call": "initialize"}]
    steps = first if line["call"] == "initialize" else [*first, {"call": line["call"], "args": line.get("args", {})}]
    return line | {"call": "sequence", "args": {"steps": steps}}


def _written_down(request: JSON) -> JSON:
    headers = {name: value for name, value in request["headers"].items() if value}
    return {name: value for name, value in request.items() if value is not None} | {"headers": headers}
