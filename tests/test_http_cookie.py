"""Cookies as such: one name found in a header that anybody may have written, and attributes that fit together."""

from __future__ import annotations

from typing import Any

import pytest

from passerby import SettingsError
from passerby.http.set_cookie import MAX_AGE, CookieAttributes, CookieFinder, check_cookie_name

NAME = "bid_key"


class TestFinding:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("", []),
            ("a=1; b=2", []),
            ("bid_key=1", ["1"]),
            ("a=1;bid_key=2;b=3", ["2"]),
            ("a=1;  bid_key = 2 ; b=3", ["2"]),
            ("bid_key=1; bid_key=2", ["1", "2"]),
            ('bid_key="1"', ["1"]),
            ('bid_key="', ['"']),
            ("bid_key=a=b", ["a=b"]),
            ("bid_key=", [""]),
            ("bid_key", []),
            ("xbid_key=1; bid_keyx=1; BID_KEY=1", []),
            ("a=bid_key=1", []),
            ("bid_key_sig=1", []),
            ("bid_key =1; b", ["1"]),
            ("bid_key\t=1", ["1"]),
            ("a=1;bid_key=1", ["1"]),
        ],
    )
    def test_only_our_name_is_read(self, text: str, values: list[str]) -> None:
        assert CookieFinder(NAME).find(text) == values


class TestAttributes:
    @pytest.mark.parametrize(
        ("secure", "scheme", "host", "is_secure"),
        [
            ("auto", "https", "shop.example", True),
            ("auto", "http", "shop.example", True),
            ("auto", "http", "localhost", False),
            ("auto", "http", "app.localhost", False),
            ("auto", "http", "testserver", False),
            ("auto", "http", "127.0.0.1", False),
            ("auto", "http", "::1", False),
            ("auto", "http", "192.168.1.5", False),
            ("auto", "http", "8.8.8.8", True),
            ("auto", "https", "localhost", True),
            (True, "http", "localhost", True),
            (False, "https", "shop.example", False),
        ],
    )
    def test_secure(self, secure: Any, scheme: str, host: str, is_secure: bool) -> None:
        """C5, C6."""
        assert CookieAttributes(secure=secure).secure_for(scheme, host) is is_secure

    @pytest.mark.parametrize(
        "domain", [None, "", "example.com", ".example.com", "Shop.Example.COM", "xn--bcher-kva.example"]
    )
    def test_a_good_domain(self, domain: str | None) -> None:
        CookieAttributes(domain=domain)

    @pytest.mark.parametrize(
        "domain",
        [
            "localhost",
            "127.0.0.1",
            "::1",
            "a.b; HttpOnly",
            "a b.c",
            "a..b",
            "-a.b",
            "a.b\r\nX: y",
            "http://a.b",
            "a.b/c",
            "a.b,",
            5,
        ],
    )
    def test_a_bad_domain(self, domain: Any) -> None:
        with pytest.raises(SettingsError, match="cookie_domain"):
            CookieAttributes(domain=domain)

    @pytest.mark.parametrize("path", ["", "shop", "/a;b", "/a\n", "/ä", "/\x00", None])
    def test_a_bad_path(self, path: Any) -> None:
        with pytest.raises(SettingsError, match="cookie_path"):
            CookieAttributes(path=path)

    @pytest.mark.parametrize("age", [0, -1, MAX_AGE + 1, 3600.5, "3600", True, None])
    def test_a_bad_age(self, age: Any) -> None:
        """C1: more than 400 days is refused at start."""
        with pytest.raises(SettingsError, match="cookie_max_age"):
            CookieAttributes(max_age=age)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"same_site": "maybe"}, "cookie_same_site"),
            ({"same_site": "none", "secure": False}, "cookie_same_site"),
            ({"secure": "yes"}, "cookie_secure"),
            ({"secure": None}, "cookie_secure"),
            ({"partitioned": True}, "cookie_partitioned"),
            ({"partitioned": True, "same_site": "none", "secure": False}, "cookie_same_site"),
        ],
    )
    def test_what_does_not_fit_together(self, options: Any, named: str) -> None:
        with pytest.raises(SettingsError, match=named):
            CookieAttributes(**options)

    @pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\n", "ä", "a,b"])
    def test_a_bad_name(self, name: str) -> None:
        with pytest.raises(SettingsError, match="cookie"):
            check_cookie_name(name)
