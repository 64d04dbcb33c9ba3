"""Django's own cache of whole pages: no visitor gets the cookie of another, and what is lost is counted."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_page, never_cache

from passerby.django import TrackedRequest
from tests.making import PATIENCE, value_of

from .browser import Browser, Face
from .conftest import TRACKING, MakeProject

CACHED = [
    TRACKING,
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]
BID = "bid_key"


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


def viewed(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view()
    return HttpResponse("a page")


@cache_page(600)
def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


@never_cache
def fresh(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_three_page_views_without_a_cookie_are_counted(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture, face: Face
) -> None:
    def declared(request: Any) -> HttpResponse:
        response = viewed(request)
        response["Cache-Control"] = "max-age=600"
        return response

    tracking = make_project(declared)
    visitor = Browser(face)
    with caplog.at_level(logging.WARNING, "passerby"):
        for _ in range(3):
            assert not visitor.get("/").cookies
    stats = tracking.stats()
    assert (stats.withheld_cookies, stats.unkept_visitors) == ({"shared cache": 3}, 3)
    assert caplog.text.count("because a shared cache may keep it") == 1
    assert tracking.flush(PATIENCE) == 0


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
@pytest.mark.parametrize("path", ["/", "/cached"])
def test_pages_that_django_caches_set_no_cookie_and_this_is_counted(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture, face: Face, path: str
) -> None:
    tracking = make_project(page, cached, middleware=CACHED)
    with caplog.at_level(logging.WARNING, "passerby"):
        for _ in range(3):
            assert not Browser(face).get(path).cookies
    stats = tracking.stats()
    assert (stats.withheld_cookies, stats.unkept_visitors) == ({"shared cache": 3}, 0)
    assert caplog.text.count("because a shared cache may keep it") == 1
    assert stats.browser_ids is not None
    assert stats.browser_ids.assigned == 0, "no ID is spent"


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
@pytest.mark.parametrize("path", ["/", "/cached"])
def test_an_override_makes_the_response_with_the_cookie_private(
    make_project: MakeProject, face: Face, path: str
) -> None:
    tracking = make_project(page, cached, middleware=CACHED, cache_control="override")
    visitors = [Browser(face) for _ in range(3)]
    answers = [visitor.get(path) for visitor in visitors]
    assert len({value_of(answer.cookies[BID]) for answer in answers}) == 3
    for answer in answers:
        assert sorted(answer.headers["Cache-Control"].split(", ")) == ["max-age=600", "private"]
    again = [visitor.get(path) for visitor in visitors]
    assert not any(answer.cookies for answer in again)
    assert [answer.headers["Cache-Control"] for answer in again] == ["max-age=600"] * 3, "the cache kept it as it was"
    assert tracking.stats().withheld_cookies == {}


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_with_keep_only_what_the_app_made_private_gets_a_cookie(make_project: MakeProject, face: Face) -> None:
    tracking = make_project(page, fresh, cache_control="keep")
    first = Browser(face).get("/")
    assert not first.cookies
    assert "Cache-Control" not in first.headers
    second = Browser(face).get("/fresh")
    assert BID in second.cookies
    assert "private" in second.headers["Cache-Control"]
    assert tracking.stats().withheld_cookies == {"shared cache": 1}
