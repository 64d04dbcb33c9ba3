"""Making passerby do what a case says, over a real collector, and noting what came of it."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from passerby import Dead, Delivered, Dropped, PasserbyError, Pending, Receipt, Tracker, Tracking, init_server
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.collector.scripted import Scripted
from passerby.request import TRACKER_KEY

from .case import JSON, Case
from .javascript import is_truthy, trim_url
from .recorded import COMPARED_HEADERS, parse_set_cookie
from .reference import ISSUED, UNSCRIPTED

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
    "infer": False,
    "requested_at": False,
    "cookie_same_site": "none",
    "cookie_secure": True,
    "gpc": "ignore",
    "bots": "keep",
    "skipped_paths": (),
    "spare_browser_ids": 0,
    "mint_timeout": 5.0,
    "retry_base": 0.01,
    "retry_cap": 0.05,
}
ENOUGH = 5.0  # seconds for what is expected to happen
QUIET = 0.05  # seconds in which nothing more is expected to happen


class Stage:
    """Collectors to replay cases on, in turn: what a case leaves on its way cannot reach the next one."""

    def __init__(self, size: int = 4) -> None:
        self._collectors = [CollectorServer(accept_any_browser_id=True) for _ in range(size)]
        self._turns = itertools.count()
        self._closed = socket.socket()

    def __enter__(self) -> Stage:
        self._closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        for collector in self._collectors:
            collector.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for collector in self._collectors:
            collector.close()
        self._closed.close()

    @contextmanager
    def collector_for(self, case: Case) -> Iterator[tuple[CollectorServer, str]]:
        """A collector that answers as the case says, and the base URL of the case on it."""
        turn = next(self._turns)
        collector = self._collectors[turn % len(self._collectors)]
        base = f"{collector.url}/case-{turn}"
        unscripted = {route: [answer] for route, answer in UNSCRIPTED.items() if route != "create"}
        for route, answers in (unscripted | dict(case.server)).items():
            collector.script(route, [_scripted(answer, base) for answer in answers])  # type: ignore[arg-type]
        yield collector, base
        collector.behave()

    def fill_in(self, text: Any, base: str) -> Any:
        """Put addresses in the place of {MOCK} and {CLOSED}."""
        if not isinstance(text, str):
            return text
        return text.replace("{MOCK}", base).replace("{CLOSED}", f"http://127.0.0.1:{self._closed.getsockname()[1]}")


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
            settings |= {"infer": True, "force_server_cookie_mode": True}
        return init_server(**settings)

    async def _perform(self, tracking: Tracking) -> None:
        if self.case.is_in_browser:
            await self._serve_page(tracking)
        else:
            for call, args in self.case.steps:
                await self._step(ServerCalls(self, tracking), call, args)
        await self._settle()

    async def _serve_page(self, tracking: Tracking) -> None:
        """Run the steps of a page where its view would: below the middleware."""

        async def view(scope: Any, receive: Any, send: Any) -> None:
            for call, args in self.case.steps:
                await self._step(PageCalls(self, tracking, scope["state"]["tracker"]), call, args)
            await self.response(scope, receive, send)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.response.raw_headers = list(message["headers"])

        await TrackingMiddleware(view, tracking=tracking)(self.scope, _receive, send)

    async def _step(self, calls: Any, call: str, args: JSON) -> None:
        step: JSON = {"call": call, "error": None, "result": {}}
        try:
            step["result"] = await getattr(calls, call)(step, args) or {}
        except Exception as error:
            step["error"] = error_of(error)
        step["held"] = calls.tracking.stats().destinations["sitecore"].held
        if call != "wait":
            self.steps.append(step)

    async def wait_for(self, receipt: Receipt) -> JSON:
        """What becomes of an event, as soon as that is known, or pending where that is expected."""
        outcome = (await receipt.delivered(0 if self._is_pending_expected() else ENOUGH))["sitecore"]
        return result_of(outcome)

    def _is_pending_expected(self) -> bool:
        steps = self.expected["steps"]
        position = len(self.steps)
        return position >= len(steps) or "pending" in steps[position]["result"] or self._is_blocked()

    def _is_blocked(self) -> bool:
        return any("again" in sent for sent in self.expected["sent"] or ())

    async def _settle(self) -> None:
        """Wait for the requests that are expected, and a moment for those that are not."""
        expected = self.expected["sent"] or ()
        number = sum(2 if "again" in sent else "maybe" not in sent for sent in expected)
        with suppress(TimeoutError):
            async with asyncio.timeout(ENOUGH):
                while len(self._received()) < number:
                    await asyncio.sleep(0.002)
        for step, receipt in self.receipts:
            if "pending" in step["result"]:
                await asyncio.sleep(QUIET)
                step["result"] = result_of(receipt.outcomes["sitecore"])

    def _received(self) -> list[JSON]:
        return received(self.collector, self.base)

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
            "sent": self._received(),
            "is_balanced": is_balanced,
        }
        return self._name_issued(outcome)

    def _name_issued(self, value: Any) -> Any:
        """Put a name in the place of IDs that the collector made up."""
        scripted = str(self.case.server)
        issued = [one for one in self.collector.browser_ids[self._issued_before :] if one not in scripted]
        names = {one: ISSUED if number == 0 else f"{ISSUED[:-1]} {number + 1}>" for number, one in enumerate(issued)}
        return _replace(value, names) if names else value


def received(collector: CollectorServer, base: str) -> list[JSON]:
    """The requests that a case sent to its base URL."""
    prefix = base.removeprefix(collector.url)
    return [
        {
            "method": one.method,
            "path": one.path.removeprefix(prefix),
            "headers": {name: one.headers.get(name) for name in COMPARED_HEADERS},
            "body": one.json,
        }
        for one in collector.requests
        if one.path.startswith(prefix + "/")
    ]


class ServerCalls:
    """The calls of `initServer`, on the server object."""

    def __init__(self, replay: Replay, tracking: Tracking) -> None:
        self.replay = replay
        self.tracking = tracking
        self.scope = replay.scope

    async def handleCookie(self, step: JSON, args: JSON) -> None:  # noqa: N802 - the SDK's name, as all below
        await self.tracking.handle_cookie(self.scope, self.replay.response, **_timeout(args))

    async def pageView(self, step: JSON, args: JSON) -> JSON:  # noqa: N802
        return await self._told(step, self.tracking.page_view(args.get("eventData"), self.scope, args.get("extensionData")))

    async def identity(self, step: JSON, args: JSON) -> JSON:
        return await self._told(step, self.tracking.identity(args.get("eventData"), self.scope, args.get("extensionData")))  # type: ignore[arg-type]

    async def event(self, step: JSON, args: JSON) -> JSON:
        receipt = self.tracking.event(args.get("type"), args.get("eventData"), self.scope, args.get("extensionData"))  # type: ignore[arg-type]
        return await self._told(step, receipt)

    async def personalize(self, step: JSON, args: JSON) -> JSON:
        data: Any = args.get("personalizeData")
        return {"answer": await self.tracking.personalize(data, self.scope, **_timeout(args))}

    async def _told(self, step: JSON, receipt: Receipt) -> JSON:
        self.replay.receipts.append((step, receipt))
        return await self.replay.wait_for(receipt)


class PageCalls:
    """The calls of `init`, on the tracker of a page's request."""

    def __init__(self, replay: Replay, tracking: Tracking, tracker: Tracker) -> None:
        self.replay = replay
        self.tracking = tracking
        self.tracker = tracker

    async def pageView(self, step: JSON, args: JSON) -> JSON:  # noqa: N802
        return await self._told(step, self.tracker.page_view(args.get("eventData"), args.get("extensionData")), args)

    async def identity(self, step: JSON, args: JSON) -> JSON:
        return await self._told(step, self.tracker.identity(args.get("eventData"), args.get("extensionData")), args)  # type: ignore[arg-type]

    async def event(self, step: JSON, args: JSON) -> JSON:
        receipt = self.tracker.event(args.get("type"), args.get("eventData"), args.get("extensionData"))  # type: ignore[arg-type]
        return await self._told(step, receipt, args)

    async def personalize(self, step: JSON, args: JSON) -> JSON:
        data: Any = args.get("personalizeData")
        return {"answer": await self.tracker.personalize(data, **_timeout(args))}

    async def getBrowserId(self, step: JSON, args: JSON) -> JSON:  # noqa: N802
        return {"answer": self.tracker.browser_id or ""}

    async def getGuestId(self, step: JSON, args: JSON) -> JSON:  # noqa: N802
        return {"answer": await self.tracker.guest_id()}

    async def updatePointOfSale(self, step: JSON, args: JSON) -> None:  # noqa: N802
        self.tracker.point_of_sale = args.get("pointOfSale")

    async def addToEventQueue(self, step: JSON, args: JSON) -> None:  # noqa: N802
        receipt = self.tracker.add_to_event_queue(args.get("type"), args.get("eventData"), args.get("extensionData"))  # type: ignore[arg-type]
        self.replay.receipts.append(({"result": {}}, receipt))

    async def clearEventQueue(self, step: JSON, args: JSON) -> None:  # noqa: N802
        self.tracker.clear_event_queue()

    async def processEventQueue(self, step: JSON, args: JSON) -> None:  # noqa: N802
        self.tracker.process_event_queue()
        if not args.get("background"):
            await self.settle(step, args)

    async def settle(self, step: JSON, args: JSON) -> None:
        if not self.replay._is_blocked():
            await self.tracking.aflush(ENOUGH)

    async def wait(self, step: JSON, args: JSON) -> None:
        await asyncio.sleep(args["ms"] / 1000)

    async def _told(self, step: JSON, receipt: Receipt, args: JSON) -> JSON:
        self.replay.receipts.append((step, receipt))
        return {} if args.get("background") else await self.replay.wait_for(receipt)


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


def _timeout(args: JSON) -> dict[str, Any]:
    """The timeout as passerby takes it, in seconds."""
    if "timeout" not in args:
        return {}
    timeout = args["timeout"]
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    return {"timeout": timeout / 1000 if is_number else timeout}


def _scripted(answer: JSON, base: str) -> Scripted:
    headers = {name: str(value).replace("{MOCK}", base) for name, value in answer.get("headers", {}).items()}
    return Scripted(
        status=answer.get("status", 200),
        headers=headers,
        body=answer.get("body"),
        raw=answer.get("raw"),
        delay=answer.get("delay_ms", 0) / 1000,
        stall_body=answer.get("stall_body_ms", 0) / 1000,
        reset=is_truthy(answer.get("reset")),
        truncate=is_truthy(answer.get("truncate")),
    )


def _replace(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, names) for item in value]
    if isinstance(value, str):
        for issued, name in names.items():
            value = value.replace(issued, name)
    return value


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}
