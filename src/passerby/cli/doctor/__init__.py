"""The doctor: checks this machine, user and settings for an outbox, and recommends what to do.

Each check takes plain values and returns a finding, so that tests need no broken machine.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        check: the name of the check.
        severity: "problem" if events are lost or nothing works, "warning" if they may be lost.
        message: what was found.
        advice: what to do; may be empty.
    """

    check: str
    severity: Severity
    message: str
    advice: str = ""
