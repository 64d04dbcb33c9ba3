"""A process of the doctor: its exit code says whether an outbox file is locked."""

from __future__ import annotations

import sys
from pathlib import Path

from ...old_outbox.folder import looked_at

TAKEN = 10
FREE = 11


def main(path: Path) -> int:
    """Check the lock of a file. Returns the exit code."""
    with looked_at(path) as is_gone:
        return FREE if is_gone else TAKEN


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
