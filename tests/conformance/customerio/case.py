"""One case: what was called on which SDK, with which arguments, and what it did."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..case import JSON
from .values import decode

KEY = "testsecret"  # where a case names none


@dataclass(frozen=True)
class Call:
    """One call, with its arguments under Python's names, markers decoded."""

    name: str
    args: Mapping[str, Any]

    @property
    def has_time(self) -> bool:
        return self.args.get("timestamp") is not None

    @property
    def has_id(self) -> bool:
        return self.args.get("message_id") is not None


@dataclass(frozen=True)
class Case:
    """A case; `outcome` is as recorded."""

    id: str
    sdk: str
    call: str
    about: str = ""
    client: JSON = field(default_factory=dict)
    args: JSON = field(default_factory=dict)
    replies: list[JSON] = field(default_factory=list)
    outcome: JSON = field(default_factory=dict)

    @classmethod
    def from_json(cls, line: JSON) -> Case:
        return cls(
            id=line["id"],
            sdk=line["sdk"],
            call=line["call"],
            about=line.get("about", ""),
            client=line.get("client", {}),
            args=line.get("args", {}),
            replies=line.get("server", {}).get("replies", []),
            outcome=line["outcome"],
        )

    @property
    def server(self) -> dict[str, list[JSON]]:
        """What the collector answers, by route."""
        return {"pipelines": self.replies or [{"status": 200, "body": {"success": True}}]}

    @property
    def calls(self) -> list[Call]:
        """The calls to be made, one after the other."""
        if self.call == "client":
            return []
        given: list[JSON] = self.args["calls"] if self.call == "batch" else [{"call": self.call, "args": self.args}]
        return [Call(one["call"], in_python(one["args"])) for one in given if one["call"] != "wait"]

    @property
    def write_key(self) -> Any:
        return self.client.get("write_key", self.client.get("writeKey", KEY))

    @property
    def uses_gzip(self) -> bool:
        return bool(self.client.get("gzip", False))

    def status_at(self, attempt: int) -> int | None:
        """The status of an answer, counted from 0; the last one repeats. None: the connection is reset."""
        replies = self.server["pipelines"]
        reply = replies[min(attempt, len(replies) - 1)]
        return None if reply.get("reset") else int(reply.get("status", 200))


def in_python(args: JSON) -> JSON:
    """The arguments under Python's names: the Node package's are in camelCase."""
    return {re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name): decode(args[name]) for name in args}


def read_cases(path: Path) -> Iterator[Case]:
    """Read a vectors file; its first line, which explains the fields, is no case."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            read = json.loads(line)
            if "_about" not in read:
                yield Case.from_json(read)


def is_of_customerio(path: Path) -> bool:
    """Whether a vectors file was recorded from Customer.io's SDKs."""
    with path.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    return first.get("sdk") in ("python", "node") or "customerio" in str(
        first.get("_about", {}).get("recorded_from", "")
    )
