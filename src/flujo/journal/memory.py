"""The store that keeps journals in memory, for tests and for runs that need not outlive the process."""

import asyncio
from threading import Lock

from flujo.errors import RunTaken, StoreUnavailable
from flujo.journal.events import GENESIS, Event
from flujo.journal.ledger import Balance, Held, MemoryLedger, Shortfall
from flujo.journal.live import LivePart
from flujo.journal.rules import changed, check, created, intact, page_of, taken
from flujo.journal.store import Batch, Census, Committed, RunPage, RunQuery, RunRecord, Signal, Tombstone


class MemoryStore:
    """A store in memory: the same contract as the durable ones, and gone with the process.

    A batch is committed before ``submit`` returns, so its future is done already.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: dict[str, list[Event]] = {}
        self._runs: dict[str, RunRecord] = {}
        self._payloads: dict[bytes, bytes] = {}
        self._cache: dict[str, bytes] = {}
        self._signals: dict[str, Signal] = {}
        self._ledger = MemoryLedger()
        self._refused: set[str] = set()
        self._closed = False

    def submit(self, batch: Batch) -> Committed:
        """Commit a batch now; see :meth:`JournalStore.submit`."""
        self._check_open()
        check(batch)
        future: Committed = asyncio.get_running_loop().create_future()
        with self._lock:
            answer = self._commit(batch)
        if isinstance(answer, tuple):
            future.set_result(answer)
        else:
            future.set_exception(answer)
        return future

    def _commit(self, batch: Batch) -> RunTaken | tuple[Shortfall, ...]:
        run_id = batch.run_id
        if batch.token in self._refused:
            return taken(batch)
        if batch.events:
            stored = self._events.get(run_id)
            if batch.events[0].seq != (len(stored) if stored else 0) + 1:
                self._refused.add(batch.token)
                return taken(batch)
            if stored is None:
                self._events[run_id] = list(batch.events)
            else:
                stored.extend(batch.events)
            if batch.change is not None:
                record = self._runs.get(run_id)
                self._runs[run_id] = created(batch) if record is None else changed(record, batch)
        for digest, content in batch.payloads:
            self._payloads.setdefault(digest, content)
        self._cache.update(batch.cache)
        self._signals.update(
            (signal.id, signal) for signal in batch.signals if signal.id not in self._signals
        )
        for received in batch.received:
            self._signals.pop(received, None)
        # There are no jobs: no worker could reach this memory.
        return self._ledger.apply(run_id, batch.ledger) if batch.ledger else ()

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return events of a run in order; see :meth:`JournalStore.events`."""
        self._check_open()
        stop = None if limit is None else after + limit
        return self._events.get(run_id, [])[after:stop]

    async def live_events(self, run_id: str) -> list[Event]:
        """Return the live events of a run in order; see :meth:`JournalStore.live_events`."""
        self._check_open()
        record = self._runs.get(run_id)
        if record is None:
            return []
        live = LivePart(record)
        live.add(reversed(self._events.get(run_id, [])))
        return live.events()

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run's record, or None."""
        self._check_open()
        return self._runs.get(run_id)

    async def runs(self, query: RunQuery) -> RunPage:
        """Return a page of runs, newest first."""
        self._check_open()
        with self._lock:
            records = list(self._runs.values())
        return page_of(records, query)

    async def orphans(self) -> list[str]:
        """Return the ids that events are kept under without a run's record."""
        self._check_open()
        with self._lock:
            return sorted(self._events.keys() - self._runs.keys())

    async def payload(self, digest: bytes) -> bytes:
        """Return the payload with this SHA-256; raise ``ChainBroken`` if it is missing or changed."""
        self._check_open()
        return intact(digest, self._payloads.get(digest))

    async def cached(self, key: str) -> bytes | None:
        """Return what was remembered under a cache key, or None."""
        self._check_open()
        return self._cache.get(key)

    async def signals(self, run_id: str) -> list[Signal]:
        """Return the events that are kept for a run, in the order they came."""
        self._check_open()
        with self._lock:
            kept = [signal for signal in self._signals.values() if signal.run_id == run_id]
        return sorted(kept, key=lambda signal: signal.at)

    async def balances(self, prefix: str = "") -> list[Balance]:
        """Return how the accounts stand whose names begin with a text."""
        self._check_open()
        with self._lock:
            return self._ledger.balances(prefix)

    async def reservations(self, run_id: str = "") -> list[Held]:
        """Return what reservations hold: of one run, or of all."""
        self._check_open()
        with self._lock:
            return self._ledger.reservations(run_id)

    async def tombstones(self, *, after: int = 0, limit: int = 1000) -> list[Tombstone]:
        """Return none: nothing is pruned from memory."""
        return []

    async def tombstone(self, run_id: str) -> Tombstone | None:
        """Return none: nothing is pruned from memory."""
        return None

    async def census(self) -> Census:
        """Return how many runs there are."""
        self._check_open()
        return Census(len(self._runs), len(self._runs), 0, GENESIS)

    async def close(self) -> None:
        """Refuse further use; closing twice is allowed."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed", fix="use a new store, or close it later")
