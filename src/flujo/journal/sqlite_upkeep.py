"""The upkeep of an SQLite store."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from flujo.errors import StoreUnavailable
from flujo.journal.rules import FIRST
from flujo.journal.scripts import migrations, queries
from flujo.journal.sqlite_file import open_file, schema_version, store_error, transaction
from flujo.journal.store import ENDED
from flujo.journal.upkeep import EndedRun, Removed, Retention, StoreStatus, Upkeep, buried, referred

T = TypeVar("T")

PAGE = 200
"""How many runs are listed at a time."""


class SQLiteUpkeep(Upkeep):
    """Looks after the file of an SQLite store, over connections of its own.

    Args:
        path: The file, which must exist.
        busy_timeout: How many seconds to wait for a file that another process has locked.
    """

    def __init__(self, path: Path, *, busy_timeout: float = 30.0) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._sql = queries("sqlite")

    async def status(self) -> StoreStatus:
        """Return how the store stands; changes nothing."""
        return await asyncio.to_thread(self._status)

    def _status(self) -> StoreStatus:
        with self._reading() as connection:
            version = schema_version(connection, self._path)
            tables = {name for (name,) in connection.execute(self._sql["tables"])}
            known, graves = "runs" in tables, "tombstones" in tables
            runs = dict(connection.execute(self._sql["counts_by_status"]).fetchall()) if known else {}
            extent = connection.execute(self._sql["extent"]).fetchone() if known else (0, 0, None, None)
            pruned = connection.execute(self._sql["count_tombstones"]).fetchone()[0] if graves else 0
        log = self._path.with_name(f"{self._path.name}-wal")
        return StoreStatus(
            place=str(self._path),
            backend=f"SQLite {sqlite3.sqlite_version}",
            schema=version,
            newest=len(migrations("sqlite")),
            size=self._path.stat().st_size,
            log_size=log.stat().st_size if log.exists() else 0,
            runs=runs,
            events=extent[0],
            payloads=extent[1],
            pruned=pruned,
            oldest=extent[2],
            latest=extent[3],
        )

    async def migrate(self) -> tuple[int, int]:
        """Bring the tables to the newest version; return the version before and after."""

        def work() -> tuple[int, int]:
            with self._reading() as connection:
                before = schema_version(connection, self._path)
            with self._writing() as connection:
                return before, schema_version(connection, self._path)

        return await asyncio.to_thread(work)

    async def copy_to(self, file: Path) -> None:
        """Write a consistent copy to a new file, while others go on writing."""

        def work() -> None:
            make_private(file)
            with self._reading() as source, closing(sqlite3.connect(file)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # the copy is one file

        await asyncio.to_thread(work)

    async def prunable(self, retention: Retention) -> AsyncIterator[EndedRun]:
        """Yield the runs that may go, those that ended first first."""
        at, run_id = FIRST, ""
        while True:
            parameters = {
                "statuses": json.dumps(list(retention.statuses)),
                "before": retention.before,
                "pipeline": retention.pipeline,
                "after_at": at,
                "after_id": run_id,
                "limit": PAGE,
            }

            def read(
                connection: sqlite3.Connection, parameters: dict[str, str | int] = parameters
            ) -> list[EndedRun]:
                return [EndedRun(*row) for row in connection.execute(self._sql["prunable"], parameters)]

            page = await self._do(read)
            for run in page:
                yield run
            if len(page) < PAGE:
                return
            at, run_id = page[-1].ended_at, page[-1].run_id

    async def prune(self, run_ids: Sequence[str], now: int) -> Removed:
        """Remove the journals of ended runs, in one transaction, and leave tombstones."""
        return await self._do(lambda connection: self._prune(connection, run_ids, now))

    def _prune(self, connection: sqlite3.Connection, run_ids: Sequence[str], now: int) -> Removed:
        runs = events = 0
        with transaction(connection):
            previous: tuple[int, bytes] = connection.execute(self._sql["last_tombstone"]).fetchone()
            for run_id in run_ids:
                found = connection.execute(self._sql["ended_run"], (run_id,)).fetchone()
                if found is None or found[2] not in ENDED:
                    continue
                stone = buried(previous, EndedRun(*found), now)
                connection.execute(self._sql["bury"], stone)
                previous = (stone.number, stone.hash)
                events += connection.execute(self._sql["prune_events"], (run_id,)).rowcount
                for query in ("prune_run", "prune_signals", "prune_jobs"):
                    connection.execute(self._sql[query], (run_id,))
                runs += 1
            connection.execute(self._sql["note_last_tombstone"], previous)
        return Removed(runs=runs, events=events)

    async def sweep(self) -> Removed:
        """Remove payloads that no event stands on.

        All events are looked at while others write; then, while they wait, those that were written meanwhile.
        """
        return await self._do(self._sweep)

    def _sweep(self, connection: sqlite3.Connection) -> Removed:
        while True:
            numbering = self._numbering(connection)
            last = connection.execute(self._sql["last_row"]).fetchone()[0]
            kept = referred(self._bodies(connection, 0))
            sizes: dict[bytes, int] = dict(connection.execute(self._sql["digests"]).fetchall())
            loose = sizes.keys() - kept
            if not loose:
                return Removed()
            with transaction(connection):
                if self._numbering(connection) != numbering:
                    continue  # rows may have new numbers: look again
                loose -= referred(self._bodies(connection, last))
                connection.executemany(self._sql["prune_payload"], [(digest,) for digest in sorted(loose)])
            return Removed(payloads=len(loose), payload_bytes=sum(sizes[digest] for digest in loose))

    def _numbering(self, connection: sqlite3.Connection) -> tuple[object, object]:
        """Return what changes where rows are removed or numbered anew: by another pruning, or a VACUUM."""
        stone = connection.execute(self._sql["last_tombstone"]).fetchone()
        return stone, connection.execute("PRAGMA schema_version").fetchone()

    def _bodies(self, connection: sqlite3.Connection, after: int) -> Iterator[bytes]:
        while rows := connection.execute(self._sql["referring"], (after,)).fetchall():
            yield from (body for _, body in rows)
            after = rows[-1][0]

    async def close(self) -> None:
        """Nothing is held open."""

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def opened() -> T:
            with self._writing() as connection:
                return work(connection)

        return await asyncio.to_thread(opened)

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        connection = open_file(self._path, create=False, synchronous="FULL", busy_timeout=self._busy_timeout)
        with closing(connection), _told(self._path):
            yield connection

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        """Open the file as it is, without migrating it."""
        if not self._path.is_file():
            raise StoreUnavailable(
                f"there is no store at {self._path}", fix="check the path, or run a pipeline first"
            )
        with _told(self._path):
            connection = sqlite3.connect(
                f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=self._busy_timeout
            )
            with closing(connection):
                yield connection


@contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def make_private(file: Path) -> None:
    """Make an empty file that only its owner may read.

    Raises:
        StoreUnavailable: It exists, or cannot be made.
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise StoreUnavailable(f"{file} exists already", fix="name a file that does not exist") from error
    except OSError as error:
        raise StoreUnavailable(
            f"cannot make {file}: {error.strerror}", fix=f"check who may write to {file.parent}"
        ) from error
