"""The audit of a journal: its chain recomputed, its payloads and its record compared."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, cast, get_args

from flujo.errors import ChainBroken, StoreCorrupt, UnknownRun
from flujo.journal.events import GENESIS, Event, follows
from flujo.journal.store import ENDED, Census, JournalStore, RunQuery, RunRecord, RunStatus, Tombstone

PAGE = 1000

Fault = Literal["gap", "changed", "unreadable", "truncated", "payload", "record", "status"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a journal, at the first place where it is.

    Attributes:
        seq: The event; for a missing one, the place where it should be.
        address: That event's address; empty where there is none.
        fault: ``gap`` (events are missing before it), ``changed`` (it does not match its hash),
            ``unreadable``, ``truncated`` (the journal ends too early), ``payload`` (a large value is
            missing or changed), ``record`` (the run's record does not match the events) or ``status``
            (the record's status does not match how the journal ends).
        message: The same for people.
    """

    seq: int
    address: str
    fault: Fault
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one run: how many of its events are sound, and what is wrong with the next."""

    run_id: str
    events: int
    finding: Finding | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.finding is None


async def verify(store: JournalStore, run_id: str) -> Report:
    """Recompute a run's chain and compare its payloads and its record; only reads.

    A run may go on meanwhile. Of a run that has not ended, events cut off after its last change of
    status leave no trace.

    Raises:
        UnknownRun: Nothing is stored under this id; or it was pruned, even if only just now.
    """
    report = await _verified(store, run_id)
    if report.finding is not None and await was_pruned(store, run_id):
        raise UnknownRun(f"run {run_id!r} was pruned meanwhile")
    return report


async def was_pruned(store: JournalStore, run_id: str) -> bool:
    """Tell whether a tombstone is all there is of a run."""
    if await store.tombstone(run_id) is None:
        return False
    return await store.run(run_id) is None and not await store.events(run_id, limit=1)


async def _verified(store: JournalStore, run_id: str) -> Report:
    audit = _Audit(store, run_id)
    try:
        record = await store.run(run_id)
    except StoreCorrupt as error:
        return Report(run_id, 0, Finding(1, "", "unreadable", f"the run's record: {error.message}"))
    while True:
        if finding := await audit.read_on():
            return Report(run_id, audit.seq, finding)
        if record is None and audit.last is None:
            raise UnknownRun(f"no run is called {run_id!r}")
        finding = await audit.compare(record)
        if finding is None:
            return Report(run_id, audit.seq)
        again = await store.run(run_id)
        if again == record:
            return Report(run_id, audit.seq, finding)
        record = again  # it went on between the two readings


async def verify_all(store: JournalStore, query: RunQuery | None = None) -> AsyncIterator[Report]:
    """Verify the runs of a query one after the other, newest first; all runs when none is given.

    Events whose run's record is gone come last. Only their ids are known: a query for a status, a
    pipeline or a time leaves them out.
    """
    query = query or RunQuery()
    prefix = query.prefix
    by_id_only = not query.status and not query.pipeline and query.since is None and query.until is None
    while True:
        page = await store.runs(query)
        for record in page.runs:
            if report := await _named(store, record.run_id):
                yield report
        if not page.next:
            break
        query = replace(query, after=page.next)
    for run_id in await store.orphans() if by_id_only else ():
        if run_id.startswith(prefix) and (report := await _named(store, run_id)):
            yield report


async def _named(store: JournalStore, run_id: str) -> Report | None:
    """Verify a run that a list names, which may not be the name in the file; None if it was just pruned."""
    try:
        return await verify(store, run_id)
    except UnknownRun:
        if await was_pruned(store, run_id):
            return None
        nameless = Finding(1, "", "unreadable", "the name in the run's record cannot be read")
        return Report(run_id, 0, nameless)


class _Audit:
    """How far a run has been checked, and what was found there."""

    def __init__(self, store: JournalStore, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._sound_payloads: set[str] = set()
        self.first: Event | None = None
        self.last: Event | None = None
        self.seq = 0

    async def read_on(self) -> Finding | None:
        """Check the events from here to the end."""
        size = PAGE
        while True:
            try:
                page = await self._store.events(self._run_id, after=self.seq, limit=size)
            except StoreCorrupt as error:
                if size == 1:
                    return Finding(self.seq + 1, "", "unreadable", f"event {self.seq + 1}: {error.message}")
                size = 1  # find out which
                continue
            for event in page:
                finding = broken_link(self.last, event)
                if finding is None and b'_ref"' in event.body:
                    finding = await self._bad_payload(event)
                if finding is not None:
                    return finding
                self.first = self.first or event
                self.last, self.seq = event, event.seq
            if len(page) < size:
                return None

    async def _bad_payload(self, event: Event) -> Finding | None:
        for digest in references(event.body):
            if digest in self._sound_payloads:
                continue
            try:
                await self._store.payload(bytes.fromhex(digest))
            except (ChainBroken, ValueError) as error:
                return _at(event, "payload", f"event {event.seq}: {error}")
            self._sound_payloads.add(digest)
        return None

    async def compare(self, record: RunRecord | None) -> Finding | None:
        """Compare the run's record with the events, all of which are sound."""
        first, last = self.first, self.last
        if record is None:
            return Finding(1, "", "record", "the run has events but no record")
        if first is None or last is None or last.seq < record.seq:
            missing = f"events {self.seq + 1} to {record.seq} are missing: the journal was cut off"
            return Finding(self.seq + 1, "", "truncated", missing)
        found = await self._store.events(self._run_id, after=record.seq - 1, limit=1)
        if not found:
            return Finding(record.seq, "", "truncated", f"event {record.seq} went while it was looked at")
        named = found[0]
        if (named.seq, named.hash) != (record.seq, record.hash):
            return _at(named, "record", f"the run's record names another event {record.seq} than the journal")
        if (first.at, named.at) != (record.created_at, record.updated_at):
            return _at(named, "record", "the run's record names other times than the journal")
        return bad_status(record, first, last)


def broken_link(previous: Event | None, event: Event) -> Finding | None:
    """Tell what is wrong with an event, given the one before it (None before the first)."""
    expected, before = (1, GENESIS) if previous is None else (previous.seq + 1, previous.hash)
    if event.seq != expected:
        missing = (
            f"event {expected} is"
            if event.seq == expected + 1
            else f"events {expected} to {event.seq - 1} are"
        )
        return Finding(expected, "", "gap", f"{missing} missing")
    if follows(event, before):
        return None
    return _at(event, "changed", f"event {event.seq} was changed: it does not match its hash")


def references(body: bytes) -> Iterator[str]:
    """Yield the hashes, in hex, of the payloads that an event's body stands on."""
    facts = _facts(body)
    parts = facts.get("parts")
    for level in (facts, *(cast("list[Any]", parts) if isinstance(parts, list) else (parts,))):
        if isinstance(level, dict):
            for key, value in cast("dict[str, Any]", level).items():
                if key.endswith("_ref") and isinstance(value, str):
                    yield value


def bad_status(record: RunRecord, first: Event, last: Event) -> Finding | None:
    """Tell whether a run's record says otherwise than how its journal begins and ends."""
    begun = _facts(first.body) if first.kind == "run.started" else {}
    for name, value in (("pipeline", record.pipeline), ("fingerprint", record.fingerprint)):
        if begun.get(name, value) != value:
            return _at(
                first, "record", f"the run's record names {name} {value!r}, the journal {begun[name]!r}"
            )
    if last.kind == "run.ended":
        status = _facts(last.body).get("status", record.status)
        if record.status not in ENDED or record.status != status:
            return _at(
                last, "status", f"the run's record says {record.status}, the journal that it ended {status}"
            )
    elif record.status in ENDED or record.status not in get_args(RunStatus):
        return _at(last, "status", f"the run's record says {record.status}, the journal has not ended")
    return None


def _facts(body: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", facts) if isinstance(facts, dict) else {}


def _at(event: Event, fault: Fault, message: str) -> Finding:
    return Finding(event.seq, event.address, fault, message)


async def verify_tombstones(store: JournalStore) -> tuple[int, str]:
    """Recompute the chain of what is kept of pruned runs, and count: no run is gone without a tombstone.

    Returns:
        How many are sound, and what is wrong with the next; empty where nothing is.
    """
    last: Tombstone | None = None
    count = 0
    while True:
        page = await store.tombstones(after=count, limit=PAGE)
        for stone in page:
            wrong = _broken_tombstone(last, stone)
            if wrong:
                return count, wrong
            last, count = stone, stone.number
        census = await store.census()
        if census.number > count and await store.tombstones(after=count, limit=1):
            continue  # some were pruned just now
        return count, await _missing(store, census, last)


async def _missing(store: JournalStore, census: Census, last: Tombstone | None) -> str:
    """Tell whether a census names another last tombstone, or more runs than there are."""
    number, head = (0, GENESIS) if last is None else (last.number, last.hash)
    if census.number > number:
        return f"tombstone {number + 1} is missing"
    if (census.number, census.hash) != (number, head):
        return f"tombstone {number} is not the one that was written last"
    gone = census.begun - census.kept - census.number
    if gone > 0:
        gone -= len(await store.orphans())  # whose events are still there: they are reported by themselves
    if gone == 0:
        return ""
    what = "run is" if abs(gone) == 1 else "runs are"
    return f"{gone} {what} gone without a tombstone" if gone > 0 else f"{-gone} {what} there that never began"


def _broken_tombstone(previous: Tombstone | None, stone: Tombstone) -> str:
    expected = 1 if previous is None else previous.number + 1
    if stone.number != expected:
        return f"tombstone {expected} is missing"
    before = GENESIS if previous is None else previous.hash
    return "" if tombstone_hash(before, stone) == stone.hash else f"tombstone {stone.number} was changed"


def tombstone_hash(before: bytes, stone: Tombstone) -> bytes:
    """Return the hash of a tombstone, given the hash of the one before it."""
    facts = [fact.hex() if isinstance(fact, bytes) else fact for fact in stone[:-1]]
    return sha256(before + json.dumps(facts, ensure_ascii=False).encode()).digest()
