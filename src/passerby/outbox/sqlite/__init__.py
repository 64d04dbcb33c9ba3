"""The store on disk: one SQLite file in a directory, shared by the processes of a host.

Processes take turns under a lock on a separate file; a batch is one transaction in one turn. Whatever SQLite does to
its log it does in a turn. Outside it, the log is synced: with "FULL" after each batch, which covers all commits before
it, since a checkpoint that moved any of them into the file has synced both; and before each checkpoint, which then
finds little to sync while others wait.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from logging import ERROR, Logger
from typing import Literal

from ...logs import get_logger, log_loss
from ..contract import ExchangeBatch, ExchangeResult, Quotas, StorageError
from ..reading import StoredEntry, StorePage, StoreQuery
from .claims import StoreTransaction
from .database import (
    DISK_FULL,
    PAGE_SIZE,
    CorruptDatabase,
    checkpoint,
    connect,
    empty_log,
    give_back_space,
    never_close,
    reading,
    translate,
    translated,
)
from .directory import PATIENCE, StoreDirectory, WakeSockets, sync_file
from .queue import STATES
from .rows import SLOTS, sayable
from .salvage import Salvage
from .state import StoreState

log: Logger = get_logger("passerby.outbox")

Synchronous = Literal["NORMAL", "FULL"]

POLL = 1.0  # seconds, beside the sockets
POLL_WITHOUT_SOCKETS = 0.1
_PAGES_OF_EACH = 6  # that a transaction writes besides one for each row that it changes
_PACE = 200  # checkpoints take one of so many seconds
_PATIENCE_WITH_ONE = 0.1  # seconds for a process to make its checkpoint
_NO_DELIVERER = 10.0  # seconds after which others make the checkpoints of a deliverer
_ENOUGH = 64 << 20  # bytes that are free on a disk that is not full
_REPLACED_AT_MOST_EVERY = 1.0  # seconds; a disk that spoils everything must not be filled with damaged files

_PAGE = """
SELECT e.seq, e.destination, e.state, v.event_id, v.visitor, v.payload, e.attempts, e.reason, ? - e.since, e.ready - ?
FROM entry e JOIN event v ON v.id = e.seq >> {slots}
WHERE e.seq > ? AND e.state IN ({states}) AND (? IS NULL OR e.destination = ?) AND (? IS NULL OR v.event_id = ?)
ORDER BY e.seq LIMIT ?
"""


class SqliteStore:
    """Keeps events in a SQLite file.

    Args:
        directory: where; passerby makes a sub-directory of its own in it.
        synchronous: "NORMAL" survives the death of the process, "FULL" a power cut too.
        quotas: how much it keeps.
        clock: the store's clock, in seconds; by default one that no change of the clock touches.
        sync: syncs a file, given by its descriptor.
        patience: seconds to wait for a turn.
        on_connect: called with each new connection, to count what it does.
    """

    is_durable: bool = True

    def __init__(
        self,
        directory: str | os.PathLike[str],
        synchronous: Synchronous = "NORMAL",
        quotas: Quotas | None = None,
        clock: Callable[[], float] | None = None,
        sync: Callable[[int], None] = sync_file,
        patience: float = PATIENCE,
        on_connect: Callable[[sqlite3.Connection], object] | None = None,
    ) -> None:
        self.directory: StoreDirectory = StoreDirectory(directory)
        self._synchronous: Synchronous = synchronous
        self._quotas: Quotas = quotas or Quotas()
        self._clock = clock
        self._sync = sync
        self._patience = patience
        self._on_connect = on_connect
        self._reset()

    def _reset(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._log: int | None = None
        self._state: StoreState | None = None
        self._version: int = 0
        self._changes: int = 0
        self._replaced = -_REPLACED_AT_MOST_EVERY
        self._salvages: list[Salvage] | None = None
        self._is_short_of_space = self._is_checkpoint_due = self._has_erased = False
        self._pause = 0.0  # seconds between checkpoints
        self._sockets = WakeSockets(self.directory.path)

    def reset_after_fork(self) -> None:
        """In a forked child: use nothing of the parent's, and close nothing of it."""
        if self._connection is not None:
            never_close(self._connection)
        self.directory.reset_after_fork()
        self._reset()

    def close(self) -> None:
        """Close the files, in a turn; the next exchange opens them again."""
        self._sockets.close()
        if self._connection is not None:
            with suppress(StorageError), self.directory.turn(self._patience):
                self._let_go()

    def listen(self, on_stored: Callable[[], None]) -> float:
        """Call a function when another process has stored events. Returns how often to poll beside."""
        with self.directory.turn(self._patience):
            return POLL if self._sockets.listen(on_stored) else POLL_WITHOUT_SOCKETS

    def read(self, query: StoreQuery) -> StorePage:
        """Return a page of entries, outside of turns and without making others wait."""
        if self.directory.identity() is None:
            return StorePage((), None)
        with reading(self.directory, self._patience) as connection:
            state = StoreState(connection, "")
            state.begin(None if self._clock is None else self._clock())
            numbers: dict[str | None, int | None] = {None: None}
            numbers |= {name: row.number for name, row in state.destinations.items()}
            if query.destination not in numbers:
                return StorePage((), None)
            number, event_id = numbers[query.destination], query.event_id
            values = state.now, state.now, query.after, number, number, event_id, event_id, query.limit + 1
            states = ", ".join(str(STATES.index(each)) for each in query.states)
            found = connection.execute(_PAGE.format(slots=SLOTS, states=states), values).fetchall()
        page = found[: query.limit]
        entries = [
            StoredEntry(state.name_of(number) or "", STATES[int(kind)], *rest) for _, number, kind, *rest in page
        ]
        return StorePage(tuple(entries), page[-1][0] if len(found) > query.limit else None)

    # The exchange.

    def exchange(self, batch: ExchangeBatch) -> ExchangeResult:
        """Apply a batch. See the contract."""
        must_be_kept = self._synchronous == "FULL" and bool(batch.recorded or batch.outcomes or batch.requests)
        try:
            with self.directory.turn(self._patience):
                try:
                    result = self._exchange_in_turn(batch)
                except UnicodeEncodeError:
                    batch = sayable(batch)
                    result = self._exchange_in_turn(batch)
            if must_be_kept or self._is_checkpoint_due:
                self._sync_log()
        except CorruptDatabase as error:
            with self.directory.turn(self._patience):
                self._replace_database(error)
                result = self._exchange_in_turn(batch)
                if must_be_kept:
                    checkpoint(self._connect(), "FULL")
        if batch.recorded or batch.requests:
            self._sockets.wake()
        return result

    def _exchange_in_turn(self, batch: ExchangeBatch) -> ExchangeResult:
        if self._is_short_of_space and batch.recorded and not self.directory.has_space():
            raise StorageError(DISK_FULL)  # what was reserved is for outcomes
        try:
            return self._transact(batch)
        except StorageError as error:
            if error.reason != DISK_FULL:
                raise
            if self.directory.has_space(_ENOUGH):
                raise CorruptDatabase("database damaged (says that the disk is full)") from error
            # A disk that is full must not keep events from being delivered and removed.
            self._is_short_of_space = True
            if not self.directory.release_reserve() or batch.recorded:
                raise
            checkpoint(self._connect(), "TRUNCATE")
            return self._transact(batch)

    def _transact(self, batch: ExchangeBatch) -> ExchangeResult:
        connection = self._connect()
        salvage = self._salvages[-1] if self._salvages else None
        try:
            is_log_moved = self._is_checkpoint_due and self._move_log(connection)
            connection.execute("BEGIN IMMEDIATE")
            state = self._load_state(connection, batch.writer)
            result = ExchangeResult(state.number, state.number)
            is_salvaged = salvage is not None and salvage.go_on(connection, state)
            transaction = StoreTransaction(connection, state, self._quotas, result)
            transaction.apply(batch)
            for each in self._salvages or ():
                each.skip(transaction.delivered_late)
            has_parts = batch.number and (batch.recorded or batch.dropped or batch.requests)
            is_changed = has_parts or state.is_touched or connection.total_changes != self._changes
            if is_changed or salvage is not None or is_log_moved:
                result.number = max(state.number, batch.number)
                self._measure_log(connection, state, batch, is_empty=is_log_moved)
                state.save(result.number, result.answers if batch.number else state.answers)
                connection.execute("COMMIT")
            else:
                connection.execute("ROLLBACK")
            self._state = state
            if is_salvaged and self._salvages:
                self._salvages.pop().finish()
            result.goes_on = bool(self._salvages)
            self._has_erased |= transaction.has_erased
            if self._has_erased:
                self._has_erased = not empty_log(connection)
            elif self._is_short_of_space:
                with suppress(StorageError):  # the batch is committed; the next one tries again
                    checkpoint(connection, "TRUNCATE")
                    self._is_short_of_space = not self.directory.reserve()
        except BaseException as error:
            self._state = None
            if salvage is not None:
                salvage.restart()
            with suppress(sqlite3.Error):  # some errors end the transaction by themselves
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | UnicodeDecodeError):
                raise translate(error) from error
            raise
        return result

    def _load_state(self, connection: sqlite3.Connection, writer: str) -> StoreState:
        """Read the rows of the state, unless no other process has written since they were read."""
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        state, self._state = self._state, None  # until this transaction is committed
        if state is None or state.writer != writer or version != self._version:
            state = StoreState(connection, writer)
        self._version, self._changes = version, connection.total_changes
        state.begin(None if self._clock is None else self._clock())
        return state

    # The log.

    def _measure_log(
        self, connection: sqlite3.Connection, state: StoreState, batch: ExchangeBatch, *, is_empty: bool
    ) -> None:
        """Count what is in the log, never less than there is; note when that is to go into the file."""
        values, now = state.values, state.now
        size = (connection.total_changes - self._changes + _PAGES_OF_EACH) * PAGE_SIZE
        size += sum(len(event.payload) for event in batch.recorded)
        values["log"] = size if is_empty else values["log"] + size
        is_ours = bool(batch.wanted) or state.deliverer_age is None or state.deliverer_age > _NO_DELIVERER
        longest = self.directory.longest_log  # half of it is worth a checkpoint
        if values["log"] > (longest // 2 if is_ours and now >= values["checkpoint"] else longest):
            values["checkpoint"] = now + max(self._pause, _PATIENCE_WITH_ONE)  # no other process tries meanwhile
            self._is_checkpoint_due = True

    def _move_log(self, connection: sqlite3.Connection) -> bool:
        """Write the log into the file, so seldom that others hardly wait for it. It was synced before this turn."""
        self._is_checkpoint_due = False
        began = time.monotonic()
        if checkpoint(connection) * PAGE_SIZE > 2 * self.directory.longest_log:
            checkpoint(connection, "RESTART")  # a reader holds it up
        give_back_space(connection)
        self._pause = _PACE * (time.monotonic() - began)
        return True

    def _sync_log(self) -> None:
        """Sync the log; outside a turn, so that only those wait for it whose events it covers."""
        with translated():
            if self._log is None:
                self._log = os.open(f"{self.directory.database}-wal", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._sync(self._log)

    # The file.

    def _connect(self) -> sqlite3.Connection:
        """Return the connection to the file that is in place; in a turn."""
        identity = self.directory.identity()
        if self._connection is not None and identity is not None and identity == self._identity:
            return self._connection
        self._let_go()
        self.directory.make_database()
        self._connection = connect(self.directory)
        if self._on_connect is not None:
            self._on_connect(self._connection)
        self._identity = self.directory.identity()
        self.directory.reserve()
        if self._salvages is None:
            self._salvages = [Salvage(path) for path in self.directory.unsalvaged()]
        return self._connection

    def _let_go(self) -> None:
        """Close the connection if its file is still in place, and what else belongs to it; in a turn."""
        connection, self._connection, self._state = self._connection, None, None
        if connection is not None and self.directory.identity() == self._identity:
            connection.close()
        elif connection is not None:
            never_close(connection)
        for salvage in self._salvages or ():
            salvage.restart()
        if self._log is not None:
            os.close(self._log)
            self._log = None
        self._identity, self._is_checkpoint_due = None, False

    def _replace_database(self, error: CorruptDatabase) -> None:
        """Quarantine a damaged file, and begin a new one; in a turn. Raises StorageError if that has just been done."""
        if time.monotonic() - self._replaced < _REPLACED_AT_MOST_EVERY:
            raise error
        identity = self.directory.identity()
        if identity is not None and self._identity in (None, identity):
            aside = self.directory.quarantine()
            self._replaced = time.monotonic()
            words = "%s; it is kept as %s, its events are read from there"
            log_loss(log, words, error.reason, aside.name, level=ERROR)
            if self._salvages is not None:  # else `_connect` finds it
                self._salvages.append(Salvage(aside))
        self._let_go()
