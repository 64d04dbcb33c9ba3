"""Making passerby do what a case says, over a real collector, and noting what came of it."""

from __future__ import annotations

import asyncio
import copy
import inspect
from typing import Any

from starlette.responses import Response

from passerby import Receipt
from passerby.client.edge import EdgeSDK, init_cloud_sdk, init_content_sdk
from passerby.collector import CollectorServer

from ..case import JSON
from ..javascript import to_json
from ..recorded import parse_set_cookie
from ..replay import CONDITIONS, ENOUGH, LOOKS, QUIET, error_of, make_scope, name_issued, result_of, serve_page
from ..stage import Stage
from .calls import EdgeCalls
from .case import EdgeCase
from .neutral import requests_to
from .recorded import ANSWERING_HERE, UNSEEN, in_order
from .wire import ANSWERS

SETTINGS = {
    "cloud": {
        "contextId": "sitecore_edge_context_id",
        "siteName": "site_name",
        "edgeUrl": "sitecore_edge_url",
        "enableCookie": "enable_server_cookie",
    },
    "content": {
        "contextId": "context_id",
        "siteName": "site_name",
        "edgeUrl": "edge_url",
        "enableCookie": "enable_cookie",
    },
}
BOTH = {
    "cookieDomain": "cookie_domain",
    "cookiePath": "cookie_path",
    "cookieExpiryDays": "cookie_expiry_days",
    "enablePersonalizeCookie": "enable_personalize_cookie",
    "timeout": "timeout",
}
MAKERS: dict[str, Any] = {"cloud": init_cloud_sdk, "content": init_content_sdk}
BOTS = {"cloud": "keep", "content": "tag"}
EDGE_CONDITIONS = {name: value for name, value in CONDITIONS.items() if name != "requested_at"}


def replay(case: EdgeCase, stage: Stage, expected: JSON) -> JSON:
    """What passerby does in a case. What is expected says only how long to wait."""
    with stage.collector_for(case, ANSWERS) as (collector, base):
        return asyncio.run(Replay(case, stage, collector, base, expected).run())


class Replay:
    """One case on its collector."""

    def __init__(self, case: EdgeCase, stage: Stage, collector: CollectorServer, base: str, expected: JSON) -> None:
        self.case = case
        self.stage = stage
        self.collector = collector
        self.base = base
        self.expected = expected
        self.made: list[EdgeSDK] = []
        self._issued_before = len(collector.browser_ids)

    async def run(self) -> JSON:
        visits = [
            VisitReplay(self, one, expected)
            for (_, one), expected in zip(self.case.visits, self.expected["visits"], strict=True)
        ]
        try:
            await self._perform(visits)
            await self._settle(visits)
            is_balanced = all(sdk.tracking.stats().destinations["sitecore"].is_balanced for sdk in self.made)
        finally:
            for sdk in self.made:
                sdk.tracking.close(0)
        outcome: JSON = {
            "visits": [visit.outcome() for visit in visits],
            "sent": self.sent(),
            "is_balanced": is_balanced,
        }
        return name_issued(outcome, self.case, self.collector.browser_ids[self._issued_before :])

    async def _perform(self, visits: list[VisitReplay]) -> None:
        sdk: EdgeSDK | None = None
        try:
            sdk = self.make(self.case.chosen)
        except Exception as error:
            for visit in visits:
                visit.refuse(error_of(error))
            return
        if self.case.is_overlapping:
            running: list[asyncio.Task[None]] = []
            for visit, (start, _) in zip(visits, self.case.visits, strict=True):
                running.append(asyncio.create_task(visit.run(sdk, start, tuple(running))))
            await asyncio.gather(*running)
        else:
            for visit in visits:
                await visit.run(sdk)

    def make(self, chosen: JSON) -> EdgeSDK:
        """The object that an app would make with these settings, which goes to the collector."""
        names = SETTINGS[self.case.sdk] | BOTH
        maker = MAKERS[self.case.sdk]
        required = {names[name]: None for name in ("contextId", "siteName")}
        given = {names[name]: self._adapted(name, value) for name, value in chosen.items() if name in names}
        given.setdefault(names["edgeUrl"], self.base)  # `sent` says whether the default is right
        conditions = EDGE_CONDITIONS | {"bots": BOTS[self.case.sdk], "infer_from_request": self.case.is_in_browser}
        sdk: EdgeSDK = maker(**(required | given | conditions))
        self.made.append(sdk)
        return sdk

    def _adapted(self, name: str, value: Any) -> Any:
        if name == "timeout" and isinstance(value, int | float) and not isinstance(value, bool):
            return value / 1000
        return self.stage.fill_in(value, self.base) if name == "edgeUrl" else value

    async def _settle(self, visits: list[VisitReplay]) -> None:
        """Wait for the requests that are expected, and a moment for those that are not."""
        expected = self.expected["sent"] or ()
        number = sum(2 if "again" in sent else 1 for sent in expected)
        for _ in range(LOOKS):
            if len(self.sent()) >= number:
                break
            await asyncio.sleep(ENOUGH / LOOKS)
        waiting = [one for visit in visits for one in visit.receipts if "pending" in one[0]["result"]]
        if waiting:
            await asyncio.sleep(QUIET)
        for step, receipt in waiting:
            step["result"] = result_of(receipt.outcomes["sitecore"])

    def sent(self) -> list[JSON]:
        requests = requests_to(self.case, self.collector, self.base)
        if "edgeUrl" in self.case.chosen:
            return requests
        name = SETTINGS[self.case.sdk]["edgeUrl"]
        default = inspect.signature(MAKERS[self.case.sdk]).parameters[name].default
        return [one | {"host": default} for one in requests]


class VisitReplay:
    """One request of a case."""

    def __init__(self, replay: Replay, case: EdgeCase, expected: JSON) -> None:
        self.replay = replay
        self.case = case
        self.expected = expected
        self.scope = make_scope(case)
        self.response = Response()
        for line in case.set_cookie_before:
            self.response.raw_headers.append((b"set-cookie", line.encode("latin-1")))
        self.steps: list[JSON] = []
        self.receipts: list[tuple[JSON, Receipt]] = []
        self._earlier: tuple[asyncio.Task[None], ...] = ()

    def refuse(self, error: JSON) -> None:
        """Note that no object could be made."""
        self.steps = [{"call": "initialize", "error": error, "result": {}}]

    async def run(self, sdk: EdgeSDK, start: float = 0.0, earlier: tuple[asyncio.Task[None], ...] = ()) -> None:
        """Make the calls, from some seconds on, while the visits that have begun before may be under way."""
        self._earlier = earlier
        await asyncio.sleep(start)
        if self.case.is_in_browser:
            await self._serve_page(sdk)
        else:
            for call, args in self.case.steps:
                await self._step(sdk, call, args)

    async def _serve_page(self, sdk: EdgeSDK) -> None:
        async def make_calls() -> None:
            for call, args in self.case.steps:
                await self._step(sdk, call, args)

        await serve_page(sdk.tracking, self.scope, self.response, make_calls)

    async def _step(self, sdk: EdgeSDK, call: str, args: JSON) -> None:
        if call == "wait":
            await asyncio.sleep(args["ms"] / 1000)
            await asyncio.gather(*self._earlier)  # as recorded: over by then, and not so on a slow machine
            return
        step: JSON = {"call": call, "error": None, "result": {}}
        self.steps.append(step)
        given = copy.deepcopy(args)
        try:
            other = self.replay.make(self.case.chosen_of(args["settings"])) if "settings" in args else sdk
            came = await EdgeCalls(other, self.scope, self.response).make(call, given)
        except Exception as error:
            step["error"] = error_of(error)
        else:
            if call in ANSWERING_HERE:
                step["result"] = await self._result(step, came)
            if call == "processEventQueue" and not self._is_blocked:
                await sdk.tracking.aflush(ENOUGH)
        if self.case.is_in_browser:
            step["held"] = sdk.tracking.stats().destinations["sitecore"].held
        if to_json(given) != to_json(args):
            step["args_after"] = to_json(given)

    async def _result(self, step: JSON, came: Any) -> JSON:
        """What comes of a call; of an event as soon as that is known, or pending where that is expected."""
        if not isinstance(came, Receipt):
            return {"answer": came}
        self.receipts.append((step, came))
        position = len(self.steps) - 1
        expected = self.expected["steps"]
        is_pending = position >= len(expected) or "pending" in expected[position]["result"]
        outcomes = await came.delivered(0 if is_pending else ENOUGH)
        return result_of(outcomes["sitecore"]) if outcomes else {"dropped": "no destination"}

    @property
    def _is_blocked(self) -> bool:
        return any("again" in sent for sent in self.replay.expected["sent"] or ())

    def outcome(self) -> JSON:
        before = self.case.set_cookie_before
        lines = [value.decode("latin-1") for name, value in self.response.raw_headers if name == b"set-cookie"]
        cookies = [value.decode("latin-1") for name, value in self.scope["headers"] if name == b"cookie"]
        return {
            "steps": [step for step in self.steps if step["call"] not in UNSEEN],
            "cookies": in_order(parse_set_cookie(line) for line in lines if line not in before),
            "kept": [line for line in lines if line in before],
            "request_cookie": cookies[0].encode("latin-1").decode() if cookies else None,
        } | self._known_id()

    def _known_id(self) -> JSON:
        """What the request's tracker knows, where that is asked for."""
        if "known_id" not in self.expected or not self.replay.made:
            return {}
        return {"known_id": self.replay.made[0].tracking.tracker_for(self.scope).browser_id}
