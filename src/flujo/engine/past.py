"""A recorded run, read whole: every event, not only what a resume needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic_core import from_json
from typing_extensions import override

from flujo.engine.clock import Clock
from flujo.engine.record import Memo, Note, Recall, Recorder, read_usage
from flujo.engine.requests import pending
from flujo.errors import ChainBroken, UnknownRun
from flujo.journal.events import Event, EventKind
from flujo.journal.memory import MemoryStore
from flujo.journal.store import JournalStore, RunRecord
from flujo.journal.verify import PAGE, broken_link
from flujo.pipeline.info import NO_USAGE, Usage

DECIDED = frozenset({"node.completed", "turn", "choice"})
"""What the engine made itself of what its steps gave: a replay makes it again."""


@dataclass(frozen=True)
class Past:
    """A run as its journal tells it from the first event to the last.

    Attributes:
        record: The run's record.
        events: All of its events, each checked against its hash.
    """

    record: RunRecord
    events: Sequence[Event]

    @staticmethod
    async def of(store: JournalStore, run_id: str) -> Past:
        """Read a run of a store.

        Raises:
            UnknownRun: The store has none of this id.
            ChainBroken: An event is missing or was changed.
        """
        record = await store.run(run_id)
        if record is None:
            raise UnknownRun(f"no run has the id {run_id!r}")
        events: list[Event] = []
        while True:
            page = await store.events(run_id, after=len(events), limit=PAGE)
            for event in page:
                finding = broken_link(events[-1] if events else None, event)
                if finding is not None:
                    raise ChainBroken(f"run {run_id}: {finding.message}")
                events.append(event)
            if len(page) < PAGE:
                break
        if not events or events[-1].seq < record.seq:
            raise ChainBroken(f"run {run_id}: its journal ends before event {record.seq}")
        return Past(record, events)

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The body of the event that the run began with."""
        return from_json(self.events[0].body)

    @cached_property
    def made_by(self) -> Mapping[str, Any]:
        """The body of the event that names the plan the run goes by: its first, or its last upgrade."""
        upgrades = [event for event in self.events if event.kind == "run.upgraded"]
        return from_json(upgrades[-1].body) if upgrades else self.facts

    @cached_property
    def ending(self) -> Mapping[str, Any]:
        """The body of the event that the run ended with; empty while it has not."""
        last = self.events[-1]
        return from_json(last.body) if last.kind == "run.ended" else {}

    @cached_property
    def decided(self) -> Mapping[str, Event]:
        """What the engine decided, by address: choices, turns, composites."""
        return {event.address: event for event in self.events if event.kind in DECIDED}

    @cached_property
    def steps(self) -> Mapping[str, Event]:
        """The executions of steps that gave an output of their own, by address."""
        return {event.address: event for event in self.events if event.kind == "step.completed"}

    def used(self, unless: Collection[str] = ()) -> Usage:
        """Return what all steps used, as their own events tell, but for unfinished ones at some addresses."""
        used = NO_USAGE
        for event in self.events:
            part = event.kind in ("step.attempt", "step.discarded") and (
                event.address not in self.steps and event.address not in unless
            )
            if (part or event.kind == "step.completed") and b'"usage"' in event.body:
                used += read_usage(from_json(event.body).get("usage"))
        return used

    def waiting(self) -> set[str]:
        """Return the addresses of the steps in whose middle the run waits for a person."""
        asked = pending(self.recall().notes, self.record.run_id)
        return {one.address.partition("#")[0] for one in asked}

    def recall(self) -> Recall:
        """Return what is answered from the journal: steps, and what happened on the way; nothing decided."""
        done: dict[str, Memo | bytes] = {}
        notes: dict[str, list[Note]] = {}
        for event in self.events:
            if event.kind == "step.completed":
                done[event.address] = event.body
            elif event.kind not in DECIDED:
                notes.setdefault(event.address, []).append(Note(event.kind, from_json(event.body)))
        return Recall(done, notes)


class Remake(Recorder):
    """A writer that writes nothing: it keeps what a replay would have recorded, to be compared.

    Attributes:
        made: What the engine decided anew, in order: kind, address, body.
        large: The large values of it, by the hash that stands for them.

    Args:
        store: Where the run is recorded.
        run_id: The run.
        seen: Is shown what was decided.
    """

    __slots__ = ("_seen", "large", "made")

    def __init__(
        self, store: JournalStore, run_id: str, seen: Callable[[EventKind, str, bytes], None]
    ) -> None:
        super().__init__(_Answers(store), run_id, "", lambda: 0)
        self._seen = seen
        self.made: list[tuple[EventKind, str, bytes]] = []
        self.large: dict[str, bytes] = {}

    @override
    def append(self, kind: EventKind, address: str, body: bytes) -> None:
        if kind in DECIDED:
            self.made.append((kind, address, body))
            self._seen(kind, address, body)

    @override
    def keep(self, payload: bytes) -> str:
        digest = super().keep(payload)
        self._payloads.clear()
        self.large[digest] = payload
        return digest

    @override
    def submit(self) -> None:
        raise AssertionError("a replay writes nothing")

    @override
    async def commit(self, *, sure: bool = False, later: bool = False) -> None:
        return


class _Answers(MemoryStore):
    """The store of a replay: it gives the recorded payloads, no cached result, no event from outside."""

    def __init__(self, store: JournalStore) -> None:
        super().__init__()
        self._store = store

    @override
    async def payload(self, digest: bytes) -> bytes:
        return await self._store.payload(digest)


class PastClock(Clock):
    """The time of a replay: that of the run's last event. Nobody waits.

    Args:
        past: The run; once it completed, every time it waited for is over.
    """

    def __init__(self, past: Past) -> None:
        over = past.record.status == "completed"
        self._now = 2**62 if over else max(event.at for event in past.events)

    @override
    def now(self) -> int:
        return self._now

    @override
    async def sleep(self, seconds: float) -> None:
        return

    @override
    def chance(self) -> float:
        return 0.0
