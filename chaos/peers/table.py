"""The comparison as a whole: runs it, and prints one table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from .contestants import CONTESTANTS, Contestant
from .faults import AT_ONCE, BURST, FAULTS, LONGEST_END, Row, go_through


def main(contestants: Sequence[Contestant] = CONTESTANTS) -> bool:
    """Compare, and print the table; whether passerby, with its outbox on disk, has lost nothing."""
    begun = time.monotonic()
    packages = dict.fromkeys(one.package for one in contestants)
    print("peers: " + ", ".join(f"{package} {version(package)}" for package in packages))
    print(_HEAD, flush=True)
    is_lossless = True
    for fault, rows in _compare(contestants):
        print(f"{fault}: {_sentence(fault)}", flush=True)
        for row in rows:
            print(_line(row), flush=True)
            is_lossless &= not (row.contestant is contestants[0] and row.lost)
    print(
        "\ntold: calls that were made. lost: those whose event never arrived, after one more start of the program."
        "\nduplicated: arrivals beyond an event's first, all under the same event ID."
        "\ncall: how long the caller waited for the tracking call. end: from the last line of the program to its end,"
        f"\nkilled after {LONGEST_END:.0f} s. says itself: what the client reported or logged of events not delivered."
        f"\n{time.monotonic() - begun:.0f} s in all"
    )
    return is_lossless


_HEAD = (
    f"{'':<24}{'told':>8}{'lost':>8}{'duplicated':>12}{'call p50':>11}{'call max':>11}{'end':>10}   says itself"
    f"\n{'':<52}{'ms':>11}{'ms':>11}{'ms':>10}"
)


def _compare(contestants: Sequence[Contestant]) -> Iterator[tuple[str, list[Row]]]:
    """One after the other where the contestants are busy; the faults in which they mostly wait go on at once."""
    patient = [fault for fault in FAULTS if fault not in AT_ONCE]
    for fault, number in AT_ONCE.items():
        those = [one for one in contestants if one.has_queue or fault != BURST]
        with ThreadPoolExecutor(number) as pool:
            yield fault, list(pool.map(lambda one, fault=fault: go_through(one, fault), those))
    with ThreadPoolExecutor(len(contestants) * len(patient)) as pool:
        jobs = {fault: [pool.submit(go_through, one, fault) for one in contestants] for fault in patient}
        for fault in patient:
            yield fault, [job.result() for job in jobs[fault]]


def _sentence(fault: str) -> str:
    return (FAULTS[fault].__doc__ or "").splitlines()[0]


def _line(row: Row) -> str:
    end = f"> {LONGEST_END * 1000:,.0f}" if row.end_was_cut else "" if row.end_ms is None else f"{row.end_ms:,.0f}"
    said = ", ".join(f"{what}: {number:,}" for what, number in row.said.items())
    return (
        f"  {row.contestant.name:<22}{row.told:>8,}{row.lost:>8,}{row.duplicated:>12,}"
        f"{row.call_p50:>11,.3f}{row.call_max:>11,.1f}{end:>10}   {said}"
    ).rstrip()
