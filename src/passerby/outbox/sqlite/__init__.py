"""The store on disk: one SQLite file in a directory, shared by the processes of a host.

Processes take turns under a lock on a separate file; a batch is one transaction in one turn. Whatever SQLite does to
its log it does in a turn. With "FULL" the log is synced after the turn, outside it: the sync covers all commits before
it, since a checkpoint that moved any of them into the file has synced both.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from logging import Logger
from typing import Literal

from ...logs import get_logger
from ..contract import ExchangeBatch, ExchangeResult, Quotas, StorageError
from ..reading import StorePage, StoreQuery
from .claims import ClaimTransaction
from .database import DISK_FULL, CorruptDatabase, checkpoint, connect, give_back_space, never_close, translate
from .directory import PATIENCE, StoreDirectory, WakeSockets, reason_of, sync_file
from .notes import NotesTransaction
from .queue import QueueTransaction
from .reader import read_page
from .requests import RequestTransaction
from .salvage import Salvage
from .state import StoreState

log: Logger = get_logger("passerby.outbox")

Synchronous = Literal["NORMAL", "FULL"]

POLL = 1.0  # seconds, beside the sockets
POLL_WITHOUT_SOCKETS = 0.1
_LOG_SIZE = 8 << 20  # bytes of the log from which a deliverer writes it into the file
_LONGEST_LOG = 12 << 20  # from which any process does
_ENOUGH = 64 << 20  # bytes that are free on a disk that is not full
_LOOK_EVERY = 10  # turns between two looks at the size of the log
_REPLACED_AT_MOST_EVERY = 1.0  # seconds; a disk that spoils everything must not be filled with damaged files
_SEEN_EVERY = 5.0  # seconds between two notes that a process delivers


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
        self._version = 0
        self._turns = 0
        self._replaced = -_REPLACED_AT_MOST_EVERY
        self._salvage: Salvage | None = None
        self._following: Salvage | None = None
        self._is_short_of_space = False
        self._has_looked = False
        self._sockets = WakeSockets(self.directory)

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
                self._disconnect()

    def listen(self, on_stored: Callable[[], None]) -> float:
        """Call a function when another process has stored events. Returns how often to poll beside."""
        with self.directory.turn(self._patience):
            return POLL if self._sockets.listen(on_stored) else POLL_WITHOUT_SOCKETS

    # The exchange.

    def exchange(self, batch: ExchangeBatch) -> ExchangeResult:
        """Apply a batch. See the contract."""
        try:
            with self.directory.turn(self._patience):
                result = self._exchange_in_turn(batch)
            if self._synchronous == "FULL" and (batch.recorded or batch.outcomes or batch.requests):
                self._sync_log()
        except CorruptDatabase as error:
            with self.directory.turn(self._patience):
                self._replace_database(error)
                result = self._exchange_in_turn(batch)
                if self._synchronous == "FULL":
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
        execute = connection.execute
        requests: RequestTransaction | None = None
        try:
            execute("BEGIN IMMEDIATE")
            state = self._load_state(connection, batch.writer)
            result = ExchangeResult(state.number, state.number)
            notes = NotesTransaction(connection, state, result)
            queue = QueueTransaction(connection, state, self._quotas, result, notes)
            claims = ClaimTransaction(connection, state, result, queue)
            requests = RequestTransaction(connection, state, queue, notes) if batch.requests else None
            is_changed = self._apply(connection, batch, result, state, queue, claims, requests)
            if batch.watched:
                notes.watch(batch)
            self._describe(batch, result, state, claims)
            if is_changed:
                result.number = max(state.number, batch.number)
                state.save(result.number, result.answers if batch.number else state.answers)
                execute("COMMIT")
            else:
                execute("ROLLBACK")
            self._state = state
            if self._salvage is not None:
                self._salvage.finish()
                self._salvage = self._following
            has_erased = requests is not None and requests.has_erased
            self._keep_log_short(connection, is_deliverer=bool(batch.wanted), has_erased=has_erased)
        except BaseException as error:
            self._state = None
            if self._salvage is not None:
                self._salvage.restart()
            with suppress(sqlite3.Error):  # some errors end the transaction by themselves
                execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | UnicodeDecodeError):
                raise translate(error) from error
            raise
        return result

    def _load_state(self, connection: sqlite3.Connection, writer: str) -> StoreState:
        """Read the rows of the state, unless no other process has written since they were read."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        state, self._state = self._state, None  # until this transaction is committed
        if state is None or state.writer != writer or version != self._version:
            state = StoreState(connection, writer)
        self._version = version
        state.begin(None if self._clock is None else self._clock())
        return state

    def _apply(
        self,
        connection: sqlite3.Connection,
        batch: ExchangeBatch,
        result: ExchangeResult,
        state: StoreState,
        queue: QueueTransaction,
        claims: ClaimTransaction,
        requests: RequestTransaction | None,
    ) -> bool:
        """Apply a batch. Returns whether anything has changed."""
        token = state.new_token(batch.number)
        is_repeated = bool(batch.number) and state.number >= batch.number
        following = self._salvage.go_on(connection, state) if self._salvage is not None else None
        if batch.outcomes:
            queue.settle(batch.outcomes)
        for extension in batch.extensions:
            queue.extend(extension)
        for report in batch.reports:
            row = state.of(report.destination)
            row.service.report(report, state.now, row.counts.recorded)
        if is_repeated:
            result.answers = state.answers
            result.claimed = claims.claimed_again((request.destination for request in batch.wanted), token)
        else:
            if batch.recorded:
                queue.record(batch.recorded, batch.at)
            for name, reason, number in batch.dropped:
                state.of(name).counts.drop(None, reason, number)
            if requests is not None:
                result.answers = [requests.answer(request) for request in batch.requests]
            if batch.wanted:
                queue.expire()
            for wanted in batch.wanted:
                if not any(claim.is_alone for claim in result.claimed):
                    claims.claim(wanted, token)
        seen, is_changed = state.values["deliverer"], bool(state.touched)
        if batch.wanted and (seen is None or state.now - seen > _SEEN_EVERY):
            state.values["deliverer"] = state.now
            is_changed = True
        has_parts = batch.number and (batch.recorded or batch.dropped or batch.requests)
        self._following = following
        return (
            is_changed
            or self._salvage is not None
            or bool(has_parts or batch.outcomes or batch.extensions or batch.watched)
        )

    def _describe(
        self, batch: ExchangeBatch, result: ExchangeResult, state: StoreState, claims: ClaimTransaction
    ) -> None:
        """Answer with counts, and with what else holds after the batch."""
        if batch.counts or batch.wanted:
            names = list(state.destinations) if batch.counts else [request.destination for request in batch.wanted]
            result.counts = {
                name: state.counts_of(name, claims.next_due(name), suspects=name in claims.suspects) for name in names
            }
        result.is_full = (
            state.values["entries"] >= self._quotas.max_events or state.values["bytes"] >= self._quotas.max_bytes
        )
        seen = state.values["deliverer"]
        result.deliverer_age = None if seen is None else state.now - seen

    # The file.

    def _connect(self) -> sqlite3.Connection:
        """Return the connection to the file that is in place; in a turn."""
        identity = self.directory.identity()
        if self._connection is not None and identity is not None and identity == self._identity:
            return self._connection
        self._disconnect()
        self.directory.make_database()
        self._connection = connect(self.directory)
        if self._on_connect is not None:
            self._on_connect(self._connection)
        self._identity = self.directory.identity()
        self.directory.reserve()
        if not self._has_looked:
            self._has_looked = True
            for path in self.directory.quarantined():
                self._salvage = Salvage(path, self._salvage)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection, self._state = self._connection, None, None
        if connection is not None:
            self._dispose(connection)
        self._forget_file()

    def _forget_file(self) -> None:
        """Let go of what belongs to the file besides the connection."""
        if self._salvage is not None:
            self._salvage.restart()
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _dispose(self, connection: sqlite3.Connection) -> None:
        """Close a connection, unless its file is no longer in place."""
        if self.directory.identity() == self._identity:
            connection.close()
        else:
            never_close(connection)

    def _replace_database(self, error: CorruptDatabase) -> None:
        """Set a damaged file aside, and begin a new one; in a turn. Raises StorageError if that has just been done."""
        if time.monotonic() - self._replaced < _REPLACED_AT_MOST_EVERY:
            raise error
        identity = self.directory.identity()
        if self._connection is not None:
            never_close(self._connection)
        self._forget_file()
        if identity is not None and self._identity in (None, identity):
            aside = self.directory.quarantine()
            self._replaced = time.monotonic()
            log.error("%s; it is kept as %s, its events are read from there", error.reason, aside.name)
            self._salvage = Salvage(aside, self._salvage)
        self._connection = self._identity = self._state = None

    def _keep_log_short(self, connection: sqlite3.Connection, *, is_deliverer: bool, has_erased: bool) -> None:
        """Write the log into the file if it is long; in a turn, as all checkpoints are."""
        self._turns += 1
        if has_erased:
            checkpoint(connection, "TRUNCATE")
        elif self._is_short_of_space:
            with suppress(StorageError):  # the batch is committed; the next one tries again
                checkpoint(connection, "TRUNCATE")
                if self.directory.reserve():
                    self._is_short_of_space = False
        elif self._turns % _LOOK_EVERY == 0:
            size = self.directory.log_size()
            if size > (_LOG_SIZE if is_deliverer else _LONGEST_LOG):
                checkpoint(connection, "RESTART" if size > _LONGEST_LOG * 2 else "PASSIVE")
                give_back_space(connection)

    def _sync_log(self) -> None:
        """Sync the log; outside a turn, so that only those wait for it whose events it covers."""
        try:
            if self._log is None:
                self._log = os.open(f"{self.directory.database}-wal", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._sync(self._log)
        except OSError as error:
            raise StorageError(reason_of(error)) from error

    def read(self, query: StoreQuery) -> StorePage:
        """Return a page of entries, without making others wait."""
        return read_page(self.directory, query, None if self._clock is None else self._clock(), self._patience)
