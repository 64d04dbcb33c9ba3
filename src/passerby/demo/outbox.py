"""The demo's outbox: in a temporary directory that is removed when empty, or in one that is kept."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ..cli.outbox.location import CommandError, find_directory
from ..cli.outbox.store import CommandStore


class DemoOutbox:
    """The directory of the outbox.

    Args:
        given: a directory, or the setting as an app has it; None makes one. Raises CommandError.

    Attributes:
        directory: its path.
        is_kept: whether it is never removed.
    """

    def __init__(self, given: str | None) -> None:
        self.is_kept: bool = given is not None
        self.directory: Path = (
            Path(tempfile.mkdtemp(prefix="passerby-demo-")) if given is None else find_directory(given, None, {})
        )

    @property
    def setting(self) -> str:
        """The value of the `outbox` setting."""
        return f"sqlite://{self.directory}"

    @property
    def is_empty(self) -> bool:
        """Whether no event is in it: none waits or is held, and there are no dead letters."""
        try:
            with CommandStore(self.directory) as store:
                return not store.summary().total and not store.quarantined()
        except CommandError:  # what is in it is unknown
            return False

    def close(self) -> None:
        """Remove the directory if it is temporary and empty."""
        if not self.is_kept and self.is_empty:
            shutil.rmtree(self.directory, ignore_errors=True)
