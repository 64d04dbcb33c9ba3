"""What one tracking call costs the handler that makes it, beside the same call of Segment's client.

Each of passerby's calls is the first of its request, so that reading the request's context is part of it; the
request's tracker is there before, as it is in a handler. Segment's client is told not to send (`send=False`), so that
its thread does not compete; passerby's background thread runs, and has a server that never answers.

The last figures are of calls made a thousand times a second while the background thread delivers as many to a sink in
another process: what its competing for the interpreter costs the handler.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from operator import truediv
from typing import Any
from uuid import uuid4

from segment.analytics.client import Client

from passerby import Sitecore, Tracker, Tracking

from .measure import Result, Spread, cpu_of, pairwise, percentile, take_turns
from .sink import running_sink
from .traffic import CLIENT_KEY, COOKIE_NAME, USER_AGENT, scope_with, silent_tracking

TITLE = "one tracking call as the handler sees it: CPU of its thread, and the time that single calls take"

ROUNDS = 15
CALLS = 400  # a round
DELIVERED = 2_000
SECRET = "a long secret that only the benchmark knows"

PAGE = {"page": "Shoes", "channel": "WEB", "currency": "EUR"}
EXTENSION = {"theme": "dark", "items": 3, "member": True}
PERSON = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "country": "IE"}
USER_ID = "user-123"

Call = Callable[[Any], object]
Prepare = Callable[[], Sequence[Any]]


def run() -> Iterator[Result]:
    client = Client("bench", send=False)
    with silent_tracking(secret_key=SECRET) as tracking:
        calls: dict[str, tuple[Prepare, Call]] = {
            "page_view()": (lambda: _trackers(tracking), _view),
            "Segment's track()": (_visitors, lambda visitor: _segment_view(client, visitor)),
            "identity()": (lambda: _trackers(tracking), _identify),
            "Segment's identify()": (_visitors, lambda visitor: _segment_identify(client, visitor)),
        }
        cpu = take_turns({name: _cpu_timer(*call) for name, call in calls.items()}, ROUNDS)
        singly = take_turns({name: _single_timer(*call) for name, call in calls.items()}, ROUNDS)
    for name, values in cpu.items():
        yield Result(f"call: {name}", Spread.of(values), "us")
    yield Result("call: page_view() / Segment's track()", _ratio(cpu, "page_view()", "Segment's track()"), "x")
    yield Result("call: identity() / Segment's identify()", _ratio(cpu, "identity()", "Segment's identify()"), "x")
    with running_sink() as url:
        singly["page_view(), 1,000 a second being delivered"] = [_times_while_delivering(url)]
    for name, rounds in singly.items():
        for percent in (50, 99):
            values = [percentile(times, percent) for times in rounds]
            yield Result(f"call: {name}, p{percent}", Spread.of(values), "us, wall clock")


def _times_while_delivering(url: str) -> list[float]:
    tracking = Tracking(Sitecore(client_key=CLIENT_KEY, target_url=url, point_of_sale="shop"), secret_key=SECRET)
    times: list[float] = []
    trackers = _trackers(tracking, DELIVERED)
    due = time.perf_counter()
    for tracker in trackers:
        time.sleep(max(0.0, due - time.perf_counter()))
        due += 0.001
        begun = time.perf_counter_ns()
        _view(tracker)
        times.append((time.perf_counter_ns() - begun) / 1e3)
    tracking.close(10.0)
    return times


def _ratio(cpu: dict[str, list[float]], ours: str, theirs: str) -> Spread:
    return pairwise(truediv, cpu[ours], cpu[theirs])


def _trackers(tracking: Tracking, count: int = CALLS) -> list[Tracker]:
    """The trackers of so many requests of returning visitors."""
    return [tracking.tracker_for(scope_with(f"{COOKIE_NAME}={uuid4()}")) for _ in range(count)]


def _visitors() -> list[str]:
    return [str(uuid4()) for _ in range(CALLS)]


def _view(tracker: Tracker) -> None:
    tracker.page_view(PAGE, EXTENSION)


def _identify(tracker: Tracker) -> None:
    tracker.identity({"identifiers": [{"id": USER_ID, "provider": "CRM"}], **PERSON}, EXTENSION)


def _segment_view(client: Client, visitor: str) -> None:
    client.track(anonymous_id=visitor, event="Page Viewed", properties={**PAGE, **EXTENSION}, context=_context())


def _segment_identify(client: Client, visitor: str) -> None:
    client.identify(user_id=USER_ID, anonymous_id=visitor, traits={**PERSON, **EXTENSION}, context=_context())


def _context() -> dict[str, Any]:
    """What Segment leaves to the user and passerby reads from the request."""
    return {
        "ip": "203.0.113.0",
        "userAgent": USER_AGENT,
        "locale": "en-IE",
        "page": {"url": "https://shop.example/products/shoes", "path": "/products/shoes"},
    }


def _cpu_timer(prepare: Prepare, call: Call) -> Callable[[], float]:
    def measure() -> float:
        subjects = prepare()

        def work() -> None:
            for subject in subjects:
                call(subject)

        return cpu_of(work).thread * 1e6 / CALLS

    return measure


def _single_timer(prepare: Prepare, call: Call) -> Callable[[], list[float]]:
    def measure() -> list[float]:
        subjects = prepare()
        gc.collect()
        times: list[float] = []
        for subject in subjects:
            begun = time.perf_counter_ns()
            call(subject)
            times.append((time.perf_counter_ns() - begun) / 1e3)
        return times

    return measure
