"""The reference: what the Engage SDK does in a case and, with differences switched on, what passerby does instead.

With nothing switched on it must come to what was recorded; a test holds it to that. With everything on, what it says
differently is what `expectation` puts in the recorded outcome's place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from .bodies import Bodies
from .body_parts import Page, language_of
from .case import JSON, Case
from .cookies import cookie_of, read_cookie, write_cookie
from .identity import FIELDS
from .javascript import is_truthy, is_url
from .recorded import ANSWERING, ANY_ERROR, parse_set_cookie
from .refusal import OWN_ERROR, Refused, coded
from .secrets import holds_secret
from .server import Answer
from .settings import check_settings
from .wire import Visitor, Wire


class Reference:
    """Runs one case."""

    def __init__(self, case: Case, on: Collection[str]) -> None:
        self.case = case
        self.on = on
        self.cookies: list[JSON] = []
        self.visitor = Visitor(read_cookie(case.cookie_header, case.cookie_name, on))
        self.wire = Wire(case, self.visitor, on)
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
            "sent": self.wire.sent,
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
        if self.case.is_in_browser:
            self._open_page()

    def _open_page(self) -> None:
        if "server-issues-cookie" not in self.on and is_truthy(self.settings.get("forceServerCookieMode")):
            return
        if is_truthy(self.visitor.browser_id):
            return
        self.visitor.browser_id = self.wire.create()[0]
        if self.visitor.browser_id is None and "server-issues-cookie" in self.on:
            return
        self.visitor.browser_id = self.visitor.browser_id or ""
        self._set_cookie(self.visitor.browser_id)

    def _inferred_referrer(self) -> str | None:
        referrer = str(self.case.request.get("referrer") or "") if self.case.is_in_browser else ""
        if not referrer or host_of(referrer) == host_of(self.case.url):
            return None
        return re.split("[?#]", referrer)[0] if "referrer-without-query" in self.on else referrer

    def _check_referrer(self, args: JSON) -> None:
        data = args.get("eventData")
        is_given = isinstance(data, dict) and is_truthy(data.get("referrer"))
        if self.page.referrer and not is_given and not is_url(self.page.referrer):
            if "malformed-input-read" not in self.on:
                raise Refused(ANY_ERROR)
            self.page.referrer = None

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
            browser_id, answer = self.wire.create()
            self.wire.check_time(answer, limit)
            if browser_id is None:
                raise Refused(coded("IE-0004"))
            self._remember(browser_id)
            self._set_cookie(browser_id)
        else:
            self._set_cookie(str(visitor.browser_id))

    def _pageView(self, call: str, args: JSON) -> JSON:  # noqa: N802
        self._check_referrer(args)
        body = self._body(call, args)
        self.page.referrer = None  # the next page view of this page has none
        return self.wire.send(body)

    def _identity(self, call: str, args: JSON) -> JSON:
        body = self._body(call, args)
        if "secrets-refused" in self.on and self._holds_secret(args):
            raise Refused(OWN_ERROR)
        return self.wire.send(body)

    def _holds_secret(self, args: JSON) -> bool:
        data = args.get("eventData") or {}
        of_person = {theirs: data[ours] for ours, theirs in FIELDS.items() if ours in data}
        return holds_secret("", of_person) or holds_secret("", args.get("extensionData"))

    def _event(self, call: str, args: JSON) -> JSON:
        return self.wire.send(self._body(call, args))

    def _personalize(self, call: str, args: JSON) -> JSON:
        body = self._body(call, args)
        limit = self._timeout(args)
        answer = self.wire.call("POST", "/v2/callFlows", "callflows", body)
        self.wire.check_time(answer, limit)
        if "personalize-errors" in self.on and not (answer.is_good and isinstance(answer.json, dict)):
            return {"answer": None}
        return {"answer": answer.json}

    def _getGuestId(self, call: str, args: JSON) -> JSON:  # noqa: N802
        key, browser_id = self.wire.key_in_url, self.visitor.browser_id or ""
        is_in_words = "guest-errors-in-words" in self.on
        if is_in_words and not browser_id:
            raise Refused(OWN_ERROR)
        path = f"/v1.2/browser/{browser_id}/show.json?client_key={key}&api_token={key}"
        answer = self.wire.call("GET", path, "show")
        found = answer.json if isinstance(answer.json, dict) else {}
        if answer.json is None:
            raise Refused(ANY_ERROR)
        if answer.is_good and isinstance(found.get("customer"), dict):
            guest_id = found["customer"].get("ref")
            if is_in_words and not isinstance(guest_id, str):
                raise Refused(OWN_ERROR)
            return {"answer": guest_id}
        if answer.is_good:
            raise Refused(ANY_ERROR)
        if is_in_words and not all(isinstance(found.get(name), str) for name in ("error_msg", "moreInfo")):
            raise Refused(OWN_ERROR)
        words = [str(found.get(name, "undefined")) for name in ("error_msg", "moreInfo")]
        raise Refused({"code": None, "text": ", for more info: ".join(words)})

    def _getBrowserId(self, call: str, args: JSON) -> JSON:  # noqa: N802
        return {"answer": self.visitor.browser_id or ""}

    def _updatePointOfSale(self, call: str, args: JSON) -> None:  # noqa: N802
        chosen = args.get("pointOfSale")
        if chosen is None and "point-of-sale-none" in self.on:
            self.page.point_of_sale = self.settings.get("pointOfSale")
            return
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
                self.wire.send(body)
        else:
            self.runs.append(list(self._timed(waiting)))

    def _wait(self, call: str, args: JSON) -> None:
        self.clock += args["ms"] / 1000

    def _settle(self, call: str, args: JSON) -> None:
        """Send what runs in the background send: runs at once take turns, and each ends with an empty queue."""
        if self.runs:
            self.visitor.queue.clear()
        for _, body in sorted((entry for run in self.runs for entry in run), key=lambda entry: entry[0]):
            self.wire.send(body)
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
            return language_of(str(self.case.request.get("lang", "")), self.on)
        except Refused:
            if "malformed-input-read" in self.on:
                return None
            raise

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

    def _remember(self, browser_id: str) -> None:
        had_none = self.visitor.browser_id is None
        self.known_id = browser_id
        if had_none or "request-untouched" in self.on:
            self.visitor.browser_id = browser_id
        if had_none and "request-untouched" not in self.on:
            line = write_cookie(cookie_of(self.settings, self.case.cookie_name, browser_id, self.on))
            self.request_cookie = f"{self.request_cookie}; {line}" if self.request_cookie else line

    def _set_cookie(self, browser_id: str) -> None:
        name = self.case.cookie_name
        earlier = [line.partition("=")[0] for line in self.case.response.get("set_cookie", ())]
        if "cookies-appended" not in self.on or name not in earlier:
            self.cookies.append(parse_set_cookie(write_cookie(cookie_of(self.settings, name, browser_id, self.on))))


def host_of(url: str) -> str:
    found = re.match(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]*)", url, re.IGNORECASE)
    return found[1].lower() if found else ""


def run_reference(case: Case, on: Collection[str]) -> JSON:
    """What happens in a case, with some differences switched on."""
    return Reference(case, on).outcome()
