"""Comparing two runs by their journals alone, execution by execution; no code of theirs is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import from_json

from flujo.engine.flow import changed
from flujo.engine.past import Past
from flujo.engine.record import read_usage
from flujo.journal.events import Event
from flujo.journal.store import JournalStore
from flujo.pipeline.info import NO_USAGE, Usage

_ENDS = frozenset({"step.completed", "node.completed", "turn", "choice", "effect"})
_PASSING = frozenset({"step.started", "step.discarded", "effect.started", "timer", "undone"})
_TOLD = ("output", "usage", "attempts", "patch", "cached", "last", "answers", "waits", "error", "revised",
         "mutated", "verdicts")  # fmt: skip
"""What of an execution is compared; how long it took is told, and is no difference."""
_OF_AN_END = ("usage", "attempts", "patch", "cached", "last")


@dataclass(frozen=True, slots=True)
class RunSide:
    """One of two runs that are compared.

    Attributes:
        run_id: Its name.
        pipeline: The name of its pipeline.
        fingerprint: The fingerprint of its plan.
        status: How it stands.
        input: Its input, as JSON.
        output: What it gave, likewise; None unless completed.
        error: Why it failed or was cancelled; empty where it did not.
        context: Its context at the end, as JSON; None unless completed.
        usage: What all its steps used; what a fork shares with another run included.
        seconds: From its first event to its last change of status.
        verdicts: What policies said of the run as a whole, other than that they allow it.
    """

    run_id: str
    pipeline: str
    fingerprint: str
    status: str
    input: Any = field(repr=False)
    output: Any = field(repr=False)
    error: str
    context: Mapping[str, Any] | None = field(repr=False)
    usage: Usage
    seconds: float
    verdicts: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True)
class ComparedExecution:
    """What two runs did at one address.

    Attributes:
        address: The address.
        state: Whether both did the same there, or only one of them came there.
        parts: What differs, in words of the journal: ``output``, ``usage``, ``attempts``, ``patch``,
            ``answers``, ``error``, ``mutated``, ``verdicts`` and the like.
        first: What the first run recorded there; None where it did not come there.
        second: Likewise, the second.
    """

    address: str
    state: Literal["same", "changed", "only_first", "only_second"]
    parts: tuple[str, ...]
    first: Mapping[str, Any] | None = field(repr=False)
    second: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunComparison:
    """How two runs differ.

    Attributes:
        first: The one.
        second: The other.
        parts: What differs in how they came out: ``pipeline``, ``plan``, ``status``, ``input``, ``output``,
            ``error``, ``context``, ``usage``, ``verdicts``.
        executions: All that either of them did, in order.
    """

    first: RunSide
    second: RunSide
    parts: tuple[str, ...]
    executions: tuple[ComparedExecution, ...]

    @property
    def same(self) -> bool:
        """Whether both came out the same, the same way."""
        return not self.parts and not self.differing

    @property
    def differing(self) -> tuple[ComparedExecution, ...]:
        """The executions that differ, or that one of the runs did not come to."""
        return tuple(one for one in self.executions if one.state != "same")


async def compare_runs(
    first: JournalStore, run_id: str, other_id: str, *, second: JournalStore | None = None
) -> RunComparison:
    """Compare two runs by what their journals hold; they may be of different plans, or stores.

    Args:
        first: The store of the first run.
        run_id: The first run.
        other_id: The second run.
        second: The store of the second, where it is another.

    Raises:
        UnknownRun: A store has no such run.
        ChainBroken: A journal was changed.
    """
    other = second or first
    one, two = await Past.of(first, run_id), await Past.of(other, other_id)
    ours, theirs = await _side(first, one), await _side(other, two)
    parts = [
        name
        for name in ("pipeline", "status", "input", "output", "error", "context", "usage", "verdicts")
        if _member(ours, name) != _member(theirs, name)
    ]
    if ours.fingerprint != theirs.fingerprint:
        parts.append("plan")
    done, done_there = await _executions(first, one), await _executions(other, two)
    lines = [_compared(at, done.get(at), done_there.get(at)) for at in _merged(list(done), list(done_there))]
    return RunComparison(ours, theirs, tuple(parts), tuple(lines))


def _member(side: RunSide, name: str) -> Any:
    match name:
        case "pipeline":
            return side.pipeline
        case "status":
            return side.status
        case "input":
            return side.input
        case "output":
            return side.output
        case "error":
            return side.error
        case "context":
            return side.context
        case "verdicts":
            return side.verdicts
        case _:
            return side.usage


async def _side(store: JournalStore, past: Past) -> RunSide:
    record, ending = past.record, past.ending
    complete = record.status == "completed"
    return RunSide(
        run_id=record.run_id,
        pipeline=record.pipeline,
        fingerprint=record.fingerprint,
        status=record.status,
        input=await _value(store, past.facts),
        output=await _value(store, ending) if complete else None,
        error=ending.get("error", {}).get("message", "") or ending.get("reason", ""),
        context=await _context(store, past) if complete else None,
        usage=past.used(),
        seconds=(record.updated_at - record.created_at) / 1e6,
        verdicts=[said for event in past.events if not event.address for said in _verdict(event)],
    )


def _verdict(event: Event) -> list[Mapping[str, str]]:
    """Return what an event tells of a verdict, as far as it matters how runs differ.

    That something was simply allowed does not, nor do the policies' versions, their words, and the digests
    of what they saw, which are of one run only.
    """
    if event.kind != "verdict":
        return []
    facts = from_json(event.body)
    told = {name: facts[name] for name in ("point", "verdict", "policy", "rule") if name in facts}
    return [] if facts["verdict"] == "allow" else [told]


async def _value(store: JournalStore, facts: Mapping[str, Any]) -> Any:
    if "output_ref" in facts:
        return from_json(await store.payload(bytes.fromhex(facts["output_ref"])))
    return facts.get("output")


async def _context(store: JournalStore, past: Past) -> Mapping[str, Any]:
    """Return the context that a completed run ended with: all it began with, and every change on top."""
    bodies = [from_json(event.body) for event in await store.live_events(past.record.run_id)]
    return changed(past.facts["context"], [body["patch"] for body in bodies if body.get("patch")])


async def _executions(store: JournalStore, past: Past) -> dict[str, dict[str, Any]]:
    """Return what happened at each address, in the order it first did."""
    found: dict[str, dict[str, Any]] = {}
    for event in past.events:
        verdict = _verdict(event)
        if not event.address or event.kind in _PASSING or (event.kind == "verdict" and not verdict):
            continue
        execution = found.setdefault(event.address, {})
        if verdict:
            execution.setdefault("verdicts", []).extend(verdict)
        await _add(store, execution, event)
    return found


async def _add(store: JournalStore, execution: dict[str, Any], event: Event) -> None:
    facts: dict[str, Any] = from_json(event.body)
    if event.kind in _ENDS:
        execution.pop("error", None)
        execution["kind"] = event.kind
        execution["output"] = await _value(store, facts)
        execution.update((name, facts[name]) for name in (*_OF_AN_END, "took") if name in facts)
    elif event.kind == "step.attempt":
        execution["error"] = facts["text"]
        execution["kind"] = event.kind
    elif event.kind == "revised":
        given = await _value(store, facts)
        execution["revised"] = {"input": given, "patch": facts.get("patch")}
    elif event.kind == "mutated":
        execution["mutated"] = {name: facts.get(name) for name in ("operations", "added")}
    elif event.kind == "request":
        execution["waits"] = facts["prompt"]
    elif event.kind == "answer":
        execution.pop("waits", None)
        told = {name: facts.get(name) for name in ("action", "value", "reason", "actor")}
        execution.setdefault("answers", []).append(told)


def _compared(
    address: str, first: Mapping[str, Any] | None, second: Mapping[str, Any] | None
) -> ComparedExecution:
    if first is None or second is None:
        state: Literal["only_first", "only_second"] = "only_second" if first is None else "only_first"
        return ComparedExecution(address, state, (), first, second)
    parts = tuple(name for name in _TOLD if first.get(name) != second.get(name))
    return ComparedExecution(address, "changed" if parts else "same", parts, first, second)


def _merged(first: Sequence[str], second: Sequence[str]) -> Iterable[str]:
    """Yield the addresses of both: in the order of the first, those of the second alone where they came."""
    known = set(first)
    after: dict[str, list[str]] = {}
    before = ""
    for address in second:
        if address in known:
            before = address
        else:
            after.setdefault(before, []).append(address)
    yield from after.get("", ())
    for address in first:
        yield address
        yield from after.get(address, ())


def total(usage: Usage) -> str:
    """Return a usage in a few words; empty where nothing was used."""
    if usage == NO_USAGE:
        return ""
    return f"{usage.requests} requests, {usage.input_tokens}+{usage.output_tokens} tokens, ${usage.cost}"


def used(execution: Mapping[str, Any]) -> Usage:
    """Return what an execution used."""
    return read_usage(execution.get("usage"))
