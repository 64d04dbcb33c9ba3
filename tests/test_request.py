"""The same facts from an ASGI scope, a WSGI environ and any framework's request; forwarded headers; the query."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from passerby import RequestInfo, SettingsError, ValidationError
from passerby.events.context import context_of
from passerby.http.proxies import TrustedProxies
from passerby.http.request import (
    EnvironRequest,
    ScopeRequest,
    decode_query,
    header_of,
    is_local_host,
    read_request,
)
from tests.making import environ_request, make_environ, make_scope, request

FACTS = (
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "peer",
    "host",
    "cookie_header",
    "has_unread_cookies",
    "cookies",
)
REQUESTS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("/", {}, {}),
    ("/shop/shoes?utm_source=a&x=%C3%A4", {"cookie": "a=1; b=2; a=3", "user-agent": "Mozilla"}, {}),
    ("/%C3%A4pfel/rot%20gr%C3%BCn", {"accept-language": "de"}, {"method": "POST"}),
    ("/a", {"cookie": 'quoted="x"; broken; =nameless; tail=;'}, {"scheme": "http", "host": "LOCALHOST:8000"}),
    ("/a", {"content-type": "text/plain", "content-length": "3"}, {"host": "[2001:DB8::1]:8443"}),
    ("/a", {"x-forwarded-for": "203.0.113.9"}, {"host": ""}),
    ("/a", {"cookie": "x=" + "y" * 20_000}, {"host": "shop.example:443"}),
]


@pytest.mark.parametrize(("target", "headers", "fields"), REQUESTS)
def test_scope_and_environ_say_the_same(target: str, headers: dict[str, str], fields: dict[str, Any]) -> None:
    scope, environ = request(target, headers, **fields), environ_request(target, headers, **fields)
    for fact in FACTS:
        assert getattr(scope, fact) == getattr(environ, fact), fact
    for name in [*headers, "Host", "User-Agent", "Absent"]:
        assert scope.header(name) == environ.header(name) == scope.header(name.upper())


def test_facts_of_a_request() -> None:
    info = request("/%C3%A4?q=1", {"cookie": "a=1; b = 2 ;a=3"}, host="Shop.Example:8443", method="PUT")
    assert (info.method, info.scheme, info.path, info.raw_path) == ("PUT", "https", "/ä", "/%C3%A4")
    assert (info.query_string, info.peer, info.host) == ("q=1", "192.0.2.7", "shop.example")
    assert info.cookies == {"a": "1", "b": "2"}
    assert not info.is_websocket


def test_several_cookie_headers_are_joined() -> None:
    info = request("/", [("cookie", "a=1"), ("cookie", "b=2")])
    assert info.cookie_header == "a=1; b=2"


def test_a_cookie_header_over_16_kb_is_ignored() -> None:
    assert request("/", {"cookie": "a=" + "x" * 16_382}).cookie_header != ""
    assert request("/", {"cookie": "a=" + "x" * 16_383}).cookie_header == ""
    assert request("/", [("cookie", "a=" + "x" * 9_000)] * 2).cookie_header == ""
    assert environ_request("/", {"cookie": "a=" + "x" * 16_383}).cookies == {"": ""}


@pytest.mark.parametrize(
    ("headers", "is_unread"),
    [
        ([], False),
        ([("cookie", "")], False),
        ([("cookie", "a=1")], False),
        ([("cookie", "a=" + "x" * 16_382)], False),
        ([("cookie", "a=" + "x" * 16_383)], True),
        ([("cookie", "a=" + "x" * 9_000)] * 2, True),
        ([("cookie", "a=" + "x" * 17_000), ("cookie", "")], True),
    ],
)
def test_that_a_cookie_header_is_not_read_is_known(headers: list[tuple[str, str]], is_unread: bool) -> None:
    assert request("/", headers).has_unread_cookies is is_unread
    assert environ_request("/", headers).has_unread_cookies is is_unread


def test_a_scope_with_nothing_but_what_the_specification_demands() -> None:
    info = ScopeRequest({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    assert (info.peer, info.scheme, info.host, info.cookie_header, info.raw_path) == (None, "http", "", "", "/")


def test_a_websocket_scope_without_query_string() -> None:
    """The ASGI specification lets servers leave it out there, or pass None."""
    scope: dict[str, Any] = {"type": "websocket", "path": "/ws", "scheme": "wss", "headers": [], "client": None}
    info = ScopeRequest(scope)
    assert (info.is_websocket, info.method, info.query_string) == (True, "GET", "")
    assert ScopeRequest(scope | {"query_string": None}).query_string == ""


def test_a_path_without_raw_path_is_encoded() -> None:
    scope = make_scope("/")
    assert ScopeRequest(scope | {"raw_path": None, "path": "/ä b"}).raw_path == "/%C3%A4%20b"
    assert ScopeRequest(scope | {"raw_path": b"/x?y=1"}).raw_path == "/x"


def test_a_query_that_is_no_utf8_is_read_all_the_same() -> None:
    assert ScopeRequest(make_scope() | {"query_string": b"a=\xff"}).query_string == "a=\ufffd"
    assert environ_request(QUERY_STRING="a=\xff").query_string == "a=\ufffd"


def test_an_environ_mounted_below_a_prefix() -> None:
    assert environ_request("/shoes", SCRIPT_NAME="/shop").path == "/shop/shoes"
    assert environ_request("/", SCRIPT_NAME="", PATH_INFO="").path == "/"
    assert environ_request("/", REMOTE_ADDR="").peer is None


def test_any_frameworks_request_is_read() -> None:
    scope, environ = make_scope("/a"), make_environ("/a")
    info = read_request(scope)
    assert isinstance(info, ScopeRequest)
    assert read_request(info) is info
    assert isinstance(read_request(environ), EnvironRequest)
    assert read_request(Request(scope)).native is scope
    assert read_request(SimpleNamespace(environ=environ)).native is environ
    assert read_request(SimpleNamespace(scope=scope, environ=None)).native is scope


@pytest.mark.parametrize("given", [None, "text", 5, object(), {}, {"type": "http"}, SimpleNamespace(scope="x")])
def test_what_is_no_request_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="where a request was expected"):
        read_request(given)


def test_request_info_is_abstract() -> None:
    with pytest.raises(TypeError):
        RequestInfo()  # type: ignore[abstract]


PROXIES = ("10.0.0.0/8", "2001:db8:aaaa::/48")


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "visitor"),
    [
        ((), "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        (PROXIES, "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        (PROXIES, "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "198.51.100.66, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "10.2.2.2, 10.1.1.1", "10.2.2.2"),
        (PROXIES, "10.0.0.1", None, "10.0.0.1"),
        (PROXIES, "10.0.0.1", "", "10.0.0.1"),
        (PROXIES, "10.0.0.1", "rubbish", "10.0.0.1"),
        (PROXIES, "10.0.0.1", "203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
        (PROXIES, "10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "[2001:db8::5]:443", "2001:db8::5"),
        (PROXIES, "10.0.0.1", "2001:db8::5", "2001:db8::5"),
        (PROXIES, "10.0.0.1", "2001:DB8:0:0::5", "2001:db8::5"),
        (PROXIES, "2001:db8:aaaa::1", "203.0.113.9", "203.0.113.9"),
        (PROXIES, "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (PROXIES, "not an address", "203.0.113.9", "not an address"),
        (PROXIES, None, "203.0.113.9", None),
        (("*",), None, "203.0.113.9", "203.0.113.9"),
        (("*",), "192.0.2.7", "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        (("*", "203.0.113.9"), "192.0.2.7", "198.51.100.66, 203.0.113.9", "198.51.100.66"),
        (("unix",), None, "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        (("unix",), "localhost", "203.0.113.9", "203.0.113.9"),
        (("unix",), "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        (("unix", "10.0.0.0/8"), None, "203.0.113.9, 10.1.1.1", "203.0.113.9"),
        (1, "192.0.2.7", "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        (2, "192.0.2.7", "198.51.100.66, 203.0.113.9, 192.0.2.99", "203.0.113.9"),
        (3, None, "203.0.113.9", "203.0.113.9"),
        (0, "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        (1, "192.0.2.7", "203.0.113.9, unknown", "192.0.2.7"),
        (PROXIES, "10.0.0.1", "203.0.113.9,, ,", "203.0.113.9"),
        (PROXIES, "10.0.0.1", '"[2001:db8::5%25eth0]:443"', "2001:db8::5"),
        (PROXIES, "10.0.0.1", "fe80::1%eth0", "fe80::1"),
        (PROXIES, "10.0.0.1", '"203.0.113.9:4711"', "203.0.113.9"),
        (PROXIES, "10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "[::ffff:203.0.113.9]:80, ::ffff:10.9.9.9", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "203.0.113.9, _hidden", "10.0.0.1"),
        ((), "::ffff:203.0.113.7", "203.0.113.9", "203.0.113.7"),
        (("::ffff:10.0.0.0/104",), "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (("fe80::1%eth0",), "fe80::1%eth1", "203.0.113.9", "203.0.113.9"),
        (("192.0.2.7",), "192.0.2.7", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_whose_forwarded_address_is_believed(
    trusted: tuple[str, ...] | int, peer: str | None, forwarded: str | None, visitor: str | None
) -> None:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    scope = request("/", headers, client=None if peer is None else (peer, 1))
    environ = environ_request("/", headers, REMOTE_ADDR=peer or "")
    assert TrustedProxies(trusted).client_ip(scope) == TrustedProxies(trusted).client_ip(environ) == visitor


def test_forwarded_addresses_in_several_headers() -> None:
    """A proxy may append a header of its own: the last address is the one it saw."""
    headers = [("x-forwarded-for", "198.51.100.66"), ("x-forwarded-for", "203.0.113.9")]
    for info in (request("/", headers, client=("10.0.0.1", 1)), environ_request("/", headers, REMOTE_ADDR="10.0.0.1")):
        assert TrustedProxies(PROXIES).client_ip(info) == "203.0.113.9"


@pytest.mark.parametrize(
    ("trusted", "scheme", "forwarded", "used"),
    [
        ((), "http", "https", "http"),
        (("192.0.2.7",), "http", "https", "https"),
        (("192.0.2.7",), "https", "http", "http"),
        (("192.0.2.7",), "http", "HTTPS, http", "https"),
        (("192.0.2.7",), "http", "javascript", "http"),
        (("192.0.2.7",), "http", "", "http"),
        (("192.0.2.8",), "http", "https", "http"),
        (("*",), "http", "https", "https"),
        ((), "wss", "", "https"),
        ((), "ws", "", "http"),
    ],
)
def test_whose_forwarded_scheme_is_believed(trusted: tuple[str, ...], scheme: str, forwarded: str, used: str) -> None:
    info = request("/", {"x-forwarded-proto": forwarded}, scheme=scheme)
    assert TrustedProxies(trusted).scheme(info) == used


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.0/99", "", "10.0.0.0/8,10.1.0.0/16", "**"])
def test_a_wrong_network_is_a_settings_error(text: str) -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        TrustedProxies([text])


def test_a_long_chain_of_forwarded_addresses_is_bounded() -> None:
    chain = ", ".join(["10.1.1.1"] * 100_000)
    info = request("/", {"x-forwarded-for": chain}, client=("10.0.0.1", 1))
    assert TrustedProxies(PROXIES).client_ip(info) in ("10.1.1.1", "10.0.0.1")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "app.localhost", "testserver", "collector", "127.0.0.1", "127.9.9.9", "::1",
             "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "fe80::1", "fd00::1", "", "localhost."]
)  # fmt: skip
def test_a_local_host(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host", ["example.com", "shop.example", "8.8.8.8", "2606:4700::1111", "localhost.example.com", "my.local.example"]
)
def test_a_public_host(host: str) -> None:
    assert not is_local_host(host)


def decode_query_slowly(text: str) -> str:
    """Character by character: one to four escapes that say a character become it; reserved and broken ones stay."""
    out, at = "", 0
    while at < len(text):
        for number in (1, 2, 3, 4):
            try:
                character = bytes.fromhex(escapes_at(text, at, number)).decode()
            except ValueError:
                continue
            out += f"%{ord(character):02X}" if character in ";/?:@&=+$,#" else character
            at += 3 * number
            break
        else:
            single = escapes_at(text, at, 1)
            out += f"%{single.upper()}" if single != "none" else text[at]
            at += 3 if single != "none" else 1
    return out


def escapes_at(text: str, at: int, number: int) -> str:
    """The hexadecimal digits of a number of escapes in a row."""
    pieces = [text[at + 3 * n : at + 3 * n + 3] for n in range(number)]
    good = all(len(one) == 3 and one[0] == "%" and set(one[1:]) <= set("0123456789abcdefABCDEF") for one in pieces)
    return "".join(one[1:] for one in pieces) if good else "none"


queries = st.lists(
    st.sampled_from(["%", "%2", "%26", "%3d", "%25", "%C3%A4", "%c3", "%A4", "%zz", "+", "&", "=", "a", "ä", "%%20"])
    | st.text(max_size=3)
).map("".join)


@given(queries)
@example("utm_source=%25C3%25A4&x=%2526")
@example("%E0%A4%A")
def test_decoding_as_a_slow_reference_does(query: str) -> None:
    assert decode_query(query) == decode_query_slowly(query)


def test_headers_by_name_from_text_and_bytes() -> None:
    headers = [(b"Set-Cookie", b"a=1"), ("SET-COOKIE", "b=2"), ("x", "y")]
    assert header_of(headers, "set-cookie") == ["a=1", "b=2"]


def test_a_query_may_be_text_or_missing() -> None:
    """Django's own test client has text in its scopes; a websocket's scope may have nothing."""
    assert ScopeRequest(make_scope() | {"query_string": "utm_source=ä"}).query_string == "utm_source=ä"
    assert ScopeRequest(make_scope() | {"query_string": None}).query_string == ""


SINGLE = ["referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-gpc", "origin", "x-requested-with"]


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("comma", [", ", ","])
def test_of_a_header_with_one_value_the_first_counts(name: str, comma: str) -> None:
    values = ["https://a.example/1,2", "https://b.example/2"] if name == "referer" else ["one", "two"]
    scope = request("/", [(name, value) for value in values])
    environ = environ_request("/", {name: comma.join(values)})
    assert scope.header(name) == environ.header(name) == values[0]


def test_of_user_agents_the_first_counts() -> None:
    """WSGI servers have joined them, and commas are in most."""
    assert request("/", [("user-agent", "A, like B"), ("user-agent", "C")]).header("user-agent") == "A, like B"
    assert environ_request("/", {"user-agent": "A, like B"}).header("user-agent") == "A, like B"


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "accept", "accept-language", "cache-control", "x-y"])
def test_lists_are_joined(name: str) -> None:
    headers = [(name, "a"), ("x-other", "1"), (name, "b;q=1, c"), (name, "")]
    for info in (request("/", headers), environ_request("/", headers)):
        assert info.header(name) == "a, b;q=1, c, "
        assert info.header("x-other") == "1"


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        (["shop.example", "shop.example"], "shop.example"),
        (["shop.example", "evil.example"], ""),
        (["evil.example", "shop.example"], ""),
        (["shop.example"] * 3, "shop.example"),
    ],
)
def test_two_hosts_are_none(hosts: list[str], host: str) -> None:
    headers = [("host", one) for one in hosts]
    assert request("/", headers, host="").host == environ_request("/", headers, host="").host == host
    assert context_of(request("/", headers, host=""), TrustedProxies()).url == (
        "https://shop.example/" if host else "https://10.0.0.1/"
    )


def test_headers_may_come_from_any_iterable() -> None:
    """The app must be able to read them as well."""
    scope = make_scope("/", {"accept": "text/html"})
    scope["headers"] = iter(scope["headers"])
    assert ScopeRequest(scope).header("accept") == "text/html"
    assert (b"accept", b"text/html") in list(scope["headers"])


@pytest.mark.parametrize("text", ["https://a.example/ä", "日本", "plain", "x" * 300 + "é"])
def test_headers_are_read_as_utf8(text: str) -> None:
    written = text.encode().decode("latin-1")
    for info in (request("/", {"x-y": written}), environ_request("/", {"x-y": written})):
        assert info.header("x-y") == text


def test_headers_that_are_no_utf8_are_read_as_latin_1() -> None:
    for info in (request("/", {"x-y": "caf\xe9"}), environ_request("/", {"x-y": "caf\xe9"})):
        assert info.header("x-y") == "café"


@pytest.mark.parametrize(
    ("target", "raw"),
    [
        ("/50%25-off", "/50%25-off"),
        ("/%7Eada/a%2Fb", "/%7Eada/a%2Fb"),
        ("/caf\xc3\xa9", "/caf%C3%A9"),
        ("/caf\xe9", "/caf%E9"),
        ("/caf%E9", "/caf%E9"),
        ("/a%00b%0A", "/a%00b%0A"),
        ("/100%25", "/100%25"),
        ("/%", "/%"),
        ("/a b", "/a%20b"),
    ],
)
def test_the_path_as_the_browser_wrote_it(target: str, raw: str) -> None:
    assert request(target).raw_path == raw
    for name in ("RAW_URI", "REQUEST_URI"):
        for written in (f"{target}?x=1", f"http://u:p@shop.example{target}?x=1"):
            assert EnvironRequest(make_environ(target) | {name: written}).raw_path == raw


@given(st.binary(max_size=40))
def test_a_decoded_path_is_escaped_again(path: bytes) -> None:
    """Where the server does not say what the browser wrote, it is something that means the same."""
    path = b"/" + path
    for info in (
        EnvironRequest(make_environ("/") | {"PATH_INFO": path.decode("latin-1")}),
        EnvironRequest(make_environ("/") | {"PATH_INFO": path.decode("latin-1"), "RAW_URI": "/something/else"}),
        EnvironRequest(make_environ("/") | {"PATH_INFO": "", "SCRIPT_NAME": path.decode("latin-1")}),
    ):
        assert unquote_to_bytes(info.raw_path) == path
        assert re.fullmatch("(?:[!-$&-~]|%[0-9A-F]{2})+", info.raw_path)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_scope_without_raw_path_is_escaped_again(path: str) -> None:
    info = ScopeRequest(make_scope("/") | {"path": f"/{path}", "raw_path": None})
    assert unquote_to_bytes(info.raw_path) == f"/{path}".encode()


@pytest.mark.parametrize(
    ("root", "path", "whole", "below"),
    [
        ("/shop", "/shop/health", "/shop/health", "/health"),
        ("/shop", "/health", "/shop/health", "/health"),
        ("/shop/", "/health", "/shop/health", "/health"),
        ("/shop", "/shop", "/shop", "/"),
        ("/shop", "/shopping", "/shop/shopping", "/shopping"),
        ("/", "/health", "/health", "/health"),
        ("", "/health", "/health", "/health"),
        ("/a/b", "/a/b/c", "/a/b/c", "/c"),
        ("/ä", "/x", "/ä/x", "/x"),
    ],
)
def test_the_path_below_the_prefix(root: str, path: str, whole: str, below: str) -> None:
    info = ScopeRequest(make_scope(path, root_path=root))
    assert (info.path, info.app_path, info.raw_path) == (whole, below, quote(whole))
    if root.rstrip("/"):
        environ = EnvironRequest(make_environ() | {"SCRIPT_NAME": quote_latin(root), "PATH_INFO": below})
        assert (environ.path.rstrip("/"), environ.app_path) == (whole, below)


def quote_latin(text: str) -> str:
    return text.rstrip("/").encode().decode("latin-1")


@pytest.mark.parametrize(
    ("fields", "environ", "url"),
    [
        ({"server": ("10.0.0.1", 8000), "scheme": "http"}, {"SERVER_PORT": "8000"}, "http://10.0.0.1:8000/a"),
        ({"server": ("::1", 443)}, {"SERVER_NAME": "::1"}, "https://[::1]/a"),
        ({"server": ("0.0.0.0", 80)}, {"SERVER_NAME": "0.0.0.0"}, None),
        ({"server": ("::", 80)}, {"SERVER_NAME": "::"}, None),
        ({"server": ("/run/app.sock", None)}, {"SERVER_NAME": "/run/app.sock", "SERVER_PORT": ""}, None),
        ({"server": None}, {"SERVER_NAME": ""}, None),
        ({"server": ("x y", 80)}, {"SERVER_NAME": "waitress.invalid"}, None),
    ],
)
@pytest.mark.parametrize("host", ["", "evil example", "ada@evil.example", "a" * 300, "evil.example/x", "evil\x00"])
def test_a_request_without_a_valid_host(
    fields: dict[str, Any], environ: dict[str, Any], url: str | None, host: str
) -> None:
    scheme = {"scheme": fields["scheme"]} if "scheme" in fields else {}
    for info in (request("/a", host=host, **fields), environ_request("/a", host=host, **environ, **scheme)):
        assert context_of(info, TrustedProxies()).url == url
        assert info.host == ""
