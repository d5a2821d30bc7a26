"""Forking: a new run that shares a recorded run's past up to one place, and goes on from there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from flujo.engine.answers import fitting
from flujo.engine.build import Build
from flujo.engine.identity import checked_id, new_run_id, new_token
from flujo.engine.opened import Opener
from flujo.engine.past import Past
from flujo.engine.record import Note, Recorder
from flujo.engine.run import Frame, NodeAt, Walk, node_at
from flujo.engine.side_by_side import needs_views
from flujo.errors import AnswerRejected, InputError, PlanChanged, ResumeError, RunConflict, UnknownAddress
from flujo.journal.events import Event
from flujo.journal.store import JournalStore, StatusChange
from flujo.journal.verify import references
from flujo.pipeline.context import PipelineContext
from flujo.plan.codec import Codec, codec_for
from flujo.plan.fields import field_codecs
from flujo.plan.nodes import PlanMap, PlanNode, PlanParallel, PlanStep
from flujo.plan.plan import NUMBER, Plan, segment_of
from flujo.plan.types import recorded_input

if TYPE_CHECKING:
    from flujo.engine.door import Written

UNCHANGED: Mapping[str, Any] = MappingProxyType({})
_OF_THE_RUN = frozenset(
    {"run.started", "run.upgraded", "run.resumed", "run.paused", "run.ended", "undone", "policies"}
)
_COPIED = re.compile(rb',?"copied":\d+\}\Z')


@dataclass(frozen=True, slots=True)
class Revision:
    """What a fork changes.

    Attributes:
        at: The address of the first execution that is carried out anew.
        input: What it is given instead; left out where that is an ellipsis.
        context: New values of fields of the context, from there on.
    """

    at: str
    input: Any = ...
    context: Mapping[str, Any] = field(default_factory=lambda: UNCHANGED)

    @property
    def changes(self) -> bool:
        """Whether anything is given another value."""
        return self.input is not ... or bool(self.context)


async def fork(
    build: Build,
    opener: Opener,
    origin: str,
    revision: Revision,
    *,
    run_id: str | None,
    said: Sequence[Written] = (),
) -> str:
    """Record a fork of a run, ready to be carried on, and return its id; see :meth:`flujo.Flujo.fork`.

    Args:
        build: What the runner's walks are compiled with.
        opener: Finds the run.
        origin: The run.
        revision: Where it is forked, and what is changed there.
        run_id: The fork's name.
        said: What policies said of the changes.
    """
    known = await opener.find(origin)
    try:
        await opener.check(known, take_over=True)
    except PlanChanged:
        if known.made_by["fingerprint"] != build.plan.fingerprint:
            raise  # otherwise something that joined the run is not what it was: perhaps after the fork
    opener.check_policies(known)
    store = opener.store
    assert store is not None  # or the run would not have been found
    past = await Past.of(store, origin)
    if past.facts.get("withheld"):
        raise ResumeError(
            f"run {origin} cannot be forked: policies let nothing of what it was given in",
            fix="begin a new run",
        )
    nodes = _nodes_of(build.plan, past, revision.at)
    cut = _cut(nodes, past, revision.at)
    kept = list(_kept(nodes, past.events, cut, revision.at))
    _check_undone(past, kept)
    revised = _revised(build, nodes(revision.at), revision)
    shared = past.events[cut - 2]
    started = _started(past, shared, revision, opener.policies)
    large = await _payloads(store, [started, *(event.body for event in kept)])
    name = new_run_id() if run_id is None else checked_id(run_id)
    if await store.run(name) is not None:
        raise RunConflict(f"a run is called {name!r} already", fix="give the fork another name, or none")
    recorder = Recorder(store, name, new_token(), opener.now)
    for payload in large:  # stored already, unless the first run is pruned just now
        recorder.keep(payload)
    recorder.append("run.started", "", started)
    for event in kept:
        recorder.append(event.kind, event.address, _copied(event))
    for kind, address, body in said:
        recorder.append(kind, address, to_json(body))
    if revised is not None:
        recorder.append("revised", revision.at, _body(recorder, revised))
    recorder.change(StatusChange("queued", "", past.record.pipeline, past.made_by["fingerprint"]))
    await recorder.commit(sure=True)
    return name


async def record_anew(
    plan: Plan,
    store: JournalStore,
    past: Past,
    kept: Iterable[tuple[str, Event]],
    at: str,
    *,
    now: Callable[[], int],
) -> str:
    """Record a run of another plan that goes on from what a run was answered, and return its id.

    Args:
        plan: The plan that it goes on by.
        store: Where both are recorded.
        past: The run that it comes from.
        kept: What it shares of it, each with its address in the new plan.
        at: Where it first goes another way.
        now: Tells the time.
    """
    recorder = Recorder(store, new_run_id(), new_token(), now)
    last = past.events[-1]
    origin = {"run_id": past.record.run_id, "seq": last.seq, "hash": last.hash.hex(), "address": at}
    facts = {
        **past.facts,
        "pipeline": plan.name,
        "fingerprint": plan.fingerprint,
        "plan_ref": recorder.keep(to_json(plan.digests)),
        "forked_from": origin,
    }
    started = to_json(facts, inf_nan_mode="constants")
    shared = list(kept)
    for payload in await _payloads(store, [to_json(past.facts), *(event.body for _, event in shared)]):
        recorder.keep(payload)
    recorder.append("run.started", "", started)
    for address, event in shared:
        recorder.append(event.kind, address, _copied(event))
    recorder.change(StatusChange("queued", "", plan.name, plan.fingerprint))
    await recorder.commit(sure=True)
    return recorder.run_id


async def _payloads(store: JournalStore, bodies: Iterable[bytes]) -> list[bytes]:
    """Return the large values that events stand on."""
    digests = dict.fromkeys(digest for body in bodies for digest in references(body))
    return [await store.payload(bytes.fromhex(digest)) for digest in digests]


def revising(node: PlanNode, walk: Walk) -> Walk:
    """Return a node's walk that takes what a fork changed at its address: its input, the context."""
    label = node.label

    async def revised(frame: Frame, value: Any) -> Any:
        run, address = frame.run, frame.prefix + label
        for note in run.noted(address):
            if note.kind == "revised":
                assert run.recorder is not None
                if "patch" in note.body:
                    frame.replay(note.body["patch"])
                codec = given_codec(node)
                if codec is not None and ("output" in note.body or "output_ref" in note.body):
                    value = await run.recorder.value(note.body, codec, address)
        return await walk(frame, value)

    return revised


def for_fork(build: Build) -> Build:
    """Return what the walks of a fork are compiled with that changes something."""

    def around(node: PlanNode, compiled: Callable[[PlanNode], Walk]) -> Walk:
        return revising(node, compiled(node)) if node.path else compiled(node)

    return replace(build, around=around)


def given_codec(node: PlanNode) -> Codec | None:
    """Return how what a node is given is written; None where it takes nothing."""
    if isinstance(node, PlanStep) and not node.signature.input:
        return None
    return codec_for(recorded_input(node.input_type))


# Where the past ends


def _nodes_of(plan: Plan, past: Past, at: str) -> NodeAt:
    """Return what tells the nodes of a run, those included that joined it before it came to an address."""
    notes: dict[str, list[Note]] = {}
    for event in past.events:
        if at and _is_within(event.address, at):
            break
        if event.kind == "mutated":
            notes.setdefault(event.address, []).append(Note(event.kind, from_json(event.body)))
    return node_at(plan, past.record.run_id, notes)


def _is_within(address: str, at: str) -> bool:
    return address == at or address.startswith((f"{at}/", f"{at}[", f"{at}#"))


def _cut(nodes: NodeAt, past: Past, at: str) -> int:
    """Return the number of the first event that a fork at an address does not share.

    Raises:
        UnknownAddress: The run never came there, or it is in the middle of a stream.
    """
    first, *_ = segment_of(nodes(at), at)
    if first != at:
        raise UnknownAddress(
            f"run {past.record.run_id} cannot be forked at {at!r}: what streamed into it was not recorded",
            fix=f"fork it at {first!r}, where the stream begins",
        )
    for event in past.events:
        if at and _is_within(event.address, at) and "#" not in at:
            return event.seq
    known = nodes(at) is not None and "[]" not in at
    if known and past.record.status != "completed":  # it ended on the way there, or right at it
        ends = (event.seq for event in past.events if event.kind in ("run.ended", "undone"))
        return next(ends, past.events[-1].seq + 1)
    raise _unknown(past, at)


def _unknown(past: Past, at: str) -> UnknownAddress:
    run_id = past.record.run_id
    if "#" in at:
        return UnknownAddress(
            f"run {run_id} cannot be forked at {at!r}: an effect is a part of its step",
            fix=f"fork it at {at.partition('#')[0]!r}",
        )
    known = list(dict.fromkeys(event.address.partition("#")[0] for event in past.events))
    known = [address for address in known if address and not address.endswith("[]")]
    close = difflib.get_close_matches(at, known, n=1)
    fix = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known[:12])}"
    return UnknownAddress(f"run {run_id} has no execution at {at!r}", fix=fix)


def _kept(nodes: NodeAt, events: Sequence[Event], cut: int, at: str) -> Iterator[Event]:
    """Yield the events that a fork shares: all before the cut, except those of steps that had not ended.

    Such a step stands beside the address. It begins anew: what it did belongs to the first run, by whose name
    its effects go.
    """
    before: list[Event] = [event for event in events if event.seq < cut and event.kind not in _OF_THE_RUN]
    ended = {event.address for event in before if event.kind in ("step.completed", "node.completed")}
    for event in before:
        step = _step_around(nodes, event.address)
        if step is None or step in ended or at.startswith(f"{step}/"):
            yield event


def _step_around(nodes: NodeAt, address: str) -> str | None:
    """Return the address of the step that something is a part of: an effect, an attempt, its fallback."""
    whole = address.partition("#")[0]
    ends = [index for index, letter in enumerate(whole) if letter == "/"]
    for end in (*ends, len(whole)):
        if isinstance(nodes(whole[:end]), PlanStep):
            return whole[:end]
    return None


def _check_undone(past: Past, kept: list[Event]) -> None:
    """Refuse a past that is no longer true: what a kept step did was undone."""
    shared = {event.address for event in kept if event.kind == "step.completed"}
    undone = [event.address for event in past.events if event.kind == "undone" and event.address in shared]
    if undone:
        first = next(event.address for event in kept if event.address in undone)
        raise ResumeError(
            f"run {past.record.run_id} cannot be forked there: what {first!r} did was undone when it ended",
            fix=f"fork it at {first!r}, so that it is done again",
        )


# What is written


def _started(past: Past, shared: Event, revision: Revision, policies: Sequence[str]) -> bytes:
    """Return how a fork begins: as the first run did, naming it."""
    origin = {
        "run_id": past.record.run_id,
        "seq": shared.seq,
        "hash": shared.hash.hex(),
        "address": revision.at,
    }
    own = ("forked_from", "revised", "entered", "policies")
    facts = {name: value for name, value in past.facts.items() if name not in own}
    more: dict[str, Any] = {name: past.made_by[name] for name in ("fingerprint", "plan_ref")}
    more |= {"forked_from": origin, **({"revised": True} if revision.changes else {})}
    more |= {"policies": policies} if policies else {}
    return to_json({**facts, **more}, inf_nan_mode="constants")


def _copied(event: Event) -> bytes:
    """Return the body of an event of the first run, with its number there."""
    body = _COPIED.sub(b"}", event.body)
    comma = b"" if body == b"{}" else b","
    return body[:-1] + comma + b'"copied":%d}' % event.seq


def _revised(build: Build, node: PlanNode | None, revision: Revision) -> dict[str, bytes] | None:
    """Return what a fork changes, written: the input, the patch of the context; None where nothing."""
    if not revision.changes:
        return None
    plan, at = build.plan, revision.at
    if node is None:
        raise InputError(
            f"{at!r} is a turn or an item, which takes no input of its own", fix="name a node inside it"
        )
    written: dict[str, bytes] = {}
    if revision.input is not ...:
        codec = given_codec(node)
        if codec is None:
            raise InputError(f"{at!r} takes no input", fix="change the context, or fork at an earlier step")
        written["output"] = _fitted(codec, revision.input, f"the input of {at!r}")
    if revision.context:
        _check_looked_at(build, at)
        written["patch"] = to_json(_patch(plan.context_model, revision.context))
    return written


def _fitted(codec: Codec, value: Any, what: str) -> bytes:
    try:
        return to_json(fitting(codec, value, what), inf_nan_mode="constants")
    except AnswerRejected as error:
        raise InputError(error.message.replace("the answer", "the value"), fix=error.fix) from None


def _patch(model: type[PipelineContext], changes: Mapping[str, Any]) -> dict[str, Any]:
    codecs, patch = field_codecs(model), dict[str, Any]()
    for name, value in changes.items():
        if name not in codecs:
            close = difflib.get_close_matches(name, codecs, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(codecs)}"
            raise InputError(f"the context {model.__name__} has no field {name!r}", fix=fix)
        patch[name] = {"set": from_json(_fitted(codecs[name].whole, value, f"the context field {name!r}"))}
    return patch


def _check_looked_at(build: Build, at: str) -> None:
    """Refuse a change of the context where nobody would see it."""
    for path, node in build.plan.nodes.items():
        if not isinstance(node, PlanParallel | PlanMap) or needs_views(node, build):
            continue
        if NUMBER.sub("[]", at).startswith((f"{path}/", f"{path}[]/")):
            raise InputError(
                f"nothing inside {path!r} takes the context, so that a change of it there would be lost",
                fix=f"fork at {path!r}, or at the first step that takes the context",
            )


def _body(recorder: Recorder, revised: Mapping[str, bytes]) -> bytes:
    members: list[bytes] = []
    if "output" in revised:
        members.append(recorder.written(revised["output"]))
    if "patch" in revised:
        members.append(b'"patch":' + revised["patch"])
    return b"{" + b",".join(members) + b"}"
