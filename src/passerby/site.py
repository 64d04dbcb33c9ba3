"""The app whose command line is used, such as a Django project."""

from __future__ import annotations

from typing import Protocol

from .tracking import Tracking


class Site(Protocol):
    """What the commands ask of an app. Both raise SettingsError."""

    def outbox(self) -> str:
        """Return its setting `outbox`."""
        ...

    def tracking(self) -> Tracking:
        """Return its tracking."""
        ...
