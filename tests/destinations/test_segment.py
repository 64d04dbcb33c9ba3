"""Segment: settings, requests, checks and answers. What its SDK sends is held by the conformance tests."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from passerby import CustomerIO, Delivered, Secret, Segment, SettingsError, Tracking, ValidationError
from passerby.collector import CollectorServer
from passerby.destinations import DestinationResponse, Rejected, Retry, SplitBatch
from passerby.events.event import Event, EventKind
from tests.making import BROWSER_ID, PATIENCE

DATA: dict[EventKind, dict[str, Any]] = {
    "page_view": {"page": "Home"},
    "event": {"total": 5},
    "identity": {"identifiers": [{"id": "u1"}], "email": "ada@shop.example"},
    "group": {"group_id": "g1", "traits": {"plan": "pro"}},
    "alias": {"previous_id": "u0"},
}


def segment(**options: Any) -> Segment:
    return Segment(**{"write_key": "testsecret"} | options)


def event(kind: EventKind = "event", **fields: Any) -> Event:
    given: dict[str, Any] = {"data": DATA[kind], "extension": {}, "user_id": "u1"} | fields
    name = "Order Completed" if kind == "event" else None
    return Event("id", kind, name, 1_767_225_600.5, BROWSER_ID, BROWSER_ID, given.pop("user_id"), **given)


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"write_key": None}, "write_key: found none, expected the source's API key"),
            ({"write_key": "a b"}, "write_key: expected the source's API key, in printable ASCII"),
            ({"target_url": "http://api.example.com"}, "target_url: found plain http to a public host"),
            ({"target_url": "api.example.com"}, "target_url: found something else, expected an http(s) URL"),
            ({"gzip": "yes"}, "gzip: found str, expected True or False"),
        ],
    )
    def test_what_is_wrong_is_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError) as raised:
            segment(**options)

        assert str(raised.value).startswith(words)

    @pytest.mark.parametrize(
        ("target", "url"),
        [
            ("https://api.segment.io", "https://api.segment.io/v1/batch"),
            ("https://events.eu1.segmentapis.com/", "https://events.eu1.segmentapis.com/v1/batch"),
            ("http://rudder:8080", "http://rudder:8080/v1/batch"),
            ("https://jitsu.example/api/s/s2s", "https://jitsu.example/api/s/s2s/v1/batch"),
        ],
    )
    def test_another_service_is_another_address(self, target: str, url: str) -> None:
        assert segment(target_url=target).encode([event()]).url == url

    def test_no_repr_shows_the_key(self) -> None:
        one = segment(write_key=Secret("very-secret"))
        shown = f"{one!r} {vars(one)!r} {one.encode([event()])!r}"
        assert "very-secret" not in shown
        assert repr(one) == "<Segment 'segment' at api.segment.io>"


class TestCalls:
    def test_the_key_is_a_users_name_without_a_password(self) -> None:
        assert segment().encode([event()]).headers == {
            "Content-Type": "application/json",
            "Authorization": "Basic dGVzdHNlY3JldDo=",
        }

    @pytest.mark.parametrize("kind", list(DATA))
    def test_the_message_is_customerios_too(self, kind: EventKind) -> None:
        """They share one format; CustomerIO's messages are held by tests of its own."""
        told = event(kind)
        assert segment().encode([told]).body == CustomerIO(write_key="testsecret").encode([told]).body

    def test_a_compressed_body(self) -> None:
        events = [event(), event("page_view")]
        call = segment(gzip=True).encode(events)
        assert call.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(call.body or b"") == segment().encode(events).body
        assert call == segment(gzip=True).encode(events)

    def test_events_weigh_what_they_take(self) -> None:
        events = [event(kind) for kind in DATA]
        body = segment().encode(events).body or b""
        assert sum(map(segment().encoded_size, events)) == len(body) - len(b'{"batch":[]}') + 1
        assert segment().batch_bytes + len(b'{"batch":[]}') == 500_000

    def test_a_call_has_32_kb(self) -> None:
        fits = event(data={"text": "x" * (32_768 - segment().encoded_size(event(data={"text": ""})) + 1)})
        segment().check(fits)
        with pytest.raises(ValidationError, match="segment: found a call of 32769 bytes, expected at most 32768"):
            segment().check(event(data={"text": fits.data["text"] + "x"}))

    def test_a_trait_is_no_other_id(self) -> None:
        with pytest.raises(ValidationError, match="segment: traits: found 'id' with another value"):
            segment().check(event("identity", data=DATA["identity"], extension={"id": "u2"}))

    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            (200, Delivered({"success": True})),
            (400, SplitBatch("status 400")),
            (413, SplitBatch("status 413")),
            (401, Rejected("status 401")),
            (302, Rejected("status 302")),
            (429, Retry("status 429")),
            (503, Retry("status 503")),
        ],
    )
    def test_what_answers_mean(self, status: int, verdict: Any) -> None:
        assert segment().classify(DestinationResponse(status, {}, b'{"success":true}')) == verdict


def test_delivery() -> None:
    with CollectorServer(accept_any_browser_id=True) as collector:
        tracking = Tracking(segment(target_url=collector.url), secret_key="a key for tests", infer_from_request=False)
        tracker = tracking.for_visitor(BROWSER_ID)
        tracker.page_view({"page": "Home"})
        tracker.identify("u1", {"created_at": 0, "first_name": "Ada"})
        assert tracking.close(PATIENCE) == 0

        page, identify = (json.loads(json.dumps(one)) for one in collector.messages("customerio"))
        assert (page["type"], page["name"], page["anonymousId"]) == ("page", "Home", BROWSER_ID)
        assert identify["traits"] == {"createdAt": "1970-01-01T00:00:00.000Z", "firstName": "Ada"}
