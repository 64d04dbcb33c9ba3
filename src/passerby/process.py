"""Notifies registered objects, which are referenced weakly, when the process exits or forks."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from .logs import rate_limit


class ForkAware(Protocol):
    """An object with state that is not valid in a forked child."""

    def reset_after_fork(self) -> None:
        """Reset the state in a forked child: threads, locks and connections belong to the parent."""
        ...


class ForkListener(ForkAware, Protocol):
    """An object whose threads pause during a fork."""

    def before_fork(self) -> None:
        """Prepare for a fork."""
        ...

    def after_fork_in_parent(self) -> None:
        """Continue in the parent after a fork."""
        ...


class ExitListener(Protocol):
    """An object that is notified of the interpreter's exit."""

    def on_exit(self, waited: float) -> None:
        """Prepare for the exit, which has waited `waited` seconds for other objects already."""
        ...


# Not those that a thread's own mistake raises, and that profilers send.
_HANDLED = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD")
    if hasattr(signal, name)
]

_exit_listeners: weakref.WeakSet[ExitListener] = weakref.WeakSet()
_fork_listeners: weakref.WeakSet[ForkListener] = weakref.WeakSet()
_fork_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def register_exit_listener(listener: ExitListener) -> None:
    """Notify an object of the exit. The reference is weak."""
    _exit_listeners.add(listener)


def register_fork_listener(listener: ForkListener) -> None:
    """Notify an object before and after a fork. The reference is weak."""
    _fork_listeners.add(listener)


def leave_signals_to_the_app() -> None:
    """Have no signal handler run in this thread of passerby's.

    uWSGI's end the process in whichever thread runs them, and it hangs if that is not one of its own. With gevent's
    patches this may be the app's own thread, in which nothing is changed.
    """
    if sys.platform == "linux" and threading.get_native_id() != os.getpid():
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


def register_fork_aware(one: ForkAware) -> None:
    """Notify an object in the child after a fork. The reference is weak."""
    _fork_aware.add(one)


def _on_exit() -> None:
    begun = time.monotonic()
    for process in list(_exit_listeners):
        process.on_exit(time.monotonic() - begun)


def _before_fork() -> None:
    for process in list(_fork_listeners):
        process.before_fork()


def _after_fork_in_parent() -> None:
    for process in list(_fork_listeners):
        process.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for one in [*_fork_aware, *_fork_listeners]:  # the rate limit of the loggers is among the first
        one.reset_after_fork()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:  # its forked children do not run functions registered with atexit
        multiprocessing.register_after_fork(_on_exit, _finish_with_multiprocessing)


def _finish_with_multiprocessing(on_exit: Callable[[], None]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, on_exit, exitpriority=0)


register_fork_aware(rate_limit)
# Once per process, never per object: neither registration can be undone.
atexit.register(_on_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
