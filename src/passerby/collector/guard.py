"""Who may look at what arrived: whoever is on this machine, or knows the token."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .exchange import read_body
from .response import refuse

COOKIE = "passerby_collector"
LOGIN = "/login"
STYLE = "/page.css"  # of the form, too
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")  # a proxy speaks for somebody
MAX_FORM = 4_096  # bytes


class Guard:
    """Refuse whoever is elsewhere and knows no token, and pages elsewhere that had a name of theirs point here.

    Args:
        app: what is guarded.
        prefix: the path under which it is.
        token: what lets in those who are elsewhere; None: nothing does.
    """

    def __init__(self, app: ASGIApp, prefix: str, token: str | None = None) -> None:
        self.app = app
        self._prefix = prefix
        self._token = None if token is None else _checked(token).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = self._refuse_foreign_page(request) or await self._answer(request)
        await (answer or self.app)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """What is answered here; None: the request may pass."""
        path = request.scope["path"].removeprefix(self._prefix)
        if self._token is None or path not in (LOGIN, STYLE):
            return self._refuse_stranger(request)
        if path == STYLE:
            return None
        return await self._log_in(request, self._token) if request.method == "POST" else self._form(200)

    def _refuse_foreign_page(self, request: Request) -> Response | None:
        """Refuse what a page elsewhere has a browser do here; browsers say so, and other clients say nothing."""
        site = request.headers.get("sec-fetch-site", "none")
        if request.method in SAFE_METHODS or site in ("same-origin", "none"):
            return None
        return refuse(403, "A page elsewhere may change nothing here")

    def _refuse_stranger(self, request: Request) -> Response | None:
        if self._token is not None and self._knows_token(request, self._token):
            return None
        host = request.client.host if request.client else ""
        is_here = is_loopback_name(host) and not any(name in request.headers for name in FORWARDED)
        if is_here and is_loopback_name(_hostname(request.headers)):
            return None
        if self._token is not None:
            wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
            return self._form(401) if wants_page else refuse(401, "From elsewhere the token is needed, as a bearer's")
        if is_here:
            return refuse(403, "The control path is only found under a loopback name, such as localhost")
        return refuse(403, "The control path is for this machine only; a token would open it to others")

    def _knows_token(self, request: Request, token: bytes) -> bool:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(value.strip().encode(), token)
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), _proof_of(token))

    async def _log_in(self, request: Request, token: bytes) -> Response:
        body = await read_body(request.receive, MAX_FORM)
        given = parse_qs((body or b"")[:MAX_FORM].decode("utf-8", "replace")).get("token", [""])[-1]
        if not hmac.compare_digest(given.strip().encode(), token):
            return self._form(401, "That is not the token. Whoever started the collector knows it.")
        response = RedirectResponse(f"{self._prefix}/", 303)
        response.set_cookie(
            COOKIE,
            _proof_of(token).decode(),
            path=self._prefix,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    def _form(self, status: int, problem: str | None = None) -> Response:
        alert = f'<p class="problem" role="alert">{problem}</p>' if problem else ""
        return HTMLResponse(FORM.format(prefix=self._prefix, alert=alert), status)


FORM = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>passerby collector</title>
<link rel="stylesheet" href="{prefix}/page.css">
<link rel="icon" href="data:,">
</head>
<body class="login">
<main>
<h1>passerby collector</h1>
<p>You are on another machine than the collector. Its token lets you in.</p>
{alert}
<form method="post" action="{prefix}/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Look</button>
</form>
</main>
</body>
</html>
"""


def is_loopback_name(name: str) -> bool:
    """Whether a host, without its port, is this machine by its very name."""
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _hostname(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _proof_of(token: bytes) -> bytes:
    """What the cookie says: that the token was known, not the token."""
    return hmac.digest(token, b"passerby collector, logged in", "sha256").hex().encode()


def _checked(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            "the token is empty or has spaces or letters beyond ASCII; expected one that fits into a header"
        )
    return token
