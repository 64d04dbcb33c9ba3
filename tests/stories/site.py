"""A site that a story happens on: a real app behind the middleware, and the browsers of those who come."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from passerby import Tracker, Tracking
from passerby.asgi import TrackingMiddleware
from tests.making import NAVIGATION

Page = Callable[[Tracker], object]


class Browser:
    """One browser with a cookie jar of its own."""

    def __init__(self, app: Starlette, cookie: str) -> None:
        self._client = TestClient(app, base_url="https://shop.example", headers=NAVIGATION)
        self._cookie = cookie
        self.set_cookies: list[str] = []
        self.referrer: str | None = None

    def open(self, path: str) -> None:
        """Open a page."""
        answer = self._client.get(path, headers={"referer": self.referrer} if self.referrer else None)
        assert answer.status_code == 200, answer.text
        self.set_cookies = answer.headers.get_list("set-cookie")

    def take(self, cookies: Mapping[str, str]) -> None:
        """Have these cookies, as another browser had them."""
        self._client.cookies.update(dict(cookies))

    @property
    def browser_id(self) -> str:
        """What the cookie says that the browser SDK reads too."""
        return str(self._client.cookies[self._cookie])

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self._client.cookies)


class Site:
    """A shop whose pages are what the story needs.

    Args:
        tracking: whom its visitors are told to.
        pages: by path, what a page does with the tracker of whoever opens it.
    """

    def __init__(self, tracking: Tracking, pages: Mapping[str, Page]) -> None:
        self._app = Starlette(
            routes=[Route(path, _endpoint(page)) for path, page in pages.items()],
            middleware=[Middleware(TrackingMiddleware, tracking=tracking)],
        )

    def browser(self, cookie: str = "bid_key") -> Browser:
        """A browser that has never been here; the cookie is the one with its ID."""
        return Browser(self._app, cookie)


def _endpoint(page: Page) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        page(request.state.tracker)
        return PlainTextResponse("a page")

    return endpoint
