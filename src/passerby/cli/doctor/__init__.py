"""The doctor: looks whether this machine, this user and these settings are fit for an outbox, and says what to do.

Each check takes plain facts and gives a finding, so that it can be tried without the trouble that it is for.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """What a check has found.

    Attributes:
        check: what was looked at.
        verdict: "problem" where events are lost or nothing works, "warning" where they may be.
        words: what was found.
        advice: what to do; empty if nothing.
    """

    check: str
    verdict: Verdict
    words: str
    advice: str = ""
