"""What a scenario changes about the store of a process, by the store's own hooks; the environment says it.

`CHAOS_STORE` is a JSON object: "clock" names a file whose size is how many seconds the store's clock is ahead, so that
no scenario waits until the claims of a dead process end; "sync" is how many seconds each sync of the disk takes. A
process without it has the store as it is.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from passerby.outbox import sqlite
from passerby.outbox.sqlite.directory import sync_file

from .process import STORE


def options_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for a store."""
    options: dict[str, Any] = {}
    if "clock" in described:
        # The clock of the system's start, which processes share; under `chaos.clock` it goes as fast as that says.
        options["clock"] = lambda: time.monotonic() + os.stat(described["clock"]).st_size  # noqa: PTH116
    if "sync" in described:
        options["sync"] = lambda descriptor: _sync_slowly(descriptor, described["sync"])
    return options


def _sync_slowly(descriptor: int, seconds: float) -> None:
    sync_file(descriptor)
    time.sleep(seconds)


def install() -> None:
    """Have all stores of this process be made with what the environment says."""
    options = options_of(json.loads(os.environ.get(STORE, "{}")))
    if options and not isinstance(sqlite.SqliteStore, functools.partial):
        sqlite.SqliteStore = functools.partial(sqlite.SqliteStore, **options)  # type: ignore[misc, assignment]
