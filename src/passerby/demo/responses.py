"""Forms that the shop's routes read, and responses that they return."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import ClientDisconnect

MAX_FORM = 10_000  # bytes
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
ASSETS = ("shop.css", "side-by-side.css", "mark.svg")
KINDS = {"css": "text/css", "svg": "image/svg+xml"}


def html(content: str, status: int = 200, frames: str = "'none'") -> Response:
    """A page without scripts, other origins or foreign frames.

    Args:
        content: the page.
        status: its status.
        frames: the origins that it may frame.
    """
    headers = {
        "content-security-policy": f"{POLICY}frame-src {frames}; frame-ancestors 'self'",
        "cache-control": "no-store",
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(content, status_code=status, headers=headers)


def go_to(path: str) -> Response:
    """Redirect the browser."""
    return RedirectResponse(path, status_code=303)


def asset(name: str) -> Response:
    """A file of the demo package."""
    content = files("passerby.demo").joinpath(name).read_bytes()
    headers = {"cache-control": "public, max-age=60", "x-content-type-options": "nosniff"}
    return Response(content, media_type=KINDS[name.rpartition(".")[2]], headers=headers)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; empty if it is too long or the browser disconnects."""
    # Parsed here, as Starlette's forms need one more package.
    body = b""
    with suppress(ClientDisconnect):
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM:
                return {}
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    return {}
