"""The checks of the settings for `manage.py check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.middleware.cache import UpdateCacheMiddleware
from django.utils.module_loading import import_string

from ..client.tracking import Tracking
from .conf import get_tracking, read_own_settings
from .middleware import TrackingMiddleware

_PATH = "passerby.django.TrackingMiddleware"


def check_settings(**rest: Any) -> list[CheckMessage]:
    """Check the setting `PASSERBY`."""
    try:
        own = read_own_settings()
        get_tracking()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="docs/settings.md lists all settings.", id="passerby.E001")]
    messages: list[CheckMessage] = []
    if own.auth_signals and not apps.is_installed("passerby.django"):
        messages.append(
            checks.Warning(
                'PASSERBY["auth_signals"] is on, and "passerby.django" is not in INSTALLED_APPS.',
                hint='Add "passerby.django" to INSTALLED_APPS, for the checks, the command and the template tag too.',
                id="passerby.W004",
            )
        )
    if own.auth_signals and "sitecore" in settings.PASSERBY and not settings.PASSERBY.get("identity_provider"):
        messages.append(
            Error(
                'PASSERBY["auth_signals"] needs PASSERBY["identity_provider"].',
                hint="Set it to the provider under which Sitecore CDP knows the primary keys of your users.",
                id="passerby.E002",
            )
        )
    return messages


def check_middleware(**rest: Any) -> list[CheckMessage]:
    """Check the position of the middleware."""
    ours = _places_of(TrackingMiddleware)
    if not ours:
        hint = f'Add "{_PATH}" to MIDDLEWARE, best as the first.'
        return [
            checks.Warning("No request is tracked: the middleware is not in MIDDLEWARE.", hint=hint, id="passerby.W001")
        ]
    messages: list[CheckMessage] = []
    if len(ours) > 1:
        hint = "Remove all but the first; the others do nothing."
        messages.append(checks.Warning(f"MIDDLEWARE has passerby {len(ours)} times.", hint=hint, id="passerby.W002"))
    caches = _places_of(UpdateCacheMiddleware)
    if caches and caches[0] < ours[0]:
        hint = f'Put "{_PATH}" before UpdateCacheMiddleware, or one visitor\'s cookie may be kept for others.'
        messages.append(
            Error("MIDDLEWARE has passerby behind the cache of whole pages.", hint=hint, id="passerby.E003")
        )
    elif caches and settings.CACHE_MIDDLEWARE_SECONDS > 0 and not _overrides_caching():
        hint = (
            'Set PASSERBY["cache_control"] to "override", so that a response that sets a cookie becomes private, '
            "or exempt pages with never_cache."
        )
        messages.append(
            checks.Warning(
                "New visitors get no cookie: UpdateCacheMiddleware lets shared caches keep all pages.",
                hint=hint,
                id="passerby.W003",
            )
        )
    return messages


def _overrides_caching() -> bool:
    try:
        tracking = get_tracking()
    except ImproperlyConfigured:  # reported by the other check
        return True
    return not isinstance(tracking, Tracking) or tracking.cache_control == "override"


def _places_of(kind: type) -> Sequence[int]:
    return [place for place, path in enumerate(settings.MIDDLEWARE) if _is_kind(path, kind)]


def _is_kind(path: str, kind: type) -> bool:
    try:
        found = import_string(path)
    except ImportError:  # reported by Django
        return False
    return isinstance(found, type) and issubclass(found, kind)
