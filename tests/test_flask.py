"""The Flask extension: what is its own, beside the behaviour that all faces share (tests/faces)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import threading
import weakref
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    copy_current_request_context,
    g,
    render_template_string,
    request_finished,
    request_started,
    stream_with_context,
)
from flask.ctx import _AppCtxGlobals
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient

from passerby import Dropped, SettingsError, Sites, Tracker, Tracking, current_tracker
from passerby.asgi import TrackingMiddleware
from passerby.flask import Passerby
from passerby.outbox.sqlite import SqliteStore
from passerby.testing import CapturedEvents
from tests.making import BROWSER_ID, NAVIGATION, MakeTracking, call, dropped, make_scope, page, value_of
from tests.outbox.process import Process

BID = "bid_key"
SITECORE = {"client_key": "key", "target_url": "https://api.example.com", "point_of_sale": "shop"}
SETTINGS: dict[str, Any] = {"sitecore": SITECORE, "identity_provider": "CRM"}


def make_app(settings: Any = SETTINGS, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update({"SECRET_KEY": "the app's own key", "PASSERBY": settings, "TESTING": True} | config)
    Passerby(app)
    return app


def cookies_of(response: Any) -> dict[str, str]:
    return {line.partition("=")[0]: line for line in response.headers.getlist("Set-Cookie")}


class TestTracker:
    def test_the_test_client_works_without_anything_being_set_up(self, captured_events: CapturedEvents) -> None:
        app = make_app()

        @app.get("/")
        def home() -> str:
            g.tracker.page_view({"page": "Home"})
            assert current_tracker() is g.tracker
            return str(g.tracker.browser_id)

        client = app.test_client()
        first = client.get("/")
        assert client.get_cookie(BID).value == first.text  # type: ignore[union-attr]
        assert client.get("/").text == first.text
        captured_events.assert_summary("page view Home", "page view Home")

    def test_it_is_there_before_anything_else_of_the_app(self) -> None:
        """Whatever is registered, in whatever order."""
        seen: list[str] = []
        app = Flask(__name__)

        def look(where: str) -> None:
            assert g.tracker.browser_id
            seen.append(where)

        app.url_value_preprocessor(lambda endpoint, values: look("preprocessor"))
        app.before_request(lambda: look("before_request"))

        def view() -> str:
            look("view")
            return ""

        blueprint = Blueprint("blueprint", __name__)
        blueprint.before_request(lambda: look("blueprint"))
        blueprint.add_url_rule("/", view_func=view)
        app.register_blueprint(blueprint)
        app.config.update(SECRET_KEY="the app's own key", PASSERBY=SETTINGS)
        Passerby(app)
        app.teardown_request(lambda error: look("teardown"))

        assert app.test_client().get("/").status_code == 200
        assert seen == ["preprocessor", "before_request", "blueprint", "view", "teardown"]

    def test_it_is_there_in_error_handlers(self, captured_events: CapturedEvents) -> None:
        app = make_app(PROPAGATE_EXCEPTIONS=False)

        @app.errorhandler(404)
        def missing(error: Exception) -> tuple[str, int]:
            g.tracker.event("MISSING")
            return "missing", 404

        @app.errorhandler(500)
        def broken(error: Exception) -> tuple[str, int]:
            g.tracker.event("BROKEN")
            return "broken", 500

        @app.get("/broken")
        def fail() -> str:
            raise KeyError("the app's own")

        @app.get("/aborted")
        def give_up() -> str:
            abort(404)

        client = app.test_client()
        assert [client.get(path).status_code for path in ("/nowhere", "/broken", "/aborted")] == [404, 500, 404]
        captured_events.assert_summary("MISSING", "BROKEN", "MISSING")

    def test_it_is_there_while_a_response_is_streamed(self) -> None:
        app = make_app()

        @app.get("/with-context")
        def with_context() -> Response:
            def pieces() -> Iterator[str]:
                yield f"{g.tracker.browser_id} "
                yield str(current_tracker().browser_id)

            return Response(stream_with_context(pieces()))

        @app.get("/without")
        def without() -> Response:
            tracker = g.tracker

            def pieces() -> Iterator[str]:
                yield f"{tracker.browser_id} "
                yield str(current_tracker().browser_id)

            return Response(pieces())

        for path in ("/with-context", "/without"):
            answer = app.test_client().get(path)
            browser_id = value_of(cookies_of(answer)[BID])
            assert answer.text == f"{browser_id} {browser_id}"

    def test_a_request_within_a_request_comes_back_to_it(self) -> None:
        inner, outer = make_app(), make_app()
        inner.add_url_rule("/", view_func=lambda: str(current_tracker().browser_id))

        @outer.get("/")
        def ask_the_other() -> str:
            mine = current_tracker()
            answer = inner.test_client().get("/")
            assert current_tracker() is mine is g.tracker
            return f"{answer.text} {mine.browser_id}"

        one, other = outer.test_client().get("/").text.split()
        assert one != other

    def test_it_is_gone_after_the_request(self) -> None:
        app = make_app()
        app.add_url_rule("/", view_func=lambda: "home")
        answer = app.test_client().get("/")
        answer.close()
        del answer
        with pytest.raises(LookupError):
            current_tracker()

    def test_templates_have_the_browser_id(self) -> None:
        app = make_app()
        app.add_url_rule("/", view_func=lambda: render_template_string("<b>{{ g.tracker.browser_id }}</b>"))
        answer = app.test_client().get("/")
        assert answer.text == f"<b>{value_of(cookies_of(answer)[BID])}</b>"

    def test_an_async_view(self, captured_events: CapturedEvents) -> None:
        app = make_app()

        @app.get("/")
        async def home() -> str:
            g.tracker.page_view({"page": "Home"})
            return str(current_tracker() is g.tracker)

        assert app.test_client().get("/").text == "True"
        captured_events.assert_page_view("Home")


class TestContexts:
    """The tracker is found wherever `flask.request` works, and where only an app context is left."""

    @staticmethod
    def trackers() -> tuple[Tracker, Tracker, Tracker | None]:
        assert "tracker" in g
        return g.tracker, current_tracker(), g.get("tracker")

    def test_an_app_context_within_a_request(self, captured_events: CapturedEvents) -> None:
        app, other = make_app(), make_app()

        @app.post("/register")
        def register() -> str:
            mine = g.tracker
            for context in (app.app_context(), other.app_context()):
                with context:
                    assert set(self.trackers()) == {mine}
                    g.tracker.event("REGISTERED")
                    with app.app_context():
                        assert g.tracker is mine
            return str(set(self.trackers()) == {mine})

        assert app.test_client().post("/register").text == "True"
        captured_events.assert_summary("REGISTERED", "REGISTERED")

    @pytest.mark.parametrize("ended", [False, True], ids=["during", "after"])
    def test_a_copied_request_context_in_a_thread(self, ended: bool, captured_events: CapturedEvents) -> None:
        app = make_app()
        found: list[Any] = []
        threads: list[threading.Thread] = []

        @app.get("/")
        def home() -> str:
            @copy_current_request_context
            def work() -> None:
                found.append(self.trackers())
                with app.app_context():
                    g.tracker.event("WORKED")

            threads.append(threading.Thread(target=work))
            if not ended:
                threads[0].start()
                threads[0].join(30)
            found.append(g.tracker)
            return str(g.tracker.browser_id)

        browser_id = app.test_client().get("/").text
        if ended:
            threads[0].start()
            threads[0].join(30)
        assert len({id(one) for each in found for one in (each if isinstance(each, tuple) else [each])}) == 1
        captured_events.assert_event("WORKED", browser_id=browser_id)

    def test_a_copied_context_in_a_thread(self, captured_events: CapturedEvents) -> None:
        app = make_app()
        context: list[contextvars.Context] = []

        @app.get("/")
        def home() -> str:
            context.append(contextvars.copy_context())
            return str(g.tracker.browser_id)

        def work() -> None:
            with app.app_context():
                g.tracker.event("WORKED")

        browser_id = app.test_client().get("/").text
        thread = threading.Thread(target=context[0].run, args=(work,))
        thread.start()
        thread.join(30)
        captured_events.assert_event("WORKED", browser_id=browser_id)

    def test_a_test_request_context(self, captured_events: CapturedEvents) -> None:
        """Its cookie counts, and no new ID is spent on a response that never comes."""
        app = make_app()
        with app.test_request_context("/cart?utm_source=mail", headers={"Cookie": f"{BID}={BROWSER_ID}"}):
            assert len(set(self.trackers())) == 1
            assert g.tracker.browser_id == BROWSER_ID
            g.tracker.event("ADD")
        with app.test_request_context("/cart"):
            assert g.tracker.browser_id is None
        captured_events.assert_event("ADD", browser_id=BROWSER_ID)

    def test_a_test_request_context_within_a_request(self) -> None:
        app = make_app()

        @app.get("/")
        def home() -> str:
            mine = g.tracker
            with app.test_request_context("/mail"):
                its = set(self.trackers())
                assert len(its) == 1
                assert its != {mine}
            return str(set(self.trackers()) == {mine})

        assert app.test_client().get("/").text == "True"

    def test_requests_within_one_app_context(self) -> None:
        """As with a fixture that pushes one for a whole test; `g` is the same in all of them."""
        app = make_app()
        app.add_url_rule("/", view_func=lambda: f"{g.tracker.browser_id} {len(set(self.trackers()))}")
        with app.app_context():
            answers = {app.test_client().get("/").text for _ in range(3)}
            assert "tracker" not in g
        assert len(answers) == 3
        assert all(answer.endswith(" 1") for answer in answers)

    def test_a_request_within_a_request_of_the_same_app(self) -> None:
        app = make_app()
        app.add_url_rule("/inner", view_func=lambda: str(g.tracker.browser_id))

        @app.get("/")
        def home() -> str:
            mine = g.tracker
            inner = app.test_client().get("/inner").text
            return f"{inner} {mine.browser_id} {set(self.trackers()) == {mine}}"

        inner, outer, is_back = app.test_client().get("/").text.split()
        assert inner != outer
        assert is_back == "True"

    async def test_an_asgi_app_that_a_view_calls_has_its_own(self, make_tracking: MakeTracking) -> None:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            seen.append(current_tracker())
            await page()(scope, receive, send)

        seen: list[Tracker] = []
        asgi = TrackingMiddleware(inner, tracking=make_tracking())
        app = make_app()

        @app.get("/")
        async def home() -> str:
            await call(asgi, make_scope("/other"))
            return str(seen[0] is not g.tracker and current_tracker() is g.tracker)

        assert (await asyncio.to_thread(app.test_client().get, "/")).text == "True"

    def test_teardown_functions(self) -> None:
        app = make_app()
        seen: list[Tracker] = []
        app.teardown_request(lambda error: seen.append(g.tracker))
        app.teardown_appcontext(lambda error: seen.append(g.tracker))

        @app.get("/")
        def home() -> str:
            seen.append(g.tracker)
            return "home"

        assert app.test_client().get("/").status_code == 200
        assert len(seen) == 3
        assert len(set(seen)) == 1

    def test_signals_and_functions_that_are_called_before_a_request_starts(self) -> None:
        app = make_app()
        seen: list[Tracker] = []

        class Sessions(SecureCookieSessionInterface):
            def open_session(self, app: Any, request: Any) -> Any:
                seen.append(g.tracker)
                return super().open_session(app, request)

        def on_started(sender: Any, **rest: Any) -> None:
            seen.append(g.tracker)

        app.session_interface = Sessions()

        @app.get("/")
        def home() -> str:
            seen.append(g.tracker)
            return "home"

        with request_started.connected_to(on_started, app), request_finished.connected_to(on_started, app):
            app.test_client().get("/")
        assert len(seen) == 4
        assert len(set(seen)) == 1

    def test_outside_of_a_request_it_drops_what_is_tracked(
        self, captured_events: CapturedEvents, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app()

        @app.cli.command("greet")
        def greet() -> None:
            assert g.tracker.browser_id is g.tracker.user_id is None
            receipt = g.tracker.identify("user_1", {"plan": "pro"})
            assert receipt.outcomes == {"sitecore": Dropped("no-request")}
            g.tracker.page_view()
            g.tracker.reset()
            g.tracker.rotate()
            assert g.get("tracker") is None
            assert "tracker" not in g

        # In a context of its own, as a process of the command has: this thread may have served another test's request.
        result = Context().run(app.test_cli_runner().invoke, args=["greet"])
        assert result.exception is None
        assert "use tracking.for_visitor(browser_id) there" in caplog.text
        captured_events.assert_nothing()
        captured_events.assert_refused("no-request", times=2)
        assert dropped(app.extensions["passerby"]) == {"no-request": 2}

    def test_a_g_of_the_apps_own(self) -> None:
        class Mine(_AppCtxGlobals):
            def greet(self) -> str:
                return f"hello {self.tracker.browser_id}"

        app = Flask(__name__)
        app.app_ctx_globals_class = Mine
        app.config.update(SECRET_KEY="the app's own key", PASSERBY=SETTINGS)
        Passerby(app)
        app.add_url_rule("/", view_func=lambda: str(g.greet()))
        answer = app.test_client().get("/")
        assert answer.text == f"hello {value_of(cookies_of(answer)[BID])}"

    def test_what_the_app_keeps_as_tracker_is_its_own(self) -> None:
        app = make_app()
        with app.app_context():
            g.tracker = "mine"
            assert (g.tracker, g.get("tracker"), g.pop("tracker")) == ("mine", "mine", "mine")

    def test_an_app_context_that_is_older_than_the_extension(self) -> None:
        app = Flask(__name__)
        app.config.update(SECRET_KEY="the app's own key", PASSERBY=SETTINGS)
        app.add_url_rule("/", view_func=lambda: str(g.tracker is current_tracker()))
        with app.app_context():
            Passerby(app)
            assert app.test_client().get("/").text == "True"


class TestSettings:
    def test_the_apps_keys_sign_and_an_older_one_still_counts(self, captured_events: CapturedEvents) -> None:
        def visit(app: Flask, client: FlaskClient | None = None) -> str:
            app.add_url_rule("/", view_func=lambda: str(g.tracker.browser_id))
            return (client or app.test_client()).get("/", headers=NAVIGATION).text

        old = make_app(SECRET_KEY="the key of last year")
        client = old.test_client()
        browser_id = visit(old, client)
        cookies = [client.get_cookie(name) for name in (BID, "bid_key_sig")]

        def visit_again(**config: Any) -> str:
            app = make_app(**config)
            again = app.test_client()
            for cookie in cookies:
                assert cookie is not None
                again.set_cookie(cookie.key, cookie.value)
            return visit(app, again)

        assert visit_again(SECRET_KEY="a key of this year", SECRET_KEY_FALLBACKS=["the key of last year"]) == browser_id
        assert visit_again(SECRET_KEY="a key of this year") != browser_id

    def test_a_key_for_passerby_alone(self) -> None:
        app = make_app({**SETTINGS, "secret_key": "passerby's own key"})
        assert app.extensions["passerby"]._settings.secret_keys == ("passerby's own key",)

    def test_settings_from_the_environment_in_flasks_own_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in SITECORE.items():
            monkeypatch.setenv(f"FLASK_PASSERBY__sitecore__{name}", value)
        monkeypatch.setenv("FLASK_SECRET_KEY", "a key of the environment")
        app = Flask(__name__)
        app.config.from_prefixed_env()
        Passerby(app)
        app.add_url_rule("/", view_func=lambda: str(g.tracker.browser_id))
        assert list(cookies_of(app.test_client().get("/"))) == [BID, "bid_key_sig"]

    def test_without_any_key(self, caplog: pytest.LogCaptureFixture) -> None:
        app = make_app(SECRET_KEY=None)
        app.add_url_rule("/", view_func=lambda: str(g.tracker.browser_id))
        assert list(cookies_of(app.test_client().get("/"))) == [BID]
        assert "no secret_key" in caplog.text

    @pytest.mark.parametrize("key", ["dev", "psst", b"dev", "1234567", 5], ids=repr)
    @pytest.mark.parametrize("fallbacks", [None, [], ["a fallback of some length"], "text"], ids=repr)
    def test_with_a_key_of_the_apps_own_that_is_too_short(
        self, key: Any, fallbacks: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As of tutorials: the app that worked goes on working."""
        app = make_app(SECRET_KEY=key, SECRET_KEY_FALLBACKS=fallbacks)
        app.add_url_rule("/", view_func=lambda: str(g.tracker.browser_id))
        assert list(cookies_of(app.test_client().get("/"))) == [BID]
        (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert warning.getMessage().startswith('app.config["SECRET_KEY"] has fewer than 8 characters and cannot sign: ')
        assert "psst" not in warning.getMessage()

    def test_with_a_fallback_that_is_too_short(self) -> None:
        app = make_app(SECRET_KEY="the app's own key", SECRET_KEY_FALLBACKS=["dev", "the key of last year", None])
        keys = app.extensions["passerby"]._settings.secret_keys
        assert keys == ("the app's own key", "the key of last year")

    @pytest.mark.parametrize(
        ("settings", "config", "words"),
        [
            (None, {}, 'app.config["PASSERBY"]: found none, expected a dict'),
            ("sitecore", {}, 'app.config["PASSERBY"]: found str, expected a dict'),
            ({"cookie_path": "shop"}, {}, 'app.config["PASSERBY"]["cookie_path"]: expected a path that begins with'),
            ({"chanel": "WEB"}, {}, 'app.config["PASSERBY"]["chanel"]: found no setting of that name; there are '),
            ({"sitecore": "key"}, {}, 'app.config["PASSERBY"]["sitecore"]: found str, expected a mapping'),
            (
                {"sitecore": SITECORE | {"target_url": "ftp://example.com"}},
                {},
                'app.config["PASSERBY"]["sitecore"]["target_url"]: [IV-0001] ',
            ),
            (
                {"sitecore": {"client_key": "key"}},
                {},
                'app.config["PASSERBY"]["sitecore"]["target_url"]: [MV-0002] "targetURL" is required.',
            ),
            ({"secret_key": "short"}, {}, 'app.config["PASSERBY"]["secret_key"]: expected text or bytes of at least 8'),
        ],
    )
    def test_what_is_wrong_is_named_as_the_app_has_written_it(
        self, settings: Any, config: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            make_app(settings, **config)
        assert str(caught.value).startswith(words)
        assert "the app's own key" not in str(caught.value)
        assert "short" not in str(caught.value)

    def test_a_second_registration_is_refused(self) -> None:
        app = make_app()
        with pytest.raises(SettingsError, match="this app has passerby already"):
            Passerby(app)


class TestApps:
    def test_two_apps_of_one_factory_have_settings_of_their_own(self, captured_events: CapturedEvents) -> None:
        """U37."""
        passerby = Passerby()

        def create_app(key: str) -> Flask:
            app = Flask(__name__)
            app.config["SECRET_KEY"] = f"the key of {key}"
            app.config["PASSERBY"] = {"sitecore": SITECORE | {"client_key": key}, "channel": key.upper()}
            passerby.init_app(app)

            @app.get("/")
            def home() -> str:
                g.tracker.page_view({"page": key})
                return ""

            return app

        one, two = create_app("one"), create_app("two")
        assert list(cookies_of(one.test_client().get("/"))) == ["bid_one", "bid_one_sig"]
        assert list(cookies_of(two.test_client().get("/"))) == ["bid_two", "bid_two_sig"]
        captured_events.assert_page_view("one", channel="ONE")
        captured_events.assert_page_view("two", channel="TWO")
        assert one.extensions["passerby"] is not two.extensions["passerby"]

    def test_an_app_is_not_kept_alive(self) -> None:
        passerby = Passerby()
        app = Flask(__name__)
        app.config.update(SECRET_KEY="the app's own key", PASSERBY=SETTINGS)
        passerby.init_app(app)
        known = weakref.ref(app)
        del app
        gc.collect()
        assert known() is None

    def test_sites(self, captured_events: CapturedEvents) -> None:
        """U40."""

        def make(name: str) -> Tracking:
            settings = {"sitecore": SITECORE | {"client_key": name}, "secret_key": f"the key of {name}"}
            return Tracking.from_mapping(settings)

        app = Flask(__name__)
        Passerby(app, Sites(lambda request: {"a.example": "a", "b.example": "b"}.get(request.host), make))

        @app.get("/")
        def home() -> str:
            g.tracker.page_view()
            return ""

        client = app.test_client()
        assert list(cookies_of(client.get("/", base_url="https://a.example"))) == ["bid_a", "bid_a_sig"]
        assert list(cookies_of(client.get("/", base_url="https://b.example"))) == ["bid_b", "bid_b_sig"]
        assert list(cookies_of(client.get("/", base_url="https://c.example"))) == []
        assert len(captured_events) == 2


class TestCommands:
    def test_the_commands_of_passerby_are_there(self) -> None:
        result = make_app().test_cli_runner().invoke(args=["passerby", "--help"])
        assert result.exit_code == 0
        assert "collect" in result.output
        assert "demo" in result.output

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["collect", "--help"], 0, "--port"),
            (["collect", "--port", "many"], 2, "'many' is not a port"),
            (["demo", "--wrong"], 2, "unrecognized arguments: --wrong"),
            (["collect", "--port", "0", "--", sys.executable, "-c", "raise SystemExit(3)"], 3, "0 events accepted"),
        ],
    )
    def test_arguments_are_handed_through(
        self, arguments: list[str], code: int, words: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        result = make_app().test_cli_runner().invoke(args=["passerby", *arguments])
        assert result.exit_code == code
        assert words in result.output

    def test_the_outbox_is_the_apps_own(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "outbox")
        Process(store).put("ada", "sitecore")
        store.close()
        app = make_app({**SETTINGS, "outbox": f"sqlite://{tmp_path}/outbox"})
        result = app.test_cli_runner().invoke(args=["passerby", "outbox", "ls"])
        assert result.exit_code == 0
        assert result.output.startswith(f"{tmp_path}/outbox: 1 entry")

    def test_where_the_app_has_no_outbox_that_is_said(self) -> None:
        result = make_app().test_cli_runner().invoke(args=["passerby", "outbox", "ls"])
        assert result.exit_code == 2
        assert "the events are in the app's memory" in result.output

    def test_of_several_sites_one_is_to_be_named(self) -> None:
        app = Flask(__name__)
        Passerby(app, Sites(lambda request: None, lambda name: Tracking()))
        result = app.test_cli_runner().invoke(args=["passerby", "outbox", "ls"])
        assert result.exit_code == 1
        assert "name the outbox of one with --outbox" in result.output
