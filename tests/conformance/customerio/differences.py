"""Where passerby deliberately differs from Customer.io's SDKs: the table that docs/differences.md is held to.

A difference is no excuse. Each changes the recorded outcome into what passerby does instead, which is what is checked.
"""

from __future__ import annotations

import copy
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from passerby.version import __version__

from ..case import JSON
from ..secrets import holds_secret
from .case import Call, Case
from .ours import (
    BROWSER,
    MAX_CALL,
    cannot_be_written,
    is_unknown_context,
    message_of,
    moment,
    size_of,
    traits_of,
    written,
)
from .recorded import IN_TURN, is_good

Change = Callable[[Case, JSON], None]


class Difference(NamedTuple):
    """One difference; the name is stable, the rest but for `change` is for readers.

    Attributes:
        name: what it goes by in reports.
        sdk: what the SDKs do.
        passerby: what passerby does instead.
        reason: why.
        change: makes that out of an outcome in place, if the case is one for it.
    """

    name: str
    sdk: str
    passerby: str
    reason: str
    change: Change


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


# What is the same for all messages.


def _each(change: Callable[[JSON], None]) -> Change:
    def change_all(case: Case, outcome: JSON) -> None:
        for one in outcome["sent"]:
            change(one)

    return change_all


def _leave_out_sent_at(one: JSON) -> None:
    one["message"]["beside the batch"].pop("sentAt", None)


def _ask_for_strictness(one: JSON) -> None:
    one["request"]["x-strict-mode"] = "1"


def _name_itself(one: JSON) -> None:
    one["request"]["user-agent"] = f"passerby/{__version__}"
    one["message"]["context"]["library"] = {"name": "passerby", "version": __version__}


def _name_the_channel(one: JSON) -> None:
    one["message"]["context"]["channel"] = "server"


def _leave_out_what_was_not_given(one: JSON) -> None:
    message = one["message"]
    for name in [name for name, value in message.items() if value is None or (name == "integrations" and value == {})]:
        del message[name]


def _leave_out_the_runtime(one: JSON) -> None:
    one["message"].pop("_metadata", None)


def _add_the_browser(one: JSON) -> None:
    message = one["message"]
    if message["type"] != "alias":
        message.setdefault("anonymousId", BROWSER)


def _make_ids_in_order(one: JSON) -> None:
    if one["message"]["messageId"] in ("<uuid4>", "<node-next-millis-uuid4>"):
        one["message"]["messageId"] = "<uuid7>"


def _copy_the_category(one: JSON) -> None:
    message = one["message"]
    if message["type"] == "page" and "category" in message:
        message["properties"]["category"] = message["category"]
    if message["type"] == "screen" and "category" in message:
        message["properties"] = {"category": message.pop("category"), **message["properties"]}


def _know_the_context(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is None or not isinstance(call.args.get("context"), dict) or not call.args["context"]:
        return
    if is_unknown_context(call.args["context"]):
        _refuse(outcome, 0)
        return
    for one in outcome["sent"]:
        known = message_of(call)["context"]
        if one["message"]["context"] != known:
            one["message"]["context"] = known
            if call.name == "page":
                one["message"]["properties"] = known.get("page", {}) | one["message"]["properties"]


def _tell_the_page(one: JSON) -> None:
    message = one["message"]
    if message["type"] == "page":
        message["properties"] = {**message["context"].get("page", {}), **message["properties"]}


def _write_ids_as_text(one: JSON) -> None:
    for name in ("previousId", "groupId", "messageId"):
        if name in one["message"]:
            one["message"][name] = str(one["message"][name])


def _batch_what_waits(case: Case, outcome: JSON) -> None:
    outcome["grouping"] = IN_TURN if len(outcome["sent"]) > 1 else outcome["grouping"][:1]


def _use_bearers(case: Case, outcome: JSON) -> None:
    if case.write_key is not None and case.write_key.startswith(("sk_us_", "pk_us_", "sk_eu_", "pk_eu_")):
        for one in outcome["sent"]:
            one["request"]["authorization"] = f"Bearer {case.write_key}"


# What hangs on the arguments.


def _send(case: Case, outcome: JSON, position: int, call: Call) -> None:
    """Take a call that the SDK does not, and send it as passerby does."""
    outcome["calls"][position] = "taken"
    request = outcome["sent"][-1]["request"] if outcome["sent"] else _request_of(case)
    # What has no JSON form is refused by a later difference.
    message = json.loads(json.dumps(message_of(call), default=repr))
    outcome["sent"].append({"request": dict(request), "message": message, "tries": "once"})
    outcome["ends"].append("delivered")
    outcome["grouping"] = [1] if len(outcome["sent"]) == 1 else IN_TURN


def _refuse(outcome: JSON, position: int) -> None:
    """Refuse the only call."""
    assert len(outcome["calls"]) == 1
    outcome["calls"][position] = "refused"
    outcome |= {"sent": [], "ends": [], "grouping": []}


def _request_of(case: Case) -> JSON:
    return {
        "path": "/v1/batch",
        "authorization": f"Basic {b64encode(f'{case.write_key}:'.encode()).decode()}",
        "content-type": "application/json",
        "content-encoding": "gzip" if case.uses_gzip else None,
        "user-agent": f"passerby/{__version__}",
        "x-strict-mode": "1",
    }


def _only(case: Case) -> Call | None:
    return case.calls[0] if len(case.calls) == 1 else None


def _has_data(call: Call) -> bool:
    return all(isinstance(call.args.get(name), dict | None) for name in ("traits", "properties", "context"))


def _take_zero_and_numbers(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is None or outcome["calls"] != ["refused"] or not _has_data(call):
        return
    user_id = call.args.get("user_id")
    is_zero = case.sdk == "python" and type(user_id) is int and user_id == 0 and not call.args.get("anonymous_id")
    is_number = case.sdk == "node" and int in (type(user_id), type(call.args.get("message_id")))
    if is_zero or is_number:
        _send(case, outcome, 0, call)


def _tell_of_the_browser(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is None or outcome["calls"] != ["refused"] or not _has_data(call) or call.name == "alias":
        return
    ids = (call.args.get("user_id"), call.args.get("anonymous_id"), call.args.get("group_id"))
    name = call.args.get({"track": "event", "screen": "name"}.get(call.name, ""))
    is_named = call.name in ("identify", "page") or (call.name in ("track", "screen") and name)
    if ids == (None, None, None) and is_named and not isinstance(call.args.get("timestamp"), str):
        _send(case, outcome, 0, call)


def _require_an_event_name(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is None or call.name not in ("track", "screen"):
        return
    if not str(call.args.get("event" if call.name == "track" else "name") or "").strip():
        _refuse(outcome, 0)


def _require_another_id(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is not None and call.name == "alias" and str(call.args["previous_id"]) == str(call.args["user_id"]):
        _refuse(outcome, 0)


def _require_a_date(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is not None and isinstance(call.args.get("timestamp"), str) and outcome["calls"] == ["taken"]:
        _refuse(outcome, 0)


def _refuse_what_cannot_be_written(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is not None and any(cannot_be_written(call.args.get(name)) for name in ("traits", "properties")):
        _refuse(outcome, 0)


def _refuse_secrets(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is not None and call.name in ("identify", "group") and holds_secret("", call.args.get("traits")):
        _refuse(outcome, 0)


def _keep_the_persons_id(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is None or call.name != "identify" or not isinstance(call.args.get("traits"), dict):
        return
    own = call.args.get("user_id")
    for name, value in call.args["traits"].items():
        folded = re.sub(r"[\W_]", "", name).lower()
        is_own = folded == "id" and own is not None and str(written(value)) == str(own)
        if folded in ("id", "cioid") and not is_own:
            _refuse(outcome, 0)


def _of_the_data(change: Callable[[Any, Any], Any]) -> Change:
    """Change the values of traits and properties, each beside what the app handed over."""

    def change_all(case: Case, outcome: JSON) -> None:
        call = _only(case)
        if call is None or not outcome["sent"]:
            return
        for name in ("traits", "properties"):
            message = outcome["sent"][0]["message"]
            if name in message and isinstance(call.args.get(name), dict):
                message[name] = change(call.args[name], message[name])

    return change_all


def _walk(given: Any, sent: Any, leaf: Callable[[Any, Any], Any]) -> Any:
    if isinstance(given, Mapping) and isinstance(sent, dict):
        named = {name: _walk(item, sent.get(name, _DROPPED), leaf) for name, item in given.items()}
        kept = {name: item for name, item in named.items() if item is not _DROPPED}
        return {name: item for name, item in sent.items() if name not in given} | kept
    if isinstance(given, list | tuple) and isinstance(sent, list) and len(given) == len(sent):
        return [_walk(*pair, leaf) for pair in zip(given, sent, strict=True)]
    return leaf(given, sent)


class _Dropped:
    """Stands for what the SDK left out."""


_DROPPED = _Dropped()


def _write_uuids(given: Any, sent: Any) -> Any:
    # A list with a UUID in it is dropped whole.
    return _walk(given, sent, lambda given, sent: written(given) if sent is _DROPPED else sent)


def _write_dates(given: Any, sent: Any) -> Any:
    return _walk(given, sent, lambda given, sent: moment(given) if hasattr(given, "hour") else sent)


def _write_no_words(given: Any, sent: Any) -> Any:
    return _walk(given, sent, lambda given, sent: None if _is_no_number(sent) else sent)


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _name_reserved_traits(case: Case, outcome: JSON) -> None:
    for one in outcome["sent"]:
        if "traits" in one["message"]:
            one["message"]["traits"] = traits_of(one["message"]["traits"])


def _keep_time_in_utc(case: Case, outcome: JSON) -> None:
    for one in outcome["sent"]:
        call = next(
            (call for call in case.calls if str(call.args.get("message_id")) == one["message"]["messageId"]), None
        )
        if call is not None and call.has_time and not isinstance(call.args["timestamp"], str):
            one["message"]["timestamp"] = moment(call.args["timestamp"])


def _leave_the_callers_data(case: Case, outcome: JSON) -> None:
    if "callers_context" in outcome:
        outcome["callers_context"] = case.calls[0].args["context"]


def _count_bytes(case: Case, outcome: JSON) -> None:
    call = _only(case)
    if call is None or not any(isinstance(text, str) and len(text) > 5_000 for text in _texts(call)):
        return
    if size_of(message_of(call)) > MAX_CALL:
        _refuse(outcome, 0)
    elif outcome["calls"] == ["refused"]:
        _send(case, outcome, 0, call)


def _texts(call: Call) -> list[Any]:
    data = [call.args.get(name) for name in ("traits", "properties")]
    return [value for values in data if isinstance(values, dict) for value in values.values()]


# What hangs on the answers.


def _keep_errors_inside(case: Case, outcome: JSON) -> None:
    outcome["calls"] = ["taken" if call == "raised" else call for call in outcome["calls"]]


def _keep_what_is_refused(case: Case, outcome: JSON) -> None:
    status = case.status_at(0)
    if status is not None and 400 <= status < 500 and status != 429:
        outcome["ends"] = ["dead"] * len(outcome["ends"])
        for one in outcome["sent"]:
            one["tries"] = "once"


def _divide(case: Case, outcome: JSON) -> None:
    if case.status_at(0) == 400 and len(outcome["calls"]) > 1:
        for one in outcome["sent"]:
            one["tries"] = "once or again"


def _take_any_success(case: Case, outcome: JSON) -> None:
    if case.replies and is_good(case.status_at(0)):
        outcome["ends"] = ["delivered" if call != "dropped" else "lost" for call in outcome["calls"]]


def _try_again(case: Case, outcome: JSON) -> None:
    status = case.status_at(0)
    if status is not None and status < 500:
        return
    end = "delivered" if is_good(case.status_at(1)) else "pending"
    outcome["ends"] = [end] * len(outcome["ends"])
    for one in outcome["sent"]:
        one["tries"] = "again"


def _take_what_is_dropped(case: Case, outcome: JSON) -> None:
    for position, call in enumerate(outcome["calls"]):
        if call == "dropped":
            del outcome["ends"][-1]
            _send(case, outcome, position, case.calls[position])


DIFFERENCES = (
    Difference(
        "sent-at-left-out",
        "Python puts the time of sending beside the batch",
        "leaves it out",
        "a retry should be the same bytes, and each call has its own time",
        _each(_leave_out_sent_at),
    ),
    Difference(
        "strict-mode",
        "do not ask for strict mode, so that wrong keys and invalid calls look delivered",
        "asks for it (`strict=False` does not)",
        "what is refused should be seen",
        _each(_ask_for_strictness),
    ),
    Difference(
        "own-name",
        "name themselves as library and user agent; Node keeps what else the app puts into `library`",
        "names itself, and nothing else",
        "it is who sends",
        _each(_name_itself),
    ),
    Difference(
        "channel",
        "leave the channel to the app",
        "says `server`",
        "that is what it is",
        _each(_name_the_channel),
    ),
    Difference(
        "nothing-for-nothing",
        "Python sends null for what was not given, and both an empty `integrations`",
        "leaves it out",
        "it says the same in fewer bytes",
        _each(_leave_out_what_was_not_given),
    ),
    Difference(
        "no-runtime",
        "Node sends the version of its runtime",
        "does not",
        "it is of no use to anyone",
        _each(_leave_out_the_runtime),
    ),
    Difference(
        "browser-goes-along",
        "know of no browser unless the app names one",
        "sends its ID with every call but an alias",
        "it is what links a visitor's calls before and after they are known",
        _each(_add_the_browser),
    ),
    Difference(
        "ids-in-order",
        "make up random message IDs",
        "makes up UUIDv7",
        "they sort by time",
        _each(_make_ids_in_order),
    ),
    Difference(
        "category-in-properties",
        "Node copies a page's category into its properties, Python does not; a screen has one beside them",
        "copies a page's, and has a screen's among its properties only",
        "destinations that know properties only should have it too",
        _each(_copy_the_category),
    ),
    Difference(
        "page-in-properties",
        "leave what the context says of the page there",
        "puts it into a page call's properties too, as the browser's SDK does",
        "reports on pages read the properties",
        _each(_tell_the_page),
    ),
    Difference(
        "ids-are-text",
        "Python leaves numbers as group and previous IDs numbers",
        "writes all IDs as text",
        "one person should not have two IDs",
        _each(_write_ids_as_text),
    ),
    Difference(
        "time-in-utc",
        "Python keeps a timestamp's offset, and takes some without one for local time",
        "writes UTC with a Z, as Node does, and takes those without one for UTC",
        "what a time means should not depend on where or when it is written",
        _keep_time_in_utc,
    ),
    Difference(
        "dates-in-utc",
        "Python writes a datetime among traits without a zone",
        "writes it in UTC with milliseconds",
        "a moment without a zone is none",
        _of_the_data(_write_dates),
    ),
    Difference(
        "no-words-for-numbers",
        "Python writes NaN and the infinities as words, so that the batch is no JSON",
        "writes null",
        "one value should not cost a hundred calls",
        _of_the_data(_write_no_words),
    ),
    Difference(
        "uuids-written",
        "Python drops a UUID among traits",
        "writes it as text",
        "it is the most likely type of an ID",
        _of_the_data(_write_uuids),
    ),
    Difference(
        "reserved-traits",
        "send traits as they are named, `created_at` in whatever form",
        "names those with a meaning of their own in camelCase, `dob` `birthday`, and writes `createdAt` as ISO 8601",
        "so Customer.io knows them, whichever way they were given",
        _name_reserved_traits,
    ),
    Difference(
        "any-number-is-an-id",
        "Python takes 0 for no ID, Node no number at all, not as a message ID either",
        "takes every whole number for a person, and a message ID as text",
        "a database key is one",
        _take_zero_and_numbers,
    ),
    Difference(
        "browser-id-is-enough",
        "refuse a call without a user ID and an anonymous ID",
        "sends it with the browser's ID",
        "there always is one",
        _tell_of_the_browser,
    ),
    Difference(
        "unknown-values-refused",
        "Python drops values of unknown types, and takes bytes for text",
        "refuses the call and says why",
        "no value is lost in silence",
        _refuse_what_cannot_be_written,
    ),
    Difference(
        "secrets-refused",
        "send what looks like a password, a token or a card number, if it is said of a person or a group",
        "refuses it with its name and without its value, unless `sensitive_traits=\"allow\"` is set",
        "it has no business in a customer data platform",
        _refuse_secrets,
    ),
    Difference(
        "own-id-kept",
        "send traits `id` and `cio_id`, which give the person another ID",
        "refuses them with any other value than the user ID, in any spelling",
        "what an app's data says must not change whom an identity is about",
        _keep_the_persons_id,
    ),
    Difference(
        "callers-data-untouched",
        "Python writes into the app's own context dict",
        "does not",
        "it is the app's, and may be shared by threads",
        _leave_the_callers_data,
    ),
    Difference(
        "known-context",
        "send a context as it is, whatever its fields",
        "refuses a field that it has no place for, adds `search` for a URL's query, and writes a campaign as text",
        "what is misspelt should be heard of, and every destination should get the same",
        _know_the_context,
    ),
    Difference(
        "event-name-required",
        "take an empty name of an event or a screen",
        "refuses it",
        "an event without a name is none",
        _require_an_event_name,
    ),
    Difference(
        "alias-of-another",
        "take an alias of a user ID for itself",
        "refuses it",
        "it says nothing",
        _require_another_id,
    ),
    Difference(
        "timestamp-checked",
        "Node takes any text for a timestamp",
        "takes datetimes and seconds only",
        "the service refuses what is no time",
        _require_a_date,
    ),
    Difference(
        "bytes-counted",
        "Python counts escapes of letters, Node letters of its own choosing",
        "counts the bytes that it sends: 32,768 a call, and raises ValidationError",
        "that is what the service counts, and its author should hear of it",
        _count_bytes,
    ),
    Difference(
        "bearer-for-regional-keys",
        "Node sends keys that name their region as a user's name",
        "sends them as a bearer's token, as Python does",
        "they are of that kind",
        _use_bearers,
    ),
    Difference(
        "what-waits-goes-together",
        "close a batch by number and time",
        "sends what waits, up to 100 calls and 500 KB, and waits for no more",
        "nothing is gained by waiting",
        _batch_what_waits,
    ),
    Difference(
        "no-error-in-the-app",
        "Python's sync mode raises what the service or the network says",
        "puts it into the receipt and the log",
        "a page must not break because a service does",
        _keep_errors_inside,
    ),
    Difference(
        "any-success",
        "Python takes 200 for the only success",
        "takes any 2xx",
        "that is what they mean",
        _take_any_success,
    ),
    Difference(
        "refused-kept",
        "lose what is refused; Python tries a refusal without a code again, Node a wrong key",
        "keeps it as a dead letter, and does not try again",
        "it may be sent once its cause is mended, and not before",
        _keep_what_is_refused,
    ),
    Difference(
        "refused-batch-divided",
        "lose the whole batch of which one call is refused",
        "halves it until the bad call stands alone",
        "one bad call should not cost the good ones",
        _divide,
    ),
    Difference(
        "tried-until-it-arrives",
        "try once (Python's sync mode) or some times, then lose it",
        "tries for three days",
        "outages last longer than seconds",
        _try_again,
    ),
    Difference(
        "room-for-all",
        "Python drops what its queue has no room for, with False as the only sign",
        "keeps it",
        "there is room for 100,000 in memory and a million on disk, and what is dropped is counted",
        _take_what_is_dropped,
    ),
)  # fmt: skip

BY_NAME = {difference.name: difference for difference in DIFFERENCES}
