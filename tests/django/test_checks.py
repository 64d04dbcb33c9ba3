"""What `manage.py check` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.middleware.cache import UpdateCacheMiddleware
from django.test import override_settings

from passerby import Tracking
from passerby.django import TrackingMiddleware

from .conftest import TRACKING

CACHE = "django.middleware.cache.UpdateCacheMiddleware"
SITECORE = {"client_key": "key", "target_url": "https://cdp.example"}
GOOD: dict[str, Any] = {"sitecore": SITECORE}


class OwnTracking(TrackingMiddleware):
    """A project's own kind."""


class OwnCache(UpdateCacheMiddleware):
    """A project's own kind."""


OWN_TRACKING, OWN_CACHE = (f"{__name__}.{one.__name__}" for one in (OwnTracking, OwnCache))


def found(passerby: Any, middleware: Sequence[str] = (TRACKING,)) -> dict[str | None, str]:
    """What is said of passerby, by its number."""
    with override_settings(PASSERBY=passerby, MIDDLEWARE=middleware):
        messages = run_checks()
    return {one.id: f"{one.msg} {one.hint}" for one in messages if (one.id or "").startswith("passerby")}


@pytest.mark.parametrize(
    ("passerby", "middleware", "expected"),
    [
        (GOOD, [TRACKING], []),
        (GOOD, [TRACKING, CACHE], ["passerby.W003"]),
        (GOOD, [TRACKING, OWN_CACHE], ["passerby.W003"]),
        (GOOD | {"cache_control": "keep"}, [TRACKING, CACHE], ["passerby.W003"]),
        (GOOD | {"cache_control": "override"}, [TRACKING, CACHE], []),
        ({"tracking": Tracking()}, [TRACKING, CACHE], ["passerby.W003"]),
        ({"tracking": Tracking(cache_control="override")}, [TRACKING, CACHE], []),
        (GOOD, [OWN_TRACKING], []),
        (GOOD | {"auth_signals": True, "identity_provider": "CRM"}, [TRACKING], []),
        ({"auth_signals": True}, [TRACKING], []),
        (None, [TRACKING], ["passerby.E001"]),
        (GOOD | {"cookie_path": "shop"}, [TRACKING], ["passerby.E001"]),
        (GOOD | {"user_traits": "no.such.path"}, [TRACKING], ["passerby.E001"]),
        (GOOD | {"auth_signals": True}, [TRACKING], ["passerby.E002"]),
        (GOOD, [], ["passerby.W001"]),
        (GOOD, [CACHE, "no.such.Middleware"], ["passerby.W001"]),
        (GOOD, [TRACKING, TRACKING], ["passerby.W002"]),
        (GOOD, [TRACKING, OWN_TRACKING], ["passerby.W002"]),
        (GOOD, [CACHE, TRACKING], ["passerby.E003"]),
        (GOOD, [OWN_CACHE, OWN_TRACKING], ["passerby.E003"]),
        (GOOD, [CACHE, TRACKING, TRACKING], ["passerby.E003", "passerby.W002"]),
        (None, [], ["passerby.E001", "passerby.W001"]),
    ],
)
def test_what_is_found(passerby: Any, middleware: list[str], expected: list[str]) -> None:
    assert sorted(filter(None, found(passerby, middleware))) == expected


def test_a_wrong_setting_is_named_as_the_project_wrote_it() -> None:
    assert found(GOOD | {"cookie_path": "shop"})["passerby.E001"].startswith('PASSERBY["cookie_path"]: ')
    assert 'PASSERBY["identity_provider"]' in found(GOOD | {"auth_signals": True})["passerby.E002"]


def test_the_hint_says_what_to_write() -> None:
    for middleware in ([], [CACHE, TRACKING]):
        ((_, said),) = found(GOOD, middleware).items()
        assert f'"{TRACKING}"' in said


@pytest.mark.parametrize(("is_on", "found_id"), [(True, ["passerby.W004"]), (False, [])])
def test_log_ins_without_the_app(is_on: bool, found_id: list[str]) -> None:
    others = [app for app in settings.INSTALLED_APPS if app != "passerby.django"]
    with override_settings(INSTALLED_APPS=others):
        assert list(found(GOOD | {"auth_signals": is_on, "identity_provider": "CRM"})) == found_id


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(PASSERBY=GOOD):
        call_command("check")
    assert capsys.readouterr().out.startswith("System check identified no issues")
    with override_settings(PASSERBY=GOOD | {"bots": "shoot"}), pytest.raises(SystemCheckError, match=r"passerby\.E001"):
        call_command("check")
    with override_settings(PASSERBY=GOOD, MIDDLEWARE=[]):
        call_command("check")
        assert "passerby.W001" in capsys.readouterr().err
        with pytest.raises(SystemCheckError, match=r"passerby\.W001"):
            call_command("check", "--fail-level", "WARNING")
