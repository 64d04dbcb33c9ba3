"""A process of the doctor: its exit code says whether the turn of a store is taken."""

from __future__ import annotations

import sys
from pathlib import Path

from ...outbox.contract import StorageError
from ...outbox.sqlite.directory import StoreDirectory

TAKEN = 10
FREE = 11
_PATIENCE = 0.2  # seconds


def main(path: Path) -> int:
    """Try to take a turn. Returns the exit code."""
    try:
        with StoreDirectory(path).turn(_PATIENCE):
            return FREE
    except StorageError:
        return TAKEN


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
