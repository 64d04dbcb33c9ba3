"""Sitecore's edge form: settings, bodies, checks and answers. The conformance tests hold what the SDKs send."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest

from passerby import CustomerIO, RemoteError, SettingsError, Sitecore, Tracking, ValidationError
from passerby.destinations import DestinationResponse, IssuedId, PersonalizationRequest
from passerby.destinations.spec import spec_of
from passerby.events.event import Context, Event
from tests.making import BROWSER_ID, OTHER_ID

URL = "https://edge.example.com"
TIME = 1_767_225_600.5
MIXED: Any = Sitecore  # called with settings that its overloads refuse


def edge(**options: Any) -> Sitecore:
    return cast("Sitecore", MIXED(**{"edge_context_id": "ctx1", "site_name": "shop", "edge_url": URL} | options))


def event(kind: Any = "page_view", type: str | None = None, **fields: Any) -> Event:
    usual: dict[str, Any] = {"point_of_sale": "shop", "data": {}, "extension": {}, "context": Context()}
    return Event("id", kind, type, TIME, BROWSER_ID, BROWSER_ID, None, **(usual | fields))


def body(told: Event, **options: Any) -> dict[str, Any]:
    call = edge(**options).encode([told])
    assert call.body is not None
    return cast("dict[str, Any]", json.loads(call.body))


class TestSettings:
    @pytest.mark.parametrize(
        ("dialect", "wrong", "message"),
        [
            ("cloud", {"edge_context_id": ""}, '[MV-0001] "sitecoreEdgeContextId" is required.'),
            ("cloud", {"edge_context_id": "  "}, '[MV-0001] "sitecoreEdgeContextId" is required.'),
            ("cloud", {"site_name": " "}, '[MV-0002] "siteName" is required.'),
            ("cloud", {"site_name": None}, '[MV-0002] "siteName" is required.'),
            (
                "cloud",
                {"edge_url": ""},
                '[IV-0001] Incorrect value for "sitecoreEdgeUrl". Set the value to a valid URL string.',
            ),
            ("content", {"edge_context_id": ""}, '[MV-001] "contextId" is required.'),
            ("content", {"site_name": ""}, '[MV-002] "siteName" is required.'),
            ("content", {"edge_url": "?"}, '[IV-001] Incorrect value for "edgeUrl". Set the value to a valid URL.'),
        ],
    )
    def test_the_vendors_codes(self, dialect: str, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError) as raised:
            edge(dialect=dialect, **wrong)
        assert str(raised.value) == message

    @pytest.mark.parametrize(
        "wrong",
        [
            {"edge_context_id": "ctx;1"},
            {"edge_context_id": "c" * 129},
            {"edge_context_id": 5},
            {"adopt_engage_cookie": "a key"},
            {"personalize_cookie": "yes"},
            {"dialect": "jss"},
            {"site_name": "a\nb"},
            {"site_name": "s" * 256},
            {"site_name": 7},
        ],
    )
    def test_what_is_wrong_is_named(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(SettingsError) as raised:
            edge(**wrong)
        assert str(raised.value).startswith(f"{next(iter(wrong))}: ")

    @pytest.mark.parametrize(
        "of_engage",
        [{"client_key": "k"}, {"target_url": URL}, {"point_of_sale": "shop"}, {"requested_at": False}],
    )
    def test_the_forms_do_not_mix(self, of_engage: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match=f"found settings of both forms, {next(iter(of_engage))} and edge_con"):
            edge(**of_engage)

    @pytest.mark.parametrize(
        "of_edge",
        [{"site_name": "shop"}, {"dialect": "cloud"}, {"personalize_cookie": True}, {"adopt_engage_cookie": "k"}],
    )
    def test_the_other_form_takes_none_of_these(self, of_edge: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="found settings of both forms, client_key, target_url and"):
            MIXED(client_key="k", target_url=URL, **of_edge)

    def test_the_default_address_is_the_vendors(self) -> None:
        one = Sitecore(edge_context_id="ctx1", site_name="shop")
        assert one.origin == "https://edge-platform.sitecorecloud.io"

    def test_it_can_be_made_again(self) -> None:
        for one in (
            edge(dialect="cloud", personalize_cookie=True, adopt_engage_cookie="old"),
            edge(site_name=lambda request: "shop"),
        ):
            again = spec_of(one).build()
            assert again.encode([event()]) == one.encode([event()])
            assert cast("Sitecore", again).shared_cookie == one.shared_cookie

    def test_from_the_environment_and_from_a_mapping(self) -> None:
        values = {"EDGE_CONTEXT_ID": "ctx1", "SITE_NAME": "shop", "PERSONALIZE_COOKIE": "true", "DIALECT": "cloud"}
        environ = {f"PASSERBY_SITECORE_{name}": value for name, value in values.items()}
        tracking = Tracking.from_env(environ | {"PASSERBY_SECRET_KEY": "a key of some length"})
        assert repr(tracking) == "<Tracking to sitecore>"
        with pytest.raises(SettingsError, match=r"^PASSERBY_SITECORE_SITE_NAME: \[MV-002\]"):
            Tracking.from_env({"PASSERBY_SITECORE_EDGE_CONTEXT_ID": "ctx1"})
        with pytest.raises(SettingsError, match=r"^sitecore.edge_context_id: found settings of both forms"):
            Tracking.from_mapping({"sitecore": {"edge_context_id": "ctx1", "client_key": "k"}})


class TestRequests:
    def test_an_event_goes_to_its_site(self) -> None:
        call = edge().encode([event(point_of_sale="a&b #1")])
        assert call.url == f"{URL}/v1/events/v1.2/events?siteId=a%26b%20%231"
        assert call.headers == {
            "Content-Type": "application/json",
            "X-Library-Version": "2.1.2",
            "X-Client-Software-ID": "@sitecore-content-sdk/events 2.1.2",
            "x-sitecore-contextid": "ctx1",
        }
        call = edge(dialect="cloud").encode([event()])
        assert call.url == f"{URL}/v1/events/v1.2/events?sitecoreContextId=ctx1&siteId=shop"
        assert call.headers == {
            "Content-Type": "application/json",
            "X-Library-Version": "0.6.1",
            "X-Client-Software-ID": "@sitecore-cloudsdk/events 0.6.1",
        }

    def test_the_common_fields(self) -> None:
        data = {"channel": "WEB", "currency": "EUR", "language": "EN", "page": "Home", "referrer": "https://r.example"}
        assert body(event(data=data)) == {
            **data,
            "type": "VIEW",
            "browser_id": BROWSER_ID,
            "client_key": "",
            "pos": "",
            "requested_at": "2026-01-01T00:00:00.500Z",
        }
        assert body(event())["page"] == ""

    @pytest.mark.parametrize("spelling", ["search_data", "searchData"])
    def test_search_data(self, spelling: str) -> None:
        searched = {"value": {"context": {"q": "bag"}}}
        told = body(event("event", "SC_SEARCH_WIDGET_CLICK", data={spelling: searched, "a": 1}))
        assert told["sc_search"] == {"data": searched, "metadata": {"ut_api_version": "1.0"}}
        assert (told["a"], "search_data" in told, "searchData" in told) == (1, False, False)
        told = body(event(data={"search_data": searched}))
        assert told["sc_search"]["data"] == searched
        assert body(event(data={"search_data": {}}))["sc_search"]["data"] == {}
        assert "sc_search" not in body(event(data={"search_data": ""}))
        assert "sc_search" not in body(event(data={"search_data": searched}, context=Context(bot=True)))
        assert "sc_search" not in body(event("event", "ADD", data={spelling: None}))

    def test_search_data_in_both_spellings_is_sent_once(self) -> None:
        sent = body(event("event", "SEARCH", data={"search_data": {"q": "a"}, "searchData": {"q": "b"}}))
        assert sent["sc_search"]["data"] == {"q": "b"}
        assert not {"search_data", "searchData"} & sent.keys()

    @pytest.mark.parametrize("kind", ["event", "identity"])
    def test_other_events_of_bots_stay_what_they_are(self, kind: Any) -> None:
        """The app may say that a visitor is a bot, and an earlier version sent all that bots did."""
        data = {"identifiers": [{"id": "1", "provider": "CRM"}]} if kind == "identity" else {}
        sent = body(event(kind, "ADD" if kind == "event" else None, data=data, context=Context(bot=True)))
        assert (sent["type"], sent["ext"]) == ("ADD" if kind == "event" else "IDENTITY", {"bot": True})
        assert "channel" not in sent

    def test_a_form(self) -> None:
        data = {"form_id": "f1", "interaction": "SUBMITTED", "component_instance_id": "c1"}
        told = body(event("form", "Form Submitted", data=data))
        assert told == {
            "type": "FORM",
            "ext": {"componentInstanceId": "c1", "formId": "f1", "interactionType": "SUBMITTED"},
            "browser_id": BROWSER_ID,
            "client_key": "",
            "pos": "",
            "requested_at": "2026-01-01T00:00:00.500Z",
        }
        engage = Sitecore(client_key="key", target_url=URL).encode([event("form", "Form Submitted", data=data)])
        assert engage.body is not None
        assert json.loads(engage.body) == told | {"client_key": "key", "pos": "shop"}

    @pytest.mark.parametrize("form", ["edge", "engage"])
    def test_the_page_view_of_a_bot(self, form: str) -> None:
        """No channel, currency, referrer or attribute of a person's page view."""
        agent = "ExampleBot/1.2"
        told = event(
            data={"channel": "WEB", "currency": "EUR", "language": "EN", "page": "p", "referrer": "https://r.example"},
            extension={"a": 1},
            context=Context(bot=True, user_agent=agent, campaign={"utm_source": "x"}, variant="v"),
        )
        one = edge() if form == "edge" else Sitecore(client_key="key", target_url=URL)
        call = one.encode([told])
        assert call.body is not None
        assert json.loads(call.body) == {
            "type": "VIEW",
            "channel": "bot",
            "language": "EN",
            "page": "p",
            "utm_source": "x",
            "ext": {"pageVariantId": "v", "sourceUserAgent": agent},
            "browser_id": BROWSER_ID,
            "client_key": "" if form == "edge" else "key",
            "pos": "" if form == "edge" else "shop",
            "requested_at": "2026-01-01T00:00:00.500Z",
        }

    @pytest.mark.parametrize(
        ("dialect", "given", "sent"),
        [
            ("content", "1999-01-31", "1999-01-31"),
            ("content", "1999-01-31T10:30", "1999-01-31"),
            ("cloud", "1999-01-31", "1999-01-31T00:00"),
            ("cloud", "1999-01-31T10:30", "1999-01-31T10:30"),
        ],
    )
    def test_a_date_of_birth_is_sent_in_the_form_of_the_sdk(self, dialect: str, given: str, sent: str) -> None:
        told = event("identity", data={"identifiers": [{"id": "1", "provider": "CRM"}], "dob": given})
        edge(dialect=dialect).check(told)
        assert body(told, dialect=dialect)["dob"] == sent

    @pytest.mark.parametrize("stored", ["1990-12-31", "1990-12-31T00:00"])
    def test_one_recorded_before_the_change_to_the_engage_form_is_sent_in_its_form(self, stored: str) -> None:
        told = event("identity", data={"identifiers": [{"id": "1", "provider": "CRM"}], "dob": stored})
        call = Sitecore(client_key="key", target_url=URL, point_of_sale="shop").encode([told])
        assert json.loads(call.body or b"")["dob"] == "1990-12-31T00:00"

    def test_utm_parameters_can_be_left_out(self) -> None:
        told = event(context=Context(campaign={"utm_source": "x"}))
        assert body(told)["utm_source"] == "x"
        assert "utm_source" not in body(told, include_utm_parameters=False)


def identity(**fields: Any) -> Event:
    return event("identity", data={"identifiers": [{"id": "1", "provider": "CRM"}]} | fields)


class TestChecks:
    @pytest.mark.parametrize(
        ("told", "cloud", "content"),
        [
            (event("identity", data={}), 'MV-0003] "identifiers" is', 'MV-003] "identifiers" is'),
            (identity(dob="2000-02-30"), 'IV-0002] Incorrect value for "dob"', 'IV-003] Incorrect value for "dob"'),
            (identity(dob="30.1.2000"), 'IV-0002] Incorrect value for "dob"', 'IV-003] Incorrect value for "dob"'),
            (identity(email="a@b"), 'IV-0003] Incorrect value for "email"', 'IV-004] Incorrect value for "email"'),
            (
                identity(identifiers=[{"id": "1", "provider": "CRM", "expiry_date": "2026-01-01"}]),
                'IV-0004] Incorrect value for "expiryDate"',
                'IV-005] Incorrect value for "expiryDate"',
            ),
            (
                event(extension={f"a{number}": number for number in range(51)}),
                'IV-0005] "extensionData" supports maximum 50 attributes. Reduce',
                'IV-006] "extensionData" supports maximum 50 attributes. Reduce',
            ),
            (event(point_of_sale=None), 'MV-0002] "siteName" is required.', 'MV-002] "siteName" is required.'),
        ],
    )
    def test_the_vendors_codes(self, told: Event, cloud: str, content: str) -> None:
        for dialect, expected in (("cloud", cloud), ("content", content)):
            with pytest.raises(ValidationError, match=re.escape(expected)):
                edge(dialect=dialect).check(told)

    @pytest.mark.parametrize("email", ["a@b.cd", "a@b.c.d", "a@b.cd.e", f"{'a' * 314}@b.com"])
    def test_what_both_of_them_accept(self, email: str) -> None:
        edge(dialect="cloud").check(identity(email=email))
        edge().check(identity(email=email))

    @pytest.mark.parametrize("email", ["a@b.c", f"{'a' * 315}@b.com"])
    def test_what_only_one_of_them_refuses(self, email: str) -> None:
        edge(dialect="cloud").check(identity(email=email))
        with pytest.raises(ValidationError, match="IV-004"):
            edge().check(identity(email=email))

    @pytest.mark.parametrize("name", ["browser_id", "clientKey", "requestedAt", "ext", "type"])
    def test_data_that_would_overwrite_a_field_is_refused(self, name: str) -> None:
        with pytest.raises(ValidationError, match="sitecore: event data"):
            edge().check(event("event", "ADD", data={name: "x"}))


def answer(status: int, value: Any) -> DestinationResponse:
    return DestinationResponse(status, {}, json.dumps(value).encode())


class TestQueries:
    def test_a_new_browser_id_comes_with_its_guest_id(self) -> None:
        query = edge().new_id_query()
        assert query.request.url == f"{URL}/v1/events/v1.2/browser/create.json?client_key="
        assert query.request.headers["x-sitecore-contextid"] == "ctx1"
        assert query.parse(answer(200, {"ref": BROWSER_ID, "customer_ref": OTHER_ID})) == IssuedId(BROWSER_ID, OTHER_ID)
        assert query.parse(answer(200, {"ref": BROWSER_ID, "customer_ref": "a; b"})) == IssuedId(BROWSER_ID)
        for wrong in (answer(200, {"ref": "x"}), answer(503, {"ref": BROWSER_ID}), answer(200, [])):
            with pytest.raises(RemoteError, match="no usable ref"):
                query.parse(wrong)
        url = edge(dialect="cloud").new_id_query().request.url
        assert url == f"{URL}/v1/events/v1.2/browser/create.json?sitecoreContextId=ctx1&client_key="

    def test_the_guest_id(self) -> None:
        query = edge(dialect="cloud").guest_query(BROWSER_ID)
        path = f"/v1/events/v1.2/browser/{BROWSER_ID}/show.json?sitecoreContextId=ctx1&client_key=&api_token="
        assert query.request.url == URL + path
        assert query.parse(answer(200, {"customer": {"ref": "g"}})) == "g"

    @pytest.mark.parametrize(
        ("dialect", "words"), [("cloud", "[IE-0011] Unable to set"), ("content", "[IE-006] Unable to set")]
    )
    def test_an_empty_guest_id(self, dialect: str, words: str) -> None:
        with pytest.raises(RemoteError) as raised:
            edge(dialect=dialect).guest_query(BROWSER_ID).parse(answer(200, {"customer": {"ref": ""}}))
        assert str(raised.value).startswith(words)

    def test_a_personalisation(self) -> None:
        given = {"channel": "WEB", "friendly_id": "exp", "page_variant_ids": ["a", "b"], "geo": {"city": "Oslo"}}
        context = Context(user_agent="Mozilla/5.0", campaign={"utm_source": "x"})
        asked = PersonalizationRequest(given, {"cart": {"total": 5}}, BROWSER_ID, OTHER_ID, "shop", context)
        call = edge().personalize_query(asked).request
        assert call.body is not None
        assert call.url == f"{URL}/v1/personalize?siteId=shop"
        assert json.loads(call.body) == {
            "channel": "WEB",
            "clientKey": "",
            "pointOfSale": "",
            "friendlyId": "exp",
            "guestRef": OTHER_ID,
            "browserId": BROWSER_ID,
            "variants": ["a", "b"],
            "params": {"cart": {"total": 5}, "geo": {"city": "Oslo"}, "utm": {"source": "x"}},
        }
        assert re.fullmatch("[0-9a-f]{32}", call.headers["x-sc-correlation-id"])
        assert call.headers["User-Agent"] == "Mozilla/5.0"
        assert asked.params == {"cart": {"total": 5}}, "what the app gave is not changed"

    def test_blanks_around_a_user_agent_are_no_part_of_a_header(self) -> None:
        asked = PersonalizationRequest(
            {"friendly_id": "exp"}, point_of_sale="shop", context=Context(user_agent=" Mine/1 ")
        )
        assert edge().personalize_query(asked).request.headers["User-Agent"] == "Mine/1"

    def test_a_user_agent_that_fits_no_header_is_left_out(self) -> None:
        asked = PersonalizationRequest({"friendly_id": "f"}, point_of_sale="s", context=Context(user_agent="a\r\nb: c"))
        assert "User-Agent" not in edge().personalize_query(asked).request.headers

    @pytest.mark.parametrize(("dialect", "code"), [("cloud", "MV-0004"), ("content", "MV-004")])
    def test_without_a_friendly_id(self, dialect: str, code: str) -> None:
        with pytest.raises(ValidationError, match=code):
            edge(dialect=dialect).personalize_query(PersonalizationRequest({"friendly_id": " "}, point_of_sale="s"))


class TestScreensAndForms:
    def test_customerio_gets_a_screen(self) -> None:
        one = CustomerIO(write_key="w")
        call = one.encode([event("screen", "Cart", data={"total": 5})])
        assert call.body is not None
        (message,) = json.loads(call.body)["batch"]
        assert (message["type"], message["name"], message["properties"]) == ("screen", "Cart", {"total": 5})

    def test_other_destinations_get_a_form_as_an_event(self) -> None:
        call = CustomerIO(write_key="w").encode(
            [event("form", "Form Submitted", data={"form_id": "f1", "interaction": "SUBMITTED"})]
        )
        assert call.body is not None
        (message,) = json.loads(call.body)["batch"]
        assert (message["type"], message["event"]) == ("track", "Form Submitted")
        assert message["properties"] == {"form_id": "f1", "interaction": "SUBMITTED"}
