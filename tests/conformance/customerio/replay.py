"""Making passerby do what a case says, over a real collector, and noting what came of it."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from passerby import CustomerIO, Dead, Delivered, PasserbyError, Receipt, Tracker, Tracking
from passerby.collector import CollectorServer
from passerby.collector.collected_request import CollectedRequest

from ..case import JSON
from ..stage import Stage
from .case import Call, Case
from .ours import BROWSER, screen_properties
from .recorded import HEADERS, IN_TURN, merged

ENOUGH = 30.0  # seconds for what is expected to happen; it comes at once, but for a machine that is busy with much else
QUIET = 0.02  # seconds in which nothing more is expected to happen
MAX_REQUEST = 500_000
_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").fullmatch
_is_uuid7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch


def replay(case: Case, stage: Stage, expected: JSON) -> JSON:
    """What passerby does in a case. What is expected says only how long to wait."""
    with stage.collector_for(case) as (collector, base):
        return Replay(case, collector, base, expected).run()


class Replay:
    """One case on its collector."""

    def __init__(self, case: Case, collector: CollectorServer, base: str, expected: JSON) -> None:
        self.case = case
        self.collector = collector
        self.base = base
        self.expected = expected
        self.names: dict[str, str] = {}
        self.calls: list[str] = []
        self.receipts: list[Receipt] = []
        self.callers_context: Any = None

    def run(self) -> JSON:
        try:
            tracking = self._make_tracking()
        except PasserbyError:
            return self._outcome("refused", is_balanced=True)
        try:
            for call in self.case.calls:
                self._perform(tracking, call)
            self._settle()
            return self._outcome("made", is_balanced=tracking.stats().destinations["customerio"].is_balanced)
        finally:
            tracking.close(0)

    def _make_tracking(self) -> Tracking:
        target = self.base + self.case.client.get("host_suffix", "")
        destination = CustomerIO(write_key=self.case.write_key, target_url=target, gzip=self.case.uses_gzip)
        return Tracking(
            destination, secret_key="signs cookies", infer_from_request=False, retry_base=0.01, retry_cap=0.05
        )

    def _perform(self, tracking: Tracking, call: Call) -> None:
        args = copy.deepcopy(dict(call.args))
        try:
            self.receipts.append(perform(tracking, call.name, args, self._browser_of(args)))
            self.calls.append("taken")
        except PasserbyError:
            self.calls.append("refused")
        if "callers_context" in self.expected:
            self.callers_context = args.get("context")

    def _browser_of(self, args: JSON) -> str:
        """A browser ID for what a case calls an anonymous ID: passerby knows UUIDs only."""
        name = str(args["anonymous_id"]) if args.get("anonymous_id") else BROWSER
        browser_id = str(uuid5(NAMESPACE_URL, f"{name} {args.get('user_id') or args.get('message_id')}"))
        self.names[browser_id] = name
        return browser_id

    def _settle(self) -> None:
        """Wait until each call has ended, or is tried again where that is expected, and a moment for what is not."""
        until = time.monotonic() + ENOUGH
        while time.monotonic() < until and not self._is_settled():
            time.sleep(0.002)
        time.sleep(QUIET)

    def _is_settled(self) -> bool:
        if "pending" in self.expected["ends"]:
            return all(one["tries"] == "again" for one in merged(self._requests())) and bool(self._requests())
        return all(self._end(receipt) != "pending" for receipt in self.receipts)

    def _end(self, receipt: Receipt) -> str:
        outcome = receipt.outcomes["customerio"]
        return "delivered" if isinstance(outcome, Delivered) else "dead" if isinstance(outcome, Dead) else "pending"

    def _outcome(self, client: str, *, is_balanced: bool) -> JSON:
        requests = self._requests()
        outcome: JSON = {
            "client": client,
            "calls": self.calls,
            "sent": merged(requests),
            "grouping": self._grouping(requests),
            "ends": [self._end(receipt) for receipt in self.receipts],
            "is_balanced": is_balanced,
        }
        if self.case.status_at(0) == 400 and len(self.calls) > 1:  # how a batch is divided hangs on what waited
            for one in outcome["sent"]:
                one["tries"] = "once or again"
        return outcome if self.callers_context is None else outcome | {"callers_context": self.callers_context}

    def _grouping(self, requests: list[tuple[JSON, list[JSON]]]) -> Any:
        numbers = [len(messages) for _, messages in requests]
        if len(merged(requests)) <= 1:
            return numbers[:1] if self.case.replies else numbers
        sizes = [len(one.body) for one in self._received()]
        return IN_TURN if max(numbers) <= 100 and max(sizes) <= MAX_REQUEST else [numbers, sizes]

    def _received(self) -> list[CollectedRequest]:
        prefix = self.base.removeprefix(self.collector.url)
        return [one for one in self.collector.requests if one.path.startswith(f"{prefix}/")]

    def _requests(self) -> list[tuple[JSON, list[JSON]]]:
        prefix = self.base.removeprefix(self.collector.url)
        return [
            (
                {"path": one.path.removeprefix(prefix), **{name: one.headers.get(name) for name in HEADERS}},
                [self._neutral(message) | {"beside the batch": {}} for message in one.messages],
            )
            for one in self._received()
        ]

    def _neutral(self, message: JSON) -> JSON:
        """The message with names in the place of what differs from run to run, once its form is seen to be right."""
        made = dict(message)
        if made.get("anonymousId") in self.names:
            made["anonymousId"] = self.names[made["anonymousId"]]
        if not self.case.calls[0].has_time and _is_time(made["timestamp"]):
            made["timestamp"] = "<timestamp>"
        if not self.case.calls[0].has_id and _is_uuid7(made["messageId"]):
            made["messageId"] = "<uuid7>"
        return made


def perform(tracking: Tracking, name: str, args: Mapping[str, Any], browser_id: str) -> Receipt:
    """Make a call of Customer.io's SDKs on a tracker."""
    user_id = args.get("user_id")
    tracker = tracking.for_visitor(browser_id, None if user_id is None else str(user_id))
    options: Any = options_of(args)
    if name == "identify":
        if user_id is None:
            return tracker.identity({}, args.get("traits"), **options)
        return tracker.identify(user_id, args.get("traits"), **options)
    if name == "track":
        return tracker.event(args.get("event"), args.get("properties"), **options)  # type: ignore[arg-type]
    make: Callable[[Tracker, Mapping[str, Any], Any], Receipt] = _PERFORM[name]
    return make(tracker, args, options)


def _page(tracker: Tracker, args: Mapping[str, Any], options: Any) -> Receipt:
    data = {"page": args.get("name"), "category": args.get("category")}
    given = {name: value for name, value in data.items() if value is not None}
    return tracker.page_view(given, args.get("properties"), **options)


def _screen(tracker: Tracker, args: Mapping[str, Any], options: Any) -> Receipt:
    return tracker.screen(args.get("name"), screen_properties(args), **options)  # type: ignore[arg-type]


_PERFORM: dict[str, Any] = {
    "page": _page,
    "group": lambda tracker, args, options: tracker.group(args.get("group_id"), args.get("traits"), **options),
    "screen": _screen,
    "alias": lambda tracker, args, options: tracker.alias(args.get("previous_id"), **options),
}


def options_of(args: Mapping[str, Any]) -> JSON:
    """The arguments that all calls take, under passerby's names."""
    options = {
        "timestamp": args.get("timestamp"),
        "event_id": None if args.get("message_id") is None else str(args["message_id"]),
        "integrations": args.get("integrations"),
        "context": context_of(args["context"]) if args.get("context") else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def context_of(context: Mapping[str, Any]) -> JSON:
    """The context as it is, but for the library: who sends is not for the app to say."""
    return {name: value for name, value in context.items() if name != "library"}
