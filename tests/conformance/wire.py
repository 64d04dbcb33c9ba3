"""The reference's wire: which requests calls and events become, and what their answers mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urldefrag, urljoin

from .case import JSON, Case
from .cookies import UUID
from .javascript import is_truthy
from .refusal import Refused, coded
from .server import ISSUED, Answer, Server
from .settings import base_url

RETRIED = frozenset({408, 425, 429, *range(500, 600)})
HURRY = 0.002  # seconds: no answer comes in less, and whether the call still goes out is chance
KEPT_IN_QUERY = "!#$%&()*+,-./:;=?@[\\]^_`{|}~"  # what the URL parser does not escape in a query
VERSION = {"x-library-version": "1.4.3"}
PENDING: JSON = {"pending": True}


@dataclass
class Visitor:
    """What is known of the visitor while a case runs; an ID of None is no cookie, an empty one is an empty cookie."""

    browser_id: str | None
    linked_id: str | None = None  # got for events, never in a cookie
    is_blocked: bool = False  # an event waits, and with it all behind it
    queue: list[JSON] = field(default_factory=list)


class Wire:
    """Sends what a visitor's calls come to; `sent` is what has gone out."""

    too_late = coded("IE-0003")

    def __init__(self, case: Case, visitor: Visitor, on: Collection[str]) -> None:
        settings = case.settings or {}
        self.client_key = str(settings.get("clientKey"))
        self.visitor = visitor
        self.on = on
        self.server = Server(case)
        self.sent: list[JSON] = []
        self.base = re.sub(r"^\{\w+\}", "", base_url(str(settings.get("targetURL")), on))

    def send(self, body: JSON) -> JSON:
        """Send an event; gives the result."""
        if "events-get-an-id" in self.on and not self._find_id(body):
            return PENDING
        if "events-retried" not in self.on:
            return {"answer": self._answer_of(self.call("POST", self.events_path, "events", body))}
        return self._send_until_settled(body)

    def _send_until_settled(self, body: JSON) -> JSON:
        if self.visitor.is_blocked:
            return PENDING
        while True:
            is_last = self.server.is_last("events")
            answer = self.call("POST", self.events_path, "events", body)
            if answer.is_good:
                return {"answer": self._answer_of(answer)}
            if answer.status is not None and answer.status not in RETRIED:
                return {"dead": True}
            if is_last or answer.asks_to_wait:
                break
        self.visitor.is_blocked = True
        if not answer.asks_to_wait:
            self._mark_last_again()
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
            browser_id, _ = self.create()
            if browser_id is not None or is_last:
                break
        if browser_id is None:
            self.visitor.is_blocked = True
            self._mark_last_again()
        return browser_id

    def _follow(self, answer: Answer) -> Answer:
        location = answer.script.get("headers", {}).get("location")
        if "redirects-not-followed" in self.on or not location or answer.status not in (301, 302, 303, 307, 308):
            return answer
        kept = answer.status in (307, 308)
        path = re.sub(r"^\{\w+\}", "", location)
        last = self.sent[-1]
        return self._call(last["method"] if kept else "GET", path, "other", last["body"] if kept else None)

    def create(self) -> tuple[str | None, Answer]:
        """Ask for a browser ID."""
        path = f"/v1.2/browser/create.json?client_key={self.key_in_url}&message={{}}"
        answer = self.call("GET", path, "create")
        ref = answer.json.get("ref") if isinstance(answer.json, dict) else None
        if "browser-id-checked" in self.on:
            is_id = isinstance(ref, str) and (ref == ISSUED or UUID.fullmatch(ref) is not None)
            return (ref if answer.is_good and is_id else None), answer
        return (str(ref) if is_truthy(ref) else None), answer

    @property
    def events_path(self) -> str:
        return "/v1.2/events"

    def _answer_of(self, answer: Answer) -> Any:
        """What a call gives back."""
        return answer.json

    def _headers(self, method: str, route: str, body: JSON | None) -> JSON:
        return {"content-type": None if body is None else "application/json", **VERSION}

    @property
    def key_in_url(self) -> str:
        """The client key as it stands in a URL."""
        return quote(self.client_key, safe="/" if "client-key-checked" in self.on else KEPT_IN_QUERY)

    def call(self, method: str, path: str, route: str, body: JSON | None = None) -> Answer:
        """Make a call below the target URL."""
        return self._follow(self._call(method, self.base + path, route, body))

    def _call(self, method: str, path: str, route: str, body: JSON | None = None) -> Answer:
        answer = self.server.next(route)
        if not answer.script.get("refused"):
            headers = self._headers(method, route, body)
            self.sent.append({"method": method, "path": _resolved(path), "headers": headers, "body": body})
        return answer

    def _mark_last_again(self) -> None:
        """Note of the last call that it is made again and again."""
        if self.sent:
            self.sent[-1] = self.sent[-1] | {"again": True}

    def check_time(self, answer: Answer, limit: float | None) -> None:
        takes = answer.seconds(with_body="timeout-covers-body" in self.on)
        if answer.status is not None and limit is not None and (takes > limit or limit < HURRY):
            raise Refused(self.too_late)


def _resolved(path: str) -> str:
    """The path as a URL parser makes it: dots resolved, the fragment cut."""
    return urldefrag(urljoin("//server", path)).url.removeprefix("//server") if "#" in path or "/.." in path else path
