"""The upkeep of a PostgreSQL store."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import time_ns
from typing import Any

from flujo.errors import StoreError
from flujo.journal.postgres_server import (
    CONNECT_SECONDS,
    LOST,
    asyncpg,
    connect,
    schema_version,
    store_error,
)
from flujo.journal.rules import FIRST
from flujo.journal.scripts import migrations, queries
from flujo.journal.sqlite_file import open_file, transaction
from flujo.journal.sqlite_upkeep import make_private
from flujo.journal.store import ENDED
from flujo.journal.upkeep import EndedRun, Removed, Retention, StoreStatus, Upkeep, buried, referred
from flujo.journal.urls import place_of

PAGE = 200
"""How many runs are listed, and how many rows are copied, at a time."""
SKEW = 24 * 3600 * 1_000_000
"""How far, in microseconds, the clocks of those who write may be apart."""
COPIED = {
    "all_runs": "create_run",
    "all_events": "append_events",
    "all_payloads": "keep_payload",
    "all_cached": "keep_cached",
    "all_signals": "keep_signal",
    "all_schedules": "copy_schedule",
    "all_accounts": "copy_account",
    "all_reservations": "hold",
    "all_tombstones": "bury",
}
"""What a copy holds: the query that reads it here, and the one that writes it there."""


class PostgresUpkeep(Upkeep):
    """Looks after a store in PostgreSQL, over connections of its own.

    Args:
        url: The database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = place_of(url)
        self._sql = queries("postgres")

    async def status(self) -> StoreStatus:
        """Return how the store stands; changes nothing."""
        async with self._as_it_is() as connection:
            version = await schema_version(connection)
            tables = {name for (name,) in await connection.fetch(self._sql["tables"])}
            known = "runs" in tables
            runs = await self._pairs(connection, "counts_by_status") if known else {}
            [extent] = await connection.fetch(self._sql["extent"]) if known else [(0, 0, None, None)]
            buried_ones = "tombstones" in tables
            return StoreStatus(
                place=self._place,
                backend=f"PostgreSQL {await connection.fetchval(self._sql['server'])}",
                schema=version,
                newest=len(migrations("postgres")),
                size=await connection.fetchval(self._sql["size"], sorted(tables)),
                log_size=None,
                runs=runs,
                events=extent[0],
                payloads=extent[1],
                pruned=await connection.fetchval(self._sql["count_tombstones"]) if buried_ones else 0,
                oldest=extent[2],
                latest=extent[3],
            )

    async def migrate(self) -> tuple[int, int]:
        """Bring the tables to the newest version; return the version before and after."""
        async with self._as_it_is() as connection:
            before = await schema_version(connection)
        async with self._ready() as connection:
            return before, await schema_version(connection)

    async def copy_to(self, file: Path) -> None:
        """Write a copy of one snapshot to a new SQLite store, while others go on writing."""
        await asyncio.to_thread(make_private, file)
        target = await asyncio.to_thread(open_file, file, create=False, synchronous="FULL", busy_timeout=5.0)
        with closing(target):
            async with (
                self._ready() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                for read, written in COPIED.items():
                    await self._copy(connection, target, self._sql[read], queries("sqlite")[written])
                [(begun, _, number, digest)] = await connection.fetch(self._sql["census"])
                target.execute(queries("sqlite")["set_census"], (begun, number, digest))
            await asyncio.to_thread(target.execute, "PRAGMA journal_mode = DELETE")  # the copy is one file

    async def _copy(
        self, connection: asyncpg.Connection, target: sqlite3.Connection, read: str, insert: str
    ) -> None:
        cursor = await connection.cursor(read)
        while rows := [tuple(row) for row in await cursor.fetch(PAGE)]:
            await asyncio.to_thread(_insert, target, insert, rows)

    async def prunable(self, retention: Retention) -> AsyncIterator[EndedRun]:
        """Yield the runs that may go, those that ended first first."""
        at, run_id = FIRST, ""
        async with self._ready() as connection:
            while True:
                rows = await connection.fetch(
                    self._sql["prunable"],
                    list(retention.statuses),
                    retention.before,
                    retention.pipeline,
                    at,
                    run_id,
                    PAGE,
                )
                for row in rows:
                    yield EndedRun(*row)
                if len(rows) < PAGE:
                    return
                at, run_id = rows[-1]["updated_at"], rows[-1]["run_id"]

    async def prune(self, run_ids: Sequence[str], now: int) -> Removed:
        """Remove the journals of ended runs, in one transaction, and leave tombstones."""
        async with self._ready() as connection, connection.transaction():
            await connection.execute(self._sql["lock_pruning"])
            found = [EndedRun(*row) for row in await connection.fetch(self._sql["ended_runs"], list(run_ids))]
            ((number, digest),) = await connection.fetch(self._sql["last_tombstone"])
            previous: tuple[int, bytes] = (number, digest)
            gone: list[str] = []
            events = 0
            for run in found:
                if run.status not in ENDED:
                    continue
                stone = buried(previous, run, now)
                await connection.execute(self._sql["bury"], *stone)
                previous = (stone.number, stone.hash)
                gone.append(run.run_id)
                events += run.events
            await connection.execute(self._sql["note_last_tombstone"], *previous)
            for query in ("prune_events", "prune_runs", "prune_signals"):
                await connection.execute(self._sql[query], gone)
            return Removed(runs=len(gone), events=events)

    async def sweep(self) -> Removed:
        """Remove payloads that no event stands on.

        All events are looked at while others write; then, while nobody can add a payload, those of the runs
        that may have been written to meanwhile.
        """
        ended = sorted(ENDED)
        async with self._ready() as connection:
            since = time_ns() // 1000 - SKEW
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                open_before = [run_id for (run_id,) in await connection.fetch(self._sql["open_runs"], ended)]
                sizes: dict[bytes, int] = await self._pairs(connection, "digests")
                loose = sizes.keys() - await self._referred(connection, "referring")
            if not loose:
                return Removed()
            async with connection.transaction():
                await connection.execute(self._sql["lock_payloads"])
                loose -= await self._referred(connection, "referring_lately", ended, open_before, since)
                await connection.execute(self._sql["prune_payloads"], sorted(loose))
            return Removed(payloads=len(loose), payload_bytes=sum(sizes[digest] for digest in loose))

    async def _pairs(self, connection: asyncpg.Connection, query: str) -> dict[Any, int]:
        return {row[0]: row[1] for row in await connection.fetch(self._sql[query])}

    async def _referred(self, connection: asyncpg.Connection, query: str, *values: object) -> set[bytes]:
        found: set[bytes] = set()
        async with connection.transaction():
            cursor = await connection.cursor(self._sql[query], *values)
            while rows := await cursor.fetch(PAGE):
                found |= referred(body for (body,) in rows)
        return found

    async def close(self) -> None:
        """Nothing is held open."""

    @asynccontextmanager
    async def _ready(self) -> AsyncGenerator[asyncpg.Connection]:
        """Connect to the store, at the newest version."""
        async with self._told():
            connection = await connect(self._url, self._place)
            try:
                yield connection
            finally:
                await connection.close()

    @asynccontextmanager
    async def _as_it_is(self) -> AsyncGenerator[asyncpg.Connection]:
        """Connect to the store without migrating it."""
        async with self._told():
            connection = await asyncpg.connect(
                self._url, timeout=CONNECT_SECONDS, server_settings={"application_name": "flujo"}
            )
            try:
                yield connection
            finally:
                await connection.close()

    @asynccontextmanager
    async def _told(self) -> AsyncGenerator[None]:
        try:
            yield
        except StoreError:
            raise
        except (asyncpg.PostgresError, ValueError, *LOST) as error:
            raise store_error(error, self._place) from error


def _insert(target: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    with transaction(target):
        target.executemany(statement, rows)
