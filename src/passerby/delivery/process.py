"""What happens to the process: it exits, or it forks. Whoever needs to know is told, for as long as it lives."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from ..logs import sparing


class Heir(Protocol):
    """What a forked child gets from its parent and cannot use as it is."""

    def begin_afresh(self) -> None:
        """This is a forked child; threads, locks and connections of the parent are not ours."""
        ...


class Process(Heir, Protocol):
    """What wants to know of the life of the process."""

    def on_exit(self, waited: float) -> None:
        """The interpreter exits, and has waited so many seconds for others already."""
        ...

    def hold_still(self) -> None:
        """The process is about to fork."""
        ...

    def go_on(self) -> None:
        """The process has forked, and this is the parent."""
        ...


_living: weakref.WeakSet[Process] = weakref.WeakSet()
_heirs: weakref.WeakSet[Heir] = weakref.WeakSet()


def watch_process(process: Process) -> None:
    """Tell an object of exit and fork for as long as it lives; it is not kept alive by this."""
    _living.add(process)


def renew_in_child(heir: Heir) -> None:
    """Tell an object of a fork in the child, for as long as it lives; it is not kept alive by this."""
    _heirs.add(heir)


def _on_exit() -> None:
    begun = time.monotonic()
    for process in list(_living):
        process.on_exit(time.monotonic() - begun)


def _before_fork() -> None:
    for process in list(_living):
        process.hold_still()


def _after_fork_in_parent() -> None:
    for process in list(_living):
        process.go_on()


def _after_fork_in_child() -> None:
    for heir in [*_heirs, *_living]:  # the heirs first: among them is what the others log by
        heir.begin_afresh()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:  # its forked children end without what is registered with atexit
        multiprocessing.register_after_fork(_on_exit, _finish_with_multiprocessing)


def _finish_with_multiprocessing(on_exit: Callable[[], None]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, on_exit, exitpriority=0)


renew_in_child(sparing)
# Once per process, never per object: neither registration can be undone.
atexit.register(_on_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
