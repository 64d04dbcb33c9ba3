"""Context in a vendor's own words is sent, or refused in words; nothing of it is lost in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby import CustomerIO, Datalyr, Sitecore, Tracker, Tracking, ValidationError
from passerby.destinations import Destination
from passerby.testing import capture_events
from tests.making import BROWSER_ID

DESTINATIONS: Mapping[str, Destination] = {
    "sitecore": Sitecore(client_key="key", target_url="http://localhost:9", point_of_sale="shop"),
    "customerio": CustomerIO(write_key="key", target_url="http://localhost:9"),
    "datalyr": Datalyr(workspace_id="ws", target_url="http://localhost:9"),
}
CAMPAIGN = {"name": "spring", "source": "newsletter", "medium": "email", "term": "shoes", "content": "top"}
UTM = {f"utm_{'campaign' if name == 'name' else name}": value for name, value in CAMPAIGN.items()}


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    tracking = Tracking(*DESTINATIONS.values(), browser_id_pool_size=0)
    yield tracking.for_visitor(BROWSER_ID)
    tracking.close(0)


def sent(tracker: Tracker, name: str, context: Any) -> dict[str, Any]:
    with capture_events() as told:
        tracker.page_view({"page": "Home"}, context=context)
    message: Any = json.loads(DESTINATIONS[name].encode(told.events).body or b"")
    for within in ("batch", "events"):
        message = message[within][0] if within in message else message
    assert isinstance(message, dict)
    return message


@pytest.mark.parametrize("campaign", [CAMPAIGN, UTM, {name.upper(): value for name, value in UTM.items()}])
def test_a_campaign_in_either_words_reaches_every_destination(tracker: Tracker, campaign: dict[str, str]) -> None:
    context = {"campaign": campaign}
    assert UTM.items() <= sent(tracker, "sitecore", context).items()
    assert sent(tracker, "customerio", context)["context"]["campaign"] == CAMPAIGN
    assert UTM.items() <= sent(tracker, "datalyr", context)["properties"].items()


@pytest.mark.parametrize("name", ["userAgent", "user_agent", "User-Agent", "useragent", "UserAgent"])
def test_a_user_agent_in_any_spelling(tracker: Tracker, name: str) -> None:
    assert sent(tracker, "customerio", {name: "Mozilla"})["context"]["userAgent"] == "Mozilla"


def test_a_page_in_customerios_words(tracker: Tracker) -> None:
    page = {
        "url": "https://shop.example/a?utm_source=x",
        "path": "/a",
        "referrer": "https://b.example/",
        "search": "?utm_source=x",
    }
    assert sent(tracker, "customerio", {"page": page})["context"]["page"] == page
    assert sent(tracker, "datalyr", {"page": page})["properties"]["url"] == page["url"]


@pytest.mark.parametrize(
    "context", [None, {}, "", {"campaign": None}, {"campaign": {}}, {"campaign": {"source": None}}]
)
def test_nothing_is_nothing(tracker: Tracker, context: Any) -> None:
    assert "campaign" not in sent(tracker, "customerio", context)["context"]


def test_numbers_in_a_campaign_are_text(tracker: Tracker) -> None:
    assert sent(tracker, "sitecore", {"campaign": {"term": 7}})["utm_term"] == "7"


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"campaign": {"id": "x"}}, "campaign: found 'id', expected name, source, medium, term, content, or utm_"),
        ({"campaign": {"type": "IDENTITY"}}, "campaign: found 'type'"),
        ({"campaign": {"source": {"a": 1}}}, "campaign: source is dict, expected text"),
        ({"campaign": {"source": True}}, "campaign: source is bool, expected text"),
        ({"campaign": {"source": "a", "utm_source": "b"}}, "utm_source in two spellings"),
        ({"campaign": "newsletter"}, "campaign is str, expected dict"),
        ({"userAgent": "a", "user_agent": "b"}, "user_agent in two spellings"),
        ({"page": {"url": "https://a.example/"}, "url": "https://b.example/"}, "url in two spellings"),
        ({"page": {"title": "Home"}}, "page: found 'title', expected only url, path, referrer; give it in the event"),
        ({"page": {"url": "https://a.example/", "search": "?a=1"}}, "found 'search'"),
        ({"page": "Home"}, "page is str, expected dict"),
        ({"referrer": {"url": "https://a.example/"}}, "referrer is dict, expected str"),
        ({"userAgent": 5}, "user_agent is int, expected str"),
        ({"library": {"name": "mine"}}, "found library, expected only ip, user_agent"),
        ({"timezone": "Europe/Dublin"}, "found timezone, expected only"),
        ({"traits": {"email": "a@b.example"}}, "found traits, expected only"),
        ({"active": True}, "found active, expected only"),
        ([("ip", "1.2.3.4")], "found list, expected a mapping"),
    ],
)
def test_what_has_no_place_is_refused_in_words(tracker: Tracker, context: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        tracker.page_view(context=context)
    assert str(caught.value).startswith("context: ")
    assert words in str(caught.value)


NAMES = st.sampled_from([*CAMPAIGN, *UTM, "id", "UTM_Source", "Source", "utm_id", "type", "campaign"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(campaign=st.dictionaries(NAMES, st.text("abc", min_size=1), min_size=1, max_size=4))
def test_every_value_of_a_campaign_is_sent_or_refused(tracker: Tracker, campaign: dict[str, str]) -> None:
    try:
        body = sent(tracker, "sitecore", {"campaign": campaign})
    except ValidationError:
        return
    assert sorted(campaign.values()) == sorted(value for name, value in body.items() if name.startswith("utm_"))
    assert body["type"] == "VIEW"


@pytest.mark.parametrize("given", [{"language": "de"}, {"campaign_decoded_twice": {"utm_term": "x"}}, {"page": "Home"}])
def test_what_is_only_inferred_is_not_taken(tracker: Tracker, given: Any) -> None:
    with pytest.raises(ValidationError, match="context"):
        tracker.page_view({"page": "Home"}, context=given)


@pytest.mark.parametrize("system", DESTINATIONS)
@pytest.mark.parametrize(
    "given",
    [
        {"page": {"url": "https://grace:pw@shop.example/confirm/grace@b.example", "path": "/confirm/grace@b.example"}},
        {"Page": {"referrer": "https://shop.example/confirm/grace%40b.example"}},
        {"campaign": {"content": "grace@b.example", "Name": "grace%40b.example"}},
        {"referer": "https://grace@b.example/x", "pageVariantId": "grace@b.example"},
    ],
)
def test_secrets_are_masked_in_a_vendors_words_too(tracker: Tracker, system: str, given: Any) -> None:
    assert "grace" not in json.dumps(sent(tracker, system, given))
