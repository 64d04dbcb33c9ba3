"""What is read of a request is what the visitor's browser asked for, whatever the server and the framework."""

from __future__ import annotations

import json
import socket
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest

from passerby.collector import CollectorServer
from passerby.request import EnvironRequest, RequestInfo, ScopeRequest
from tests.making import NAVIGATION, make_environ, make_scope

from .servers import ASGI_SERVERS, WSGI_SERVERS, Server, serving
from .sites import make_tracking
from .test_behaviour import BEHIND_SERVERS

PRINTABLE = string.ascii_letters + string.digits + string.punctuation

# The last two are sent as they are by programs, and refused by some servers, which is their right.
PATHS = [
    b"/seen/50%25-off",
    b"/seen/%7Euser/a%2Fb;c=1",
    b"/seen/%E4%BD%A0/100%25AB",
    b"/seen/caf%C3%A9%20au%20lait",
    b"/seen/[x]|y^z",
    b"/seen/caf\xc3\xa9",
    b"/seen/caf%E9",
]


@pytest.fixture(scope="module", params=BEHIND_SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    face, command = request.param
    with CollectorServer() as collector, serving(command, face=face, collector=collector.url) as server:
        yield server


def exchange(port: int, target: bytes, *headers: tuple[str, bytes], version: bytes = b"1.1") -> tuple[int, bytes]:
    """Send a request line and headers byte for byte; return status and body."""
    lines = [b"GET %s HTTP/%s" % (target, version), b"connection: close"]
    lines += [f"{name}: {value}".encode() for name, value in NAVIGATION.items()]
    lines += [name.encode() + b": " + value for name, value in headers]
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", b""]))
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        body = b"".join(body.split(b"\r\n")[1::2])
    return int(head.split(b" ", 2)[1]), body


def seen(server: Server, target: bytes = b"/seen/x", *headers: tuple[str, bytes], **options: Any) -> dict[str, Any]:
    listed = headers if any(name == "host" for name, _ in headers) or options else (("host", b"shop.example"), *headers)
    status, body = exchange(server.port, target, *listed, **options)
    assert status == 200, server.log
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize("path", PATHS)
def test_the_url_is_what_the_browser_sent(server: Server, path: bytes) -> None:
    status, body = exchange(server.port, path + b"?utm_source=a%20b%25&x=%2F", ("host", b"shop.example:8443"))
    if status == 400:  # by the server: not every byte is allowed there
        assert not path.isascii()
        return
    assert status == 200, server.log
    expected = quote(path, safe=PRINTABLE)
    if server.is_without_target:
        expected = quote(unquote_to_bytes(path), safe="/;=[]|^~")
        if b"%25AB" in path:
            pytest.skip("behind granian Django's escapes and the browser's look the same")
    found = json.loads(body)
    assert found["url"] == f"http://shop.example:8443{expected}?utm_source=a%20b%25"
    assert (found["path"], found["page"]) == (expected, expected.rpartition("/")[2])
    assert found["campaign"] == {"utm_source": "a b%"}


def test_what_a_trusted_proxy_says_is_read(server: Server) -> None:
    """The proxy is on this machine; uvicorn believes it too, and nothing is applied twice."""
    found = seen(
        server,
        b"/seen/x",
        ("host", b"pod-7:8000"),
        ("x-forwarded-for", b"198.51.100.66"),
        ("x-forwarded-for", b'"[2001:db8:7::9%25eth0]:4711"'),
        ("x-forwarded-host", b"www.public.example"),
        ("x-forwarded-port", b"8443"),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-prefix", b"/shop/"),
        ("referer", b"https://WWW.public.example/cart"),
    )
    if server.is_clearing:  # waitress, unless it trusts the proxy itself
        assert (found["ip"], found["url"]) == ("127.0.0.0", "http://pod-7:8000/shop/seen/x")
        return
    assert found["ip"] == "2001:db8:7::"
    assert found["url"] == "https://www.public.example:8443/shop/seen/x"
    assert found["external"] is None
    assert found["referrer"] == "https://WWW.public.example/cart"


def test_a_request_over_http_1_0_names_no_host(server: Server) -> None:
    found = seen(server, b"/seen/x", version=b"1.0")
    assert found["url"] == (None if server.is_clearing else f"http://127.0.0.1:{server.port}/seen/x")
    assert found["path"] == "/seen/x"


@pytest.mark.parametrize(
    ("referer", "kept"),
    [
        (b"https://ada:secret@partner.example/a?q=1", "https://partner.example/a"),
        ("https://partner.example/übersicht".encode(), "https://partner.example/%C3%BCbersicht"),
        (b"https://ada%40b.example:x@partner.example:444/a", "https://partner.example:444/a"),
    ],
)
def test_the_referrer_is_escaped_and_has_no_user_information(server: Server, referer: bytes, kept: str) -> None:
    if not referer.isascii() and server.is_without_target:
        pytest.skip("granian leaves such headers out under WSGI")
    assert seen(server, b"/seen/x", ("referer", referer))["external"] == kept


def test_a_header_that_comes_twice(server: Server) -> None:
    found = seen(
        server,
        b"/seen/x",
        ("referer", b"https://a.example/1"),
        ("referer", b"https://b.example/2"),
        ("accept-language", b"de;q=0.5"),
        ("accept-language", b"fr"),
        ("sec-fetch-dest", b"document"),
    )
    assert (found["referrer"], found["locale"]) == ("https://a.example/1", "fr")
    status, body = exchange(server.port, b"/seen/x", ("host", b"a.example"), ("host", b"b.example"))
    assert status == 400 or "b.example" not in (json.loads(body)["url"] or "")


# Where the servers say the prefix: in the path, beside it, or cut off from it.
PREFIXED = [
    pytest.param(face, command, environment, id=f"{face}-{name}", marks=pytest.mark.servers)
    for face, name, command, environment in (
        ("starlette", "uvicorn", f"{ASGI_SERVERS['uvicorn']} --root-path /shop", {}),
        ("fastapi", "hypercorn", f"{ASGI_SERVERS['hypercorn']} --root-path /shop", {}),
        ("django-asgi", "uvicorn", f"{ASGI_SERVERS['uvicorn']} --root-path /shop", {}),
        ("flask", "gunicorn", WSGI_SERVERS["gunicorn-sync"], {"SCRIPT_NAME": "/shop"}),
        ("django-wsgi", "gunicorn", WSGI_SERVERS["gunicorn-gthread"], {"SCRIPT_NAME": "/shop"}),
        ("flask", "waitress", WSGI_SERVERS["waitress"].replace("waitress ", "waitress --url-prefix=/shop "), {}),
        ("django-wsgi", "granian", f"{WSGI_SERVERS['granian']} --url-path-prefix /shop", {}),
    )
]


@pytest.mark.parametrize(("face", "command", "environment"), PREFIXED)
def test_below_a_prefix(face: str, command: str, environment: dict[str, str], collector: CollectorServer) -> None:
    with serving(command, face=face, collector=collector.url, **environment) as server:
        cut_off = b"" if "hypercorn" in command or "uvicorn" in command else b"/shop"
        found = seen(server, cut_off + b"/seen/50%25")
        assert found["url"] == "http://shop.example/shop/seen/50%25"
        for path in (b"/health", b"/static/app.js"):
            assert not has_cookie(server.port, cut_off + path)
        assert has_cookie(server.port, cut_off + b"/json")


def has_cookie(port: int, target: bytes) -> bool:
    lines = [b"GET %s HTTP/1.1" % target, b"host: shop.example", b"connection: close", b"accept: */*"]
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", b""]))
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    return b"bid_key=" in answer


MOUNTED: list[tuple[str, str]] = [("/shop", "/shop{}"), ("/shop/", "/shop{}"), ("/shop", "{}"), ("/a/b", "/a/b{}")]


@pytest.mark.parametrize("is_asgi", [True, False], ids=["asgi", "wsgi"])
@pytest.mark.parametrize(("prefix", "form"), MOUNTED)
@pytest.mark.parametrize(
    ("path", "is_page"),
    [("/who", True), ("/health", False), ("/static/app.js", False), ("/favicon.ico", False), ("/healthy", True)],
)
def test_skipped_paths_are_matched_below_the_prefix(
    is_asgi: bool, prefix: str, form: str, path: str, is_page: bool, collector: CollectorServer
) -> None:
    tracking = make_tracking(collector.url)
    if is_asgi:
        request: RequestInfo = ScopeRequest(make_scope(form.format(path), NAVIGATION, root_path=prefix))
    else:
        request = EnvironRequest(make_environ(path, NAVIGATION, SCRIPT_NAME=prefix.rstrip("/")))
    tracker = tracking.tracker_for(request)
    assert (tracker.visit.decision.assign == "at once") is is_page
    assert request.path == prefix.rstrip("/") + path
    tracking.close(1.0)
