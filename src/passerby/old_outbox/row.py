"""A row of the file, and the statements that write and read many of them in one step.

Each step of SQLite lets other threads run, and waits for its turn again: with a statement per row, a batch would take
seconds while the app computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from ..values.json import loads

State = Literal["waiting", "held", "dead"]
T = TypeVar("T")

BEGINNING, BEYOND = -(2**63), 2**63 - 1  # places that no entry has: before all, and behind all

CREATE = """
CREATE TABLE entry (
    place INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    event_id TEXT NOT NULL,
    visitor TEXT NOT NULL,
    linked TEXT,
    told_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL,
    wait REAL NOT NULL,
    reason TEXT,
    body BLOB NOT NULL
);
CREATE INDEX unlinked ON entry (visitor) WHERE linked = '';
CREATE TABLE heard (poster TEXT NOT NULL, number INTEGER NOT NULL);
INSERT INTO heard VALUES ('', 0);
"""
HEARD = "SELECT poster, number FROM heard"
HEAR = "UPDATE heard SET poster = ?, number = ?"
LINK = "UPDATE entry SET linked = ? WHERE visitor = ? AND linked = ''"
PAGE = "SELECT * FROM entry WHERE place > ? AND destination = ? AND state = 'waiting' ORDER BY place LIMIT ?"
AFTER = "SELECT * FROM entry WHERE place > ? ORDER BY place LIMIT ?"
END_OF_SLICE = "SELECT max(place), count(*) FROM (SELECT place FROM entry WHERE place > ? ORDER BY place LIMIT ?)"
SLICE = "SELECT * FROM entry WHERE place > ? AND place <= ? AND "
OF_PERSON = "(visitor = ? OR linked = ? OR instr(body, ?)) ORDER BY place"  # the user ID is in the body only
DEAD = "state = 'dead' ORDER BY place"
LATER = "state = 'waiting' AND due > 0 ORDER BY place"
BEFORE = "SELECT * FROM entry WHERE place > ? AND place < ? ORDER BY place DESC LIMIT 1"

# SQLite would write 15 digits of a number; with 17 it is the same one again.
_AS_JSON = """
SELECT json_group_array(json_array(
    place, destination, state, event_id, visitor, linked, printf('%!.17g', told_at), attempts,
    printf('%!.17g', due), printf('%!.17g', wait), reason, CAST(body AS TEXT)
)) FROM ({})
"""


class Row(NamedTuple):
    """One entry as it is on disk.

    Attributes:
        place: where it stands in the order.
        destination: whose it is.
        state: "waiting", "held" or "dead".
        event_id: the event's.
        visitor: the event's.
        linked: the browser ID that was found for it; "" as long as there is none; None if it came with its own.
        told_at: when it was told, in seconds since 1970.
        attempts: how often it was tried.
        due: when it is to be tried again, in seconds since 1970; 0 at once. Of a dead one: when it died.
        wait: how many seconds before that this was decided.
        reason: why it was not taken the last time.
        body: the event.
    """

    place: int
    destination: str
    state: State
    event_id: str
    visitor: str
    linked: str | None
    told_at: float
    attempts: int
    due: float
    wait: float
    reason: str | None
    body: bytes


class Heard(NamedTuple):
    """What the process of a file had heard of the others when it wrote it the last time.

    Attributes:
        poster: under which name it posted notices itself; it had done what they say by then.
        number: up to which number it had done what the others' notices say.
    """

    poster: str = ""
    number: int = 0


class Change(NamedTuple):
    """What is new about an entry that is on disk at the place `row`."""

    place: int
    state: State
    attempts: int
    due: float
    wait: float
    reason: str | None
    told_at: float
    row: int


def well_formed(text: str) -> str:
    """Replace what UTF-8 cannot say: one such text must not keep all others from being written."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


_NUMBER = (float, int)
_REASON = (str, type(None))
_KINDS: tuple[type | tuple[type, ...], ...] = (
    int,
    str,
    str,
    str,
    str,
    _REASON,
    _NUMBER,
    int,
    _NUMBER,
    _NUMBER,
    _REASON,
    bytes,
)  # of the fields of a Row


def insert(number: int) -> str:
    """Return the statement that takes the values of so many rows."""
    return f"INSERT INTO entry VALUES {_values(len(Row._fields), number)}"  # noqa: S608 - of question marks


def update(number: int) -> str:
    """Return the statement that takes the values of so many changes."""
    return (
        f"WITH changed ({', '.join(Change._fields)}) AS (VALUES {_values(len(Change._fields), number)}) "  # noqa: S608
        "UPDATE entry SET place = changed.place, state = changed.state, attempts = changed.attempts, "
        "due = changed.due, wait = changed.wait, reason = changed.reason, told_at = changed.told_at "
        "FROM changed WHERE entry.place = changed.row"
    )


UPDATE_ONE = (
    "UPDATE entry SET place = ?, state = ?, attempts = ?, due = ?, wait = ?, reason = ?, told_at = ? WHERE place = ?"
)


def delete(number: int) -> str:
    """Return the statement that takes so many places."""
    return f"DELETE FROM entry WHERE place IN {_values(number, 1)}"  # noqa: S608 - of question marks


def hurry(number: int) -> str:
    """Return the statement that makes what is at so many places due at once."""
    return f"UPDATE entry SET due = 0, wait = 0 WHERE place IN {_values(number, 1)}"  # noqa: S608 - of question marks


def select(number: int) -> str:
    """Return the query that takes so many places, and how many entries are wanted at the most."""
    return f"SELECT * FROM entry WHERE place IN {_values(number, 1)} ORDER BY place LIMIT ?"  # noqa: S608 - of question marks


def parts(values: Sequence[T], largest: int) -> Iterator[Sequence[T]]:
    """Cut values into parts of few different sizes, so that few statements have to be prepared."""
    begun = 0
    while left := len(values) - begun:
        size = next((size for size in (512, 64, 16) if size <= min(left, largest)), left)
        yield values[begun : begun + size]
        begun += size


def sizes(query: str) -> str:
    """Return the query that gives how many bytes the events of another have, as one text."""
    return f"SELECT group_concat(size) FROM ({query.replace('*', 'length(body) AS size', 1)})"  # noqa: S608


def as_json(query: str) -> str:
    """Return the query that gives all rows of another as one text."""
    return _AS_JSON.format(query)


def read_json(text: bytes) -> list[Row]:
    """Read such a text; raises ValueError."""
    found: list[Row] = []
    for row in loads(text):
        row[6], row[8], row[9] = float(row[6]), float(row[8]), float(row[9])
        if not isinstance(row[11], str):
            raise ValueError("a damaged row")
        row[11] = row[11].encode()
        found.append(_checked(row))
    return found


def read_row(values: Sequence[Any]) -> Row:
    """Read a row whose texts are bytes, of which some may be damaged; raises ValueError if it is not a row at all."""
    *others, body = values
    read: list[Any] = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in others]
    read.append(body)
    return _checked(read)


def _checked(values: Sequence[Any]) -> Row:
    if not all(isinstance(one, kinds) for one, kinds in zip(values, _KINDS, strict=True)):
        raise ValueError("a damaged row")
    return Row(*values)


def _values(columns: int, rows: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return ", ".join([one] * rows)
