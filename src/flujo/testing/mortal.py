"""A store whose process dies: what a crash leaves behind, without the crash."""

from __future__ import annotations

import asyncio
from typing import Literal, cast

from flujo.errors import StoreUnavailable
from flujo.journal.events import Event
from flujo.journal.ledger import Balance, Held
from flujo.journal.store import (
    Batch,
    Census,
    Committed,
    JournalStore,
    RunPage,
    RunQuery,
    RunRecord,
    Signal,
    Tombstone,
)

Death = Literal["before", "after", "refused", "unacknowledged"]
DEATHS: tuple[Death, ...] = ("before", "after", "refused", "unacknowledged")


class Died(BaseException):
    """The process is dead: nothing it does from here on happened."""


class Mortal:
    """A store whose process dies, or whose disk fails, at one of its commits.

    ``before`` and ``after``: the process is dead, and the batch is not, or is, on the disk. ``refused`` and
    ``unacknowledged``: the same seen from a process that lives: the store says that it failed.

    Args:
        inner: What keeps the journal.
        at: The commit to fail at, counted from 1; 0 for never.
        death: How.

    Attributes:
        commits: How many commits were asked for.
        acknowledged: The events that the process was told are committed.
        dead: Whether the process is dead.
        last: The batch that it died, or failed, at.
    """

    def __init__(self, inner: JournalStore, at: int = 0, death: Death = "before") -> None:
        self._inner = inner
        self._at = at
        self._death = death
        self._failed = False
        self.commits = 0
        self.acknowledged: list[Event] = []
        self.dead = False
        self.last: Batch | None = None
        self._under_way: set[Committed] = set()

    def die(self) -> None:
        """End the process: what it still asks of the store raises."""
        self.dead = True

    def submit(self, batch: Batch) -> Committed:
        """Queue a batch; die, or fail, if this is the commit to do so."""
        if self.dead:
            raise Died
        self.commits += 1
        if self.commits != self._at and not self._failed:
            told = self._pass_on(batch)
            told.add_done_callback(lambda told: self._note(told, batch))
            return asyncio.shield(told)  # who no longer waits does not end the writing: see `settled`
        if not self._failed:
            self.last = batch
        if self._death in ("after", "unacknowledged") and not self._failed:
            self._pass_on(batch)
        if self._death in ("before", "after"):
            self.die()
            raise Died
        self._failed = True  # as a real store: what follows a batch that failed fails, too
        told: Committed = asyncio.get_running_loop().create_future()
        told.set_exception(StoreUnavailable("the disk failed"))
        return told

    async def settled(self) -> None:
        """Return when all that is on its way to the disk is there: a dead process still has it written."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _pass_on(self, batch: Batch) -> Committed:
        told = self._inner.submit(batch)
        self._under_way.add(told)
        told.add_done_callback(self._under_way.discard)
        return told

    def _note(self, told: Committed, batch: Batch) -> None:
        if not told.cancelled() and told.exception() is None:
            self.acknowledged += batch.events

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """See :meth:`JournalStore.events`."""
        return await self._inner.events(run_id, after=after, limit=limit)

    async def live_events(self, run_id: str) -> list[Event]:
        """See :meth:`JournalStore.live_events`."""
        return await self._inner.live_events(run_id)

    async def run(self, run_id: str) -> RunRecord | None:
        """See :meth:`JournalStore.run`."""
        return await self._inner.run(run_id)

    async def runs(self, query: RunQuery) -> RunPage:
        """See :meth:`JournalStore.runs`."""
        return await self._inner.runs(query)

    async def orphans(self) -> list[str]:
        """See :meth:`JournalStore.orphans`."""
        return await self._inner.orphans()

    async def payload(self, digest: bytes) -> bytes:
        """See :meth:`JournalStore.payload`."""
        return await self._inner.payload(digest)

    async def signals(self, run_id: str) -> list[Signal]:
        """See :meth:`JournalStore.signals`."""
        return await self._inner.signals(run_id)

    async def balances(self, prefix: str = "") -> list[Balance]:
        """See :meth:`JournalStore.balances`."""
        return await self._inner.balances(prefix)

    async def reservations(self, run_id: str = "") -> list[Held]:
        """See :meth:`JournalStore.reservations`."""
        return await self._inner.reservations(run_id)

    async def cached(self, key: str) -> bytes | None:
        """See :meth:`JournalStore.cached`."""
        return await self._inner.cached(key)

    async def tombstones(self, *, after: int = 0, limit: int = 1000) -> list[Tombstone]:
        """See :meth:`JournalStore.tombstones`."""
        return await self._inner.tombstones(after=after, limit=limit)

    async def tombstone(self, run_id: str) -> Tombstone | None:
        """See :meth:`JournalStore.tombstone`."""
        return await self._inner.tombstone(run_id)

    async def census(self) -> Census:
        """See :meth:`JournalStore.census`."""
        return await self._inner.census()

    async def close(self) -> None:
        """See :meth:`JournalStore.close`."""
        await self._inner.close()


def died(error: BaseException) -> bool:
    """Tell whether an error is a death or a failure of a :class:`Mortal` store, however it was wrapped."""
    if isinstance(error, BaseExceptionGroup):
        return all(died(one) for one in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return isinstance(error, Died | StoreUnavailable)
