"""The responses of the admin API: JSON, security headers, error messages."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .json_object import json_text

# Events may contain anything. The page shows them as text; if that ever failed, this policy would still prevent
# scripts, requests and forms.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors {frame_ancestors}; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}


def respond(value: object, status: int = 200) -> Response:
    """Make a JSON response."""
    return Response(json_text(value), status, media_type="application/json")


def refuse(status: int, reason: str) -> Response:
    """Make an error response in JSON."""
    return respond({"status": status, "message": reason}, status)


class SecurityHeaders:
    """Adds security headers to all responses of an app.

    Args:
        app: the app.
        frame_ancestors: the origins whose pages may show this one in a frame, separated by spaces; None: no page.
    """

    def __init__(self, app: ASGIApp, frame_ancestors: str | None = None) -> None:
        self.app = app
        policy = POLICY.format(frame_ancestors=_checked(frame_ancestors) or "'none'")
        self._headers = {"content-security-policy": policy, **HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self.app(scope, receive, send_protected if scope["type"] == "http" else send)


def _checked(frame_ancestors: str | None) -> str | None:
    if frame_ancestors is not None and not (
        frame_ancestors.isascii() and frame_ancestors.isprintable() and not set(frame_ancestors) & set(";,")
    ):
        raise ValueError(
            f"frame_ancestors is {frame_ancestors!r}; expected origins such as http://localhost:8000, space-separated"
        )
    return frame_ancestors
