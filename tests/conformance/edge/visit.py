"""One request in the model: its calls, its cookies, its events."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Generator
from typing import TYPE_CHECKING, Any

from ..body_parts import Page, language_of
from ..case import JSON
from ..cookies import UUID, cookie_of, read_cookie, write_cookie
from ..identity import FIELDS
from ..javascript import is_truthy, to_json
from ..recorded import ANY_ERROR, parse_set_cookie
from ..reference import host_of
from ..refusal import OWN_ERROR, Refused
from ..secrets import holds_secret
from ..server import Answer
from ..wire import Visitor
from .bodies import EdgeBodies
from .case import EdgeCase
from .recorded import ANSWERING_HERE, UNSEEN, in_order
from .refusal import coded
from .settings import check_settings
from .wire import EdgeWire

if TYPE_CHECKING:
    from .model import Process

Steps = Generator[float, None, Any]

ID = "sc_cid"
GUEST = "sc_cid_personalize"
SENDING = ("pageView", "identity", "event", "form", "botPageView")
CORE_CALLS = ("getBrowserId", "getGuestId", "getGuestIdServer")
# Of the bots that both know, and of the clients that only the Content SDK's library takes for such, those of the cases.
BOTS = re.compile(r"bot\b|crawl|spider", re.IGNORECASE)
CLIENTS = re.compile(r"^(curl|wget|python|go-http-client|java|okhttp|axios)\b", re.IGNORECASE)


class Visit:
    """Runs the calls of one request."""

    def __init__(self, case: EdgeCase, process: Process, on: Collection[str]) -> None:
        self.case = case
        self.process = process
        self.on = frozenset(on)
        self.request_cookie = case.cookie_header
        self.response: list[str] = list(case.set_cookie_before)
        self.is_one_text = isinstance(case.response.get("set_cookie"), str)
        self.referrer = self._inferred_referrer()
        self.queue: list[tuple[JSON, JSON]] = []
        self.steps: list[JSON] = []
        self.failure: JSON | None = None
        self.is_ready = False
        self.is_processing = False
        self.is_new = True
        self.is_moved = False
        self.outcome: JSON = {}
        self.visitor = Visitor(self._first_id() if "request-untouched" in on else None)
        self.guest_id = self._first_guest() if self.visitor.browser_id is not None else None
        self.wire = EdgeWire(case, self.visitor, on, process.server, process.sent, case.chosen)

    def run(self) -> Generator[float, None, None]:
        """Make the calls; yields how long it waits."""
        for call, args in self.case.steps:
            is_over = yield from self._step(call, args)
            if is_over:
                break
        before = self.case.set_cookie_before
        known = self.visitor.browser_id if self.is_ready and not self._is_tagged else None
        self.outcome = ({"known_id": known} if known and "request-untouched" in self.on else {}) | {
            "steps": [step for step in self.steps if step["call"] not in UNSEEN],
            "cookies": in_order(parse_set_cookie(line) for line in self.response if line not in before),
            "kept": [line for line in before if line in self.response],
            "request_cookie": self.request_cookie,
        }

    def _step(self, call: str, args: JSON) -> Generator[float, None, bool]:
        """Make one call; whether it was the last, because the settings are refused."""
        step: JSON = {"call": call, "error": None, "result": {}}
        given, args = args, copy.deepcopy(args)
        try:
            if call == "initialize":
                yield from self._initialize(args)
            elif call == "wait":
                yield args["ms"] / 1000
                self._settle()
            else:
                self._check_ready(call)
                step["result"] = self._make(call, args) if call in ANSWERING_HERE else {}
                if call not in ANSWERING_HERE:
                    getattr(self, f"_{call}")(call, args)
        except Refused as refused:
            step["error"] = refused.error
        if self.case.is_in_browser:
            step["held"] = len(self.queue)
        if to_json(given) != to_json(args) and "arguments-untouched" not in self.on:
            step["args_after"] = to_json(args)
        self.steps.append(step)
        return call == "initialize" and not self.is_ready

    def _make(self, call: str, args: JSON) -> JSON:
        if self._is_tagged and call in ("identity", "event", "form"):
            self._bodies().read(call, args)
            if call == "identity" and "secrets-refused" in self.on and self._holds_secret(args):
                raise Refused(OWN_ERROR)
            return {"dropped": "bot"}
        came = getattr(self, f"_{call}")(call, args)
        return came if call in SENDING and came is not None else {"answer": came}

    # Initialising.

    def _initialize(self, args: JSON) -> Steps:
        chosen = self.case.chosen_of(args["settings"]) if "settings" in args else self.case.chosen
        check_settings(self.case, chosen, self.on)
        is_lacking = "analytics" not in self.case.packages and "events" in self.case.packages
        if self.case.sdk == "content" and is_lacking and "ready-when-made" not in self.on:
            raise Refused(coded("content", "events without analytics"))
        self.is_ready = True
        if "visits-apart" in self.on:
            chosen = self.case.chosen if "settings" not in args else chosen
            self.process.chosen = chosen  # those of this object, for its cookies
        else:
            self.process.chosen = self.wire.chosen = chosen
        self.process.visit = self
        if not is_truthy(chosen.get("enableCookie")):
            yield from self._load_script()
            return
        try:
            yield from self._set_cookies(chosen)
        except Refused as refused:
            self.failure = None if "failures-pass" in self.on else refused.error
            if self.case.is_in_browser and (self.case.sdk == "cloud" or "server-issues-cookie" in self.on):
                return
            raise
        yield from self._load_script()

    def _load_script(self) -> Steps:
        personalize = self.case.personalize_settings or {}
        is_wanted = is_truthy(personalize.get("webPersonalization")) and "no-script" not in self.on
        if self.case.is_in_browser and is_wanted:
            self.wire.call("GET", self.wire.script_path, "cdn")
        yield from ()

    def _set_cookies(self, chosen: JSON) -> Steps:
        if self._is_tagged:
            return
        if not self._is_bot:
            yield from self._set_id(chosen)
        if "stale-cookies-deleted" in self.on:
            self._delete_stale(chosen)
        if is_truthy(chosen.get("enablePersonalizeCookie")):
            # From here on it is the request that was initialised last.
            visit = self if "visits-apart" in self.on else self.process.visit or self
            yield from visit._set_guest(chosen)

    def _set_id(self, chosen: JSON) -> Steps:
        legacy = f"sc_{chosen.get('contextId')}"
        old, known = self._read(legacy), self._read(ID)
        if "empty-cookies-replaced" in self.on:
            old, known = old or None, known or None
        if "stale-cookies-deleted" in self.on and old == known:
            old = None  # moved before
        is_known = is_truthy(known) if self.case.sdk == "content" else known is not None
        is_apart = self.case.sdk == "content" or "visits-apart" in self.on
        self.process.guest_id = None if is_apart else self.process.guest_id
        if "request-untouched" in self.on and self.visitor.browser_id is not None and old is None:
            known, is_known = self.visitor.browser_id, True
        if old is not None:
            self.is_new, self.is_moved = False, True
            self._set_all([self._line(ID, old), self._expired(legacy)])
            self._rename(legacy, ID)
        elif is_known:
            if not self.case.is_in_browser:
                self._set(self._line(ID, str(known)))
            self.is_new = False
        else:
            limit = self._timeout(chosen) if "timeout" in chosen else None
            answer = self.wire.call("GET", self.wire.create_path, "create")
            yield answer.seconds(with_body=True)
            self.wire.check_time(answer, limit)
            self._take_new(answer)

    def _take_new(self, answer: Answer) -> None:
        browser_id = self.wire.id_in(answer)
        if browser_id is None:
            raise Refused(coded(self.case.sdk, "no browser ID"))
        self.process.guest_id = answer.json.get("customer_ref")
        self.visitor.browser_id = browser_id
        if "guest-when-known" in self.on:
            self._know_guest(answer)
        line = self._line(ID, browser_id)
        self._set(line)
        self._append(line)

    def _know_guest(self, answer: Answer) -> None:
        ref = answer.json.get("customer_ref")
        self.guest_id = ref if isinstance(ref, str) and UUID.fullmatch(ref) else None

    def _set_guest(self, chosen: JSON) -> Steps:
        legacy = f"sc_{chosen.get('contextId')}_personalize"
        old, known = self._read(legacy), self._read(GUEST)
        if "guest-when-needed" in self.on:
            self._set_known_guest(legacy)
        elif old is not None:
            self._set_all([self._line(GUEST, old), self._expired(legacy)])
            self._rename(legacy, ID if self.case.sdk == "cloud" else GUEST)
        elif known is not None:
            if not self.case.is_in_browser:
                self._set(self._line(GUEST, known))
        elif is_truthy(self.process.guest_id):
            self._take_guest(str(self.process.guest_id))
        elif (browser_id := self._read(ID)) is not None:
            answer = self.wire.call("GET", self.wire.show_path(browser_id), "show")
            yield answer.seconds(with_body=True)
            self._take_guest(self._guest_in(answer))

    def _set_known_guest(self, legacy: str) -> None:
        """Set what is known of the guest, of the visitor's own browser ID; nothing is asked for."""
        if self.guest_id is not None:
            self._set(self._line(GUEST, self.guest_id))
            self._expire_if_there(legacy)

    def _delete_stale(self, chosen: JSON) -> None:
        """Delete what is left of an earlier visitor of this browser."""
        legacy = f"sc_{chosen.get('contextId')}"
        if self.is_new:
            self._expire_if_there(legacy)
        is_kept = is_truthy(chosen.get("enablePersonalizeCookie"))
        if (self.is_new or self.is_moved) and (self.guest_id is None or not is_kept):
            for name in (GUEST, f"{legacy}_personalize"):
                self._expire_if_there(name)

    def _expire_if_there(self, name: str) -> None:
        if name in str(self.request_cookie):
            self._set(self._expired(name))

    def _take_guest(self, guest_id: str) -> None:
        line = self._line(GUEST, guest_id)
        self._set(line)
        self._append(line)

    def _guest_in(self, answer: Answer) -> str:
        found = answer.json
        if not isinstance(found, dict):
            raise Refused(ANY_ERROR)
        if not answer.is_good:
            words = [str(found.get(name, "undefined")) for name in ("error_msg", "moreInfo")]
            if "guest-errors-in-words" in self.on and "undefined" in words:
                raise Refused(OWN_ERROR)
            raise Refused({"code": None, "text": ", for more info: ".join(words)})
        if not isinstance(found.get("customer"), dict):
            raise Refused(OWN_ERROR if "guest-errors-in-words" in self.on else ANY_ERROR)
        if not is_truthy(found["customer"].get("ref")):
            raise Refused(coded(self.case.sdk, "no guest ID"))
        return str(found["customer"]["ref"])

    # Cookies.

    def _read(self, name: str) -> str | None:
        return read_cookie(self.request_cookie, name, self.on)

    def _line(self, name: str, value: str) -> str:
        return write_cookie(cookie_of(self.process.chosen or {}, name, value, self.on))

    def _expired(self, name: str) -> str:
        is_in_page = self.case.is_in_browser and "server-issues-cookie" not in self.on
        if self.case.sdk == "content" and is_in_page:
            return f"{name}=; Path=/; Expires=Thu, 01 Jan 1970 00:00:01 GMT;"
        return write_cookie(cookie_of(self.process.chosen or {}, name, "", self.on) | {"max-age": "0"})

    def _set(self, line: str) -> None:
        """Set one cookie: Cloud replaces the header, Content adds to a list, or to the end of a text."""
        if "cookies-appended" in self.on:
            self._add(line)
        elif self.case.is_in_browser:
            self.response.append(line)
        elif self.case.sdk == "cloud" or not self.response:
            self._replace([line], is_one_text=True)
        elif self.is_one_text:
            self._replace([f"{self.response[0]}; {line}"], is_one_text=True)
        else:
            self._replace([*self.response, line], is_one_text=False)

    def _set_all(self, lines: list[str]) -> None:
        if "cookies-appended" in self.on:
            for line in lines:
                self._add(line)
        elif self.case.is_in_browser:
            self.response += lines
        else:
            self._replace(lines, is_one_text=False)

    def _add(self, line: str) -> None:
        name = line.partition("=")[0]
        earlier = [one.partition("=")[0] for one in self.response]
        if name not in earlier:
            self.response = [*self.response, line]

    def _replace(self, lines: list[str], *, is_one_text: bool) -> None:
        self.response = lines
        self.is_one_text = is_one_text

    def _rename(self, old: str, new: str) -> None:
        """Rename a cookie in the request, or what begins like it and stands before it."""
        if not self.case.is_in_browser and "request-untouched" not in self.on:
            self.request_cookie = str(self.request_cookie).replace(old, new, 1)

    def _append(self, line: str) -> None:
        if not self.case.is_in_browser and "request-untouched" not in self.on:
            self.request_cookie = f"{self.request_cookie}; {line}" if self.request_cookie else line

    # The calls.

    def _check_ready(self, call: str) -> None:
        sdk = self.case.sdk
        if "ready-when-made" in self.on:
            if self.failure is not None and (sdk == "content" or self.case.is_in_browser):
                raise Refused(self.failure)
            return
        where = " in browser" if self.case.is_in_browser else ""
        package = "personalize" if call == "personalize" else "events"
        if sdk == "content":
            if self.failure is not None:
                raise Refused(self.failure)
            if not self.is_ready:
                raise Refused(coded(sdk, "not initialized"))
            if package == "events" and "events" not in self.case.packages and call != "getClientId":
                raise Refused(coded(sdk, "no events plugin"))
        elif not self.is_ready or (package not in self.case.packages and call not in CORE_CALLS):
            package = "core" if call in CORE_CALLS else package
            raise Refused(coded(sdk, f"{package}{where}"))
        elif self.failure is not None and where:
            raise Refused(self.failure)

    def _pageView(self, call: str, args: JSON) -> Any:  # noqa: N802 - the SDK's name, as all below
        if self._is_bot and not self._is_tagged:
            return None
        visit = self._current
        body = visit._body(call, args)
        visit.referrer = None  # the next page view of this page has none
        return self._send(body, args)

    def _identity(self, call: str, args: JSON) -> Any:
        body = self._current._body(call, args)
        if "secrets-refused" in self.on and self._holds_secret(args):
            raise Refused(OWN_ERROR)
        return self._send(body, args)

    def _holds_secret(self, args: JSON) -> bool:
        data = args.get("data") or {}
        of_person = {theirs: data[ours] for ours, theirs in FIELDS.items() if ours in data}
        return holds_secret("", of_person) or holds_secret("", data.get("extensionData"))

    def _event(self, call: str, args: JSON) -> Any:
        return self._send(self._current._body(call, args), args)

    def _form(self, call: str, args: JSON) -> Any:
        return self._send(self._current._body(call, args), args)

    def _botPageView(self, call: str, args: JSON) -> Any:  # noqa: N802
        return self._send(self._current._body(call, args), args)

    def _personalize(self, call: str, args: JSON) -> Any:
        if self._is_tagged:
            return None
        visit = self._current
        body = visit._body(call, args)
        limit = self._timeout(args["opts"]) if "timeout" in (args.get("opts") or {}) else None
        self._change_arguments(visit, args)
        if "guest-when-needed" in self.on:
            body["guestRef"] = self._needed_guest()
        self._choose_site(args)
        answer = self.wire.call("POST", self.wire.personalize_path, "personalize", body)
        self.wire.check_time(answer, limit)
        if "personalize-errors" in self.on and not (answer.is_good and isinstance(answer.json, dict)):
            return None
        return self.wire.answer_to_caller(answer)

    def _needed_guest(self) -> str:
        """The guest ID, which is asked for where it is kept and not known yet."""
        is_kept = is_truthy(self.case.chosen.get("enablePersonalizeCookie"))
        if self.guest_id is None and is_kept and self.visitor.browser_id is not None:
            answer = self.wire.call("GET", self.wire.show_path(self.visitor.browser_id), "show")
            try:
                found = self._guest_in(answer)
            except Refused:
                return ""
            self.guest_id = found if UUID.fullmatch(found) else None
        return self.guest_id or ""

    def _change_arguments(self, visit: Visit, args: JSON) -> None:
        """Write the campaign into the caller's parameters, unless they were copied for the place."""
        data = args["data"]
        if data.get("params") and not data.get("geo"):
            data["params"] = visit._bodies().params_of(data)

    def _getGuestIdServer(self, call: str, args: JSON) -> Any:  # noqa: N802
        return self._guest_of(str(args.get("browserId")))

    def _getGuestId(self, call: str, args: JSON) -> Any:  # noqa: N802
        return self._guest_of(self._read(ID) or "")

    def _guest_of(self, browser_id: str) -> str:
        return self._guest_in(self.wire.call("GET", self.wire.show_path(browser_id), "show"))

    def _getBrowserId(self, call: str, args: JSON) -> Any:  # noqa: N802
        return self._current._known_id

    def _getClientId(self, call: str, args: JSON) -> Any:  # noqa: N802
        return self._current._known_id

    def _addToEventQueue(self, call: str, args: JSON) -> None:  # noqa: N802
        self.queue.append((self._body("event", args), args))

    def _clearEventQueue(self, call: str, args: JSON) -> None:  # noqa: N802
        self.queue.clear()

    def _processEventQueue(self, call: str, args: JSON) -> None:  # noqa: N802
        """Send what waits, in the background: the queue is there until that is done."""
        for body, given in self.queue:
            self._send(body, given)
        self.is_processing = True
        if "queue-exact" in self.on:
            self._settle()

    def _settle(self) -> None:
        if self.is_processing:
            self.queue.clear()
            self.is_processing = False

    # What they have in common.

    @property
    def _current(self) -> Visit:
        """Whose request it is: Content takes that which was initialised last."""
        is_shared = self.case.sdk == "content" and "visits-apart" not in self.on
        return (self.process.visit or self) if is_shared else self

    def _first_id(self) -> str | None:
        """The browser ID that a request has: the older cookie wins."""
        names = (f"sc_{self.case.chosen.get('contextId')}", ID)
        return next(filter(None, map(self._read, names)), None)

    def _first_guest(self) -> str | None:
        """The guest ID that a request has, of the browser ID that it has: an older cookie's wins where it is moved."""
        legacy = f"sc_{self.case.chosen.get('contextId')}"
        older = self._read(legacy)
        names = [GUEST] if not older or older == self._read(ID) else []
        if is_truthy(self.case.chosen.get("enablePersonalizeCookie")):
            names.insert(0, f"{legacy}_personalize")
        return next(filter(None, map(self._read, names)), None)

    @property
    def _known_id(self) -> str:
        if "request-untouched" in self.on:
            return self.visitor.browser_id or ""
        known = self._read(ID)
        if known is None and self.case.is_in_browser:
            written = [parse_set_cookie(line) for line in self.response]
            known = next((one["value"] for one in written if one["name"] == ID), None)
        return known or ""

    @property
    def _is_tagged(self) -> bool:
        """Whether it is a bot for passerby."""
        return self._is_bot and "bots-are-no-persons" in self.on

    @property
    def _is_bot(self) -> bool:
        if self.case.sdk != "content":
            return False
        agent = self.case.user_agent or ""
        is_client = CLIENTS.search(agent) is not None and "clients-are-no-bots" not in self.on
        return (
            is_client
            or BOTS.search(agent) is not None
            or is_truthy(read_cookie(self.request_cookie, "sc_bot", self.on & {"cookie-header-syntax"}))
        )

    def _bodies(self) -> EdgeBodies:
        page = Page(url=self.case.url, infers=self.case.is_in_browser, referrer=self.referrer)
        page.language = language_of(str(self.case.request.get("lang", "")), self.on) if page.infers else None
        return EdgeBodies(page, self.on, self.case.sdk)

    def _body(self, call: str, args: JSON) -> JSON:
        if self._is_tagged and call == "pageView":
            return self._bodies().view_of_bot(args, self.case.user_agent or "")
        body = self._bodies().make(call, args)
        for name in ("browser_id", "browserId"):
            if name in body and not body[name]:
                body[name] = self._known_id
        if "guestRef" in body:
            body["guestRef"] = self._read(GUEST) or ""
        return body

    def _send(self, body: JSON, args: JSON) -> JSON:
        if "visits-apart" not in self.on:
            self.wire.chosen = self.process.chosen or {}
        self._choose_site(args)
        return self.wire.send(body)

    def _choose_site(self, args: JSON) -> None:
        """The site of the settings, or of the call's data."""
        data = args.get("data")
        given = data.get("pointOfSale", data.get("point_of_sale")) if isinstance(data, dict) else None
        is_chosen = isinstance(given, str) and given.strip() and "site-of-a-call" in self.on
        self.wire.site = str(given if is_chosen else self.wire.chosen.get("siteName"))

    def _timeout(self, settings: JSON) -> float | None:
        """The time limit in seconds; raises Refused for what is none."""
        timeout = settings["timeout"]
        is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if "timeout-in-seconds" in self.on and (timeout is None or (is_number and timeout >= 0)):
            return None if timeout is None else float(timeout) / 1000
        if self.case.sdk == "content" and not is_truthy(timeout):
            return None
        if is_number and timeout >= 0 and float(timeout).is_integer():
            return float(timeout) / 1000
        raise Refused(coded(self.case.sdk, "timeout"))

    def _inferred_referrer(self) -> str | None:
        referrer = str(self.case.request.get("referrer") or "") if self.case.is_in_browser else ""
        if not referrer or host_of(referrer) == host_of(self.case.url):
            return None
        return re.split("[?#]", referrer)[0] if "referrer-without-query" in self.on else referrer
