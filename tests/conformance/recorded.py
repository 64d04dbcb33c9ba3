"""What the SDK did, brought into the neutral form of an outcome.

An outcome is plain JSON:

    {"init": error, "steps": [{"call", "error", "result", "held"}], "cookies": [cookie], "kept": [Set-Cookie line],
     "request_cookie": Cookie header after the calls, "sent": [{"method", "path", "headers", "body"}]}

An error is null or `{"code", "text"}`; a code of "any" says only that the call fails. A result is `{"answer": JSON}`
where the call answers something, else `{}`. `held` is how many events are in the queue after the step; `sent` is null
where it was not determined.

Where passerby is expected to do something of its own, a result may be `{"pending": true}` or `{"dead": true}`, a sent
request may be marked `again` (made at least once more), and `known_id` is the browser ID that the request's tracker
knows in the end.
"""

from __future__ import annotations

from typing import Any

from .case import JSON, Case

ANY_ERROR: JSON = {"code": "any", "text": None}
ANYTHING = "<anything>"  # a value that only the SDK knows
ANSWERING = frozenset({"pageView", "identity", "event", "personalize", "getGuestId", "getBrowserId"})
COMPARED_HEADERS = ("content-type", "x-library-version")


def recorded_outcome(case: Case) -> JSON:
    recorded = case.outcome
    fails_at_init = recorded.get("when") == "init"
    return {
        "init": error_of(recorded) if fails_at_init else None,
        "steps": [] if fails_at_init else [step_of(call, entry) for call, entry in _entries(case)],
        "cookies": _cookies(recorded),
        "kept": _kept(recorded),
        "request_cookie": recorded.get("request_cookie_after", case.cookie_header),
        "sent": None if recorded.get("sent") is None else [_request_of(sent) for sent in recorded["sent"]],
    }


def error_of(entry: JSON) -> JSON | None:
    if entry.get("threw") is None:
        return None
    if entry.get("error_name", "Error") != "Error":
        return ANY_ERROR
    return {"code": entry.get("code"), "text": entry["threw"]}


def step_of(call: str, entry: JSON) -> JSON:
    error = error_of(entry)
    answers = call in ANSWERING and error is None and not entry.get("background")
    step: JSON = {"call": call, "error": error, "result": {"answer": entry.get("returned")} if answers else {}}
    if "queue" in entry:
        step["held"] = len(entry["queue"] or ())
    return step


def parse_set_cookie(line: str) -> JSON:
    """A Set-Cookie line by its parts, names of attributes in lower case; none is lost if it comes twice."""
    first, *rest = line.split("; ")
    name, _, value = first.partition("=")
    cookie: JSON = {"name": name, "value": value}
    for part in rest:
        attribute, equals, setting = part.partition("=")
        key = attribute.lower()
        cookie[f"{key} again" if key in cookie else key] = setting if equals else True
    return cookie


def _entries(case: Case) -> list[tuple[str, JSON]]:
    if case.call == "initServer":
        return []
    if case.call not in ("sequence", "browser"):
        return [(case.call, case.outcome)]
    return [(entry["call"], entry) for entry in case.outcome.get("steps", ())]


def _cookies(recorded: JSON) -> list[JSON]:
    lines = [*recorded.get("set_cookie", ()), *recorded.get("cookie_writes", ())]
    return [parse_set_cookie(line) for line in lines]


def _kept(recorded: JSON) -> list[str]:
    ours = recorded.get("set_cookie", ())
    return [line for line in recorded.get("response_set_cookie", ()) if line not in ours]


def _request_of(sent: JSON) -> JSON:
    headers: dict[str, Any] = {name: sent["headers"].get(name) for name in COMPARED_HEADERS}
    return {"method": sent["method"], "path": sent["path"], "headers": headers, "body": sent.get("body")}
