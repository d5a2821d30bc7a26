"""The job table of an SQLite store: one machine, any number of processes."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from flujo.journal.jobs import (
    InHand,
    JobTable,
    Limits,
    Postponed,
    QueueCount,
    ScheduleRow,
    Taken,
    WorkerRecord,
)
from flujo.journal.scripts import queries
from flujo.journal.sqlite_file import open_file, store_error, transaction
from flujo.journal.store import Job

T = TypeVar("T")

SEEN = 1000
"""How many due jobs are looked at in one exchange, where limits may pass many by."""


class SQLiteJobs(JobTable):
    """Hands the jobs of an SQLite store out, over a connection of its own.

    Args:
        path: The store's file.
        busy_timeout: How many seconds to wait for a file that another process has locked.
    """

    def __init__(self, path: Path, *, busy_timeout: float = 30.0) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._lock = Lock()
        self._sql = queries("sqlite")

    async def exchange(
        self,
        worker: str,
        *,
        queues: Sequence[str],
        finished: Sequence[int],
        postponed: Sequence[Postponed],
        wanted: int,
        limits: Limits,
        now: int,
    ) -> list[Taken]:
        """Give up what is finished or postponed, and take what is due; see :meth:`JobTable.exchange`."""

        def work(connection: sqlite3.Connection) -> list[Taken]:
            with transaction(connection):
                connection.executemany(self._sql["finish_job"], [(job_id,) for job_id in finished])
                for job_id, due in postponed:
                    connection.execute(self._sql["postpone_job"], (due, job_id))
                    connection.execute(self._sql["drop_taken_job"], (job_id,))
                held = connection.execute(self._sql["taken_jobs"]).fetchall() if limits else ()
                in_hand = InHand(((queue, tenant, count) for _, queue, tenant, count in held), limits)
                parameters = {
                    "now": now,
                    "queues": json.dumps([queue for queue in queues if in_hand.has_room(queue)]),
                    "full": json.dumps(in_hand.full_tenants),
                    "limit": SEEN if limits else wanted,
                }
                rows = connection.execute(self._sql["due_jobs"], parameters).fetchall() if wanted else ()
                found = in_hand.choose((Taken(job_id, Job(*job)) for job_id, *job in rows), wanted)
                connection.executemany(self._sql["take_job"], [(worker, taken.id) for taken in found])
            return found

        if not finished and not postponed and not await self._any_due(queues, now):
            return []  # a look costs no lock
        return await self._do(work)

    async def _any_due(self, queues: Sequence[str], now: int) -> bool:
        parameters = {"now": now, "queues": json.dumps(list(queues)), "full": "[]", "limit": 1}
        return bool(
            await self._do(
                lambda connection: connection.execute(self._sql["due_jobs"], parameters).fetchall()
            )
        )

    async def next_due(self, queues: Sequence[str], now: int) -> int | None:
        """Return when the next job that is not due yet will be; None when there is none."""
        parameters = {"now": now, "queues": json.dumps(list(queues))}
        rows = await self._do(
            lambda connection: connection.execute(self._sql["next_due"], parameters).fetchall()
        )
        return rows[0][0]

    async def begin(self, worker: str, queues: Sequence[str], concurrency: int, now: int) -> None:
        """Say that a worker looks for jobs of these queues."""
        row = (worker, json.dumps(list(queues)), concurrency, now)
        await self._do(lambda connection: connection.execute(self._sql["note_worker"], row))

    async def end(self, worker: str) -> None:
        """Say that a worker looks no more; what it holds is handed back."""
        await self._do(lambda connection: self._forget(connection, worker))

    async def recover(self, is_alive: Callable[[str], bool]) -> int:
        """Hand back what dead workers hold; return how many jobs that were."""
        dead = {worker.name for worker in await self.workers() if not is_alive(worker.name)}
        counts = [
            await self._do(lambda connection, name=name: self._forget(connection, name))
            for name in sorted(dead)
        ]
        return sum(counts)

    def _forget(self, connection: sqlite3.Connection, worker: str) -> int:
        with transaction(connection):
            held = connection.execute(self._sql["jobs_of_worker"], (worker,)).fetchall()
            for (job_id,) in held:
                connection.execute(self._sql["postpone_job"], (0, job_id))
                connection.execute(self._sql["drop_taken_job"], (job_id,))
            connection.execute(self._sql["forget_worker"], (worker,))
        return len(held)

    async def counts(self, now: int) -> list[QueueCount]:
        """Return how each queue stands."""
        rows = await self._do(
            lambda connection: connection.execute(self._sql["job_counts"], {"now": now}).fetchall()
        )
        return [QueueCount(*row) for row in rows]

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers that look for jobs, or died without saying that they do no more."""

        def read(connection: sqlite3.Connection) -> list[WorkerRecord]:
            held: dict[str, int] = {}
            for worker, _, _, count in connection.execute(self._sql["taken_jobs"]):
                held[worker] = held.get(worker, 0) + count
            rows = connection.execute(self._sql["workers"]).fetchall()
            known = {
                name: WorkerRecord(name, json.loads(queues), concurrency, held.get(name, 0), None)
                for name, queues, concurrency, _ in rows
            }
            return [*known.values()]

        return await self._do(read)

    async def put_schedule(self, row: ScheduleRow) -> bool:
        """Add a schedule; return whether its name was free."""
        return bool(await self._rows("put_schedule", row))

    async def schedules(self, due: int | None = None) -> list[ScheduleRow]:
        """Return the schedules by name, or those that are due."""
        rows = await (self._rows("schedules") if due is None else self._rows("due_schedules", (due,)))
        return [ScheduleRow(*row) for row in rows]

    async def move_schedule(self, row: ScheduleRow, seen: ScheduleRow) -> bool:
        """Change a schedule, if it is as it was seen; return whether it was."""
        return bool(await self._rows("move_schedule", (row.next, row.spec, row.name, seen.next, seen.spec)))

    async def drop_schedule(self, name: str) -> bool:
        """Remove a schedule; return whether there was one."""
        return bool(await self._rows("drop_schedule", (name,)))

    async def _rows(self, query: str, values: Sequence[str | int] = ()) -> list[Sequence[Any]]:
        return await self._do(lambda connection: connection.execute(self._sql[query], values).fetchall())

    async def close(self) -> None:
        """Release the connection."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._locked, work)

    def _locked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = open_file(
                        self._path, create=True, synchronous="FULL", busy_timeout=self._busy_timeout
                    )
                return work(self._connection)
            except sqlite3.Error as error:
                raise store_error(error, self._path) from error
