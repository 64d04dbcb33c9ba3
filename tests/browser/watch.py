"""What no page may do: recorded during a test, and refused at its end."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, WebError

from .chromium import LOOPBACK


class Watch:
    """Notes requests to elsewhere, complaints on the console, exceptions, dialogs and crashes.

    Attributes:
        complaints: what was noted, in order.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._contexts: list[BrowserContext] = []
        self._expected: list[re.Pattern[str]] = []

    def follow(self, context: BrowserContext) -> None:
        """Watch all pages of a context."""
        self._contexts.append(context)
        context.on("request", self._see_request)
        context.on("console", self._see_console)
        context.on("weberror", self._see_error)
        context.on("dialog", self._see_dialog)
        context.on("page", self._see_page)
        for page in context.pages:
            self._see_page(page)

    def expect(self, pattern: str) -> None:
        """Take complaints of this kind as part of the test."""
        self._expected.append(re.compile(pattern))

    def end(self) -> None:
        """Close the contexts, and fail if something unexpected was recorded."""
        for context in self._contexts:
            for page in context.pages:
                page.evaluate("0")  # earlier events arrive before the result
            context.close()
        bad = [one for one in self.complaints if not any(each.search(one) for each in self._expected)]
        assert not bad, "\n".join(bad)

    def _see_request(self, request: Request) -> None:
        self._see_address(request.url)

    def _see_address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("about", "blob", "data") and parts.hostname not in LOOPBACK:
            self.complaints.append(f"request to elsewhere: {url[:200]}")

    def _see_console(self, message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        if "ERR_CONNECTION_REFUSED" in message.text and address.endswith("/favicon.svg"):
            return  # a browser asks for the icon in its own time, which may be after the collector of a test has ended
        if message.type in ("error", "assert"):
            self.complaints.append(f"console: {message.text[:500]} ({address[:200]})")

    def _see_error(self, error: WebError) -> None:
        self.complaints.append(f"exception: {error.error}")

    def _see_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.type} {dialog.message[:200]}")
        dialog.dismiss()

    def _see_page(self, page: Page) -> None:
        page.on("crash", lambda _: self.complaints.append("the page crashed"))
        page.on("websocket", lambda socket: self._see_address(socket.url))
