"""The PostgreSQL store: for many processes and machines, every acknowledged event on the server's disk."""

import asyncio
import atexit
import os
import sys
from collections.abc import Coroutine
from threading import Lock, Thread
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakSet, finalize

from flujo.errors import ConfigError, StoreUnavailable
from flujo.journal.events import Event
from flujo.journal.ledger import Balance, Held
from flujo.journal.live import LivePart
from flujo.journal.postgres_server import LOST, asyncpg, connect, store_error
from flujo.journal.postgres_writer import FIRST_PAUSE, LONGEST_PAUSE, Writer
from flujo.journal.rules import FIRST, LAST, check, cut, intact, position
from flujo.journal.scripts import queries
from flujo.journal.store import Batch, Census, Committed, RunPage, RunQuery, RunRecord, Signal, Tombstone
from flujo.journal.urls import place_of

T = TypeVar("T")

# How many events are read at a time.
CHUNK = 500
# How long the end of the interpreter waits for a commit, should its store not have been closed.
EXIT_SECONDS = 10.0


class PostgresStore:
    """Journals in a PostgreSQL database, shared by any number of processes.

    What this process writes goes over one connection, and all that wait share one commit, which is one
    statement and one round trip. Reads go over a few others. The connections live in a thread of their own,
    so that several event loops and threads may use one store. Tables are made or migrated at first use.

    A connection that is cut, or a server that restarts, is waited for. Whether a commit was written that
    was under way is read from the store, not guessed.

    Args:
        url: The database, as ``postgresql://user:password@host:5432/database``. Other settings of the
            server follow as a query: ``?search_path=flujo``. The password may be left to ``PGPASSWORD`` or a
            password file.
        patience: How many seconds to wait for a server that is away before ``StoreUnavailable`` is raised.
        readers: How many connections may read at a time.

    Attributes:
        place: What it is called in messages: host, port and database.
        url: The database; it may hold a password.

    Raises:
        ConfigError: The URL cannot be read, or asyncpg is not installed (the extra ``postgres``).
    """

    def __init__(self, url: str, *, patience: float = 30.0, readers: int = 4) -> None:
        if patience < 0:
            raise ConfigError(f"patience={patience!r} is no time", fix="give seconds, 0 or more")
        if readers < 1:
            raise ConfigError(f"readers={readers!r}: nothing could be read", fix="allow at least one")
        self.place = place_of(url)
        self.url = url
        self._patience = patience
        self._readers = readers
        self._lock = Lock()
        self._home: _Home | None = None
        self._closed = False
        self._sql = queries("postgres")
        _stores.add(self)

    def __repr__(self) -> str:
        return f"PostgresStore({self.place!r})"

    def submit(self, batch: Batch) -> Committed:
        """Queue a batch; the future is done when it is on the disk. See :meth:`JournalStore.submit`."""
        check(batch)
        home = self._home or self._open()
        future: Committed = asyncio.get_running_loop().create_future()
        home.writer.submit((batch, future))
        return future

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events of a run in order; see :meth:`JournalStore.events`."""
        found: list[Event] = []
        while True:
            wanted = CHUNK if limit is None else min(CHUNK, limit - len(found))
            rows = await self.rows("events_after", run_id, after, wanted)
            found.extend(map(Event._make, rows))
            if len(rows) < CHUNK:
                return found
            after = found[-1].seq

    async def live_events(self, run_id: str) -> list[Event]:
        """Return the live events of a run in order; see :meth:`JournalStore.live_events`."""
        record = await self.run(run_id)
        if record is None:
            return []
        live = LivePart(record)
        before = LAST
        while True:
            rows = await self.rows("events_before", run_id, before, CHUNK)
            live.add(map(Event._make, rows))
            if len(rows) < CHUNK:
                return live.events()
            before = rows[-1][1]

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run's record, or None."""
        rows = await self.rows("run", run_id)
        return RunRecord(*rows[0]) if rows else None

    async def runs(self, query: RunQuery) -> RunPage:
        """Return a page of runs, newest first."""
        at, run_id = position(query)
        since = FIRST if query.since is None else query.since
        until = LAST if query.until is None else query.until
        shared = (since, until, at, run_id, query.pipeline)
        found: list[RunRecord] = []
        for status in dict.fromkeys(query.status or ("",)):
            name = "runs_by_status" if status else "runs"
            rows = await self.rows(name, *shared, status, query.prefix, query.limit + 1)
            found += [RunRecord(*row) for row in rows]
        found.sort(key=lambda record: (record.created_at, record.run_id), reverse=True)
        return cut(found, query.limit)

    async def orphans(self) -> list[str]:
        """Return the ids that events are kept under without a run's record."""
        return [run_id for (run_id,) in await self.rows("orphans")]

    async def payload(self, digest: bytes) -> bytes:
        """Return the payload with this SHA-256; raise ``ChainBroken`` if it is missing or changed."""
        rows = await self.rows("payload", digest)
        return intact(digest, rows[0][0] if rows else None)

    async def cached(self, key: str) -> bytes | None:
        """Return what was remembered under a cache key, or None."""
        rows = await self.rows("cached", key)
        return rows[0][0] if rows else None

    async def signals(self, run_id: str) -> list[Signal]:
        """Return the events that are kept for a run, in the order they came."""
        return [Signal(*row) for row in await self.rows("signals", run_id)]

    async def balances(self, prefix: str = "") -> list[Balance]:
        """Return how the accounts stand whose names begin with a text."""
        return [Balance._make(row) for row in await self.rows("balances", prefix)]

    async def reservations(self, run_id: str = "") -> list[Held]:
        """Return what reservations hold: of one run, or of all."""
        return [Held._make(row) for row in await self.rows("reservations", run_id)]

    async def tombstones(self, *, after: int = 0, limit: int = 1000) -> list[Tombstone]:
        """Return what is kept of pruned runs, in order."""
        return [Tombstone(*row) for row in await self.rows("tombstones", after, limit)]

    async def tombstone(self, run_id: str) -> Tombstone | None:
        """Return what is kept of one pruned run, or None."""
        rows = await self.rows("tombstone", run_id)
        return Tombstone(*rows[0]) if rows else None

    async def census(self) -> Census:
        """Return how many runs there were, and which tombstone is the last."""
        return Census(*(await self.rows("census"))[0])

    async def close(self) -> None:
        """Commit what is queued and release the connections; closing twice is allowed."""
        with self._lock:
            self._closed = True
            home, self._home = self._home, None
        if home is not None:
            home.finish()
            await asyncio.to_thread(home.thread.join)

    async def rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what one of the named queries gives; for what stands beside the store, on its connections.

        Raises:
            StoreError: The server refuses, or cannot be reached.
        """
        home = self._home or self._open()
        return await home.do(home.fetch(self._sql[name], values))

    def _open(self) -> "_Home":
        with self._lock:
            if self._closed:
                raise _closed(self.place)
            if self._home is None:
                self._home = _Home(self.url, self.place, self._patience, self._readers)
                finalize(self, self._home.finish)
            return self._home

    def _forget(self) -> None:
        self._lock = Lock()
        self._home = None


class _Home:
    """The thread and the event loop in which the connections of one store live."""

    def __init__(self, url: str, place: str, patience: float, readers: int) -> None:
        self._url = url
        self._place = place
        self._patience = patience
        self._loop = asyncio.new_event_loop()
        self._idle: list[asyncpg.Connection] = []
        self._turn = asyncio.Semaphore(readers)
        self.writer = Writer(url, place, patience, self._loop)
        self.thread = Thread(target=self._work, name=f"flujo-postgres {place}", daemon=True)
        _at_work.add(self)
        self.thread.start()

    def finish(self) -> None:
        """Let the thread commit what is queued, release the connections, and end."""
        if self.thread.is_alive():
            self.writer.finish()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine that runs in the thread's loop."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise _closed(self._place) from None
        return await asyncio.wrap_future(future)

    async def fetch(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Read rows, over a new connection where one was cut, for as long as patience lasts.

        Raises:
            StoreError: The server refuses, or cannot be reached.
        """
        give_up, pause = monotonic() + self._patience, FIRST_PAUSE
        async with self._turn:
            while True:
                connection = None
                try:
                    connection = await self._reader()
                    rows = [tuple(record) for record in await connection.fetch(query, *values)]
                except (ValueError, asyncpg.DataError):
                    rows = []  # what no column can hold is not in the store
                except LOST as error:
                    if monotonic() + pause > give_up:
                        raise store_error(error, self._place) from error
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                except asyncpg.PostgresError as error:
                    raise store_error(error, self._place) from error
                finally:
                    if connection is not None and not connection.is_closed():
                        self._idle.append(connection)
                return rows

    async def _reader(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._url, self._place)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()
            self.writer.abandon(_closed(self._place))
            _at_work.discard(self)

    async def _serve(self) -> None:
        try:
            await self.writer.work()
        finally:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            for connection in self._idle:
                connection.terminate()


def _closed(place: str) -> StoreUnavailable:
    return StoreUnavailable(f"the store at {place} is closed", fix="use a new store, or close it later")


_at_work: set[_Home] = set()
"""Threads that have not ended."""
_stores: WeakSet[PostgresStore] = WeakSet()


@atexit.register
def _finish_all() -> None:
    """Commit what is queued when the interpreter ends before its stores were closed."""
    homes = list(_at_work)
    for home in homes:
        home.finish()
    for home in homes:
        home.thread.join(EXIT_SECONDS)


def _after_fork() -> None:
    """Leave the connections and the threads to the parent; the child opens its own."""
    _at_work.clear()
    for store in list(_stores):
        store._forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
