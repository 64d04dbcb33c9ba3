"""The cookies: given, kept, taken away, and written as Django writes cookies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

from passerby.collector import CollectorServer
from passerby.django import TrackedRequest
from passerby.http.request import RequestInfo
from tests.making import BROWSER_ID, NAVIGATION, OTHER_ID, PATIENCE, cookie_header, value_of

from .browser import Browser, Face
from .conftest import TRACKING, MakeProject
from .wire import Wire, ask

BID = "bid_key"
EMBEDDED: dict[str, Any] = {"cookie_same_site": "none", "cookie_partitioned": True}

both_faces = pytest.mark.parametrize("face", ["wsgi", "asgi"])


def home(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view()
    return HttpResponse(request.tracker.browser_id)


def quiet(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing is told")


def test_the_very_first_request_has_the_id_that_is_set(
    make_project: MakeProject, browser: Browser, collector: CollectorServer
) -> None:
    """U41."""
    tracking = make_project(home)
    first = browser.get()
    assert list(first.cookies) == [BID, "bid_key_sig"]
    assert first.text == value_of(first.cookies[BID])
    assert first.text in collector.browser_ids
    assert tracking.flush(PATIENCE) == 0
    assert [(event["type"], event["browser_id"]) for event in collector.events] == [("VIEW", first.text)]


def test_a_returning_visitor_keeps_the_id_and_gets_no_cookie(make_project: MakeProject, browser: Browser) -> None:
    make_project(home)
    first = browser.get()
    again = browser.get()
    assert (again.text, again.cookies) == (first.text, {})


def test_a_tampered_cookie_is_a_new_visitor(make_project: MakeProject, browser: Browser) -> None:
    make_project(home)
    first = browser.get()
    browser.cookies["bid_key"] = OTHER_ID
    again = browser.get()
    assert again.text not in (OTHER_ID, first.text)
    assert again.text == value_of(again.cookies[BID])


def test_the_apps_own_cookies_stay(make_project: MakeProject, browser: Browser) -> None:
    def shop(request: HttpRequest) -> HttpResponse:
        response = HttpResponse()
        response.set_cookie("cart", "3")
        return response

    make_project(shop)
    assert list(browser.get().cookies) == ["cart", BID, "bid_key_sig"]


def test_an_app_that_sets_the_same_cookie_is_left_alone(make_project: MakeProject, browser: Browser) -> None:
    """U44: neither a second one nor a signature of ours for the app's value."""

    def own(request: HttpRequest) -> HttpResponse:
        response = HttpResponse()
        response.set_cookie(BID, "mine")
        return response

    make_project(own)
    assert browser.get().cookies == {BID: "bid_key=mine; Path=/"}


def test_withdrawn_consent_deletes_the_cookies(make_project: MakeProject, browser: Browser) -> None:
    """U48."""

    def consent(request: RequestInfo) -> bool:
        return request.header("x-consent") != "no"

    def identified(request: TrackedRequest) -> HttpResponse:
        request.tracker.identify("user_1")
        return HttpResponse(request.tracker.browser_id)

    make_project(identified, quiet, consent=consent)
    assert list(browser.get().cookies) == [BID, "bid_key_sig", "bid_key_uid"]
    gone = browser.get("/quiet", x_consent="no")
    assert list(gone.cookies) == [BID, "bid_key_sig", "bid_key_uid"]
    assert all('=""; ' in line and "; Max-Age=0; Path=/" in line for line in gone.cookies.values())
    assert browser.get("/quiet", x_consent="no").cookies == {}


@both_faces
def test_attributes_are_on_the_wire(make_project: MakeProject, face: Face) -> None:
    make_project(quiet, cookie_path="/shop", cookie_domain="shop.example", cookie_max_age=60)
    assert attributes_of(ask(face)) == {"Max-Age=60", "Path=/shop", "Domain=shop.example", "SameSite=Lax", "Secure"}


@both_faces
def test_partitioned_cookies_are_on_the_wire(make_project: MakeProject, face: Face) -> None:
    make_project(quiet, **EMBEDDED)
    expected = {"Max-Age=34560000", "Path=/", "SameSite=None", "Secure", "Partitioned"}
    assert attributes_of(ask(face)) == expected
    local = attributes_of(ask(face, scheme="http", host="localhost"))
    assert local == {"Max-Age=34560000", "Path=/", "SameSite=Lax"}, "where no browser would take it"


@both_faces
def test_partitioned_cookies_are_deleted_as_such(make_project: MakeProject, face: Face) -> None:
    """Otherwise the browser keeps them."""
    make_project(quiet, consent=lambda request: False, **EMBEDDED)
    gone = ask(face, headers=NAVIGATION | cookie_header(bid_key=BROWSER_ID))
    assert {"Max-Age=0", "SameSite=None", "Secure", "Partitioned"} < attributes_of(gone)


def attributes_of(answer: Wire) -> set[str]:
    """The attributes of the cookie, but for its date: Django writes one beside Max-Age."""
    pieces = answer.cookies[BID].split("; ")[1:]
    assert len(set(pieces)) == len(pieces)
    return {piece for piece in pieces if not piece.startswith("expires=")}


def through_cache(response: HttpResponse) -> HttpResponse:
    cache.set("page", response)
    kept: HttpResponse = cache.get("page")
    cache.clear()
    return kept


@pytest.mark.parametrize("settings", [{}, EMBEDDED], ids=["plain", "partitioned"])
@pytest.mark.parametrize(
    "again",
    [lambda response: pickle.loads(pickle.dumps(response)), copy.copy, copy.deepcopy, through_cache],
    ids=["pickle", "copy", "deepcopy", "cache"],
)
def test_a_response_can_be_kept_as_caches_do(
    make_project: MakeProject, settings: dict[str, Any], again: Callable[[HttpResponse], HttpResponse]
) -> None:
    make_project(quiet, middleware=["tests.django.test_cookies.kept", TRACKING], **settings)
    kept_responses.clear()
    lines = ask("wsgi").cookies
    (response,) = kept_responses
    other = again(response)
    assert other.content == response.content
    assert {name: morsel.OutputString() for name, morsel in other.cookies.items()} == lines
    assert ("Partitioned" in lines[BID]) is bool(settings)


kept_responses: list[HttpResponse] = []


def kept(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware in front that sees the response with our cookies."""

    def keep(request: HttpRequest) -> HttpResponse:
        kept_responses.append(get_response(request))
        return kept_responses[-1]

    return keep


@both_faces
def test_what_djangos_own_cache_keeps_has_no_visitors_cookie(make_project: MakeProject, face: Face) -> None:
    """C8: the middleware stands before it, as E003 wants."""
    made: list[HttpResponse] = []

    def page(request: HttpRequest) -> HttpResponse:
        made.append(HttpResponse("a page"))
        return made[-1]

    cache_of = "django.middleware.cache"
    behind = [f"{cache_of}.UpdateCacheMiddleware", f"{cache_of}.FetchFromCacheMiddleware"]
    make_project(page, middleware=[TRACKING, *behind])
    cache.clear()
    answers = [ask(face) for _ in range(3)]
    cache.clear()
    assert len(made) == 1, "the others came from the cache"
    assert [answer.cookies for answer in answers] == [{}] * 3


class Poisoned(MiddlewareMixin):
    """Behind it nobody may look at the user, nor have looked at the session."""

    def process_request(self, request: HttpRequest) -> None:
        request.user = SimpleLazyObject(fail)  # type: ignore[assignment]

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        assert (request.session.accessed, request.session.modified) == (False, False)
        return response


def fail(*args: Any) -> Any:
    raise AssertionError("somebody looked at the user, or asked the database")


@pytest.mark.parametrize(
    "came", [{}, {"cookie": f"sessionid=abcdefgh; bid_key={BROWSER_ID}"}], ids=["first visit", "return"]
)
@both_faces
def test_neither_user_nor_session_nor_database_is_touched(
    make_project: MakeProject, face: Face, came: dict[str, str]
) -> None:
    """U33."""
    session = "django.contrib.sessions.middleware.SessionMiddleware"
    make_project(home, middleware=[session, "tests.django.test_cookies.Poisoned", TRACKING], on_commit=True)
    with connections["default"].execute_wrapper(fail), connections["other"].execute_wrapper(fail):
        answer = ask(face, headers=NAVIGATION | came)
    assert (answer.status, list(answer.cookies)) == (200, [BID, "bid_key_sig"])
    assert "Vary" not in dict(answer.headers)
