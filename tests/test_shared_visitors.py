"""Visitors shared with Datalyr's browser SDK: its cookie is the browser ID's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from passerby import CustomerIO, Datalyr, SettingsError, Sitecore, Tracking, ValidationError
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from tests.making import (
    NAVIGATION,
    PATIENCE,
    by_name,
    call,
    cookie_header,
    dropped,
    make_scope,
    page,
    sent_back,
    set_cookies,
    value_of,
)

COOKIE = "__dl_visitor_id"
VISITOR = "anon_7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10"


@pytest.fixture
def tracking(collector: CollectorServer) -> Iterator[Tracking]:
    tracking = Tracking(
        Datalyr(workspace_id="ws_123", target_url=collector.url, share_visitors=True),
        secret_key="a secret key that signs",
        cookie_domain="shop.example",
        auto_page_views=True,
    )
    yield tracking
    tracking.close(1.0)


def site(tracking: Tracking) -> TrackingMiddleware:
    return TrackingMiddleware(page({"content-type": "text/html"}), tracking=tracking)


async def test_a_visitor_whom_the_browser_sdk_knows_stays_the_same(
    tracking: Tracking, collector: CollectorServer
) -> None:
    sent = await call(site(tracking), make_scope("/", NAVIGATION | cookie_header(**{COOKIE: VISITOR})))

    assert value_of(by_name(set_cookies(sent))[COOKIE]) == VISITOR, "adopted, and signed"
    assert await tracking.aflush(PATIENCE) == 0
    (message,) = collector.messages("datalyr")
    assert message["anonymous_id"] == VISITOR


async def test_a_new_visitor_gets_an_id_that_the_browser_sdk_will_take_for_its_own(tracking: Tracking) -> None:
    first = await call(site(tracking), make_scope("/", NAVIGATION))

    cookie = by_name(set_cookies(first))[COOKIE]
    assert value_of(cookie).startswith("anon_")
    assert "HttpOnly" not in cookie, "its script reads it"
    again = await call(site(tracking), make_scope("/", NAVIGATION | sent_back(set_cookies(first))))
    assert set_cookies(again) == []


@pytest.mark.parametrize("value", [VISITOR.removeprefix("anon_"), "anon_1", "anon_" + "x" * 36, ""])
async def test_what_is_no_id_of_its_form_is_a_new_visitor(tracking: Tracking, value: str) -> None:
    sent = await call(site(tracking), make_scope("/", NAVIGATION | cookie_header(**{COOKIE: value})))

    assert value_of(by_name(set_cookies(sent))[COOKIE]) not in ("", value)


async def test_who_has_opted_out_there_is_not_tracked_here(tracking: Tracking) -> None:
    sent = await call(site(tracking), make_scope("/", NAVIGATION | cookie_header(__dl_opt_out="true")))

    assert set_cookies(sent) == []
    tracking.tracker_for(make_scope("/", NAVIGATION | cookie_header(__dl_opt_out="true"))).event("ADD")
    assert dropped(tracking, "datalyr") == {"opt-out": 1}
    tracking.tracker_for(make_scope("/", NAVIGATION | cookie_header(__dl_opt_out="false"))).event("ADD")
    assert dropped(tracking, "datalyr") == {"opt-out": 1}


def test_outside_of_requests_ids_have_that_form_too(tracking: Tracking) -> None:
    assert tracking.for_visitor(VISITOR).browser_id == VISITOR
    with pytest.raises(ValidationError, match="browser ID"):
        tracking.for_visitor(VISITOR.removeprefix("anon_"))


def test_one_system_owns_the_cookie() -> None:
    sitecore = Sitecore(client_key="key", target_url="http://localhost", point_of_sale="shop")
    with pytest.raises(SettingsError, match="several destinations that own the browser ID's cookie, sitecore, datalyr"):
        Tracking(sitecore, Datalyr(workspace_id="ws_123", share_visitors=True))
    Tracking(sitecore, Datalyr(workspace_id="ws_123"), CustomerIO(write_key="key"))
