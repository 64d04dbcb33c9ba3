"""The vendor's own package in a Node.js process: it records the outcome of a case, as the vectors were recorded."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from .case import JSON, Case
from .recorded import COMPARED_HEADERS
from .stage import Stage, received

RUNNER = Path(__file__).with_name("engage_runner.mjs")


class Vendor:
    """A process that runs one case after the other."""

    def __init__(self) -> None:
        command = [shutil.which("node") or "node", str(RUNNER)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __enter__(self) -> Vendor:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def record(self, line: JSON, stage: Stage) -> Case:
        """The case of these inputs, with what the package makes of them."""
        case = Case.from_json(line | {"outcome": {}})
        with stage.collector_for(case) as (collector, base):
            settings = {name: stage.fill_in(value, base) for name, value in line["settings"].items()}
            answered = self._run(line | {"settings": settings})
            outcome = json.loads(answered.replace(base, "{MOCK}"))
            outcome["sent"] = [_written_down(one) for one in received(collector, base)]
        return Case.from_json(line | {"outcome": outcome})

    def _run(self, job: JSON) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def _written_down(request: JSON) -> JSON:
    headers = {name: value for name, value in request["headers"].items() if name in COMPARED_HEADERS and value}
    return {name: value for name, value in request.items() if value is not None} | {"headers": headers}
