"""Page views that are told by themselves."""

from __future__ import annotations

import pytest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from passerby.django import TrackedRequest
from passerby.testing import CapturedEvents
from tests.making import BROWSER_ID
from tests.user_agents import BOTS

from .browser import Browser
from .conftest import MakeProject


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


async def product(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


def own(request: TrackedRequest) -> HttpResponse:
    request.tracker.page_view({"page": "Its own name"})
    return HttpResponse("a page")


def event(request: TrackedRequest) -> HttpResponse:
    request.tracker.event("ADD")
    return HttpResponse("a page")


def json(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


def moved(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/")


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


def stream(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(["a ", "page"])


def kept(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page", headers={"Cache-Control": "public, max-age=60"})


VIEWS = [home, product, own, event, json, missing, moved, nothing, fail, stream, kept]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/", ["page view Home Page"]),
        ("/product", ["page view product"]),
        ("/product?utm_source=mail", ["page view product"]),
        ("/own", ["page view Its own name"]),
        ("/event", ["ADD", "page view event"]),
        ("/stream", ["page view stream"]),
        ("/json", []),
        ("/missing", []),
        ("/moved", []),
        ("/nothing", []),
        ("/fail", []),
        ("/kept", []),
    ],
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
def test_what_a_view_answers_decides(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents, path: str, told: list[str]
) -> None:
    make_project(*VIEWS, auto_page_views=True)
    browser.get(path)
    captured_events.assert_summary(*told)


@pytest.mark.parametrize(
    ("method", "headers", "told"),
    [
        ("GET", {}, ["page view Home Page"]),
        ("HEAD", {}, []),
        ("POST", {}, []),
        ("GET", {"sec-fetch-dest": "iframe"}, []),
        ("GET", {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors"}, []),
        ("GET", {"sec-fetch-dest": "", "accept": "application/json"}, []),
        ("GET", {"sec-fetch-dest": "", "accept": "text/html,*/*"}, ["page view Home Page"]),
        ("GET", {"sec-purpose": "prefetch;prerender"}, []),
        ("GET", {"user-agent": BOTS[0]}, []),
        ("GET", {"sec-gpc": "1"}, []),
    ],
)
def test_what_a_browser_asks_for_decides(
    make_project: MakeProject,
    browser: Browser,
    captured_events: CapturedEvents,
    method: str,
    headers: dict[str, str],
    told: list[str],
) -> None:
    make_project(home, auto_page_views=True)
    browser.ask(method, headers=headers)
    captured_events.assert_summary(*told)


def test_a_cached_page_is_told_of_those_who_have_an_id(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
) -> None:
    make_project(kept, auto_page_views=True)
    browser.cookies["bid_key"] = BROWSER_ID
    browser.get("/kept")
    captured_events.assert_page_view("kept", browser_id=BROWSER_ID)


def test_nothing_is_told_unless_it_is_asked_for(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
) -> None:
    make_project(home)
    browser.get()
    captured_events.assert_nothing()
