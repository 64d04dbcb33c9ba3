"""What is read of a request is what the visitor's browser asked for, whatever the server and the framework."""

from __future__ import annotations

import json
import socket
import string
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import httpx
import pytest

from passerby.collector import CollectorServer
from passerby.http.request import EnvironRequest, RequestInfo, ScopeRequest
from tests.making import NAVIGATION, eventually, make_environ, make_scope

from .servers import APP, ASGI_SERVERS, WSGI_SERVERS, Server, keep_port, serving
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


def exchange(server: Server, target: bytes, *headers: tuple[str, bytes], version: bytes = b"1.1") -> tuple[int, bytes]:
    """Send a request line and headers byte for byte; return status and body."""
    lines = [b"GET %s HTTP/%s" % (target, version), b"connection: close"]
    lines += [f"{name}: {value}".encode() for name, value in NAVIGATION.items()]
    lines += [name.encode() + b": " + value for name, value in headers]
    with server.connect() as connection:
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
    status, body = exchange(server, target, *listed, **options)
    assert status == 200, server.log
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize("path", PATHS)
def test_the_url_is_what_the_browser_sent(server: Server, path: bytes) -> None:
    status, body = exchange(server, path + b"?utm_source=a%20b%25&x=%2F", ("host", b"shop.example:8443"))
    if status == 400:  # by the server: not every byte is allowed there
        assert not path.isascii()
        return
    assert status == 200, server.log
    expected = quote(path, safe=PRINTABLE)
    if server.is_without_target:
        expected = quote(unquote_to_bytes(path), safe="/;=[]|^~")
        if server.face == "django-wsgi":  # Django escapes what is no UTF-8 as the browser escapes its percent sign
            expected = expected.replace("%25AB", "%AB")
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
    is_left_out = not referer.isascii() and server.is_without_target  # by granian under WSGI
    assert seen(server, b"/seen/x", ("referer", referer))["external"] == (None if is_left_out else kept)


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
    status, body = exchange(server, b"/seen/x", ("host", b"a.example"), ("host", b"b.example"))
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
            assert not has_cookie(server, cut_off + path)
        assert has_cookie(server, cut_off + b"/json")


UNIX = [
    pytest.param(face, command, id=f"{face}-{command.split()[0]}", marks=pytest.mark.servers)
    for face, command in (
        ("starlette", f"uvicorn {APP} --uds {{socket}} --log-level warning"),
        ("raw-asgi", f"hypercorn {APP} --bind unix:{{socket}}"),
        ("django-asgi", f"granian {APP} --interface asgi --uds {{socket}}"),
        ("flask", f"gunicorn {APP} --bind unix:{{socket}}"),
        ("fastapi", f"gunicorn {APP} --bind unix:{{socket}} -k uvicorn_worker.UvicornWorker"),
        ("django-wsgi", f"waitress --unix-socket={{socket}} --no-clear-untrusted-proxy-headers {APP}"),
        ("raw-wsgi", f"gunicorn {APP} --bind unix:{{socket}} -k gthread"),
    )
]


@pytest.mark.parametrize(("face", "command"), UNIX)
def test_behind_a_unix_socket(face: str, command: str, collector: CollectorServer) -> None:
    with serving(command, face=face, collector=collector.url, TRUSTED="unix") as server:
        found = seen(
            server,
            b"/seen/x",
            ("x-forwarded-for", b"198.51.100.66, 203.0.113.9"),
            ("x-forwarded-host", b"www.public.example"),
            ("x-forwarded-proto", b"https"),
        )
        assert (found["ip"], found["url"]) == ("203.0.113.0", "https://www.public.example/seen/x")


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        location /shop/ {{
            proxy_pass http://unix:{socket}:/;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Prefix /shop;
            proxy_set_header Host pod-7;
        }}
    }}
}}
"""


@pytest.mark.engines("nginx")
@pytest.mark.parametrize(("face", "command"), UNIX[:1] + UNIX[3:4])
@pytest.mark.parametrize("trusted", ["unix", "*", "1"])
def test_behind_nginx(face: str, command: str, trusted: str, collector: CollectorServer, tmp_path: Path) -> None:
    """It adds this machine's address to whatever the visitor has written."""
    with serving(command, face=face, collector=collector.url, TRUSTED=trusted) as server, closing(keep_port()) as kept:
        port = kept.getsockname()[1]
        (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path, port=port, socket=server.socket))
        nginx = subprocess.Popen(
            ["nginx", "-c", str(tmp_path / "conf"), "-p", str(tmp_path)], stderr=subprocess.DEVNULL
        )
        try:
            eventually(lambda: is_open(port))
            headers = NAVIGATION | {"x-forwarded-for": "198.51.100.66", "host": "www.public.example"}
            answer = httpx.get(f"http://127.0.0.1:{port}/shop/seen/50%25", headers=headers)
            found = answer.json()
        finally:
            nginx.terminate()
            nginx.wait(30)
        assert (found["ip"], found["url"]) == ("127.0.0.0", "http://www.public.example/shop/seen/50%25")


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def has_cookie(server: Server, target: bytes) -> bool:
    """Whether a browser that goes to a page is given an ID."""
    lines = [b"GET %s HTTP/1.1" % target, b"host: shop.example", b"connection: close"]
    lines += [f"{name}: {value}".encode() for name, value in NAVIGATION.items()]
    with server.connect() as connection:
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
def test_ignored_paths_are_matched_below_the_prefix(
    is_asgi: bool, prefix: str, form: str, path: str, is_page: bool, collector: CollectorServer
) -> None:
    tracking = make_tracking(collector.url)
    if is_asgi:
        request: RequestInfo = ScopeRequest(make_scope(form.format(path), NAVIGATION, root_path=prefix))
    else:
        request = EnvironRequest(make_environ(path, NAVIGATION, SCRIPT_NAME=prefix.rstrip("/")))
    tracker = tracking.tracker_for(request)
    assert (tracker.session.decision.assign == "at once") is is_page
    assert request.path == prefix.rstrip("/") + path
    tracking.close(1.0)
