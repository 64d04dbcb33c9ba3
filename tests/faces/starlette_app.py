"""The app on Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from passerby import Tracking
from passerby.asgi import TrackingMiddleware

from . import pages


def make(tracking: Tracking | None) -> Starlette:
    stack = [] if tracking is None else [Middleware(TrackingMiddleware, tracking=tracking)]
    return Starlette(routes=ROUTES, middleware=stack)


async def home(request: Request) -> Response:
    return HTMLResponse(pages.home(request.state.tracker))


def who(request: Request) -> Response:
    return HTMLResponse(pages.who(request.state.tracker))


async def seen(request: Request) -> Response:
    return HTMLResponse(pages.seen(request.state.tracker))


async def stream(request: Request) -> Response:
    return StreamingResponse(pages.stream(), media_type="text/html")


async def log_in(request: Request) -> Response:
    return HTMLResponse(pages.log_in(request.state.tracker, request.query_params["user"]))


async def log_out(request: Request) -> Response:
    return HTMLResponse(pages.log_out(request.state.tracker))


async def upload(request: Request) -> Response:
    received = pages.Upload()
    async for piece in request.stream():
        received.add(piece)
    return HTMLResponse(str(received))


async def file(request: Request) -> Response:
    return FileResponse(pages.FILE)


async def json(request: Request) -> Response:
    return Response(pages.JSON, media_type="application/json")


async def nothing(request: Request) -> Response:
    return Response(status_code=204)


async def unmodified(request: Request) -> Response:
    return Response(status_code=304)


async def fail(request: Request) -> Response:
    raise pages.OwnError("before the response")


async def break_off(request: Request) -> Response:
    return StreamingResponse(pages.break_off(), media_type="text/html")


async def forever(request: Request) -> Response:
    return StreamingResponse(pages.forever(), media_type="text/html")


ROUTES = [
    Route("/", home),
    Route("/who", who),
    Route("/seen/{rest:path}", seen),
    Route("/stream", stream),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
    Route("/upload", upload, methods=["POST"]),
    Route("/file", file),
    Route("/json", json),
    Route("/nothing", nothing),
    Route("/unmodified", unmodified),
    Route("/fail", fail),
    Route("/break", break_off),
    Route("/forever", forever),
]
