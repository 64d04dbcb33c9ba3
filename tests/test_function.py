"""Functions that settings take are plain ones: async ones are refused at the start, at every way to set them."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from functools import partial, partialmethod
from typing import Any
from unittest.mock import AsyncMock

import flask
import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

import tests.django_site  # noqa: F401 - sets Django up
from passerby import Sitecore, Sites, Tracking, init_server
from passerby.django import conf
from passerby.errors import SettingsError
from passerby.flask import Passerby
from passerby.http.asgi_scope import ScopeRequest
from tests.making import BROWSER_ID, NAVIGATION, make_scope

ADDRESS: dict[str, Any] = {"client_key": "key", "target_url": "http://localhost:9"}
KEY = "a secret key that signs"


async def coroutine(*args: Any) -> bool:
    return True


async def two(first: Any, *args: Any) -> bool:
    return True


async def stream(*args: Any) -> AsyncGenerator[bool]:
    yield True


def generator(*args: Any) -> Generator[bool]:
    yield True


class AsyncCall:
    async def __call__(self, *args: Any) -> bool:
        return True

    async def method(self, *args: Any) -> bool:
        return True

    @classmethod
    async def of_class(cls, *args: Any) -> bool:
        return True

    @staticmethod
    async def static(*args: Any) -> bool:
        return True


class Partly:
    async def act(self, flag: bool, *args: Any) -> bool:
        return flag

    __call__ = partialmethod(act, True)


DEFERRED: dict[str, Any] = {
    "async def": coroutine,
    "async call": AsyncCall(),
    "method": AsyncCall().method,
    "class method": AsyncCall.of_class,
    "static method": AsyncCall.static,
    "partial": partial(two, 1),
    "partial of partial": partial(partial(two, 1), 2),
    "partial of async call": partial(AsyncCall(), 1),
    "partial method": Partly(),
    "async generator": stream,
    "generator": generator,
    "sync_to_async": sync_to_async(lambda *args: True),
    "mock": AsyncMock(),
    "lambda partial": partial(AsyncCall().method),
}
NO_FUNCTIONS = {"number": 5, "list": ["granted"], "true": True}


def flask_app(settings: dict[str, Any]) -> None:
    app = flask.Flask(__name__)
    app.config["PASSERBY"] = {"secret_key": KEY, **settings}
    Passerby(app)


def django_app(settings: dict[str, Any], **own: Any) -> None:
    from django.test import override_settings

    with override_settings(PASSERBY={"sitecore": ADDRESS, "secret_key": KEY, **settings, **own}):
        conf._made.clear()
        conf.get_tracking()


def find(request: Any) -> str:
    return "site"


def make(name: str) -> Tracking:
    return Tracking(consent=lambda request: None, set_cookie=False)


WAYS: dict[str, Callable[[Any], object]] = {
    "consent: Tracking": lambda function: Tracking(consent=function),
    "consent: from_mapping": lambda function: Tracking.from_mapping({"consent": function}),
    "consent: init_server": lambda function: init_server(**ADDRESS, consent=function),
    "consent: Flask": lambda function: flask_app({"consent": function}),
    "consent: Django": lambda function: django_app({"consent": function}),
    "point_of_sale: Sitecore": lambda function: Sitecore(**ADDRESS, point_of_sale=function),
    "point_of_sale: init_server": lambda function: init_server(**ADDRESS, point_of_sale=function),
    "point_of_sale: from_mapping": lambda function: Tracking.from_mapping(
        {"sitecore": {**ADDRESS, "point_of_sale": function}}
    ),
    "point_of_sale: Flask": lambda function: flask_app({"sitecore": {**ADDRESS, "point_of_sale": function}}),
    "point_of_sale: Django": lambda function: django_app({"sitecore": {**ADDRESS, "point_of_sale": function}}),
    "find: Sites": lambda function: Sites(function, make),
    "make: Sites": lambda function: Sites(find, function),
    "user_traits: Django": lambda function: django_app({}, user_traits=function),
    "auth_filter: Django": lambda function: django_app({}, auth_filter=function),
    "redact_url: Tracking": lambda function: Tracking(redact_url=function),
    "redact_url: Django": lambda function: django_app({"redact_url": function}),
    "page_name: Tracking": lambda function: Tracking(page_name=function),
    "page_name: Django": lambda function: django_app({"page_name": function}),
}


@pytest.fixture(autouse=True)
def nothing_is_left_unawaited() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert not [str(one.message) for one in caught if "never awaited" in str(one.message)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [*DEFERRED, *NO_FUNCTIONS])
def test_it_is_refused_at_the_start(way: str, kind: str) -> None:
    with pytest.raises((SettingsError, ImproperlyConfigured), match="plain function") as caught:
        WAYS[way]((DEFERRED | NO_FUNCTIONS)[kind])
    assert way.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize("function", [lambda *args: None, partial(find), find, str, "{}".format], ids=range(5))
@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("user_traits")])
def test_plain_ones_are_taken(way: str, function: Any) -> None:
    WAYS[way](function)


class Later:
    """A future-like thing of another library's."""

    def __await__(self) -> Generator[Any, None, bool]:
        yield
        return True


AWAITABLES: dict[str, Callable[..., Any]] = {
    "coroutine": lambda *args: coroutine(),
    "object": lambda *args: Later(),
    "future": lambda *args: asyncio.get_running_loop().create_future(),
    "task": lambda *args: asyncio.get_running_loop().create_task(asyncio.sleep(60)),
}


@pytest.mark.parametrize("kind", AWAITABLES)
async def test_what_gives_something_to_await_is_no_consent(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    tracking = Tracking(Sitecore(**ADDRESS, point_of_sale="shop"), consent=AWAITABLES[kind], secret_key=KEY)
    tracker = tracking.tracker_for(make_scope("/", {**NAVIGATION, "cookie": f"bid_key={BROWSER_ID}"}))
    with caplog.at_level(logging.ERROR):
        assert tracker.browser_id is None
        tracker.page_view()
    assert tracking.stats().destinations["sitecore"].dropped == {"consent": 1}
    assert "returned an awaitable" in caplog.text


@pytest.mark.parametrize("kind", [*AWAITABLES, "number", "list"])
async def test_nor_a_point_of_sale(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    function: Any = {**AWAITABLES, "number": lambda request: 5, "list": lambda request: ["shop"]}[kind]
    tracking = Tracking(Sitecore(**ADDRESS, point_of_sale=function), secret_key=KEY, on_invalid="drop")
    tracker = tracking.tracker_for(make_scope("/", NAVIGATION))
    with caplog.at_level(logging.ERROR):
        assert tracker.point_of_sale is None
        tracker.page_view()
    assert tracking.stats().destinations["sitecore"].dropped == {"invalid": 1}
    assert "the point_of_sale callable returned" in caplog.text


@pytest.mark.parametrize("kind", AWAITABLES)
async def test_nor_a_site(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    sites = Sites(AWAITABLES[kind], make)
    with caplog.at_level(logging.ERROR):
        sites.for_request(ScopeRequest(make_scope("/", NAVIGATION)))
    assert "find returned an awaitable" in caplog.text


NO_TRACKINGS: dict[str, Any] = {**AWAITABLES, "none": lambda name: None, "text": lambda name: "site"}


@pytest.mark.parametrize("kind", NO_TRACKINGS)
async def test_nor_a_tracking(kind: str) -> None:
    with pytest.raises(SettingsError, match="expected a Tracking"):
        Sites(find, NO_TRACKINGS[kind])["site"]


def test_nor_traits_of_a_user() -> None:
    own = conf.DjangoSettings(user_traits=AWAITABLES["coroutine"])
    with pytest.raises(SettingsError, match="found an awaitable"):
        own.traits_of(object())
