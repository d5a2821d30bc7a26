"""How a group of batches is committed to an SQLite store: together, and only those fail that must."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path

from flujo.errors import FlujoError, StoreError, StoreUnavailable
from flujo.journal.ledger import Shortfall
from flujo.journal.rules import Answers, Fence, Submission
from flujo.journal.scripts import queries
from flujo.journal.sqlite_file import is_busy, store_error
from flujo.journal.sqlite_ledger import keep
from flujo.journal.store import Batch, Committed, StatusChange

# SQLite gives up and takes back the interpreter's lock at each statement: one that inserts many rows
# does not hand it to a busy event loop at every row.
ROWS = 32

# After how many commits the log is moved into the database, which costs two more syncs.
LOG_COMMITS = 128
# After how many it is given so much room, which costs three milliseconds; few processes have as many.
ROOM_COMMITS = 16
ROOM_BYTES = 1 << 20

# What a value that no column can hold raises, by its kind and the version of Python.
_UNSTORABLE = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
)


class Committer:
    """The connection that writes to a store, used by one thread at a time.

    Args:
        path: The file.
        connect: Opens it.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # which one the connection writes to
        self._busy_timeout = self._waits = 0
        self._commits = 0  # since the log was last looked after
        self._has_room = False
        self._fence = Fence()
        self._sql = sql = queries("sqlite")
        self._append = sql["append_events"]
        self._append_rows = self._append + f", {self._append[self._append.rindex('(') :]}" * (ROWS - 1)
        self._last_seq = sql["last_seq"]
        self._create_run = sql["create_run"]
        self._change_run = sql["change_run"]
        self._keep_payload = sql["keep_payload"]
        self._keep_cached = sql["keep_cached"]
        self._enqueue = sql["enqueue"]
        self._keep_signal = sql["keep_signal"]
        self._receive_signal = sql["receive_signal"]

    def commit(self, group: list[Submission]) -> Answers:
        """Write a group in one transaction; return what is to be told, of those that are told something."""
        try:
            connection = self._connection or self._opened()
            if standing(self._path) != self._file:  # SQLite would write on, where nobody reads
                raise displaced(self._path)
            self._wait_for_others(connection, self._busy_timeout)
            return self._committed(connection, group)
        except sqlite3.Error as error:
            return self._fail(group, store_error(error, self._path), error)
        except StoreError as error:
            return self._fail(group, error, error.__cause__)

    def commit_at_once(self, group: list[Submission]) -> Answers | None:
        """Write a group as :meth:`commit` does; None if the file is not open, or not free to write to."""
        connection = self._connection
        if connection is None or standing(self._path) != self._file:
            return None
        try:
            self._wait_for_others(connection, 0)
            return self._committed(connection, group)
        except sqlite3.Error as error:
            if not is_busy(error):
                return self._fail(group, store_error(error, self._path), error)
            return None
        finally:  # also after an interrupt: it may come in the thread that does everything else, too
            if self._connection is not None:
                self._roll_back(connection)

    @property
    def wants_care(self) -> bool:
        """Whether so much was written that the log is to be looked after."""
        return self._commits >= (LOG_COMMITS if self._has_room else ROOM_COMMITS)

    def care(self) -> None:
        """Move the log into the database, so that what comes next is written over it.

        On common file systems a commit that makes the log longer costs twice as much as one that does not,
        since the new length is synced by itself. So the log is made long at once, before the first time.
        """
        self._commits = 0
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.Error):  # nothing is lost: the log keeps what could not be moved
                if not self._has_room:
                    self._has_room = True
                    self._make_room(connection)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Have a transaction change more than its cache holds: the log takes it, and it is void."""
        (cache,) = connection.execute("PRAGMA cache_size").fetchone()
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(self._keep_payload, (b"", bytes(ROOM_BYTES)))
        finally:
            self._roll_back(connection)
            connection.execute(f"PRAGMA cache_size = {cache}")

    def release(self) -> None:
        """Close the file; it is opened again when there is something to write."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _opened(self) -> sqlite3.Connection:
        connection = self._connection = self._connect()
        self._file = standing(self._path)
        self._busy_timeout = self._waits = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        return connection

    def _wait_for_others(self, connection: sqlite3.Connection, milliseconds: int) -> None:
        if self._waits != milliseconds:
            connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self._waits = milliseconds

    def _committed(self, connection: sqlite3.Connection, group: list[Submission]) -> Answers:
        try:
            answers = self._commit_together(connection, group)
        except (sqlite3.IntegrityError, *_UNSTORABLE):
            self._roll_back(connection)
            answers = self._commit_apart(connection, group)
        self._commits += 1
        return answers

    def _commit_together(self, connection: sqlite3.Connection, group: list[Submission]) -> Answers:
        """Write all that continues its run; fail as a whole if the file knows better."""
        answers: Answers = {}
        batches: list[Batch] = []
        futures: list[Committed] = []
        fence, ends = self._fence, dict[str, int]()
        for batch, future in group:
            if not fence.follows(batch, ends):
                error = self._refusal(connection, batch, ends)
                if error is not None:
                    answers[future] = error
                    continue
            batches.append(batch)
            futures.append(future)
            if batch.events:
                ends[batch.run_id] = batch.events[-1].seq
        if len(batches) == 1 and len(batches[0].events) == 1 and not any(batches[0][3:]):
            connection.execute(self._append, batches[0].events[0])  # a statement alone is a transaction
            fence.written(batches)
        elif batches:
            connection.execute("BEGIN IMMEDIATE")
            missing = self._write(connection, batches)
            connection.execute("COMMIT")
            answers.update((futures[place], short) for place, short in missing.items())
            fence.written(batches)
        return answers

    def _commit_apart(self, connection: sqlite3.Connection, group: list[Submission]) -> Answers:
        """Write batch by batch, still in one transaction, so that only those fail that must."""
        answers: Answers = {}
        batches: list[Batch] = []
        connection.execute("BEGIN IMMEDIATE")
        for batch, future in group:
            error = self._refusal(connection, batch, {})
            if error is None:
                connection.execute("SAVEPOINT batch")
                try:
                    missing = self._write(connection, [batch])
                    if missing:
                        answers[future] = missing[0]
                except (sqlite3.IntegrityError, *_UNSTORABLE) as reason:
                    error = self._fence.unstorable(batch, reason)
                if error is not None:
                    connection.execute("ROLLBACK TO batch")
                connection.execute("RELEASE batch")
            if error is None:
                batches.append(batch)
            else:
                answers[future] = error
        connection.execute("COMMIT")
        self._fence.written(batches)
        return answers

    def _refusal(
        self, connection: sqlite3.Connection, batch: Batch, ends: dict[str, int]
    ) -> FlujoError | None:
        """Tell why a batch cannot continue its run; ``ends`` names events about to be written."""
        stored = ends.get(batch.run_id)
        if batch.events and stored != batch.events[0].seq - 1:
            stored = connection.execute(self._last_seq, (batch.run_id,)).fetchone()[0]
        return self._fence.refusal(batch, stored or 0)

    def _write(
        self, connection: sqlite3.Connection, batches: list[Batch]
    ) -> dict[int, tuple[Shortfall, ...]]:
        """Write batches; return what was missing for reservations, by the place of the batch that asked."""
        events = list(chain.from_iterable([batch.events for batch in batches]))
        rest = 0
        while len(events) - rest >= ROWS:
            connection.execute(self._append_rows, list(chain.from_iterable(events[rest : rest + ROWS])))
            rest += ROWS
        connection.executemany(self._append, events[rest:])
        missing: dict[int, tuple[Shortfall, ...]] = {}
        for place, batch in enumerate(batches):
            if batch.change is not None:
                self._change(connection, batch.change, batch)
            if batch.payloads:
                connection.executemany(self._keep_payload, batch.payloads)
            if batch.cache:
                connection.executemany(self._keep_cached, batch.cache)
            if batch.jobs or batch.signals or batch.received:
                connection.executemany(self._enqueue, batch.jobs)
                connection.executemany(self._keep_signal, batch.signals)
                connection.executemany(self._receive_signal, [(received,) for received in batch.received])
            if batch.ledger and (short := keep(connection, self._sql, batch)):
                missing[place] = short
        return missing

    def _change(self, connection: sqlite3.Connection, change: StatusChange, batch: Batch) -> None:
        first, last = batch.events[0], batch.events[-1]
        if first.seq == 1:
            connection.execute(
                self._create_run,
                (
                    batch.run_id,
                    change.pipeline,
                    change.fingerprint,
                    change.status,
                    change.owner,
                    first.at,
                    last.at,
                    last.seq,
                    last.hash,
                ),
            )
        else:
            values = (change.status, change.owner, last.at, last.seq, last.hash, batch.run_id)
            if connection.execute(self._change_run, values).rowcount != 1:
                raise sqlite3.IntegrityError("the run has no record to change")

    def _fail(self, group: list[Submission], error: StoreError, cause: BaseException | None) -> Answers:
        """Undo the transaction; what was asked of it is not done, and may be asked again."""
        if self._connection is not None:
            try:
                self._roll_back(self._connection)
            except sqlite3.Error:
                self.release()  # a connection that cannot roll back is not used again
        return self._fence.failed(group, error, cause)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def standing(path: Path) -> tuple[int, int] | None:
    """Return which file a path leads to, whatever its name; None where it leads to none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def displaced(path: Path) -> StoreUnavailable:
    """Return what is told to who works with a file that its path no longer leads to."""
    return StoreUnavailable(
        f"{path} was removed, moved or replaced while it was in use",
        fix="put it back, or start the process anew to use what is there now; then resume the run",
    )
