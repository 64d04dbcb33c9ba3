"""What the SDK did, brought into the neutral form of an outcome.

    {"visits": [{"steps": [{"call", "error", "result", "held"?, "args_after"?}], "cookies": [cookie],
                 "kept": [Set-Cookie line], "request_cookie": Cookie header after the calls}],
     "sent": [{"method", "path", "headers", "body", "host"?}]}

Errors, results and cookies are as in `..recorded`. `cookies` is what becomes of the Set-Cookie headers that are set,
in the response as it leaves; `kept` are those that were there before. Settings that are refused end the visit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..case import JSON
from ..recorded import ANSWERING, error_of, parse_set_cookie
from .case import EdgeCase

HEADERS = (
    "content-type", "x-library-version", "x-client-software-id", "x-sitecore-contextid", "x-sc-correlation-id",
    "user-agent",
)  # fmt: skip
ANSWERING_HERE = ANSWERING | {"form", "botPageView", "getGuestIdServer", "getClientId"}
UNSEEN = frozenset({"wait"})
SETTINGS_CODES = frozenset({"MV-0001", "MV-0002", "IV-0001", "MV-001", "MV-002", "IV-001", "IE-001"})


def recorded_outcome(case: EdgeCase) -> JSON:
    recorded = case.outcome
    visits: list[JSON] = recorded.get("visits", [recorded])
    return {
        "visits": [_visit_of(one, visit) for (_, one), visit in zip(case.visits, visits, strict=True)],
        "sent": None if recorded.get("sent") is None else [_request_of(sent) for sent in recorded["sent"]],
    }


def _visit_of(case: EdgeCase, recorded: JSON) -> JSON:
    steps = [_step_of(call, entry) for call, entry in _entries(case, recorded)]
    if steps and _is_refusal_of_settings(steps[0], recorded):
        steps = steps[:1]
    lines: list[str] = recorded.get("response_set_cookie") or recorded.get("set_cookie") or []
    lines = lines + recorded.get("cookie_writes", [])
    before = case.set_cookie_before
    return {
        "steps": [step for step in steps if step["call"] not in UNSEEN],
        "cookies": in_order(parse_set_cookie(line) for line in lines if line not in before),
        "kept": [line for line in before if line in lines or not lines],
        "request_cookie": recorded.get("request_cookie_after", case.cookie_header),
    }


def in_order(cookies: Iterable[JSON]) -> list[JSON]:
    """Cookies in the order of their names: in which they are set is all the same."""
    return sorted(cookies, key=lambda cookie: str(cookie["name"]))


def _entries(case: EdgeCase, recorded: JSON) -> list[tuple[str, JSON]]:
    if "steps" in case.args:
        return [(entry["call"], entry) for entry in recorded["steps"]]
    if case.call == "initialize":
        return [(case.call, recorded)]
    first: list[tuple[str, JSON]] = [("initialize", recorded.get("init") or {})] if case.is_initialized else []
    return [*first, (case.call, recorded)]


def _step_of(call: str, entry: JSON) -> JSON:
    error = error_of(entry)
    if error is not None and error["code"] is None and re.match(r"\[[A-Z]{2}-\d+\]", str(error["text"])):
        error = error | {"code": re.split(r"[\[\]]", error["text"])[1]}
    answers = call in ANSWERING_HERE and error is None
    step: JSON = {"call": call, "error": error, "result": {"answer": entry.get("returned")} if answers else {}}
    if "queue" in entry:
        step["held"] = len(entry["queue"] or ())
    if "args_after" in entry:
        step["args_after"] = entry["args_after"]
    return step


def _is_refusal_of_settings(step: JSON, recorded: JSON) -> bool:
    if step["call"] != "initialize" or step["error"] is None:
        return False
    is_engines = step["error"]["code"] == "any" and not recorded.get("sent") and not recorded.get("set_cookie")
    return is_engines or step["error"]["code"] in SETTINGS_CODES


def _request_of(sent: JSON) -> JSON:
    headers: dict[str, Any] = {name: sent["headers"].get(name) for name in HEADERS}
    request = {"method": sent["method"], "path": sent["path"], "headers": headers, "body": sent.get("body")}
    return request | ({"host": sent["host"]} if "host" in sent else {})
