"""`passerby collect -- COMMAND` has the events of every app, wherever its settings are, and whatever serves it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest

from passerby import CustomerIO, Datalyr, SettingsError, Sitecore, Sites, Tracking, init_server
from passerby.collector import CollectorServer
from passerby.destinations import DestinationResponse, OutgoingRequest
from passerby.destinations.target import COLLECTOR_URL
from passerby.events.event import Event
from passerby.testing import CapturedEvents
from passerby.values.outcome import Delivered
from tests.faces.servers import keep_port
from tests.making import BROWSER_ID, PATIENCE
from tests.running import running

# No address of these can be reached; all of them are hard-coded.
FILES = {
    "destinations.py": """
        from passerby import CustomerIO, Datalyr, Sitecore, Tracking

        SITECORE = {"client_key": "key", "target_url": "https://cdp.invalid/base", "point_of_sale": "shop"}
        SETTINGS = {
            "sitecore": SITECORE,
            "customerio": {"eu": {"write_key": "one", "region": "eu"}, "us": {"write_key": "two"}},
            "datalyr": {"workspace_id": "ws", "target_url": "https://ingest.invalid"},
            "secret_key": "a key of these tests",
        }

        def make(**settings):
            return Tracking(
                Sitecore(**SITECORE),
                CustomerIO(write_key="one"),
                Datalyr(workspace_id="ws"),
                secret_key="a key of these tests",
                **settings,
            )
    """,
    "flask_app.py": """
        from flask import Flask, g
        from passerby.flask import Passerby
        from destinations import SETTINGS

        def create_app():
            app = Flask(__name__)
            app.config.update(SECRET_KEY="the app's own key", PASSERBY=SETTINGS)
            Passerby(app)

            @app.get("/")
            def home():
                g.tracker.page_view({"page": "Home"})
                return "home"

            return app

        app = create_app()
    """,
    "site_settings.py": """
        from destinations import SETTINGS
        SECRET_KEY = "the project's own key"
        DEBUG = True
        ALLOWED_HOSTS = ["*"]
        INSTALLED_APPS = ["passerby.django"]
        MIDDLEWARE = ["passerby.django.TrackingMiddleware"]
        ROOT_URLCONF = "site_urls"
        DATABASES = {}
        PASSERBY = SETTINGS
    """,
    "site_urls.py": """
        from django.http import HttpResponse
        from django.urls import path

        def home(request):
            request.tracker.page_view({"page": "Home"})
            return HttpResponse("home")

        urlpatterns = [path("", home)]
    """,
    "site_wsgi.py": """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
        from django.core.wsgi import get_wsgi_application
        app = get_wsgi_application()
    """,
    "manage.py": """
        import os, sys
        from django.core.management import execute_from_command_line
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
        execute_from_command_line(sys.argv)
    """,
    "starlette_app.py": """
        import os
        from passerby import Sites
        from passerby.asgi import TrackingMiddleware
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from destinations import make

        async def home(request):
            request.state.tracker.page_view({"page": "Home"})
            return PlainTextResponse("home")

        def build(tracking):
            return Starlette(routes=[Route("/", home)], middleware=[Middleware(TrackingMiddleware, tracking=tracking)])

        app = build(make())
        sites = build(Sites(lambda request: "shop", lambda name: make()))
    """,
}
PYTHON = [sys.executable, "-m"]
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "flask run": lambda port: [*PYTHON, "flask", "--app", "flask_app:app", "run", "--port", port],
    "flask run, reloading": lambda port: [*PYTHON, "flask", "--app", "flask_app", "run", "--debug", "--port", port],
    "django runserver": lambda port: [sys.executable, "manage.py", "runserver", port],
    "uvicorn": lambda port: [*PYTHON, "uvicorn", "starlette_app:app", "--port", port],
    "uvicorn, two workers": lambda port: [*PYTHON, "uvicorn", "starlette_app:app", "--workers", "2", "--port", port],
    "uvicorn, several sites": lambda port: [*PYTHON, "uvicorn", "starlette_app:sites", "--port", port],
    "gunicorn": lambda port: [*PYTHON, "gunicorn", "flask_app:app", "-w", "2", "-b", f"127.0.0.1:{port}"],
    "gunicorn, loaded before the fork": lambda port: [
        *PYTHON, "gunicorn", "site_wsgi:app", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}",
    ],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_app_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(dedent(text))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        closing(keep_port()) as kept,
        running("collect", "--port", "0", "--", *COMMANDS[command](str(port := kept.getsockname()[1]))) as collect,
    ):
        url = collect.wait_for(r"Collecting on (\S+)")[1]
        collect.wait_for(rf"all its events go to the collector \({COLLECTOR_URL} is set\)")
        assert ask(f"http://127.0.0.1:{port}/") == "home"
        stats = eventually_counts(url)
        collect.end()
    assert stats["events"]
    warned = [line for line in collect.complaints if f"{COLLECTOR_URL} is set: events go to the collector at" in line]
    assert warned


def ask(url: str) -> str:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            return httpx.get(url, timeout=PATIENCE, trust_env=False).text
        except httpx.TransportError:
            assert time.monotonic() < ends, "the app never began to serve"
            time.sleep(0.1)


def eventually_counts(url: str) -> dict[str, Any]:
    """Wait until all three systems have the page view."""
    found: dict[str, Any] = {}
    ends = time.monotonic() + PATIENCE
    while not all(found.values()) or not found:
        assert time.monotonic() < ends, found
        time.sleep(0.1)
        found = {
            "events": httpx.get(f"{url}/_collector/events", trust_env=False).json(),
            "customerio": httpx.get(f"{url}/_collector/messages/customerio", trust_env=False).json(),
            "datalyr": httpx.get(f"{url}/_collector/messages/datalyr", trust_env=False).json(),
        }
    return found


class Own:
    """A custom destination with a secret address."""

    name, batch_size, batch_bytes = "own", 1, 0
    origin = "https://own.invalid"
    kinds = frozenset({"event"})

    def encoded_size(self, event: Event) -> int:
        return 0

    def check(self, event: Event) -> None: ...

    def encode(self, events: Any) -> OutgoingRequest:
        return OutgoingRequest("POST", f"{self.origin}/v1/track?source=app", {}, b"{}")

    def classify(self, response: DestinationResponse) -> Delivered:
        return Delivered()


MAPPING: dict[str, Any] = {
    "sitecore": {"client_key": "key", "target_url": "https://cdp.invalid", "point_of_sale": "shop"},
    "secret_key": "a key of these tests",
}
CONFIGURED: dict[str, Callable[[], Tracking]] = {
    "Sitecore": lambda: Tracking(Sitecore(client_key="key", target_url="https://cdp.invalid", point_of_sale="shop")),
    "Customer.io": lambda: Tracking(CustomerIO(write_key="key", region="eu")),
    "Customer.io, at a proxy": lambda: Tracking(CustomerIO(write_key="key", target_url="https://proxy.invalid/cio")),
    "Datalyr": lambda: Tracking(Datalyr(workspace_id="ws")),
    "Datalyr, one at a time": lambda: Tracking(Datalyr(api_key="key", form="track")),
    "a mapping": lambda: Tracking.from_mapping(MAPPING),
    "an environment": lambda: Tracking.from_env(
        {"PASSERBY_CUSTOMERIO_WRITE_KEY": "key", COLLECTOR_URL: "http://127.0.0.1:1", "PASSERBY_CHANNEL": "WEB"}
    ),
    "init_server": lambda: init_server(client_key="key", target_url="https://cdp.invalid", point_of_sale="shop"),
    "several sites": lambda: Sites(lambda request: None, lambda name: Tracking.from_mapping(MAPPING))["shop"],
    "its own": lambda: Tracking(Own()),  # type: ignore[arg-type]
}


@pytest.mark.passerby_live
@pytest.mark.parametrize("configured", CONFIGURED)
def test_however_it_is_configured(
    collector: CollectorServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, configured: str
) -> None:
    collector.accept_any_browser_id = True
    monkeypatch.setenv(COLLECTOR_URL, f" {collector.url}/ ")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    tracking = CONFIGURED[configured]()
    tracking.for_visitor(BROWSER_ID).event("ADD")
    assert tracking.close(PATIENCE) == 0
    assert collector.requests
    assert f"{COLLECTOR_URL} is set: events go to the collector at {collector.url}" in caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "https://cdp.example.com",
        "http://10.0.0.7:8600",
        "http://collector:8600",
        "http://127.0.0.1.example.com",
        "http://ada@127.0.0.1:8600",
        "ftp://127.0.0.1",
        "8600",
    ],
)
@pytest.mark.parametrize("configured", ["Sitecore", "a mapping", "its own"])
def test_only_this_machine_is_taken(monkeypatch: pytest.MonkeyPatch, address: str, configured: str) -> None:
    """The variable cannot send the events of a running app to another machine."""
    monkeypatch.setenv(COLLECTOR_URL, address)
    with pytest.raises(SettingsError, match=f"^{COLLECTOR_URL}: expected an http URL with a loopback address"):
        CONFIGURED[configured]()


def test_without_it_addresses_are_as_they_are_set(
    captured_events: CapturedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COLLECTOR_URL, "")
    assert Sitecore(client_key="key", target_url="https://cdp.example.com/").origin == "https://cdp.example.com"
    assert CustomerIO(write_key="key", region="eu").origin == "https://cdp-eu.customer.io"
    assert Datalyr(workspace_id="ws").origin == "https://ingest.datalyr.com"
