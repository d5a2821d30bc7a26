"""The SQLite store: the embedded default, one file, every acknowledged event on the disk."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, get_args
from weakref import WeakSet, finalize

from flujo.errors import ConfigError
from flujo.journal.events import Event
from flujo.journal.ledger import Balance, Held
from flujo.journal.live import LivePart
from flujo.journal.rules import FIRST, LAST, check, cut, intact, position
from flujo.journal.scripts import queries
from flujo.journal.sqlite_file import Synchronous, is_busy, open_file, store_error
from flujo.journal.sqlite_group import displaced, standing
from flujo.journal.sqlite_writer import Writer, closed
from flujo.journal.store import Batch, Census, Committed, RunPage, RunQuery, RunRecord, Signal, Tombstone

# How many events are read at a time: the longest that a read holds the event loop, about a millisecond.
CHUNK = 500

Rows = list[Any]
Parameters = Sequence[str | int | bytes] | Mapping[str, str | int]


class SQLiteStore:
    """Journals in one SQLite file: private (0600), in WAL mode, each commit synced to the disk.

    Batches are committed by one thread of its own, and all that wait share one commit; where commits come
    one by one and take less than a millisecond, the calling thread makes them. Short reads run in
    the calling thread, too, a few hundred events at a time; lists of runs run aside. The file is opened, made
    or migrated at first use. Several processes may use one file, and several event loops and threads one
    store; a child process that inherits it by ``fork`` opens the file anew, and what was queued before
    stays the parent's to write.

    Args:
        path: The file, by custom ``flujo_ops.db``.
        synchronous: ``FULL`` keeps every acknowledged event through a power cut. ``NORMAL`` keeps it
            through the death of the process, and may lose the last ones with the power.
        busy_timeout: How many seconds to wait for a file that another process has locked.
        create: Whether to make the file if it is missing; readers of what is there say no.

    Raises:
        ConfigError: The path or a setting is none that a store can have.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 5.0,
        create: bool = True,
    ) -> None:
        if os.fspath(path) in ("", ":memory:"):
            raise ConfigError("an SQLite store is a file", fix="use MemoryStore() for a store in memory")
        if synchronous not in get_args(Synchronous):
            raise ConfigError(f"synchronous cannot be {synchronous!r}", fix="use 'FULL' or 'NORMAL'")
        self.path = Path(path).absolute()  # wherever the process goes meanwhile
        self._open = partial(
            open_file, self.path, create=create, synchronous=synchronous, busy_timeout=busy_timeout
        )
        self._opening = Lock()
        self._reading = Lock()
        self._writer: Writer | None = None
        self._reader: sqlite3.Connection | None = None
        self._read: tuple[int, int] | None = None  # which file the reader reads
        self._closed = False
        self._finalizers: list[finalize[..., SQLiteStore]] = []
        self._sql = queries("sqlite")
        _stores.add(self)

    def submit(self, batch: Batch) -> Committed:
        """Queue a batch; the future is done when it is on the disk. See :meth:`JournalStore.submit`."""
        check(batch)
        writer = self._writer or self._start_writer()
        future: Committed = asyncio.get_running_loop().create_future()
        writer.submit((batch, future))
        return future

    def _start_writer(self) -> Writer:
        with self._opening:
            if self._closed:
                raise closed(self.path)
            if self._writer is None:
                self._writer = Writer(self.path, self._open)
                self._finalizers.append(finalize(self, self._writer.finish))
            return self._writer

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events of a run in order; see :meth:`JournalStore.events`."""
        found: list[Event] = []
        while True:
            wanted = CHUNK if limit is None else min(CHUNK, limit - len(found))
            rows = await self._rows("events_after", (run_id, after, wanted))
            found.extend(map(Event._make, rows))
            if len(rows) < CHUNK:
                return found
            after = found[-1].seq
            await asyncio.sleep(0)

    async def live_events(self, run_id: str) -> list[Event]:
        """Return the live events of a run in order; see :meth:`JournalStore.live_events`."""
        record = await self.run(run_id)
        if record is None:
            return []
        live = LivePart(record)
        before = LAST
        while True:
            rows = await self._rows("events_before", (run_id, before, CHUNK))
            live.add(map(Event._make, rows))
            if len(rows) < CHUNK:
                return live.events()
            before = rows[-1][1]
            await asyncio.sleep(0)

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run's record, or None."""
        rows = await self._rows("run", (run_id,))
        return RunRecord(*rows[0]) if rows else None

    async def runs(self, query: RunQuery) -> RunPage:
        """Return a page of runs, newest first."""
        at, run_id = position(query)
        name = "runs_by_prefix" if query.prefix else "runs_by_status" if query.status else "runs_by_time"
        parameters = {
            "since": FIRST if query.since is None else query.since,
            "until": LAST if query.until is None else query.until,
            "after_at": at,
            "after_id": run_id,
            "pipeline": query.pipeline,
            "prefix": query.prefix,
            "limit": query.limit + 1,
        }
        pages = [(name, {**parameters, "status": status}) for status in dict.fromkeys(query.status or ("",))]
        found = [RunRecord(*row) for row in await asyncio.to_thread(self._aside, pages)]
        found.sort(key=lambda record: (record.created_at, record.run_id), reverse=True)
        return cut(found, query.limit)

    async def orphans(self) -> list[str]:
        """Return the ids that events are kept under without a run's record."""
        return [run_id for (run_id,) in await asyncio.to_thread(self._aside, [("orphans", ())])]

    async def payload(self, digest: bytes) -> bytes:
        """Return the payload with this SHA-256; raise ``ChainBroken`` if it is missing or changed."""
        rows = await self._rows("payload", (digest,))
        return intact(digest, rows[0][0] if rows else None)

    async def cached(self, key: str) -> bytes | None:
        """Return what was remembered under a cache key, or None."""
        rows = await self._rows("cached", (key,))
        return rows[0][0] if rows else None

    async def signals(self, run_id: str) -> list[Signal]:
        """Return the events that are kept for a run, in the order they came."""
        return [Signal(*row) for row in await self._rows("signals", (run_id,))]

    async def balances(self, prefix: str = "") -> list[Balance]:
        """Return how the accounts stand whose names begin with a text."""
        return [Balance._make(row) for row in await self._rows("balances", {"prefix": prefix})]

    async def reservations(self, run_id: str = "") -> list[Held]:
        """Return what reservations hold: of one run, or of all."""
        return [Held._make(row) for row in await self._rows("reservations", {"run_id": run_id})]

    async def tombstones(self, *, after: int = 0, limit: int = 1000) -> list[Tombstone]:
        """Return what is kept of pruned runs, in order."""
        return [Tombstone(*row) for row in await self._rows("tombstones", (after, limit))]

    async def tombstone(self, run_id: str) -> Tombstone | None:
        """Return what is kept of one pruned run, or None."""
        rows = await self._rows("tombstone", (run_id,))
        return Tombstone(*rows[0]) if rows else None

    async def census(self) -> Census:
        """Return how many runs there were, and which tombstone is the last."""
        return Census(*(await asyncio.to_thread(self._aside, [("census", ())]))[0])

    async def close(self) -> None:
        """Commit what is queued and release the file; closing twice is allowed."""
        with self._opening:
            self._closed = True
        if self._writer is not None:
            self._writer.finish()
            await asyncio.to_thread(self._writer.join)
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    async def _rows(self, name: str, parameters: Parameters) -> Rows:
        """Read a few rows here and now; wait for a locked file in a thread."""
        if self._reader is None:
            await asyncio.to_thread(self._open_reader)
        try:
            with self._reading:
                if self._reader is None:
                    raise closed(self.path)
                if standing(self.path) != self._read:
                    raise displaced(self.path)
                return self._reader.execute(self._sql[name], parameters).fetchall()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise store_error(error, self.path) from error
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        return await asyncio.to_thread(self._aside, [(name, parameters)])

    def _open_reader(self) -> None:
        with self._opening:
            if self._closed:
                raise closed(self.path)
            if self._reader is None:
                reader = self._open()
                reader.execute("PRAGMA busy_timeout = 0")
                self._finalizers.append(finalize(self, reader.close))
                self._read = standing(self.path)
                self._reader = reader

    def _aside(self, reads: Sequence[tuple[str, Parameters]]) -> Rows:
        """Read over a connection of its own, which may take its time."""
        if self._closed:
            raise closed(self.path)
        connection = self._open()
        connection.text_factory = _legible
        try:
            return [row for name, values in reads for row in connection.execute(self._sql[name], values)]
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        finally:
            connection.close()

    def _forget(self) -> None:
        while self._finalizers:
            self._finalizers.pop().detach()
        _parents.append((self._writer, self._reader))
        self._opening, self._reading = Lock(), Lock()
        self._writer = self._reader = None


def _legible(text: bytes) -> str:
    """Decode what can be decoded: one damaged record must not hide all others from a list."""
    return text.decode(errors="replace")


_stores: WeakSet[SQLiteStore] = WeakSet()
# What a child process inherited by fork: neither used nor closed there, since SQLite forbids both.
_parents: list[tuple[Writer | None, sqlite3.Connection | None]] = []


def _after_fork() -> None:
    for store in list(_stores):
        store._forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
