"""What a page hears while it is open, over a real connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from passerby.collector import CollectorServer

from .conftest import MakeEvent

STREAM = "/_collector/stream"


class Page:
    """Reads server-sent events as a browser does."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.last_id: str | None = None

    def hear(self) -> tuple[str, Any]:
        """The next message's name and data."""
        name, data = "", ""
        for line in self._lines:
            if not line and data:
                return name, json.loads(data)
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data += value
            elif field == "id":
                self.last_id = value
        raise EOFError

    def hear_of(self, name: str) -> Any:
        """The data of the next message of that name."""
        while True:
            heard, data = self.hear()
            if heard == name:
                return data

    def collect(self, count: int) -> list[dict[str, Any]]:
        """The next so many items."""
        items: list[dict[str, Any]] = []
        while len(items) < count:
            items += self.hear_of("arrivals")["items"]
        return items


@contextmanager
def opened(collector: CollectorServer, path: str = STREAM, **headers: str) -> Iterator[Page]:
    with httpx.stream("GET", f"{collector.url}{path}", headers=headers, timeout=30) as response:
        yield Page(response)


def views(items: list[dict[str, Any]]) -> list[str]:
    return [item["summary"] for item in items if item["type"] == "VIEW"]


def post(client: httpx.Client, make_event: MakeEvent, *pages: str) -> None:
    for page in pages:
        client.post("/v1.2/events", json=make_event(page=page))


def test_a_page_hears_what_arrived_and_what_arrives(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    post(client, make_event, "before")
    with opened(collector) as page:
        earlier = page.collect(2)
        post(client, make_event, "after")
        (later,) = page.collect(1)

        assert page.response.headers["content-type"].startswith("text/event-stream")
        assert page.response.headers["cache-control"] == "no-store"
        assert page.last_id == "3"
    assert [item["type"] for item in earlier] == ["create", "VIEW"]
    assert (later["number"], later["position"], later["summary"], later["accepted"]) == (3, 0, "after", True)
    assert set(later) == {
        *("number", "position", "time", "system", "type", "visitor", "user", "summary", "occurred_at", "id", "status"),
        *("accepted", "refusal", "is_failed", "repeated", "is_event", "site", "guest", "is_bot"),
    }


def test_a_pulse_says_how_things_stand(collector: CollectorServer, client: httpx.Client) -> None:
    collector.fail("events", status=None, reset=True, delay=0.5)
    collector.fail("create", times=3, status=429)
    with opened(collector) as page:
        pulse = page.hear_of("pulse")

    assert pulse["counts"] == {"requests": 0, "accepted_events": 0, "refused": 0, "browser_ids": 0, "by_route": {}}
    assert pulse["faults"] == [
        {"route": "create", "status": 429, "reset": False, "delay": 0.0},
        {"route": "events", "status": None, "reset": True, "delay": 0.5},
    ]
    assert isinstance(pulse["clears"], int)
    assert pulse["last"] == 0


@pytest.mark.parametrize("how", ["query", "header", "header wins"])
def test_a_page_goes_on_where_it_was(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent, how: str
) -> None:
    post(client, make_event, "a", "b", "c")
    path = {"query": f"{STREAM}?after=3", "header": STREAM, "header wins": f"{STREAM}?after=1"}[how]
    headers = {} if how == "query" else {"last-event-id": "3"}
    with opened(collector, path, **headers) as page:
        (item,) = page.collect(1)

    assert item["summary"] == "c"


@pytest.mark.parametrize("after", ["5000", "3", "3:1"])
def test_a_page_that_knew_another_collector_begins_anew(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent, after: str
) -> None:
    post(client, make_event, "a")
    with opened(collector, f"{STREAM}?after={after}") as page:
        assert page.hear_of("pulse")["last"] == 2
        assert views(page.collect(2)) == ["a"]


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30, "1.5", "1:", ":1", "1:x", "1:-1", "1:2:3"])
def test_after_is_a_number(client: httpx.Client, after: str) -> None:
    assert client.get(STREAM, params={"after": after}).status_code == 400
    assert client.get(STREAM, headers={"last-event-id": after}).status_code == 400


def test_a_page_begins_with_the_latest_thousand_requests(collector: CollectorServer, client: httpx.Client) -> None:
    for _ in range(1_005):
        client.get("/nowhere")
    with opened(collector) as page:
        items = page.collect(1_000)

    assert [item["number"] for item in items] == list(range(6, 1_006))


def test_a_message_holds_so_much_and_no_more(collector: CollectorServer, client: httpx.Client) -> None:
    """A request that fills several messages is gone on with where a page was, which hears nothing twice."""
    events = [
        {"event_name": "x", "anonymous_id": str(number), "timestamp": "2026-11-24T16:00:00Z"} for number in range(1_203)
    ]
    assert client.post("/events", json={"workspaceId": "w", "events": events}).status_code == 200
    with opened(collector) as page:
        messages = [(page.hear_of("arrivals"), page.last_id) for _ in range(3)]

    assert [len(message["items"]) for message, _ in messages] == [500, 500, 203]
    assert [last_id for _, last_id in messages] == ["1:500", "1:1000", "1"]
    visitors = [item["visitor"] for message, _ in messages for item in message["items"]]
    assert visitors == [str(number) for number in range(1_203)]
    with opened(collector, **{"last-event-id": "1:1000"}) as page:
        assert page.hear_of("arrivals") == messages[2][0]


def test_a_page_hears_that_all_was_cleared_before_what_came_since(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    post(client, make_event, "old")
    with opened(collector) as page:
        before = page.hear_of("pulse")["clears"]
        page.collect(2)
        assert client.delete("/_collector/arrivals").json() == {"status": "OK"}
        post(client, make_event, "new")
        heard: list[str] = []
        while "new" not in heard:
            name, data = page.hear()
            heard += views(data["items"]) if name == "arrivals" else [data["clears"]]

    assert heard[-2:] == [before + 1, "new"]
    assert set(heard[:-2]) <= {before, before + 1}


def test_an_event_that_came_before_is_marked(collector: CollectorServer, client: httpx.Client) -> None:
    headers = {"authorization": "Bearer key"}
    call = {"type": "page", "anonymousId": "a", "messageId": "m1"}
    event = {"event_name": "x", "anonymous_id": "a", "event_id": "m1", "timestamp": "2026-11-24T16:00:00Z"}
    for _ in range(2):
        client.post("/v1/batch", json={"batch": [call, {**call, "messageId": "m2"}]}, headers=headers)
        client.post("/events", json={"workspaceId": "w", "events": [event]})
    with opened(collector) as page:
        items = page.collect(6)

    assert [item["repeated"] for item in items] == [False] * 3 + [True] * 3
    assert all(item["accepted"] for item in items)


def test_all_pages_hear_everything(collector: CollectorServer, client: httpx.Client, make_event: MakeEvent) -> None:
    heard: list[list[str]] = []

    def watch() -> None:
        with opened(collector) as page:
            heard.append(views(page.collect(301)))

    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    expected = [str(number) for number in range(300)]
    post(client, make_event, *expected)
    for thread in threads:
        thread.join(60)

    assert heard == [expected] * 3


def test_a_stream_ends_when_the_server_stops(collector: CollectorServer) -> None:
    with opened(collector) as page:
        page.hear_of("pulse")
        collector.stop()
        with pytest.raises(EOFError):  # and no error of the connection
            page.hear_of("nothing")
    collector.start()
    with opened(collector) as page:
        assert page.hear_of("pulse")["faults"] == []


def test_a_page_that_goes_away_does_no_harm(
    collector: CollectorServer, client: httpx.Client, make_event: MakeEvent
) -> None:
    for _ in range(5):
        with opened(collector) as page:
            page.hear_of("pulse")
    post(client, make_event, "still here")

    assert len(collector.events) == 1


def test_a_restarted_file_is_the_same_to_a_page(tmp_path: Path) -> None:
    clears: list[int] = []
    for _ in range(2):
        collector = CollectorServer(tmp_path / "db")
        collector.start()
        with opened(collector) as page:
            clears.append(page.hear_of("pulse")["clears"])
        collector.close()
    with CollectorServer() as another, opened(another) as page:
        clears.append(page.hear_of("pulse")["clears"])

    assert clears[0] == clears[1] != clears[2]
