"""Which of a project's pages count, and in which language they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import include, path
from django.utils import translation

from passerby import Tracking
from passerby.django import TrackedRequest
from passerby.testing import CapturedEvents
from tests.making import BROWSER_ID

from .browser import Browser
from .conftest import TRACKING, MakeProject

BID = ["bid_key", "bid_key_sig"]


def page(request: HttpRequest, **values: str) -> HttpResponse:
    return HttpResponse("a page")


def data(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


def using(request: TrackedRequest) -> HttpResponse:
    request.tracker.event("USED")
    return HttpResponse("a page")


def activating(request: HttpRequest) -> HttpResponse:
    translation.activate("fr-ca")
    return HttpResponse("une page")


class Office(AdminSite):
    """Django's admin with a page of the project's own, for everybody."""

    def has_permission(self, request: HttpRequest) -> bool:
        return True

    def get_urls(self) -> list[Any]:
        return [path("report/", self.admin_view(page)), *super().get_urls()]


OWN = [path("", page), path("auth/user/", page), path("data", data), path("use", using)]
URLS = (
    path("home", page),
    path("activating", activating),
    path("admin/", include((OWN, "admin"))),  # as admin.site.urls has it
    path("backoffice/<tenant>/", include((OWN, "admin"), namespace="staff")),
    path("reports/", include((OWN, "reports"))),
    path("adminton/", page),
)


@pytest.fixture
def make_site(make_project: MakeProject) -> Iterator[Any]:
    def make(*middleware: str, **settings: Any) -> Tracking:
        languages = [("en", "en"), ("de", "de"), ("fr-ca", "fr")]
        django: dict[str, Any] = {"ROOT_URLCONF": URLS, "LANGUAGES": languages, "LANGUAGE_CODE": "en"}
        made = make_project(page, middleware=(TRACKING, *middleware), auto_page_views=True, **settings)
        stack.enter_context(override_settings(**django))
        return made

    with ExitStack() as stack, translation.override("en"):
        yield make


@pytest.mark.parametrize(
    "address", ["/admin/", "/admin/auth/user/", "/backoffice/acme/", "/backoffice/acme/auth/user/", "/admin/data"]
)
def test_the_admin_is_no_page_of_the_site(
    make_site: Any, browser: Browser, captured_events: CapturedEvents, address: str
) -> None:
    tracking = make_site()
    answer = browser.get(address)
    assert (answer.status, answer.cookies) == (200, {})
    captured_events.assert_nothing()
    assert tracking.stats().browser_ids.assigned == 0


def test_a_real_admin_counts_no_more(make_site: Any, browser: Browser, captured_events: CapturedEvents) -> None:
    """Under a URL and a name of its own; a visitor who has an ID keeps it, and gets no new cookie."""
    make_site()
    browser.cookies["bid_key"] = BROWSER_ID
    with override_settings(ROOT_URLCONF=(path("x/y/", Office(name="office").urls), path("home", page))):
        assert browser.get("/x/y/report/").text == "a page"
        captured_events.assert_nothing()
        browser.get("/home")
    assert len(captured_events) == 1


def test_what_is_tracked_in_the_admin_is_recorded(
    make_site: Any, browser: Browser, captured_events: CapturedEvents
) -> None:
    make_site()
    assert list(browser.get("/admin/use").cookies) == BID
    captured_events.assert_summary("USED")


@pytest.mark.parametrize("address", ["/home", "/reports/", "/adminton/"])
def test_other_pages_count(make_site: Any, browser: Browser, captured_events: CapturedEvents, address: str) -> None:
    make_site()
    assert list(browser.get(address).cookies) == BID
    assert len(captured_events) == 1


@pytest.mark.parametrize(
    ("ignored", "counted"),
    [((), ["/admin/", "/backoffice/acme/"]), (["reports"], ["/admin/"]), (["staff"], ["/admin/", "/reports/"])],
)
def test_what_is_ignored_is_a_setting(
    make_site: Any, browser: Browser, captured_events: CapturedEvents, ignored: list[str], counted: list[str]
) -> None:
    make_site(ignored_namespaces=ignored)
    for address in counted:
        browser.get(address)
    assert len(captured_events) == len(counted)
    captured_events.clear()
    for address in {"reports": ["/reports/"], "staff": ["/backoffice/acme/"]}.get("".join(ignored), []):
        browser.get(address)
    captured_events.assert_nothing()


LOCALE = "django.middleware.locale.LocaleMiddleware"


@pytest.mark.parametrize(
    ("middleware", "address", "accepted", "language"),
    [
        ((), "/home", "da,en;q=0.5", "DA"),
        ((LOCALE,), "/home", "de,en;q=0.5", "DE"),
        ((LOCALE,), "/home", "da", "EN"),
        ((), "/activating", "da", "FR"),
        ((LOCALE,), "/activating", "de", "FR"),
    ],
)
def test_the_language_is_that_of_the_page(
    make_site: Any,
    browser: Browser,
    captured_events: CapturedEvents,
    middleware: tuple[str, ...],
    address: str,
    accepted: str,
    language: str,
) -> None:
    """The browser's counts only where the project has chosen none."""
    make_site(*middleware)
    browser.get(address, accept_language=accepted)
    (event,) = captured_events.events
    assert (event.data["language"], event.context.locale) == (language, accepted.partition(",")[0])
