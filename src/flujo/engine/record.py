"""One run's journal while it runs: what is written to it, and what it already knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import PydanticSerializationError, from_json, to_json

from flujo.errors import PlanChanged, RecordError, RunTaken, StoreError
from flujo.journal.events import GENESIS, Event, EventKind, link
from flujo.journal.store import Batch, Committed, Job, JournalStore, StatusChange
from flujo.pipeline.info import NO_USAGE, Usage
from flujo.plan.codec import Codec
from flujo.plan.types import type_name
from flujo.plan.unrecordable import Unrecordable

if TYPE_CHECKING:
    from flujo.journal.ledger import LedgerEntry, Shortfall

INLINE = 4096
"""Values of more bytes than this are stored once, by hash, beside the events."""

PATIENCE = 1.0
"""Seconds that a run which is interrupted waits for its store."""

OUTPUT_APART = b'{"output_ref"'
"""How the body of an execution begins whose output is stored beside the events."""

_DONE = frozenset({"step.completed", "node.completed", "turn", "choice"})
_NO_SLOTS: Mapping[str, bytes] = {}


class Memo(NamedTuple):
    """What is known of an execution that ended.

    Attributes:
        output: What it gave; for a choice, the case's label.
        usage: What it used, all inside it included.
        attempts: How many attempts it took.
        duration: Seconds it took.
        patch: What it changed in the context, as :mod:`flujo.engine.patch` writes it.
        slots: The outputs inside it that later steps name, by path.
        last: For a loop's turn, whether the loop ended with it.
        stood_in: For a step of a run without a store, whether its fallback gave the output.
    """

    output: Any
    usage: Usage = NO_USAGE
    attempts: int = 1
    duration: float = 0.0
    patch: Any = None
    slots: Mapping[str, Any] = _NO_SLOTS
    last: bool = False
    stood_in: bool = False


class Note(NamedTuple):
    """Something that happened on the way: an attempt, a request, an answer, a timer, an effect."""

    kind: EventKind
    body: dict[str, Any]


@dataclass(slots=True)
class Recall:
    """What a journal knows already, by address.

    Attributes:
        done: Executions that ended: a :class:`Memo`, or the bytes of the event's body.
        notes: What happened on the way, in order.
        labelled: Whether it says of any value what it holds.
    """

    done: dict[str, Memo | bytes]
    notes: dict[str, list[Note]]
    labelled: bool = False

    @staticmethod
    def of(events: Iterable[Event]) -> Recall:
        """Read events, leaving the bodies of ended executions as bytes until they are asked for."""
        done: dict[str, Memo | bytes] = {}
        notes: dict[str, list[Note]] = {}
        labelled = False
        for event in events:
            if event.kind in _DONE:
                done[event.address] = event.body
            else:
                notes.setdefault(event.address, []).append(Note(event.kind, from_json(event.body)))
                labelled = labelled or event.kind == "labelled"
        return Recall(done, notes, labelled)


class Recorder:
    """The one writer of a run's journal.

    Appending only queues an event; :meth:`commit` is the barrier that the engine puts before every
    effect and before anything is told to the caller, so a step costs one commit.

    Args:
        store: Where the journal is kept.
        run_id: The run.
        token: This writer's fencing token.
        clock: Gives the time in microseconds since the Unix epoch.
        seq: The last event that is stored.
        head: That event's hash.
        wait: Whether :meth:`commit` waits for the store.
    """

    __slots__ = (
        "_cache", "_change", "_clock", "_given_up", "_handed", "_jobs", "_last", "_ledger", "_payloads",
        "_received", "_wait", "head", "pending", "run_id", "seq", "store", "token",
    )  # fmt: skip

    def __init__(
        self,
        store: JournalStore,
        run_id: str,
        token: str,
        clock: Callable[[], int],
        *,
        seq: int = 0,
        head: bytes = GENESIS,
        wait: bool = True,
    ) -> None:
        self.store = store
        self.run_id = run_id
        self.token = token
        self.seq = seq
        self.head = head
        self.pending: list[Event] = []
        self._clock = clock
        self._wait = wait
        self._payloads: list[tuple[bytes, bytes]] = []
        self._cache: list[tuple[str, bytes]] = []
        self._jobs: list[Job] = []
        self._received: list[str] = []
        self._ledger: list[LedgerEntry] = []
        self._change: StatusChange | None = None
        self._last: Committed | None = None
        self._handed: Committed | None = None
        self._given_up = False

    def append(self, kind: EventKind, address: str, body: bytes) -> None:
        """Queue one event."""
        self.seq = seq = self.seq + 1
        at = self._clock()
        self.head = head = link(self.head, self.run_id, seq, kind, address, at, body)
        self.pending.append(Event(self.run_id, seq, kind, address, at, body, head))

    def keep(self, payload: bytes) -> str:
        """Queue a large value and return the hash, in hex, that stands for it."""
        digest = sha256(payload)
        self._payloads.append((digest.digest(), payload))
        return digest.hexdigest()

    def remember(self, key: str, value: bytes) -> None:
        """Queue a cached result."""
        self._cache.append((key, value))

    def ask_for(self, job: Job) -> None:
        """Ask workers, with the events queued now, to carry the run on."""
        self._jobs.append(job)

    def receive(self, signal: str) -> None:
        """Say that the run takes a kept event in, with the events queued now."""
        self._received.append(signal)

    def settle(self, entry: LedgerEntry) -> None:
        """Queue what becomes of a reservation, for the commit of the events queued now."""
        self._ledger.append(entry)

    async def reserve(self, entry: LedgerEntry) -> tuple[Shortfall, ...]:
        """Commit a reservation with all that is queued; return what was missing, for it or for others."""
        self._ledger.append(entry)
        self.submit()
        assert self._last is not None
        return await self._last

    def change(self, change: StatusChange) -> None:
        """Say what becomes of the run's record with the events queued now.

        A run that ends before its beginning was committed keeps the names that it begins with.
        """
        before = self._change
        if before is not None and before.pipeline:
            change = replace(change, pipeline=before.pipeline, fingerprint=before.fingerprint)
        self._change = change

    def submit(self) -> None:
        """Hand what is queued to the store, without waiting."""
        if self._given_up:
            raise RunTaken(f"run {self.run_id} has ended; this step was given up")
        batch = Batch(self.run_id, self.token, self.pending, self._change, self._payloads, self._cache)
        if self._jobs or self._received or self._ledger:
            batch = batch._replace(jobs=self._jobs, received=self._received, ledger=self._ledger)
            self._jobs, self._received, self._ledger = [], [], []
        self.pending, self._change = [], None
        if self._payloads or self._cache:
            self._payloads, self._cache = [], []
        self._last = self.store.submit(batch)
        if not self._wait:
            self._last.add_done_callback(_seen)

    async def commit(self, *, sure: bool = False, later: bool = False) -> None:
        """Return when everything appended so far is in the store.

        Args:
            sure: Wait also where durability is asynchronous.
            later: Only hand it to the store: whoever commits next waits for it.
        """
        last = self._last
        waits = (sure or self._wait) and not later
        if not self.pending:
            if last is None:
                return
            if last.done() and not last.cancelled():
                last.result()
                return
            if not waits:
                return
            if last is self._handed:
                await asyncio.shield(last)
                return
        # The future is this caller's own, so that its cancellation is nobody else's. What others
        # submitted is committed before: a store keeps the order.
        self.submit()
        last = self._last
        assert last is not None
        if waits:
            await last
        elif later:
            self._handed = last
            last.add_done_callback(_seen)

    async def landed(self) -> None:
        """Wait until the store has all that was handed to it, unless that takes long.

        Also what nobody waits for any more: whoever carries the run on at once is not to find it half there,
        and be refused when the rest arrives.
        """
        if self._last is None and not self.pending:
            return
        with suppress(StoreError):  # it is closed, and has what it has
            self.submit()
            last = self._last
            assert last is not None
            last.add_done_callback(_seen)
            await asyncio.wait({last}, timeout=PATIENCE)

    def detach(self) -> Recorder:
        """Return a writer that goes on where this one stands; this one writes nothing any more.

        For code that was given up and may still be running.
        """
        heir = Recorder(
            self.store, self.run_id, self.token, self._clock, seq=self.seq, head=self.head, wait=self._wait
        )
        heir.pending, heir._payloads, heir._cache, heir._change = (
            self.pending,
            self._payloads,
            self._cache,
            self._change,
        )
        heir._jobs, heir._received, heir._ledger = self._jobs, self._received, self._ledger
        heir._last = self._last
        self.pending, self._payloads, self._cache, self._change = [], [], [], None
        self._jobs, self._received, self._ledger = [], [], []
        self._given_up = True
        return heir

    async def recorded(self, body: bytes, codec: Codec, address: str) -> Memo:
        """Read the body of an execution that ended.

        Raises:
            PlanChanged: Its output does not fit the declared type any more.
        """
        facts: dict[str, Any] = from_json(body)
        return Memo(
            await self.value(facts, codec, address),
            read_usage(facts.get("usage")),
            facts.get("attempts", 1),
            facts.get("took", 0) / 1e6,
            facts.get("patch"),
            facts.get("slots", _NO_SLOTS),
            facts.get("last", False),
        )

    async def value(self, facts: Mapping[str, Any], codec: Codec, address: str) -> Any:
        """Read the output that stands in a body, or in a payload of its own.

        Raises:
            PlanChanged: It does not fit the declared type any more.
        """
        return read_output(codec, await self.parsed(facts), address)

    async def parsed(self, facts: Mapping[str, Any]) -> Any:
        """Return the JSON of the output that stands in a body, or in a payload of its own."""
        if "output" in facts:
            return facts["output"]
        return from_json(await self.store.payload(bytes.fromhex(facts["output_ref"])))

    def member(self, output: Any, codec: Codec, address: str) -> bytes:
        """Return the member of a body that holds an output.

        Raises:
            RecordError: It cannot be recorded.
        """
        try:
            return self.written(codec.dump(output))
        except Unrecordable as error:
            raise RecordError(error.message, step=address, address=address, fix=error.fix) from error

    def written(self, output: bytes) -> bytes:
        """Return the member of a body that holds an output, or the hash of a large one."""
        if len(output) <= INLINE:
            return b'"output":' + output
        return b'"output_ref":"%b"' % self.keep(output).encode()


def read_output(codec: Codec, written: Any, address: str) -> Any:
    """Return a value of its parsed JSON.

    Raises:
        PlanChanged: The declared type has changed since, and the value does not fit it.
    """
    try:
        return codec.load_parsed(written)
    except ValueError:  # its text may hold the value
        what = f"what {address!r} gave" if address else "the run's input"
        raise PlanChanged(
            f"{what} was recorded as another {type_name(codec.annotation)} than the pipeline's",
            addresses=(address,),
            fix="resume the run with the code that it began with",
        ) from None


def _seen(future: Committed) -> None:
    """Look at a commit that nobody may wait for: the next one fails for the same reason, and is told."""
    if not future.cancelled():
        future.exception()


def write_note(body: Any) -> bytes:
    """Return what is noted on the way as JSON; what of its texts no UTF-8 holds is escaped.

    A file's name may bring in an unpaired surrogate, or what a model says: a run does not break at it.
    """
    try:
        return to_json(body)
    except PydanticSerializationError:
        return to_json(_escaped(body))


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_escaped(key): _escaped(held) for key, held in cast("dict[Any, Any]", value).items()}
        case list() | tuple():
            return [_escaped(held) for held in cast("Sequence[Any]", value)]
        case _:
            return value


def write_usage(usage: Usage) -> bytes:
    """Return a usage as JSON: requests, tokens in, tokens out, cost; then the rest, if any."""
    return to_json(usage_parts(usage))


def usage_parts(usage: Usage) -> list[int | str]:
    """Return what is written of a usage."""
    written = [usage.requests, usage.input_tokens, usage.output_tokens, str(usage.cost)]
    more = [usage.tool_calls, usage.steps, usage.microseconds]
    return [*written, *more] if any(more) else written


def read_usage(written: Sequence[Any] | None) -> Usage:
    """Return a usage from its JSON."""
    if not written:
        return NO_USAGE
    return Usage(written[0], written[1], written[2], Decimal(written[3]), *written[4:])
