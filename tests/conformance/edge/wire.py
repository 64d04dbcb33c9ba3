"""The model's wire: which requests the calls become, and what their answers mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from ..case import JSON
from ..cookies import UUID
from ..javascript import is_truthy
from ..server import ISSUED, UNSCRIPTED, Answer, Server
from ..settings import base_url
from ..wire import KEPT_IN_QUERY, Visitor, Wire
from .case import EdgeCase
from .recorded import HEADERS
from .refusal import coded

DEFAULT_URL = "https://edge-platform.sitecorecloud.io"
CORRELATION = "<correlationId>"
CLOUD_VERSION = "0.6.1"
CONTENT_VERSION = "2.1.2"
CONTENT_PERSONALIZE_VERSION = "2.1.0"
SOFTWARE = {
    "cloud": f"@sitecore-cloudsdk/events {CLOUD_VERSION}",
    "content": f"@sitecore-content-sdk/events {CONTENT_VERSION}",
}
KEPT_IN_PATH = KEPT_IN_QUERY.replace("`", "").replace("{", "").replace("}", "")
ANSWERS = UNSCRIPTED | {"personalize": {"status": 200, "body": {}}, "cdn": {"status": 200, "raw": ""}}


class EdgeWire(Wire):
    """Sends what a visitor's calls come to. `chosen` are the settings in force."""

    def __init__(
        self, case: EdgeCase, visitor: Visitor, on: Collection[str], server: Server, sent: list[JSON], chosen: JSON
    ) -> None:
        super().__init__(case, visitor, on)
        self.case = case
        self.server = server
        self.sent = sent
        self.too_late = coded(case.sdk, "too late")
        self.chosen = chosen

    @property
    def chosen(self) -> JSON:
        return self._chosen

    @chosen.setter
    def chosen(self, chosen: JSON) -> None:
        self._chosen = chosen
        target = str(chosen.get("edgeUrl", ""))
        target = target.strip() if self.case.sdk == "content" else target
        self.base = re.sub(r"^\{\w+\}", "", base_url(target, self.on))
        self.site = str(chosen.get("siteName"))

    @property
    def events_path(self) -> str:
        return "/v1/events/v1.2/events" + self._query(siteId=self.site)

    @property
    def personalize_path(self) -> str:
        return "/v1/personalize" + self._query(siteId=self.site)

    @property
    def create_path(self) -> str:
        return "/v1/events/v1.2/browser/create.json" + self._query(client_key="")

    def show_path(self, browser_id: str) -> str:
        return f"/v1/events/v1.2/browser/{quote(browser_id, safe=KEPT_IN_PATH)}/show.json" + self._query(
            client_key="", api_token=""
        )

    @property
    def script_path(self) -> str:
        return "/v1/personalize/cdn-url" + self._query(client_key="")

    def create(self) -> tuple[str | None, Answer]:
        """Ask for a browser ID."""
        return self.id_in(answer := self.call("GET", self.create_path, "create")), answer

    def id_in(self, answer: Answer) -> str | None:
        """The browser ID of an answer, if there is one for the SDK."""
        ref = answer.json.get("ref") if isinstance(answer.json, dict) else None
        if "browser-id-checked" in self.on:
            is_id = isinstance(ref, str) and (ref == ISSUED or UUID.fullmatch(ref) is not None)
            return ref if answer.is_good and is_id else None
        if self.case.sdk == "content" and not answer.is_good:
            return None
        return str(ref) if is_truthy(ref) else None

    def _query(self, **names: Any) -> str:
        given = {"sitecoreContextId": self.chosen.get("contextId")} if self.case.sdk == "cloud" else {}
        return "?" + "&".join(f"{name}={self._in_url(str(value))}" for name, value in {**given, **names}.items())

    def _in_url(self, text: str) -> str:
        return quote(text, safe="" if "names-escaped" in self.on else KEPT_IN_QUERY)

    def _headers(self, method: str, route: str, body: JSON | None) -> JSON:
        if route == "other":
            last: JSON = self.sent[-1]["headers"]
            is_another = self.sent[-1]["method"] != method
            return last | ({"content-type": None} if is_another else {})
        headers: JSON = dict.fromkeys(HEADERS)
        is_content = self.case.sdk == "content"
        if body is not None or (is_content and route == "create"):
            headers["content-type"] = "application/json"
        if route != "cdn":
            headers["x-library-version"] = self._version_for(route)
        if is_content:
            headers["x-sitecore-contextid"] = str(self.chosen.get("contextId"))
        if route == "events":
            headers["x-client-software-id"] = SOFTWARE[self.case.sdk]
        if route == "personalize":
            headers["x-sc-correlation-id"] = CORRELATION
            headers["user-agent"] = self._user_agent
        return headers

    @property
    def _user_agent(self) -> str | None:
        agent = self.case.user_agent
        is_left_out = "user-agent-in-ascii" in self.on and not (agent or "").isascii()
        return None if is_left_out or (self.case.is_in_browser and "server-issues-cookie" not in self.on) else agent

    def _version_for(self, route: str) -> str:
        if self.case.sdk == "cloud":
            return CLOUD_VERSION
        return CONTENT_PERSONALIZE_VERSION if route in ("show", "personalize") else CONTENT_VERSION

    def _call(self, method: str, path: str, route: str, body: JSON | None = None) -> Answer:
        before = len(self.sent)
        answer = super()._call(method, path, route, body)
        if len(self.sent) > before and "edgeUrl" not in self.chosen:
            self.sent[-1]["host"] = DEFAULT_URL
        return answer

    def _answer_of(self, answer: Answer) -> Any:
        return self.answer_to_caller(answer)

    def answer_to_caller(self, answer: Answer) -> Any:
        """What a call gives back."""
        if self.case.sdk == "cloud" or "answers-are-json" in self.on:
            return answer.json
        if not answer.is_good:
            return None
        if answer.status == 204:
            return ""
        is_text = "raw" in answer.script and "json" not in str(answer.script.get("headers"))
        return answer.script["raw"] if is_text else answer.json
