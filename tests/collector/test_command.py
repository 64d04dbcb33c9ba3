from __future__ import annotations

import signal
import threading
import time
from io import StringIO

from passerby.collector.command import RequestQueue, print_events, stop_on_signal


def test_a_signal_that_interrupts_nothing_ends_the_wait_all_the_same() -> None:
    """As when it comes just before the wait begins: Python calls its handler in the main thread, which sleeps."""
    arrivals = RequestQueue()

    def take_signal() -> None:
        time.sleep(0.1)  # the main thread waits by now
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with stop_on_signal(arrivals) as signals:
        other = threading.Thread(target=take_signal)
        other.start()
        print_events(arrivals, StringIO())
        other.join()

    assert signals == [signal.SIGINT]
