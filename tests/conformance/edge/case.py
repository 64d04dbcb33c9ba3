"""One case of the edge form: what was called of which SDK, with which arguments, and what it did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..case import JSON, Case, given
from ..javascript import decode
from ..wire import HURRY

CLOUD = {"sitecoreEdgeContextId": "contextId", "siteName": "siteName", "sitecoreEdgeUrl": "edgeUrl"}
COOKIES = ("cookieDomain", "cookieExpiryDays", "cookiePath", "timeout")
SHAPES = ("next13", "fetch", "express", "next")


@dataclass(frozen=True)
class EdgeCase(Case):
    """A case; `settings` as the SDK takes them, `chosen` the same for both SDKs."""

    sdk: str = "cloud"
    packages: tuple[str, ...] = ("analytics", "events")
    personalize_settings: JSON | None = None
    is_initialized: bool = True

    @classmethod
    def from_json(cls, line: JSON) -> EdgeCase:
        plain = Case.from_json(line)
        personalize = line.get("personalize_settings")
        return cls(
            **{name: getattr(plain, name) for name in plain.__dataclass_fields__},
            sdk=line["sdk"],
            packages=tuple(line.get("packages", ())),
            personalize_settings=None if personalize is None else decode(personalize),
            is_initialized=not line.get("no_init", False),
        )

    @property
    def chosen(self) -> JSON:
        """The settings under the Content SDK's names; a name is there if the setting was given."""
        return self.chosen_of(self.settings or {})

    def chosen_of(self, settings: JSON) -> JSON:
        if self.sdk == "cloud":
            names = CLOUD | {name: name for name in COOKIES}
            names["enableBrowserCookie" if self.is_in_browser else "enableServerCookie"] = "enableCookie"
            chosen = {theirs: settings[ours] for ours, theirs in names.items() if ours in settings}
            personalize = self.personalize_settings or {}
        else:
            analytics = settings.get("analytics") or {} if "analytics" in self.packages else {}
            names = {name: name for name in ("enableCookie", *COOKIES)}
            chosen = (settings.get("config") or {}) | {name: analytics[name] for name in names if name in analytics}
            personalize = settings.get("personalize") or {}
        has_guest = "personalize" in self.packages and "enablePersonalizeCookie" in personalize
        return chosen | ({"enablePersonalizeCookie": personalize["enablePersonalizeCookie"]} if has_guest else {})

    @property
    def target(self) -> str:
        return str(self.chosen.get("edgeUrl", "{MOCK}")).strip()

    @property
    def is_for_javascript_only(self) -> bool:
        """Whether nothing outside JavaScript can do the same: other kinds of request object."""
        return self.request.get("shape") in SHAPES or self.response.get("shape") in SHAPES

    @property
    def headers(self) -> dict[str, str]:
        named = {"user-agent": str(self.request["user_agent"])} if "user_agent" in self.request else {}
        return super().headers | named

    @property
    def is_in_a_hurry(self) -> bool:
        """Whether a time limit is so short that it is chance whether the call still goes out."""
        limits = [self.chosen.get("timeout"), *((args.get("opts") or {}).get("timeout") for _, args in self.steps)]
        return any(isinstance(limit, int | float) and 0 <= limit / 1000 <= HURRY for limit in limits)

    @property
    def user_agent(self) -> str | None:
        agent = self.headers.get("user-agent")
        return None if agent is None else str(agent)

    @property
    def set_cookie_before(self) -> list[str]:
        before = self.response.get("set_cookie", [])
        return [before] if isinstance(before, str) else list(before)

    @property
    def url(self) -> str:
        return str(self.request.get("url", "https://shop.example/" if self.is_in_browser else "/"))

    @property
    def steps(self) -> list[tuple[str, JSON]]:
        """The calls to be made; a first one to initialize, unless there was none."""
        if "steps" in self.args:
            return [(step["call"], given(step.get("args", {})) | _beside(step)) for step in self.args["steps"]]
        first: list[tuple[str, JSON]] = [("initialize", {})] if self.is_initialized else []
        return first if self.call == "initialize" else [*first, (self.call, given(self.args))]

    @property
    def visits(self) -> list[tuple[float, EdgeCase]]:
        """The requests of the case, each with the moment at which it comes."""
        if "visits" not in self.args:
            return [(0.0, self)]
        return [(visit.get("start_ms", 0) / 1000, self._visit(visit)) for visit in self.args["visits"]]

    def _visit(self, visit: JSON) -> EdgeCase:
        return replace(
            self,
            call="sequence",
            args={"steps": visit["steps"]},
            request=visit["request"],
            response=visit.get("response", {}),
        )

    @property
    def is_overlapping(self) -> bool:
        """Whether the visits are at once; otherwise one comes after the other."""
        return self.call == "overlap"


def _beside(step: JSON) -> JSON:
    return {name: decode(step[name]) for name in ("ms", "settings") if name in step}


def read_cases(path: Path) -> Iterator[EdgeCase]:
    """Read a vectors file; its first line, which explains the fields, is no case."""
    for text in path.read_text(encoding="utf-8").split("\n"):
        if text.strip():
            line: dict[str, Any] = json.loads(text)
            if "_about" not in line:
                yield EdgeCase.from_json(line)


def is_of_edge(path: Path) -> bool:
    """Whether a vectors file was recorded from one of the two SDKs for the edge."""
    with path.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    return first.get("sdk") in ("cloud", "content") or "cloudsdk" in str(first.get("_about", {}).get("recorded_from"))
