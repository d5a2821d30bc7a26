"""The port of the journal: what every store does, and the records it hands out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from flujo.journal.events import Event

if TYPE_CHECKING:  # what is loaded where accounts are kept, and only there
    from flujo.journal.ledger import Balance, Held, LedgerEntry, Shortfall

RunStatus = Literal["queued", "running", "paused", "completed", "failed", "cancelled", "stopped"]
ENDED: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled", "stopped"})

Committed: TypeAlias = "asyncio.Future[tuple[Shortfall, ...]]"
"""Done when a batch is committed: with what was missing for those of its reservations that were not made."""

_SHORT = 63 - len("procrastinate_queue_v1#")


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What a batch changes about its run as a whole.

    Attributes:
        status: The new status.
        owner: Who carries the run on (``host:pid:start``); empty when nobody does.
        pipeline: The pipeline's name; given when the run is created.
        fingerprint: The plan's fingerprint; given when the run is created.
    """

    status: RunStatus
    owner: str = ""
    pipeline: str = ""
    fingerprint: str = ""


class Job(NamedTuple):
    """A request to workers: carry a run on until it ends or waits. It is a hint, and may come twice.

    Attributes:
        run_id: The run.
        queue: Which workers may take it: those that serve this plan of this pipeline.
        due: Not before this time, in microseconds since the Unix epoch; 0 for as soon as possible.
        priority: Of two that are due, the one with the higher priority goes first.
        tenant: On whose behalf; limits may be set by it.
    """

    run_id: str
    queue: str
    due: int = 0
    priority: int = 0
    tenant: str = ""


def queue_of(pipeline: str, fingerprint: str) -> str:
    """Return the queue of a plan's runs: only workers that have the plan can carry them on."""
    return f"{pipeline[:100]}@{fingerprint[:12]}"


def short_queue(queue: str) -> str:
    """Return a queue's name as PostgreSQL takes it: what is announced has a channel of 63 bytes at most."""
    if len(queue.encode()) <= _SHORT:
        return queue
    pipeline, _, fingerprint = queue.rpartition("@")
    begins = pipeline.encode()[: _SHORT - 22].decode(errors="ignore")
    return f"{begins}~{sha256(queue.encode()).hexdigest()[:8]}@{fingerprint}"


class Signal(NamedTuple):
    """An event from outside, kept until the run that it is for asks for it.

    Attributes:
        id: Its name among all; delivered twice under one name, it is one.
        run_id: The run that it is for.
        name: The event's name.
        at: When it came, in microseconds since the Unix epoch.
        payload: Its payload: the bytes of one JSON value.
    """

    id: str
    run_id: str
    name: str
    at: int
    payload: bytes


class Tombstone(NamedTuple):
    """What is kept of a run whose journal was removed on purpose.

    Attributes:
        number: Its place among the tombstones, from 1, without gaps.
        run_id: The run.
        pipeline: The pipeline's name.
        status: How the run ended.
        created_at: When it began, in microseconds since the Unix epoch.
        ended_at: When it ended, likewise.
        events: How many events its journal had.
        last_hash: The hash of the last one: a journal found elsewhere can be told to be this one.
        pruned_at: When it was removed.
        hash: SHA-256 over the hash of the tombstone before and all of these.
    """

    number: int
    run_id: str
    pipeline: str
    status: str
    created_at: int
    ended_at: int
    events: int
    last_hash: bytes
    pruned_at: int
    hash: bytes


class Census(NamedTuple):
    """How many runs there were, at one moment: none that was begun is missing unless it was pruned.

    Attributes:
        begun: How many runs were ever begun.
        kept: How many records of runs there are.
        number: The number of the last tombstone; 0 without one.
        hash: Its hash.
    """

    begun: int
    kept: int
    number: int
    hash: bytes


class Batch(NamedTuple):
    """Events of one run that are committed together, or not at all.

    A batch that changes the run's record holds an event, and a run's first batch makes its record. What
    the record says of time is taken from the events: it began with the first, and changed with the last.

    Attributes:
        run_id: The run.
        token: The writer's fencing token: once one of its batches was refused, all are.
        events: Consecutive events; the first continues the run's stored sequence.
        change: What becomes of the run's own record.
        payloads: Large values by the SHA-256 of their bytes; stored once.
        cache: Results to remember beyond the run, by key.
        jobs: Requests to workers; one that waits already, for the same run and time, is not made again.
        signals: Events from outside that are to be kept for the run.
        received: The ids of kept events that the run has taken in.
        ledger: Reservations, and what becomes of those that were made before. One that does not fit is not
            made, and is told; the rest of the batch is committed.
    """

    run_id: str
    token: str
    events: Sequence[Event]
    change: StatusChange | None = None
    payloads: Sequence[tuple[bytes, bytes]] = ()
    cache: Sequence[tuple[str, bytes]] = ()
    jobs: Sequence[Job] = ()
    signals: Sequence[Signal] = ()
    received: Sequence[str] = ()
    ledger: Sequence[LedgerEntry] = ()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as lists show it.

    Attributes:
        run_id: Its name.
        pipeline: The name of the pipeline it runs.
        fingerprint: The fingerprint of the plan it began with.
        status: Where it stands.
        owner: Who carries it on; empty when nobody does.
        created_at: When it began, in microseconds since the Unix epoch.
        updated_at: When its status last changed, likewise.
        seq: Its last event when its status last changed.
        hash: That event's hash: a journal cut off before it is noticed.
    """

    run_id: str
    pipeline: str
    fingerprint: str
    status: RunStatus
    owner: str
    created_at: int
    updated_at: int
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list: newest first, a page at a time.

    Attributes:
        status: Only these statuses; all when empty.
        pipeline: Only runs of the pipeline with this name.
        since: Only runs created at or after this time, in microseconds since the Unix epoch.
        until: Only runs created before this time.
        prefix: Only runs whose id starts with this.
        limit: How many runs a page holds.
        after: The cursor that the page before gave.
    """

    status: Sequence[RunStatus] = ()
    pipeline: str = ""
    since: int | None = None
    until: int | None = None
    prefix: str = ""
    limit: int = 50
    after: str = ""


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs, and the cursor to the next (empty after the last)."""

    runs: Sequence[RunRecord] = field(default_factory=tuple[RunRecord, ...])
    next: str = ""


class JournalStore(Protocol):
    """Where journals are kept. Only the engine appends to them.

    A store is used from any event loop and any thread; every method raises
    :class:`flujo.errors.StoreError` for what is the store's own failure.
    """

    def submit(self, batch: Batch) -> Committed:
        """Queue a batch and return a future of the running loop, done when it is committed.

        Its result is empty, unless there was not enough left for a reservation of the batch's ledger: then
        it says what was missing, and for which.

        Batches of one store are committed in the order of submission; those that wait while a
        commit is under way share the next one. A batch whose first event does not continue the
        stored sequence is refused with ``RunTaken``, and so is every later batch of its token;
        the batches of other runs are not affected. A batch that the store failed to write may be
        submitted again; those of its token that were queued behind it fail as it did.
        """
        ...

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return the events of a run whose ``seq`` is greater than ``after``, in order, at most ``limit``."""
        ...

    async def live_events(self, run_id: str) -> list[Event]:
        """Return the events of a run in order, without those that a recorded composite covers.

        Every event is checked against its hash, and the journal's end against the run's record:
        ``ChainBroken`` is raised when something is missing or was changed.

        A ``node.completed`` or ``turn`` event covers every earlier event below its address (the
        addresses that begin with it and ``/``, ``[`` or ``#``), which is then not held in memory.
        """
        ...

    async def run(self, run_id: str) -> RunRecord | None:
        """Return a run's record, or None when no run has this id."""
        ...

    async def runs(self, query: RunQuery) -> RunPage:
        """Return a page of runs, newest first."""
        ...

    async def orphans(self) -> list[str]:
        """Return, in order, the ids that events are kept under without a run's record: damage made them."""
        ...

    async def payload(self, digest: bytes) -> bytes:
        """Return the payload with this SHA-256; raise ``ChainBroken`` if it is missing or changed."""
        ...

    async def cached(self, key: str) -> bytes | None:
        """Return what was remembered under a cache key, or None."""
        ...

    async def signals(self, run_id: str) -> list[Signal]:
        """Return the events that are kept for a run and that it has not taken in, in the order they came."""
        ...

    async def balances(self, prefix: str = "") -> list[Balance]:
        """Return how the accounts stand whose names begin with a text, by name and meter."""
        ...

    async def reservations(self, run_id: str = "") -> list[Held]:
        """Return what reservations hold that were not settled yet: of one run, or of all."""
        ...

    async def tombstones(self, *, after: int = 0, limit: int = 1000) -> list[Tombstone]:
        """Return what is kept of pruned runs, in order, from the one numbered after ``after`` on."""
        ...

    async def tombstone(self, run_id: str) -> Tombstone | None:
        """Return what is kept of one pruned run, or None."""
        ...

    async def census(self) -> Census:
        """Return how many runs there were, and which tombstone is the last."""
        ...

    async def close(self) -> None:
        """Commit what is queued and release the store; closing twice is allowed."""
        ...
