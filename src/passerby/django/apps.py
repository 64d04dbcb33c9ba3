"""The Django app, for `INSTALLED_APPS`: checks, the template tag and the command."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from . import checks, signals


class PasserbyConfig(AppConfig):
    """The app `passerby.django`."""

    name = "passerby.django"
    label = "passerby"
    verbose_name = "passerby"

    def ready(self) -> None:
        """Register the checks and the log-in and log-out signals."""
        register(checks.check_settings)
        register(checks.check_middleware)
        signals.connect()
