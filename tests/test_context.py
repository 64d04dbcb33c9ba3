"""What of a request travels with its events, and what stays behind."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.events.context import (
    context_of,
    external_referrer,
    language_of,
    page_of,
    preferred_locale,
    redacted,
    truncate_ip,
)
from passerby.events.event import Context
from passerby.http.proxies import TrustedProxies
from tests.making import environ_request, request

NOBODY = TrustedProxies()


def context(target: str = "/", headers: dict[str, str] | None = None, **fields: Any) -> Context:
    options = {name: fields.pop(name) for name in ("ip_policy", "bot") if name in fields}
    from_scope = context_of(request(target, headers or {}, **fields), NOBODY, **options)
    fields.pop("client", None)
    if not fields:
        assert context_of(environ_request(target, headers or {}), NOBODY, **options) == from_scope
    return from_scope


def test_a_whole_request() -> None:
    found = context(
        "/sale/shoes?utm_source=News&UTM_Campaign=a+b&gclid=77&email=ada@b.example&variantid=v1&variantid=v2",
        {
            "user-agent": "Mozilla/5.0",
            "accept-language": "fr;q=0.5, en-GB",
            "referer": "https://search.example/find?q=ada#top",
        },
    )
    assert found == Context(
        ip="192.0.2.0",
        user_agent="Mozilla/5.0",
        locale="en-GB",
        url="https://shop.example/sale/shoes?utm_source=News&utm_campaign=a+b&gclid=77",
        path="/sale/shoes",
        referrer="https://search.example/find",
        campaign={"utm_source": "News", "utm_campaign": "a b"},
        variant="v1",
    )


def test_a_request_that_says_nothing() -> None:
    found = context("/", {}, host="", client=None)
    assert found == Context(url="https://10.0.0.1/", path="/")  # the server's own name


@pytest.mark.parametrize(
    ("address", "truncated"),
    [
        ("203.0.113.99", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("not an address", None),
        ("", None),
    ],
)
def test_an_address_loses_its_last_part(address: str, truncated: str | None) -> None:
    assert truncate_ip(address) == truncated


@pytest.mark.parametrize(("policy", "ip"), [("truncate", "192.0.2.0"), ("keep", "192.0.2.7"), ("drop", None)])
def test_what_becomes_of_the_address(policy: str, ip: str | None) -> None:
    assert context(ip_policy=policy).ip == ip


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("", None),
        ("*", None),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en-GB"),
        ("en;q=0.4, de-CH;q=0.9 ,fr;q=0.8", "de-CH"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=x, en;q=0.1", "en"),
        ("de;v=1", "de"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("<script>, en", "en"),
        ("de;q=nan, en;q=0.2", "en"),
        (",,;;", None),
        ("abcdefghi", None),
    ],
)
def test_the_locale_of_most_weight_is_preferred(header: str, locale: str | None) -> None:
    assert preferred_locale(header) == locale
    assert context("/", {"accept-language": header}).locale == locale


def test_language() -> None:
    assert language_of("en-GB") == "EN"
    assert language_of(None) is None


@pytest.mark.parametrize(
    ("path", "page"),
    [
        (None, None),
        ("/", "Home Page"),
        ("", "Home Page"),
        ("//", "Home Page"),
        ("/shop/shoes", "shoes"),
        ("/shop/shoes/", "shoes"),
        ("/r%C3%B6cke", "r%C3%B6cke"),
    ],
)
def test_the_name_of_a_page(path: str | None, page: str | None) -> None:
    assert page_of(path) == page


@pytest.mark.parametrize(
    ("referrer", "kept"),
    [
        (None, None),
        ("https://search.example/find", "https://search.example/find"),
        ("https://shop.example/cart", None),
        ("https://shop.example:8443/cart", None),
        ("https://www.shop.example/", "https://www.shop.example/"),
        ("https://[broken/", None),
    ],
)
def test_only_another_sites_page_is_a_referrer(referrer: str | None, kept: str | None) -> None:
    assert external_referrer(Context(referrer=referrer), "shop.example") == kept


@pytest.mark.parametrize("part", ["?q=secret", "#secret", "?", "#a?b", "?a#b"])
def test_a_referrer_has_no_query(part: str) -> None:
    assert context("/", {"referer": f"https://search.example/find{part}"}).referrer == "https://search.example/find"


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("email=ada@b.example&token=x", ""),
        ("utm_term=a%26b", "?utm_term=a%26b"),
        ("UTM_Source=A", "?utm_source=A"),
        ("a=utm_source", ""),
        ("utm_source", "?utm_source="),
        ("fbclid=1&x=2&Gclid=3", "?fbclid=1&gclid=3"),
        ("li_fat_id=1&wbraid=2", "?li_fat_id=1&wbraid=2"),
        ("%75tm_source=encoded", "?utm_source=encoded"),
        ("utm_source=a#fragment", "?utm_source=a"),
        ("&".join(f"utm_{n}={n}" for n in range(300)), "?" + "&".join(f"utm_{n}={n}" for n in range(200))),
    ],
)
def test_of_the_query_only_campaign_parameters_stay(query: str, kept: str) -> None:
    assert context(f"/{'?' if query else ''}{query}").url == f"https://shop.example/{kept}"[:2048]


@pytest.mark.parametrize(
    ("query", "campaign"),
    [
        ("utm_source=a&utm_source=b", {"utm_source": "b"}),
        ("utm_source=%25C3%25A4", {"utm_source": "%C3%A4"}),
        ("utm_campaign=save10%25deal", {"utm_campaign": "save10%deal"}),
        ("utm_source=", {"utm_source": ""}),
        ("utm_source=%E0%A4%A", {"utm_source": "\ufffd%A"}),
        ("x=1", None),
        ("x=%20", None),
    ],
)
def test_campaign_parameters(query: str, campaign: dict[str, str] | None) -> None:
    assert context(f"/?{query}").campaign == campaign


def test_everything_is_bounded() -> None:
    long = "x" * 100_000
    found = context(
        f"/{long}?utm_source={long}", {"user-agent": long, "referer": f"https://{long}", "accept-language": long}
    )
    assert len(found.user_agent or "") == 512
    assert len(found.url or "") == len(found.path or "") == len(found.referrer or "") == 2048
    assert all(len(value) < 8192 for value in (found.campaign or {}).values())


def test_a_known_bot_is_marked() -> None:
    assert context(bot=True).bot
    assert not context().bot


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)), st.binary(max_size=50))
def test_no_header_or_query_is_too_strange(language: str, referrer: str, query: bytes) -> None:
    scope = request("/", {"accept-language": language, "referer": referrer, "user-agent": language})
    scope.native["query_string"] = query
    found = context_of(scope, NOBODY)
    external_referrer(found, "shop.example")
    assert "?" not in (found.referrer or "")


@pytest.mark.parametrize(
    ("referrer", "kept"),
    [
        ("https://ada:secret@partner.example/a?b", "https://partner.example/a"),
        ("https://ada@partner.example/#x", "https://partner.example/"),
        ("//u:p@partner.example/", "//partner.example/"),
        ("https:\\\\u:p@partner.example\\a", "https:\\\\partner.example\\a"),
        ("https://u%40x:p@partner.example/", "https://partner.example/"),
        ("https://partner.example/übersicht".encode().decode("latin-1"), "https://partner.example/%C3%BCbersicht"),
        ("https://partner.example/caf\xe9", "https://partner.example/caf%C3%A9"),
        ("https://partner.example/a b", "https://partner.example/a%20b"),
    ],
)
def test_a_referrer_is_escaped_and_has_no_user_information(referrer: str, kept: str) -> None:
    assert context("/", {"referer": referrer}).referrer == kept


@pytest.mark.parametrize("path", ["//u:p@host/x", "/web/https://u:p@host/x", "//u@host"])
def test_a_path_has_no_user_information(path: str) -> None:
    found = context(path)
    assert "u" not in (found.path or "").replace("x", "")
    assert "@" not in (found.url or "")


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("utm_content=ada%2540b.example%25", {"utm_content": "***"}),  # which Sitecore decodes twice
        ("utm_content=ada@b.example", {"utm_content": "***"}),
        ("utm_term=save10%25deal&utm_content=4111%252D1111%252D1111%252D1111", {"utm_content": "***"}),
        ("utm_ada%2540b.example=100%2525", {}),
    ],
)
def test_a_secret_in_a_campaign_is_masked_however_often_it_is_decoded(query: str, kept: dict[str, str]) -> None:
    found = context(f"/?{query}")
    for campaign in (found.campaign, found.campaign_decoded_twice):
        assert campaign is None or kept.items() <= campaign.items()
    for secret in ("ada", "4111", "b.example"):
        assert secret not in repr(tuple(found))


def test_user_information_goes_and_secrets_are_masked() -> None:
    found = context(
        "/web/https://ada:pw@host/reset/0f4d9b1e7c",
        {"referer": "https://ada:pw@b.example/confirm/ada%40c.example?token=1"},
    )
    assert found.path == "/web/https://host/reset/***"
    assert found.referrer == "https://b.example/confirm/***"


REQUEST: dict[str, Any] = {
    "path": "/patients/lovelace",
    "referrer": "https://b.example/lovelace",
    "campaign": {"utm_term": "lovelace"},
    "campaign_decoded_twice": {"utm_term": "Lovelace"},
}


@pytest.mark.parametrize("url", ["https://a.example/patients/lovelace?utm_term=lovelace", None])
@pytest.mark.parametrize("answer", [None, 5, 1 / 3, "/", lambda url: url.replace("lovelace", "x").replace("utm_", "")])
def test_what_a_callable_takes_away_is_nowhere(url: str | None, answer: Any) -> None:
    """Also where the request names no host, so that there is a path and no URL."""
    given = Context(url=url, **REQUEST)
    found = redacted(given, answer if callable(answer) else lambda url: answer)
    assert "lovelace" not in repr(tuple(found)).lower()
    assert (found.url is None) >= (url is None)


@pytest.mark.parametrize("character", ["%C3%A4", "%F0%9F%98%80", "%25", "a"])
@pytest.mark.parametrize("shift", range(13))
def test_a_cut_url_is_a_url(character: str, shift: int) -> None:
    parts = f"/{character * 3}" * 1000  # a part that is long itself is masked
    found = context(f"/y{'x' * shift}{parts}?utm_source=x", {"referer": f"https://b.example/y{'x' * shift}{parts}"})
    for text in (found.path, found.url, found.referrer):
        assert text is not None
        assert 2030 < len(text) <= 2048
        assert unquote(text, errors="strict").rstrip("/" + unquote(character)).endswith("/y" + "x" * shift)


@pytest.mark.parametrize(
    ("query", "once", "twice"),
    [
        ("utm_campaign=save10%25deal", "save10%deal", "save10\ufffdal"),
        ("utm_campaign=a%2526b", "a%26b", "a&b"),
        ("utm_campaign=100%25", "100%", None),
        ("utm_campaign=a%2Bb+c%20d", "a+b c d", None),
        ("utm_campaign=%C3%A4", "ä", None),
        ("utm_campaign=\xc3\xa4", "ä", None),
        ("utm_campaign=%252B", "%2B", "+"),
    ],
)
def test_campaigns_are_decoded_once_but_for_sitecore(query: str, once: str, twice: str | None) -> None:
    for info in (request("/"), environ_request("/")):
        native: Any = info.native
        if "QUERY_STRING" in native:
            native["QUERY_STRING"] = query
        else:
            native["query_string"] = query.encode("latin-1")
        found = context_of(info, NOBODY)
        assert found.campaign == {"utm_campaign": once}
        assert found.campaign_decoded_twice == (None if twice is None else {"utm_campaign": twice})
        assert found.url == f"https://shop.example/?{quote(query, safe='=%+')}".replace("%C3%83%C2%A4", "%C3%A4")


@pytest.mark.parametrize("query", ["utm_source=a%20b", "utm_source=a+b&gclid=x%2Fy", "utm_term=%e4%bd%a0", "utm_x="])
def test_the_query_in_the_url_is_what_the_browser_sent(query: str) -> None:
    assert context(f"/?a=1&{query}&b=2").url == f"https://shop.example/?{query}"
