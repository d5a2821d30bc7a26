"""What a PostgreSQL store knows of its queues, its workers and its schedules."""

from flujo.journal.jobs import Board, QueueCount, ScheduleRow, WorkerRecord
from flujo.journal.postgres import PostgresStore


class PostgresBoard(Board):
    """Reads the queue's tables, and keeps the schedules, over the connections of a store.

    Args:
        store: The store; closing this leaves it open.
    """

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    async def counts(self, now: int) -> list[QueueCount]:
        """Return how each queue stands, by the server's clock."""
        return [QueueCount(*row) for row in await self._store.rows("job_counts")]

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers that registered, with how long they have been silent."""
        rows = await self._store.rows("workers")
        return [WorkerRecord(name, (), 0, in_hand, silent) for name, silent, in_hand in rows]

    async def put_schedule(self, row: ScheduleRow) -> bool:
        """Add a schedule; return whether its name was free."""
        return bool(await self._store.rows("put_schedule", *row))

    async def schedules(self, due: int | None = None) -> list[ScheduleRow]:
        """Return the schedules by name, or those that are due."""
        rows = await (
            self._store.rows("schedules") if due is None else self._store.rows("due_schedules", due)
        )
        return [ScheduleRow(*row) for row in rows]

    async def move_schedule(self, row: ScheduleRow, seen: ScheduleRow) -> bool:
        """Change a schedule, if it is as it was seen; return whether it was."""
        values = (row.next, row.spec, row.name, seen.next, seen.spec)
        return bool(await self._store.rows("move_schedule", *values))

    async def drop_schedule(self, name: str) -> bool:
        """Remove a schedule; return whether there was one."""
        return bool(await self._store.rows("drop_schedule", name))

    async def close(self) -> None:
        """Leave the store to whom it belongs."""
