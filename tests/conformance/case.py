"""One case of a vectors file: what was called, with which arguments, and what the SDK did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .javascript import UNDEFINED, decode

JSON = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A case, its markers for JavaScript values decoded; `outcome` is as recorded."""

    id: str
    call: str
    about: str = ""
    js_only: bool = False
    settings: JSON | None = None
    args: JSON = field(default_factory=dict)
    request: JSON = field(default_factory=dict)
    response: JSON = field(default_factory=dict)
    server: Mapping[str, list[JSON]] = field(default_factory=dict)
    outcome: JSON = field(default_factory=dict)

    @classmethod
    def from_json(cls, line: JSON) -> Case:
        settings = line.get("settings")
        return cls(
            id=line["id"],
            call=line["call"],
            about=line.get("about", ""),
            js_only=line.get("js_only", False),
            settings=None if settings is None else decode(settings),
            args=decode(line.get("args", {})),
            request=line.get("request", {}),
            response=line.get("response", {}),
            server=line.get("server", {}),
            outcome=line["outcome"],
        )

    @property
    def is_for_javascript_only(self) -> bool:
        """Whether nothing outside JavaScript can do the same: other kinds of request object, no window ..."""
        shapes = {self.request.get("shape", "http"), self.response.get("shape", "http")}
        return self.js_only or shapes != {"http"} or "no_window" in self.request

    @property
    def client_key(self) -> Any:
        return (self.settings or {}).get("clientKey")

    @property
    def target(self) -> str:
        """The address of the service, with {MOCK} or {CLOSED} in it."""
        return str((self.settings or {}).get("targetURL", ""))

    @property
    def cookie_name(self) -> str:
        return f"bid_{self.client_key}"

    @property
    def cookie_header(self) -> str | None:
        """The Cookie header; where the request has a cookie store instead, what a browser would send."""
        if "cookie" in self.request:
            return str(self.request["cookie"])
        for name, value in self.request.get("headers", {}).items():
            if name.lower() == "cookie":
                return str(value)
        if "cookies" in self.request:
            return "; ".join(f"{name}={value}" for name, value in self.request["cookies"].items())
        return None

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers but for Cookie; a page's language and referrer become what its browser would send."""
        headers = {name.lower(): str(value) for name, value in self.request.get("headers", {}).items()}
        headers.pop("cookie", None)
        if self.request.get("lang"):
            headers["accept-language"] = self.request["lang"]
        if self.request.get("referrer"):
            headers["referer"] = self.request["referrer"]
        return headers

    @property
    def url(self) -> str:
        return str(self.request.get("url", "/"))

    @property
    def steps(self) -> list[tuple[str, JSON]]:
        """The calls to be made, each with its arguments; a background step has `background` among them."""
        if self.call == "initServer":
            return []
        if self.call not in ("sequence", "browser"):
            return [(self.call, given(self.args))]
        return [
            (
                step["call"],
                given(step.get("args", {})) | {name: step[name] for name in ("background", "ms") if name in step},
            )
            for step in self.args["steps"]
        ]

    @property
    def is_in_browser(self) -> bool:
        return self.call == "browser"


def given(args: JSON) -> JSON:
    """The arguments that were passed: an undefined one was not."""
    return {name: value for name, value in args.items() if value is not UNDEFINED}


def read_cases(path: Path) -> Iterator[Case]:
    """Read a vectors file; its first line, which explains the fields, is no case."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            read = json.loads(line)
            if "_about" not in read:
                yield Case.from_json(read)
