"""The faces under test: the same app, in each framework, in this process or behind a real server."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

import tests.django_site  # noqa: F401 - sets Django up
from passerby import Sitecore, Tracking
from passerby.settings.env import read_environment

from . import fastapi_app, flask_app, raw, starlette_app

Make = Callable[[Tracking | None], Any]


def make_django(handler: Callable[[], Any]) -> Make:
    def make(tracking: Tracking | None) -> Any:
        middleware = [] if tracking is None else ["passerby.django.TrackingMiddleware"]
        with override_settings(MIDDLEWARE=middleware, PASSERBY={"tracking": tracking}):
            return handler()

    return make


ASGI: dict[str, Make] = {
    "starlette": starlette_app.make,
    "fastapi": fastapi_app.make,
    "raw-asgi": raw.make_asgi,
    "django-asgi": make_django(ASGIHandler),
}
WSGI: dict[str, Make] = {
    "flask": flask_app.make,
    "raw-wsgi": raw.make_wsgi,
    "django-wsgi": make_django(WSGIHandler),
}
FACES = ASGI | WSGI

KEY = "a secret key that signs"


def make_tracking(collector_url: str, **settings: Any) -> Tracking:
    """What both sides of a socket agree on."""
    sitecore = Sitecore(client_key="key", target_url=collector_url, point_of_sale="shop")
    usual: dict[str, Any] = {"secret_key": KEY, "identity_provider": "CRM", "browser_id_timeout": 30.0}
    return Tracking(sitecore, **(usual | settings))


BARE = "x-bare"  # a request with this header goes to the app without passerby


def make_served_app() -> Any:
    """The app that a server of its own process serves, as the environment says."""
    face, outbox = os.environ["FACE"], os.environ.get("OUTBOX", "memory")
    trusted = read_environment({"PASSERBY_TRUSTED_PROXIES": os.environ.get("TRUSTED", "127.0.0.1")})
    patient = {"store_timeout": 30.0, "close_timeout": 20.0}  # on the slowest machine
    tracking = make_tracking(os.environ["COLLECTOR"], outbox=outbox, retry_cap=1.0, **trusted, **patient)
    tracked, bare = FACES[face](tracking), FACES[face](None)

    async def choose_asgi(scope: Any, receive: Any, send: Any) -> None:
        is_bare = any(name == BARE.encode() for name, _ in scope.get("headers", ()))
        await (bare if is_bare else tracked)(scope, receive, send)

    def choose_wsgi(environ: Any, start_response: Any) -> Any:
        return (bare if "HTTP_X_BARE" in environ else tracked)(environ, start_response)

    return choose_asgi if face in ASGI else choose_wsgi
