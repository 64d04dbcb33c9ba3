"""Outboxes that share a folder: what one lets go of, the others let go of as well."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest

from passerby.old_outbox import Tally, pending
from passerby.old_outbox.board import Notice
from passerby.old_outbox.neighbours import KEEP
from passerby.old_outbox.sqlite import SqliteOutbox
from passerby.values.outcome import Dropped

from .conftest import MakeSqlite, OpenBoard
from .parent import Children, ask, stored_ids, wait_for, words_after
from .told import Listener, acquired_ids, delivered_ids, die, event_of, flush, hold, put

NOW = 1_750_000_000.0
MakeNeighbour = Callable[..., SqliteOutbox]


class Clock:
    """The time that all processes of a test have."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> float:
        return NOW + self.seconds

    def forward(self, seconds: float = 1.0) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(make_sqlite: MakeSqlite, clock: Clock, tmp_path: Path) -> MakeNeighbour:
    """Make one more outbox of the same folder; it has looked around once."""

    def make(**options: Any) -> SqliteOutbox:
        outbox = make_sqlite(directory=str(tmp_path / "outbox"), clock=clock, now=clock.now, look_every=1e9, **options)
        look(outbox)
        return outbox

    return make


def look(outbox: SqliteOutbox) -> None:
    """Have an outbox look at the board, and for what dead processes left."""
    outbox.start().result(30)


def hold_at(outbox: SqliteOutbox, visitor: str, clock: Clock, listener: Listener | None = None) -> str:
    event = event_of(visitor)
    outbox.hold(event, ("a",), listener or Listener(), clock())
    flush(outbox)
    clock.forward()
    return event.id


def tell(outbox: SqliteOutbox, do: Callable[[], object], clock: Clock, *others: SqliteOutbox) -> None:
    """Have one process do something, and the others hear of it."""
    do()
    flush(outbox)
    clock.forward()
    for other in others:
        look(other)


# Held events


def test_what_one_process_holds_another_releases(make: MakeNeighbour, clock: Clock) -> None:
    is_ready = Signal()
    ours, theirs, third = make(on_ready=is_ready.set), make(), make()
    held = [hold_at(ours, "ada", clock), hold_at(ours, "ada", clock)]
    elsewhere = hold_at(third, "ada", clock)
    waiting = put(ours, "ada")
    kept = hold_at(ours, "ben", clock)
    is_ready.clear()

    tell(theirs, partial(theirs.release, "ada"), clock, ours, third)

    assert is_ready.wait(30), "delivery is told that there is more"
    assert delivered_ids(ours) == [waiting, *held]
    assert delivered_ids(third) == [elsewhere]
    assert ours.held("ben") == 1
    ours.release("ben")
    assert delivered_ids(ours) == [kept]


@pytest.mark.parametrize("poster", ["itself", "another"])
def test_what_was_held_after_a_clear_survives_death_whatever_the_clock_says(
    make: MakeNeighbour, clock: Clock, poster: str
) -> None:
    """What a dead process had heard of is not done again with what it left, though its clock went back since."""
    ours, theirs = make(), make()
    hold_at(ours, "ada", clock)
    clearing = ours if poster == "itself" else theirs
    tell(clearing, partial(clearing.clear, "ada"), clock, ours)
    clock.forward(-3600)
    held = hold_at(ours, "ada", clock)
    die(ours)

    look(theirs)

    assert theirs.held("ada") == 1
    theirs.release("ada")
    assert delivered_ids(theirs) == [held]


def test_what_one_process_holds_another_clears(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(), make()
    listener = Listener()
    hold_at(ours, "ada", clock, listener)

    tell(theirs, partial(theirs.clear, "ada"), clock, ours)

    assert listener.heard == ["stored", ("a", Dropped("cleared"))]
    assert ours.tally("a") == Tally(enqueued=1, dropped={"cleared": 1})


def test_what_is_held_after_a_release_waits_for_the_next(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(), make()
    before = hold_at(ours, "ada", clock)
    theirs.release("ada")
    flush(theirs)
    clock.forward()
    after = hold_at(ours, "ada", clock)

    look(ours)

    assert delivered_ids(ours) == [before]
    assert ours.held("ada") == 1
    tell(theirs, partial(theirs.release, "ada"), clock, ours)
    assert delivered_ids(ours) == [after]


def test_who_releases_does_not_do_so_twice(make: MakeNeighbour, clock: Clock) -> None:
    ours = make()
    before = hold_at(ours, "ada", clock)
    clock.seconds = 100.0
    ours.release("ada")
    clock.seconds = 50.0  # a hold whose time was taken earlier comes in later
    hold_at(ours, "ada", clock)
    clock.seconds = 200.0

    look(ours)

    assert delivered_ids(ours) == [before]
    assert ours.held("ada") == 1


def test_what_a_visit_holds_is_released_by_its_browser_id(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(), make()
    held = hold_at(ours, "visit:1", clock)
    ours.link("visit:1", "ada")

    tell(theirs, partial(theirs.release, "ada"), clock, ours)

    assert delivered_ids(ours) == [held]


def test_held_events_that_are_on_disk_only_are_released(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(window=2), make()
    held = [hold_at(ours, "ada", clock) for _ in range(10)]

    tell(theirs, partial(theirs.release, "ada"), clock, ours)

    seen: list[str] = []
    while len(seen) < len(held):
        look(ours)
        seen += delivered_ids(ours)
    assert seen == held


@pytest.mark.parametrize(
    ("what", "released", "tally"),
    [
        (["release", "clear"], True, Tally(enqueued=1, waiting=1)),
        (["clear", "release"], False, Tally(enqueued=1, dropped={"cleared": 1})),
    ],
)
def test_what_a_dead_process_held_is_adopted_by_the_first_notice(
    make: MakeNeighbour, clock: Clock, what: list[str], released: bool, tally: Tally
) -> None:
    ours, theirs = make(), make()
    theirs.release("ada")  # earlier: it does not concern what comes
    flush(theirs)
    clock.forward()
    held = hold_at(ours, "ada", clock)
    die(ours)
    for each in what:
        tell(theirs, partial(getattr(theirs, each), "ada"), clock)

    look(theirs)

    assert theirs.tally("a") == tally
    assert delivered_ids(theirs) == ([held] if released else [])


def test_what_nobody_asked_for_is_adopted_as_it_was(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(), make()
    hold_at(ours, "ada", clock)
    die(ours)
    tell(theirs, partial(theirs.release, "ben"), clock)

    look(theirs)

    assert theirs.held("ada") == 1


def test_what_is_left_waits_until_it_is_known_what_is_asked(
    make: MakeNeighbour, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = make(), make()
    held = hold_at(ours, "ada", clock)
    die(ours)
    tell(theirs, partial(theirs.release, "ada"), clock)
    others = sqlite3.connect(tmp_path / "outbox" / "shared.db", isolation_level=None)
    others.execute("BEGIN EXCLUSIVE")

    look(theirs)
    assert (theirs.tally("a"), theirs.state, caplog.text) == (Tally(), "ok", "")
    others.execute("COMMIT")
    others.close()
    clock.forward()
    look(theirs)

    assert delivered_ids(theirs) == [held]


# The board


def test_a_release_is_recorded_when_it_says_so(
    make: MakeNeighbour, clock: Clock, tmp_path: Path, open_board: OpenBoard
) -> None:
    ours = make()
    ours.release("ada")
    flush(ours)

    (notice,) = open_board(tmp_path / "outbox").after(0)
    assert notice._replace(poster="") == Notice("release", "ada", clock.now(), notice.number)


def test_notices_are_forgotten_once_all_have_seen_them(
    make: MakeNeighbour, clock: Clock, tmp_path: Path, open_board: OpenBoard
) -> None:
    ours, theirs = make(), make()
    board = open_board(tmp_path / "outbox")
    theirs.release("ada")
    flush(theirs)
    for _ in range(3):
        assert len(board.after(0)) == 1
        look(ours)
        clock.forward(KEEP / 2)
    for _ in range(4):
        look(ours)
        clock.forward(KEEP / 2)
    assert board.after(0) == []


def test_notices_of_which_nobody_saw_the_end_are_forgotten(
    make: MakeNeighbour, clock: Clock, tmp_path: Path, open_board: OpenBoard
) -> None:
    """Where processes are short-lived, none sees a notice age."""
    ours = make()
    ours.release("ada")
    flush(ours)
    clock.forward(8 * 86_400)
    look(ours)

    assert open_board(tmp_path / "outbox").after(0) == []


def test_a_board_that_cannot_be_written_keeps_no_event_back(make: MakeNeighbour, clock: Clock, tmp_path: Path) -> None:
    ours, theirs = make(), make()
    path = tmp_path / "outbox" / "shared.db"
    path.mkdir()
    held = hold_at(theirs, "ada", clock)

    listener = Listener()
    ours.before_fork()  # after the first refusal nothing is tried for a second, which passes only when told to
    ours.release("ada")
    ours.put(event_of("ben"), ("a",), listener, clock())
    claim = ours.claim_browser_ids("sitecore", 1)
    ours.after_fork_in_parent()

    assert claim.result(30) == []
    assert not ours.flush_to_disk(0.2), "not all is recorded that was told"
    assert listener.heard == ["stored"]
    assert ours.state.startswith("degraded: other processes are not told (")
    path.rmdir()
    clock.forward()
    look(ours)
    flush(ours)
    assert ours.state == "ok"
    look(theirs)
    assert delivered_ids(theirs) == [held]


def test_notices_wait_in_memory_for_a_board_but_not_without_end(
    make: MakeNeighbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pending, "MAX_NOTICES", 100)
    monkeypatch.setattr(pending, "MAX_LINKS", 100)
    ours = make()
    shared = tmp_path / "outbox" / "shared.db"
    shared.mkdir()
    ours.before_fork()
    for number in range(150):
        ours.release(f"visitor {number}")
        ours.clear(f"visitor {number}")
        ours.link(f"visit {number}", "a browser ID")
    ours.purge_visitor("ada")
    waiting = ours._stock.pending

    notices = waiting.notices()
    assert len(notices) == 101, "who is to be erased is told of all the same"
    assert notices[-1].kind == "purge visitor"
    assert list(waiting._links) == [f"visit {number}" for number in range(50, 150)]
    assert "stays held until the next release" in caplog.text

    ours.after_fork_in_parent()
    shared.rmdir()
    look(ours)


def test_a_newer_versions_board_is_not_waited_for(
    make: MakeNeighbour, tmp_path: Path, caplog: pytest.LogCaptureFixture, open_board: OpenBoard
) -> None:
    ours = make()
    open_board(tmp_path / "outbox").post([Notice("release", "ada", NOW)])
    with sqlite3.connect(tmp_path / "outbox" / "shared.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    ours.release("ada")
    ours.put_back_browser_ids("sitecore", ["1"])

    flush(ours)
    assert ours.claim_browser_ids("sitecore", 1).result(30) == []
    assert "do not hear of each other (a newer version's file)" in caplog.text


def test_a_notice_of_a_version_to_come_is_passed_over(
    make: MakeNeighbour, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture, open_board: OpenBoard
) -> None:
    ours = make()
    held = hold_at(ours, "ada", clock)
    strange: Any = "juggle"
    notices = [Notice(strange, "", NOW), Notice("retry dead", "?", NOW), Notice("release", "ada", clock.now())]
    open_board(tmp_path / "outbox").post(notices)
    look(ours)

    assert delivered_ids(ours) == [held]
    assert caplog.text.count("that this version does not") == 2


# Unused browser IDs


def test_ids_that_one_process_puts_back_another_claims(make: MakeNeighbour) -> None:
    ours, theirs = make(), make()
    ours.put_back_browser_ids("sitecore key", ["1", "2", "3"])
    ours.put_back_browser_ids("sitecore key", [])
    flush(ours)

    assert theirs.claim_browser_ids("another key", 2).result(30) == []
    assert theirs.claim_browser_ids("sitecore key", 2).result(30) == ["1", "2"]
    assert ours.claim_browser_ids("sitecore key", 2).result(30) == ["3"]
    assert theirs.claim_browser_ids("sitecore key", 2).result(30) == []


def test_ids_for_who_has_given_up_are_left_to_others(make: MakeNeighbour) -> None:
    ours, theirs = make(), make()
    theirs.put_back_browser_ids("sitecore", ["1", "2"])
    flush(theirs)
    claim = ours._crew.writer.neighbours._board.claim

    ours.before_fork()
    early = ours.claim_browser_ids("sitecore", 1)
    late = ours.claim_browser_ids("sitecore", 1)
    assert early.cancel()

    def claim_as_it_is_given_up(issuer: str, number: int) -> list[str]:
        late.cancel()
        return claim(issuer, number)

    ours._crew.writer.neighbours._board.claim = claim_as_it_is_given_up  # type: ignore[method-assign]
    ours.after_fork_in_parent()
    assert ours.close(30)

    assert sorted(theirs.claim_browser_ids("sitecore", 9).result(30)) == ["1", "2"]


def test_ids_are_put_back_before_the_outbox_is_closed(make: MakeNeighbour) -> None:
    ours, theirs = make(), make()
    ours.put_back_browser_ids("sitecore", ["1"])
    assert ours.close(30)

    assert theirs.claim_browser_ids("sitecore", 1).result(30) == ["1"]
    assert ours.claim_browser_ids("sitecore", 1).result(30) == [], "it is opened again"


# What owners are asked for


def test_what_is_asked_of_one_all_do(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(), make()
    listener = Listener()
    for visitor in ("ada", "ben", "cyd", "dan"):
        ours.put(event_of(visitor), ("a",), listener, clock())
    flush(ours)
    ada, ben, cyd, dan = ours.acquire("a", 4, clock())
    for entry in (ada, ben):
        ours.settle_dead(entry, "no")
    for entry in (cyd, dan):
        ours.settle_retry(entry, 1e6)
    clock.forward()

    tell(theirs, partial(theirs.retry_dead, clock(), None, ada.event.id), clock, ours)
    assert acquired_ids(ours) == [ada.event.id]
    tell(theirs, partial(theirs.purge_dead, "a"), clock, ours)
    assert ours.dead_letters("a") == []
    tell(theirs, partial(theirs.purge_visitor, "cyd"), clock, ours)
    tell(theirs, theirs.send_now, clock, ours)
    assert acquired_ids(ours) == [dan.event.id]
    assert ours.tally("a") == Tally(enqueued=4, waiting=2, dropped={"purged": 2})


def test_what_died_after_the_notice_is_not_concerned(make: MakeNeighbour, clock: Clock) -> None:
    ours, theirs = make(), make()
    put(ours, "ada")
    theirs.purge_dead()
    theirs.retry_dead(clock())
    flush(theirs)
    clock.forward()
    (entry,) = ours.acquire("a", 1, clock())
    ours.settle_dead(entry, "no")

    look(ours)
    assert len(ours.dead_letters("a")) == 1
    flush(ours)
    die(ours)
    look(theirs)
    assert len(theirs.dead_letters("a")) == 1


# Processes


def test_a_worker_releases_what_another_holds(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    worker = children.begin("hold_and_deliver", directory, 3)
    held = stored_ids(wait_for(worker, "ready"))
    outbox = make_sqlite(directory=str(directory))

    outbox.release("ada")
    assert outbox.flush_to_disk(30)

    assert words_after(wait_for(worker, "delivered-all"), "delivered") == held


def test_what_a_killed_worker_held_is_released_by_who_adopts_it(
    children: Children, make_sqlite: MakeSqlite, directory: Path
) -> None:
    worker = children.begin("hold_and_deliver", directory, 3)
    held = stored_ids(wait_for(worker, "ready"))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    asker = children.begin("release", directory, "ada")
    wait_for(asker, "released")
    asker.kill()
    asker.wait()

    outbox = make_sqlite(directory=str(directory))
    outbox.start().result(30)

    assert delivered_ids(outbox, now=time.monotonic()) == held


def test_workers_that_share_ids_and_releases_at_once(
    children: Children, directory: Path, open_board: OpenBoard
) -> None:
    workers = [children.begin("share", directory, name, 40) for name in "abcdefgh"]
    for worker in workers:
        wait_for(worker, "ready")
    for worker in workers:
        ask(worker, "go")
    lines: list[str] = []
    for worker in workers:
        out, err = worker.communicate(timeout=100)
        assert err == ""
        lines += out.splitlines()

    board = open_board(directory)
    left = board.claim("sitecore", 10_000)
    claimed = Counter(words_after(lines, "claimed") + left)
    assert claimed == Counter(f"{name}-{number}" for name in "abcdefgh" for number in range(40))
    posted = Counter(notice.subject for notice in board.after(0))
    assert posted == Counter(f"{name}-{number}" for name in "abcdefgh" for number in range(40))
    assert lines.count("closed True") == 8


def test_a_forked_worker_shares_the_board(children: Children, make_sqlite: MakeSqlite, directory: Path) -> None:
    outbox = make_sqlite(directory=str(directory))
    hold(outbox, "ada")
    hold(outbox, "ben")
    flush(outbox)

    lines = children.run("fork_and_release", directory, "ada", "ben")

    assert lines == ["released ada 0", "ended 0", "released ben 0"]
    outbox.start().result(30)
    assert outbox.waiting() == 2
