"""The one thread that writes to an SQLite store: what queues during one commit shares the next."""

import atexit
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from flujo.errors import FlujoError, StoreError, StoreUnavailable
from flujo.journal.ledger import Shortfall
from flujo.journal.rules import Answers, Fence, Submission, tell
from flujo.journal.scripts import queries
from flujo.journal.sqlite_file import store_error
from flujo.journal.sqlite_ledger import keep
from flujo.journal.store import Batch, Committed, StatusChange

# Moving the log into the database costs two more syncs: it is done when nothing else is, and when it pays.
IDLE_SECONDS = 1.0
IDLE_COMMITS = 256
# How long the end of the interpreter waits for a commit, should its store not have been closed.
EXIT_SECONDS = 10.0
# SQLite gives up and takes back the interpreter's lock at each statement: one that inserts many rows
# does not hand it to a busy event loop at every row.
ROWS = 32

# What a value that no column can hold raises, by its kind and the version of Python.
_UNSTORABLE = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
)


class Writer:
    """Commits submissions in their order, from any thread and event loop, on a thread of its own.

    The thread is a daemon: a process that forgets to close its store still ends.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._queue: SimpleQueue[Submission | None] = SimpleQueue()
        self._finished = False
        self._commits = 0  # since the last checkpoint
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
        _at_work.add(self)
        self._thread = Thread(target=self._work, name=f"flujo-writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Queue a batch."""
        self._queue.put(submission)
        if self._finished:
            self._abandon([])

    def finish(self) -> None:
        """Let the thread commit what is queued, release the file, and end."""
        self._queue.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _work(self) -> None:
        group: list[Submission] = []
        more = True
        try:
            while more:
                group, more = self._next_group()
                self._commit(group)
                group = []  # they are told: an idle writer holds on to nothing
        finally:
            self._finished = True
            self._abandon(group)
            self._release()
            _at_work.discard(self)

    def _next_group(self) -> tuple[list[Submission], bool]:
        """Wait for submissions; return all that are queued, and whether more may come."""
        queue = self._queue
        while True:
            try:
                first = queue.get(timeout=IDLE_SECONDS) if self._commits >= IDLE_COMMITS else queue.get()
            except Empty:
                self._checkpoint()
                continue
            queued = [first, *(queue.get() for _ in range(queue.qsize()))]
            group = [submission for submission in queued if submission is not None]
            return group, len(group) == len(queued)

    def _commit(self, group: list[Submission]) -> None:
        """Write a group in one transaction, and tell everybody who waits for it."""
        if not group:
            return
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._connect()
            try:
                answers = self._commit_together(connection, group)
            except (sqlite3.IntegrityError, *_UNSTORABLE):
                self._roll_back(connection)
                answers = self._commit_apart(connection, group)
        except sqlite3.Error as error:
            answers = self._fail(group, store_error(error, self._path), error)
        except StoreError as error:
            answers = self._fail(group, error, error.__cause__)
        self._commits += 1
        tell([future for _, future in group], answers)

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
                self._release()  # a connection that cannot roll back is not used again
        return self._fence.failed(group, error, cause)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _checkpoint(self) -> None:
        self._commits = 0
        if self._connection is not None:
            with suppress(sqlite3.Error):  # nothing is lost: the log keeps what could not be moved
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _abandon(self, group: list[Submission]) -> None:
        """Refuse what will not be written: the group in hand, and what was queued too late."""
        with suppress(Empty):
            while True:
                late = self._queue.get_nowait()
                if late is not None:
                    group.append(late)
        tell([future for _, future in group], {future: closed(self._path) for _, future in group})


# Writers whose thread has not ended.
_at_work: set[Writer] = set()


@atexit.register
def _finish_all() -> None:
    """Commit what is queued when the interpreter ends before its stores were closed."""
    writers = list(_at_work)
    for writer in writers:
        writer.finish()
    for writer in writers:
        writer.join(EXIT_SECONDS)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_at_work.clear)  # the threads stay with the parent


def closed(path: Path) -> StoreUnavailable:
    """Return what the user of a closed store is told."""
    return StoreUnavailable(f"the store at {path} is closed", fix="use a new store, or close it later")
