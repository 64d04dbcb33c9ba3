"""Where the outbox is: as the command says, or as the app's settings or the environment do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ...client.tracking import Tracking
from ...errors import SettingsError
from ...outbox.folder import Folder
from ...settings.env import own_variables, variable_of

VARIABLE = variable_of("outbox")


class Refused(Exception):
    """A command cannot do what it is asked for.

    Attributes:
        code: the exit code: 2 where the command was called wrongly, else 1.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)


def find_modules_here(environ: Mapping[str, str]) -> None:
    """Let classes that the environment names be found in the working directory, if it names any.

    A command that is run with `python -m` finds them there, and an installed one would not.
    """
    if any(name.startswith("PASSERBY_") and name.endswith("_CLASS") for name in environ) and "" not in sys.path:
        sys.path.insert(0, "")


def find_directory(given: str | None, find_tracking: Callable[[], Tracking] | None, environ: Mapping[str, str]) -> Path:
    """Return the directory of the outbox, which need not exist; raises Refused.

    Args:
        given: what the command says: a directory, or the setting as an app has it.
        find_tracking: gives the tracking of the app whose command line it is.
        environ: the environment.
    """
    if given is not None:
        return _directory_of(given, "--outbox")
    if find_tracking is not None:
        try:
            directory = find_tracking().outbox_directory
        except SettingsError as error:
            raise Refused(f"{error}; or name the outbox with --outbox") from None
        return _directory_of("memory" if directory is None else directory, "the app's outbox")
    named = own_variables(environ).get(VARIABLE)
    if named is not None:
        return _directory_of(named, VARIABLE)
    raise Refused(
        f"found no outbox; name it with --outbox sqlite:///var/lib/shop/outbox, or set {VARIABLE} as the app has it", 2
    )


def is_missing(directory: Path) -> bool:
    """Whether there is no directory yet; one that cannot be looked at, or a link that leads nowhere, is there."""
    try:
        directory.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def check_directory(directory: Path) -> None:
    """See that a directory can be read and is one for an outbox; raises Refused."""
    try:
        Folder(directory)
        next(directory.iterdir(), None)
    except SettingsError as error:
        raise Refused(f"{directory}: {error.message}") from None
    except FileNotFoundError:
        raise Refused(
            f"found no directory {directory}; an app makes it with its first event: is it the one that the app uses?"
        ) from None
    except OSError as error:
        raise Refused(
            f"{directory} cannot be read ({error.strerror}); run the command as the user that the app runs as"
        ) from None


def _directory_of(text: str, name: str) -> Path:
    if text == "memory":
        raise Refused(f'{name} is "memory": what waits is in the app\'s memory, and there are no files to look at', 2)
    scheme, separator, rest = text.partition("://")
    if not separator and text:
        return Path(text).expanduser().absolute()
    directory = "/" + rest.strip("/")
    if scheme != "sqlite" or not rest.startswith("/") or directory == "/":
        raise Refused(f"{name}: expected a directory, or such as sqlite:///var/lib/shop/outbox", 2)
    return Path(directory)
