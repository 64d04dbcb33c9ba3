"""Customer.io: settings, messages, checks and answers. What the vendor's SDKs send is held by the conformance tests."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from passerby import CustomerIO, Delivered, SettingsError, ValidationError
from passerby.destinations import DestinationResponse, Rejected, Retry, SplitBatch
from passerby.events.event import Context, Event
from passerby.outbox.codec import decode, encode
from passerby.values.secret import Secret
from passerby.version import __version__
from tests.making import BROWSER_ID

TIME = 1_767_225_600.5
LIBRARY = {"name": "passerby", "version": __version__}
CONTEXT = Context(
    ip="203.0.113.0",
    user_agent="UA",
    locale="en-GB",
    url="https://shop.example/shoes/boot?utm_campaign=Spring&utm_source=mail",
    path="/shoes/boot",
    referrer="https://search.example/",
    campaign={"utm_campaign": "Spring", "utm_source": "mail", "utm_id": "7"},
)


def customerio(**options: Any) -> CustomerIO:
    return CustomerIO(**{"write_key": "testsecret"} | options)


def event(kind: Any = "event", type: str | None = None, **fields: Any) -> Event:
    name = "Order Completed" if kind == "event" and type is None else type
    usual: dict[str, Any] = {"data": {}, "extension": {}, "user_id": None, "browser_id": BROWSER_ID}
    given = usual | fields
    place = given.pop("browser_id"), BROWSER_ID, given.pop("user_id")
    return Event("id", kind, name, TIME, *place, **given)


def message(told: Event, **options: Any) -> dict[str, Any]:
    made = json.loads(customerio(**options).encode([told]).body or b"")
    assert list(made) == ["batch"]
    (one,) = made["batch"]
    assert isinstance(one, dict)
    assert (one.pop("messageId"), one.pop("timestamp")) == ("id", "2026-01-01T00:00:00.500Z")
    return one


def bare(told: Event) -> dict[str, Any]:
    """The message without its context and anonymous ID."""
    return {name: value for name, value in message(told).items() if name not in ("context", "anonymousId")}


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"write_key": None}, "write_key: found none, expected the source's API key"),
            ({"write_key": ""}, "write_key: expected the source's API key, in printable ASCII"),
            ({"write_key": "a b"}, "write_key: expected the source's API key, in printable ASCII"),
            ({"region": "asia"}, 'region: found \'asia\', expected "us" or "eu"'),
            ({"write_key": "sk_eu_1", "region": "us"}, "region: found 'us', expected 'eu', which the write key names"),
            ({"target_url": "http://cdp.example.com"}, "target_url: found plain http to a public host"),
            ({"target_url": "cdp.example.com"}, "target_url: found something else, expected an http(s) URL"),
            ({"gzip": "yes"}, "gzip: found str, expected True or False"),
            ({"strict": None}, "strict: found NoneType, expected True or False"),
        ],
    )
    def test_what_is_wrong_is_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError) as raised:
            customerio(**options)

        assert str(raised.value).startswith(words)

    @pytest.mark.parametrize(
        ("options", "host"),
        [
            ({"write_key": "old"}, "https://cdp.customer.io"),
            ({"write_key": "old", "region": "eu"}, "https://cdp-eu.customer.io"),
            ({"write_key": "pk_us_1"}, "https://cdp.customer.io"),
            ({"write_key": "sk_eu_1"}, "https://cdp-eu.customer.io"),
            ({"write_key": "sk_eu_1", "target_url": "https://proxy.example/cio/"}, "https://proxy.example/cio"),
        ],
    )
    def test_the_key_says_the_region_and_an_address_wins(self, options: dict[str, Any], host: str) -> None:
        assert customerio(**options).encode([event()]).url == f"{host}/v1/batch"

    @pytest.mark.parametrize(
        ("key", "authorization"),
        [
            ("testsecret", "Basic dGVzdHNlY3JldDo="),
            (" testsecret\n", "Basic dGVzdHNlY3JldDo="),
            ("sk_us_1", "Bearer sk_us_1"),
            ("pk_eu_1", "Bearer pk_eu_1"),
            ("sk_asia_1", "Basic c2tfYXNpYV8xOg=="),
            (Secret("sk_us_1"), "Bearer sk_us_1"),
        ],
    )
    def test_the_key_goes_as_its_kind_wants(self, key: Any, authorization: str) -> None:
        assert customerio(write_key=key).encode([event()]).headers["Authorization"] == authorization

    def test_no_repr_shows_the_key(self) -> None:
        destination = customerio(write_key="sk_eu_secret", name="eu")

        shown = f"{destination!r} {vars(destination)!r} {destination.encode([event()])!r}"
        assert "secret" not in shown.lower().replace("secret(***)", "")
        assert repr(destination) == "<CustomerIO 'eu' at cdp-eu.customer.io>"


class TestCalls:
    def test_strict_mode_is_asked_for_unless_told_not_to(self) -> None:
        assert customerio().encode([event()]).headers["X-Strict-Mode"] == "1"
        assert "X-Strict-Mode" not in customerio(strict=False).encode([event()]).headers

    def test_the_same_events_make_the_same_bytes_compressed_or_not(self) -> None:
        events = [event("page_view", data={"page": "Home"}), event()]
        plain = customerio().encode(events)
        packed = customerio(gzip=True).encode(events)

        assert customerio().encode(events) == plain
        assert customerio(gzip=True).encode(events) == packed
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body or b"") == plain.body

    def test_events_weigh_what_they_take(self) -> None:
        events = [event(data={"a": "\u8cb7"}), event("page_view", context=CONTEXT), event("group", data=GROUP)]
        destination = customerio()

        weight = sum(map(destination.encoded_size, events))
        body = destination.encode(events).body or b""
        assert weight + len(b'{"batch":[]}') == len(body) + 1, "the comma behind the last one"
        assert destination.encoded_size(event(browser_id=None)) == destination.encoded_size(event())

    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            (200, Delivered(None)),
            (202, Delivered(None)),
            (400, SplitBatch("status 400")),
            (413, SplitBatch("status 413")),
            (401, Rejected("status 401")),
            (302, Rejected("status 302")),
            (429, Retry("status 429")),
            (503, Retry("status 503")),
        ],
    )
    def test_what_answers_mean(self, status: int, verdict: Any) -> None:
        assert customerio().classify(DestinationResponse(status, {}, b"")) == verdict

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b'{"code": "invalid_request", "message": "a@b.example"}', "status 400 (invalid_request)"),
            (b'{"code": "a@b.example"}', "status 400"),
            (b"[]", "status 400"),
        ],
    )
    def test_a_refusal_says_the_services_code_and_nothing_of_a_person(self, body: bytes, reason: str) -> None:
        assert customerio().classify(DestinationResponse(400, {}, body)) == SplitBatch(reason)


GROUP = {"group_id": "g1", "traits": {"name": "Acme", "created_at": 1_700_000_000, "plan": {"seats": 5}}}


class TestMessages:
    def test_a_page_view(self) -> None:
        told = event(
            "page_view",
            user_id="u1",
            data={"page": "Boot", "category": "Shoes", "title": "Boots & co", "language": "EN", "referrer": None},
            extension={"theme": "dark"},
            context=CONTEXT,
        )
        page = {
            "url": "https://shop.example/shoes/boot?utm_campaign=Spring&utm_source=mail",
            "path": "/shoes/boot",
            "search": "?utm_campaign=Spring&utm_source=mail",
            "referrer": "https://search.example/",
            "title": "Boots & co",
        }
        assert message(told) == {
            "type": "page",
            "userId": "u1",
            "anonymousId": BROWSER_ID,
            "name": "Boot",
            "category": "Shoes",
            "properties": {**page, "category": "Shoes", "theme": "dark"},
            "context": {
                "library": LIBRARY,
                "channel": "server",
                "ip": "203.0.113.0",
                "userAgent": "UA",
                "locale": "en-GB",
                "page": page,
                "campaign": {"name": "Spring", "source": "mail"},
            },
        }

    def test_an_event_keeps_its_data_as_given(self) -> None:
        nested = {"cart": {"items": [1, None]}, "none": None}
        told = event(data={"total": 99.99, "page": 3}, extension={"cart_items": [1, None]}, nested=nested)

        assert bare(told) == {
            "type": "track",
            "event": "Order Completed",
            "properties": {"total": 99.99, "page": 3, "cart": {"items": [1, None]}, "none": None},
        }

    def test_what_only_the_request_says_stands_in_the_context_alone(self) -> None:
        told = event(data={"page": "boot", "language": "EN", "total": 1}, context=CONTEXT)

        assert message(told)["properties"] == {"total": 1}

    def test_an_identity(self) -> None:
        data = {
            "identifiers": [{"id": "u1", "provider": "CRM"}],
            "first_name": "Ada",
            "last_name": "L",
            "postal_code": "1",
            "dob": "1990-02-03T00:00",
            "email": "ada@shop.example",
            "channel": "WEB",
            "page": "Home",
        }
        told = event("identity", user_id="u1", data=data, extension={"plan": "pro", "created_at": 1_700_000_000})

        assert bare(told) == {
            "type": "identify",
            "userId": "u1",
            "traits": {
                "firstName": "Ada",
                "lastName": "L",
                "postalCode": "1",
                "birthday": "1990-02-03",
                "email": "ada@shop.example",
                "plan": "pro",
                "createdAt": "2023-11-14T22:13:20.000Z",
            },
        }

    @pytest.mark.parametrize(
        ("given", "written"),
        [
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000Z"),
            (True, True),
            (None, None),
            (1e300, 1e300),
        ],
    )
    @pytest.mark.parametrize("name", ["created_at", "createdAt"])
    def test_created_at_is_a_date(self, name: str, given: Any, written: Any) -> None:
        assert bare(event("identity", extension={name: given}))["traits"] == {"createdAt": written}

    def test_an_anonymous_identity_has_the_browsers_id_alone(self) -> None:
        told = message(event("identity", data={"email": "ada@shop.example"}))

        assert (told["type"], told["anonymousId"], "userId" in told) == ("identify", BROWSER_ID, False)
        assert told["traits"] == {"email": "ada@shop.example"}

    def test_a_group_and_an_alias(self) -> None:
        traits = {"name": "Acme", "createdAt": "2023-11-14T22:13:20.000Z", "plan": {"seats": 5}}
        assert bare(event("group", user_id="u1", data=GROUP)) == {
            "type": "group",
            "userId": "u1",
            "groupId": "g1",
            "traits": traits,
        }
        told = message(event("alias", user_id="new", data={"previous_id": "old"}))
        assert (told["type"], told["userId"], told["previousId"]) == ("alias", "new", "old")
        assert "anonymousId" not in told

    def test_integrations_are_handed_through(self) -> None:
        assert message(event(integrations={"All": False}))["integrations"] == {"All": False}

    def test_a_known_bot_is_marked(self) -> None:
        assert message(event(context=Context(bot=True)))["context"]["bot"] is True


class TestCheck:
    def test_a_call_may_have_32_kilobytes_of_utf_8_and_no_more(self) -> None:
        destination = customerio()
        room = 32_768 - (destination.encoded_size(event(data={"t": ""})) - 1)

        destination.check(event(data={"t": "x" * room}))
        destination.check(event(data={"t": "\u8cb7" * (room // 3)}))
        for text in ("x" * (room + 1), "\u8cb7" * (room // 3 + 1)):
            with pytest.raises(ValidationError, match=r"found a call of 3\d{4} bytes, expected at most 32768"):
                destination.check(event(data={"t": text}))

    def test_an_id_that_is_yet_to_be_found_has_its_room(self) -> None:
        destination = customerio()
        room = 32_768 - (destination.encoded_size(event(data={"t": ""})) - 1)

        with pytest.raises(ValidationError):
            destination.check(event(data={"t": "x" * (room + 1)}, browser_id=None))

    def test_a_refusal_holds_nothing_of_the_event(self) -> None:
        with pytest.raises(ValidationError) as raised:
            customerio().check(event(data={"email": "ada@shop.example" * 3000}))

        assert "ada" not in str(raised.value)

    def test_no_visitor_can_make_a_call_too_large(self) -> None:
        """What a visitor writes into the address must not make the app's own call fail."""
        hostile = Context(
            ip="2001:db8:1234::",
            user_agent="\\" * 512,
            locale="en",
            url="https://shop.example/" + "\u00ff" * 2048,
            path="/" + "\u00ff" * 2048,
            referrer="https://search.example/" + "\\" * 2048,
            campaign=dict.fromkeys(("utm_campaign", "utm_source", "utm_medium", "utm_term"), "\x01" * 2048),
        )
        for kind in ("page_view", "event"):
            customerio().check(event(kind, user_id="u" * 255, data={"t": "x" * 4000}, context=hostile))

    @pytest.mark.parametrize("field", ["page", "category"])
    def test_a_pages_name_is_text(self, field: str) -> None:
        with pytest.raises(ValidationError, match=f"customerio: {field} is dict, expected text"):
            customerio().check(event("page_view", data={field: {"a": 1}}))
        customerio().check(event("page_view", data={field: 5}))
        assert bare(event("page_view", data={"page": 5}))["name"] == "5"


def test_an_event_that_waited_on_disk_makes_the_same_bytes() -> None:
    recorded = event(
        "page_view",
        user_id="u1",
        data={"page": "Boot", "total": 0.1, "big": 2**60},
        extension={"cart_items": [1, None]},
        nested={"cart": {"items": [1, None]}, "none": None},
        context=CONTEXT,
        integrations={"All": False},
    )
    assert customerio().encode([decode(encode(recorded))]) == customerio().encode([recorded])
