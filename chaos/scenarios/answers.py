"""T6 and T7: destinations that are slow, silent, or want to be left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from statistics import median

from passerby.collector import CollectorServer, ScriptedResponse

from ..arrivals import Arrivals
from ..finding import Finding
from ..scene import Scene, Trial, scene
from ..servers import begin_uvicorn
from ..visitors import Visitor

PAGES, PAGES_LONG = 300, 3_000
SLOWER = 3.0  # times the median without any destination; a page that waited for the destination would take 30 s
NEVER_LONGER = 2.0  # seconds


def slow(trial: Trial) -> Iterator[Finding]:
    """Answer after 30 seconds, or never; pages must not be slower for it, and another destination not wait."""
    pages = PAGES_LONG if trial.is_long else PAGES
    for name, delay in (("30 s an answer", 30.0), ("never an answer", 3600.0)):
        yield _beside_none(name, delay, pages)


def _beside_none(name: str, delay: float, pages: int) -> Finding:
    others = Arrivals()
    with (
        scene() as where,
        scene() as elsewhere,
        CollectorServer(accept_any_browser_id=True, on_received=others.on_received) as second,
    ):
        where.collector.fail("events", status=None, delay=delay)
        settings = {"request_timeout": 1.0}
        site, port = begin_uvicorn(where, second=second.url, settings=settings)
        _, port_of_none = begin_uvicorn(elsewhere, url=None, settings={"outbox": "memory"})
        visitors = [Visitor(port) for _ in range(5)]
        visitors_of_none = [Visitor(port_of_none) for _ in range(5)]
        for number in range(pages):
            visitors[number % 5].visit()
            visitors_of_none[number % 5].visit()
        where.recorded.update(recorded for visitor in visitors for recorded in visitor.recorded)
        is_unaffected = others.wait_for(where.recorded, 10.0)
        arrived_meanwhile = len(others.bodies)
        where.collector.clear_faults()
        where.arrivals.wait_for(where.recorded, 30.0)
        for visitor in visitors:
            visitor.leave()
        where.kill(site)
        where.finish()
        # The service took what it did not answer in time, and gets it again, as often as that went on.
        finding = where.finding(f"T6 {name}", f"{pages} pages", duplicates=10**6)
        _compare(finding, visitors, visitors_of_none)
        finding.notes.append(f"{arrived_meanwhile:,} arrived at the second destination meanwhile")
        finding.expect(is_unaffected, "the second destination had to wait")
        finding.expect(all(visitor.statuses == {200} for visitor in visitors), "not all pages were answered by 200")
        return finding


def _compare(finding: Finding, visitors: list[Visitor], visitors_of_none: list[Visitor]) -> None:
    times = [seconds for visitor in visitors for seconds in visitor.times]
    times_of_none = [seconds for visitor in visitors_of_none for seconds in visitor.times]
    ratio = median(times) / median(times_of_none)
    finding.notes.append(
        f"a page takes {median(times) * 1000:.1f} ms, without a destination {median(times_of_none) * 1000:.1f} ms"
        f" ({ratio:.1f} times), at most {max(times) * 1000:.0f} ms"
    )
    finding.expect(ratio <= SLOWER, f"pages take {ratio:.1f} times as long as without a destination")
    finding.expect(max(times) <= NEVER_LONGER, f"a page took {max(times):.1f} s")


# What Retry-After says, the clock that the victim goes by, and by the wall the seconds before which it must not, and by
# which it has to try again.
FAST = 1_000
CASES: tuple[tuple[str, str, str | None, float, float], ...] = (
    ("in seconds", "2", None, 2.0, 6.0),
    ("as a date", "date", None, 1.9, 8.0),
    ("as a past date", "Wed, 21 Oct 2015 07:28:00 GMT", None, 0.0, 5.0),
    ("as 999999, taken for an hour", "999999", f"fast:{FAST}", 3600 / FAST, 3600 / FAST + 4.0),
    ("as rubbish", "soon; perhaps", None, 0.0, 5.0),
    ("as nothing", "", None, 0.0, 5.0),
)


def retry_after(trial: Trial) -> Iterator[Finding]:
    """Ask to be left alone in every way; no request may come early, and none may stay away for ever."""
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(_ask_to_wait, status, *case) for status in (429, 503) for case in CASES]
        for job in jobs:
            yield job.result()


def _ask_to_wait(status: int, name: str, value: str, clock: str | None, least: float, most: float) -> Finding:
    with scene() as where:
        said = formatdate(time.time() + 5.0, usegmt=True) if value == "date" else value
        headers = {"retry-after": said} if said else {}
        where.collector.script(
            "events", [ScriptedResponse(status=status, headers=headers), ScriptedResponse(status=201)]
        )
        begun = time.time()
        process = where.begin(
            "record_some", clock=clock, number=1, ending="ledger", settings={"request_timeout": 1000.0}
        )
        process.wait_for("ready")
        where.recorded.update(process.recorded)
        where.arrivals.wait_for(where.recorded, most + 5.0)
        process.say()
        process.wait()
        where.hear(process)
        where.finish()
        finding = where.finding(f"T7 {status}, Retry-After {name}", f"said {said!r}" if said else "said nothing")
        _check_pause(finding, where, begun + 5.0 - 1.0 if value == "date" else None, least, most)
        return finding


def _check_pause(finding: Finding, where: Scene, not_before: float | None, least: float, most: float) -> None:
    """Compare the first two attempts; a date says whole seconds."""
    first, second, *_ = [*where.arrivals.times, 0.0, 0.0]
    pause = second - first
    finding.notes.append(f"tried again after {pause:.2f} s")
    finding.expect(second > 0 and pause <= most, f"tried again after {pause:.2f} s, later than {most} s")
    earliest = first + least if not_before is None else not_before
    finding.expect(second >= earliest - 0.01, f"tried again {earliest - second:.2f} s too early")
