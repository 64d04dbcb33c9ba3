"""Parts of URLs: hosts, cuts, escapes, and no user information."""

from __future__ import annotations

import re
import string
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from passerby.http.url import (
    clean,
    cut,
    escape,
    join_authority,
    path_in,
    read_authority,
    split_authority,
    without_user_info,
)


@pytest.mark.parametrize(
    ("host", "read"),
    [
        ("shop.example", "shop.example"),
        ("Shop.Example:8443", "Shop.Example:8443"),
        ("shop.example:", "shop.example"),
        (" shop.example ", "shop.example"),
        ("my_host-1", "my_host-1"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("[fe80::1%25eth0]:80", "[fe80::1]:80"),
        ("[::1]", "[::1]"),
        ("shop.example.", "shop.example."),
        *((wrong, "") for wrong in (
            "", " ", "ada@shop.example", "u:p@shop.example", "shop example", "shop.example/x", "shop.example?x", "a#b",
            "a\\b", "shop.example:80:80", "shop.example:65536", "shop.example:port", ":80", "[::1", "[x]", "[1.2.3.4]",
            "sh\x00op", "shop.example\r\nx: y", "shop\t.example", "ä.example", "%61.example", "a,b", "a, b",
            "a" * 300, ".", "-", "<script>", "[::1]x", "shop.example:\uff11",
        )),
    ],
)  # fmt: skip
def test_hosts(host: str, read: str) -> None:
    assert read_authority(host) == read


@given(st.text(max_size=300))
def test_a_host_that_is_read_is_one_of_a_url(text: str) -> None:
    read = read_authority(text)
    if read:
        parts = urlsplit(f"https://{read}/path")
        assert (parts.netloc, parts.path, parts.username) == (read, "/path", None)
        assert split_authority(read)[0] == (parts.hostname or "")


@pytest.mark.parametrize(
    ("host", "port", "scheme", "joined"),
    [
        ("a.example", "", "https", "a.example"),
        ("a.example", "443", "https", "a.example"),
        ("a.example", "80", "https", "a.example:80"),
        ("::1", "8000", "http", "[::1]:8000"),
        ("/run/app.sock", "", "http", ""),
    ],
)
def test_joined(host: str, port: str, scheme: str, joined: str) -> None:
    assert join_authority(host, port, scheme) == joined


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a?b", "/a"),
        ("/a#b", "/a"),
        ("http://u:p@host:80/a/b?c", "/a/b"),
        ("https://host", "/"),
        ("https://host?x=/y", "/"),
        ("//host/a", "//host/a"),
        ("*", "*"),
    ],
)
def test_the_path_of_a_target(target: str, path: str) -> None:
    assert path_in(target) == path


@given(st.binary())
def test_escaping_keeps_what_was_written(written: bytes) -> None:
    text = escape(written)
    assert not re.search(r"[^!-~]", text)
    assert unquote_to_bytes(text) == unquote_to_bytes(written)
    assert escape(text.encode()) == text


paths = st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: quote(text, safe="/é"))


@given(paths, st.integers(0, 80))
@example("%F0%9F%98%80" * 3, 14)
@example("aé%C3%A9", 6)
def test_a_cut_is_never_inside_a_character(path: str, limit: int) -> None:
    short = cut(path, limit)
    assert path.startswith(short)
    assert limit - 12 < len(short) <= limit or short == path
    assert unquote(path).startswith(unquote(short, errors="strict"))


@given(st.text("%0aA9cC3", max_size=40), st.integers(0, 40))
def test_a_cut_of_what_is_malformed(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short) <= limit
    assert text.startswith(short)
    assert len(text) <= limit or not re.search(r"%.?\Z", short)


def test_a_cut_of_a_surrogate_pair() -> None:
    """What a JavaScript client has counted."""
    assert cut("ab\ud83d\ude00", 3) == "ab"
    assert cut("ab\ud83d\ude00", 4) == "ab\ud83d\ude00"


SECRETS = [
    "https://{}@partner.example/a?b=1",
    "//{}@partner.example/a",
    "HTTP://{}@partner.example",
    "https:{}@partner.example/",
]
SECRETS += [
    "https:/{}@partner.example/",
    "https:\\\\{}@partner.example\\a",
    "/\\{}@partner.example/a",
    " https://{}@partner.example/",
]
SECRETS += [
    "ht\ttps:/\t/{}@partner.example/",
    "https:////{}@partner.example/",
    "{}@partner.example/a",
    "ftp://{}@partner.example",
]
SECRETS += [
    "https://{}%40partner.example/a",
    "https://{}%2540partner.example/",
    "wss://{}@[2001:db8::1]:80/a",
    "app-x://{}@partner.example",
]
SECRETS += ["https://archive.example/web/https://{}@partner.example/a", "/proxy//{}@partner.example/a"]


@pytest.mark.parametrize("form", SECRETS)
@pytest.mark.parametrize(
    "user", ["ada", "ada:secret", "ada:", ":secret", "ada%40b.example:secret", "a@b.example:secret", "ada:s%2Fcret"]
)
def test_user_information_is_removed(form: str, user: str) -> None:
    url = without_user_info(form.format(user))
    assert not re.search(r"ada|secret|s%2Fcret|@|b\.example:", url), url
    rest = re.sub("@|%(25)?40", "", form.partition("{}")[2]).replace("\\", "/")
    assert url.replace("\\", "/").endswith(rest)


@pytest.mark.parametrize("password", ["se/cret", "se?cret", "se#cret", "se\\cret"])
def test_a_password_with_a_slash(password: str) -> None:
    assert without_user_info(f"https://ada:{password}@partner.example/a") == "https://partner.example/a"


@pytest.mark.parametrize(
    "url",
    ["https://partner.example/@ada/post", "/@ada/post", "https://partner.example/?mail=ada@b.example", "", "@",
     "/a%40b",
     "https://partner.example:8443/a@b", "https://partner.example/a%2540b",
     "android-app://com.example/",
     "https://[::1]:80/@x"],
)  # fmt: skip
def test_what_is_no_user_information_stays(url: str) -> None:
    assert without_user_info(url) == (url if url != "@" else "")


@given(st.text(string.printable, max_size=60))
@example("https://[@")
def test_no_url_is_too_strange(text: str) -> None:
    once = without_user_info(text)
    assert without_user_info(once) == once or "@" in text
    assert re.fullmatch("[!-~]*", clean(text))
