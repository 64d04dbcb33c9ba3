"""The app on FastAPI."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from passerby import Tracking
from passerby.asgi import TrackingMiddleware
from passerby.fastapi import TrackerDep

from . import pages

router = APIRouter(default_response_class=HTMLResponse)


def make(tracking: Tracking | None) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    if tracking is not None:
        app.add_middleware(TrackingMiddleware, tracking=tracking)
    return app


@router.get("/")
async def home(tracker: TrackerDep) -> str:
    return pages.home(tracker)


@router.get("/who")
def who(tracker: TrackerDep) -> str:
    return pages.who(tracker)


@router.get("/seen/{rest:path}")
def seen(tracker: TrackerDep) -> str:
    return pages.seen(tracker)


@router.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(pages.stream(), media_type="text/html")


@router.post("/login")
def log_in(tracker: TrackerDep, user: str) -> str:
    return pages.log_in(tracker, user)


@router.post("/logout")
async def log_out(tracker: TrackerDep) -> str:
    return pages.log_out(tracker)


@router.post("/upload")
async def upload(request: Request) -> str:
    received = pages.Upload()
    async for piece in request.stream():
        received.add(piece)
    return str(received)


@router.api_route("/file", methods=["GET", "HEAD"])
async def file() -> FileResponse:
    return FileResponse(pages.FILE)


@router.api_route("/json", methods=["GET", "HEAD"])
async def json() -> Response:
    return Response(pages.JSON, media_type="application/json")


@router.get("/nothing", status_code=204)
async def nothing() -> Response:
    return Response(status_code=204)


@router.get("/unmodified")
async def unmodified() -> Response:
    return Response(status_code=304)


@router.get("/fail")
async def fail() -> str:
    raise pages.OwnError("before the response")


@router.get("/break")
async def break_off() -> StreamingResponse:
    return StreamingResponse(pages.break_off(), media_type="text/html")


@router.get("/forever")
async def forever() -> StreamingResponse:
    return StreamingResponse(pages.forever(), media_type="text/html")
