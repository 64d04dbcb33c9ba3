"""The reference: what the Engage SDK does in a case and, with differences switched on, what passerby does instead.

With nothing switched on it must come to what was recorded; a test holds it to that. With everything on, what it says
differently is what `expectation` puts in the recorded outcome's place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urldefrag, urljoin

from .bodies import Bodies, Page, language_of
from .case import JSON, Case
from .cookies import UUID, cookie_of, read_cookie, write_cookie
from .javascript import is_truthy
from .recorded import ANSWERING, ANY_ERROR, parse_set_cookie
from .refusal import OWN_ERROR, Refused, coded
from .server import ISSUED, Answer, Server
from .settings import base_url, check_settings

RETRIED = frozenset({408, 425, 429, *range(500, 600)})
VERSION = {"x-library-version": "1.4.3"}
PENDING: JSON = {"pending": True}
@dataclass
class Visitor:
    """What is known of the visitor while a case runs; an ID of None is no cookie, an empty one is an empty cookie."""

    browser_id: str | None
    linked_id: str | None = None  # got for events, never in a cookie
    is_blocked: bool = False  # an event waits, and with it all behind it
    queue: list[JSON] = field(default_factory=list)


class Reference:
    """Runs one case."""

    def __init__(self, case: Case, on: Collection[str]) -> None:
        self.case = case
        self.on = on
        self.server = Server(case)
        self.sent: list[JSON] = []
        self.cookies: list[JSON] = []
        self.visitor = Visitor(read_cookie(case.cookie_header, case.cookie_name, on))
        self.request_cookie = case.cookie_header
        self.known_id: str | None = None
        self.clock = 0.0
        self.runs: list[list[tuple[float, JSON]]] = []

    def outcome(self) -> JSON:
        try:
            self._init()
        except Refused as refused:
            return self._outcome(refused.error, [])
        steps = [self._step(call, args) for call, args in self.case.steps]
        return self._outcome(None, [step for step in steps if step["call"] != "wait"])

    def _outcome(self, init: JSON | None, steps: list[JSON]) -> JSON:
        earlier = self.case.response.get("set_cookie", [])
        known = {"known_id": self.known_id} if self.known_id and "request-untouched" in self.on else {}
        return known | {
            "init": init,
            "steps": steps,
            "cookies": self.cookies,
            "kept": earlier if "cookies-appended" in self.on or not self.cookies else [],
            "request_cookie": self.request_cookie,
            "sent": self.sent,
        }

    def _init(self) -> None:
        check_settings(self.case.settings, self.on)
        self.settings: JSON = self.case.settings or {}
        utm = self.settings.get("includeUTMParameters")
        self.page = Page(
            client_key=self.settings["clientKey"],
            point_of_sale=self.settings.get("pointOfSale"),
            include_utm_parameters=utm is None or is_truthy(utm),
            url=self.case.url,
            infers=self.case.is_in_browser,
            referrer=self._inferred_referrer(),
        )
        self.base = re.sub(r"^\{\w+\}", "", base_url(str(self.settings["targetURL"]), self.on))
        if self.case.is_in_browser:
            self._open_page()

    def _open_page(self) -> None:
        if "server-issues-cookie" not in self.on and is_truthy(self.settings.get("forceServerCookieMode")):
            return
        if is_truthy(self.visitor.browser_id):
            return
        self.visitor.browser_id = self._create()[0]
        if self.visitor.browser_id is None and "server-issues-cookie" in self.on:
            return
        self.visitor.browser_id = self.visitor.browser_id or ""
        self._set_cookie(self.visitor.browser_id)

    def _inferred_referrer(self) -> str | None:
        referrer = str(self.case.request.get("referrer") or "") if self.case.is_in_browser else ""
        if not referrer or _host(referrer) == _host(self.case.url):
            return None
        return re.split("[?#]", referrer)[0] if "referrer-without-query" in self.on else referrer

    def _step(self, call: str, args: JSON) -> JSON:
        step: JSON = {"call": call, "error": None, "result": {}}
        try:
            answer = getattr(self, f"_{call}")(call, args)
        except Refused as refused:
            step["error"] = refused.error
        else:
            if call in ANSWERING and not args.get("background"):
                step["result"] = answer
        if self.case.is_in_browser and not args.get("background"):
            step["held"] = len(self.visitor.queue)
        return step

    # The calls.

    def _handleCookie(self, call: str, args: JSON) -> None:  # noqa: N802 - the SDK's name, as all below
        visitor = self.visitor
        if not is_truthy(self.settings.get("forceServerCookieMode")):
            return
        if not is_truthy(visitor.browser_id):
            limit = self._timeout(args)
            browser_id, answer = self._create()
            self._check_time(answer, limit)
            if browser_id is None:
                raise Refused(coded("IE-0004"))
            self._remember(browser_id)
            self._set_cookie(browser_id)
        else:
            self._set_cookie(str(visitor.browser_id))

    def _pageView(self, call: str, args: JSON) -> JSON:  # noqa: N802
        body = self._body(call, args)
        self.page.referrer = None  # the next page view of this page has none
        return self._send(body)

    def _identity(self, call: str, args: JSON) -> JSON:
        return self._send(self._body(call, args))

    def _event(self, call: str, args: JSON) -> JSON:
        return self._send(self._body(call, args))

    def _personalize(self, call: str, args: JSON) -> JSON:
        body = self._body(call, args)
        limit = self._timeout(args)
        answer = self._call("POST", "/v2/callFlows", "callflows", body)
        self._check_time(answer, limit)
        if "personalize-errors" in self.on and not (answer.is_good and isinstance(answer.json, dict)):
            return {"answer": None}
        return {"answer": answer.json}

    def _getGuestId(self, call: str, args: JSON) -> JSON:  # noqa: N802
        key, browser_id = self.settings["clientKey"], self.visitor.browser_id or ""
        path = f"/v1.2/browser/{browser_id}/show.json?client_key={key}&api_token={key}"
        answer = self._call("GET", path, "show")
        found = answer.json if isinstance(answer.json, dict) else {}
        if answer.status is None:
            raise Refused(ANY_ERROR)
        if answer.is_good:
            return {"answer": found["customer"]["ref"]}
        if "guest-errors-in-words" in self.on and not isinstance(found.get("error_msg"), str):
            raise Refused(OWN_ERROR)
        words = [str(found.get(name, "undefined")) for name in ("error_msg", "moreInfo")]
        raise Refused({"code": None, "text": ", for more info: ".join(words)})

    def _getBrowserId(self, call: str, args: JSON) -> JSON:  # noqa: N802
        return {"answer": self.visitor.browser_id or ""}

    def _updatePointOfSale(self, call: str, args: JSON) -> None:  # noqa: N802
        chosen = args.get("pointOfSale")
        if not (isinstance(chosen, str) and chosen.strip()):
            raise Refused(ANY_ERROR if is_truthy(chosen) and not isinstance(chosen, str) else coded("MV-0009"))
        self.page.point_of_sale = chosen

    def _addToEventQueue(self, call: str, args: JSON) -> None:  # noqa: N802
        self.visitor.queue.append(self._body("event", args))

    def _clearEventQueue(self, call: str, args: JSON) -> None:  # noqa: N802
        self.visitor.queue.clear()

    def _processEventQueue(self, call: str, args: JSON) -> None:  # noqa: N802
        waiting = list(self.visitor.queue)
        if "queue-exact" in self.on or not args.get("background"):
            self.visitor.queue.clear()
            for body in waiting:
                self._send(body)
        else:
            self.runs.append(list(self._timed(waiting)))

    def _wait(self, call: str, args: JSON) -> None:
        self.clock += args["ms"] / 1000

    def _settle(self, call: str, args: JSON) -> None:
        """Send what runs in the background send by now: events of runs at once are sent in turn, and all end with an empty queue."""
        if self.runs:
            self.visitor.queue.clear()
        for _, body in sorted((entry for run in self.runs for entry in run), key=lambda entry: entry[0]):
            self._send(body)
        self.runs.clear()

    def _timed(self, bodies: list[JSON]) -> Iterator[tuple[float, JSON]]:
        moment = self.clock
        script = self.case.server.get("events") or [{}]
        for position, body in enumerate(bodies):
            yield moment, body
            moment += Answer(script[min(position, len(script) - 1)]).seconds(with_body=True)

    # What they have in common.

    def _body(self, call: str, args: JSON) -> JSON:
        self.page.language = self._page_language(args)
        body = Bodies(self.page, self.on).make(call, args)
        name = "browserId" if call == "personalize" else "browser_id"
        if name in body:
            body[name] = self.visitor.browser_id or ""
        return body

    def _page_language(self, args: JSON) -> str | None:
        data = next((args[name] for name in ("eventData", "personalizeData") if name in args), None)
        if not self.case.is_in_browser or (isinstance(data, dict) and data.get("language") is not None):
            return None
        try:
            return language_of(str(self.case.request.get("lang", "")))
        except Refused:
            if "malformed-input-read" in self.on:
                return None
            raise

    def _send(self, body: JSON) -> JSON:
        """Send an event; gives the result."""
        if "events-get-an-id" in self.on and not self._find_id(body):
            return PENDING
        if "events-retried" not in self.on:
            answer = self._call("POST", "/v1.2/events", "events", body)
            return {"answer": self._follow(answer).json}
        return self._send_until_settled(body)

    def _send_until_settled(self, body: JSON) -> JSON:
        if self.visitor.is_blocked:
            return PENDING
        while True:
            is_last = self.server.is_last("events")
            answer = self._follow(self._call("POST", "/v1.2/events", "events", body))
            if answer.is_good:
                return {"answer": answer.json}
            if answer.status is not None and answer.status not in RETRIED:
                return {"dead": True}
            if is_last or "retry-after" in answer.script.get("headers", {}):
                break
        self.visitor.is_blocked = True
        if "retry-after" not in answer.script.get("headers", {}):
            self._mark_last("again")
        return PENDING

    def _find_id(self, body: JSON) -> bool:
        if body["browser_id"]:
            return True
        visitor = self.visitor
        if visitor.linked_id is None:
            visitor.linked_id = visitor.browser_id or self._create_until_made()
        body["browser_id"] = visitor.linked_id
        return visitor.linked_id is not None

    def _create_until_made(self) -> str | None:
        if self.visitor.is_blocked:
            return None
        while True:
            is_last = self.server.is_last("create")
            browser_id, _ = self._create()
            if browser_id is not None or is_last:
                break
        if browser_id is None:
            self.visitor.is_blocked = True
            self._mark_last("again")
        return browser_id

    def _follow(self, answer: Answer) -> Answer:
        location = answer.script.get("headers", {}).get("location")
        if "redirects-not-followed" in self.on or not location or answer.status not in (301, 302, 303, 307, 308):
            return answer
        kept = answer.status in (307, 308)
        path = re.sub(r"^\{\w+\}", "", location)
        return self._call("POST" if kept else "GET", path, "other", self.sent[-1]["body"] if kept else None, base="")

    def _create(self) -> tuple[str | None, Answer]:
        """Ask for a browser ID."""
        key = quote(str(self.settings["clientKey"]), safe="&=+$,/?:@!#%'()*[]~;")
        path = f"/v1.2/browser/create.json?client_key={key}&message={{}}"
        answer = self._call("GET", path, "create")
        ref = answer.json.get("ref") if isinstance(answer.json, dict) else None
        if "browser-id-checked" in self.on:
            is_id = isinstance(ref, str) and (ref == ISSUED or UUID.fullmatch(ref) is not None)
            return (ref if answer.is_good and is_id else None), answer
        return (str(ref) if is_truthy(ref) else None), answer

    def _call(self, method: str, path: str, route: str, body: JSON | None = None, base: str | None = None) -> Answer:
        answer = self.server.next(route)
        if not answer.script.get("refused"):
            headers = {"content-type": None if body is None else "application/json", **VERSION}
            path = (self.base if base is None else base) + path
            self.sent.append({"method": method, "path": _resolved(path), "headers": headers, "body": body})
        return answer

    def _mark_last(self, mark: str) -> None:
        """Note of the last call that it is made again and again, or that nobody knows whether it is made."""
        if self.sent:
            self.sent[-1] = self.sent[-1] | {mark: True}

    def _timeout(self, args: JSON) -> float | None:
        """The time limit in seconds; raises Refused for what is none."""
        if "timeout" not in args:
            return None
        timeout = args["timeout"]
        if timeout is None and "timeout-in-seconds" in self.on:
            return None
        is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0
        if is_number and ("timeout-in-seconds" in self.on or float(timeout).is_integer()):
            return float(timeout) / 1000
        raise Refused(coded("IV-0006"))

    def _check_time(self, answer: Answer, limit: float | None) -> None:
        takes = answer.seconds(with_body="timeout-covers-body" in self.on)
        is_short = limit is not None and limit < 0.001 and "timeout-in-seconds" in self.on
        if answer.status is not None and limit is not None and (takes > limit or is_short):
            if is_short:
                self._mark_last("maybe")
            raise Refused(coded("IE-0003"))

    def _remember(self, browser_id: str) -> None:
        had_none = self.visitor.browser_id is None
        self.known_id = browser_id
        if had_none or "request-untouched" in self.on:
            self.visitor.browser_id = browser_id
        if had_none and "request-untouched" not in self.on:
            line = write_cookie(cookie_of(self.settings, self.case.cookie_name, browser_id, self.on))
            self.request_cookie = f"{self.request_cookie}; {line}" if self.request_cookie else line

    def _set_cookie(self, browser_id: str) -> None:
        cookie = cookie_of(self.settings, self.case.cookie_name, browser_id, self.on)
        self.cookies.append(parse_set_cookie(write_cookie(cookie)))


def _host(url: str) -> str:
    found = re.match(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)", url, re.IGNORECASE)
    return found[1].lower() if found else ""


def _resolved(path: str) -> str:
    """The path as a URL parser makes it: dots resolved, the fragment cut."""
    return urldefrag(urljoin("//server", path)).url.removeprefix("//server") if "#" in path or "/.." in path else path


def run_reference(case: Case, on: Collection[str]) -> JSON:
    """What happens in a case, with some differences switched on."""
    return Reference(case, on).outcome()
