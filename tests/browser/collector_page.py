"""The collector's live page, as a user sees it."""

from __future__ import annotations

import re
from typing import Any, Literal

from playwright.sync_api import Locator, Page, expect

View = Literal["stream", "visitors", "health"]

VIEWS: tuple[View, ...] = ("stream", "visitors", "health")


class CollectorPage:
    """The page, open in a browser.

    Attributes:
        page: the browser's own.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = f"{url}/_collector/"

    def open(self, route: str = "stream") -> None:
        """Open it at a route such as "visitors/datalyr", and wait until it is connected."""
        self.page.goto("about:blank")  # another hash alone would load nothing
        self.page.goto(f"{self._url}#{route}")
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")

    def show(self, view: View) -> None:
        """Change to a view by its tab."""
        self.page.locator(f"#tab-{view}").click()
        expect(self.page.locator(f"#view-{view}")).to_be_visible()

    @property
    def rows(self) -> Locator:
        """The lines of the stream, newest first."""
        return self.page.locator("#stream-rows > li")

    def expect_count(self, count: int) -> None:
        """Wait until so many events are counted, with whatever is filtered out."""
        expect(self.page.locator("#stream-count")).to_have_text(re.compile(rf"(?:of )?\b{count:,} events?$"))

    def filter(self, **settings: str) -> None:
        """Fill in the stream's filter: text, visitor, system, type, outcome."""
        for name, value in settings.items():
            field = self.page.locator(f"#filter-{name}")
            if name in ("text", "visitor"):
                field.fill(value)
            else:
                field.select_option(value)

    @property
    def details(self) -> Locator:
        """The request and its answer, where they are open."""
        return self.page.locator("#details")

    def evaluate(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.page.evaluate(script, *arguments)
