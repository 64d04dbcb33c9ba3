"""Where the demo's events wait: in a directory of its own that goes when it is empty, or in one that is kept."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from ..cli.outbox.location import find_directory
from ..outbox.inventory import list_files


class DemoOutbox:
    """The directory of the outbox.

    Args:
        given: a directory, or the setting as an app has it; None makes one. Raises Refused for what is neither.

    Attributes:
        directory: where it is.
        is_kept: whether it stays in any case.
    """

    def __init__(self, given: str | None) -> None:
        self.is_kept: bool = given is not None
        self.directory: Path = (
            Path(tempfile.mkdtemp(prefix="passerby-demo-")) if given is None else find_directory(given, None, {})
        )

    @property
    def setting(self) -> str:
        """What an app has in its settings."""
        return f"sqlite://{self.directory}"

    @property
    def is_empty(self) -> bool:
        """Whether no process has left anything there, waiting or dead."""
        with suppress(FileNotFoundError):
            return not list_files(self.directory)
        return True

    def close(self) -> None:
        """Remove the directory if it is the demo's own and nothing is left in it."""
        if not self.is_kept and self.is_empty:
            shutil.rmtree(self.directory, ignore_errors=True)
