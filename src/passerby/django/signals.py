"""Tracks log-in and log-out of Django's auth, if `auth_signals` is set."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from ..client.tracker import Tracker
from ..errors import ValidationError
from ..logs import get_logger
from .conf import DjangoSettings, read_own_settings

log: Logger = get_logger("passerby.django")


def connect() -> None:
    """Connect to the log-in and log-out signals whatever the settings, since tests may change them."""
    user_logged_in.connect(_identify, dispatch_uid="passerby.django.signals")
    user_logged_out.connect(_reset, dispatch_uid="passerby.django.signals")


def _identify(sender: Any, request: HttpRequest | None, user: Any, **rest: Any) -> None:
    tracker = _tracker_of(request)
    own = read_own_settings() if tracker is not None else None
    if tracker is None or own is None or not own.auth_signals or not _is_wanted(request, user, own):
        return
    if not own.auth_staff and _is_staff(user):
        if tracker.user_id is not None:  # the previous user has left
            tracker.rotate()
        return
    try:
        tracker.identify(str(user.pk), _traits_of(user, own))
    except ValidationError as error:  # must not break the log-in
        log.warning("cannot track a log-in: %s", error)


def _reset(sender: Any, request: HttpRequest | None, **rest: Any) -> None:
    tracker = _tracker_of(request)
    if tracker is not None and read_own_settings().auth_signals:
        tracker.reset()


def _is_wanted(request: HttpRequest | None, user: Any, own: DjangoSettings) -> bool:
    try:
        return own.wants_log_in(request, user)
    except Exception:
        log.exception("the auth_filter callable raised an exception; the log-in is not tracked")
        return False


def _is_staff(user: Any) -> bool:
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def _traits_of(user: Any, own: DjangoSettings) -> Mapping[str, Any] | None:
    try:
        return own.traits_of(user)
    except Exception:
        log.exception("the user_traits callable raised an exception; the log-in is tracked without traits")
        return None


def _tracker_of(request: HttpRequest | None) -> Tracker | None:
    """Return the tracker of a request, or None for a log-in in a test, a command or the shell."""
    return getattr(request, "tracker", None)
