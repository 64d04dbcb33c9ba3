"""How things go: what was seen, how late it was, how the outbox is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from passerby import Datalyr, Tracking
from passerby.collector import CollectedRequest, CollectorServer, DestinationHealth, OutboxHealth, health_of
from passerby.collector import health as health_module
from passerby.collector.faults import BY_FAULT
from passerby.collector.feed import Cursor, Feed
from passerby.collector.health import HISTORY, LAG_REQUESTS, LAG_SAMPLES, Health
from passerby.collector.request_record import RequestRecord
from passerby.collector.store import Store

from .conftest import MakeEvent

NOTHING = {"accepted": 0, "refused": 0, "failed": 0, "repeated": 0, "lag": None}
PATIENCE = 60.0


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def health(store: Store) -> Health:
    return Health(store, Feed(store), clock=lambda: 5.0)


def arrive(store: Store, *moments: float | None, time: float = 100.0, **fields: Any) -> None:
    """Receive events with these timestamps."""
    for moment in moments:
        timestamp = (
            {} if moment is None else {"requested_at": f"1970-01-01T00:{moment // 60:02.0f}:{moment % 60:06.3f}Z"}
        )
        text = json_of({"type": "VIEW", "browser_id": "b", **timestamp})
        usual: dict[str, Any] = {"status": 201, "accepted": True, "refusal": None}
        received = CollectedRequest(
            store.next_number(), time, "POST", "/v1.2/events", {}, text.encode(), "events", **(usual | fields)
        )
        store.add(RequestRecord(received, text if received.accepted else None, None))


def json_of(event: dict[str, Any]) -> str:
    return str(httpx.Request("POST", "http://x", json=event).content.decode())


def test_each_outcome_has_its_figure(store: Store, health: Health) -> None:
    arrive(store, None, None)
    arrive(store, None, accepted=False, status=400, refusal="browser_id is missing")
    arrive(store, None, accepted=False, status=503, refusal=BY_FAULT)
    arrive(store, None, accepted=False, status=None, refusal=BY_FAULT)
    arrive(store, None, status=None)  # taken, and only the answer was lost

    seen = health.as_json()["seen"]
    assert seen["sitecore"] == {"accepted": 3, "refused": 1, "failed": 3, "repeated": 0, "lag": None}
    assert seen["customerio"] == seen["datalyr"] == NOTHING


def test_a_sample_has_what_is_new(store: Store, health: Health) -> None:
    arrive(store, None, None)
    health.sample()
    arrive(store, None)
    arrive(store, None, accepted=False, status=503, refusal=BY_FAULT)
    health.sample()
    health.sample()

    history = health.as_json()["history"]
    assert [(one["accepted"], one["failed"]) for one in history] == [(2, 0), (1, 1), (0, 0)]
    assert [one["time"] for one in history] == [5.0] * 3
    assert [one["pending"] for one in history] == [None] * 3, "of no outbox nothing is known"


def test_clearing_takes_the_figures_back_and_not_below_nothing(store: Store, health: Health) -> None:
    arrive(store, None, None)
    health.sample()
    store.clear()
    arrive(store, None)
    health.sample()

    assert [one["accepted"] for one in health.as_json()["history"]] == [2, 1]
    assert health.as_json()["seen"]["sitecore"]["accepted"] == 1


def test_lag_is_how_late_events_came(store: Store, health: Health) -> None:
    arrive(store, *(100.0 - lag for lag in range(1, 21)), 200.0, None)
    health.sample()
    arrive(store, 100.0, time=160.0, accepted=False, refusal="browser_id is missing", status=400)
    health.sample()

    lag = health.as_json()["seen"]["sitecore"]["lag"]
    assert lag == {"p50": pytest.approx(10.0), "p95": pytest.approx(19.0)}, "an event of the future is not late"
    assert [one["lag"] for one in health.as_json()["history"]] == [pytest.approx(19.0), None]


def test_lag_is_looked_at_in_the_latest_requests(store: Store, health: Health) -> None:
    arrive(store, 1.0, *[99.0] * LAG_REQUESTS)
    health.sample()

    assert health.as_json()["seen"]["sitecore"]["lag"] == {"p50": pytest.approx(1.0), "p95": pytest.approx(1.0)}


def test_lag_is_forgotten_after_a_minute(store: Store, health: Health) -> None:
    arrive(store, 99.0)
    for _ in range(LAG_SAMPLES):
        health.sample()
    before = health.as_json()["seen"]["sitecore"]["lag"]
    health.sample()

    assert before is not None
    assert health.as_json()["seen"]["sitecore"]["lag"] is None


def test_history_has_an_end(health: Health) -> None:
    for _ in range(HISTORY + 5):
        health.sample()

    assert len(health.as_json()["history"]) == HISTORY


def test_the_outbox_is_asked_at_each_sample(store: Store) -> None:
    outbox = OutboxHealth(
        "degraded: disk full",
        {
            "a": DestinationHealth(pending=3, held=1, dead=2, retries=4),
            "b": DestinationHealth(pending=5, held=0, dead=0, retries=None),
        },
    )
    health = Health(store, Feed(store), lambda: outbox)
    assert health.as_json()["outbox"] is None
    health.sample()

    found = health.as_json()
    assert found["outbox"]["state"] == "degraded: disk full"
    assert found["outbox"]["destinations"]["a"] == {
        "recorded": None,
        "delivered": None,
        "pending": 3,
        "held": 1,
        "dead": 2,
        "dropped": None,
        "retries": 4,
        "breaker": None,
        "oldest": None,
    }
    (sample,) = found["history"]
    assert (sample["pending"], sample["dead"], sample["retries"]) == (8, 2, None), (
        "what is not known of one is not known"
    )


def test_an_outbox_that_cannot_be_asked_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> OutboxHealth:
        raise RuntimeError("gone")

    health = Health(store, Feed(store), fail)
    with caplog.at_level(logging.ERROR, logger="passerby.collector"):
        health.sample()

    assert "reading the outbox's health failed" in caplog.text
    assert health.as_json()["outbox"] is None
    assert len(health.as_json()["history"]) == 1


def test_repeats_are_counted_in_all_systems(client: httpx.Client) -> None:
    call = {"type": "page", "anonymousId": "a", "messageId": "m1"}
    event = {"event_name": "x", "anonymous_id": "a", "event_id": "m1", "timestamp": "2026-11-24T16:00:00Z"}
    for _ in range(3):
        client.post("/v1/batch", json={"batch": [call, call]}, headers={"authorization": "Bearer key"})
        client.post("/events", json={"workspaceId": "w", "events": [event]})
    seen = client.get("/_collector/health").json()["seen"]

    assert (seen["customerio"]["accepted"], seen["customerio"]["repeated"]) == (6, 5)
    assert (seen["datalyr"]["accepted"], seen["datalyr"]["repeated"]) == (1, 2)


def until(is_so: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < gives_up
        time.sleep(0.02)


class FailsAtFirst(Feed):
    """A store that is out of order for a moment."""

    calls = 0

    def latest(self, count: int) -> Cursor:
        self.calls += 1
        if self.calls == 1:
            raise OSError("no space left")
        return super().latest(count)


async def test_a_sample_that_fails_is_not_the_last(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "SAMPLE_INTERVAL", 0.0)
    loop, is_asked = asyncio.get_running_loop(), asyncio.Event()

    def find_outbox() -> None:
        loop.call_soon_threadsafe(is_asked.set)

    feed = FailsAtFirst(store)
    health = Health(store, feed, find_outbox)
    with caplog.at_level(logging.ERROR, logger="passerby.collector"):
        running = asyncio.create_task(health.run())
        await is_asked.wait()
        running.cancel()

    assert feed.calls >= 2
    assert "no space left" in caplog.text


def test_the_server_samples_by_itself(make_event: MakeEvent, collector: CollectorServer, client: httpx.Client) -> None:
    client.post("/v1.2/events", json=make_event())
    until(lambda: sum(one["accepted"] for one in client.get("/_collector/health").json()["history"]) == 1)
    collector.stop()
    collector.start()
    before = len(client.get("/_collector/health").json()["history"])
    until(lambda: len(client.get("/_collector/health").json()["history"]) > before)


def test_the_outbox_of_an_app_in_this_process() -> None:
    """All of the ledger is known there."""
    trackings: list[Tracking] = []
    with CollectorServer(outbox=lambda: health_of(trackings[0]) if trackings else None) as collector:
        collector.fail("datalyr", status=503)
        tracking = Tracking(Datalyr(workspace_id="w", target_url=collector.url), secret_key="x" * 32, retry_base=0.02)
        trackings.append(tracking)
        tracking.for_visitor("7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10").event("ADD")

        def outbox() -> Any:
            return httpx.get(f"{collector.url}/_collector/health").json()["outbox"]

        until(lambda: bool(outbox()) and outbox()["destinations"]["datalyr"]["retries"] > 0)
        during = outbox()
        collector.clear_faults()
        until(lambda: bool(outbox()["destinations"]["datalyr"]["delivered"] == 1))
        after = outbox()
        tracking.close(1.0)

    assert (during["state"], during["destinations"]["datalyr"]["pending"]) == ("ok", 1)
    assert during["destinations"]["datalyr"]["dropped"] == {}
    assert after["destinations"]["datalyr"]["pending"] == 0
    assert after["destinations"]["datalyr"]["breaker"] == "closed"


def test_an_event_of_an_earlier_day_is_not_late(store: Store, health: Health) -> None:
    arrive(store, 0.0, time=3 * 86_400.0)
    health.sample()
    assert health.as_json()["seen"]["sitecore"]["lag"] is None

    arrive(store, 60.0, time=90.0)
    health.sample()
    assert health.as_json()["seen"]["sitecore"]["lag"] == {"p50": 30.0, "p95": 30.0}
