"""Visitors of Sitecore's edge form: their cookies, the change from one form to the other, and their guest IDs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import flask
import pytest
from django.http import HttpResponse
from starlette.responses import Response
from werkzeug.local import LocalProxy

import tests.django_site  # noqa: F401 - sets Django up
from passerby import RemoteError, Sitecore, Tracking, ValidationError
from passerby.asgi import TrackingMiddleware
from passerby.collector import CollectorServer
from passerby.collector.faults import ScriptedResponse
from passerby.http.response import headers_of
from tests.making import (
    BROWSER_ID,
    KEY,
    NAVIGATION,
    OTHER_ID,
    PATIENCE,
    by_name,
    call,
    cookie_header,
    let_go,
    make_environ,
    make_scope,
    page,
    sent_back,
    set_cookies,
    value_of,
)

MakeSite = Callable[..., "Site"]


class Site:
    """A small site: each page view is tracked."""

    def __init__(self, tracking: Tracking, view: Any = None) -> None:
        self.tracking = tracking
        self.app = TrackingMiddleware(view or page({"content-type": "text/html"}), tracking=tracking)

    async def visit(self, cookies: dict[str, str] | None = None, target: str = "/", **headers: str) -> list[str]:
        return set_cookies(await call(self.app, make_scope(target, NAVIGATION | (cookies or {}) | headers)))


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """A stand-in for the edge that takes events of browsers whose ID it has not issued."""
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


@pytest.fixture
def make_site(collector: CollectorServer) -> Iterator[MakeSite]:
    made: list[Tracking] = []

    def make(form: str = "edge", view: Any = None, **options: Any) -> Site:
        names = ("personalize_cookie", "adopt_engage_cookie", "adopt_edge_cookie", "site_name", "dialect", "edge_url")
        own = {name: options.pop(name) for name in names if name in options}
        if form == "edge":
            own = {"edge_context_id": "ctx1", "site_name": "shop", "edge_url": collector.url} | own
        else:
            own = {"client_key": "key", "target_url": collector.url, "point_of_sale": "shop"} | own
        usual: dict[str, Any] = {"secret_key": KEY, "auto_page_views": True, "browser_id_timeout": PATIENCE}
        made.append(Tracking(Sitecore(**own), **(usual | options)))
        return Site(made[-1], view)

    yield make
    for tracking in made:
        let_go(tracking)


def ids_at(collector: CollectorServer) -> set[str]:
    return {event["browser_id"] for event in collector.events}


class TestCookies:
    async def test_a_new_visitor_gets_the_cookie_of_the_browser_sdk(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        site = make_site()
        lines = by_name(await site.visit())
        assert list(lines) == ["sc_cid", "sc_cid_sig"]
        assert "HttpOnly" not in lines["sc_cid"]
        assert await site.tracking.aflush(PATIENCE) == 0
        assert ids_at(collector) == {value_of(lines["sc_cid"])}

    async def test_the_older_cookie_wins_and_is_deleted(self, make_site: MakeSite, collector: CollectorServer) -> None:
        """The browser SDK does the same, and both sides must come to one visitor."""
        site = make_site()
        lines = by_name(await site.visit(cookie_header(sc_ctx1=BROWSER_ID, sc_cid=OTHER_ID)))
        assert value_of(lines["sc_cid"]) == BROWSER_ID
        assert "Max-Age=0" in lines["sc_ctx1"]
        assert await site.tracking.aflush(PATIENCE) == 0
        assert ids_at(collector) == {BROWSER_ID}

    async def test_an_older_cookie_that_is_no_id_counts_as_none(self, make_site: MakeSite) -> None:
        lines = by_name(await make_site(secret_key=None).visit(cookie_header(sc_ctx1="x", sc_cid=BROWSER_ID)))
        assert lines == {}

    async def test_a_request_that_is_no_page_knows_the_id_and_moves_nothing(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        async def view(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].event("ADD")
            await page()(scope, receive, send)

        site = make_site(view=view, auto_page_views=False)
        image = {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors", "accept": "image/*"}
        assert await site.visit(cookie_header(sc_ctx1=BROWSER_ID), **image) == []
        assert await site.tracking.aflush(PATIENCE) == 0
        assert ids_at(collector) == {BROWSER_ID}

    async def test_withdrawn_consent_deletes_the_older_cookies_too(self, make_site: MakeSite) -> None:
        site = make_site(consent=lambda request: False, personalize_cookie=True, adopt_engage_cookie="key")
        cookies = dict.fromkeys(("sc_ctx1", "bid_key", "sc_cid_personalize", "sc_ctx1_personalize"), BROWSER_ID)
        lines = by_name(await site.visit(cookie_header(**cookies)))
        assert cookies.keys() <= lines.keys()
        assert all("Max-Age=0" in line for line in lines.values())

    async def test_an_older_cookie_that_cannot_be_deleted_does_not_undo_what_follows(self, make_site: MakeSite) -> None:
        """Another host of the domain may have set it. The user stays logged in, and a new browser ID stays."""
        kept, seen = cookie_header(sc_ctx1=BROWSER_ID), list[tuple[str | None, str | None]]()

        async def view(scope: Any, receive: Any, send: Any) -> None:
            tracker = scope["state"]["tracker"]
            seen.append((tracker.browser_id, tracker.user_id))
            if scope["path"] == "/login":
                tracker.identify("user_1")
            elif scope["path"] == "/leave":
                tracker.rotate()
            await page({"content-type": "text/html"})(scope, receive, send)

        site = make_site(view=view, identity_provider="CRM")
        kept = with_cookies(kept, await site.visit(kept, "/login"))
        assert await site.visit(kept) == []
        lines = await site.visit(kept, "/leave")
        await site.visit(with_cookies(kept, lines))
        new_id = value_of(by_name(lines)["sc_cid"])
        assert seen == [(BROWSER_ID, None), (BROWSER_ID, "user_1"), (BROWSER_ID, "user_1"), (new_id, None)]

    @pytest.mark.parametrize("on_bad_signature", ["reissue", "adopt"])
    async def test_an_older_cookie_without_a_signature_does_not_replace_a_signed_id(
        self, make_site: MakeSite, on_bad_signature: str
    ) -> None:
        """Every host of the domain can set one, and would give the visitor an ID of its choice."""
        site = make_site(on_bad_signature=on_bad_signature)
        own = await site.visit()
        lines = await site.visit(with_cookies(cookie_header(sc_ctx1=OTHER_ID), own))
        assert [value_of(line) for line in lines[:1]] == ([] if on_bad_signature == "reissue" else [OTHER_ID])

    async def test_a_log_out_counts_for_an_older_cookie_too(self, make_site: MakeSite) -> None:
        """Its browser ID is the same, and the current cookie has got lost."""
        first = make_site("engage", view=identifying("user_1"), identity_provider="CRM")
        cookies = sent_back(await first.visit())

        async def log_out(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].reset()
            await page({"content-type": "text/html"})(scope, receive, send)

        lines = by_name(await make_site("edge", view=log_out, adopt_engage_cookie="key").visit(cookies))
        seen: list[str | None] = []
        mark = cookie_header(sc_cid_out=value_of(lines["sc_cid_out"]))
        both = cookie_header(**dict(pairs_of(cookies) + pairs_of(mark)))
        await make_site("edge", view=reading(seen), adopt_engage_cookie="key").visit(both)
        assert seen == [None]

    async def test_with_a_new_browser_id_the_older_cookies_go(self, make_site: MakeSite) -> None:
        async def rotate(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].rotate()
            await page()(scope, receive, send)

        site = make_site(view=rotate, adopt_engage_cookie="key")
        lines = by_name(await site.visit(cookie_header(sc_cid=BROWSER_ID, bid_key=OTHER_ID)))
        assert value_of(lines["sc_cid"]) not in (BROWSER_ID, OTHER_ID)
        assert "Max-Age=0" in lines["bid_key"]

    async def test_cookies_that_are_not_read_are_not_replaced_by_older_ones(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        site = make_site(adopt_engage_cookie="key")
        many = "; ".join(["sc_cid=x"] * 200 + [f"bid_key={BROWSER_ID}", f"sc_ctx1={OTHER_ID}"])
        assert await site.visit({"cookie": many}) == []
        assert await site.tracking.aflush(PATIENCE) == 0
        assert collector.events == []


class TestChangeOfForm:
    @pytest.mark.parametrize(
        ("before", "after", "old", "new"),
        [
            ("engage", {"form": "edge", "adopt_engage_cookie": "key"}, "bid_key", "sc_cid"),
            ("edge", {"form": "engage", "adopt_edge_cookie": "ctx1"}, "sc_cid", "bid_key"),
        ],
    )
    @pytest.mark.parametrize("secret_key", [KEY, None], ids=["signed", "unsigned"])
    async def test_a_visitor_returns_after_the_switch(
        self,
        make_site: MakeSite,
        collector: CollectorServer,
        before: str,
        after: dict[str, Any],
        old: str,
        new: str,
        secret_key: str | None,
    ) -> None:
        first = make_site(before, secret_key=secret_key)
        cookies = sent_back(await first.visit())
        assert await first.tracking.aflush(PATIENCE) == 0

        second = make_site(**after, secret_key=secret_key)
        lines = by_name(await second.visit(cookies))
        assert await second.tracking.aflush(PATIENCE) == 0
        assert (value_of(lines[new]), "Max-Age=0" in lines[old]) == (cookie_value(cookies, old), True)
        assert len(collector.events) == 2
        assert ids_at(collector) == {cookie_value(cookies, old)}, "one visitor"

        again = sent_back(lines.values())
        assert await second.visit(again) == []
        assert await second.tracking.aflush(PATIENCE) == 0
        assert ids_at(collector) == {cookie_value(cookies, old)}

    async def test_a_current_cookie_is_kept_where_both_are_in_use(self, make_site: MakeSite) -> None:
        """A part of the site may still have the Engage SDK, whose cookie is left to it."""
        site = make_site(secret_key=None, adopt_engage_cookie="key")
        assert await site.visit(cookie_header(bid_key=OTHER_ID, sc_cid=BROWSER_ID)) == []

    async def test_without_the_old_client_key_nothing_is_taken_over(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        lines = by_name(await make_site().visit(cookie_header(bid_key=BROWSER_ID)))
        assert value_of(lines["sc_cid"]) != BROWSER_ID

    async def test_a_user_who_is_logged_in_stays_so(self, make_site: MakeSite) -> None:
        """The identity cookie is moved with the browser ID, and so is what is known of log-outs."""
        first = make_site("engage", view=identifying("user_1"), identity_provider="CRM")
        cookies = sent_back(await first.visit())
        seen: list[str | None] = []
        second = make_site("edge", view=reading(seen), adopt_engage_cookie="key")
        lines = by_name(await second.visit(cookies))
        assert seen == ["user_1"]
        assert {"sc_cid", "sc_cid_sig", "sc_cid_uid"} <= lines.keys()
        assert all("Max-Age=0" in lines[name] for name in ("bid_key", "bid_key_sig", "bid_key_uid"))
        await second.visit(sent_back(lines.values()))
        assert seen == ["user_1", "user_1"]

    async def test_who_logs_out_on_the_first_request_is_logged_out(self, make_site: MakeSite) -> None:
        first = make_site("engage", view=identifying("user_1"), identity_provider="CRM")
        cookies = sent_back(await first.visit())

        async def log_out(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].reset()
            await page()(scope, receive, send)

        fetch = {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "accept": "application/json"}
        lines = by_name(await make_site("edge", view=log_out, adopt_engage_cookie="key").visit(cookies, **fetch))
        seen: list[str | None] = []
        # A browser that has not dropped the old cookies yet, as in a late response, does not bring the user back.
        both = cookie_header(**dict(pairs_of(cookies) + pairs_of(sent_back(lines.values()))))
        await make_site("edge", view=reading(seen), adopt_engage_cookie="key").visit(both)
        assert seen == [None]


class TestGuestId:
    async def test_a_new_visitor_gets_both_cookies_from_one_request(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        site = make_site(personalize_cookie=True)
        lines = by_name(await site.visit())
        guest = value_of(lines["sc_cid_personalize"])
        tracker = site.tracking.tracker_for(make_scope("/", NAVIGATION | sent_back(lines.values())))
        assert await tracker.guest_id() == guest
        assert not [one for one in collector.requests if "show.json" in one.path], "it was known"

    async def test_it_is_off_by_default(self, make_site: MakeSite) -> None:
        assert "sc_cid_personalize" not in by_name(await make_site().visit())

    async def test_the_older_cookie_is_moved(self, make_site: MakeSite) -> None:
        site = make_site(personalize_cookie=True, secret_key=None)
        lines = by_name(await site.visit(cookie_header(sc_cid=BROWSER_ID, sc_ctx1_personalize=OTHER_ID)))
        assert value_of(lines["sc_cid_personalize"]) == OTHER_ID
        assert "Max-Age=0" in lines["sc_ctx1_personalize"]

    async def test_the_cookie_of_the_browser_sdk_is_read(self, make_site: MakeSite, collector: CollectorServer) -> None:
        """It may keep the guest ID where passerby does not."""

        async def view(scope: Any, receive: Any, send: Any) -> None:
            await scope["state"]["tracker"].personalize({"friendly_id": "exp_1"})
            await page({"content-type": "text/html"})(scope, receive, send)

        lines = by_name(await make_site(view=view).visit(cookie_header(sc_cid=BROWSER_ID, sc_cid_personalize=OTHER_ID)))
        (asked,) = (one for one in collector.requests if one.route == "personalize")
        assert asked.json["guestRef"] == OTHER_ID
        assert "sc_cid_personalize" not in lines

    async def test_a_new_browser_id_takes_no_guest_id_along(self, make_site: MakeSite) -> None:
        async def rotate(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].rotate()
            await page()(scope, receive, send)

        site = make_site(view=rotate, personalize_cookie=True)
        lines = by_name(await site.visit(cookie_header(sc_cid=BROWSER_ID, sc_cid_personalize=OTHER_ID)))
        assert value_of(lines["sc_cid"]) not in (BROWSER_ID, "")
        assert value_of(lines["sc_cid_personalize"]) not in (OTHER_ID, "")

    async def test_a_returning_visitor_without_one_gets_it_when_it_is_needed(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        async def view(scope: Any, receive: Any, send: Any) -> None:
            await scope["state"]["tracker"].personalize({"friendly_id": "exp"}, PATIENCE)
            await page()(scope, receive, send)

        site = make_site(view=view, personalize_cookie=True, auto_page_views=False)
        known = await make_site().visit()  # issued, so the collector knows it
        lines = by_name(await site.visit(sent_back(known)))
        asked = [one for one in collector.requests if "/v1/personalize" in one.path]
        assert value_of(lines["sc_cid_personalize"]) == asked[0].json["guestRef"] != ""

    async def test_its_request_takes_at_most_half_of_the_time(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        """It is asked for first, and the personalisation is done without it."""
        tracking = make_site(personalize_cookie=True).tracking
        collector.script("show", [ScriptedResponse(status=None, delay=PATIENCE)])
        tracker = tracking.tracker_for(make_scope("/", NAVIGATION | cookie_header(sc_cid=BROWSER_ID)))
        began = time.monotonic()
        assert await tracker.personalize({"friendly_id": "exp"}, 3.0) is not None
        assert 1.4 < time.monotonic() - began < 3.0
        collector.clear_faults()

    @pytest.mark.parametrize("wrong", [{"timeout": -1}, {"data": {"friendly_id": None}}, {"data": 5}])
    async def test_what_is_wrong_is_found_before_anything_is_asked(
        self, make_site: MakeSite, collector: CollectorServer, wrong: dict[str, Any]
    ) -> None:
        given: dict[str, Any] = {"data": {"friendly_id": "exp"}} | wrong
        for on_invalid in ("raise", "drop"):
            tracking = make_site(personalize_cookie=True, on_invalid=on_invalid).tracking
            tracker = tracking.tracker_for(make_scope("/", NAVIGATION | cookie_header(sc_cid=BROWSER_ID)))
            if on_invalid == "drop":
                assert await tracker.personalize(**given) is None
                assert tracker.personalize_sync(**given) is None
            else:
                with pytest.raises(ValidationError):
                    await tracker.personalize(**given)
        assert not [one for one in collector.requests if "show.json" in one.path]

    @pytest.mark.parametrize("personalize_cookie", [True, False])
    async def test_a_new_browser_id_leaves_no_guest_id_of_another(
        self, make_site: MakeSite, personalize_cookie: bool
    ) -> None:
        """The browser SDK may have written it, and would send it for the next person."""

        async def rotate(scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["tracker"].rotate()
            await page()(scope, receive, send)

        site = make_site(view=rotate, personalize_cookie=personalize_cookie)
        cookies = cookie_header(sc_cid=BROWSER_ID, sc_cid_personalize=OTHER_ID, sc_ctx1_personalize=OTHER_ID)
        lines = by_name(await site.visit(cookies))
        assert value_of(lines["sc_cid_personalize"]) != OTHER_ID
        assert "Max-Age=0" in lines["sc_ctx1_personalize"]

    @pytest.mark.parametrize("form", ["edge", "engage"])
    async def test_an_id_that_takes_the_place_of_another_does_not_get_its_guest_id(
        self, make_site: MakeSite, form: str
    ) -> None:
        own = {"personalize_cookie": True, "adopt_engage_cookie": "key"} if form == "edge" else {}
        site = make_site(form, **(own or {"adopt_edge_cookie": "ctx1"}))
        cookies = {"bid_key" if form == "edge" else "sc_ctx1": BROWSER_ID}
        lines = by_name(await site.visit(cookie_header(**cookies, sc_cid_personalize=OTHER_ID)))
        assert "Max-Age=0" in lines["sc_cid_personalize"]

    async def test_the_older_cookie_that_wins_has_a_guest_id_of_its_own(self, make_site: MakeSite) -> None:
        guest = str(uuid4())
        cookies = cookie_header(sc_ctx1=BROWSER_ID, sc_cid=OTHER_ID, sc_cid_personalize=guest)
        lines = by_name(await make_site(personalize_cookie=True).visit(cookies))
        assert (value_of(lines["sc_cid"]), value_of(lines["sc_cid_personalize"])) == (BROWSER_ID, "")

    async def test_a_request_that_is_no_page_moves_no_guest_id(self, make_site: MakeSite) -> None:
        site = make_site(personalize_cookie=True, secret_key=None)
        image = {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors", "accept": "image/*"}
        assert await site.visit(cookie_header(sc_cid=BROWSER_ID, sc_ctx1_personalize=OTHER_ID), **image) == []

    async def test_the_apps_own_browser_id_gets_no_guest_id_of_ours(self, make_site: MakeSite) -> None:
        own = f"sc_cid={BROWSER_ID}; Path=/"
        site = make_site(view=page({"content-type": "text/html", "set-cookie": own}), personalize_cookie=True)
        assert await site.visit() == [own]

    @pytest.mark.parametrize("secret_key", [KEY, None], ids=["signed", "unsigned"])
    @pytest.mark.parametrize("kind", ["list", "starlette", "flask", "django"])
    async def test_a_response_that_is_used_again_carries_no_guest_id_to_the_next(
        self, make_site: MakeSite, kind: str, secret_key: str | None
    ) -> None:
        tracking = make_site(personalize_cookie=True, secret_key=secret_key).tracking
        response = {"list": list, "starlette": Response, "flask": flask.Response, "django": HttpResponse}[kind]()
        make = make_scope if kind in ("list", "starlette") else make_environ
        cookies = cookie_header(sc_ctx1=str(uuid4()), sc_ctx1_personalize=str(uuid4()))
        first = make("/", NAVIGATION | cookies)
        await tracking.handle_cookie(first, response)
        guest = value_of(lines_of(response)["sc_cid_personalize"])
        await tracking.handle_cookie(make("/", NAVIGATION | cookie_header(sc_cid=BROWSER_ID)), response)
        lines = lines_of(response)
        assert value_of(lines["sc_cid"]) == BROWSER_ID
        assert guest not in str(lines)
        assert not [name for name in lines if name.startswith("sc_ctx1")], "the deletions were the other's too"


class TestBots:
    AGENT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    BOT_ID = "043937ea-8aba-ea32-5dbd-e1020b1bdd9f"  # as recorded of the Content SDK

    async def test_a_crawler_is_one_visitor_without_cookies(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        site = make_site(bots="tag", browser_id_pool_size=0)
        for cookies in (None, cookie_header(sc_cid=BROWSER_ID)):
            assert await site.visit(cookies, **{"user-agent": self.AGENT}) == []
        assert await site.tracking.aflush(PATIENCE) == 0
        assert [event["channel"] for event in collector.events] == ["bot", "bot"]
        assert ids_at(collector) == {self.BOT_ID}
        assert not [one for one in collector.requests if "create.json" in one.path], "no ID is asked for"

    async def test_the_cookie_of_the_sdk_makes_a_bot(self, make_site: MakeSite, collector: CollectorServer) -> None:
        site = make_site(bots="tag")
        await site.visit(cookie_header(sc_bot="1"))
        await site.visit(cookie_header(sc_bot=""))
        assert await site.tracking.aflush(PATIENCE) == 0
        assert [event.get("channel") for event in collector.events] == ["bot", None]

    @pytest.mark.parametrize("form", ["edge", "engage"])
    async def test_other_calls_of_bots_are_dropped_and_counted(
        self, make_site: MakeSite, collector: CollectorServer, form: str
    ) -> None:
        async def view(scope: Any, receive: Any, send: Any) -> None:
            tracker = scope["state"]["tracker"]
            tracker.event("ADD")
            tracker.form("f1", "viewed")
            tracker.identity({"identifiers": [{"id": "1", "provider": "CRM"}]})
            assert await tracker.personalize({"friendly_id": "exp_1"}) is None
            await page({"content-type": "text/html"})(scope, receive, send)

        site = make_site(form, view=view, bots="tag")
        await site.visit(None, "/", **{"user-agent": self.AGENT})
        assert await site.tracking.aflush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["VIEW"]
        assert site.tracking.stats().destinations["sitecore"].dropped == {"bot": 3}
        assert {one.route for one in collector.requests} <= {"create", "events"}

    async def test_with_consent_to_ask_for_a_bot_is_the_same(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        guests: list[str | None] = []

        async def view(scope: Any, receive: Any, send: Any) -> None:
            guests.append(scope["state"]["tracker"].session.guest_id)
            await page({"content-type": "text/html"})(scope, receive, send)

        site = make_site(view=view, bots="tag", consent=lambda request: True, personalize_cookie=True)
        cookies = cookie_header(sc_cid=BROWSER_ID, sc_cid_personalize=OTHER_ID)
        await site.visit(cookies, **{"user-agent": self.AGENT})
        assert await site.tracking.aflush(PATIENCE) == 0
        assert ids_at(collector) == {self.BOT_ID}
        assert guests == [None], "that of a person"

    async def test_a_bot_keeps_its_id_when_the_app_rotates(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        async def view(scope: Any, receive: Any, send: Any) -> None:
            assert scope["state"]["tracker"].browser_id == self.BOT_ID
            scope["state"]["tracker"].rotate()
            await page({"content-type": "text/html"})(scope, receive, send)

        site = make_site(view=view, bots="tag", browser_id_pool_size=0)
        assert await site.visit(cookie_header(sc_cid=BROWSER_ID), **{"user-agent": self.AGENT}) == []
        assert await site.tracking.aflush(PATIENCE) == 0
        assert ids_at(collector) == {self.BOT_ID}
        assert not [one for one in collector.requests if "create.json" in one.path], "no ID is asked for"

    async def test_it_gets_no_personalisation(self, make_site: MakeSite, collector: CollectorServer) -> None:
        site = make_site(bots="tag", personalize_cookie=True, browser_id_pool_size=0)
        tracker = site.tracking.tracker_for(make_scope("/", NAVIGATION | {"user-agent": self.AGENT}))
        assert await tracker.personalize({"friendly_id": "exp"}, PATIENCE) is None
        assert tracker.personalize_sync({"friendly_id": "exp"}, PATIENCE) is None
        with pytest.raises(RemoteError, match="guest ID: this visitor is a bot"):
            await tracker.guest_id(PATIENCE)
        assert not [one for one in collector.requests if one.method == "POST" or "show.json" in one.path]

    @pytest.mark.parametrize(
        ("headers", "count"),
        [
            ({"sec-fetch-dest": "document"}, 1),
            ({"sec-fetch-dest": "iframe"}, 0),
            ({"hx-request": "true"}, 0),
            ({"sec-purpose": "prefetch"}, 0),
        ],
    )
    async def test_a_browser_that_is_a_bot_has_the_pages_that_it_shows(
        self, make_site: MakeSite, headers: dict[str, str], count: int
    ) -> None:
        site = make_site(bots="tag")
        await site.visit(cookie_header(sc_bot="1"), **headers)
        assert site.tracking.stats().destinations["sitecore"].recorded == count

    async def test_its_id_is_made_from_the_whole_user_agent(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        """As in the SDK, and in `bot_page_view`."""
        agent = "Googlebot " + "x" * 600
        site = make_site(bots="tag")
        await site.visit(None, "/", **{"user-agent": agent})
        site.tracking.bot_page_view(agent, None, make_scope("/"))
        assert await site.tracking.aflush(PATIENCE) == 0
        assert len(collector.events) == 2
        assert len(ids_at(collector)) == 1


class TestDefectsOfTheSdks:
    """One for each defect of the vendor's SDKs that passerby must not share."""

    async def test_no_guest_id_is_given_to_the_next_visitor(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        site = make_site(personalize_cookie=True)
        first = by_name(await site.visit())
        guest = value_of(first["sc_cid_personalize"])
        returning = cookie_header(sc_cid=str(uuid4()))  # without a guest cookie
        lines = by_name(await site.visit(returning))
        assert "sc_cid_personalize" not in lines
        tracker = site.tracking.tracker_for(make_scope("/", NAVIGATION | returning))
        assert tracker.session.guest_id is None
        assert guest not in str(lines)

    async def test_overlapping_requests_keep_their_own_browser_ids_and_campaigns(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        both_there = asyncio.Barrier(2)

        async def view(scope: Any, receive: Any, send: Any) -> None:
            await both_there.wait()
            scope["state"]["tracker"].page_view()
            await both_there.wait()
            await page()(scope, receive, send)

        site = make_site(view=view, auto_page_views=False, secret_key=None)
        await asyncio.gather(
            site.visit(cookie_header(sc_cid=BROWSER_ID), "/?utm_source=a"),
            site.visit(cookie_header(sc_cid=OTHER_ID), "/?utm_source=b"),
        )
        assert await site.tracking.aflush(PATIENCE) == 0
        assert {(event["browser_id"], event["utm_source"]) for event in collector.events} == {
            (BROWSER_ID, "a"),
            (OTHER_ID, "b"),
        }

    async def test_both_cookies_reach_the_browser(self, make_site: MakeSite) -> None:
        """As lines of their own, so that four pages have one visitor."""
        site = make_site(personalize_cookie=True, secret_key=None)
        lines = await site.visit()
        cookies = sent_back(lines)
        for _ in range(3):
            assert await site.visit(cookies) == []
        assert [line.partition("=")[0] for line in lines] == ["sc_cid", "sc_cid_personalize"]

    async def test_the_apps_cookies_are_left_alone(self, make_site: MakeSite) -> None:
        own = "session=abc; Path=/; HttpOnly; SameSite=Lax"
        site = make_site(view=page({"content-type": "text/html", "set-cookie": own}), personalize_cookie=True)
        lines = await site.visit()
        assert lines[0] == own
        assert {"sc_cid", "sc_cid_personalize"} <= by_name(lines).keys()

    async def test_each_event_goes_to_the_site_of_its_request(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        """However many sites and destinations there are in the process, and whichever was set up last."""
        site = make_site(site_name=lambda request: request.host.partition(".")[0])
        make_site(site_name="last")
        for host in ("north.example", "south.example", "north.example"):
            await call(site.app, make_scope("/", NAVIGATION | cookie_header(sc_cid=BROWSER_ID), host=host))
        assert await site.tracking.aflush(PATIENCE) == 0
        sent = [one.path.partition("siteId=")[2] for one in collector.requests if "/events?" in one.path]
        assert sent == ["north", "south", "north"]

    async def test_a_site_may_be_a_proxy_and_is_no_long_text(
        self, make_site: MakeSite, collector: CollectorServer
    ) -> None:
        site = make_site(site_name=lambda request: LocalProxy(lambda: "north"))
        await site.visit(cookie_header(sc_cid=BROWSER_ID))
        assert await site.tracking.aflush(PATIENCE) == 0
        assert [one.path.partition("siteId=")[2] for one in collector.requests if "/events?" in one.path] == ["north"]
        for form, name in (("edge", "siteName"), ("engage", "pointOfSale")):
            tracker = make_site(form).tracking.tracker_for(make_scope("/", NAVIGATION))
            tracker.point_of_sale = "s" * 256
            with pytest.raises(ValidationError, match=f"{name}: found 256 characters, expected at most 255"):
                tracker.page_view()
            with pytest.raises(ValidationError, match=f"{name}: found 256 characters, expected at most 255"):
                await tracker.personalize({"friendly_id": "exp"})

    @pytest.mark.parametrize("target", ["/?utm_source=%E0%A4%A", "/?a=%", "/%zz?utm_source=%ff"])
    async def test_malformed_escapes_raise_nothing(
        self, make_site: MakeSite, collector: CollectorServer, target: str
    ) -> None:
        site = make_site()
        await site.visit(cookie_header(sc_cid=BROWSER_ID), target)
        assert await site.tracking.aflush(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == ["VIEW"]

    @pytest.mark.passerby_live
    async def test_a_dead_edge_holds_no_page(self, make_site: MakeSite) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))  # taken, and not listening
            site = make_site(edge_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
            assert await site.visit() == []
            assert site.tracking.stats().destinations["sitecore"].pending == 1


def identifying(user_id: str) -> Any:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["tracker"].identify(user_id)
        await page({"content-type": "text/html"})(scope, receive, send)

    return view


def reading(seen: list[str | None]) -> Any:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"]["tracker"].user_id)
        await page({"content-type": "text/html"})(scope, receive, send)

    return view


def with_cookies(header: dict[str, str], lines: list[str]) -> dict[str, str]:
    """What a browser sends next that deletes nothing."""
    set_now = [(name, value_of(line)) for name, line in by_name(lines).items() if "Max-Age=0" not in line]
    return cookie_header(**dict(pairs_of(header) + set_now))


def lines_of(response: Any) -> dict[str, str]:
    lines = [value for name, value in headers_of(response) if name.lower() in (b"set-cookie", "set-cookie")]
    return by_name(line.decode() if isinstance(line, bytes) else line for line in lines)


def pairs_of(header: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for piece in header["cookie"].split("; ") for name, _, value in [piece.partition("=")]]


def cookie_value(header: dict[str, str], name: str) -> str:
    return dict(pairs_of(header))[name]
