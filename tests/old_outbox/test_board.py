"""What the processes of one folder tell each other, and the browser IDs that they share."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from passerby.old_outbox.board import Board, Notice, Unused, read_which_dead, which_dead
from passerby.old_outbox.database import NewerFile, Trouble
from passerby.old_outbox.folder import Folder

from .conftest import OpenBoard
from .parent import Children, words_after
from .told import is_long

NOW = 1_750_000_000.0
BoardOf = Callable[..., Board]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "outbox")


@pytest.fixture
def board_of(open_board: OpenBoard) -> BoardOf:
    """Make the board of another process."""

    def make(folder: Folder, now: float = NOW) -> Board:
        return open_board(folder.path, now=lambda: now)

    return make


def release(visitor: str, at: float = NOW) -> Notice:
    return Notice("release", visitor, at)


def subjects(board: Board, after: int = 0) -> list[str]:
    return [notice.subject for notice in board.after(after)]


# Notices


def test_what_one_posts_the_others_read_in_its_order(folder: Folder, board_of: BoardOf) -> None:
    ours, theirs = board_of(folder), board_of(folder)
    ours.post([release("ada"), Notice("clear", "ben", NOW + 1)])
    theirs.post([Notice("purge visitor", "cyd", NOW + 2)])

    found = ours.after(0)

    assert [(one.kind, one.subject, one.at, one.poster) for one in found] == [
        ("release", "ada", NOW, ours.name),
        ("clear", "ben", NOW + 1, ours.name),
        ("purge visitor", "cyd", NOW + 2, theirs.name),
    ]
    assert ours.name != theirs.name
    assert subjects(theirs, after=found[1].number) == ["cyd"]
    assert ours.last_number() == theirs.last_number() == found[2].number
    assert board_of(folder).after(found[2].number) == []


def test_many_notices_are_read_in_slices(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)
    board.post([release(f"visitor {number}") for number in range(5)])

    first = board.after(0, limit=3)

    assert len(first) == 3
    assert subjects(board, after=first[-1].number) == ["visitor 3", "visitor 4"]


def test_nothing_is_made_until_something_is_posted(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)

    assert (board.changed(), board.after(0), board.last_number(), board.claim("sitecore", 5)) == (False, [], 0, [])
    board.forget(10, NOW)
    board.post([])
    board.put_back("sitecore", [])
    board.close()

    assert not folder.path.exists()


def test_the_file_is_its_owners_alone_and_nobodys_outbox(folder: Folder, board_of: BoardOf) -> None:
    board_of(folder).post([release("ada")])

    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    assert list(folder.abandoned_files()) == []
    assert subjects(board_of(folder)) == ["ada"]


def test_changed_says_whether_others_have_written(folder: Folder, board_of: BoardOf) -> None:
    ours, theirs = board_of(folder), board_of(folder)
    theirs.post([release("ada")])

    assert [ours.changed(), ours.changed()] == [True, False]
    theirs.post([release("ben")])
    ours.post([release("cyd")])
    assert [ours.changed(), ours.changed()] == [True, False]
    ours.post([release("dan")])
    assert not ours.changed()


def test_old_notices_are_forgotten_and_numbers_go_on(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)
    board.post([release("ada"), release("ben"), release("cyd", NOW - 1000), release("dan")])
    numbers = [notice.number for notice in board.after(0)]

    board.forget(numbers[0], NOW - 999)
    assert subjects(board) == ["ben", "dan"]
    board.forget(numbers[3], 0)
    assert board.last_number() == numbers[3]
    board.post([release("eve")])

    assert board.after(0)[0].number > numbers[3]


def test_only_what_may_concern_some_visitors_is_found(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)
    board.post(
        [
            release("ada"),
            Notice("purge visitor", "somebody", NOW),
            Notice("clear", "ben", NOW),
            Notice("send now", "", NOW),
            release("nobody"),
        ]
    )

    found = board.about(["ben", "ada", "ada", *(f"visitor {number}" for number in range(2_000))])

    assert [notice.subject for notice in found] == ["ada", "somebody", "ben", ""]


def test_texts_that_are_no_text_keep_nothing_else_from_being_posted(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)
    board.post([release("\udc80"), release("zoë")], [Unused("\udc80", ("\udc80",))])

    assert subjects(board) == ["?", "zoë"]
    assert [notice.subject for notice in board.about(["\udc80", "zoë"])] == ["?", "zoë"]
    assert board.claim("\udc80", 1) == ["?"]


@pytest.mark.parametrize(("destination", "event_id"), [(None, None), ("a", None), (None, "id"), ("a", "id")])
def test_which_dead_letters_are_meant_can_be_read_again(destination: str | None, event_id: str | None) -> None:
    assert read_which_dead(which_dead(destination, event_id)) == (destination, event_id)


@pytest.mark.parametrize("text", ["", "a", "{}", "[1, null]", "[null]"])
def test_what_says_nothing_of_dead_letters_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever kind
        read_which_dead(text)


# Unused browser IDs


def test_ids_that_are_put_back_are_handed_out_once_the_oldest_first(folder: Folder, board_of: BoardOf) -> None:
    ours, theirs = board_of(folder), board_of(folder)
    ours.put_back("sitecore key", ["1", "2", "3"])
    ours.put_back("another key", ["4"])

    assert theirs.claim("sitecore key", 2) == ["1", "2"]
    assert ours.claim("sitecore key", 2) == ["3"]
    assert theirs.claim("sitecore key", 2) == []
    assert board_of(folder).claim("another key", 2) == ["4"]


def test_an_id_that_is_put_back_again_is_there_once(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)
    board.put_back("sitecore", ["1", "2"])
    board.put_back("sitecore", ["2", "3"])

    assert board.claim("sitecore", 10) == ["1", "2", "3"]


# Trouble


def spoil(path: Path, found: str) -> None:
    if found == "damaged":
        with path.open("r+b") as file:
            file.seek(1024)
            file.write(random.Random(1).randbytes(path.stat().st_size - 1024))
    elif found == "garbage":
        path.write_bytes(b"no database" * 1000)
    else:
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (something)")
        connection.close()


@pytest.mark.parametrize("found", ["damaged", "garbage", "another program's"])
def test_what_is_no_board_is_set_aside_and_another_begun(
    folder: Folder, caplog: pytest.LogCaptureFixture, found: str, board_of: BoardOf
) -> None:
    before = board_of(folder)
    before.post([release(f"visitor {number}") for number in range(200)], [Unused("sitecore", ("1",))])
    last = before.last_number()
    before.close()
    spoil(folder.shared_path, found)
    ours, theirs = board_of(folder, NOW + 1), board_of(folder, NOW + 1)

    assert (ours.after(0), ours.claim("sitecore", 1)) == ([], [])
    theirs.post([release("ada")])
    ours.post([release("ben")])

    (aside,) = folder.path.glob("shared.db.corrupt-*[0-9]")
    (line,) = (record for record in caplog.records if record.name.startswith("passerby"))
    assert aside.name in line.getMessage()
    assert line.levelno == logging.ERROR
    assert subjects(ours, after=last) == subjects(theirs, after=last) == ["ada", "ben"], "nobody waits for old numbers"
    assert list(folder.abandoned_files()) == []


def test_a_board_that_was_removed_is_made_again(folder: Folder, board_of: BoardOf) -> None:
    ours, theirs = board_of(folder), board_of(folder)
    ours.post([release("ada")])
    assert theirs.changed()
    folder.shared_path.unlink()

    assert (ours.after(0), theirs.changed()) == ([], False)
    ours.post([release("ben")])
    assert theirs.changed()
    assert subjects(theirs) == ["ben"]


def test_a_newer_versions_board_is_left_as_it_is(folder: Folder, board_of: BoardOf) -> None:
    board_of(folder).post([release("ada")])
    with sqlite3.connect(folder.shared_path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(NewerFile):
        board_of(folder).post([release("ben")])

    assert [path.name for path in folder.path.iterdir() if ".corrupt-" in path.name] == []


def test_who_holds_the_board_for_too_long_is_not_waited_for(folder: Folder, board_of: BoardOf) -> None:
    board = board_of(folder)
    board.post([release("ada")])
    stuck = sqlite3.connect(folder.shared_path, isolation_level=None)
    stuck.execute("BEGIN EXCLUSIVE")

    with pytest.raises(Trouble, match="locked by another program"):
        board.post([release("ben")])

    stuck.execute("COMMIT")
    stuck.close()
    board.post([release("ben")])
    assert subjects(board) == ["ada", "ben"]


# Processes


def test_processes_that_post_and_claim_at_once_lose_nothing_and_share_no_id(
    children: Children, folder: Folder, board_of: BoardOf
) -> None:
    processes = [children.begin("post_and_claim", folder.path, name, 50) for name in "abcdefgh"]
    lines: list[str] = []
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert err == ""
        lines += out.splitlines()

    board = board_of(folder)
    claimed = words_after(lines, "claimed") + board.claim("sitecore", 10_000)
    told = [f"{name}-{number}" for name in "abcdefgh" for number in range(50)]
    assert sorted(claimed) == sorted(told)
    assert sorted(subjects(board)) == sorted(told)
    for name in "abcdefgh":
        assert [subject for subject in subjects(board) if subject[0] == name] == [f"{name}-{n}" for n in range(50)]


def test_what_was_posted_survives_the_death_of_its_poster(
    children: Children, folder: Folder, board_of: BoardOf
) -> None:
    seed = int(os.environ.get("PASSERBY_SEED", time.time_ns() % 1_000_000))
    print("PASSERBY_SEED =", seed)
    lines = children.run("kill_posters", folder.path, 1_000 if is_long() else 100, seed)

    board = board_of(folder)
    found = Counter(notice.subject for notice in board.after(0, limit=1_000_000))
    claimed = Counter(words_after(lines, "claimed") + board.claim("sitecore", 1_000_000))
    assert set(words_after(lines, "posted")) <= set(found)
    assert max(found.values()) == 1
    assert max(claimed.values()) == 1
    with sqlite3.connect(folder.shared_path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
