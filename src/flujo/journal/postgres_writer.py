"""What writes to a PostgreSQL store: what queues during one commit shares the next."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from time import monotonic
from typing import Any

from flujo.errors import FlujoError, StoreError, StoreUnavailable
from flujo.journal.events import Event
from flujo.journal.ledger import Reserve, Shortfall
from flujo.journal.postgres_ledger import claims, entries, missing_of
from flujo.journal.postgres_server import LOST, asyncpg, connect, store_error
from flujo.journal.rules import Answers, Fence, Submission, changed, created, tell
from flujo.journal.scripts import queries
from flujo.journal.store import Batch, Committed, RunRecord, short_queue

# What a group raises in which one batch is not to be written; the others are, one by one.
_ONE_OF_THEM = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,  # a value that no column can hold; the driver says ValueError
    asyncpg.ProgramLimitExceededError,
    TypeError,
    ValueError,
    OverflowError,
)
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to reach a server that is away: doubled from the first to the longest."""


class Writer:
    """Commits submissions in their order, a group at a time, each group in one statement.

    It lives in one event loop; :meth:`submit` may be called from any thread.

    Args:
        url: The database.
        place: What it is called in messages.
        patience: How many seconds to try to reach a server that is away.
        loop: The loop that it lives in.
    """

    def __init__(self, url: str, place: str, patience: float, loop: asyncio.AbstractEventLoop) -> None:
        self._url = url
        self._place = place
        self._patience = patience
        self._loop = loop
        self._queue: deque[Submission] = deque()
        self._wake = asyncio.Event()
        self._woken = False
        self._finishing = False
        self._connection: asyncpg.Connection | None = None
        self._fence = Fence()
        self._sql = queries("postgres")

    def submit(self, submission: Submission) -> None:
        """Queue a batch; from any thread."""
        self._queue.append(submission)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake.set)

    def finish(self) -> None:
        """Let :meth:`work` end when what is queued is committed; from any thread."""
        self._finishing = True
        self._loop.call_soon_threadsafe(self._wake.set)

    async def work(self) -> None:
        """Commit what is submitted, until told to finish."""
        try:
            while self._queue or not self._finishing:
                await self._wake.wait()
                self._wake.clear()
                self._woken = False  # before looking: what is queued from here on wakes this again
                while self._queue:
                    group = [self._queue.popleft() for _ in range(len(self._queue))]
                    answers = await self._commit(group)
                    tell([future for _, future in group], answers)
        finally:
            await self._drop()

    async def _commit(self, group: list[Submission]) -> Answers:
        """Write a group, however often the connection is lost on the way; return what was refused."""
        give_up, pause = monotonic() + self._patience, FIRST_PAUSE
        known: Answers = {}
        doubtful = False
        while True:
            try:
                connection = await self._connected()
                if doubtful:
                    group = await self._not_written(connection, group, known)
                return {**known, **await self._write_all(connection, group)}
            except LOST as error:
                # Whether the last statement was committed is not known: the store is asked.
                doubtful = True
                await self._drop()
                if monotonic() + pause > give_up:
                    return {**known, **self._fence.failed(group, store_error(error, self._place), error)}
            except StoreError as error:
                return {**known, **self._fence.failed(group, error, error.__cause__)}
            except asyncpg.PostgresError as error:
                return {**known, **self._fence.failed(group, store_error(error, self._place), error)}
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connected(self) -> asyncpg.Connection:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await connect(self._url, self._place)
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*LOST, asyncpg.PostgresError):
                await connection.close(timeout=1.0)
            connection.terminate()

    async def _not_written(
        self, connection: asyncpg.Connection, group: list[Submission], known: Answers
    ) -> list[Submission]:
        """Return those of a group that are not in the store; what is there as we wrote it is acknowledged.

        What was missing for the reservations of what is there is added to what is known.
        """
        absent: list[Submission] = []
        for batch, future in group:
            if await self._is_ours(connection, batch):
                self._fence.written([batch])
                if short := await self._missing(connection, batch):
                    known[future] = short
            else:
                absent.append((batch, future))
        return absent

    async def _missing(self, connection: asyncpg.Connection, batch: Batch) -> tuple[Shortfall, ...]:
        """Return what was missing for the reservations of a batch that is in the store: those not made.

        How the accounts stood then is not known any more; how they stand now is told.
        """
        missing: list[Shortfall] = []
        for entry in batch.ledger:
            if isinstance(entry, Reserve):
                asked = claims(entry)
                found = await connection.fetch(self._sql["missing"], batch.run_id, entry.id, asked)
                missing += [Shortfall(entry.id, *record) for record in found]
        return tuple(missing)

    async def _is_ours(self, connection: asyncpg.Connection, batch: Batch) -> bool:
        """Tell whether a batch's events are in the store: its last one's hash vouches for all before it."""
        if not batch.events:
            return False  # to write it twice is to write it once
        last = batch.events[-1]
        return bool(await connection.fetchval(self._sql["event_hash"], last.run_id, last.seq) == last.hash)

    async def _write_all(self, connection: asyncpg.Connection, group: list[Submission]) -> Answers:
        answers: Answers = {}
        ends = await self._ends(connection, group)
        batches: list[Batch] = []
        futures: list[Committed] = []
        for batch, future in group:
            stored = ends.get(batch.run_id) or self._fence.last.get(batch.run_id, 0)
            error = None if self._fence.follows(batch, ends) else self._fence.refusal(batch, stored)
            if error is not None:
                answers[future] = error
                continue
            batches.append(batch)
            futures.append(future)
            if batch.events:
                ends[batch.run_id] = batch.events[-1].seq
        try:
            missing = await self._write(connection, batches)
        except (*_ONE_OF_THEM, asyncpg.DivisionByZeroError):
            return await self._write_apart(connection, group)
        answers.update((futures[place], short) for place, short in missing.items())
        self._fence.written(batches)
        return answers

    async def _ends(self, connection: asyncpg.Connection, group: Iterable[Submission]) -> dict[str, int]:
        """Return where the runs end that this writer has not written to and that are not new."""
        known = self._fence.last
        unknown = {
            batch.run_id
            for batch, _ in group
            if batch.events and batch.events[0].seq > 1 and batch.run_id not in known
        }
        if not unknown:
            return {}
        found = await connection.fetch(self._sql["ends"], sorted(unknown))
        return {record["run_id"]: record["seq"] for record in found}

    async def _write_apart(self, connection: asyncpg.Connection, group: list[Submission]) -> Answers:
        """Write batch by batch, so that only those fail that must."""
        answers: Answers = {}
        for batch, future in group:
            error: FlujoError | None
            try:
                found = await connection.fetch(self._sql["ends"], [batch.run_id])
                error = self._fence.refusal(batch, found[0]["seq"] if found else 0)
                if error is None and (missing := await self._write(connection, [batch])):
                    answers[future] = missing[0]
            except asyncpg.UniqueViolationError:
                # Another owner was first; or we were, over a connection that was lost meanwhile.
                error = None if await self._is_ours(connection, batch) else self._fence.refuse(batch)
                if error is None and (short := await self._missing(connection, batch)):
                    answers[future] = short
            except asyncpg.DivisionByZeroError:
                error = self._fence.unstorable(batch, StoreError("the run has no record to change"))
            except _ONE_OF_THEM as reason:
                error = self._fence.unstorable(batch, reason)
            if error is None:
                self._fence.written([batch])
            else:
                answers[future] = error
        return answers

    async def _write(
        self, connection: asyncpg.Connection, batches: Sequence[Batch]
    ) -> dict[int, tuple[Shortfall, ...]]:
        """Write batches in one statement: all of them, or nothing.

        Returns:
            What was missing for reservations, by the place of the batch that asked.
        """
        if any(batch.jobs or batch.signals or batch.received for batch in batches):
            async with connection.transaction():
                missing = await self._write_events(connection, batches)
                await self._write_beside(connection, batches)
            return missing
        return await self._write_events(connection, batches)

    async def _write_events(
        self, connection: asyncpg.Connection, batches: Sequence[Batch]
    ) -> dict[int, tuple[Shortfall, ...]]:
        events = list(chain.from_iterable(batch.events for batch in batches))
        if any(
            batch.change is not None or batch.payloads or batch.cache or batch.ledger for batch in batches
        ):
            written = await connection.fetch(
                self._sql["commit"], *_columns(events, 7), *_rest(batches), entries(batches)
            )
            return missing_of(tuple(written[0]))
        if len(events) == 1:
            await connection.execute(self._sql["append_event"], *events[0])
        elif events:
            await connection.execute(self._sql["append_events"], *_columns(events, 7))
        return {}

    async def _write_beside(self, connection: asyncpg.Connection, batches: Sequence[Batch]) -> None:
        """Write what is for workers, and what came from outside."""
        jobs = sorted({(job.run_id, job.due): job for batch in batches for job in batch.jobs}.items())
        signals = sorted(signal for batch in batches for signal in batch.signals)
        received = sorted(chain.from_iterable(batch.received for batch in batches))
        if jobs:
            rows = [job._replace(queue=short_queue(job.queue)) for _, job in jobs]
            await connection.execute(self._sql["enqueue"], *_columns(rows, 5))
        if signals:
            await connection.execute(self._sql["keep_signals"], *_columns(signals, 5))
        if received:
            await connection.execute(self._sql["receive_signals"], received)

    def abandon(self, error: StoreUnavailable) -> None:
        """Refuse what is queued and will not be written any more."""
        late = [self._queue.popleft()[1] for _ in range(len(self._queue))]
        tell(late, dict.fromkeys(late, error))


def _rest(batches: Sequence[Batch]) -> list[Sequence[Any]]:
    """Return what is written beside the events: new records, changes of records, payloads, cached results."""
    new: dict[str, RunRecord] = {}
    changes: dict[str, tuple[str, str, str, int, int, bytes]] = {}
    payloads: dict[bytes, bytes] = {}
    cache: dict[str, bytes] = {}
    for batch in batches:
        run_id, change = batch.run_id, batch.change
        if change is not None:
            last: Event = batch.events[-1]
            if batch.events[0].seq == 1:
                new[run_id] = created(batch)
            elif run_id in new:
                new[run_id] = changed(new[run_id], batch)
            else:
                changes[run_id] = (run_id, change.status, change.owner, last.at, last.seq, last.hash)
        payloads.update(batch.payloads)
        cache.update(batch.cache)
    records = [
        (
            record.run_id, record.pipeline, record.fingerprint, record.status, record.owner,
            record.created_at, record.updated_at, record.seq, record.hash,
        )
        for record in new.values()
    ]  # fmt: skip
    # In one order everywhere, so that two processes do not wait for each other's rows.
    return [
        *_columns(records, 9),
        *_columns([changes[run_id] for run_id in sorted(changes)], 6),
        *_columns(sorted(payloads.items()), 2),
        *_columns(sorted(cache.items()), 2),
    ]


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    """Return rows as columns: a column for each of their values, also where there is no row."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
