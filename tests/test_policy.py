"""May we? Consent, Sec-GPC, bots, prefetches, subresources, skipped paths."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from passerby import RequestInfo
from passerby.http.policy import PAGE, Decision, Policy, is_html, is_known_bot, is_prefetch
from tests.making import CHROME, NAVIGATION, environ_request, request
from tests.user_agents import BOTS, PEOPLE


def decide(
    headers: dict[str, str] | None = None, target: str = "/", policy: Policy | None = None, **fields: Any
) -> Decision:
    policy = policy or Policy()
    decision = policy.decide(request(target, headers or {}, **fields))
    if fields.get("type") != "websocket":
        assert policy.decide(environ_request(target, headers or {}, **fields)) == decision
    return decision


def test_there_are_enough_user_agents() -> None:
    assert len(BOTS) + len(PEOPLE) >= 60
    assert len(set(BOTS) | set(PEOPLE)) == len(BOTS) + len(PEOPLE)


@pytest.mark.parametrize("agent", BOTS)
def test_a_known_bot_is_dropped(agent: str) -> None:
    assert is_known_bot(agent)
    assert decide(NAVIGATION | {"user-agent": agent}) == Decision("bot", "never", bot=True)


@pytest.mark.parametrize("agent", PEOPLE)
def test_people_and_plain_clients_are_no_bots(agent: str) -> None:
    assert not is_known_bot(agent)
    assert decide(NAVIGATION | {"user-agent": agent}) == PAGE


def test_what_to_do_with_bots_is_a_setting() -> None:
    bot = NAVIGATION | {"user-agent": BOTS[0]}
    tagged = decide(bot, policy=Policy(bots="tag"))
    assert (tagged.refusal, tagged.assign, tagged.bot, tagged.sets_cookies) == (None, "never", True, False)
    assert decide(bot, policy=Policy(bots="keep")) == PAGE


@pytest.mark.once
@pytest.mark.parametrize(
    "piece", ["bo", "Mozilla/5.0 (", "a.", "craw", " ", "\\", "bo-_;/", "archive", "uptim", "cubot"]
)
def test_a_hostile_user_agent_costs_little(piece: str) -> None:
    """However long, it costs not much more than 512 characters of an ordinary one."""

    def cost(agent: str) -> float:
        infos = [request("/", {"user-agent": f"{number} {agent}"}) for number in range(200)]
        is_known_bot.cache_clear()
        started = time.thread_time()
        for info in infos:
            assert Policy().decide(info) == PAGE
        return time.thread_time() - started

    hostile = (piece * 16_384)[:16_384] if piece != "cubot" else "cubot " * 2_000
    assert min(cost(hostile) for _ in range(3)) < 20 * min(cost((CHROME * 5)[:512]) for _ in range(3))


@pytest.mark.parametrize(
    ("answer", "refusal", "forget"),
    [
        (True, None, False),
        ("granted", None, False),
        (False, "consent", True),
        ("denied", "consent", True),
        (None, "consent", False),
        ("unknown", "consent", False),
        ("yes", "consent", False),
        (1, "consent", False),
        (0, "consent", False),
        ([], "consent", False),
    ],
)
def test_consent(answer: Any, refusal: str | None, forget: bool) -> None:
    decision = decide(NAVIGATION, policy=Policy(consent=lambda info: answer))
    assert (decision.refusal, decision.expires_cookies, decision.sets_cookies) == (refusal, forget, refusal is None)


def test_consent_is_asked_with_the_requests_facts() -> None:
    def consent(info: RequestInfo) -> bool:
        return info.cookies.get("choice") == "all" and info.path == "/shop"

    assert decide(NAVIGATION | {"cookie": "choice=all"}, "/shop", Policy(consent)) == PAGE
    assert decide(NAVIGATION, "/shop", Policy(consent)).expires_cookies


def test_consent_that_raises_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    def consent(info: RequestInfo) -> bool:
        raise KeyError("no such cookie")

    with caplog.at_level(logging.ERROR):
        decision = decide(NAVIGATION, policy=Policy(consent))
    assert (decision.refusal, decision.expires_cookies) == ("consent", False)
    assert "consent callable raised" in caplog.text


def test_consent_comes_before_everything() -> None:
    headers = NAVIGATION | {"sec-gpc": "1", "user-agent": BOTS[0], "sec-purpose": "prefetch"}
    assert decide(headers, policy=Policy(lambda info: False)).expires_cookies


@pytest.mark.parametrize(
    ("value", "setting", "refusal"),
    [("1", "respect", "gpc"), ("1", "ignore", None), ("0", "respect", None), ("", "respect", None)],
)
def test_global_privacy_control(value: str, setting: Any, refusal: str | None) -> None:
    decision = decide(NAVIGATION | {"sec-gpc": value}, policy=Policy(gpc=setting))
    assert decision.refusal == refusal
    assert not decision.expires_cookies


@pytest.mark.parametrize(
    ("headers", "prefetch"),
    [
        ({}, False),
        ({"sec-purpose": "prefetch"}, True),
        ({"sec-purpose": "prefetch;prerender"}, True),
        ({"sec-purpose": "prefetch;anonymous-client-ip"}, True),
        ({"sec-purpose": "prefetch", "sec-fetch-mode": "navigate"}, True),
        ({"sec-purpose": "something-new"}, False),
        ({"sec-purpose": "something-new", "purpose": "prefetch"}, False),
        ({"purpose": "prefetch"}, True),
        ({"purpose": "Prefetch"}, True),
        ({"purpose": "prefetch", "sec-fetch-mode": "navigate"}, False),
        ({"purpose": "prefetch", "sec-fetch-mode": "no-cors"}, True),
        ({"x-purpose": "prefetch"}, True),
        ({"x-purpose": "preview"}, False),
        ({"x-sec-purpose": "prefetch"}, True),
        ({"x-sec-purpose": "prefetch", "sec-fetch-mode": "same-origin"}, True),
        ({"hx-preloaded": "true"}, True),
        ({"x-moz": "prefetch"}, True),
        ({"x-moz": "prefetch", "sec-fetch-mode": "navigate"}, False),
        ({"purpose": "other"}, False),
        ({"sec-fetch-mode": "navigate"}, False),
    ],
)
def test_prefetch(headers: dict[str, str], prefetch: bool) -> None:
    """U47: Sec-Purpose decides; the older headers only where the request is no navigation."""
    assert is_prefetch(request("/", headers)) is prefetch
    decision = decide({"accept": "text/html", "user-agent": CHROME} | headers)
    assert decision.sets_cookies is not prefetch
    assert decision.refusal is None, "explicit calls are never dropped for it"


@pytest.mark.parametrize(
    ("headers", "at_once"),
    [
        ({}, True),
        ({"accept": "*/*"}, True),
        ({"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, True),
        ({"accept": "application/json"}, False),
        ({"accept": "image/avif,image/webp,*/*;q=0.8"}, False),
        ({"sec-fetch-dest": "document"}, True),
        ({"sec-fetch-dest": "iframe"}, True),
        ({"sec-fetch-dest": "frame"}, True),
        ({"sec-fetch-dest": "empty", "accept": "text/html"}, False),
        ({"sec-fetch-dest": "image"}, False),
        ({"sec-fetch-dest": "script", "accept": "*/*"}, False),
        ({"sec-fetch-dest": "style"}, False),
        ({"sec-fetch-dest": "serviceworker"}, False),
        ({"accept": "text/html, */*; q=0.01", "x-requested-with": "XMLHttpRequest"}, False),
        ({"accept": "*/*", "hx-request": "true"}, False),
        ({"accept": "text/html", "x-up-version": "3.7.0"}, False),
        ({"accept": "text/html", "x-requested-with": "com.example.app"}, True),
    ],
)
def test_a_subresource_gets_no_id_at_once(headers: dict[str, str], at_once: bool) -> None:
    """U42: only navigations, and requests that say nothing of themselves."""
    decision = decide({"user-agent": CHROME} | headers)
    assert decision.assign == ("at once" if at_once else "when tracked")
    assert decision.sets_cookies


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_methods_that_are_no_pages(method: str) -> None:
    assert decide(NAVIGATION, method=method).assign == "when tracked"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_methods_that_are_pages(method: str) -> None:
    assert decide(NAVIGATION, method=method).assign == "at once"


@pytest.mark.parametrize(
    "path", ["/static/app.js", "/assets/logo.svg", "/favicon.ico", "/robots.txt", "/health", "/healthz", "/health/live",
             "/ping", "/readyz", "/livez"]
)  # fmt: skip
def test_skipped_paths(path: str) -> None:
    assert decide({}, path).assign == "when tracked"


@pytest.mark.parametrize(
    "path", ["/", "/health-and-beauty/creams", "/pingpong", "/statics", "/favicon.icons", "/a/static/"]
)
def test_pages_whose_path_only_begins_alike(path: str) -> None:
    assert decide({}, path).assign == "at once"


def test_skipped_paths_are_a_setting() -> None:
    policy = Policy(ignored_paths=("/api",))
    assert decide({}, "/api", policy=policy).assign == "when tracked"
    assert decide({}, "/api/items", policy=policy).assign == "when tracked"
    assert decide({}, "/apiary", policy=policy).assign == "at once"
    assert decide({}, "/static/app.js", policy=policy).assign == "at once"


def test_what_is_remembered_of_a_user_agent_is_short() -> None:
    """What strangers send must not fill the memory: what differs behind the 512th character is the same agent."""
    is_known_bot.cache_clear()
    for number in range(3):
        decide(NAVIGATION | {"user-agent": "x" * 512 + str(number) * 60_000})
    assert is_known_bot.cache_info().currsize == 1


def test_a_websocket_is_no_page() -> None:
    assert decide(NAVIGATION, type="websocket").assign == "when tracked"


@pytest.mark.parametrize(
    ("headers", "method", "target", "is_document"),
    [
        (NAVIGATION, "GET", "/", True),
        ({"sec-fetch-dest": "document"}, "GET", "/", True),
        ({"accept": "text/html,application/xhtml+xml;q=0.9"}, "GET", "/", True),
        ({"accept": "*/*"}, "GET", "/", False),
        ({}, "GET", "/", False),
        (NAVIGATION, "POST", "/", False),
        (NAVIGATION, "HEAD", "/", False),
        (NAVIGATION, "GET", "/static/page.html", False),
        (NAVIGATION | {"sec-fetch-dest": "iframe"}, "GET", "/", False),
        (NAVIGATION | {"sec-fetch-dest": "empty"}, "GET", "/", False),
        (NAVIGATION | {"sec-purpose": "prefetch;prerender"}, "GET", "/", False),
        (NAVIGATION | {"purpose": "prefetch"}, "GET", "/", True),
        ({"accept": "text/html", "purpose": "prefetch"}, "GET", "/", False),
        ({"accept": "text/html", "x-requested-with": "XMLHttpRequest"}, "GET", "/", False),
        ({"accept": "text/html", "x-requested-with": "com.example.app"}, "GET", "/", True),
        ({"hx-request": "true", "hx-boosted": "true"}, "GET", "/", True),
        ({"hx-request": "true", "hx-boosted": "true"}, "GET", "/static/page.html", False),
        ({"hx-request": "true", "hx-boosted": "true"}, "POST", "/", False),
    ],
)
def test_who_goes_to_a_page_and_will_see_it(
    headers: dict[str, str], method: str, target: str, is_document: bool
) -> None:
    assert Policy().is_document(request(target, headers, method=method)) is is_document
    assert Policy().is_document(environ_request(target, headers, method=method)) is is_document


@pytest.mark.parametrize(
    ("content_type", "is_page"),
    [
        ("text/html", True),
        ("text/html; charset=utf-8", True),
        ("Text/HTML;charset=utf-8", True),
        ("application/xhtml+xml", True),
        ("text/plain", False),
        ("application/json", False),
        ("text/html-not", False),
        ("", False),
    ],
)
def test_what_is_a_page_for_people(content_type: str, is_page: bool) -> None:
    assert is_html([("Content-Type", content_type)]) is is_page
    assert is_html([(b"content-type", content_type.encode())]) is is_page
    assert not is_html([])


def test_where_the_browser_sdk_issues_ids_no_page_does() -> None:
    assert decide(NAVIGATION, policy=Policy(assigns_ids=False)).assign == "when tracked"
    assert Policy(assigns_ids=False).is_document(request("/", NAVIGATION))
