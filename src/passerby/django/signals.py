"""Log-in and log-out of Django's auth, told if the project asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from ..errors import ValidationError
from ..logs import get_logger
from ..tracker import Tracker
from .conf import DjangoSettings, read_own_settings

log: Logger = get_logger("passerby.django")


def connect() -> None:
    """Listen to log-in and log-out, whatever the settings say: tests may change them."""
    user_logged_in.connect(_identify, dispatch_uid="passerby.django.signals")
    user_logged_out.connect(_reset, dispatch_uid="passerby.django.signals")


def _identify(sender: Any, request: HttpRequest | None, user: Any, **rest: Any) -> None:
    tracker = _tracker_of(request)
    own = read_own_settings() if tracker is not None else None
    if tracker is None or own is None or not own.auth_signals:
        return
    try:
        tracker.identify(str(user.pk), _traits_of(user, own))
    except ValidationError as error:  # nobody who logs in is to see it
        log.warning("a log-in cannot be told: %s", error)


def _reset(sender: Any, request: HttpRequest | None, **rest: Any) -> None:
    tracker = _tracker_of(request)
    if tracker is not None and read_own_settings().auth_signals:
        tracker.reset()


def _traits_of(user: Any, own: DjangoSettings) -> Mapping[str, Any] | None:
    try:
        return own.traits_of(user)
    except Exception:
        log.exception("the user_traits callable raised; the log-in is told without")
        return None


def _tracker_of(request: HttpRequest | None) -> Tracker | None:
    """Return the tracker of a request; a log-in in a test, a command or the shell has none."""
    return getattr(request, "tracker", None)
