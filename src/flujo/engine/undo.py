"""Undoing: what completed steps declare to be done when their run fails or is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from flujo.engine.build import Build, bind
from flujo.engine.effects import StepEffects
from flujo.engine.failures import described
from flujo.engine.record import Memo, Note
from flujo.engine.run import Frame, NodeAt, Run, mutations, node_at
from flujo.engine.threads import tried
from flujo.errors import PlanChanged, RecordError
from flujo.journal.events import Event
from flujo.pipeline.info import StepInfo
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanNode, PlanStep
from flujo.plan.signature import Signature

if TYPE_CHECKING:
    from flujo.engine.guard import Guard


class Undo:
    """The undo functions of a plan.

    They run in the reverse order of their steps' ends, each once: one that was recorded as done is not
    run again when a crash interrupts the undoing. One that fails is noted, and the others still run.
    """

    def __init__(self, build: Build) -> None:
        self._guards = build.guards
        self._plan = build.plan
        self._declared = any(
            isinstance(node, PlanStep) and node.undo is not None for node in build.plan.nodes.values()
        )

    def concerns(self, run: Run) -> bool:
        """Say whether a run may have something to undo: nodes that joined it may declare so, too."""
        return self._declared or run.rows is not None or bool(mutations(run.notes))

    async def run(self, frame: Frame, begun: dict[str, Any], *, blind: bool = False) -> list[str]:
        """Undo what was done; return a line for each undo that failed, or that is not to be found any more.

        Args:
            frame: The outermost place of the run.
            begun: Recorded with the first undo: what the run came to, for a process that goes on with it.
            blind: Whether the run's context cannot be read, so that no undo may ask for it.
        """
        run = frame.run
        events = await self._events(run)
        at = self._nodes(run, events)
        done = await self._done(run, events, at)
        if done and not any(note.kind == "undone" for note in run.noted("")):
            run.note("undone", "", begun)
        failures: list[str] = []
        for address, output, lost in reversed(done):
            known = next((note.body for note in run.noted(address) if note.kind == "undone"), None)
            if known is None:
                await run.commit()
                if blind and not lost and _undo_of(at(address)).context:
                    lost = "it asks for the context, which this pipeline cannot read"
                known, patch = {"failed": lost or await self._undo(frame, at(address), address, output)}, None
                try:
                    patch = frame.diff(address)
                except RecordError as error:
                    known["failed"] = known["failed"] or error.message
                run.note("undone", address, known if patch is None else {**known, "patch": from_json(patch)})
            if known["failed"]:
                failures.append(f"undoing {address!r} failed: {known['failed']}")
        return failures

    async def _undo(self, frame: Frame, node: PlanNode | None, address: str, output: Any) -> str:
        guards = self._guards
        guard = None if guards is None or not isinstance(node, PlanStep) else guards.of(node)
        info = StepInfo(frame.run.id, f"{address}#undo", 1, (), self._effects(frame, guard))
        _, error = await tried(bind(_undo_of(node), {}), frame, frame.context, output, info)
        if error is None or guard is None:
            return "" if error is None else described(error)
        from flujo.engine.entry import entry_of

        return await entry_of(guard).words(frame, f"{address}#undo", guard.label, described(error))

    def _effects(self, frame: Frame, guard: Guard | None) -> StepEffects:
        if guard is None:
            return StepEffects(frame.run, asks=False)
        from flujo.engine.calls import EffectGuard

        return StepEffects(frame.run, asks=False, guard=EffectGuard(guard, frame))

    async def _events(self, run: Run) -> Sequence[Event]:
        if run.recorder is None:
            return ()
        await run.recorder.commit(sure=True)
        return await run.recorder.store.events(run.id)

    def _nodes(self, run: Run, events: Sequence[Event]) -> NodeAt:
        """Return what tells the run's nodes; those that joined it, as far as they are still to be found."""
        found: dict[str, list[Note]] = {**run.notes, **run.live_notes} if run.recorder is None else {}
        for event in events:
            if event.kind == "mutated":
                found.setdefault(event.address, []).append(Note(event.kind, from_json(event.body)))
        return node_at(self._plan, run.id, found, lenient=True)

    async def _done(self, run: Run, events: Sequence[Event], at: NodeAt) -> list[tuple[str, Any, str]]:
        """Return the steps with an undo that ended, in the order they ended.

        Each with its output, or with the reason why it cannot be undone: where a run was made by another
        plan, also those that are not found any more.
        """
        if run.recorder is None:
            ended = [step for step in run.all_steps() if _undone_by(at(step.address)) is not None]
            own = [step for step in ended if not step.cached and not _stood_in(run, step.address)]
            return [(step.address, step.output, "") for step in own]
        found: list[tuple[str, Any, str]] = []
        for event in events:
            if event.kind != "step.completed" or _from_cache(event.body):
                continue
            node = at(event.address)
            if node is None:
                found.append((event.address, None, "the step, and its undo if it had one, are gone"))
            elif _undone_by(node) is not None:
                try:
                    memo = await run.recorder.recorded(event.body, codec_for(node.output_type), event.address)
                    found.append((event.address, memo.output, ""))
                except PlanChanged as changed:
                    found.append((event.address, None, changed.message))
        return found


def _from_cache(body: bytes) -> bool:
    """Say whether a step's output came from the cache, so that this run did nothing that is to be undone."""
    return b'"cached":true' in body and from_json(body).get("cached") is True  # an output may say it, too


def _stood_in(run: Run, address: str) -> bool:
    """Say whether a step's fallback gave its output, in a run without a store."""
    known = run.choices.get(address) or run.done.get(address)
    return isinstance(known, Memo) and known.stood_in


def _undone_by(node: PlanNode | None) -> Signature | None:
    return node.undo if isinstance(node, PlanStep) else None


def _undo_of(node: PlanNode | None) -> Signature:
    undo = _undone_by(node)
    assert undo is not None
    return undo
