"""A session: who is there during one request, and which cookies the answer must carry."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from passerby.http.cookie_set import CookieSet
from passerby.http.policy import Policy
from passerby.http.proxies import TrustedProxies
from passerby.http.session import Session, session_of
from passerby.http.session_reader import SessionReader
from passerby.http.set_cookie import CookieAttributes
from passerby.http.visitor_cookies import BrowserIdCookie, IdentityCookie, LogOutCookie, StoredIdentity
from passerby.values.browser_id import IssuedId
from tests.making import BROWSER_ID, KEY, NAVIGATION, OTHER_ID, by_name, cookie_header, request, sent_back

NOW = 1_767_225_600.0


def session_reader(
    policy: Policy | None = None, keys: tuple[str, ...] = (KEY,), *, counts_log_outs: bool = False, **options: Any
) -> SessionReader:
    attributes = CookieAttributes()
    return SessionReader(
        CookieSet(
            BrowserIdCookie("bid_key", attributes, keys, **options),
            IdentityCookie("bid_key_uid", attributes, keys) if keys else None,
            LogOutCookie("bid_key_out", attributes, keys) if counts_log_outs else None,
        ),
        policy or Policy(),
        TrustedProxies(),
    )


def opened(reader: SessionReader, cookies: dict[str, str] | None = None, **headers: str) -> Session:
    return reader.read(request("/", NAVIGATION | (cookies or {}) | headers), time.time())


def names(reader: SessionReader, session: Session, headers: Any = (), **options: Any) -> list[str]:
    lines = [one.header() for one in reader.cookies(session, headers, time.time(), **options)]
    assert reader.has_cookies(session) or options or not lines
    return list(by_name(lines))


def signed(reader: SessionReader, browser_id: str = BROWSER_ID) -> dict[str, str]:
    session = opened(reader)
    session.assign(IssuedId(browser_id))
    return sent_back(one.header() for one in reader.cookies(session, (), time.time()))


def test_a_new_visitor_needs_an_id() -> None:
    reader = session_reader()
    session = opened(reader)
    assert session.needs_id
    assert names(reader, session) == []
    session.assign(IssuedId(BROWSER_ID))
    assert (session.needs_id, session.is_id_used) == (False, False)
    assert (names(reader, session), session.is_id_used) == (["bid_key", "bid_key_sig"], True)


def test_a_returning_visitor() -> None:
    reader = session_reader()
    session = opened(reader, signed(reader))
    assert (session.browser_id, session.needs_id, names(reader, session)) == (BROWSER_ID, False, [])
    assert names(reader, session, renew=True) == ["bid_key", "bid_key_sig"]


def test_an_unsigned_cookie_is_signed_on_a_page_only() -> None:
    reader = session_reader()
    cookies = cookie_header(bid_key=BROWSER_ID)
    assert names(reader, opened(reader, cookies)) == ["bid_key", "bid_key_sig"]
    assert names(reader, opened(reader, cookies, **{"sec-fetch-dest": "image"})) == []
    assert names(session_reader(keys=()), opened(session_reader(keys=()), cookies)) == []


def test_the_identity_is_remembered_and_forgotten() -> None:
    reader = session_reader()
    session = opened(reader, signed(reader))
    session.identify("user_123", StoredIdentity("user_123", "digest", 1))
    lines = [one.header() for one in reader.cookies(session, (), time.time())]
    assert list(by_name(lines)) == ["bid_key_uid"]
    came = {"cookie": signed(reader)["cookie"] + "; " + sent_back(lines)["cookie"]}
    later = opened(reader, came)
    assert (later.user_id, names(reader, later)) == ("user_123", [])
    later.reset()
    assert later.user_id is None
    assert names(reader, later) == ["bid_key_uid"]
    elsewhere = {"cookie": signed(reader, OTHER_ID)["cookie"] + "; " + sent_back(lines)["cookie"]}
    assert opened(reader, elsewhere).user_id is None, "bound to the browser ID"


def test_who_logs_in_after_a_log_out_in_one_request_is_remembered() -> None:
    reader = session_reader(counts_log_outs=True)
    cookies = signed(reader)
    for count in (1, 2, 3):
        session = opened(reader, cookies)
        session.identify("user_1", StoredIdentity("user_1", "digest", int(time.time())))
        session.reset()
        session.identify(f"user_{count}", StoredIdentity(f"user_{count}", "digest", int(time.time())))
        lines = [one.header() for one in reader.cookies(session, (), time.time())]
        assert list(by_name(lines)) == ["bid_key_uid", "bid_key_out"]
        cookies = {"cookie": signed(reader)["cookie"] + "; " + sent_back(lines)["cookie"]}
        assert (opened(reader, cookies).user_id, opened(reader, cookies).log_outs) == (f"user_{count}", count)


def test_consent_that_is_withdrawn_takes_the_mark_of_a_log_out_away_too() -> None:
    reader = session_reader(Policy(consent=lambda info: False), counts_log_outs=True)
    assert "bid_key_out" not in names(reader, opened(reader, cookie_header(bid_key=BROWSER_ID)))
    lines = reader.cookies(opened(reader, cookie_header(bid_key=BROWSER_ID, bid_key_out="x")), (), time.time())
    assert [(one.name, one.max_age) for one in lines][-1] == ("bid_key_out", 0)


def test_a_refused_request_says_nothing_of_the_visitor() -> None:
    """Nobody without consent has an ID or a name, however they are asked for."""
    reader, willing = session_reader(Policy(consent=lambda info: None)), session_reader()
    session = opened(willing, signed(willing))
    session.identify("user_123", StoredIdentity("user_123", "digest", 1))
    lines = [one.header() for one in willing.cookies(session, (), time.time())]
    came = {"cookie": signed(willing)["cookie"] + "; " + sent_back(lines)["cookie"]}
    assert opened(willing, came).user_id == "user_123"
    for refusing, headers in ((reader, {}), (willing, {"sec-gpc": "1"}), (willing, {"user-agent": "Googlebot/2.1"})):
        asked = opened(refusing, came, **headers)
        assert (asked.user_id, asked.browser_id) == (None, None)
        assert names(refusing, asked) == []


def test_withdrawal_takes_only_what_is_there() -> None:
    reader = session_reader(Policy(consent=lambda info: False))
    assert names(reader, opened(reader)) == []
    assert names(reader, opened(reader, {"cookie": "other=1"})) == []
    assert names(reader, opened(reader, cookie_header(bid_key="rubbish"))) == ["bid_key", "bid_key_sig", "bid_key_uid"]


def test_nothing_is_taken_away_on_a_response_that_is_shared() -> None:
    reader = session_reader(Policy(consent=lambda info: False))
    assert names(reader, opened(reader, cookie_header(bid_key=BROWSER_ID)), [("cache-control", "public")]) == []


@pytest.mark.parametrize("name", ["bid_key", b"bid_key"], ids=["text", "bytes"])
def test_what_the_app_sets_itself(name: Any) -> None:
    reader = session_reader()
    session = opened(reader)
    session.assign(IssuedId(BROWSER_ID))
    session.identify("user_123", StoredIdentity("user_123", "digest", 1))
    value = b"bid_key=x" if isinstance(name, bytes) else "bid_key=x"
    header = b"Set-Cookie" if isinstance(name, bytes) else "Set-Cookie"
    assert names(reader, session, [(header, value)]) == ["bid_key_uid"]
    assert not session.is_id_used


def test_leaving_without_a_new_id_takes_everything_away() -> None:
    reader = session_reader()
    session = opened(reader, signed(reader))
    session.rotate()
    session.identify("user_124", StoredIdentity("user_124", "digest", 1))
    lines = [one.header() for one in reader.cookies(session, (), time.time())]
    assert list(by_name(lines)) == ["bid_key", "bid_key_sig", "bid_key_uid"]
    assert all("Max-Age=0" in line for line in lines)


def test_an_id_may_be_taken_back() -> None:
    session = opened(session_reader())
    session.assign(IssuedId(BROWSER_ID))
    session.unassign()
    assert (session.browser_id, session.has_new_id) == (None, False)


def test_outside_of_any_request() -> None:
    session = session_of(BROWSER_ID, "user_123")
    assert (session.browser_id, session.user_id, session.needs_id) == (BROWSER_ID, "user_123", False)
    assert session.decision.refusal is None
    assert session_reader().cookies(session, (), NOW) == []
    assert session.cookie_header == ""


def test_an_identity_may_be_taken_back() -> None:
    """What was told in a transaction that failed was not told."""
    reader = session_reader()
    session = opened(reader, signed(reader))
    session.identify("user_1", StoredIdentity("user_1", "digest", int(NOW)))
    bring_back = session.make_identity_undo()
    session.identify("user_2", StoredIdentity("user_2", "other", int(NOW)))
    assert session.user_id == "user_2"

    bring_back()
    assert session.user_id == "user_1"
    assert names(reader, session) == ["bid_key_uid"]


def test_a_new_browser_id_that_is_taken_back_leaves_the_guest_id_of_the_old_one() -> None:
    session = opened(session_reader(), cookie_header(bid_key=BROWSER_ID))
    session.read_guest_id(BROWSER_ID, OTHER_ID, is_old=False)
    take_back = session.make_identity_undo()
    session.rotate()
    session.assign(IssuedId(str(uuid4()), guest := str(uuid4())))
    assert session.guest_id == guest
    take_back()
    assert (session.browser_id, session.guest_id) == (BROWSER_ID, OTHER_ID)


@pytest.mark.parametrize("then", ["reset", "rotate", "identify"])
def test_what_came_after_an_identity_is_not_taken_back_with_it(then: str) -> None:
    reader = session_reader()
    session = opened(reader, signed(reader))
    session.identify("user_1", StoredIdentity("user_1", "digest", int(NOW)))
    bring_back = session.make_identity_undo()
    session.identify("user_2", StoredIdentity("user_2", "other", int(NOW)))
    if then == "identify":
        session.identify("user_3", StoredIdentity("user_3", "third", int(NOW)))
    else:
        getattr(session, then)()
    seen = session.user_id

    bring_back()
    assert session.user_id == seen == ("user_3" if then == "identify" else None)


def test_a_page_view_of_a_new_visitor_is_one_only_where_the_response_can_carry_a_cookie() -> None:
    reader, html = session_reader(), ("Content-Type", "text/html")
    shared = [html, ("Cache-Control", "public, max-age=60")]
    new, returning = opened(reader), opened(reader, signed(reader))
    assert reader.is_page_view(new, 200, [html])
    assert not reader.is_page_view(new, 200, shared)
    assert reader.is_page_view(returning, 200, shared)
    assert not reader.is_page_view(session_of(BROWSER_ID), 200, [html])


@pytest.mark.parametrize(
    ("status", "is_view"),
    [(200, True), (201, True), (206, True), (204, False), (205, False), (304, True), (404, False), (500, False)],
)
def test_which_statuses_are_page_views(status: int, is_view: bool) -> None:
    reader = session_reader()
    assert reader.is_page_view(opened(reader), status, [("Content-Type", "text/html")]) is is_view
