"""The setting `PASSERBY`: what it takes, and what is said of what it does not take."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from passerby import Sitecore, Sites, Tracking
from passerby.django import TrackedRequest, get_tracking
from passerby.http.request import RequestInfo
from tests.making import value_of

from .browser import Browser
from .conftest import MakeProject
from .wire import ask

HERE = "tests.django.test_settings"
SECRET = "s3cret-that-nobody-should-see"
SITECORE = {"client_key": "key", "target_url": "https://cdp.example", "point_of_sale": "shop"}


def wrong(**settings: Any) -> dict[str, Any]:
    """Settings that are right but for these."""
    return {"sitecore": SITECORE, **settings}


def consent(request: RequestInfo) -> bool:
    return request.header("x-consent") == "yes"


async def consent_async(request: RequestInfo) -> bool:
    return True


def traits(user: Any) -> dict[str, Any]:
    return {"email": user.email}


async def traits_async(user: Any) -> dict[str, Any]:
    return {}


own_tracking = Tracking(secret_key="a key of some length", cookie_name="own")
sites = Sites(lambda request: "a" if request.host == "a.example" else None, lambda name: own_tracking)


def said_of(passerby: Any, **django: Any) -> str:
    """What Django is told of settings when the server starts."""
    with override_settings(PASSERBY=passerby, **django), pytest.raises(ImproperlyConfigured) as refusal:
        WSGIHandler()
    return str(refusal.value)


@pytest.mark.parametrize(
    ("passerby", "said"),
    [
        (None, "PASSERBY: found none, expected a dict"),
        ([], "PASSERBY: found list, expected a dict"),
        ("sitecore", "PASSERBY: found str, expected a dict"),
        (wrong(cookie_pth="/"), 'PASSERBY["cookie_pth"]: found no setting of that name'),
        (wrong(cookie_path="shop"), 'PASSERBY["cookie_path"]: expected a path'),
        (wrong(cookie_path=5), 'PASSERBY["cookie_path"]: expected a path'),
        (wrong(cookie_max_age="1"), "PASSERBY[\"cookie_max_age\"]: found '1', expected a whole number"),
        (wrong(infer_from_request="yes"), "PASSERBY[\"infer_from_request\"]: found 'yes', expected True or False"),
        (wrong(gpc=None), 'PASSERBY["gpc"]: found None, expected one of'),
        (
            wrong(browser_id_timeout="fast"),
            "PASSERBY[\"browser_id_timeout\"]: found 'fast', expected a number of seconds",
        ),
        (wrong(trusted_proxies="10.0.0.1"), 'PASSERBY["trusted_proxies"]: expected a list of texts'),
        (wrong(secret_key="short"), 'PASSERBY["secret_key"]: expected text or bytes of at least 8 characters'),
        (wrong(secret_key=5), 'PASSERBY["secret_key"]: expected text or bytes'),
        ({"sitecore": "key"}, 'PASSERBY["sitecore"]: found str, expected a mapping'),
        ({"sitecore": {}}, 'PASSERBY["sitecore"]["'),
        ({"sitecore": {**SITECORE, "client_key": ""}}, 'PASSERBY["sitecore"]["client_key"]: [MV-0001]'),
        ({"sitecore": {**SITECORE, "client_key": "a key"}}, 'PASSERBY["sitecore"]["client_key"]: expected'),
        ({"sitecore": {**SITECORE, "client_key": 5}}, 'PASSERBY["sitecore"]["client_key"]: expected'),
        ({"sitecore": {**SITECORE, "target_url": "cdp.example"}}, 'PASSERBY["sitecore"]["target_url"]'),
        ({"sitecore": {**SITECORE, "pos": "shop"}}, 'PASSERBY["sitecore"]["pos"]: found no setting of that name'),
        (wrong(on_commit="yes"), "PASSERBY[\"on_commit\"]: found 'yes', expected True or False"),
        (wrong(auth_signals=None), 'PASSERBY["auth_signals"]: found None, expected True or False'),
        (wrong(using="replica"), "PASSERBY[\"using\"]: found 'replica', expected a database of DATABASES"),
        (wrong(using=["default"]), "PASSERBY[\"using\"]: found ['default'], expected a database"),
        (wrong(consent="no.such.path"), "PASSERBY[\"consent\"]: No module named 'no'"),
        (wrong(consent=f"{HERE}.no_such"), f'PASSERBY["consent"]: Module "{HERE}" does not define a "no_such"'),
        (wrong(consent="consent"), 'PASSERBY["consent"]: consent doesn\'t look like a module path'),
        (wrong(consent=f"{HERE}.HERE"), 'PASSERBY["consent"]: expected a plain function'),
        (wrong(consent=f"{HERE}.consent_async"), 'PASSERBY["consent"]: expected a plain function'),
        (wrong(redact_url=f"{HERE}.no_such"), f'PASSERBY["redact_url"]: Module "{HERE}" does not define'),
        (wrong(page_name=f"{HERE}.no_such"), f'PASSERBY["page_name"]: Module "{HERE}" does not define'),
        (wrong(page_name=f"{HERE}.HERE"), 'PASSERBY["page_name"]: expected "route", "path"'),
        (wrong(redact_url=f"{HERE}.HERE"), 'PASSERBY["redact_url"]: expected a plain function'),
        (wrong(user_traits=f"{HERE}.no_such"), f'PASSERBY["user_traits"]: Module "{HERE}" does not define'),
        (wrong(user_traits=5), 'PASSERBY["user_traits"]: expected a plain function'),
        (wrong(user_traits=f"{HERE}.HERE"), 'PASSERBY["user_traits"]: expected a plain function'),
        pytest.param(wrong(user_traits=traits_async), 'PASSERBY["user_traits"]: expected a plain function', id="async"),
        ({"tracking": "no.such.path"}, "PASSERBY[\"tracking\"]: No module named 'no'"),
        ({"tracking": f"{HERE}.HERE"}, 'PASSERBY["tracking"]: found str, expected a Tracking or Sites'),
        ({"tracking": 5}, 'PASSERBY["tracking"]: found int, expected a Tracking or Sites'),
        ({"tracking": "passerby.Tracking"}, 'PASSERBY["tracking"]: found type, expected a Tracking or Sites'),
        (
            {"tracking": own_tracking, "infer_from_request": False},
            'PASSERBY["infer_from_request"]: PASSERBY["tracking"] has settings of its own',
        ),
        ({"tracking": own_tracking, "on_comit": 1}, 'PASSERBY["on_comit"]: PASSERBY["tracking"] has settings'),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_as_the_project_wrote_it(passerby: Any, said: str) -> None:
    message = said_of(passerby)
    assert message.startswith(said)
    assert "\n" not in message


def test_the_message_is_all_there_is(make_project: MakeProject) -> None:
    """No second traceback of our insides above it."""
    with override_settings(PASSERBY=wrong(cookie_path="shop")), pytest.raises(ImproperlyConfigured) as refusal:
        WSGIHandler()
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("key", ["dev", "psst", "short", "1234567", b"dev"], ids=repr)
@pytest.mark.parametrize("fallbacks", [[], ["a fallback of some length"]], ids=repr)
def test_a_project_whose_own_key_is_too_short_starts_without_signatures(
    key: Any, fallbacks: list[str], make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = make_project(home, django={"SECRET_KEY": key, "SECRET_KEY_FALLBACKS": fallbacks})
    assert tracking._settings.secret_keys == ()
    assert list(Browser("wsgi").get().cookies) == ["bid_key"]
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.getMessage().startswith("SECRET_KEY has fewer than 8 characters and cannot sign: ")
    assert "set it, or passerby's own secret_key, to a long random text" in warning.getMessage()


def test_a_fallback_that_is_too_short_is_left_out(make_project: MakeProject) -> None:
    tracking = make_project(home, django={"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS": ["dev", "the old key", ""]})
    assert tracking._settings.secret_keys == (SECRET, "the old key")


def test_a_key_of_passerbys_own_makes_good_for_a_short_one(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = make_project(home, secret_key=SECRET, django={"SECRET_KEY": "dev"})
    assert tracking._settings.secret_keys == (SECRET,)
    assert "SECRET_KEY" not in caplog.text


@pytest.mark.parametrize(
    ("passerby", "django"),
    [
        (wrong(secret_key=[SECRET, "short"]), {}),
        (wrong(secret_key={SECRET: SECRET}), {}),
        (wrong(secret_key=SECRET, cookie_path="shop"), {}),
        ({"sitecore": {**SITECORE, "client_key": f"{SECRET} "}}, {}),
        ({"sitecore": {**SITECORE, "target_url": f"https://user:{SECRET}@cdp.example"}}, {}),
        ({"sitecore": {**SITECORE, "secret": SECRET}}, {}),
    ],
    ids=str,
)
def test_no_secret_is_in_a_message(passerby: Mapping[str, Any], django: dict[str, Any]) -> None:
    assert SECRET not in said_of(passerby, **django)


def test_settings_have_the_names_they_have_everywhere() -> None:
    settings: dict[str, Any] = {"channel": "WEB", "currency": "EUR", "cookie_max_age": 60, "gpc": "ignore"}
    with override_settings(PASSERBY=wrong(**settings, secret_key="a key of some length")):
        made = get_tracking()
    other = Tracking(Sitecore(**SITECORE), **settings, secret_key="a key of some length")  # type: ignore[call-overload]
    assert isinstance(made, Tracking)
    assert repr(made) == repr(other) == "<Tracking to sitecore>"
    assert made._settings == other._settings


def test_it_is_made_once_and_anew_for_other_settings() -> None:
    with override_settings(PASSERBY=wrong()):
        first = get_tracking()
        assert get_tracking() is first
        with override_settings(LANGUAGE_CODE="de"):
            assert get_tracking() is first
        with override_settings(SECRET_KEY="another key of the project"):
            assert get_tracking() is not first
        assert get_tracking() is not first


class TestDottedPath:
    def test_consent(self, make_project: MakeProject, browser: Browser) -> None:
        make_project(home, consent=f"{HERE}.consent")
        assert browser.get().cookies == {}
        assert list(browser.get(x_consent="yes").cookies) == ["bid_key", "bid_key_sig"]

    def test_tracking(self) -> None:
        with override_settings(PASSERBY={"tracking": f"{HERE}.own_tracking"}, ROOT_URLCONF=HERE):
            assert get_tracking() is own_tracking
            assert list(ask("wsgi").cookies) == ["own", "own_sig"]

    @pytest.mark.parametrize("given", [f"{HERE}.sites", sites], ids=["dotted path", "object"])
    def test_sites(self, given: Any) -> None:
        with override_settings(PASSERBY={"tracking": given}, ROOT_URLCONF=HERE):
            assert get_tracking() is sites
            assert list(ask("wsgi", host="a.example").cookies) == ["own", "own_sig"]
            assert ask("wsgi", host="b.example").cookies == {}

    @pytest.mark.parametrize("is_late", [False, True])
    def test_a_module_that_asks_for_the_tracking_itself(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_late: bool
    ) -> None:
        """It is imported while the tracking is made, and must not wait for itself."""
        name = f"asking_{is_late}".lower()
        lines = [
            "from passerby.django import get_tracking",
            "tracking = get_tracking()",
            "consent = lambda request: True",
        ]
        if is_late:
            lines[1:] = reversed(lines[1:])
        (tmp_path / f"{name}.py").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        settings = wrong(consent=f"{name}.consent")
        if is_late:
            with override_settings(PASSERBY=settings):
                assert get_tracking() is sys.modules[name].tracking
        else:
            assert said_of(settings).startswith(f'PASSERBY["consent"]: Module "{name}" does not define')


class TestKey:
    def test_the_projects_own_key_signs(self, make_project: MakeProject, browser: Browser) -> None:
        make_project(home)
        first = browser.get()
        assert "bid_key_sig" in first.cookies
        make_project(home, django={"SECRET_KEY": "quite another key"})
        assert browser.get().text != first.text, "signed with a key that is not ours"

    def test_the_key_may_be_rotated(self, make_project: MakeProject, browser: Browser) -> None:
        make_project(home, django={"SECRET_KEY": "the old key"})
        first = browser.get()
        make_project(home, django={"SECRET_KEY": "the new key", "SECRET_KEY_FALLBACKS": ["the old key"]})
        assert browser.get().text == first.text
        make_project(
            home, cookie_renew_after=0, django={"SECRET_KEY": "the new key", "SECRET_KEY_FALLBACKS": ["the old key"]}
        )
        renewed = browser.get()
        assert value_of(renewed.cookies["bid_key"]) == first.text
        make_project(home, django={"SECRET_KEY": "the new key"})
        assert browser.get().text == first.text, "signed with the new one by now"

    def test_a_key_of_its_own_goes_before(self, make_project: MakeProject, browser: Browser) -> None:
        make_project(home, secret_key="a key for visitors alone")
        first = browser.get()
        make_project(home, secret_key="a key for visitors alone", django={"SECRET_KEY": "quite another key"})
        assert browser.get().text == first.text

    def test_none_signs_nothing(self, make_project: MakeProject, browser: Browser) -> None:
        make_project(home, secret_key=None)
        assert list(browser.get().cookies) == ["bid_key"]


def test_a_project_without_a_database() -> None:
    program = """
        from django.conf import settings
        middleware = ["passerby.django.TrackingMiddleware"]
        settings.configure(SECRET_KEY="x" * 50, PASSERBY={}, MIDDLEWARE=middleware, ROOT_URLCONF="shop")
        import sys, types
        from django.core.handlers.wsgi import WSGIHandler
        from django.http import HttpResponse
        from django.urls import path
        from tests.django.wire import ask_wsgi

        def home(request):
            request.tracker.event("SEEN")
            return HttpResponse(request.tracker.browser_id)

        sys.modules["shop"] = types.SimpleNamespace(urlpatterns=[path("", home)])
        answer = ask_wsgi(WSGIHandler(), host="localhost")
        print(answer.status, *answer.cookies)
    """
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("200 passerby_bid passerby_bid_sig\n", "")


def home(request: TrackedRequest) -> HttpResponse:
    return HttpResponse(request.tracker.browser_id)


urlpatterns = [path("", home)]
