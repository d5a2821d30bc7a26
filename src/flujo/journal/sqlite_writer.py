"""The one thread that writes to an SQLite store: what queues during one commit shares the next."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from flujo.errors import FlujoError, StoreError, StoreUnavailable
from flujo.journal.rules import created, taken
from flujo.journal.sqlite_file import queries, store_error
from flujo.journal.store import Batch

IDLE_SECONDS = 1.0
IDLE_COMMITS = 256
_UNSTORABLE = (sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, ValueError, OverflowError)


class Submission(NamedTuple):
    """A batch that waits for its commit, and the future that waits for it."""

    batch: Batch
    future: asyncio.Future[None]


class Answer(NamedTuple):
    """What a submission's future is told: an error, or None when it is committed."""

    future: asyncio.Future[None]
    error: FlujoError | None


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
        self._last: dict[str, int] = {}  # where each run ends that this store wrote to
        self._refused: set[str] = set()
        self._failed: dict[str, FlujoError] = {}  # tokens whose later batches wait for an earlier one
        sql = queries()
        self._append = sql["append_events"]
        self._last_seq = sql["last_seq"]
        self._create_run = sql["create_run"]
        self._change_run = sql["change_run"]
        self._keep_payload = sql["keep_payload"]
        self._keep_cached = sql["keep_cached"]
        self._thread = Thread(target=self._work, name=f"flujo-writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Queue a batch."""
        self._queue.put(submission)
        if self._finished:
            self._abandon()

    def finish(self) -> None:
        """Let the thread commit what is queued, release the file, and end."""
        self._queue.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _work(self) -> None:
        queue = self._queue
        try:
            while True:
                try:
                    first = queue.get(timeout=IDLE_SECONDS) if self._commits >= IDLE_COMMITS else queue.get()
                except Empty:
                    self._checkpoint()
                    continue
                group: list[Submission] = []
                while first is not None:
                    group.append(first)
                    if queue.empty():
                        break
                    first = queue.get()
                if group:
                    self._commit(group)
                if first is None:
                    return
        finally:
            self._finished = True
            self._abandon()
            self._release()

    def _commit(self, group: list[Submission]) -> None:
        """Write a group in one transaction, and tell everybody who waits for it."""
        answers: list[Answer] = []
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._connect()
            try:
                self._commit_together(connection, group, answers)
            except (sqlite3.IntegrityError, *_UNSTORABLE):
                self._roll_back(connection)
                answers.clear()
                self._commit_apart(connection, group, answers)
        except sqlite3.Error as error:
            answers = self._fail(group, store_error(error, self._path), error)
        except StoreError as error:
            answers = self._fail(group, error, error.__cause__)
        self._commits += 1
        _tell(answers)

    def _commit_together(
        self, connection: sqlite3.Connection, group: Sequence[Submission], answers: list[Answer]
    ) -> None:
        ends: dict[str, int] = {}
        batches: list[Batch] = []
        for batch, future in group:
            error = self._refusal(connection, batch, ends) if self._doubtful(batch, ends) else None
            answers.append(Answer(future, error))
            if error is None:
                batches.append(batch)
                if batch.events:
                    ends[batch.run_id] = batch.events[-1].seq
        if batches:
            connection.execute("BEGIN IMMEDIATE")
            self._write(connection, batches)
            connection.execute("COMMIT")
            self._remember(batches)

    def _commit_apart(
        self, connection: sqlite3.Connection, group: Sequence[Submission], answers: list[Answer]
    ) -> None:
        """Write a group batch by batch in one transaction, so that only those fail that must."""
        batches: list[Batch] = []
        connection.execute("BEGIN IMMEDIATE")
        for batch, future in group:
            self._last.pop(batch.run_id, None)
            error = self._refusal(connection, batch, {})
            if error is None:
                connection.execute("SAVEPOINT batch")
                try:
                    self._write(connection, (batch,))
                except sqlite3.IntegrityError:
                    connection.execute("ROLLBACK TO batch")
                    error = self._refuse(batch)
                except _UNSTORABLE as reason:
                    connection.execute("ROLLBACK TO batch")
                    error = StoreError(f"a batch of run {batch.run_id!r} cannot be stored: {reason}")
                    self._failed[batch.token] = error
                else:
                    batches.append(batch)
                connection.execute("RELEASE batch")
            answers.append(Answer(future, error))
        connection.execute("COMMIT")
        self._remember(batches)

    def _doubtful(self, batch: Batch, ends: dict[str, int]) -> bool:
        """Tell, without a look into the file, whether a batch may not continue its run."""
        if batch.token in self._refused:
            return True
        if not batch.events:
            return False
        end = ends.get(batch.run_id)
        if end is None:
            end = self._last.get(batch.run_id, 0)  # a new run: the primary key knows better
        return batch.events[0].seq != end + 1

    def _refusal(
        self, connection: sqlite3.Connection, batch: Batch, ends: dict[str, int]
    ) -> FlujoError | None:
        if batch.token in self._refused:
            return taken(batch)
        if batch.events:
            before = batch.events[0].seq - 1
            if ends.get(batch.run_id) != before and self._stored(connection, batch.run_id) != before:
                failed = self._failed.get(batch.token)
                return _again(failed) if failed is not None else self._refuse(batch)
        return None

    def _refuse(self, batch: Batch) -> FlujoError:
        self._refused.add(batch.token)
        return taken(batch)

    def _stored(self, connection: sqlite3.Connection, run_id: str) -> int:
        seq: int = connection.execute(self._last_seq, (run_id,)).fetchone()[0]
        return seq

    def _write(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
        if len(batches) == 1 and len(batches[0].events) == 1:
            connection.execute(self._append, batches[0].events[0])
        else:
            connection.executemany(self._append, chain.from_iterable(batch.events for batch in batches))
        for batch in batches:
            if batch.change is not None:
                self._change(connection, batch)
            if batch.payloads:
                connection.executemany(self._keep_payload, batch.payloads)
            if batch.cache:
                connection.executemany(self._keep_cached, batch.cache)

    def _change(self, connection: sqlite3.Connection, batch: Batch) -> None:
        change, last = batch.change, batch.events[-1]
        if change is None:
            return
        if batch.events[0].seq == 1:
            record = created(batch)
            connection.execute(
                self._create_run,
                (
                    record.run_id,
                    record.pipeline,
                    record.fingerprint,
                    record.status,
                    record.owner,
                    record.created_at,
                    record.updated_at,
                    record.seq,
                    record.hash,
                ),
            )
        else:
            connection.execute(
                self._change_run, (change.status, change.owner, last.at, last.seq, last.hash, batch.run_id)
            )

    def _remember(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            if not batch.events:
                continue
            if batch.change is not None and not batch.change.owner:
                self._last.pop(batch.run_id, None)  # nobody carries it on: look into the file next time
            else:
                self._last[batch.run_id] = batch.events[-1].seq
            if self._failed:
                self._failed.pop(batch.token, None)

    def _fail(
        self, group: Iterable[Submission], error: StoreError, cause: BaseException | None
    ) -> list[Answer]:
        """Undo the transaction; what was asked of it is not done, and can be asked again."""
        connection = self._connection
        if connection is not None:
            try:
                self._roll_back(connection)
            except sqlite3.Error:
                self._release()  # a connection that cannot roll back is not used again
        error.__cause__ = cause
        answers: list[Answer] = []
        for batch, future in group:
            self._last.pop(batch.run_id, None)
            self._failed[batch.token] = error
            answers.append(Answer(future, taken(batch) if batch.token in self._refused else _again(error)))
        return answers

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

    def _abandon(self) -> None:
        """Refuse what was queued too late to be written."""
        while True:
            try:
                late = self._queue.get_nowait()
            except Empty:
                return
            if late is not None:
                _tell([Answer(late.future, closed(self._path))])


def closed(path: Path) -> StoreUnavailable:
    """Return what the user of a closed store is told."""
    return StoreUnavailable(f"the store at {path} is closed", fix="use a new store, or close it later")


def _again(error: FlujoError) -> FlujoError:
    """Return a copy of an error: one instance raised in many tasks would mix up their tracebacks."""
    copy = type(error)(error.message, fix=error.fix)
    copy.__cause__ = error.__cause__
    return copy


def _tell(answers: Sequence[Answer]) -> None:
    """Hand out the answers, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer.future.get_loop(), []).append(answer)
    for loop, told in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, told)


def _settle(answers: Sequence[Answer]) -> None:
    for future, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
