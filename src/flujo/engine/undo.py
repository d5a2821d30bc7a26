"""Undoing: what completed steps declare to be done when their run fails or is cancelled."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from flujo.engine.build import Build, bind
from flujo.engine.effects import StepEffects
from flujo.engine.failures import described
from flujo.engine.run import Frame, Run
from flujo.errors import RecordError
from flujo.pipeline.info import StepInfo
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanStep
from flujo.plan.plan import NUMBER


class Undo:
    """The undo functions of a plan.

    They run in the reverse order of their steps' ends, each once: one that was recorded as done is not
    run again when a crash interrupts the undoing. One that fails is noted, and the others still run.
    """

    def __init__(self, build: Build) -> None:
        self._steps: dict[str, PlanStep] = {
            path: node
            for path, node in build.plan.nodes.items()
            if isinstance(node, PlanStep) and node.undo is not None
        }

    def __bool__(self) -> bool:
        return bool(self._steps)

    async def run(self, frame: Frame, begun: dict[str, Any]) -> list[str]:
        """Undo what was done; return a line for each undo that failed.

        Args:
            frame: The outermost place of the run.
            begun: Recorded with the first undo: what the run came to, for a process that goes on with it.
        """
        run = frame.run
        done = await self._done(run)
        if done and not any(note.kind == "undone" for note in run.noted("")):
            run.note("undone", "", begun)
        failures: list[str] = []
        for address, output in reversed(done):
            known = next((note.body for note in run.noted(address) if note.kind == "undone"), None)
            if known is None:
                if run.recorder is not None:
                    await run.recorder.commit()
                known, patch = {"failed": await self._undo(frame, address, output)}, None
                try:
                    patch = frame.diff(address)
                except RecordError as error:
                    known["failed"] = known["failed"] or error.message
                run.note("undone", address, known if patch is None else {**known, "patch": from_json(patch)})
            if known["failed"]:
                failures.append(f"undoing {address!r} failed: {known['failed']}")
        return failures

    async def _undo(self, frame: Frame, address: str, output: Any) -> str:
        undo = self._steps[NUMBER.sub("[]", address)].undo
        assert undo is not None
        info = StepInfo(frame.run.id, f"{address}#undo", 1, (), StepEffects(frame.run, asks=False))
        try:
            await bind(undo, {})(frame, frame.context, output, info)
        except Exception as error:  # noqa: BLE001  # the undo's own code
            return described(error)
        return ""

    async def _done(self, run: Run) -> list[tuple[str, Any]]:
        """Return the steps with an undo that ended, with their outputs, in the order they ended."""
        if run.recorder is None:
            ended = [step for step in run.all_steps() if self._of(step.address) is not None]
            return [(step.address, step.output) for step in ended if not step.cached]
        await run.recorder.commit(sure=True)
        found: list[tuple[str, Any]] = []
        for event in await run.recorder.store.events(run.id):
            step = self._of(event.address) if event.kind == "step.completed" else None
            if step is not None and b'"cached":true' not in event.body:
                memo = await run.recorder.recorded(event.body, codec_for(step.output_type), event.address)
                found.append((event.address, memo.output))
        return found

    def _of(self, address: str) -> PlanStep | None:
        return self._steps.get(NUMBER.sub("[]", address))
