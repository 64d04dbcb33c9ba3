"""The app without any framework, for ASGI and for WSGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper

from passerby import Tracker, Tracking
from passerby.asgi import TrackingMiddleware as AsgiMiddleware
from passerby.wsgi import TrackingMiddleware as WsgiMiddleware

from . import pages

STATUSES = {"/nothing": 204, "/unmodified": 304}


def make_asgi(tracking: Tracking | None) -> Any:
    return answer_asgi if tracking is None else AsgiMiddleware(answer_asgi, tracking=tracking)


def make_wsgi(tracking: Tracking | None) -> WSGIApplication:
    return answer_wsgi if tracking is None else WsgiMiddleware(answer_wsgi, tracking)


def say(path: str, query: str, tracker: Tracker) -> str:
    """The text of a page that needs a tracker."""
    say_by_path: dict[str, Callable[[], str]] = {
        "/": lambda: pages.home(tracker),
        "/who": lambda: pages.who(tracker),
        "/login": lambda: pages.log_in(tracker, query.removeprefix("user=")),
        "/logout": lambda: pages.log_out(tracker),
    }
    return say_by_path[path]()


def pieces_of(path: str) -> Iterator[str]:
    return {"/stream": pages.stream, "/break": pages.break_off, "/forever": pages.forever}[path]()


async def answer_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await answer_lifespan(receive, send)
        return
    path, kind = scope["path"], pages.HTML
    if path == "/fail":
        raise pages.OwnError("before the response")
    if path == "/json":
        body, kind = pages.JSON, "application/json"
    elif path == "/file":
        body, kind = pages.FILE.read_text(), "text/x-python"
    elif path == "/upload":
        upload = pages.Upload()
        async for piece in body_of(receive):
            upload.add(piece)
        body = str(upload)
    elif path in STATUSES:
        body = ""
    elif path in ("/stream", "/break", "/forever"):
        await start_asgi(send, 200, pages.HTML, None)
        for text in pieces_of(path):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    elif "/seen/" in path:
        body = pages.seen(scope["state"]["tracker"])
    else:
        body = say(path, scope["query_string"].decode(), scope["state"]["tracker"])
    status = STATUSES.get(path, 200)
    await start_asgi(send, status, kind, len(body.encode()) if status == 200 else None)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body.encode()})


async def start_asgi(send: Any, status: int, kind: str, length: int | None) -> None:
    headers = [(b"content-type", kind.encode())] if status == 200 else []
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def body_of(receive: Any) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def answer_lifespan(receive: Any, send: Any) -> None:
    for stage in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{stage}"
        await send({"type": f"lifespan.{stage}.complete"})


def answer_wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path, kind = environ["PATH_INFO"], pages.HTML
    if path == "/fail":
        raise pages.OwnError("before the response")
    if path == "/json":
        body, kind = pages.JSON, "application/json"
    elif path == "/file":
        start_response("200 OK", [("Content-Type", "text/x-python")])
        wrap = environ.get("wsgi.file_wrapper", FileWrapper)
        return wrap(pages.FILE.open("rb"))  # type: ignore[no-any-return]
    elif path == "/upload":
        upload = pages.Upload()
        left = int(environ.get("CONTENT_LENGTH") or 0)
        while left and (piece := environ["wsgi.input"].read(min(left, 65_536))):
            left -= len(piece)
            upload.add(piece)
        body = str(upload)
    elif path in STATUSES:
        start_response(f"{STATUSES[path]} No Body", [])
        return []
    elif path in ("/stream", "/break", "/forever"):
        return stream_wsgi(path, start_response)
    elif path.startswith("/seen/"):
        body = pages.seen(environ["passerby.tracker"])
    else:
        body = say(path, environ.get("QUERY_STRING", ""), environ["passerby.tracker"])
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body.encode())))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body.encode()]


def stream_wsgi(path: str, start_response: StartResponse) -> Iterator[bytes]:
    """Start the response when the server asks for the first piece, as a generator may."""
    start_response("200 OK", [("Content-Type", pages.HTML)])
    for text in pieces_of(path):
        yield text.encode()
