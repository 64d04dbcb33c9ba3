"""Which threads of a process get its signals."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.making import eventually, let_go

from .receiver import Receiver
from .recording import make_tracking


@pytest.mark.skipif(sys.platform != "linux", reason="what a thread blocks is only seen on Linux")
def test_no_signal_handler_runs_in_a_thread_of_passerbys(receiver: Receiver, directory: Path) -> None:
    """uWSGI's would end the process there, and wait for itself."""
    before = set(own_threads())
    tracking = make_tracking(directory, receiver.url)
    try:
        tracking.delivery.start(delivers=True)
        eventually(lambda: len(set(own_threads()) - before) == 3)
        eventually(lambda: all(blocks(thread, signal.SIGTERM) for thread in set(own_threads()) - before))
        assert not blocks(threading.main_thread(), signal.SIGTERM)
    finally:
        let_go(tracking)


def own_threads() -> list[threading.Thread]:
    names = ("passerby-outbox", "passerby-delivery", "passerby-wake")
    return [thread for thread in threading.enumerate() if thread.name in names]


def blocks(thread: threading.Thread, number: int) -> bool:
    if thread.native_id is None:  # it begins
        return False
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(mask, 16) >> (number - 1) & 1)
