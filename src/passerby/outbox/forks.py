"""Forks: an exchange ends before one, and a forked child begins anew."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkListener(Protocol):
    """An object with threads and locks of its own."""

    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def reset_after_fork(self) -> None: ...


_listeners: weakref.WeakSet[ForkListener] = weakref.WeakSet()


def listen_to_forks(listener: ForkListener) -> None:
    """Call an object before and after forks. The reference is weak."""
    _listeners.add(listener)


def _before_fork() -> None:
    for listener in list(_listeners):
        listener.before_fork()


def _after_fork_in_parent() -> None:
    for listener in list(_listeners):
        listener.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for listener in list(_listeners):
        listener.reset_after_fork()


# Once per process: a registration cannot be undone.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
