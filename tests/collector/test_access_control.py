"""Access to what arrived: from this machine, or with the token."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

import httpx
import pytest

from passerby.collector import CollectorServer
from passerby.collector.access_control import COOKIE, is_loopback_name
from tests.making import PATIENCE

CREATE = "/v1.2/browser/create.json?client_key=key&message={}"
FAULTS = "/_collector/faults"
STATS = "/_collector/stats"
LOGIN = "/_collector/login"
TOKEN = "open-sesame-42"
ELSEWHERE = {"host": "collector.example"}  # from a proxy, or by DNS rebinding


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "0.0.0.0", "[::2]", "", "[", "@"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/_collector/events"), ("GET", "/_collector/stats"), ("POST", FAULTS), ("DELETE", FAULTS)],
)
def test_names_of_others_are_refused(client: httpx.Client, host: str, method: str, path: str) -> None:
    """A page elsewhere can have its own name point to this machine, but cannot choose the Host header."""
    answer = client.request(method, path, headers={"host": host, "content-type": "application/json"}, content=b"{}")

    assert answer.status_code in (400, 403)
    assert client.get(CREATE).status_code == 200


def test_request_without_host_is_refused(collector: CollectorServer) -> None:
    with socket.create_connection(("127.0.0.1", collector.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /_collector/events HTTP/1.0\r\n\r\n")
        answer = connection.recv(65_536)

    assert b" 403 " in answer.splitlines()[0]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::ffff:127.0.0.1]:9"]
)
def test_loopback_names_are_welcome(client: httpx.Client, host: str) -> None:
    assert client.get("/_collector/stats", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("name", ["forwarded", "x-forwarded-for", "x-real-ip", "via"])
def test_a_proxy_on_this_machine_counts_as_another_machine(client: httpx.Client, name: str) -> None:
    answer = client.get(STATS, headers={name: "192.0.2.7"})

    assert answer.status_code == 403
    assert "set a token to allow others" in answer.json()["message"]


@pytest.mark.parametrize(("method", "path"), [("POST", FAULTS), ("DELETE", FAULTS), ("DELETE", "/_collector/arrivals")])
@pytest.mark.parametrize(
    ("site", "is_refused"), [("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)]
)
def test_a_page_elsewhere_changes_nothing(
    client: httpx.Client, method: str, path: str, site: str, is_refused: bool
) -> None:
    headers = {"sec-fetch-site": site, "content-type": "application/json"}
    answer = client.request(method, path, headers=headers, content=b"{}")

    assert (answer.status_code == 403) is is_refused
    assert answer.status_code in (200, 403)


@pytest.fixture
def guarded() -> Iterator[CollectorServer]:
    with CollectorServer(token=TOKEN) as server:
        yield server


@pytest.fixture
def stranger(guarded: CollectorServer) -> Iterator[httpx.Client]:
    """A client on another machine, as the collector sees it."""
    with httpx.Client(base_url=guarded.url, headers=ELSEWHERE, timeout=PATIENCE) as client:
        yield client


def test_the_token_is_asked_of_strangers_only(guarded: CollectorServer, stranger: httpx.Client) -> None:
    assert stranger.get(STATS).status_code == 401
    assert stranger.get(STATS, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert httpx.get(f"{guarded.url}{STATS}").status_code == 200
    assert stranger.get(CREATE).status_code == 200, "the services are for the app, wherever it is"


@pytest.mark.parametrize(
    "given", ["Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer \xff", f"Bearer {TOKEN}x"]
)
def test_a_wrong_token_opens_nothing(stranger: httpx.Client, given: str) -> None:
    headers = httpx.Headers({b"authorization": given.encode("latin-1"), b"content-type": b"application/json"})

    assert stranger.get(STATS, headers=headers).status_code == 401
    assert stranger.post(FAULTS, headers=headers, content=b"{}").status_code == 401
    assert stranger.get("/_collector/export", headers=headers).status_code == 401


def test_a_page_that_is_asked_for_asks_for_the_token(stranger: httpx.Client) -> None:
    answer = stranger.get("/_collector/", headers={"accept": "text/html,*/*"})

    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert 'action="/_collector/login"' in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert stranger.get(LOGIN).status_code == 200
    assert stranger.get("/_collector/page.css").status_code in (200, 404), "which makes the form look like the page"
    assert stranger.get("/_collector/page.js").status_code == 401


def test_logging_in_gives_a_cookie_that_no_script_and_no_other_site_can_use(stranger: httpx.Client) -> None:
    answer = stranger.post(LOGIN, data={"token": f" {TOKEN}\n"})
    cookie = answer.headers["set-cookie"]

    assert (answer.status_code, answer.headers["location"]) == (303, "/_collector/")
    assert {"HttpOnly", "SameSite=strict", "Path=/_collector"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert "Max-Age" not in cookie
    name_and_value = cookie.partition(";")[0]
    assert stranger.get(STATS, headers={"cookie": name_and_value}).status_code == 200
    assert stranger.delete(FAULTS, headers={"cookie": name_and_value}).status_code == 200


@pytest.mark.parametrize("value", ["", TOKEN, "0" * 64])
def test_a_cookie_that_was_made_up_opens_nothing(stranger: httpx.Client, value: str) -> None:
    assert stranger.get(STATS, headers={"cookie": f"{COOKIE}={value}"}).status_code == 401


@pytest.mark.parametrize("body", [b"", b"token=", b"token=wrong", b"token", b"\xff\xfe", b"x" * 10_000])
def test_a_wrong_token_in_the_form_is_said(stranger: httpx.Client, body: bytes) -> None:
    answer = stranger.post(LOGIN, content=body)

    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers


def test_another_site_cannot_try_tokens(stranger: httpx.Client) -> None:
    answer = stranger.post(LOGIN, data={"token": TOKEN}, headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_without_a_token_there_is_no_login(client: httpx.Client) -> None:
    assert client.get(LOGIN).status_code == 404
    assert client.post(LOGIN, data={"token": ""}).status_code in (404, 405)
    assert client.get(STATS, headers=ELSEWHERE | {"authorization": "Bearer"}).status_code == 403


@pytest.mark.parametrize("token", ["", "with space", "schlüssel", "line\nbreak"])
def test_a_token_that_fits_into_no_header_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="the token is empty or has"):
        CollectorServer(token=token)


def test_peers_elsewhere_are_asked_for_the_token() -> None:
    others = [address for address in own_addresses() if not is_loopback_name(address)]
    if not others:
        pytest.skip("this machine has no address but loopback")
    with CollectorServer(host="0.0.0.0", token=TOKEN) as collector:
        url = f"http://{others[0]}:{collector.port}"
        # A request to the outer address counts as coming from another machine.
        answer = httpx.get(f"{url}/_collector/events", headers={"host": "localhost"})
        service = httpx.get(f"{url}{CREATE}")

    assert answer.status_code == 401
    assert service.status_code == 200


def own_addresses() -> set[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return set()
        return {probe.getsockname()[0]}


NAMES: Mapping[str, bool] = {
    "localhost": True,
    "127.0.0.1": True,
    "::1": True,
    "::ffff:127.0.0.1": True,
    "::ffff:192.0.2.1": False,
    "0.0.0.0": False,
    "": False,
    "testclient": False,
}


@pytest.mark.parametrize("name", NAMES)
def test_loopback_names(name: str) -> None:
    assert is_loopback_name(name) is NAMES[name]
