"""What a response's headers let shared caches do, and which headers keep them out (RFC 9111, RFC 9213)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from passerby.http.caching import is_protected, may_be_shared, protecting_headers

PAST, FUTURE = "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT"


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "public"},
        {"cache-control": "PUBLIC, max-age=60"},
        {"Cache-Control": "s-maxage=60"},
        {"Cache-Control": "max-age=0, s-maxage=60"},
        {"Cache-Control": "max-age=31536000, immutable"},
        {"Cache-Control": "max-age=60"},
        {"Cache-Control": 'max-age="60"'},
        {"CDN-Cache-Control": "max-age=60"},
        {"Cloudflare-CDN-Cache-Control": "max-age=60"},
        {"Vercel-CDN-Cache-Control": "max-age=60"},
        {"Surrogate-Control": "max-age=60"},
        {"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"},
        {"Cache-Control": "private", "CDN-Cache-Control": "public, max-age=60"},
        {"Cache-Control": "no-store", "Surrogate-Control": "max-age=60"},
    ],
)
def test_a_response_that_a_shared_cache_may_keep(headers: dict[str, str]) -> None:
    """C7: RFC 9111 allows it wherever a response says how long it is fresh and does not say private or no-store."""
    assert may_be_shared(headers.items())
    assert may_be_shared([(name.encode(), value.encode()) for name, value in headers.items()])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/html"},
        {"Cache-Control": "private"},
        {"Cache-Control": "private, max-age=60"},
        {"Cache-Control": "no-store, public"},
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "max-age=0, must-revalidate"},
        {"Cache-Control": "max-age=60, no-cache"},
        {"Cache-Control": "max-age=soon"},
        {"CDN-Cache-Control": "no-store"},
        {"CDN-Cache-Control": "max-age=60, no-cache"},
        {"Surrogate-Control": 'content="ESI/1.0"'},
        {"Vary": "Accept"},
        {"Expires": "0"},
        {"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Expires": "Mon, 01 Jan 2099 00:00:00 +99999999999999999"},
        {"Cache-Control": "private", "Expires": "Thu, 01 Jan 2099 00:00:00 GMT"},
    ],
)
def test_a_response_for_one_visitor(headers: dict[str, str]) -> None:
    assert not may_be_shared(headers.items())


@given(st.text(st.characters(max_codepoint=255)))
def test_no_cache_control_is_too_strange(value: str) -> None:
    may_be_shared([("cache-control", value), (b"surrogate-control", value.encode("latin-1"))])


PROTECTED = [
    {"Cache-Control": "private"},
    {"Cache-Control": "max-age=60,PRIVATE"},
    {"Cache-Control": "\tno-store "},
    {"Cache-Control": "no-store, public"},
    {"Cache-Control": 'private, no-cache="set-cookie, x"'},
    {"Cache-Control": "private", "CDN-Cache-Control": "no-store"},
    {"cache-control": "private", "Expires": FUTURE},
    {"Cache-Control": "private", "Surrogate-Control": 'content="ESI/1.0"'},
]
OPEN: list[tuple[dict[str, str], str]] = [
    ({}, "private"),
    ({"Last-Modified": PAST}, "private"),
    ({"ETag": '"1"', "Vary": "Cookie"}, "private"),
    ({"Vary": "*"}, "private"),
    ({"Pragma": "no-cache"}, "private"),
    ({"Expires": PAST}, "private"),
    ({"Expires": "0"}, "private"),
    ({"Cache-Control": ""}, "private"),
    ({"Cache-Control": " , ,"}, "private"),
    ({"Cache-Control": "max-age=0"}, "max-age=0, private"),
    ({"Cache-Control": "no-cache"}, "no-cache, private"),
    ({"Cache-Control": "no-cache, max-age=60"}, "no-cache, max-age=60, private"),
    ({"Cache-Control": "must-revalidate"}, "must-revalidate, private"),
    ({"Cache-Control": "proxy-revalidate,max-age=0"}, "proxy-revalidate, max-age=0, private"),
    ({"Cache-Control": "max-age=0, stale-while-revalidate=0"}, "max-age=0, stale-while-revalidate=0, private"),
    ({"Cache-Control": "max-age=0", "Expires": FUTURE}, "max-age=0, private"),
    ({"Cache-Control": 'private="set-cookie"'}, "private"),
    ({"Cache-Control": 'PRIVATE="x-a, x-b" , must-revalidate'}, "must-revalidate, private"),
    ({"Cache-Control": "private=set-cookie"}, "private"),
    ({"Cache-Control": 'private, private="x"'}, "private"),
    ({"Cache-Control": 'no-cache="set-cookie, private"'}, 'no-cache="set-cookie, private", private'),
    ({"Cache-Control": 'ext="no-store, private"'}, 'ext="no-store, private", private'),
    ({"Cache-Control": r'ext="a\", private"'}, r'ext="a\", private", private'),
    ({"Cache-Control": "no-store, must-understand"}, "no-store, must-understand, private"),
    ({"Cache-Control": "no-store=1"}, "no-store=1, private"),
    ({"Cache-Control": "private; max-age=0"}, "private; max-age=0, private"),
    ({"Cache-Control": 'ext="never ends, private'}, "private"),
]
SHARED = [
    {"Cache-Control": 'private="set-cookie", max-age=600'},
    {"Cache-Control": 'no-cache="set-cookie", max-age=600'},
    {"Cache-Control": 'private="a, no-store", public'},
    {"Cache-Control": 'ext="private", s-maxage=5'},
    {"Cache-Control": 'Max-Age = "0600"'},
    {"Cache-Control": "max-age=0, max-age=60"},
    {"Cache-Control": "must-revalidate", "Expires": FUTURE},
    {"Cache-Control": 'no-cache="x"', "Expires": FUTURE},
    {"Cache-Control": "max-age=0, stale-while-revalidate=30"},
    {"Cache-Control": "stale-if-error=86400"},
    {"Cache-Control": "no-store, must-understand, max-age=60"},
    {"Vary": "Cookie", "Cache-Control": "max-age=60"},
    {"Cache-Control": "private", "X-Accel-Expires": "600"},
    {"X-Accel-Expires": "@4070908800"},
    {"Edge-Control": "!no-store, cache-maxage=1d"},
    {"X-LiteSpeed-Cache-Control": "public,max-age=120"},
    {"Netlify-CDN-Cache-Control": "max-age=60"},
    {"Cache-Control": "private", "CDN-Cache-Control": "must-revalidate, max-age=60"},
]


@pytest.mark.parametrize("headers", PROTECTED, ids=str)
def test_what_the_app_keeps_out_of_caches_itself_is_left_alone(headers: dict[str, str]) -> None:
    assert is_protected(headers.items())
    assert not may_be_shared(headers.items())
    assert protecting_headers(headers.items()) == {}


@pytest.mark.parametrize(("headers", "expected"), OPEN, ids=str)
def test_private_is_added_where_a_cache_may_keep_a_response_by_its_own_judgement(
    headers: dict[str, str], expected: str
) -> None:
    assert not may_be_shared(headers.items())
    assert not is_protected(headers.items())
    assert protecting_headers(headers.items()) == {"cache-control": expected}


@pytest.mark.parametrize("headers", SHARED, ids=str)
def test_what_the_app_lets_caches_keep(headers: dict[str, str]) -> None:
    assert may_be_shared(headers.items())
    assert not is_protected(headers.items())
    overridden = {name.lower(): value for name, value in headers.items()} | protecting_headers(headers.items())
    assert is_protected(overridden.items())


def test_a_header_that_comes_twice_is_one() -> None:
    twice = [("Cache-Control", "max-age=0"), ("X-Other", "1"), (b"cache-control", b"must-revalidate")]
    assert protecting_headers(twice) == {"cache-control": "max-age=0, must-revalidate, private"}
    assert is_protected([*twice, ("CACHE-CONTROL", "private")])
    assert may_be_shared([*twice, ("CACHE-CONTROL", "s-maxage=9")])
    # A quote that never ends reaches to the end of its own header only.
    assert is_protected([("Cache-Control", 'ext="never ends'), ("Cache-Control", "private")])


def test_a_cache_with_a_header_of_its_own_is_kept_out_by_that_header() -> None:
    """It does not look at Cache-Control (RFC 9213)."""
    said = {"Cache-Control": "private", "CDN-Cache-Control": "no-cache", "Cloudflare-CDN-Cache-Control": ""}
    assert protecting_headers(said.items()) == {
        "cdn-cache-control": "no-cache, private",
        "cloudflare-cdn-cache-control": "private",
    }


def test_an_override_takes_away_what_lets_caches_keep_a_response() -> None:
    said = {
        "Cache-Control": 'public, max-age=60, s-maxage=600, private="x"',
        "CDN-Cache-Control": "max-age=600",
        "Surrogate-Control": "max-age=600",
        "X-Accel-Expires": "600",
    }
    assert protecting_headers(said.items()) == {
        "cache-control": "max-age=60, private",
        "cdn-cache-control": "max-age=600, private",
        "surrogate-control": "no-store",
        "x-accel-expires": "0",
    }


_names = st.sampled_from(["private", "no-store", "public", "max-age", "s-maxage", "no-cache", "x", "must-understand"])
_arguments = st.sampled_from(
    ["", "=0", "=60", '="60"', '="a, b"', '="private, no-store"', r'="\", x"', '="no end', " = 5"]
)
_values = st.lists(st.builds(str.__add__, _names, _arguments), max_size=5).map(", ".join)
_headers = st.lists(
    st.tuples(st.sampled_from(["cache-control", "cdn-cache-control", "surrogate-control"]), _values), max_size=4
)


@given(_headers)
@example([("cache-control", 'x="no end'), ("cache-control", 'x="no end, private=0')])
@example([("cache-control", 'no-store="'), ("cdn-cache-control", '"public'), ("cdn-cache-control", '"')])
def test_with_what_is_added_no_response_is_open(headers: list[tuple[str, str]]) -> None:
    added = protecting_headers(headers)
    final = [(name, value) for name, value in headers if name not in added] + list(added.items())
    assert is_protected(final)
    assert protecting_headers(final) == {}
    if is_protected(headers):
        assert added == {}


@given(st.text(st.characters(max_codepoint=255)))
def test_nothing_is_too_strange_to_be_protected(value: str) -> None:
    said = {"cache-control": value, "cdn-cache-control": value}
    assert is_protected((said | protecting_headers(said.items())).items())
