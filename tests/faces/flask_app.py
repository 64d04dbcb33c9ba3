"""The app on Flask: a factory, and a blueprint."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, g, request, send_file, stream_with_context

from passerby import Tracking
from passerby.flask import Passerby

from . import pages

site = Blueprint("site", __name__)
passerby = Passerby()


def make(tracking: Tracking | None) -> Flask:
    app = Flask(__name__)
    app.register_blueprint(site)
    if tracking is not None:
        passerby.init_app(app, tracking)
    return app


@site.get("/")
def home() -> str:
    return pages.home(g.tracker)


@site.get("/who")
def who() -> str:
    return pages.who(g.tracker)


@site.get("/seen/<path:rest>")
def seen(rest: str) -> str:
    return pages.seen(g.tracker)


@site.get("/stream")
def stream() -> Response:
    return Response(stream_with_context(pages.stream()), content_type=pages.HTML)


@site.post("/login")
def log_in() -> str:
    return pages.log_in(g.tracker, request.args["user"])


@site.post("/logout")
def log_out() -> str:
    return pages.log_out(g.tracker)


@site.post("/upload")
def upload() -> str:
    received = pages.Upload()
    while piece := request.stream.read(65_536):
        received.add(piece)
    return str(received)


@site.get("/file")
def file() -> Response:
    return send_file(pages.FILE, mimetype="text/x-python")


@site.get("/json")
def json() -> Response:
    return Response(pages.JSON, content_type="application/json")


@site.get("/nothing")
def nothing() -> tuple[str, int]:
    return "", 204


@site.get("/unmodified")
def unmodified() -> tuple[str, int]:
    return "", 304


@site.get("/fail")
def fail() -> str:
    raise pages.OwnError("before the response")


@site.get("/break")
def break_off() -> Response:
    return Response(pages.break_off(), content_type=pages.HTML)


@site.get("/forever")
def forever() -> Response:
    return Response(pages.forever(), content_type=pages.HTML)
