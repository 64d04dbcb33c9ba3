"""Making passerby do what a case says, over a real collector, and noting what came of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from passerby import Dead, Delivered, Dropped, PasserbyError, Pending, Receipt, Tracker, Tracking, init_server
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.http.request import TRACKER_KEY

from .calls import PageCalls, ServerCalls
from .case import JSON, Case
from .javascript import trim_url
from .recorded import ANSWERING, parse_set_cookie
from .server import ISSUED
from .stage import Stage, received

SETTINGS = {
    "clientKey": "client_key",
    "targetURL": "target_url",
    "pointOfSale": "point_of_sale",
    "cookieDomain": "cookie_domain",
    "cookiePath": "cookie_path",
    "cookieExpiryDays": "cookie_expiry_days",
    "forceServerCookieMode": "force_server_cookie_mode",
    "includeUTMParameters": "include_utm_parameters",
}
CONDITIONS: JSON = {
    "infer_from_request": False,
    "requested_at": False,
    "cookie_same_site": "none",
    "cookie_secure": True,
    "gpc": "ignore",
    "bots": "keep",
    "ignored_paths": (),
    "browser_id_pool_size": 0,
    "browser_id_timeout": 5.0,
    "retry_base": 0.01,
    "retry_cap": 0.05,
}
ENOUGH = 5.0  # seconds for what is expected to happen
LOOKS = 2000  # how often to look whether it has
QUIET = 0.05  # seconds in which nothing more is expected to happen


def replay(case: Case, stage: Stage, expected: JSON) -> JSON:
    """What passerby does in a case. What is expected says only how long to wait."""
    with stage.collector_for(case) as (collector, base):
        return Replay(case, collector, base, expected).run(stage)


class Replay:
    """One case on its collector."""

    def __init__(self, case: Case, collector: CollectorServer, base: str, expected: JSON) -> None:
        self.case = case
        self.collector = collector
        self.base = base
        self.expected = expected
        self.scope = make_scope(case)
        self.response = Response()
        for line in case.response.get("set_cookie", ()):
            self.response.raw_headers.append((b"set-cookie", line.encode("latin-1")))
        self.steps: list[JSON] = []
        self.receipts: list[tuple[JSON, Receipt]] = []
        self._issued_before = len(collector.browser_ids)

    def run(self, stage: Stage) -> JSON:
        try:
            tracking = self._make_tracking(stage)
        except Exception as error:
            return self._outcome(error_of(error), None, is_balanced=True)
        try:
            asyncio.run(self._perform(tracking))
        finally:
            tracking.close(0)
        is_balanced = tracking.stats().destinations["sitecore"].is_balanced
        return self._outcome(None, self.scope.get(TRACKER_KEY), is_balanced=is_balanced)

    def _make_tracking(self, stage: Stage) -> Tracking:
        given = {SETTINGS[name]: value for name, value in (self.case.settings or {}).items() if name in SETTINGS}
        settings = {"client_key": None, "target_url": None} | given | CONDITIONS
        settings["target_url"] = stage.fill_in(settings["target_url"], self.base)
        if self.case.is_in_browser:
            settings |= {"infer_from_request": True, "force_server_cookie_mode": True}
        return init_server(**settings)

    async def _perform(self, tracking: Tracking) -> None:
        if self.case.is_in_browser:
            await self._serve_page(tracking)
        else:
            for call, args in self.case.steps:
                await self._step(tracking, ServerCalls(tracking, self.scope, self.response), call, args)
        await self._settle()

    async def _serve_page(self, tracking: Tracking) -> None:
        async def make_calls() -> None:
            for call, args in self.case.steps:
                await self._step(tracking, PageCalls(self.scope["state"]["tracker"]), call, args)

        await serve_page(tracking, self.scope, self.response, make_calls)

    async def _step(self, tracking: Tracking, calls: ServerCalls | PageCalls, call: str, args: JSON) -> None:
        if call == "wait":
            await asyncio.sleep(args["ms"] / 1000)
            return
        step: JSON = {"call": call, "error": None, "result": {}}
        try:
            came = None if call == "settle" else await getattr(calls, call)(args)
        except Exception as error:
            step["error"] = error_of(error)
        else:
            step["result"] = await self._result(step, came, args)
            if call in ("settle", "processEventQueue") and not args.get("background") and not self._is_blocked():
                await tracking.aflush(ENOUGH)
        step["held"] = tracking.stats().destinations["sitecore"].held
        self.steps.append(step)

    async def _result(self, step: JSON, came: Any, args: JSON) -> JSON:
        """What comes of a call; of an event as soon as that is known, or pending where that is expected."""
        if isinstance(came, Receipt):
            self.receipts.append((step, came))
        if step["call"] not in ANSWERING or args.get("background"):
            return {}
        if not isinstance(came, Receipt):
            return {"answer": came}
        patience = 0 if self._is_pending_expected() else ENOUGH
        return result_of((await came.delivered(patience))["sitecore"])

    def _is_pending_expected(self) -> bool:
        steps, position = self.expected["steps"], len(self.steps)
        return position >= len(steps) or "pending" in steps[position]["result"]

    def _is_blocked(self) -> bool:
        return any("again" in sent for sent in self.expected["sent"] or ())

    async def _settle(self) -> None:
        """Wait for the requests that are expected, and a moment for those that are not."""
        expected = self.expected["sent"] or ()
        number = sum(2 if "again" in sent else 1 for sent in expected)
        for _ in range(LOOKS):
            if len(received(self.collector, self.base)) >= number:
                break
            await asyncio.sleep(ENOUGH / LOOKS)
        waiting = [(step, receipt) for step, receipt in self.receipts if "pending" in step["result"]]
        if waiting:
            await asyncio.sleep(QUIET)
        for step, receipt in waiting:
            step["result"] = result_of(receipt.outcomes["sitecore"])

    def _outcome(self, init: JSON | None, tracker: Tracker | None, *, is_balanced: bool) -> JSON:
        earlier = self.case.response.get("set_cookie", [])
        lines = [value.decode("latin-1") for name, value in self.response.raw_headers if name == b"set-cookie"]
        cookies = [value.decode("latin-1") for name, value in self.scope["headers"] if name == b"cookie"]
        outcome = {
            "init": init,
            "steps": self.steps,
            "cookies": [parse_set_cookie(line) for line in lines if line not in earlier],
            "kept": [line for line in lines if line in earlier],
            "request_cookie": cookies[0].encode("latin-1").decode() if cookies else None,
            "known_id": tracker.browser_id if tracker is not None else None,
            "sent": received(self.collector, self.base),
            "is_balanced": is_balanced,
        }
        return name_issued(outcome, self.case, self.collector.browser_ids[self._issued_before :])


def make_scope(case: Case) -> dict[str, Any]:
    """The ASGI scope of a case's request, as a server would make it."""
    url = trim_url(case.url).partition("#")[0]
    absolute = re.match(r"([a-z][a-z0-9+.-]*)://([^/?]*)", url, re.IGNORECASE)
    scheme, host = (absolute[1].lower(), absolute[2]) if absolute else ("https", "shop.example")
    path, _, query = (url[absolute.end() :] if absolute else url).partition("?")
    headers = {"host": host or "shop.example"} | case.headers
    if case.cookie_header is not None:
        headers["cookie"] = case.cookie_header
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": scheme,
        "path": unquote(path) or "/",
        "raw_path": (path or "/").encode(),
        "query_string": query.encode("utf-8", "surrogatepass"),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 50_000),
        "server": ("shop.example", 443),
    }


async def serve_page(
    tracking: Tracking, scope: dict[str, Any], response: Response, make_calls: Callable[[], Awaitable[None]]
) -> None:
    """Make the calls of a page where its view would: below the middleware. The response gets the headers in the end."""

    async def view(scope: Any, receive: Any, send: Any) -> None:
        await make_calls()
        await response(scope, receive, send)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            response.raw_headers = list(message["headers"])

    await TrackingMiddleware(view, tracking=tracking)(scope, receive, send)


def name_issued(outcome: JSON, case: Case, browser_ids: Sequence[str]) -> JSON:
    """Put a name in the place of IDs that the collector made up."""
    scripted = str(case.server)
    issued = [one for one in browser_ids if one not in scripted]
    names = {one: ISSUED if number == 0 else f"{ISSUED[:-1]} {number + 1}>" for number, one in enumerate(issued)}
    return {name: replaced(value, names) for name, value in outcome.items()} if names else outcome


def result_of(outcome: Delivered | Dead | Dropped | Pending) -> JSON:
    match outcome:
        case Delivered(answer):
            return {"answer": answer}
        case Dead():
            return {"dead": True}
        case Dropped(reason):
            return {"dropped": reason}
        case Pending():
            return {"pending": True}


def error_of(error: Exception) -> JSON:
    code = error.code if isinstance(error, PasserbyError) else None
    return {"code": code, "text": str(error), "class": type(error)}


def replaced(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: replaced(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, names) for item in value]
    if isinstance(value, str):
        for issued, name in names.items():
            value = value.replace(issued, name)
    return value
