"""Webhooks: settings, signatures, retries, what answers mean, and which addresses are refused."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby import Dead, Delivered, Secret, SettingsError, Tracking, Webhook
from passerby.collector import CollectorServer
from passerby.delivery.dry_run import dry_run_mode
from passerby.delivery.transport import Connection, TransportError, make_ssl_context
from passerby.destinations import DestinationResponse, OutgoingRequest, Rejected, Retry, SplitBatch
from passerby.destinations.target import is_public_address
from passerby.destinations.webhook import sign
from passerby.events.event import Context, Event
from tests.destinations.receiver import Receiver, Request
from tests.making import BROWSER_ID, PATIENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + b64encode(bytes(range(32))).decode()
URL = "https://shop.example/hooks/events?token=t"
QUICK: dict[str, Any] = {
    "retry_base": 0.01,
    "retry_cap": 0.05,
    "secret_key": "a key for tests",
    "infer_from_request": False,
    "send_in_tests": True,
}


def webhook(**options: Any) -> Webhook:
    return Webhook(**{"url": URL, "secret": SECRET} | options)


def event(id: str = "0190-id", **fields: Any) -> Event:
    usual: dict[str, Any] = {"user_id": "u1", "data": {"a": 1}, "extension": {"b": [2]}}
    given = usual | fields
    return Event(id, "event", "ORDER", 1_767_225_600.5, BROWSER_ID, BROWSER_ID, given.pop("user_id"), **given)


def verify(request: Request, secret: str) -> bool:
    """Verify a post as the specification has a receiver do it."""
    headers = request.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = b64encode(hmac.new(b64decode(secret[6:]), signed, sha256).digest()).decode()
    found = [one.partition(",") for one in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, _, value in found)


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"url": None}, "url: found something else, expected an https URL"),
            ({"url": "shop.example"}, "url: found something else, expected an https URL"),
            ({"url": "https://u:p@shop.example/"}, "url: found something else"),
            ({"url": "https://shop.example/#a"}, "url: found something else"),
            ({"url": "https://shop.example/?a b"}, "url: found something else"),
            ({"url": "http://shop.example/"}, "url: found plain http to a public host"),
            ({"url": "http://localhost:8000/"}, "url: found an address of a private network"),
            ({"url": "https://127.0.0.1/"}, "url: found an address of a private network"),
            ({"url": "https://[::1]/"}, "url: found an address of a private network"),
            ({"url": "https://10.1.2.3/"}, "url: found an address of a private network"),
            ({"url": "https://169.254.169.254/latest"}, "url: found an address at which a cloud keeps secrets"),
            ({"url": "https://100.64.0.1/"}, "url: found an address of a private network"),
            ({"url": "https://[::ffff:10.0.0.1]/"}, "url: found an address of a private network"),
            ({"secret": None}, "secret: found none, expected whsec_"),
            ({"secret": ""}, "secret: found none, expected whsec_"),
            ({"secret": []}, "secret: found none, expected whsec_"),
            ({"secret": SECRET[6:]}, "secret: found a key without whsec_"),
            ({"secret": "whsec_%%%"}, "secret: found a key that is no base64"),
            ({"secret": "whsec_" + b64encode(b"short").decode()}, "secret: found a key of 5 bytes"),
            ({"secret": [SECRET, 5]}, "secret: found int, expected text"),
            ({"batch_size": 0}, "batch_size: expected a whole number"),
            ({"batch_size": True}, "batch_size: expected a whole number"),
            ({"allow_private_addresses": "yes"}, "allow_private_addresses: found str"),
        ],
    )
    def test_what_is_wrong_is_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError) as raised:
            webhook(**options)

        assert str(raised.value).startswith(words)
        assert SECRET[6:] not in str(raised.value)

    def test_the_address_stays_as_it_is(self) -> None:
        for url in (URL, "https://shop.example/hooks/", "https://shop.example"):
            assert webhook(url=url).encode([event()]).url == url

    def test_no_repr_shows_a_secret(self) -> None:
        one = webhook()
        shown = f"{one!r} {vars(one)!r} {one.encode([event()])!r}"
        assert SECRET[6:] not in shown
        assert repr(one) == "<Webhook 'webhook' at shop.example>"


class TestSignatures:
    def test_the_specifications_own_example(self) -> None:
        signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    @given(st.binary(min_size=24, max_size=64), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    def test_a_receiver_can_verify_any_event(self, key: bytes, text: str) -> None:
        secret = "whsec_" + b64encode(key).decode()
        call = webhook(secret=Secret(secret)).encode([event(data={"text": text})])
        assert verify(Request("/", dict(call.headers), call.body or b""), secret)

    @pytest.mark.parametrize(
        "secrets", [[SECRET, OTHER], f"{SECRET},{OTHER}", f"{SECRET} {OTHER}", (Secret(OTHER), SECRET)]
    )
    def test_while_a_secret_is_replaced_both_verify(self, secrets: Any) -> None:
        call = webhook(secret=secrets).encode([event()])
        request = Request("/", dict(call.headers), call.body or b"")
        assert len(call.headers["webhook-signature"].split(" ")) == 2
        assert verify(request, SECRET)
        assert verify(request, OTHER)
        assert not verify(request, "whsec_" + b64encode(b"x" * 24).decode())
        assert not verify(request._replace(body=request.body + b" "), SECRET)

    def test_the_id_hangs_on_the_events_alone(self) -> None:
        one = webhook(batch_size=10)
        first = one.encode([event("a"), event("b")])
        assert first.headers["webhook-id"] == one.encode([event("a"), event("b")]).headers["webhook-id"]
        assert first.body == one.encode([event("a"), event("b")]).body
        assert first.headers["webhook-id"] != one.encode([event("a"), event("c")]).headers["webhook-id"]
        assert one.encode([event("a")]).headers["webhook-id"] == "a"

    @pytest.mark.parametrize("id", ["a.b", "\u00fc", "x" * 500, "a b", "a\nb"])
    def test_an_event_id_of_the_apps_makes_an_id_without_points_that_is_a_header(self, id: str) -> None:
        made = webhook().encode([event(id)]).headers["webhook-id"]
        assert made.isascii()
        assert not {".", " ", "\n"} & set(made)
        assert len(made) <= 64

    def test_events_take_no_more_than_they_are_said_to(self) -> None:
        one = webhook(batch_size=3)
        events = [event("a"), event("b"), event("c")]
        body = one.encode(events).body or b""
        assert len(body) <= sum(map(one.encoded_size, events)) + (500_000 - one.batch_bytes)


class TestBody:
    def test_an_event(self) -> None:
        context = Context(ip="203.0.113.0", url="https://shop.example/a", campaign={"utm_source": "mail"})
        made = json.loads(webhook().encode([event(context=context, previous_id="u0")]).body or b"")
        assert made == {
            "type": "events",
            "timestamp": "2026-01-01T00:00:00.500Z",
            "data": {
                "events": [
                    {
                        "id": "0190-id",
                        "kind": "event",
                        "type": "ORDER",
                        "timestamp": "2026-01-01T00:00:00.500Z",
                        "browser_id": BROWSER_ID,
                        "user_id": "u1",
                        "data": {"a": 1},
                        "attributes": {"b": [2]},
                        "context": {
                            "ip": "203.0.113.0",
                            "url": "https://shop.example/a",
                            "campaign": {"utm_source": "mail"},
                        },
                        "previous_id": "u0",
                    }
                ]
            },
        }


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            (200, Delivered()),
            (204, Delivered()),
            (301, Rejected("status 301: redirects are not followed; set the new address")),
            (307, Rejected("status 307: redirects are not followed; set the new address")),
            (400, SplitBatch("status 400")),
            (413, SplitBatch("status 413")),
            (422, SplitBatch("status 422")),
            (410, Rejected("status 410: the endpoint is gone; remove it from the settings")),
            (401, Retry("status 401")),
            (404, Retry("status 404")),
            (409, Retry("status 409")),
            (429, Retry("status 429")),
            (502, Retry("status 502")),
            (504, Retry("status 504")),
        ],
    )
    def test_what_they_mean(self, status: int, verdict: Any) -> None:
        assert webhook().classify(DestinationResponse(status, {}, b"")) == verdict

    @pytest.mark.parametrize("status", [404, 429, 503])
    def test_a_receiver_may_ask_for_time(self, status: int) -> None:
        assert webhook().classify(DestinationResponse(status, {"retry-after": "30"}, b"")) == Retry(
            f"status {status}", 30.0
        )


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
            "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1",
            "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:192.168.0.1",
            "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1",
            "nonsense", "",
        ],
    )  # fmt: skip
    def test_not_public(self, address: str) -> None:
        assert not is_public_address(address)

    @pytest.mark.parametrize(
        "address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
    )
    def test_public(self, address: str) -> None:
        assert is_public_address(address)


def track(tracking: Tracking, *names: str) -> None:
    for name in names:
        tracking.for_visitor(BROWSER_ID, "u1").event(name, {})


class TestDelivery:
    def test_a_post_that_is_tried_again_keeps_its_id(self) -> None:
        with Receiver(503, 404, 200) as receiver:
            one = Webhook(url=f"{receiver.url}/hook?a=1", secret=[SECRET, OTHER], allow_private_addresses=True)
            tracking = Tracking(one, **QUICK)
            receipt = tracking.for_visitor(BROWSER_ID, "u1").event("ORDER", {"total": 5})
            assert tracking.close(PATIENCE) == 0

            assert receipt.outcomes == {"webhook": Delivered()}
            assert [request.path for request in receiver.requests] == ["/hook?a=1"] * 3
            assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
            assert len({request.body for request in receiver.requests}) == 1
            assert all(verify(request, secret) for request in receiver.requests for secret in (SECRET, OTHER))

    def test_several_events_go_together_if_that_is_set(self) -> None:
        with Receiver() as receiver:
            tracking = Tracking(
                Webhook(url=receiver.url, secret=SECRET, batch_size=50, allow_private_addresses=True), **QUICK
            )
            for number in range(20):
                tracking.for_visitor(str(uuid4())).event(f"E{number:02}", {})
            assert tracking.close(PATIENCE) == 0

            types = [one["type"] for got in receiver.requests for one in json.loads(got.body)["data"]["events"]]
            assert sorted(types) == [f"E{number:02}" for number in range(20)]
            assert len(receiver.requests) < 20

    @pytest.mark.parametrize("status", [302, 308, 410])
    def test_redirects_are_not_followed_and_what_is_gone_is_not_asked_again(self, status: int) -> None:
        with Receiver() as elsewhere, Receiver(status, headers={"Location": f"{elsewhere.url}/new"}) as receiver:
            tracking = Tracking(Webhook(url=receiver.url, secret=SECRET, allow_private_addresses=True), **QUICK)
            receipt = tracking.for_visitor(BROWSER_ID).event("ORDER", {})
            assert tracking.close(PATIENCE) == 0

            assert isinstance(receipt.outcomes["webhook"], Dead)
            assert (len(receiver.requests), elsewhere.requests) == (1, [])

    @pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "127.0.0.1"])
    async def test_the_address_that_is_connected_to_counts_however_it_is_written(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Receiver() as receiver:
            url = f"http://{host}:{receiver.url.rpartition(':')[2]}/"
            monkeypatch.setattr(dry_run_mode, "allowed", {url[:-1]})
            lane = Connection(make_ssl_context)

            with pytest.raises(TransportError, match="host has no public address"):
                await lane.perform(OutgoingRequest("POST", url, {}, b"{}", public_only=True), PATIENCE)
            assert receiver.requests == []

            answer = await lane.perform(OutgoingRequest("POST", url, {}, b"{}"), PATIENCE)
            assert answer.status == 200, "the same lane, and a call that may go there"
            await lane.aclose()

    @pytest.mark.parametrize("path", ["/hooks", "/events", "/v1/batch"])
    def test_the_collector_takes_them_at_any_path(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with CollectorServer() as collector:
            monkeypatch.setenv("PASSERBY_COLLECTOR_URL", collector.url)
            tracking = Tracking(webhook(url=f"https://shop.example{path}"), **QUICK)
            receipt = tracking.for_visitor(BROWSER_ID).event("ORDER", {})

            assert tracking.close(PATIENCE) == 0
            assert receipt.outcomes == {"webhook": Delivered()}
            assert [one.path for one in collector.requests] == [path]

    def test_beside_a_collector_it_goes_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Receiver() as receiver:
            monkeypatch.setenv("PASSERBY_COLLECTOR_URL", receiver.url)
            tracking = Tracking(webhook(), **QUICK)
            track(tracking, "ORDER")

            assert tracking.close(PATIENCE) == 0
            assert [request.path for request in receiver.requests] == ["/hooks/events?token=t"]
