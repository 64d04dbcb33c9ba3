"""Comparing what was expected of passerby with what it did, in words."""

from __future__ import annotations

from collections.abc import Iterator

from passerby import BrowserIdUnavailable, RemoteError, RemoteTimeout, SettingsError, ValidationError

from ..case import JSON
from ..comparison import Kinds, compare_errors, compare_sent, differences_of
from .recorded import SETTINGS_CODES

KINDS: Kinds = {
    **dict.fromkeys(SETTINGS_CODES, SettingsError),
    "IE-0002": RemoteTimeout,
    "IE-003": RemoteTimeout,
    "IE-0003": BrowserIdUnavailable,
    "IE-005": BrowserIdUnavailable,
    "IE-0011": RemoteError,
    "IE-006": RemoteError,
    "IV-0006": ValidationError,
    "IV-002": ValidationError,
}
OF_REMOTE = ("getGuestId", "getGuestIdServer")


def compare(expected: JSON, got: JSON) -> list[str]:
    """Say what differs; nothing if all is as expected."""
    return [*_compare(expected, got)]


def _compare(expected: JSON, got: JSON) -> Iterator[str]:
    for number, (one, other) in enumerate(zip(expected["visits"], got["visits"], strict=True), 1):
        where = f"visit {number}: " if len(got["visits"]) > 1 else ""
        yield from _compare_visits(where, one, other)
    if expected["sent"] is not None:
        yield from compare_sent(expected["sent"], got["sent"])
    if not got["is_balanced"]:
        yield "ledger: recorded is not delivered + pending + dead + dropped"


def _compare_visits(where: str, expected: JSON, got: JSON) -> Iterator[str]:
    calls, made = ([step["call"] for step in one["steps"]] for one in (expected, got))
    yield from differences_of(f"{where}calls", calls, made)
    for number, (one, other) in enumerate(zip(expected["steps"], got["steps"], strict=False), 1):
        yield from _compare_steps(f"{where}step {number} ({one['call']})", one, other)
    for name in ("cookies", "kept", "request_cookie", "known_id"):
        if name in expected:
            yield from differences_of(where + name, expected[name], got[name])


def _compare_steps(where: str, expected: JSON, got: JSON) -> Iterator[str]:
    call, error = expected["call"], expected["error"]
    otherwise = RemoteError if call in OF_REMOTE else SettingsError if call == "initialize" else ValidationError
    yield from compare_errors(f"{where} error", error, got["error"], otherwise, KINDS)
    for name in ("result", "held", "args_after"):
        if name in expected or name in got:
            yield from differences_of(f"{where} {name}", expected.get(name, {}), got.get(name, {}))
