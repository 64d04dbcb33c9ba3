"""Checking cases one by one, and the report on them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from .case import Case
from .comparison import compare
from .differences import DIFFERENCES
from .expectation import expect
from .replay import replay
from .stage import Stage


class Named(Protocol):
    """A case of whichever SDK."""

    @property
    def id(self) -> str: ...
    @property
    def about(self) -> str: ...


class Told(Protocol):
    """A difference from whichever SDK."""

    @property
    def name(self) -> str: ...
    @property
    def sdk(self) -> str: ...
    @property
    def passerby(self) -> str: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Verdict:
    """What came of a case: the problems, none if it passed, and the allowed differences that it makes use of."""

    case: Named
    problems: list[str]
    differences: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"FAILED {self.case.id}: {self.case.about}", *(textwrap.indent(one, "  ") for one in self.problems)]
        )


def check(case: Case, stage: Stage) -> Verdict:
    """Replay a case and compare; a case that cannot be replayed has failed."""
    try:
        expectation = expect(case)
        got = replay(case, stage, expectation.outcome)
    except Exception as error:
        return Verdict(case, [f"cannot be replayed: {type(error).__name__}: {error}"], ())
    return Verdict(case, [*expectation.conflicts, *compare(expectation.outcome, got)], expectation.differences)


def report(
    verdicts: Iterable[Verdict], out: TextIO, differences: Sequence[Told] = DIFFERENCES, sdk: str = "Engage"
) -> bool:
    """Write failures as they come, then the allowed differences, then the closing line; whether all passed."""
    passed: list[Verdict] = []
    failed = 0
    for verdict in verdicts:
        if verdict.problems:
            failed += 1
            print(verdict, end="\n\n", file=out)
        else:
            passed.append(verdict)
    _list_differences(passed, out, differences, sdk)
    print(f"{len(passed)} passed, {failed} failed", file=out)
    return not failed


def table(differences: Sequence[Told] = DIFFERENCES, sdk: str = "the Engage SDK") -> str:
    """The table of differences for docs/differences.md, in Markdown."""
    rows = [f"| {sdk} | passerby | why |", "|---|---|---|"]
    rows += [f"| {one.sdk} | {one.passerby} | {one.reason} |" for one in differences]
    return "\n".join(rows) + "\n"


def _list_differences(passed: list[Verdict], out: TextIO, differences: Sequence[Told], sdk: str) -> None:
    by_name = {
        one.name: [verdict.case.id for verdict in passed if one.name in verdict.differences] for one in differences
    }
    if not any(by_name.values()):
        return
    print("Allowed differences: what passerby does instead was checked in each of these cases.\n", file=out)
    for one in differences:
        cases = by_name[one.name]
        if cases:
            print(f"{one.name}: {_count(len(cases))}", file=out)
            print(f"  {sdk} {one.sdk};\n  passerby {one.passerby}:\n  {one.reason}.", file=out)
            print(
                textwrap.fill(
                    ", ".join(cases), 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
                ),
                file=out,
            )
            print(file=out)


def _count(number: int) -> str:
    return f"{number} case" if number == 1 else f"{number} cases"
