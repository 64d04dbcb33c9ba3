"""The template tag: ``{% load passerby %}{% browser_id %}``."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import Context, Template
from django.test import RequestFactory, override_settings

from passerby.django import TrackedRequest
from passerby.http.request import RequestInfo
from tests.making import BROWSER_ID, value_of

from .browser import Browser
from .conftest import MakeProject

PAGE = "{% load passerby %}id: {% browser_id %};"

with_templates = override_settings(
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [("django.template.loaders.locmem.Loader", {"page.html": PAGE})],
                "context_processors": ["django.template.context_processors.request"],
            },
        }
    ]
)


def with_request(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html")


async def with_request_async(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html")


def without_request(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template(PAGE).render(Context()))


VIEWS = (with_request, with_request_async, without_request)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
@with_templates
def test_it_says_the_browser_id(make_project: MakeProject, browser: Browser, view: object) -> None:
    """Also of the very first request, and where the template knows nothing of the request."""
    make_project(*VIEWS)
    answer = browser.get(f"/{getattr(view, '__name__', '')}")
    assert answer.text == f"id: {value_of(answer.cookies['bid_key'])};"


@pytest.mark.parametrize("path", ["/with_request", "/without_request"])
@with_templates
def test_it_is_empty_where_there_may_be_none(make_project: MakeProject, browser: Browser, path: str) -> None:
    def consent(request: RequestInfo) -> bool:
        return False

    make_project(*VIEWS, consent=consent)
    browser.cookies["bid_key"] = BROWSER_ID
    assert browser.get(path).text == "id: ;"


@pytest.mark.parametrize(
    "context",
    [{}, {"request": None}, {"request": "text"}, {"request": RequestFactory().get("/")}],
    ids=["no request", "None", "something else", "a request of no server"],
)
def test_it_is_empty_where_there_is_no_tracker(context: dict[str, object]) -> None:
    assert Template(PAGE).render(Context(context)) == "id: ;"


def test_it_may_be_kept_in_a_variable(make_project: MakeProject, browser: Browser) -> None:
    template = Template("{% load passerby %}{% browser_id as bid %}{% if bid %}<i>{{ bid }}</i>{% endif %}")

    def page(request: TrackedRequest) -> HttpResponse:
        return HttpResponse(template.render(Context({"request": request})))

    make_project(page)
    answer = browser.get()
    assert answer.text == f"<i>{value_of(answer.cookies['bid_key'])}</i>"
