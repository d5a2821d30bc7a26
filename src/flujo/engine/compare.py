"""Comparing two runs by their journals alone: what went in and came out, step by step, and what it took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic_core import from_json

from flujo.engine.record import read_usage
from flujo.errors import UnknownRun
from flujo.journal.events import Event, EventKind
from flujo.journal.store import JournalStore, RunRecord
from flujo.pipeline.info import NO_USAGE, Usage

PAGE = 1000

_SHOWN: Mapping[EventKind, str] = {
    "step.completed": "step",
    "node.completed": "composite",
    "turn": "turn",
    "choice": "choice",
    "answer": "answer",
    "effect": "effect",
}
"""The events that a comparison looks at, and what it calls them."""
Aspect = Literal["attempts", "context", "decision", "missing", "output", "usage"]
_MISSING: Aspect = "missing"


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happened in a run.

    Attributes:
        kind: ``step``, ``composite``, ``turn``, ``choice``, ``answer`` or ``effect``.
        output: What it gave, as JSON; of a large value, its SHA-256.
        patch: What it changed in the context, as recorded.
        attempts: How many attempts it took.
        took: Seconds it took.
        usage: What it used.
        decision: Of an answer: what was decided, by whom, by which way.
    """

    kind: str
    output: Any = None
    patch: Any = None
    attempts: int = 1
    took: float = 0.0
    usage: Usage = NO_USAGE
    decision: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs.

    Attributes:
        record: Its record.
        input: What it began with.
        output: What it gave, as JSON; None unless completed.
        error: Why it failed, in words.
        context: Its context as its journal leaves it, as JSON.
        usage: What it used in all.
        seconds: From its beginning to its last change of status.
        deeds: What happened, by address; of several events at one address, in order.
    """

    record: RunRecord
    input: Any
    output: Any
    error: str
    context: Mapping[str, Any]
    usage: Usage
    seconds: float
    deeds: Mapping[str, Sequence[Deed]]


@dataclass(frozen=True, slots=True)
class Line:
    """What two runs did at one address, and in what that differs."""

    address: str
    first: Sequence[Deed]
    second: Sequence[Deed]
    differs: tuple[Aspect, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        first: The one.
        second: The other.
        lines: Each address that either came to: in the order of the first run, then what only the second did.
        context: The fields in which their contexts differ, with both values.
    """

    first: Side
    second: Side
    lines: Sequence[Line]
    context: Mapping[str, tuple[Any, Any]]

    @property
    def same(self) -> bool:
        """Whether both did and gave the same, whatever time it took."""
        a, b = self.first, self.second
        facts = (a.record.status == b.record.status, a.input == b.input, a.output == b.output)
        return all(facts) and not self.context and not any(line.differs for line in self.lines)


async def compare(store: JournalStore, first: str, second: str) -> Comparison:
    """Compare two runs of a store; neither needs its code.

    Raises:
        UnknownRun: The store has none of this id.
        ChainBroken: A journal was changed.
    """
    a, b = await _side(store, first), await _side(store, second)
    addresses = dict.fromkeys([*a.deeds, *b.deeds])
    lines = [_line(address, a.deeds.get(address, ()), b.deeds.get(address, ())) for address in addresses]
    fields = dict.fromkeys([*a.context, *b.context])
    context = {
        name: (a.context.get(name), b.context.get(name))
        for name in fields
        if a.context.get(name) != b.context.get(name)
    }
    return Comparison(a, b, lines, context)


async def _side(store: JournalStore, run_id: str) -> Side:
    record = await store.run(run_id)
    if record is None:
        raise UnknownRun(f"no run has the id {run_id!r}")
    live = await store.live_events(run_id)
    begun: dict[str, Any] = from_json(live[0].body)
    context, usage, ended = _carried(live, begun["context"])
    deeds: dict[str, list[Deed]] = {}
    async for event in _all(store, run_id):
        if event.kind in _SHOWN:
            deeds.setdefault(event.address, []).append(_deed(event))
    return Side(
        record=record,
        input=_value(begun),
        output=_value(ended) if ended.get("status") == "completed" else None,
        error=ended["error"]["message"] if "error" in ended else ended.get("reason", ""),
        context=context,
        usage=usage,
        seconds=(record.updated_at - record.created_at) / 1e6,
        deeds=deeds,
    )


async def _all(store: JournalStore, run_id: str) -> AsyncIterator[Event]:
    after = 0
    while page := await store.events(run_id, after=after, limit=PAGE):
        for event in page:
            yield event
        after = page[-1].seq


def _carried(
    live: Sequence[Event], begun: Mapping[str, Any]
) -> tuple[dict[str, Any], Usage, Mapping[str, Any]]:
    """Return what a run's live events leave: its context, its usage, and how it ended."""
    context, usage = dict(begun), NO_USAGE
    ended: Mapping[str, Any] = {}
    done = {event.address for event in live if event.kind in ("step.completed", "node.completed")}
    for event in live[1:]:
        facts: dict[str, Any] = from_json(event.body)
        attempt = event.kind in ("step.attempt", "step.discarded")
        if "usage" in facts and not (attempt and event.address in done):
            usage += read_usage(facts["usage"])
        patch: dict[str, dict[str, Any]] = facts.get("patch") or {}
        for name, change in patch.items():
            context[name] = _changed(context.get(name), change)
        if event.kind == "run.ended":
            ended = facts
    return context, usage, ended


def _changed(before: Any, change: Mapping[str, Any]) -> Any:
    """Return a field after a recorded change; see :mod:`flujo.engine.patch`."""
    if "set" in change:
        return change["set"]
    if "append" in change:
        return [*(before or ()), *change["append"]]
    known: dict[str, Any] = before or {}
    kept = {key: value for key, value in known.items() if key not in change.get("gone", ())}
    return {**kept, **change.get("keys", {})}


def _deed(event: Event) -> Deed:
    facts: dict[str, Any] = from_json(event.body)
    if event.kind == "answer":
        decided = (facts["action"], facts["actor"], facts["channel"])
        return Deed("answer", output=facts["value"], decision=decided)
    return Deed(
        _SHOWN[event.kind],
        output=_value(facts),
        patch=facts.get("patch"),
        attempts=facts.get("attempts", 1),
        took=facts.get("took", 0) / 1e6,
        usage=read_usage(facts.get("usage")),
    )


def _value(facts: Mapping[str, Any]) -> Any:
    """Return a recorded value; of one that is stored apart, its hash."""
    return facts["output"] if "output" in facts else facts.get("output_ref")


def _line(address: str, first: Sequence[Deed], second: Sequence[Deed]) -> Line:
    if len(first) != len(second):
        return Line(address, first, second, (_MISSING,))
    found: set[Aspect] = {aspect for a, b in zip(first, second, strict=True) for aspect in _aspects(a, b)}
    return Line(address, first, second, tuple(aspect for aspect in get_args(Aspect) if aspect in found))


def _aspects(a: Deed, b: Deed) -> Iterator[Aspect]:
    if a.kind != b.kind:
        yield _MISSING
    if a.output != b.output:
        yield "output"
    if a.patch != b.patch:
        yield "context"
    if a.attempts != b.attempts:
        yield "attempts"
    if a.usage != b.usage:
        yield "usage"
    if a.decision != b.decision:
        yield "decision"
