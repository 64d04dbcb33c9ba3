"""The tracker: calls become events, with everything decided when they are made; what is wrong is refused in words."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from passerby import Dropped, QueueReceipt, Receipt, RequestInfo, Tracker, ValidationError, current_tracker
from passerby.client.current import reset_current, set_current
from passerby.destinations import PersonalizationRequest
from passerby.destinations.sitecore import Sitecore
from passerby.events.attributes import flatten
from passerby.events.context import context_of
from passerby.events.event import NO_CONTEXT, Context, Event, EventKind
from passerby.events.identity import traits_of
from passerby.http.policy import PAGE, Decision
from passerby.http.proxies import TrustedProxies
from passerby.http.session import Session, session_of
from passerby.http.visitor_cookies import ParsedBrowserId, StoredIdentity
from passerby.values.browser_id import IssuedId
from tests.making import BROWSER_ID, NAVIGATION, OTHER_ID, request

MARKER = "a-value-that-nobody-may-see"
NOW = 1_767_225_600.0


def counted(number: int) -> QueueReceipt:
    receipt = QueueReceipt()
    receipt.resolve(number)
    return receipt


class FakeClient:
    """Keeps what trackers hand over; checks as Sitecore does."""

    def __init__(self, **defaults: Any) -> None:
        usual: dict[str, Any] = dict.fromkeys(("channel", "currency", "language", "identity_provider"))
        usual |= {"infer_from_request": True, "remembers_users": True, "sensitive_traits": "refuse", "hash_traits": ()}
        usual |= {"on_user_change": "rotate", "redact_url": None, "page_name": "route"}
        self.defaults: Any = SimpleNamespace(**(usual | defaults))
        self.destination_names: tuple[str, ...] = ("sitecore", "other")
        self.destinations_for: dict[EventKind, tuple[str, ...]] = dict.fromkeys(
            get_args(EventKind), self.destination_names
        )
        self.destinations_for |= {"group": ("other",), "alias": ("other",)}
        self.time = NOW
        self.ready: list[str] = []
        self.events: list[Event] = []
        self.captured: list[tuple[Event, tuple[str, ...], bool]] = []
        self.dropped: list[tuple[str, tuple[str, ...]]] = []
        self.links: dict[str, str] = {}
        self.released: list[str] = []
        self.cleared: list[str] = []
        self.on_invalid = "raise"
        self.keeps_guest_id = False
        self.point_of_sale_of: Callable[[Session], Any] = lambda session: "shop"
        self._sitecore = Sitecore(client_key="key", target_url="http://localhost")

    def now(self) -> float:
        return self.time

    def assign(self, session: Session) -> None:
        if self.ready:
            session.assign(IssuedId(self.ready.pop(0)))

    @property
    def common_data(self) -> list[tuple[str, str]]:
        named = [(name, getattr(self.defaults, name)) for name in ("channel", "currency", "language")]
        return [(name, value) for name, value in named if value is not None]

    def link(self, visitor: str, issued: IssuedId) -> str:
        return self.links.setdefault(visitor, issued.browser_id)

    def context(self, session: Session) -> Context:
        return NO_CONTEXT if session.request is None else context_of(session.request, TrustedProxies())

    def point_of_sale(self, session: Session) -> Any:
        return self.point_of_sale_of(session)

    def check(self, event: Event, destinations: Sequence[str]) -> None:
        if "sitecore" in destinations:
            self._sitecore.check(event)

    def capture(
        self,
        session: Session,
        event: Event,
        destinations: Sequence[str],
        receipt: Receipt,
        held: bool,
        undo: Callable[[], None] | None = None,
    ) -> None:
        self.check(event, destinations)
        self.events.append(event)
        self.captured.append((event, tuple(destinations), held))

    def drop(self, reason: str, destinations: Sequence[str], error: ValidationError | None = None) -> Receipt:
        if error is not None and self.on_invalid == "raise":
            raise error
        self.dropped.append((reason, tuple(destinations)))
        return Receipt.dropped(reason, destinations)

    def release_held(self, session: Session, visitor: str) -> QueueReceipt:
        self.released.append(visitor)
        return counted(2)

    def clear_held(self, session: Session, visitor: str) -> QueueReceipt:
        self.cleared.append(visitor)
        return counted(3)

    def ask_guest_id(self, browser_id: str | None, timeout: float | None) -> Future[str]:
        answer: Future[str] = Future()
        answer.set_result(f"guest of {browser_id} within {timeout}")
        return answer

    def check_personalization(self, request: PersonalizationRequest) -> None:
        pass

    def ask_personalization(
        self, asked: PersonalizationRequest, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        answer: Future[dict[str, Any] | None] = Future()
        known = {"browser_id": asked.browser_id, "pos": asked.point_of_sale}
        answer.set_result({"data": dict(asked.data), "timeout": timeout, **known})
        return answer


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def tracker(client: FakeClient) -> Tracker:
    return Tracker(client, session_of(BROWSER_ID))


def visiting(
    client: FakeClient, target: str = "/", headers: dict[str, str] | None = None, decision: Decision = PAGE, **seen: Any
) -> Tracker:
    parsed_browser_id = ParsedBrowserId(seen.get("browser_id"), is_present="browser_id" in seen)
    return Tracker(
        client,
        Session(request(target, NAVIGATION | (headers or {})), decision, parsed_browser_id, seen.get("remembered")),
    )


class TestEvents:
    def test_a_page_view(self, client: FakeClient) -> None:
        client.defaults.channel, client.defaults.currency = "WEB", "EUR"
        headers = {"accept-language": "de-CH,de;q=0.9", "referer": "https://search.example/find?q=x"}
        receipt = visiting(client, "/shop/shoes?utm_source=news", headers, browser_id=BROWSER_ID).page_view(
            {"page": "Shoes"}, {"theme": {"dark": True}}
        )
        (event,) = client.events
        assert receipt.event_id == event.id
        assert UUID(event.id).version == 7
        assert (event.kind, event.type, event.time) == ("page_view", None, NOW)
        assert (event.browser_id, event.visitor, event.user_id) == (BROWSER_ID, BROWSER_ID, None)
        assert event.extension == {"theme_dark": True}
        assert event.point_of_sale == "shop"
        assert event.context.campaign == {"utm_source": "news"}
        assert event.data == {
            "page": "Shoes", "channel": "WEB", "currency": "EUR", "language": "DE",
            "referrer": "https://search.example/find",
        }  # fmt: skip

    def test_page_and_language_are_inferred(self, client: FakeClient) -> None:
        tracker = visiting(client, "/shop/shoes", {"accept-language": "en-GB"}, browser_id=BROWSER_ID)
        tracker.event("ADD", {"product": {"id": 1}})
        tracker.page_view()
        assert [event.data.get("page") for event in client.events] == ["shoes", "shoes"]
        assert [event.data.get("language") for event in client.events] == ["EN", "EN"]

    def test_what_the_call_says_is_not_inferred(self, client: FakeClient) -> None:
        client.defaults.channel = "WEB"
        headers = {"accept-language": "en-GB", "referer": "https://search.example/"}
        data = {"page": "Home", "language": "FR", "channel": "CALL_CENTER", "referrer": "https://own.example/"}
        visiting(client, "/shop", headers, browser_id=BROWSER_ID).page_view(data)
        assert client.events[0].data == data

    def test_nothing_is_inferred_where_that_is_off(self, client: FakeClient) -> None:
        client.defaults.infer_from_request, client.defaults.language = False, "IT"
        visiting(client, "/shop", {"accept-language": "en-GB"}, browser_id=BROWSER_ID).page_view()
        assert client.events[0].data == {"language": "IT"}

    def test_the_referrer_is_told_once_and_only_of_page_views(self, client: FakeClient) -> None:
        tracker = visiting(client, "/", {"referer": "https://search.example/"}, browser_id=BROWSER_ID)
        tracker.event("ADD")
        tracker.page_view()
        tracker.page_view()
        assert [event.data.get("referrer") for event in client.events] == [None, "https://search.example/", None]

    def test_camel_case_and_snake_case_are_the_same(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.remembers_users = False  # so much the same that the second one would be held back
        tracker.page_view({"pointOfSale": "a", "pageVariantId": "v"})
        tracker.page_view({"point_of_sale": "a", "page_variant_id": "v"})
        tracker.event("ADD", {"pointOfSale": "b"})
        for keys in (
            ("firstName", "lastName", "postalCode", "expiryDate"),
            ("first_name", "last_name", "postal_code", "expiry_date"),
        ):
            first, last, code, expiry = keys
            one = {"id": "1", "provider": "p", expiry: "2030-01-01T00:00"}
            tracker.identity({first: "Ada", last: "L", code: "1", "identifiers": [one]})
        views, camel, snake = client.events[:2], client.events[3], client.events[4]
        assert views[0].data == views[1].data == {"page_variant_id": "v"}
        assert views[0].point_of_sale == "a"
        assert client.events[2].point_of_sale == "b"
        assert camel.data == snake.data
        assert camel.data["identifiers"] == [{"id": "1", "provider": "p", "expiry_date": "2030-01-01T00:00"}]

    def test_keyword_options(self, tracker: Tracker, client: FakeClient) -> None:
        moment = datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=1)))
        tracker.event(
            "ADD",
            timestamp=moment,
            event_id="order-7",
            context={"ip": "1.2.3.4", "path": "/imported"},
            integrations={"All": False},
            destinations=["other"],
        )
        event, destinations, held = client.captured[0]
        assert event.timestamp == moment
        assert event.id == "order-7"
        assert (event.context.ip, event.context.path, event.data["page"]) == ("1.2.3.4", "/imported", "imported")
        assert event.integrations == {"All": False}
        assert destinations == ("other",)
        assert not held

    @pytest.mark.parametrize("moment", [datetime(2020, 1, 2), 1_577_923_200, 1_577_923_200.0])  # noqa: DTZ001
    def test_a_timestamp_without_zone_is_utc(self, tracker: Tracker, client: FakeClient, moment: Any) -> None:
        tracker.page_view(timestamp=moment)
        assert client.events[0].timestamp_text == "2020-01-02T00:00:00.000Z"

    def test_a_uuid_as_event_id(self, tracker: Tracker, client: FakeClient) -> None:
        made = uuid4()
        tracker.page_view(event_id=made)  # type: ignore[arg-type]
        assert client.events[0].id == str(made)

    def test_what_the_app_changes_later_changes_nothing(self, tracker: Tracker, client: FakeClient) -> None:
        data = {"items": [1]}
        tracker.event("ADD", data, {"more": data})
        data["items"].append(2)
        assert client.events[0].data["items"] == [1]
        assert client.events[0].extension["more_items"] == [1]

    def test_the_queue_holds_events(self, tracker: Tracker, client: FakeClient) -> None:
        tracker.add_to_event_queue("ADD", {"a": 1})
        assert client.captured[0][2] is True
        assert (tracker.process_event_queue().count, client.released) == (2, [BROWSER_ID])
        assert (tracker.clear_event_queue().count, client.cleared) == (3, [BROWSER_ID])

    async def test_questions(self, tracker: Tracker) -> None:
        assert await tracker.guest_id(1.5) == tracker.guest_id_sync(1.5) == f"guest of {BROWSER_ID} within 1.5"
        answer = await tracker.personalize({"friendly_id": "x"}, 0.5)
        assert answer == tracker.personalize_sync({"friendly_id": "x"}, 0.5)
        assert answer is not None
        assert answer["data"]["friendly_id"] == "x"
        assert (answer["browser_id"], answer["pos"], answer["timeout"]) == (BROWSER_ID, "shop", 0.5)

    def test_current_tracker(self, tracker: Tracker) -> None:
        with pytest.raises(LookupError, match="for_visitor"):
            current_tracker()
        token = set_current(tracker)
        assert current_tracker() is tracker
        reset_current(token)
        with pytest.raises(LookupError):
            current_tracker()


class TestPointOfSale:
    def test_the_settings(self, tracker: Tracker) -> None:
        assert tracker.point_of_sale == "shop"

    def test_it_can_be_changed_for_a_request(self, tracker: Tracker, client: FakeClient) -> None:
        tracker.page_view()
        tracker.point_of_sale = "outlet"
        tracker.page_view()
        tracker.page_view({"point_of_sale": "call"})
        tracker.point_of_sale = None
        tracker.page_view()
        assert [event.point_of_sale for event in client.events] == ["shop", "outlet", "call", "shop"]

    @pytest.mark.parametrize("blank", ["", " ", "\t\n", 5])
    def test_a_blank_one_is_refused(self, tracker: Tracker, blank: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            tracker.point_of_sale = blank
        assert str(caught.value) == '[MV-0009] "pointOfSale" cannot be empty.'


class TestIds:
    def test_the_first_call_gives_an_id_where_one_is_ready(self, client: FakeClient) -> None:
        tracker = visiting(client, decision=Decision(assign="when tracked"))
        client.ready = [OTHER_ID]
        before = tracker.browser_id
        tracker.page_view()
        assert before is None
        assert tracker.browser_id == client.events[0].browser_id == OTHER_ID
        assert client.links == {}

    def test_without_an_id_events_are_kept_and_linked_later(self, client: FakeClient) -> None:
        tracker = visiting(client)
        tracker.page_view()
        tracker.event("ADD")
        client.ready = [OTHER_ID]
        tracker.event("CHECKOUT")
        assert [event.browser_id for event in client.events] == [None, None, OTHER_ID]
        assert client.events[0].visitor == client.events[1].visitor
        assert client.links == {client.events[0].visitor: OTHER_ID}

    def test_two_visits_without_ids_are_not_one(self, client: FakeClient) -> None:
        visiting(client).page_view()
        visiting(client).page_view()
        assert client.events[0].visitor != client.events[1].visitor

    def test_a_prefetch_takes_no_id(self, client: FakeClient) -> None:
        client.ready = [OTHER_ID]
        visiting(client, decision=Decision(assign="never")).page_view()
        assert client.events[0].browser_id is None
        assert client.ready == [OTHER_ID]

    def test_reading_or_telling_uses_an_id(self, client: FakeClient) -> None:
        uses: list[Callable[[Tracker], object]] = [lambda one: one.browser_id, lambda one: one.page_view()]
        for use in uses:
            tracker = visiting(client)
            tracker.session.assign(IssuedId(OTHER_ID))
            assert not tracker.session.is_id_used
            use(tracker)
            assert tracker.session.is_id_used

    def test_rotate_gives_another_id(self, client: FakeClient) -> None:
        tracker = visiting(client, browser_id=BROWSER_ID, remembered=StoredIdentity("user_123", "", 0))
        client.ready = [OTHER_ID]
        tracker.page_view()
        tracker.rotate()
        tracker.page_view()
        assert [(event.browser_id, event.user_id) for event in client.events] == [
            (BROWSER_ID, "user_123"),
            (OTHER_ID, None),
        ]

    def test_rotate_without_an_id_at_hand(self, client: FakeClient) -> None:
        """What follows is not told of the one who was there before."""
        tracker = visiting(client, browser_id=BROWSER_ID)
        tracker.rotate()
        tracker.page_view()
        assert tracker.browser_id is None
        assert client.events[0].visitor.startswith("session:")

    def test_rotate_where_no_cookie_may_be_set(self, client: FakeClient) -> None:
        client.ready = [OTHER_ID]
        tracker = visiting(client, decision=Decision("consent", "never"))
        tracker.rotate()
        assert client.ready == [OTHER_ID]


class TestIdentity:
    def test_identify_and_identity_say_the_same(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        client.defaults.remembers_users = False
        tracker.identify("user_123", {"email": "ada@b.example", "firstName": "Ada", "plan": {"name": "pro"}})
        tracker.identity(
            {"identifiers": [{"id": "user_123", "provider": "CRM"}], "email": "ada@b.example", "first_name": "Ada"},
            {"plan": {"name": "pro"}},
        )
        one, other = client.events
        assert one.data == other.data
        assert one.extension == other.extension == {"plan_name": "pro"}
        assert one.user_id == other.user_id == tracker.user_id == "user_123"

    @pytest.mark.parametrize(
        ("identifiers", "user_id"),
        [
            ([{"id": "1", "provider": "A"}, {"id": "2", "provider": "CRM"}], "2"),
            ([{"id": "1", "provider": "A"}, {"id": "2", "provider": "B"}], "1"),
            ([{"id": 7, "provider": "CRM"}], "7"),
            ([{"id": "", "provider": "CRM"}], None),
            ([{"id": None, "provider": "CRM"}], None),
            ([{"provider": "CRM"}], None),
            ([{"id": BROWSER_ID, "provider": "CRM"}], None),
            ([{"id": "x" * 256, "provider": "CRM"}], None),
        ],
    )
    def test_the_user_id_of_identifiers(
        self, tracker: Tracker, client: FakeClient, identifiers: list[dict[str, Any]], user_id: str | None
    ) -> None:
        client.defaults.identity_provider = "CRM"
        tracker.identity({"identifiers": identifiers})
        assert tracker.user_id == client.events[0].user_id == user_id

    @pytest.mark.parametrize(("given", "text"), [(5, "5"), (UUID(BROWSER_ID[::-1][:8] * 4), None), (" u ", "u")])
    def test_a_user_id_may_be_a_number_or_a_uuid(
        self, tracker: Tracker, client: FakeClient, given: Any, text: str | None
    ) -> None:
        client.defaults.identity_provider = "CRM"
        tracker.identify(given)
        assert tracker.user_id == (text or str(given))

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("", "found none"),
            ("  ", "found none"),
            (None, "found none"),
            (True, "found bool"),
            (b"123", "found bytes"),
            (["123"], "found list"),
            (1.5, "found float"),
            (2**63, "beyond 64 bits"),
            ("x" * 256, "found 256 characters"),
            (BROWSER_ID, "found the browser ID"),
        ],
    )
    def test_a_user_id_that_is_none(self, tracker: Tracker, client: FakeClient, given: Any, says: str) -> None:
        with pytest.raises(ValidationError, match=says):
            tracker.identify(given)
        assert client.events == []
        assert tracker.user_id is None

    def test_dates_are_written_to_the_minute(self, tracker: Tracker, client: FakeClient) -> None:
        tracker.identity(
            {
                "dob": date(815, 12, 10),
                "identifiers": ({"id": "1", "provider": "p", "expiryDate": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)},),
            }
        )
        assert client.events[0].data["dob"] == "0815-12-10T00:00"
        assert client.events[0].data["identifiers"][0]["expiry_date"] == "2030-01-02T03:04"
        tracker.identity({"dob": datetime(815, 12, 10, 5, 6), "identifiers": [{"id": "1"}]})  # noqa: DTZ001
        assert client.events[1].data["dob"] == "0815-12-10T05:06"

    @pytest.mark.parametrize(
        ("data", "extension"),
        [({}, {"password": "hunter2"}), ({"phone": "4111 1111 1111 1111"}, {}), ({}, {"login": {"token": "abc"}})],
    )
    def test_what_looks_like_a_secret_is_refused(
        self, tracker: Tracker, client: FakeClient, data: dict[str, Any], extension: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError, match="looks like"):
            tracker.identity({"identifiers": [{"id": "1", "provider": "p"}], **data}, extension)
        assert client.events == []

        client.defaults.sensitive_traits = "allow"
        tracker.identity({"identifiers": [{"id": "1", "provider": "p"}], **data}, extension)
        assert len(client.events) == 1

    def test_events_may_be_about_secrets(self, tracker: Tracker, client: FakeClient) -> None:
        """Only what is told of a person is looked at: a password's reset is an event like any other."""
        tracker.event("PASSWORD_RESET", {"token": "x"}, {"password": "changed"})
        assert len(client.events) == 1

    def test_some_traits_are_told_as_a_hash_only(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider, client.defaults.hash_traits = "CRM", ("email", "firstName", "nickname")
        tracker.identify("user_123", {"email": " Ada@b.example", "first_name": "Ada", "nickname": "A", "plan": "pro"})
        (event,) = client.events
        assert event.data.keys() & {"email", "first_name"} == set()
        assert event.extension == {
            "email": hashlib.sha256(b"ada@b.example").hexdigest(),
            "first_name": hashlib.sha256(b"ada").hexdigest(),
            "nickname": hashlib.sha256(b"a").hexdigest(),
            "plan": "pro",
        }

    def test_what_is_nested_is_guarded_too(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider, client.defaults.hash_traits = "CRM", ("email",)
        tracker.identify("user_123", {"email": "ada@b.example", "company": {"name": "Acme"}})
        (event,) = client.events
        hashed = hashlib.sha256(b"ada@b.example").hexdigest()
        assert event.attributes == {"company": {"name": "Acme"}, "email": hashed}
        assert event.extension == {"company_name": "Acme", "email": hashed}
        assert "ada@b.example" not in str(tuple(event))
        with pytest.raises(ValidationError, match="looks like"):
            tracker.identify("user_123", {"login": {"password": "hunter2"}})
        with pytest.raises(ValidationError, match="looks like"):
            tracker.group("acme", {"api_key": "abc"})

    @pytest.mark.parametrize(
        ("name", "data", "extension", "told"),
        [
            ("contact_email", {}, {"contact": {"email": MARKER}}, {"contact": {"email": "#"}}),
            (
                "contact",
                {},
                {"contact": {"email": MARKER, "codes": [MARKER]}},
                {"contact": {"email": "#", "codes": ["#"]}},
            ),
            ("nickname", {"nickname": MARKER}, {}, {"nickname": "#"}),
            ("firstName", {}, {"firstName": MARKER}, {"firstName": "#"}),
            ("work_phone", {}, {"workPhone": MARKER}, {"workPhone": "#"}),
            ("street", {"street": [MARKER, MARKER]}, {}, {"street": ["#", "#"]}),
        ],
    )
    def test_a_hash_stands_for_it_wherever_it_is_and_however_it_is_written(
        self,
        tracker: Tracker,
        client: FakeClient,
        name: str,
        data: dict[str, Any],
        extension: dict[str, Any],
        told: Any,
    ) -> None:
        client.defaults.hash_traits = (name,)
        tracker.identity({"identifiers": [{"id": "1", "provider": "p"}], **data}, extension)
        (event,) = client.events
        assert MARKER not in str(tuple(event))
        hashed = hashlib.sha256(MARKER.encode()).hexdigest()
        assert json.loads(json.dumps(traits_of(event)).replace(hashed, "#")) == told
        assert event.extension == flatten(event.attributes)

    def test_what_is_told_of_a_group_is_hashed_too(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.hash_traits = ("owner_email",)
        tracker.group("acme", {"owner": {"email": MARKER, "since": 2020}})
        assert MARKER not in str(client.events[0].data)
        assert client.events[0].data["traits"]["owner"]["since"] == 2020

    def test_fields_that_passerby_does_not_know_are_guarded_too(self, tracker: Tracker, client: FakeClient) -> None:
        with pytest.raises(ValidationError, match="'password': found a value that looks like a password"):
            tracker.identity({"identifiers": ONE, "password": MARKER})
        assert client.events == []

    def test_identifiers_that_name_nobody_do_not_mean_whoever_was_known_before(
        self, tracker: Tracker, client: FakeClient
    ) -> None:
        client.defaults.identity_provider = "CRM"
        tracker.identify("ada")
        tracker.identity({"identifiers": [{"id": "", "provider": "CRM"}], "email": "ben@b.example"})
        assert client.events[1].user_id is client.events[1].previous_id is None
        assert tracker.user_id == "ada"

    def test_one_that_was_told_elsewhere_is_not_unchanged(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        for name in ("sitecore", "other", "other"):
            tracker.identify("user_123", {"plan": "pro"}, destinations=[name])
        assert [destinations for _, destinations, _ in client.captured] == [("sitecore",), ("other",)]

    def test_a_change_of_accounts_says_who_it_was_before(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        for user_id, plan in (("ada", "free"), ("ada", "pro"), ("ben", "free")):
            tracker.identify(user_id, {"plan": plan})
        tracker.reset()
        tracker.identify("cyd")
        assert [event.previous_id for event in client.events] == [None, None, "ada", None]

    def test_another_person_within_one_request_gets_a_new_browser_id(self, client: FakeClient) -> None:
        """Also where nobody is remembered over requests."""
        client.defaults.identity_provider, client.defaults.remembers_users = "CRM", False
        tracker, client.ready = visiting(client, browser_id=BROWSER_ID), [OTHER_ID]
        for user_id in ("ada", "ben"):
            tracker.identify(user_id)
            tracker.page_view()
        seen = [(event.browser_id, event.visitor, event.user_id, event.previous_id) for event in client.events]
        ada, ben = (BROWSER_ID, BROWSER_ID, "ada", None), (OTHER_ID, OTHER_ID, "ben", None)
        assert seen == [ada, ada, ben, ben]

    def test_another_person_for_whom_no_browser_id_is_ready(self, client: FakeClient) -> None:
        """What is told of them waits for an ID of its own; nothing of it goes to the one before."""
        client.defaults.identity_provider = "CRM"
        tracker = visiting(client, browser_id=BROWSER_ID)
        for user_id in ("ada", "ben"):
            tracker.identify(user_id)
            tracker.page_view()
        assert [event.browser_id for event in client.events] == [BROWSER_ID, BROWSER_ID, None, None]
        assert len({event.visitor for event in client.events[2:]}) == 1
        assert tracker.session.has_stale_id

    @pytest.mark.parametrize(
        "identifiers",
        [
            [{"id": "ben", "provider": "CRM"}],
            [{"id": "", "provider": "CRM"}],
            [{"id": "x" * 300, "provider": "EMAIL"}],
            [{"id": "ben@b.example", "provider": "EMAIL"}, {"id": "7", "provider": "CRM"}],
        ],
    )
    def test_identifiers_that_do_not_have_the_known_user_are_anothers(
        self, client: FakeClient, identifiers: Any
    ) -> None:
        client.defaults.identity_provider = "CRM"
        tracker, client.ready = visiting(client, browser_id=BROWSER_ID), [OTHER_ID]
        tracker.identify("ada")
        tracker.identity({"identifiers": identifiers})
        assert [event.browser_id for event in client.events] == [BROWSER_ID, OTHER_ID]
        assert tracker.user_id != "ada"

    @pytest.mark.parametrize("other", ["EMAIL", "CRM", "ORDER"])
    def test_identifiers_that_have_the_known_user_are_of_one_person(self, client: FakeClient, other: str) -> None:
        client.defaults.identity_provider = "CRM"
        tracker, client.ready = visiting(client, browser_id=BROWSER_ID), [OTHER_ID]
        tracker.identity({"identifiers": [{"id": "ada@b.example", "provider": "EMAIL"}]})
        tracker.identity({"identifiers": [{"id": "7", "provider": "CRM"}, {"id": "ada@b.example", "provider": other}]})
        assert (tracker.browser_id, tracker.user_id) == (BROWSER_ID, "7")

    def test_an_invalid_identity_leaves_the_browser_to_whom_it_belongs(self, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        tracker, client.ready = visiting(client, browser_id=BROWSER_ID), [OTHER_ID]
        tracker.identify("ada")
        with pytest.raises(ValidationError):
            tracker.identity({"identifiers": [{"id": "ben", "provider": "CRM"}], "email": 5})
        assert (tracker.browser_id, tracker.user_id) == (BROWSER_ID, "ada")

    def test_later_events_know_the_user(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        tracker.page_view()
        tracker.identify("user_123")
        tracker.page_view()
        tracker.reset()
        tracker.page_view()
        assert [event.user_id for event in client.events] == [None, "user_123", "user_123", None]

    def test_an_unchanged_identity_is_not_sent_again(self, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        tracker = visiting(client, "/a", browser_id=BROWSER_ID)
        tracker.identify("user_123", {"email": "ada@b.example"})
        remembered = tracker.session.stored_identity
        later = visiting(client, "/b", browser_id=BROWSER_ID, remembered=remembered)
        receipt = later.identify("user_123", {"email": "ada@b.example"})
        assert receipt.event_id is None
        assert receipt.outcomes == {"sitecore": Dropped("unchanged"), "other": Dropped("unchanged")}
        assert client.dropped == [("unchanged", ("sitecore", "other"))]
        assert later.session.identity_change is None
        assert later.user_id == "user_123"

    @pytest.mark.parametrize(
        ("user_id", "traits", "passed", "browser_id"),
        [
            ("user_123", {"email": "ada@c.example"}, 0, BROWSER_ID),
            ("user_124", {"email": "ada@b.example"}, 0, BROWSER_ID),
            ("user_123", {"email": "ada@b.example", "plan": "pro"}, 0, BROWSER_ID),
            ("user_123", {"email": "ada@b.example"}, 86_400, BROWSER_ID),
            ("user_123", {"email": "ada@b.example"}, 0, OTHER_ID),
        ],
        ids=["changed trait", "other user", "further trait", "a day later", "other browser"],
    )
    def test_a_changed_or_old_identity_is_sent(
        self, client: FakeClient, user_id: str, traits: dict[str, Any], passed: float, browser_id: str
    ) -> None:
        client.defaults.identity_provider = "CRM"
        tracker = visiting(client, browser_id=BROWSER_ID)
        tracker.identify("user_123", {"email": "ada@b.example"})
        client.time += passed
        later = visiting(client, browser_id=browser_id, remembered=tracker.session.stored_identity)
        later.identify(user_id, traits)
        assert len(client.events) == 2
        assert later.session.identity_change is not None
        assert later.session.identity_change.sent_at == NOW + passed

    def test_without_signed_cookies_it_is_sent_each_time(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.remembers_users, client.defaults.identity_provider = False, "CRM"
        tracker.identify("user_123")
        tracker.identify("user_123")
        assert len(client.events) == 2
        assert tracker.session.identity_change is None

    def test_more_than_fifty_traits(self, tracker: Tracker, client: FakeClient) -> None:
        client.defaults.identity_provider = "CRM"
        tracker.identify("user_123", {"email": "ada@b.example"} | {f"t{n}": n for n in range(50)})
        with pytest.raises(ValidationError) as caught:
            tracker.identify("user_123", {f"t{n}": MARKER for n in range(51)})
        assert caught.value.code == "IV-0005"
        assert len(client.events) == 1

    def test_identify_without_provider_says_which_setting_is_missing(self, tracker: Tracker) -> None:
        with pytest.raises(ValidationError, match="identity_provider"):
            tracker.identify("user_123")


CYCLE: dict[str, Any] = {"marker": MARKER}
CYCLE["self"] = CYCLE
ONE = [{"id": MARKER, "provider": "p"}]
BAD: dict[str, tuple[Callable[[Tracker], Any], str]] = {
    "51 attributes": (
        lambda t: t.page_view(None, {f"a{n}": MARKER for n in range(51)}),
        "[IV-0005] This event supports maximum 50 attributes. Reduce the number of attributes.",
    ),
    "no identifiers": (lambda t: t.identity({"email": MARKER}), '[MV-0004] "identifiers" is required.'),
    "empty identifiers": (lambda t: t.identity({"identifiers": []}), '[MV-0004] "identifiers" is required.'),
    "identity of nothing": (lambda t: t.identity(None), '[MV-0004] "identifiers" is required.'),  # type: ignore[arg-type]
    "identifiers that are no list": (lambda t: t.identity({"identifiers": {"id": MARKER}}), "[MV-0004]"),
    "an identifier that is no dict": (lambda t: t.identity({"identifiers": [MARKER]}), "identifiers"),
    "bad email": (
        lambda t: t.identity({"identifiers": ONE, "email": f"{MARKER}@"}),
        '[IV-0003] Incorrect value for "email". Set the value to a valid email address.',
    ),
    "an email that is no text": (lambda t: t.identity({"identifiers": ONE, "email": 5}), "[IV-0003]"),
    "bad dob": (
        lambda t: t.identity({"identifiers": ONE, "dob": MARKER}),
        '[IV-0002] Incorrect value for "dob". Format the value according to ISO 8601.',
    ),
    "a dob there is not": (lambda t: t.identity({"identifiers": ONE, "dob": "2025-02-29T00:00"}), "[IV-0002]"),
    "bad expiry": (
        lambda t: t.identity({"identifiers": [{"id": "1", "expiryDate": MARKER}]}),
        '[IV-0004] Incorrect value for "expiryDate". Format the value according to ISO 8601.',
    ),
    "blank point of sale": (lambda t: t.page_view({"point_of_sale": "  "}), '[MV-0003] "pointOfSale" is required.'),
    "a point of sale that is no text": (lambda t: t.page_view({"pointOfSale": 5}), '[MV-0003] "pointOfSale"'),
    "cycle": (lambda t: t.event("ADD", CYCLE), "event data: nested more than"),
    "depth": (lambda t: t.page_view(None, CYCLE), "extension data: nested more than"),
    "huge integer": (lambda t: t.event("ADD", {"n": 2**64}), "event data: found an integer beyond 64 bits"),
    "bytes": (lambda t: t.event("ADD", {"b": MARKER.encode()}), "event data: found a value of type bytes"),
    "10 MB": (lambda t: t.event("ADD", {"b": MARKER * 400_000}), "event data: larger than"),
    "event data that are no mapping": (lambda t: t.event("ADD", [MARKER]), "event data: found list"),  # type: ignore[arg-type]
    "identity data that are no mapping": (lambda t: t.identity(MARKER), "event data: found str"),  # type: ignore[arg-type]
    "extension data that are no mapping": (lambda t: t.page_view(None, MARKER), "extension data: found str"),  # type: ignore[arg-type]
    "traits that are no mapping": (lambda t: t.identify("u", [MARKER]), "traits: found list"),  # type: ignore[arg-type]
    "no type": (lambda t: t.event(""), "event type: found none"),
    "blank type": (lambda t: t.event(" "), "event type: found none"),
    "a type that is no text": (lambda t: t.event(5), "event type: found none"),  # type: ignore[arg-type]
    "unknown destination": (lambda t: t.page_view(destinations=[MARKER]), "destinations: expected a list of names"),
    "destinations as text": (lambda t: t.page_view(destinations="sitecore"), "destinations: expected a list of names"),
    "timestamp in milliseconds": (lambda t: t.page_view(timestamp=1_767_225_600_000), "timestamp: expected"),
    "timestamp as text": (lambda t: t.page_view(timestamp=MARKER), "timestamp: expected"),  # type: ignore[arg-type]
    "timestamp true": (lambda t: t.page_view(timestamp=True), "timestamp: expected"),
    "timestamp NaN": (lambda t: t.page_view(timestamp=math.nan), "timestamp: expected"),
    "timestamp before 1970": (lambda t: t.page_view(timestamp=-1), "timestamp: expected"),
    "timestamp beyond the calendar": (
        lambda t: t.page_view(timestamp=datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        "timestamp: expected",
    ),
    "event ID that is no text": (lambda t: t.page_view(event_id=5), "event_id: expected"),  # type: ignore[arg-type]
    "empty event ID": (lambda t: t.page_view(event_id=""), "event_id: expected"),
    "long event ID": (lambda t: t.page_view(event_id=MARKER * 10), "event_id: expected"),
    "event ID with a line break": (lambda t: t.page_view(event_id="a\r\nb"), "event_id: expected"),
    "unknown context": (lambda t: t.page_view(context={"ipp": MARKER}), "context: found ipp"),
    "context that is no mapping": (lambda t: t.page_view(context=[MARKER]), "context: found list"),  # type: ignore[arg-type]
    "context with bytes": (lambda t: t.page_view(context={"ip": b"1"}), "context: found a value of type bytes"),
    "integrations that are no mapping": (lambda t: t.page_view(integrations=[1]), "integrations: found list"),  # type: ignore[arg-type]
    "unknown option": (lambda t: t.page_view(time_stamp=5), "time_stamp"),  # type: ignore[call-arg]
    "personalize data that are no mapping": (lambda t: t.personalize_sync([MARKER]), "personalize data: found list"),  # type: ignore[arg-type]
}  # fmt: skip


class TestBadInput:
    @pytest.mark.parametrize("case", BAD)
    def test_it_is_refused_in_words_without_values(self, tracker: Tracker, client: FakeClient, case: str) -> None:
        call, words = BAD[case]
        with pytest.raises(ValidationError) as caught:
            call(tracker)
        assert words in str(caught.value)
        assert MARKER not in str(caught.value)
        assert (client.captured, client.dropped) == ([], [])
        assert tracker.user_id is None

    @pytest.mark.parametrize("case", [case for case in BAD if "personalize" not in case])
    def test_it_may_be_dropped(
        self, tracker: Tracker, client: FakeClient, case: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.on_invalid = "drop"
        with caplog.at_level(logging.DEBUG):
            receipt = BAD[case][0](tracker)
        assert receipt.event_id is None
        assert receipt.outcomes == {"sitecore": Dropped("invalid"), "other": Dropped("invalid")}
        assert client.dropped == [("invalid", ("sitecore", "other"))]
        assert client.captured == []
        assert MARKER not in caplog.text

    @pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800"])
    def test_what_json_cannot_say_is_written_as_well_as_it_can(
        self, tracker: Tracker, client: FakeClient, value: Any
    ) -> None:
        tracker.event("ADD", {"value": value}, {"value": value})
        assert client.events[0].data["value"] in (None, "\ufffd")

    def test_so_it_is_with_the_names_of_forms_and_screens(self, tracker: Tracker, client: FakeClient) -> None:
        tracker.form("\ud800", "\ud800")
        tracker.screen("\ud800")
        form, screen = client.events
        assert form.data == {"form_id": "\ufffd", "interaction": "\ufffd"}
        assert (form.type, screen.type) == ("Form \ufffd", "\ufffd")

    @pytest.mark.parametrize("name", [None, "", " ", 5])
    def test_a_screen_has_a_name(self, tracker: Tracker, name: Any) -> None:
        with pytest.raises(ValidationError, match="screen name: found none"):
            tracker.screen(name)


class TestRefusals:
    @pytest.mark.parametrize("reason", ["consent", "gpc", "bot"])
    def test_what_may_not_be_told_is_counted(self, client: FakeClient, reason: str) -> None:
        tracker = visiting(client, decision=Decision(reason, "never"))
        client.defaults.identity_provider = "CRM"
        receipts = [tracker.page_view(), tracker.event("ADD", destinations=["other"]), tracker.identify("u")]
        assert [receipt.event_id for receipt in receipts] == [None] * 3
        assert receipts[1].outcomes == {"other": Dropped(reason)}
        assert client.dropped == [
            (reason, ("sitecore", "other")),
            (reason, ("other",)),
            (reason, ("sitecore", "other")),
        ]
        assert client.captured == []
        assert tracker.user_id is None
        assert tracker.session.identity_change is None

    def test_our_own_mistakes_do_not_reach_the_app(
        self, client: FakeClient, tracker: Tracker, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(session: Session) -> Context:
            raise RuntimeError("broken inside")

        client.context = fail  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR):
            receipt = tracker.page_view()
        assert receipt.outcomes == {"sitecore": Dropped("internal"), "other": Dropped("internal")}
        assert "internal error in a tracking call" in caplog.text


def test_the_point_of_sale_is_asked_once_per_request(client: FakeClient) -> None:
    asked: list[RequestInfo | None] = []

    def point_of_sale(session: Session) -> str:
        asked.append(session.request)
        return "site"

    client.point_of_sale_of = point_of_sale
    tracker = visiting(client, browser_id=BROWSER_ID)
    tracker.page_view()
    tracker.page_view()
    assert len(asked) == 1
    assert {event.point_of_sale for event in client.events} == {"site"}


class TestGroupsAndAliases:
    def test_a_group_goes_to_whoever_takes_groups(self, client: FakeClient, tracker: Tracker) -> None:
        receipt = tracker.group(42, {"name": "Acme", "address": {"city": "Bath"}, "since": date(2024, 1, 2)})

        ((event, destinations, _),) = client.captured
        assert (event.kind, event.type, destinations) == ("group", None, ("other",))
        traits = {"name": "Acme", "address": {"city": "Bath"}, "since": "2024-01-02"}
        assert event.data == {"group_id": "42", "traits": traits}
        assert list(receipt.outcomes) == ["other"]

    def test_request_and_settings_add_nothing(self) -> None:
        client = FakeClient(channel="WEB", currency="EUR")
        visiting(client, "/a", browser_id=BROWSER_ID).group("g1")

        assert client.events[0].data == {"group_id": "g1", "traits": {}}

    def test_an_alias_stands_for_the_user_of_now(self, client: FakeClient) -> None:
        tracker = Tracker(client, session_of(BROWSER_ID, "user_1"))
        tracker.alias("old_1", timestamp=NOW - 10)

        ((event, destinations, _),) = client.captured
        assert (event.kind, destinations) == ("alias", ("other",))
        assert (event.user_id, event.data, event.time) == ("user_1", {"previous_id": "old_1"}, NOW - 10)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda tracker: tracker.group(""), "group ID: found none, expected text, a number or a UUID"),
            (lambda tracker: tracker.group("x" * 256), "group ID: found 256 characters, expected at most 255"),
            (lambda tracker: tracker.group("g1", ["a"]), "traits: found list, expected a mapping"),
            (lambda tracker: tracker.alias(None), "previous ID: found none"),
            (lambda tracker: tracker.alias("old"), "alias: found no user ID for the other ID"),
            (
                lambda tracker: tracker.group("g1", destinations=["sitecore"]),
                "group: found only destinations that do not take it, sitecore; choose other",
            ),
        ],
        ids=["no group ID", "long group ID", "traits", "no previous ID", "nobody", "nobody takes it"],
    )
    def test_what_is_wrong_is_refused(
        self, client: FakeClient, tracker: Tracker, call: Callable[[Tracker], Receipt], message: str
    ) -> None:
        with pytest.raises(ValidationError) as raised:
            call(tracker)

        assert message in str(raised.value)
        assert client.captured == []

    def test_ones_own_id_is_no_other(self, client: FakeClient) -> None:
        with pytest.raises(ValidationError, match="found the visitor's own user ID"):
            Tracker(client, session_of(BROWSER_ID, "user_1")).alias("user_1")

    def test_chosen_destinations_that_do_not_take_it_are_left_out(self, client: FakeClient, tracker: Tracker) -> None:
        tracker.group("g1", destinations=["sitecore", "other"])

        assert [destinations for _, destinations, _ in client.captured] == [("other",)]

    def test_where_nobody_takes_it_the_advice_is_to_add_somebody(self, client: FakeClient, tracker: Tracker) -> None:
        client.destinations_for["group"] = ()
        with pytest.raises(ValidationError, match=r"add CustomerIO\(...\) or Datalyr\(...\)"):
            tracker.group("g1")

        client.on_invalid = "drop"
        tracker.group("g1")
        assert client.dropped == [("invalid", ("sitecore", "other"))], "it is counted somewhere"

    def test_without_any_destination_nothing_happens(self, client: FakeClient, tracker: Tracker) -> None:
        client.destination_names = ()
        client.destinations_for = dict.fromkeys(client.destinations_for, ())
        tracker.group("g1")

        assert [destinations for _, destinations, _ in client.captured] == [()]

    def test_without_consent_it_is_counted_and_no_more(self, client: FakeClient) -> None:
        tracker = visiting(client, browser_id=BROWSER_ID, decision=Decision(assign="never", refusal="consent"))
        tracker.group("g1")
        tracker.alias("old")

        assert client.dropped == [("consent", ("other",))] * 2


class TestNestedAttributes:
    def test_they_are_kept_as_given_beside_the_flat_ones(self, client: FakeClient, tracker: Tracker) -> None:
        given = {"theme": "dark", "cart": {"items": [{"id": 1}], "total": math.nan}, "none": None}
        tracker.event("ADD", {}, given)

        (event,) = client.events
        assert event.extension == {"theme": "dark", "cart_items": [{"id": 1}], "cart_total": None}
        assert event.attributes == {"theme": "dark", "cart": {"items": [{"id": 1}], "total": None}, "none": None}

    def test_flat_ones_are_kept_once(self, client: FakeClient, tracker: Tracker) -> None:
        tracker.event("ADD", {}, {"theme": "dark", "tags": ["a"]})

        assert client.events[0].nested is None
        assert client.events[0].attributes is client.events[0].extension
