"""What every destination gets of a request: values decoded once, URLs without user information, whole characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby import CustomerIO, Datalyr, Sitecore, Tracking
from passerby.destinations import Destination
from passerby.events.event import Event
from passerby.outbox.codec import decode, encode
from passerby.testing import CapturedEvents
from tests.making import request

SITECORE = Sitecore(client_key="key", target_url="http://127.0.0.1:9", point_of_sale="shop")
DESTINATIONS: Mapping[str, Destination] = {
    "sitecore": SITECORE,
    "customerio": CustomerIO(write_key="k" * 20),
    "datalyr events": Datalyr(workspace_id="w" * 20),
    "datalyr track": Datalyr(api_key="k" * 20, form="track"),
}
CAMPAIGN: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "sitecore": lambda body: body["utm_campaign"],
    "customerio": lambda body: body["batch"][0]["context"]["campaign"]["name"],
    "datalyr events": lambda body: find(body, "utm_campaign"),
    "datalyr track": lambda body: find(body, "utm_campaign"),
}


@pytest.fixture
def tracking() -> Tracking:
    """One that has no thread: others would be in the way of generated values."""
    return Tracking(CustomerIO(write_key="k" * 20), trusted_proxies=1)


each = pytest.mark.parametrize("name", DESTINATIONS)


def find(value: Any, name: str) -> Any:
    """The value of a name wherever it stands."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        value = list(value.values())
    found = [find(item, name) for item in value] if isinstance(value, list) else []
    return next((one for one in found if one is not None), None)


def sent(name: str, event: Event) -> Any:
    """The body that a destination makes of an event that has been on disk."""
    return json.loads(DESTINATIONS[name].encode([decode(encode(event))]).body or b"")


@each
@pytest.mark.parametrize(
    ("query", "once", "twice"),
    [
        ("save10%25deal", "save10%deal", "save10\ufffdal"),
        ("50%25", "50%", "50%"),
        ("a%2526b%253Dc", "a%26b%3Dc", "a&b=c"),
        ("100%25+sure", "100% sure", "100% sure"),
        ("%25F0%259F%2598%2580", "%F0%9F%98%80", "😀"),
        ("\xc3\xbcber", "über", "über"),
    ],
)
def test_campaigns(
    name: str, query: str, once: str, twice: str, tracking: Tracking, captured_events: CapturedEvents
) -> None:
    tracker = tracking.tracker_for(request(f"/?utm_campaign={query}"))
    tracker.session.request.native["query_string"] = f"utm_campaign={query}".encode("latin-1")  # type: ignore[union-attr]
    tracker.page_view()
    (event,) = captured_events.events
    assert CAMPAIGN[name](sent(name, event)) == (twice if name == "sitecore" else once)


@each
def test_a_campaign_of_the_apps_own_is_not_decoded(
    name: str, tracking: Tracking, captured_events: CapturedEvents
) -> None:
    tracker = tracking.tracker_for(request("/?utm_campaign=a%2541b"))
    tracker.page_view(context={"campaign": {"utm_campaign": "50%25"}})
    (event,) = captured_events.events
    assert CAMPAIGN[name](sent(name, event)) == "50%25"


URLS = [
    "https://ada:secret@partner.example/a",
    "//ada:secret@partner.example/a",
    "https:\\\\ada:secret@partner.example/a",
]
URLS += ["https://ada%40b.example:secret@partner.example/a", "https://ada:secret%40partner.example/a"]


@each
@pytest.mark.parametrize("url", URLS)
def test_no_user_information(name: str, url: str, tracking: Tracking, captured_events: CapturedEvents) -> None:
    """Neither from the request nor from the app."""
    headers = {"referer": url, "x-forwarded-host": "ada:secret@www.public.example"}
    for given_by_app in (
        {},
        {"context": {"url": url, "referrer": url}},
        {"event_data": {"referrer": url}},
        {"event_data": {"url": url, "page": "Home"}},
    ):
        tracking.tracker_for(request("/", headers)).page_view(**given_by_app)  # type: ignore[arg-type]
    assert len(captured_events.events) == 4
    for event in captured_events.events:
        assert not re.search("secret|ada[:%@]", json.dumps(sent(name, event)))


pieces = st.sampled_from(["%C3%A4", "%F0%9F%98%80", "%E4%BD%A0", "%25", "x", "/"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(pieces, min_size=1, max_size=4), st.integers(0, 12))
def test_what_is_cut_ends_with_a_whole_character(
    tracking: Tracking, captured_events: CapturedEvents, repeated: list[str], shift: int
) -> None:
    captured_events.clear()
    path = "/" + "x" * shift + "".join(repeated) * 700
    tracking.tracker_for(request(f"{path}?utm_source=a", {"referer": f"https://b.example{path}"})).page_view()
    (event,) = captured_events.events
    for name in DESTINATIONS:
        for field in ("url", "path", "referrer", "search", "page"):
            text = find(sent(name, event), field)
            if isinstance(text, str):
                unquote(text, errors="strict")
                assert not re.search(r"%.?\Z", text)
