"""The state of a destination's service, shared by all who deliver: breaker, not-before and ramp-up.

After `FAILURES` consecutive failures the breaker opens: nothing is claimed for a pause that doubles up to `LONGEST`.
Then one event is claimed as a probe. When the service responds again, delivery ramps up: for one minute at most
`FACTOR` times the usual rate of recorded events.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from random import SystemRandom

from .contract import ServiceReport
from .counts import BreakerState

FAILURES = 5  # consecutive failures until the breaker opens
LONGEST = 30.0  # seconds before a probe
RAMP_UP = 60.0  # seconds
FACTOR = 1.8  # above 1, so that the backlog shrinks, and below 2
MIN_RATE = 1.0  # events a second, if the usual rate is lower
_SAMPLE = 600.0  # seconds over which the usual rate is measured at least, and at most twice as long

_random = SystemRandom().random


@dataclass(slots=True)
class ServiceState:
    """The state of one service. Times are the store's. Its fields are plain numbers, so a store can keep it as JSON.

    Attributes:
        failures: consecutive failures.
        openings: how often the breaker has opened since the last success.
        not_before: when the service may be called again.
        probe_until: when a probe under way is given up.
        ramp_until: when the ramp-up ends.
        rate: events a second while it ramps up.
        room: events that may be claimed now while it ramps up.
        refilled: when `room` was computed.
        sampled: when the sample of recorded events began.
        sample: how many events were recorded then.
        hurry_until: until when no ramp-up begins.
        sampled_before: when the sample before that began; the usual rate is measured from then on.
        sample_before: how many events were recorded then.
    """

    failures: int = 0
    openings: int = 0
    not_before: float = 0.0
    probe_until: float = 0.0
    ramp_until: float = 0.0
    rate: float = MIN_RATE
    room: float = 1.0
    refilled: float = 0.0
    sampled: float = 0.0
    sample: int = 0
    hurry_until: float = 0.0
    sampled_before: float = 0.0
    sample_before: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half-open."""
        return self.failures >= FAILURES

    def breaker(self, now: float) -> BreakerState:
        """Return the breaker's state."""
        if not self.is_open:
            return "closed"
        return "half-open" if now < self.probe_until else "open"

    def report(self, report: ServiceReport, now: float, recorded: int) -> None:
        """Note what a call has said; `recorded` is how many events were recorded for the destination so far."""
        self._sample(now, recorded)
        if report.kind == "hurry":
            self.ramp_until, self.hurry_until = 0.0, max(self.hurry_until, now + (report.after or 0.0))
        elif report.kind == "abandoned":
            self.probe_until = 0.0
        elif report.kind == "success":
            if self.is_open:
                usual = (recorded - self.sample_before) / max(1.0, now - self.sampled_before)
                self.rate, self.room = max(MIN_RATE, FACTOR * usual), 1.0
                self.refilled, self.ramp_until = now, 0.0 if now < self.hurry_until else now + RAMP_UP
            self.failures = self.openings = 0
            self.probe_until = 0.0
        else:
            self._fail(report, now)

    def _sample(self, now: float, recorded: int) -> None:
        if not self.sampled:  # the first report
            self.sampled, self.sample = self.sampled_before, self.sample_before = now, recorded
        elif now - self.sampled > _SAMPLE:
            self.sampled_before, self.sample_before = self.sampled, self.sample
            self.sampled, self.sample = now, recorded

    def _fail(self, report: ServiceReport, now: float) -> None:
        self.failures += 1
        self.probe_until = 0.0
        if report.after is not None:
            self.not_before = max(self.not_before, now + report.after)
        if self.is_open and now >= self.not_before:
            pause = min(LONGEST, report.pause * 2 ** min(self.openings, 16))
            self.not_before = now + pause * (0.5 + _random() / 2)
            self.openings += 1

    def allowed(self, wanted: int, now: float) -> int:
        """Return how many of the wanted events may be claimed now."""
        if now < self.not_before:
            return 0
        if self.is_open:
            return 0 if now < self.probe_until else min(1, wanted)
        if now >= self.ramp_until:
            return wanted
        # Unused allowance is kept, but at most that of one second.
        self.room = min(self.room + (now - self.refilled) * self.rate, 1.0 + self.rate)
        self.refilled = now
        return min(wanted, int(self.room))

    def claimed(self, number: int, lease: float, now: float) -> None:
        """Note that events were claimed."""
        if self.is_open:
            self.probe_until = now + lease
        elif now < self.ramp_until:
            self.room -= number

    def next_call(self, now: float) -> float:
        """Return when the next event may be claimed, as far as the service is concerned."""
        if self.is_open:
            return max(self.not_before, self.probe_until)
        if now < self.ramp_until and self.room < 1.0:
            return max(self.not_before, self.refilled + (1.0 - self.room) / self.rate)
        return self.not_before if self.not_before > now else -inf
