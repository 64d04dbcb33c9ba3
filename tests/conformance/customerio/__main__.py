"""`python -m tests.conformance.customerio FILE.jsonl`: record the outcomes of a file's cases anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..stage import Stage
from .vendor import NodePackage, PythonPackage, record


def main(path: Path) -> None:
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").split("\n") if text]
    with Stage() as stage, NodePackage() as node:
        for line in lines:
            if "_about" not in line:
                case = record(PythonPackage() if line["sdk"] == "python" else node, line, stage)
                line["outcome"] = case.outcome
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
