"""Access to the live page and the admin API: from this machine, or with the token."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .json_response import refuse
from .request_handler import read_body

COOKIE = "passerby_collector"
LOGIN = "/login"
STYLE = "/page.css"  # of the form, too
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")  # set by proxies
MAX_FORM = 4_096  # bytes


class AccessControl:
    """Refuses requests from other machines without the token, and from pages of other origins.

    Args:
        app: the protected app.
        prefix: its path.
        token: gives access from other machines; None: only this machine has access.
    """

    def __init__(self, app: ASGIApp, prefix: str, token: str | None = None) -> None:
        self.app = app
        self._prefix = prefix
        self._token = None if token is None else _checked(token).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = self._refuse_foreign_page(request) or await self._check(request)
        await (answer or self.app)(scope, receive, send)

    async def _check(self, request: Request) -> Response | None:
        """Return the response of a refused request or of the log-in form; None if the request may pass."""
        path = request.scope["path"].removeprefix(self._prefix)
        if self._token is None or path not in (LOGIN, STYLE):
            return self._refuse_remote(request)
        if path == STYLE:
            return None
        return await self._log_in(request, self._token) if request.method == "POST" else self._form(200)

    def _refuse_foreign_page(self, request: Request) -> Response | None:
        """Refuse changes by pages of other origins, which browsers mark with Sec-Fetch-Site."""
        site = request.headers.get("sec-fetch-site", "none")
        if request.method in SAFE_METHODS or site in ("same-origin", "none"):
            return None
        return refuse(403, "pages of other origins may not change anything here")

    def _refuse_remote(self, request: Request) -> Response | None:
        if self._token is not None and self._has_token(request, self._token):
            return None
        host = request.client.host if request.client else ""
        is_here = is_loopback_name(host) and not any(name in request.headers for name in FORWARDED)
        if is_here and is_loopback_name(_hostname(request.headers)):
            return None
        if self._token is not None:
            wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
            return (
                self._form(401)
                if wants_page
                else refuse(401, "from other machines the token is required: Authorization: Bearer TOKEN")
            )
        if is_here:
            return refuse(403, "the admin API is only available under a loopback name, such as localhost")
        return refuse(403, "the admin API is for this machine only; set a token to allow others")

    def _has_token(self, request: Request, token: bytes) -> bool:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(value.strip().encode(), token)
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), _proof_of(token))

    async def _log_in(self, request: Request, token: bytes) -> Response:
        body = await read_body(request.receive, MAX_FORM)
        given = parse_qs((body or b"")[:MAX_FORM].decode("utf-8", "replace")).get("token", [""])[-1]
        if not hmac.compare_digest(given.strip().encode(), token):
            return self._form(401, "Wrong token. Use the token with which the collector was started.")
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
<p>The collector runs on another machine. Enter its token.</p>
{alert}
<form method="post" action="{prefix}/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
</main>
</body>
</html>
"""


def is_loopback_name(name: str) -> bool:
    """Whether a host without its port is a loopback name or address."""
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
    """The cookie's value: proves that the token was known, without containing it."""
    return hmac.digest(token, b"passerby collector, logged in", "sha256").hex().encode()


def _checked(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token is empty or has spaces or letters beyond ASCII; expected ASCII without spaces")
    return token
