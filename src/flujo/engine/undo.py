"""Undoing: what completed steps declare to be done when their run fails or is cancelled."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from flujo.engine.build import Build, bind
from flujo.engine.effects import StepEffects
from flujo.engine.failures import described
from flujo.engine.run import Frame, Run
from flujo.engine.threads import tried
from flujo.errors import PlanChanged, RecordError
from flujo.pipeline.info import StepInfo
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanStep
from flujo.plan.plan import NUMBER
from flujo.plan.signature import Signature


class Undo:
    """The undo functions of a plan.

    They run in the reverse order of their steps' ends, each once: one that was recorded as done is not
    run again when a crash interrupts the undoing. One that fails is noted, and the others still run.
    """

    def __init__(self, build: Build) -> None:
        self._nodes = build.plan.nodes
        self._guards = build.guards
        self._steps: dict[str, PlanStep] = {
            path: node
            for path, node in build.plan.nodes.items()
            if isinstance(node, PlanStep) and node.undo is not None
        }

    def __bool__(self) -> bool:
        return bool(self._steps)

    async def run(self, frame: Frame, begun: dict[str, Any], *, blind: bool = False) -> list[str]:
        """Undo what was done; return a line for each undo that failed, or that is not to be found any more.

        Args:
            frame: The outermost place of the run.
            begun: Recorded with the first undo: what the run came to, for a process that goes on with it.
            blind: Whether the run's context cannot be read, so that no undo may ask for it.
        """
        run = frame.run
        done = await self._done(run)
        if done and not any(note.kind == "undone" for note in run.noted("")):
            run.note("undone", "", begun)
        failures: list[str] = []
        for address, output, lost in reversed(done):
            known = next((note.body for note in run.noted(address) if note.kind == "undone"), None)
            if known is None:
                await run.commit()
                if blind and not lost and self._undo_of(address).context:
                    lost = "it asks for the context, which this pipeline cannot read"
                known, patch = {"failed": lost or await self._undo(frame, address, output)}, None
                try:
                    patch = frame.diff(address)
                except RecordError as error:
                    known["failed"] = known["failed"] or error.message
                run.note("undone", address, known if patch is None else {**known, "patch": from_json(patch)})
            if known["failed"]:
                failures.append(f"undoing {address!r} failed: {known['failed']}")
        return failures

    async def _undo(self, frame: Frame, address: str, output: Any) -> str:
        undo = self._undo_of(address)
        info = StepInfo(frame.run.id, f"{address}#undo", 1, (), self._effects(frame, address))
        _, error = await tried(bind(undo, {}), frame, frame.context, output, info)
        return "" if error is None else described(error)

    def _effects(self, frame: Frame, address: str) -> StepEffects:
        step = self._of(address)
        guard = None if self._guards is None or step is None else self._guards.of(step)
        if guard is None:
            return StepEffects(frame.run, asks=False)
        from flujo.engine.calls import EffectGuard

        return StepEffects(frame.run, asks=False, guard=EffectGuard(guard, frame))

    async def _done(self, run: Run) -> list[tuple[str, Any, str]]:
        """Return the steps with an undo that ended, in the order they ended.

        Each with its output, or with the reason why it cannot be undone: where a run was made by another
        plan, also those that are not found any more.
        """
        if run.recorder is None:
            ended = [step for step in run.all_steps() if self._of(step.address) is not None]
            return [(step.address, step.output, "") for step in ended if not step.cached]
        await run.recorder.commit(sure=True)
        found: list[tuple[str, Any, str]] = []
        for event in await run.recorder.store.events(run.id):
            if event.kind != "step.completed" or b'"cached":true' in event.body:
                continue
            step = self._of(event.address)
            if step is not None:
                try:
                    memo = await run.recorder.recorded(event.body, codec_for(step.output_type), event.address)
                    found.append((event.address, memo.output, ""))
                except PlanChanged as changed:
                    found.append((event.address, None, changed.message))
            elif NUMBER.sub("[]", event.address) not in self._nodes:
                found.append((event.address, None, "the step, and its undo if it had one, are gone"))
        return found

    def _undo_of(self, address: str) -> Signature:
        undo = self._steps[NUMBER.sub("[]", address)].undo
        assert undo is not None
        return undo

    def _of(self, address: str) -> PlanStep | None:
        return self._steps.get(NUMBER.sub("[]", address))
