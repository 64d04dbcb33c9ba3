"""uWSGI starts Python without threads unless it is told to; then nothing works in the background.

What is told under such a server waits: in memory it is lost with the process. It has to be said at the start, since
nothing else shows it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from logging import Logger
from pathlib import PurePath
from typing import Any

from .logs import get_logger

log: Logger = get_logger("passerby")

ADVICE = "start it with --enable-threads (or `enable-threads = true` in its configuration)"
_OFF = ("0", "false", "no", "off")


def find_options() -> Mapping[str, Any] | None:
    """Return the options of the uWSGI that runs this process; None if none does."""
    options: Mapping[Any, Any] | None = getattr(sys.modules.get("uwsgi"), "opt", None)
    return None if options is None else {_text(name): value for name, value in options.items()}


def threads_are_off(options: Mapping[str, Any]) -> bool:
    """Whether uWSGI with these options runs no threads of an app. `threads` above one switches them on too."""
    threads = _text(_last(options.get("threads", "0")))
    if threads.isdigit() and int(threads) > 1:
        return False
    enabled = _text(_last(options.get("enable-threads", "false"))).lower()
    return enabled in _OFF


def options_of_command(command: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the options that a process was started with; None if it is no uWSGI, or reads them out of a file."""
    if not command or not PurePath(command[0]).name.startswith("uwsgi"):
        return None
    options: dict[str, Any] = {}
    for place, word in enumerate(command[1:], 1):
        name, separator, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            if word.endswith((".ini", ".xml", ".yaml", ".yml", ".json")):
                return None
            continue
        if name in ("ini", "xml", "yaml", "yml", "json", "emperor", "config"):
            return None
        follows = command[place + 1] if place + 1 < len(command) and not command[place + 1].startswith("-") else True
        options[name] = value if separator else follows
    if "T" in options:  # its short form
        options["enable-threads"] = True
    return options


def warn_if_threads_are_off() -> None:
    """Log one line if this process is run by a uWSGI that runs no threads."""
    options = find_options()
    if options is not None and threads_are_off(options):
        log.warning("uWSGI runs this app without threads, so that nothing is delivered; %s", ADVICE)


def _last(value: Any) -> Any:
    """Return the last of the values of an option that was given more than once."""
    match value:
        case [*_, last]:
            return last
        case _:
            return value


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
