"""What the SDK did, in a form that says the same of passerby.

An outcome says of a client whether it was made; of each call whether it was "taken", "refused" (an error and nothing
sent), "raised" (an error although something was sent), or "dropped"; of each message that was sent how it looked, and
whether it was tried once or again; of each call that was not refused how it ended; and how many messages shared a
request.
"""

from __future__ import annotations

import json
from typing import Any

from ..case import JSON
from .case import Case
from .values import unfold

HEADERS = ("authorization", "content-type", "content-encoding", "user-agent", "x-strict-mode")
IN_TURN = "as many as wait, up to 100 and 500 KB"


def recorded_outcome(case: Case) -> JSON:
    outcome = case.outcome
    requests = [(request_of(one), messages_of(one)) for one in outcome["sent"]]
    is_made = case.call != "client"
    calls = _calls(case) if is_made else []
    recorded: JSON = {
        "client": "refused" if not is_made and outcome["threw"] is not None else "made",
        "calls": calls,
        "sent": merged(requests),
        "grouping": [len(messages) for _, messages in requests],
        "ends": _ends(case, calls),
    }
    if "caller_context_after" in outcome:
        recorded["callers_context"] = outcome["caller_context_after"]
    return recorded


def request_of(sent: JSON) -> JSON:
    return {"path": sent["path"], **{name: sent["headers"].get(name) for name in HEADERS}}


def messages_of(sent: JSON) -> list[JSON]:
    body = unfold(sent["body"]) if sent.get("body") is not None else json.loads(sent["body_raw"])
    beside = {name: value for name, value in body.items() if name != "batch"}
    return [message | {"beside the batch": beside} for message in body["batch"]]


def merged(requests: list[tuple[JSON, list[JSON]]]) -> list[JSON]:
    """Each message once, in the order in which they were first sent, with how often that was."""
    sent: list[JSON] = []
    for request, messages in requests:
        for message in messages:
            before = next((one for one in sent if one["message"] == message), None)
            if before is None:
                sent.append({"request": request, "message": message, "tries": "once"})
            else:
                before["tries"] = "again"
    return sent


def _calls(case: Case) -> list[str]:
    outcome = case.outcome
    if case.call == "batch" and case.sdk == "python":
        return ["taken" if taken else "dropped" for taken in outcome["returned"]]
    if outcome["threw"] is None:
        return ["taken"] * len(case.calls)
    return ["raised" if outcome["sent"] else "refused"]


def _ends(case: Case, calls: list[str]) -> list[str]:
    outcome = case.outcome
    lost = sum(one["items"] for one in outcome.get("on_error", ())) + (len(calls) if outcome.get("errors") else 0)
    ends = ["delivered"] * (len(calls) - lost) + ["lost"] * min(lost, len(calls))
    pairs = [(call, end) for call, end in zip(calls, ends, strict=True) if call != "refused"]
    return ["lost" if call in ("raised", "dropped") else end for call, end in pairs]


def is_good(status: Any) -> bool:
    return status is not None and 200 <= status < 300
