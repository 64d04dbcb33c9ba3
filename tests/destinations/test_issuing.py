"""Issuing browser IDs, owning their cookie and naming the point of sale: protocols that any destination may have."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from passerby import SettingsError, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.destinations import BrowserIdIssuer, OutgoingRequest, PersonalizationSource, Query, SharedCookie
from passerby.testing import capture_events
from passerby.values.json import loads
from tests.delivery.doubles import Plain
from tests.making import BROWSER_ID, NAVIGATION, PATIENCE, by_name, call, make_scope, page, set_cookies, value_of


class Issuing(Plain):
    """Has another service make its browser IDs."""

    cookie_name = "account-7"
    point_of_sale: Any = "kiosk"

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name, url)
        self.origin = self.url = url

    def new_id_query(self) -> Query[str]:
        url = f"{self.url}/v1.2/browser/create.json?client_key=k&message={{}}"
        return Query(OutgoingRequest("GET", url), lambda answer: str(loads(answer.body)["ref"]))


class Owning(Issuing):
    shared_cookie = SharedCookie("their_visitor")


async def test_ids_of_another_issuer_reach_the_cookie_and_its_events() -> None:
    with CollectorServer() as collector:
        for kind, cookie in ((Issuing, "passerby_bid"), (Owning, "their_visitor")):
            tracking = Tracking(kind("own", collector.url), secret_key="a key for tests", auto_page_views=True)
            site = TrackingMiddleware(page({"content-type": "text/html"}), tracking=tracking)
            sent = await call(site, make_scope("/", NAVIGATION))
            browser_id = value_of(by_name(set_cookies(sent))[cookie])

            assert await tracking.aclose(PATIENCE) == 0
            assert str(UUID(browser_id)) == browser_id
            assert collector.events[-1]["browser_id"] == browser_id, "the collector refuses IDs that it has not issued"


def test_the_point_of_sale_may_be_any_destinations() -> None:
    tracking = Tracking(Issuing("own", "http://127.0.0.1:9"), secret_key="a key for tests", browser_id_pool_size=0)
    tracker = tracking.for_visitor(BROWSER_ID)
    with capture_events() as captured:
        tracker.event("ADD")
    assert captured.events[0].point_of_sale == "kiosk"


def test_an_issuer_need_not_answer_questions() -> None:
    one = Issuing("own", "http://127.0.0.1:9")
    assert isinstance(one, BrowserIdIssuer)
    assert not isinstance(one, PersonalizationSource)
    tracking = Tracking(one, secret_key="a key for tests")
    with pytest.raises(SettingsError, match="only Sitecore answers this"):
        tracking.for_visitor("7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10").personalize_sync({"channel": "WEB"})


def test_only_one_may_issue() -> None:
    with pytest.raises(SettingsError, match="several destinations that issue browser IDs, a, b, expected one"):
        Tracking(Issuing("a", "http://127.0.0.1:9"), Issuing("b", "http://127.0.0.1:9"))


def test_a_destination_without_the_protocol_issues_nothing() -> None:
    assert not isinstance(Plain("own", "http://127.0.0.1:9"), BrowserIdIssuer)
