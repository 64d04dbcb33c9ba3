"""Comparing what was expected of passerby with what it did, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from passerby import (
    BrowserIdUnavailable,
    PasserbyError,
    RemoteError,
    RemoteTimeout,
    SettingsError,
    ValidationError,
)

from .case import JSON

Error = JSON | None


class Absent:
    """Stands where there is nothing."""

    def __str__(self) -> str:
        return "nothing"

    __repr__ = __str__


ABSENT = Absent()
Kinds = Mapping[str, type[PasserbyError]]
BY_CODE: Kinds = {"IE-0003": RemoteTimeout, "IE-0004": BrowserIdUnavailable}


def compare(expected: JSON, got: JSON) -> list[str]:
    """Say what differs; nothing if all is as expected."""
    return [*_compare(expected, got)]


def _compare(expected: JSON, got: JSON) -> Iterator[str]:
    yield from compare_errors("init", expected["init"], got["init"], SettingsError)
    steps = list(zip(expected["steps"], got["steps"], strict=False))
    if len(expected["steps"]) != len(got["steps"]):
        yield _differ("number of steps", len(expected["steps"]), len(got["steps"]))
    for number, (one, other) in enumerate(steps, 1):
        yield from _compare_steps(f"step {number} ({one['call']})", one, other)
    for name in ("cookies", "kept", "request_cookie", "known_id"):
        if name in expected:
            yield from differences_of(name, expected[name], got[name])
    if expected["sent"] is not None:
        yield from compare_sent(expected["sent"], got["sent"])
    if not got["is_balanced"]:
        yield "ledger: recorded is not delivered + pending + dead + dropped"


def _compare_steps(where: str, expected: JSON, got: JSON) -> Iterator[str]:
    kind = RemoteError if expected["call"] == "getGuestId" else ValidationError
    yield from compare_errors(f"{where} error", expected["error"], got["error"], kind)
    yield from differences_of(f"{where} result", expected["result"], got["result"])
    if "held" in expected:
        yield from differences_of(f"{where} held events", expected["held"], got["held"])


def compare_errors(
    where: str, expected: Error, got: Error, kind: type[PasserbyError], kinds: Kinds = BY_CODE
) -> Iterator[str]:
    """Compare code, text and class; where the SDK fails with an engine's error, any error of passerby's own will do."""
    if expected is None or got is None:
        if expected != got:
            yield _differ(where, expected or "no error", got or "no error")
        return
    if expected["code"] == "any":
        if not issubclass(got["class"], PasserbyError):
            yield _differ(where, "an error of passerby", got)
        return
    wanted = kinds.get(expected["code"] or "", kind)
    if got["code"] != expected["code"] or not issubclass(got["class"], wanted):
        yield _differ(where, f"{wanted.__name__} {expected}", got)
    elif expected["text"] is not None and expected["text"] != got["text"]:
        yield _differ(f"{where} text", expected["text"], got["text"])


def compare_sent(expected: list[JSON], got: list[JSON]) -> Iterator[str]:
    """Compare requests in order; what is tried again and again goes on beside calls to other paths."""
    if not any("again" in one for one in expected):
        yield from _compare_in_order(expected, got)
        return
    for path in dict.fromkeys(one["path"] for one in [*expected, *got]):
        yield from _compare_in_order(*([one for one in sent if one["path"] == path] for sent in (expected, got)))


def _compare_in_order(expected: list[JSON], got: list[JSON]) -> Iterator[str]:
    rest = list(got)
    for number, one in enumerate(expected, 1):
        wanted = {name: value for name, value in one.items() if name != "again"}
        where = f"request {number}"
        if not rest:
            yield _differ(where, wanted, ABSENT)
            continue
        yield from differences_of(where, wanted, rest.pop(0))
        repeated = 0
        while "again" in one and rest and canonical(rest[0]) == canonical(wanted):
            rest.pop(0)
            repeated += 1
        if "again" in one and not repeated:
            yield f"{where}: expected the same again, got no second try"
    for one in rest:
        yield _differ("one request more", ABSENT, one)


def differences_of(where: str, expected: Any, got: Any) -> Iterator[str]:
    """Compare JSON values down to where they differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in dict.fromkeys([*expected, *got]):
            yield from differences_of(f"{where}.{name}", expected.get(name, ABSENT), got.get(name, ABSENT))
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from differences_of(f"{where}[{index}]", one, other)
    elif canonical(expected) != canonical(got):
        yield _differ(where, expected, got)


def canonical(value: Any) -> str:
    """One text for equal JSON: 1.0 is 1, true is not, and numbers are as exact as in JavaScript."""
    return json.dumps(_plain(value), sort_keys=True, default=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _differ(where: str, expected: Any, got: Any) -> str:
    return f"{where}\n    expected {shown(expected)}\n    got      {shown(got)}"


def shown(value: Any) -> str:
    """A value as a reader likes to see it."""
    if isinstance(value, str | Absent):
        return str(value) or "empty text"
    return json.dumps(value, sort_keys=True, default=repr)
