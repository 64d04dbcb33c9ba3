"""The system's Chromium, started so that it talks to this machine only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.conftest import find_chromium

LOOPBACK = ("127.0.0.1", "localhost")
SWITCHES = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # No name leads anywhere but to this machine. Playwright's own way of stopping requests would also answer the
    # browser's questions whether it may call another origin, which are to be answered by who is asked.
    f"--host-resolver-rules=MAP * ~NOTFOUND, {', '.join(f'EXCLUDE {name}' for name in LOOPBACK)}",
)


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=SWITCHES,
            chromium_sandbox=os.geteuid() != 0,  # it refuses to have one as root
        )
        try:
            yield browser
        finally:
            browser.close()


def user_agent_of(browser: Browser) -> str:
    """What it says of itself with a window. Without one it is HeadlessChrome, a bot's name, and not tracked."""
    engine = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{browser.version} Safari/537.36"
    return f"Mozilla/5.0 (X11; Linux x86_64) {engine}"
