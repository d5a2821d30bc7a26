"""What every store does alike: sound batches, run records, pages of runs, whole payloads, telling."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from flujo.errors import ChainBroken, ConfigError, FlujoError, RunConflict, RunTaken, StoreError
from flujo.journal.store import Batch, Committed, JournalStore, RunPage, RunQuery, RunRecord

PRUNED = "the run was pruned"
"""What a database says of a run that would begin under the name of a pruned one."""

if TYPE_CHECKING:
    from flujo.journal.ledger import Shortfall

FIRST, LAST = -(2**63), 2**63 - 1

Submission: TypeAlias = "tuple[Batch, Committed]"
Answers: TypeAlias = "dict[Committed, FlujoError | tuple[Shortfall, ...]]"
"""Why batches were not committed, or what was missing for their reservations, by what is awaited."""


def check(batch: Batch) -> None:
    """Raise ``StoreError`` for a batch that no store could commit, whatever it holds."""
    events = batch.events
    if not events:
        if batch.change is not None:
            raise _unsound(batch, "changes the run's record without an event")
        return
    first, last = events[0], events[-1]
    if last.seq - first.seq != len(events) - 1:
        raise _unsound(batch, f"skips from event {first.seq} to {last.seq} in {len(events)}")
    if first.run_id != batch.run_id or last.run_id != batch.run_id:
        raise _unsound(batch, f"holds events of run {last.run_id!r}")
    if first.seq == 1 and batch.change is None:
        raise _unsound(batch, "begins a run without its record")


def taken(batch: Batch) -> RunTaken:
    """Return what the writer of a refused batch is told."""
    start = f"event {batch.events[0].seq}" if batch.events else "a batch"
    return RunTaken(f"run {batch.run_id!r}: {start} was refused, another owner carries the run on")


def created(batch: Batch) -> RunRecord:
    """Return the record that a run's first batch makes."""
    change, last = batch.change, batch.events[-1]
    if change is None:  # `check` lets no such batch through
        raise _unsound(batch, "begins a run without its record")
    return RunRecord(
        run_id=batch.run_id,
        pipeline=change.pipeline,
        fingerprint=change.fingerprint,
        status=change.status,
        owner=change.owner,
        created_at=batch.events[0].at,
        updated_at=last.at,
        seq=last.seq,
        hash=last.hash,
    )


def changed(record: RunRecord, batch: Batch) -> RunRecord:
    """Return a run's record after a later batch; where it began and on which plan stays."""
    change, last = batch.change, batch.events[-1]
    if change is None:
        return record
    return replace(
        record, status=change.status, owner=change.owner, updated_at=last.at, seq=last.seq, hash=last.hash
    )


def page_of(records: Iterable[RunRecord], query: RunQuery) -> RunPage:
    """Return the page of the records that a query asks for."""
    at, run_id = position(query)
    fitting = (
        record
        for record in records
        if (not query.status or record.status in query.status)
        and (not query.pipeline or record.pipeline == query.pipeline)
        and (query.since is None or record.created_at >= query.since)
        and (query.until is None or record.created_at < query.until)
        and record.run_id.startswith(query.prefix)
        and (record.created_at, record.run_id) < (at, run_id)
    )
    newest = heapq.nlargest(query.limit + 1, fitting, key=lambda record: (record.created_at, record.run_id))
    return cut(newest, query.limit)


def cut(newest: list[RunRecord], limit: int) -> RunPage:
    """Return a page of runs, given at least one record more than the page where there is more."""
    runs = tuple(newest[:limit])
    return RunPage(runs, f"{runs[-1].created_at}.{runs[-1].run_id}" if len(newest) > limit else "")


def position(query: RunQuery) -> tuple[int, str]:
    """Return when and which run the page before ended with; raise ``ConfigError`` for a bad query."""
    if query.limit < 1:
        raise ConfigError(f"a page cannot hold {query.limit} runs", fix="ask for at least one")
    if not query.after:
        return LAST, ""
    at, dot, run_id = query.after.partition(".")
    try:
        return int(at if dot else ""), run_id
    except ValueError:
        raise ConfigError(
            f"{query.after!r} is not a cursor", fix="pass the `next` of the page before, or nothing"
        ) from None


def intact(digest: bytes, content: bytes | None) -> bytes:
    """Return a payload's bytes; raise ``ChainBroken`` if it is missing or not what its digest says."""
    if content is None:
        raise ChainBroken(f"payload {digest.hex()} is missing from the store")
    if sha256(content).digest() != digest:
        raise ChainBroken(f"payload {digest.hex()} was changed after it was written")
    return content


def _unsound(batch: Batch, what: str) -> StoreError:
    return StoreError(f"a batch of run {batch.run_id!r} {what}", fix="report this: it is a defect of Flujo")


def pruned(run_id: str) -> RunConflict:
    """Return what is told to who begins a run under the name of a pruned one."""
    return RunConflict(f"run {run_id!r} was pruned: its name stands for what it did", fix="use a new run id")


async def refuse_pruned(store: JournalStore, run_id: str) -> None:
    """Raise ``RunConflict`` if a name is that of a pruned run.

    The store refuses its record, too; that may be told after the first step has begun.
    """
    if await store.tombstone(run_id) is not None:
        raise pruned(run_id)


class Fence:
    """What a writer knows of the runs it writes, and of the tokens whose batches it turned away.

    Attributes:
        last: Where each run ends that this writer wrote to and that somebody carries on.
    """

    __slots__ = ("_failed", "_refused", "last")

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self._refused: set[str] = set()
        self._failed: dict[str, FlujoError] = {}  # tokens whose later batches wait for an earlier one

    def follows(self, batch: Batch, ends: Mapping[str, int]) -> bool:
        """Tell whether a batch surely continues its run; ``ends`` names events about to be written.

        A run that this writer has not written to may be new: the primary key knows better.
        """
        run_id, token, events = batch[:3]
        if token in self._refused or token in self._failed:
            return False
        return not events or events[0].seq == (ends.get(run_id) or self.last.get(run_id, 0)) + 1

    def refusal(self, batch: Batch, stored: int) -> FlujoError | None:
        """Tell why a batch cannot continue its run, whose journal ends with event ``stored``."""
        if batch.token in self._refused:
            return taken(batch)
        failed = self._failed.get(batch.token)
        if not batch.events:
            return None if failed is None else again(failed)
        before = batch.events[0].seq - 1
        if stored == before:
            return None
        # What follows a batch that failed is no second owner; it fails for the same reason.
        return again(failed) if failed is not None and stored < before else self.refuse(batch)

    def refuse(self, batch: Batch) -> FlujoError:
        """Turn away a second owner, for good."""
        self._refused.add(batch.token)
        return taken(batch)

    def unstorable(self, batch: Batch, reason: Exception) -> FlujoError:
        """Return what the writer of a batch is told that the store does not take."""
        error: FlujoError = StoreError(f"a batch of run {batch.run_id!r} cannot be stored: {reason}")
        if PRUNED in str(reason):
            error = pruned(batch.run_id)
        error.__cause__ = reason
        self._failed[batch.token] = error
        return error

    def failed(self, group: Iterable[Submission], error: StoreError, cause: BaseException | None) -> Answers:
        """Note that a group was not written, and may be submitted again."""
        error.__cause__ = cause
        answers: Answers = {}
        for batch, future in group:
            self._failed[batch.token] = error
            answers[future] = taken(batch) if batch.token in self._refused else again(error)
        return answers

    def written(self, batches: Iterable[Batch]) -> None:
        """Note where the runs end now."""
        for batch in batches:
            if not batch.events:
                continue
            if batch.change is not None and not batch.change.owner:
                self.last.pop(batch.run_id, None)  # nobody carries it on: look into the store next time
            else:
                self.last[batch.run_id] = batch.events[-1].seq
            if self._failed:
                self._failed.pop(batch.token, None)


def again(error: FlujoError) -> FlujoError:
    """Return a copy of an error: one instance raised in many tasks would mix up their tracebacks."""
    copy = type(error)(error.message, fix=error.fix)
    copy.__cause__ = error.__cause__
    return copy


def tell(futures: Iterable[Committed], answers: Answers) -> None:
    """Settle futures of whatever event loops, waking each loop once: done, or refused."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Committed]] = defaultdict(list)
    for future in futures:
        by_loop[future.get_loop()].append(future)
    for loop, waiting in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(settle, waiting, answers)


def settle(futures: Iterable[Committed], answers: Answers) -> None:
    """Settle futures of the event loop that is running."""
    for future in futures:
        if future.done():
            continue
        answer = answers.get(future, ()) if answers else ()
        if isinstance(answer, tuple):
            future.set_result(answer)
        else:
            future.set_exception(answer)
