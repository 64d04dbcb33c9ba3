"""Sitecore CDP: settings, bodies, checks and answers. What the vendor's SDK sends is held by the conformance tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from passerby import Delivered, RemoteError, SettingsError, Sitecore, ValidationError
from passerby.destinations import (
    BrowserIdIssuer,
    DestinationResponse,
    IssuedId,
    PersonalizationRequest,
    PersonalizationSource,
    PointOfSaleSource,
    Rejected,
    Retry,
)
from passerby.events.event import Context, Event
from tests.making import BROWSER_ID

URL = "https://api.example.com"
TIME = 1_767_225_600.5


def sitecore(**options: Any) -> Sitecore:
    return Sitecore(**{"client_key": "key", "target_url": URL} | options)


def event(kind: Any = "page_view", type: str | None = None, **fields: Any) -> Event:
    usual: dict[str, Any] = {"point_of_sale": "shop", "data": {}, "extension": {}, "context": Context()}
    return Event("id", kind, type, TIME, BROWSER_ID, BROWSER_ID, None, **(usual | fields))


def body(told: Event, **options: Any) -> dict[str, Any]:
    call = sitecore(**options).encode([told])
    assert (call.method, call.url) == ("POST", f"{URL}/v1.2/events")
    assert call.headers == {"Content-Type": "application/json", "X-Library-Version": "1.4.3"}
    assert call.body is not None
    assert sitecore(**options).encode([told]) == call, "the same event makes the same bytes"
    made = json.loads(call.body)
    assert isinstance(made, dict)
    return made


def answer(status: int, value: Any = None) -> DestinationResponse:
    return DestinationResponse(status, {}, b"" if value is None else json.dumps(value).encode())


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"client_key": ""}, '[MV-0001] "clientKey" is required.'),
            ({"client_key": None}, '[MV-0001] "clientKey" is required.'),
            ({"client_key": "", "target_url": ""}, '[MV-0001] "clientKey" is required.'),
            ({"target_url": ""}, '[MV-0002] "targetURL" is required.'),
            ({"target_url": None}, '[MV-0002] "targetURL" is required.'),
            ({"point_of_sale": " "}, '[MV-0009] "pointOfSale" cannot be empty.'),
            ({"point_of_sale": 5}, "point_of_sale: expected text or a plain function"),
            ({"client_key": "a b"}, "client_key: expected ASCII letters"),
            ({"client_key": "a;b"}, "client_key: expected ASCII letters"),
            ({"client_key": 5}, "client_key: expected ASCII letters"),
            ({"target_url": "http://api.example.com"}, "target_url: found plain http to a public host"),
            *(
                ({"target_url": url}, '[IV-0001] Incorrect value for "targetURL". Set the value to a valid URL string.')
                for url in (
                    "api.example.com", "ftp://a.b", "https://", "https://a b.c", "https://a.b\n/x", "https://[::1",
                    "https://a.b:port", "https://a.b?x=1", "https://a.b#x", "https://user:pw@a.b", 5, "mailto:x@y.z",
                )
            ),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_in_the_vendors_words(self, options: Any, words: str) -> None:
        with pytest.raises(SettingsError) as caught:
            sitecore(**options)
        assert str(caught.value).startswith(words)
        assert "pw" not in str(caught.value)

    @pytest.mark.parametrize(
        "url", [URL, f"{URL}/", f" {URL}// ", "http://localhost:8080", "http://127.0.0.1", "https://a.b/x"]
    )
    def test_good_addresses(self, url: str) -> None:
        assert "//v1.2" not in sitecore(target_url=url).encode([event()]).url

    def test_it_issues_browser_ids(self) -> None:
        assert isinstance(sitecore(), BrowserIdIssuer)
        assert isinstance(sitecore(), PersonalizationSource)
        assert isinstance(sitecore(), PointOfSaleSource)
        assert sitecore().cookie_name == "bid_key"

    def test_its_repr_has_no_key(self) -> None:
        assert repr(sitecore(client_key="ckey123")) == "<Sitecore 'sitecore' at api.example.com>"


class TestBodies:
    def test_a_page_view(self) -> None:
        told = event(
            data={
                "page": "Home",
                "channel": "WEB",
                "currency": "EUR",
                "language": "EN",
                "referrer": "https://r.example/",
            },
            extension={"theme": "dark"},
            context=Context(campaign={"utm_source": "news"}, variant="v1"),
        )
        assert body(told) == {
            "type": "VIEW", "utm_source": "news", "referrer": "https://r.example/", "browser_id": BROWSER_ID,
            "client_key": "key", "page": "Home", "pos": "shop", "channel": "WEB", "currency": "EUR", "language": "EN",
            "requested_at": "2026-01-01T00:00:00.500Z", "ext": {"theme": "dark", "pageVariantId": "v1"},
        }  # fmt: skip

    def test_the_least_a_page_view_says(self) -> None:
        assert body(event(), requested_at=False) == {
            "type": "VIEW", "browser_id": BROWSER_ID, "client_key": "key", "page": "", "pos": "shop",
        }  # fmt: skip

    def test_utm_parameters_may_be_left_out(self) -> None:
        told = event(context=Context(campaign={"utm_source": "news"}))
        assert "utm_source" not in body(told, include_utm_parameters=False)

    @pytest.mark.parametrize(
        ("data", "extension", "context", "ext"),
        [
            ({"page_variant_id": "a"}, {"pageVariantId": "c"}, "b", {"pageVariantId": "a"}),
            ({}, {"pageVariantId": "c"}, "b", {"pageVariantId": "b"}),
            ({}, {"pageVariantId": "c"}, None, {"pageVariantId": "c"}),
            ({}, {"pageVariantId": ""}, None, {}),
            ({}, {}, None, None),
        ],
    )
    def test_the_page_variant(self, data: Any, extension: Any, context: Any, ext: Any) -> None:
        made = body(event(data=data, extension=extension, context=Context(variant=context)))
        assert made.get("ext") == ext

    def test_an_identity(self) -> None:
        told = event(
            "identity",
            data={
                "email": "ada@b.example", "first_name": "Ada", "last_name": "L", "postal_code": "1", "unknown": 1,
                "identifiers": [{"id": "1", "provider": "CRM", "expiry_date": "2030-01-01T00:00", "other": 1}],
            },
            extension={"plan": "pro"},
        )  # fmt: skip
        made = body(told)
        assert {"type": "IDENTITY", "firstname": "Ada", "lastname": "L", "postal_code": "1"}.items() <= made.items()
        assert made["identifiers"] == [{"id": "1", "provider": "CRM", "expiry_date": "2030-01-01T00:00"}]
        assert made["ext"] == {"plan": "pro"}
        assert "unknown" not in made

    def test_an_event(self) -> None:
        made = body(event("event", "ADD", data={"product": {"id": 1}, "language": "EN", "client_key": "forged"}))
        assert (made["type"], made["product"], made["language"], made["client_key"]) == ("ADD", {"id": 1}, "EN", "key")
        assert "ext" not in made
        assert body(event("event", "ADD", extension={"a": 1}))["ext"] == {"a": 1}

    def test_null_is_said_where_the_app_says_it(self) -> None:
        made = body(event(data={"channel": None, "language": None, "page": None}))
        assert made["channel"] is None
        assert made["page"] == ""
        assert "language" not in made


class TestChecks:
    @pytest.mark.parametrize("point_of_sale", [None, "", "  ", 5])
    def test_the_point_of_sale_is_required(self, point_of_sale: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            sitecore().check(event(point_of_sale=point_of_sale))
        assert str(caught.value) == '[MV-0003] "pointOfSale" is required.'

    @pytest.mark.parametrize("value", ["2000-02-29T23:59", "0000-02-29T00:00", "9999-12-31T00:00"])
    def test_a_good_dob(self, value: str) -> None:
        sitecore().check(event("identity", data={"identifiers": [{"id": "1"}], "dob": value}))

    @pytest.mark.parametrize(
        "value",
        [None, "", "2001-02-29T00:00", "2000-01-01", "2000-01-01T00:00:00", "2000-1-1T00:00", "٢000-01-01T00:00", 5],
    )
    def test_a_bad_dob(self, value: Any) -> None:
        with pytest.raises(ValidationError, match="IV-0002"):
            sitecore().check(event("identity", data={"identifiers": [{"id": "1"}], "dob": value}))

    @pytest.mark.parametrize("email", ["a@b.c", "ä@ö.ü", "a@b.c.d", "", None, "a\x85@b.c"])
    def test_a_good_email(self, email: Any) -> None:
        sitecore().check(event("identity", data={"identifiers": [{"id": "1"}], "email": email}))

    @pytest.mark.parametrize(
        "email", ["a", "a@b", "@b.c", "a@b.", "a b@c.d", "a@b@c.d", "a@b.c\n", "\ufeffa@b.c", 5, True]
    )
    def test_a_bad_email(self, email: Any) -> None:
        with pytest.raises(ValidationError, match="IV-0003"):
            sitecore().check(event("identity", data={"identifiers": [{"id": "1"}], "email": email}))

    def test_the_order_of_the_checks_is_the_vendors(self) -> None:
        data: dict[str, Any] = {"dob": "x", "email": "x", "identifiers": [{"id": "1", "expiry_date": "x"}]}
        told = event("identity", data=data, extension={str(n): n for n in range(51)}, point_of_sale=None)
        codes = []
        cures: list[Callable[[Event], Event]] = [
            lambda one: one._replace(point_of_sale="shop"),
            lambda one: one._replace(data=one.data | {"dob": "2000-01-01T00:00"}),
            lambda one: one._replace(data=one.data | {"identifiers": [{"id": "1", "expiry_date": ""}]}),
            lambda one: one._replace(data=one.data | {"email": ""}),
            lambda one: one._replace(extension={}),
        ]
        for cure in cures:
            with pytest.raises(ValidationError) as caught:
                sitecore().check(told)
            codes.append(caught.value.code)
            told = cure(told)
        sitecore().check(told)
        assert codes == ["MV-0003", "IV-0002", "IV-0004", "IV-0003", "IV-0005"]


class TestAnswers:
    def test_verdicts(self) -> None:
        assert sitecore().classify(answer(201, {"ref": "x"})) == Delivered({"ref": "x"})
        assert sitecore().classify(answer(204)) == Delivered(None)
        assert sitecore().classify(answer(302)) == Rejected("status 302")
        assert sitecore().classify(answer(400, {"message": "secret"})) == Rejected("status 400")
        assert sitecore().classify(answer(503)) == Retry("status 503")

    def test_a_new_browser_id(self) -> None:
        question = sitecore(client_key="a+b").new_id_query()
        assert question.request.url == f"{URL}/v1.2/browser/create.json?client_key=a%2Bb&message={{}}"
        assert question.parse(answer(200, {"ref": BROWSER_ID})) == IssuedId(BROWSER_ID)

    @pytest.mark.parametrize(
        ("status", "value"),
        [
            (200, None),
            (200, {}),
            (200, []),
            (200, {"ref": "abc; HttpOnly"}),
            (200, {"ref": 5}),
            (500, {"ref": BROWSER_ID}),
        ],
    )
    def test_no_usable_browser_id(self, status: int, value: Any) -> None:
        with pytest.raises(RemoteError, match=f"found status {status}"):
            sitecore().new_id_query().parse(answer(status, value))

    def test_the_guest(self) -> None:
        question = sitecore().guest_query(BROWSER_ID)
        assert question.request.url == f"{URL}/v1.2/browser/{BROWSER_ID}/show.json?client_key=key&api_token=key"
        assert question.parse(answer(200, {"customer": {"ref": "guest"}})) == "guest"
        with pytest.raises(RemoteError, match="unknown browser, for more info: https://more"):
            question.parse(answer(404, {"error_msg": "unknown browser", "moreInfo": "https://more"}))
        with pytest.raises(RemoteError, match="guest ID: found status 200"):
            question.parse(answer(200, {"customer": []}))


class TestPersonalize:
    def asked(self, data: dict[str, Any], pos: Any = "shop") -> dict[str, Any]:
        call = (
            sitecore()
            .personalize_query(PersonalizationRequest(data, data.get("params"), BROWSER_ID, None, pos))
            .request
        )
        assert call.url == f"{URL}/v2/callFlows"
        assert call.body is not None
        made = json.loads(call.body)
        assert isinstance(made, dict)
        return made

    def test_a_question(self) -> None:
        data = {"friendly_id": "f", "channel": "WEB", "currency": "EUR", "language": "EN", "params": {"a_b": 1}}
        assert self.asked(data) == {
            "friendlyId": "f", "channel": "WEB", "currencyCode": "EUR", "language": "EN", "params": {"a_b": 1},
            "clientKey": "key", "pointOfSale": "shop", "browserId": BROWSER_ID,
        }  # fmt: skip

    def test_who_is_meant(self) -> None:
        identifier = {"id": "1", "provider": "CRM"}
        assert "browserId" not in self.asked({"friendlyId": "f", "email": "a@b.c"})
        assert self.asked({"friendlyId": "f", "identifier": identifier})["identifiers"] == identifier
        assert self.asked({"friendlyId": "f", "email": " ", "identifier": {"id": ""}})["browserId"] == BROWSER_ID
        assert self.asked({"friendlyId": "f", "pointOfSale": "other"}, None)["pointOfSale"] == "other"

    @pytest.mark.parametrize(
        ("data", "pos", "code"),
        [({}, "shop", "MV-0008"), ({"friendly_id": " "}, "shop", "MV-0008"), ({"friendly_id": "f"}, None, "MV-0003"),
         ({"friendly_id": "f"}, " ", "MV-0003"), ({"friendly_id": "f", "point_of_sale": 5}, None, "MV-0003")],
    )  # fmt: skip
    def test_what_is_missing(self, data: dict[str, Any], pos: Any, code: str) -> None:
        with pytest.raises(ValidationError) as caught:
            self.asked(data, pos)
        assert caught.value.code == code

    def test_the_answer(self) -> None:
        question = sitecore().personalize_query(PersonalizationRequest({"friendly_id": "f"}, point_of_sale="shop"))
        assert question.parse(answer(200, {"offer": 1})) == {"offer": 1}
        assert question.parse(answer(200)) is None
        assert question.parse(answer(500)) is None
