"""An app with routes, in each framework: every page answers what the request's header `x-answer` says.

It is JSON: a status and headers. All routes lead to the same; what differs is how the framework finds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import flask
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

import tests.django_site  # noqa: F401 - sets Django up
from passerby import Tracking
from passerby.asgi import TrackingMiddleware as AsgiMiddleware
from passerby.flask import Passerby
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware

HTML = {"content-type": "text/html"}
# The paths of the routes as Django and Flask write them; those of Starlette and FastAPI are made of them.
PATTERNS = (
    "/",
    "/about",
    "/accounts/<int:pk>/update",
    "/orders/<int:pk>/update",
    "/reset/<uid>/<token>",
    "/files/<path:name>",
    "/<slug>",
)


def answer_of(said: str | None) -> tuple[int, dict[str, str]]:
    status, headers = json.loads(said or "[200, {}]")
    return status, (headers if "content-type" in headers or status in (204, 304) else HTML | headers)


def body_of(status: int) -> str:
    return "" if status in (204, 304) else "a page"


def braces(pattern: str) -> str:
    """A pattern as Starlette writes it."""
    parts = [part.strip("<>").split(":") if part.startswith("<") else part for part in pattern.split("/")]
    return "/".join(part if isinstance(part, str) else "{" + ":".join(reversed(part)) + "}" for part in parts)


async def endpoint(request: Request) -> Response:
    status, headers = answer_of(request.headers.get("x-answer"))
    return Response(body_of(status), status, headers)


def make_starlette(tracking: Tracking) -> Any:
    routes = [Route(braces(pattern), endpoint) for pattern in PATTERNS]
    sub = Starlette(routes=[Route("/items/{pk:int}/update", endpoint)])
    mounts = [Mount("/mounted/{tenant}", app=sub), Mount("/grouped", routes=[Route("/{pk}", endpoint)])]
    return Starlette(routes=[*mounts, *routes], middleware=[Middleware(AsgiMiddleware, tracking=tracking)])


def make_fastapi(tracking: Tracking) -> Any:
    app, router, sub = FastAPI(), APIRouter(prefix="/items"), FastAPI()
    router.add_api_route("/{pk}/update", endpoint, methods=["GET"])
    sub.include_router(router)
    app.mount("/mounted/{tenant}", sub)
    grouped = APIRouter()
    grouped.add_api_route("/{pk}", endpoint, methods=["GET"])
    app.include_router(grouped, prefix="/grouped")
    for pattern in PATTERNS:
        app.add_api_route(braces(pattern), endpoint, methods=["GET"])
    app.add_middleware(AsgiMiddleware, tracking=tracking)
    return app


def make_flask(tracking: Tracking) -> Any:
    app = flask.Flask(__name__, static_folder=None)

    def view(**values: Any) -> flask.Response:
        status, headers = answer_of(flask.request.headers.get("x-answer"))
        return flask.Response(body_of(status), status, headers)

    blueprint = flask.Blueprint("grouped", __name__, url_prefix="/grouped")
    blueprint.add_url_rule("/<pk>", "view", view)
    app.register_blueprint(blueprint)
    for pattern in (*PATTERNS, "/mounted/<tenant>/items/<int:pk>/update"):
        app.add_url_rule(pattern, pattern.replace(".", "-"), view)
    Passerby(app, tracking)
    return app


def django_view(request: HttpRequest, *positional: Any, **values: Any) -> HttpResponse:
    status, headers = answer_of(request.headers.get("x-answer"))
    return HttpResponse(body_of(status), status=status, headers=headers)


DJANGO_URLS = (
    path("mounted/<tenant>/", include([path("items/<int:pk>/update", django_view)])),
    re_path(r"^grouped/", include([re_path(r"^(?P<pk>[0-9]+|[a-z]{1,8})$", django_view)])),
    *(path(pattern.removeprefix("/"), django_view) for pattern in PATTERNS),
)


def make_django(handler: Callable[[], Any]) -> Callable[[Tracking], Any]:
    def make(tracking: Tracking) -> Any:
        middleware = ["passerby.django.TrackingMiddleware"]
        settings = {"MIDDLEWARE": middleware, "PASSERBY": {"tracking": tracking}, "ROOT_URLCONF": DJANGO_URLS}
        with override_settings(**settings):
            made = handler()

        def serve_wsgi(environ: Any, start_response: Any) -> Any:
            with override_settings(ROOT_URLCONF=DJANGO_URLS):
                return made(environ, start_response)

        async def serve_asgi(scope: Any, receive: Any, send: Any) -> None:
            with override_settings(ROOT_URLCONF=DJANGO_URLS):
                await made(scope, receive, send)

        return serve_wsgi if handler is WSGIHandler else serve_asgi

    return make


def make_raw_asgi(tracking: Tracking) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        said = dict(scope["headers"]).get(b"x-answer", b"[200, {}]").decode()
        status, headers = answer_of(said)
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": body_of(status).encode()})

    return AsgiMiddleware(app, tracking=tracking)


def make_raw_wsgi(tracking: Tracking) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        status, headers = answer_of(environ.get("HTTP_X_ANSWER"))
        start_response(f"{status} Status", list(headers.items()))
        return [body_of(status).encode()]

    return WsgiMiddleware(app, tracking)


ROUTED: dict[str, Callable[[Tracking], Any]] = {
    "starlette": make_starlette,
    "fastapi": make_fastapi,
    "django-asgi": make_django(ASGIHandler),
    "flask": make_flask,
    "django-wsgi": make_django(WSGIHandler),
}
WITHOUT_ROUTES: dict[str, Callable[[Tracking], Any]] = {"raw-asgi": make_raw_asgi, "raw-wsgi": make_raw_wsgi}
EVERY = ROUTED | WITHOUT_ROUTES
IN_LOOP = {"starlette", "fastapi", "django-asgi", "raw-asgi"}
