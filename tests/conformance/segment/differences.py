"""Where passerby deliberately differs from Segment's SDK: the table that docs/differences.md is held to.

Most of what the SDK does, Customer.io's SDK for Python does too, since it began as a copy; so do the changes.
"""

from __future__ import annotations

import copy

from ..case import JSON
from ..customerio.case import Call, Case
from ..customerio.differences import BY_NAME, Change, Difference
from ..customerio.ours import cannot_be_written

# By name: what the SDK does, in the words for one SDK.
_SHARED = {
    "own-name": "names itself as library and user agent",
    "channel": "leaves the channel to the app",
    "nothing-for-nothing": "sends null for what was not given, and an empty `integrations`",
    "browser-goes-along": "knows of no browser unless the app names one",
    "category-in-properties": "leaves a page's category out of its properties",
    "page-in-properties": "leaves what the context says of the page there",
    "ids-are-text": "leaves numbers as group and previous IDs numbers",
    "time-in-utc": "keeps a timestamp's offset, and takes some without one for local time",
    "dates-in-utc": "writes a datetime among traits without a zone",
    "no-words-for-numbers": "writes NaN and the infinities as words, so that the batch is no JSON",
    "uuids-written": "drops a UUID among traits",
    "reserved-traits": "sends traits as they are named, `created_at` in whatever form",
    "unknown-values-refused": "drops values of unknown types, and takes bytes for text",
    "callers-data-untouched": "writes into the app's own context dict",
    "known-context": "sends a context as it is, whatever its fields",
    "event-name-required": "takes an empty event name",
    "alias-of-another": "takes an alias of a user ID for itself",
    "any-number-is-an-id": "takes 0 for no ID",
    "browser-id-is-enough": "refuses a call without a user ID and an anonymous ID",
    "bytes-counted": "counts escapes of letters",
    "no-error-in-the-app": "raises what the service or the network says, in sync mode",
    "refused-kept": "loses what is refused",
    "tried-until-it-arrives": "tries once (in sync mode) or some times, then loses it",
}
_PASSERBY = {
    "browser-id-is-enough": "sends it with the browser's ID",
    "no-error-in-the-app": "puts it into the receipt and the log",
    "own-name": "names itself",
    "time-in-utc": "writes UTC with a Z, and takes those without an offset for UTC",
    "reserved-traits": "names those with a meaning of their own in camelCase, `dob` `birthday`, and writes `createdAt` "
    "as ISO 8601",
}
_REASONS = {
    "reserved-traits": "so the service knows them, whichever way they were given",
    "unknown-values-refused": "no value is lost in silence",
    "bytes-counted": "that is what the service counts",
}


def _leave_out_what_is_beside(case: Case, outcome: JSON) -> None:
    for one in outcome["sent"]:
        one["message"]["beside the batch"].pop("sentAt", None)


def _leave_out_the_key(case: Case, outcome: JSON) -> None:
    for one in outcome["sent"]:
        one["message"]["beside the batch"].pop("writeKey", None)


def _is_right(call: Call) -> bool:
    """Whether passerby has no other reason to refuse a call that the SDK refuses."""
    args = call.args
    if call.name == "track" and not str(args.get("event") or "").strip():
        return False
    if call.name == "alias" and str(args["previous_id"]) == str(args["user_id"]):
        return False
    return not any(cannot_be_written(args.get(name)) for name in ("traits", "properties"))


def _without_strict_mode(change: Change) -> Change:
    """Of a call that the SDK does not send and passerby does, the request is Customer.io's in this one thing."""

    def change_all(case: Case, outcome: JSON) -> None:
        if not _is_right(case.calls[0]):
            return
        change(case, outcome)
        for one in outcome["sent"]:
            one["request"]["x-strict-mode"] = None

    return change_all


def _try_again(case: Case, outcome: JSON) -> None:
    if case.status_at(0) == 429:
        outcome["ends"] = ["delivered"] * len(outcome["ends"])
        for one in outcome["sent"]:
            one["tries"] = "again"
    BY_NAME["tried-until-it-arrives"].change(case, outcome)


_CHANGES = {
    "tried-until-it-arrives": _try_again,
    **{
        name: _without_strict_mode(BY_NAME[name].change)
        for name in ("any-number-is-an-id", "browser-id-is-enough", "bytes-counted")
    },
}

DIFFERENCES = (
    BY_NAME["sent-at-left-out"]._replace(
        sdk="puts the time of sending beside the batch", change=_leave_out_what_is_beside
    ),
    Difference(
        "key-in-header-only",
        "puts the write key into the body too",
        "sends it in the header `Authorization`",
        "bodies are logged more often than headers",
        _leave_out_the_key,
    ),
    *(
        BY_NAME[name]._replace(
            sdk=sdk,
            passerby=_PASSERBY.get(name, BY_NAME[name].passerby),
            reason=_REASONS.get(name, BY_NAME[name].reason),
            change=_CHANGES.get(name, BY_NAME[name].change),
        )
        for name, sdk in _SHARED.items()
    ),
)


def apply(case: Case, outcome: JSON) -> tuple[JSON, tuple[str, ...]]:
    """Return the outcome as it is expected of passerby, and the differences that changed it."""
    applied: list[str] = []
    for difference in DIFFERENCES:
        changed = copy.deepcopy(outcome)
        difference.change(case, changed)
        if repr(changed) != repr(outcome):
            applied.append(difference.name)
        outcome = changed
    return outcome, tuple(applied)
