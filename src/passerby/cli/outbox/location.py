"""Finds the outbox: from the option, the app's settings or the environment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ...client.tracking import Tracking
from ...errors import SettingsError
from ...outbox.sqlite.directory import NAME
from ...settings.env import own_variables, variable_of

VARIABLE = variable_of("outbox")


class CommandError(Exception):
    """A command cannot run.

    Attributes:
        code: the exit code: 2 for wrong usage, else 1.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)


def add_working_directory(environ: Mapping[str, str]) -> None:
    """Add the working directory to the import path if the environment names classes.

    `python -m` does that by itself, an installed command does not.
    """
    if any(name.startswith("PASSERBY_") and name.endswith("_CLASS") for name in environ) and "" not in sys.path:
        sys.path.insert(0, "")


def find_directory(given: str | None, find_tracking: Callable[[], Tracking] | None, environ: Mapping[str, str]) -> Path:
    """Return the directory of the outbox, which need not exist. Raises CommandError.

    Args:
        given: the option: a directory, or the setting as an app has it.
        find_tracking: returns the tracking of the app whose command line this is.
        environ: the environment.
    """
    if given is not None:
        return _directory_of(given, "--outbox")
    if find_tracking is not None:
        try:
            directory = find_tracking().outbox_directory
        except SettingsError as error:
            raise CommandError(f"{error}; or name the outbox with --outbox") from None
        return _directory_of("memory" if directory is None else directory, "the app's outbox")
    named = own_variables(environ).get(VARIABLE)
    if named is not None:
        return _directory_of(named, VARIABLE)
    raise CommandError(
        f"found no outbox; name it with --outbox sqlite:///var/lib/shop/outbox, or set {VARIABLE} as the app has it", 2
    )


def is_missing(directory: Path) -> bool:
    """Whether the directory does not exist; unreadable directories and dangling links count as existing."""
    try:
        directory.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def check_directory(directory: Path) -> None:
    """Check that a directory can be read, and what passerby has made in it. Raises CommandError."""
    path = directory
    try:
        next(directory.iterdir(), None)
        path = directory / NAME
        if not is_missing(path):
            next(path.iterdir(), None)
    except FileNotFoundError:
        raise CommandError(f"found no directory {path}; an app makes it with its first event; check the path") from None
    except NotADirectoryError:
        raise CommandError(f"found a file at {path}, expected a directory; check the path") from None
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror}); run the command as the user that the app runs as"
        ) from None


def _directory_of(text: str, name: str) -> Path:
    if text == "memory":
        raise CommandError(f'{name} is "memory": the events are in the app\'s memory, there are no files', 2)
    scheme, separator, rest = text.partition("://")
    if not separator and text:
        return Path(text).expanduser().absolute()
    directory = "/" + rest.strip("/")
    if scheme != "sqlite" or not rest.startswith("/") or directory == "/":
        raise CommandError(f"{name}: expected a directory or a URL such as sqlite:///var/lib/shop/outbox", 2)
    return Path(directory)
