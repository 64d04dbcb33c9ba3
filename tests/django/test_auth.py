"""Log-in and log-out of Django's auth, told if the project asks for it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings

from passerby import Tracking
from passerby.django import TrackedRequest, get_tracking
from passerby.testing import CapturedEvents
from tests.making import eventually

from .browser import Browser
from .conftest import TRACKING, MakeProject

UID = "bid_key_uid"
SESSION = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "SESSION_SERIALIZER": "django.core.signing.JSONSerializer",
}
MIDDLEWARE = [TRACKING, "django.contrib.sessions.middleware.SessionMiddleware"]


def make_user(key: int = 42) -> User:
    """A user who is in no database."""
    user = User(pk=key, username="ada", email="ada@shop.example", password="!")
    user.save = lambda **options: None  # type: ignore[method-assign] # the time of the last log-in
    user.backend = "django.contrib.auth.backends.ModelBackend"
    return user


def log_in(request: TrackedRequest) -> HttpResponse:
    login(request, make_user())
    return who(request)


def log_out(request: TrackedRequest) -> HttpResponse:
    logout(request)
    return who(request)


async def log_in_async(request: TrackedRequest) -> HttpResponse:
    await alogin(request, make_user())
    return who(request)


async def log_out_async(request: TrackedRequest) -> HttpResponse:
    await alogout(request)
    return who(request)


def who(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(str(request.tracker.user_id))


def traits(user: User) -> dict[str, Any]:
    return {"email": user.email}


def failing(user: Any) -> dict[str, Any]:
    raise ZeroDivisionError("the app's own")


def unfit(user: Any) -> dict[str, Any]:
    return {"loyal": object()}


def is_genuine(request: HttpRequest, user: User) -> bool:
    return bool(user.pk != 2)


async def is_staff_async(request: HttpRequest, user: User) -> bool:
    return user.is_staff


class AsyncCallable:
    async def __call__(self, request: HttpRequest, user: User) -> bool:
        return user.is_staff


def admit(request: TrackedRequest) -> HttpResponse:
    user = make_user(int(request.GET["user"]))
    user.is_staff = user.pk == 1
    login(request, user)
    return who(request)


VIEWS = (log_in, log_out, log_in_async, log_out_async, who)


def make_shop(make_project: MakeProject, **passerby: Any) -> Tracking:
    return make_project(*VIEWS, middleware=MIDDLEWARE, django=SESSION, **passerby)


@pytest.mark.parametrize("kind", ["", "_async"], ids=["sync", "async"])
def test_a_log_in_is_told_and_a_log_out_forgets(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents, kind: str
) -> None:
    make_shop(make_project, auth_signals=True, user_traits=f"{__name__}.traits")
    first = browser.get(f"/log_in{kind}")
    assert (first.text, UID in first.cookies) == ("42", True)
    captured_events.assert_identity("42", email="ada@shop.example", browser_id=browser.cookies["bid_key"].value)
    assert browser.get("/who").text == "42"
    last = browser.get(f"/log_out{kind}")
    assert (last.text, "Max-Age=0" in last.cookies[UID]) == ("None", True)
    assert browser.get("/who").text == "None"
    captured_events.assert_summary("identity 42")


def test_without_traits(make_project: MakeProject, browser: Browser, captured_events: CapturedEvents) -> None:
    make_shop(make_project, auth_signals=True)
    browser.get("/log_in")
    assert "email" not in captured_events.assert_identity("42").data


def test_a_log_in_that_changes_nothing_is_not_told_again(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
) -> None:
    make_shop(make_project, auth_signals=True)
    browser.get("/log_in")
    browser.get("/log_in")
    captured_events.assert_summary("identity 42")
    captured_events.assert_refused("unchanged")


def test_nothing_is_told_unless_it_is_asked_for(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
) -> None:
    def identified(request: TrackedRequest) -> HttpResponse:
        request.tracker.identify("user_1")
        return HttpResponse()

    make_project(*VIEWS, identified, middleware=MIDDLEWARE, django=SESSION, user_traits=failing)
    browser.get("/identified")
    assert browser.get("/log_in").text == "user_1"
    assert browser.get("/log_out").text == "user_1"
    captured_events.assert_summary("identity user_1")


@pytest.mark.parametrize(
    ("settings", "told", "said"),
    [
        ({"user_traits": failing}, ["identity 42"], "user_traits callable raised"),
        ({"user_traits": unfit}, [], "cannot track a log-in"),
        ({"identity_provider": None}, [], "cannot track a log-in"),
        ({"identity_provider": None, "on_invalid": "drop"}, [], "was dropped"),
    ],
    ids=["traits raise", "unfit traits", "no provider", "no provider, dropped"],
)
def test_a_mistake_does_not_keep_anybody_from_logging_in(
    make_project: MakeProject,
    browser: Browser,
    captured_events: CapturedEvents,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    told: list[str],
    said: str,
) -> None:
    """U39."""
    make_shop(make_project, auth_signals=True, **settings)
    with caplog.at_level(logging.WARNING, "passerby"):
        answer = browser.get("/log_in")
    assert (answer.status, "sessionid" in answer.cookies) == (200, True)
    captured_events.assert_summary(*told)
    assert said in caplog.text


def ready_ids() -> int:
    tracking = get_tracking()
    assert isinstance(tracking, Tracking)
    counts = tracking.stats().browser_ids
    assert counts is not None
    return counts.ready


class TestStaffAsCustomers:
    """A member of staff (1) becomes a customer (2) and goes back, as django-hijack and the like do it: with log-ins."""

    def walk(self, browser: Browser, users: Sequence[int] = (1, 2, 1)) -> list[str]:
        """The user IDs that the pages after each log-in know."""
        seen: list[str] = []
        for user in users:
            browser.get(f"/admit?user={user}")
            seen.append(browser.get("/who").text)
        return seen

    def make(self, make_project: MakeProject, **passerby: Any) -> None:
        make_project(*VIEWS, admit, middleware=MIDDLEWARE, django=SESSION, auth_signals=True, **passerby)

    def test_by_default_each_has_a_browser_id(
        self, make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
    ) -> None:
        self.make(make_project)
        browser.get("/who")
        seen: list[str] = []
        for user in (1, 2, 1):
            eventually(ready_ids)  # else the event has its browser ID later
            seen += self.walk(browser, (user,))
        assert seen == ["1", "2", "1"]
        assert len({event.browser_id for event in captured_events.events}) == len(captured_events.events) == 3

    @pytest.mark.parametrize("as_path", [True, False])
    def test_log_ins_may_be_left_out(
        self, make_project: MakeProject, browser: Browser, captured_events: CapturedEvents, as_path: bool
    ) -> None:
        self.make(make_project, auth_filter=f"{__name__}.is_genuine" if as_path else is_genuine)
        assert self.walk(browser) == ["1", "1", "1"]
        captured_events.assert_summary("identity 1")
        browser.get("/log_out")
        assert browser.get("/who").text == "None"

    def test_a_filter_that_raises_leaves_the_log_in_out(
        self,
        make_project: MakeProject,
        browser: Browser,
        captured_events: CapturedEvents,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.make(make_project, auth_filter=lambda request, user: 1 / 0)
        with caplog.at_level(logging.WARNING, "passerby"):
            assert self.walk(browser) == ["None", "None", "None"]
        captured_events.assert_nothing()
        assert "auth_filter callable raised" in caplog.text

    def test_staff_may_be_left_out(
        self, make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
    ) -> None:
        """Nothing that they do is taken for what the customer does who was there before."""
        self.make(make_project, auth_staff=False)
        browser.get("/admit?user=2")
        customers = browser.cookies["bid_key"].value
        assert self.walk(browser) == ["None", "2", "None"]
        assert browser.cookies["bid_key"].value != customers
        captured_events.assert_summary("identity 2", "identity 2")
        assert len({event.browser_id for event in captured_events.events}) == 2

    @pytest.mark.parametrize(
        "given", ["yes", is_staff_async, AsyncCallable(), 5], ids=["text", "async", "object", "int"]
    )
    def test_what_is_no_filter(self, make_project: MakeProject, given: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match="auth_filter"):
            self.make(make_project, auth_filter=given)

    def test_what_is_no_choice(self, make_project: MakeProject) -> None:
        with pytest.raises(ImproperlyConfigured, match="auth_staff"):
            self.make(make_project, auth_staff="no")


class TestWithoutTracker:
    """A log-in that is no visitor's."""

    def test_in_a_test_of_the_apps_own(self, make_project: MakeProject, captured_events: CapturedEvents) -> None:
        make_shop(make_project, auth_signals=True)
        client = Client()
        client.force_login(make_user())
        assert "sessionid" in client.cookies
        captured_events.assert_nothing()

    @pytest.mark.parametrize("request_", [None, HttpRequest()], ids=["no request", "a request of no server"])
    def test_in_a_command(
        self, make_project: MakeProject, captured_events: CapturedEvents, request_: HttpRequest | None
    ) -> None:
        make_shop(make_project, auth_signals=True)
        user_logged_in.send(sender=User, request=request_, user=make_user())
        user_logged_out.send(sender=User, request=request_, user=None)
        captured_events.assert_nothing()

    def test_in_a_project_that_has_no_settings_of_ours(self, captured_events: CapturedEvents) -> None:
        with override_settings(PASSERBY=None, **SESSION):
            Client().force_login(make_user())
        captured_events.assert_nothing()


class ObjectId:
    """A key as a database of another kind has it."""

    def __str__(self) -> str:
        return "507f1f77bcf86cd799439011"


@pytest.mark.parametrize(
    ("key", "user_id"),
    [
        (7, "7"),
        (ObjectId(), "507f1f77bcf86cd799439011"),
        ("ada", "ada"),
        (uuid.UUID("11111111-2222-4333-8444-555555555555"), "11111111-2222-4333-8444-555555555555"),
    ],
)
def test_primary_keys_of_any_kind(
    make_project: MakeProject, captured_events: CapturedEvents, key: object, user_id: str
) -> None:
    class Person:
        """Not Django's own model of a user."""

        pk = key
        last_login: object = None

        def save(self, **options: Any) -> None:
            """The time of the last log-in."""

    tracking = make_shop(make_project, auth_signals=True)
    request = TrackedRequest()
    request.tracker = tracking.for_visitor(str(uuid.uuid4()))
    user_logged_in.send(sender=Person, request=request, user=Person())
    captured_events.assert_identity(user_id)
    assert request.tracker.user_id == user_id
    user_logged_out.send(sender=Person, request=request, user=Person())
    assert request.tracker.user_id is None


def test_a_log_in_is_recorded_without_the_app(
    make_project: MakeProject, browser: Browser, captured_events: CapturedEvents
) -> None:
    """The middleware listens too, where the app in INSTALLED_APPS does not."""
    for signal in (user_logged_in, user_logged_out):
        signal.disconnect(dispatch_uid="passerby.django.signals")
    make_project(log_in, middleware=MIDDLEWARE, django=SESSION, auth_signals=True)
    browser.get("/log_in")
    captured_events.assert_identity("42")
