"""`python -m tests.conformance.edge FILE.jsonl`: record the outcomes of a file's cases anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..stage import Stage
from .vendor import EdgeVendor, as_sequence


def main(path: Path) -> None:
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").split("\n") if text]
    with Stage() as stage, EdgeVendor() as vendor:
        for index, line in enumerate(lines):
            if "_about" not in line:
                sequence = as_sequence(line)
                lines[index] = sequence | {"outcome": vendor.record(sequence, stage).outcome}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
