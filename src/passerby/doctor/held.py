"""Another process for the doctor: says by its exit code whether somebody has the lock of an outbox's file."""

from __future__ import annotations

import sys
from pathlib import Path

from ..outbox.folder import looked_at

TAKEN = 10
FREE = 11

if __name__ == "__main__":
    with looked_at(Path(sys.argv[1])) as is_gone:
        code = FREE if is_gone else TAKEN
    sys.exit(code)
