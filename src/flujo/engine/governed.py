"""Governed steps: the gate where policies judge what goes in and what comes out, or a denial has a way on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from flujo.engine.build import Build, output_check
from flujo.engine.calls import EffectGuard
from flujo.engine.effects import StepEffects
from flujo.engine.entry import entry_of, same_class
from flujo.engine.failures import RecordedFailure, Rejected, TimeLimit, described, note_failure, told
from flujo.engine.guard import Guard
from flujo.engine.requests import Asked
from flujo.engine.result import StepGaveUp, StepResult
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.engine.seen import Seen
from flujo.errors import PolicyDenied, QuotaExceeded
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import NO_USAGE, StepInfo, Usage
from flujo.pipeline.mutation import Change, PipelineMutation
from flujo.pipeline.policy import Point
from flujo.pipeline.waits import PauseForHumanInput, StopPipeline
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanStep
from flujo.plan.types import Type, recorded_input, type_name

Call = Callable[[Frame, PipelineContext, Any, StepInfo | None], Awaitable[Any]]
Direct = Callable[[Frame, Any], Awaitable[Any]]
Complete = Callable[[Frame, StepResult, Frame | None, Usage], Awaitable[Any]]


class GovernedStep:
    """One step under policies, compiled.

    Its input is judged before anything is told or begun, its output before anything is recorded or told; and
    again where a hook put something else in its place.

    Args:
        plan: The step.
        guard: Its policies.
        build: What the runner's walks are compiled with.
        on_denied: The walk of what runs where it is denied.
    """

    def __init__(self, plan: PlanStep, guard: Guard, build: Build, on_denied: Walk | None) -> None:
        self._plan = plan
        self._guard = guard
        self._on_denied = on_denied
        self._takes = bool(plan.signature.input)
        self._input = Flowing(recorded_input(plan.input_type), "input")
        self._output = Flowing(plan.output_type, "output")
        self._hooks = bool(build.hooks.before_step)
        self._entry = entry_of(guard)
        self._admitted: dict[tuple[str, str], Any] = {}

    @property
    def judges_output(self) -> bool:
        """Whether any policy judges what comes out."""
        return self._guard.judges_output

    @property
    def judges(self) -> bool:
        """Whether any policy judges what goes in or what comes out."""
        return self._guard.judges_input or self._guard.judges_output

    def direct(self, call: Direct, check_type: Callable[[Any], None], *, views: bool) -> Direct | None:
        """Return how the agent is called once with its output judged; None where that needs an attempt.

        Args:
            call: How it is called.
            check_type: Refuses an output of another type.
            views: Whether it works on a view of the context, which a denied output must not change.
        """
        if self._hooks or self._entry.judges or (views and self._guard.judges_output):
            return None
        if not self._guard.judges_output:
            return call
        label = self._plan.label

        async def judged(frame: Frame, value: Any) -> Any:
            output = await call(frame, value)
            check_type(output)
            return await self.leaving(frame, frame.prefix + label, 1, output)

        return judged

    def effects(self, frame: Frame) -> StepEffects:
        """Return what performs what an attempt asks for, judged."""
        return StepEffects(frame.run, guard=EffectGuard(self._guard, frame))

    def entering(self, walk: Walk, complete: Complete) -> Walk:
        """Return the walk of the step with its input judged, and with what runs where it is denied."""
        label, guard, takes = self._plan.label, self._guard, self._takes
        judges = guard.judges_input and (takes or guard.clears)
        kind, hooks, admitted = self._input, self._hooks, self._admitted

        async def governed(frame: Frame, value: Any) -> Any:
            run, address = frame.run, frame.prefix + label
            if run.done and address in run.done:
                return await walk(frame, value)
            denial = _denied_before(run, address, label)
            if denial is None:
                try:
                    if not judges:
                        return await walk(frame, value)
                    passed = await guard.passed(frame, Seen(kind, address, value if takes else None))
                    if hooks:
                        admitted[run.id, address] = passed
                    return await walk(frame, passed if takes else value)
                except Asked as question:
                    return question.suspended
                except PolicyDenied as denied:
                    if denied.address != address:
                        raise
                    denial = denied
                    self._note(run, denial)
            return await self._refused(frame, address, value, denial, complete)

        return governed

    async def readmit(self, frame: Frame, address: str, value: Any) -> Any:
        """Return the input as hooks left it: judged again, if it is another than was judged.

        Raises:
            PolicyDenied: It may not go in.
            Asked: A person must decide.
        """
        if not self._hooks or self._admitted.pop((frame.run.id, address), value) is value:
            return value
        return await self._guard.passed(frame, Seen(self._input, address, value))

    async def leaving(self, frame: Frame, address: str, attempt: int, output: Any) -> Any:
        """Return the output as it may go out.

        Raises:
            PolicyDenied: It may not.
            Asked: A person must decide.
        """
        if not self._guard.judges_output:
            return output
        return await self._guard.passed(frame, Seen(self._output, address, output, attempt))

    async def changed(self, frame: Frame, view: PipelineContext, address: str) -> None:
        """Have policies judge what a step changed in the context, before it is taken over.

        Raises:
            PolicyDenied: It may not be.
        """
        if self._entry.judges:
            await self._entry.changed(frame, view, address)

    async def mutating(
        self, frame: Frame, address: str, mutation: PipelineMutation[Any]
    ) -> PipelineMutation[Any]:
        """Return a mutation with the parameters that later steps may be given, as they may be written.

        Raises:
            PolicyDenied: They may not be.
        """
        if not self._entry.judges:
            return mutation
        place, label, changes = f"{address}#entry", self._plan.label, list[Change]()
        for change in mutation.changes:
            given = dict(change.parameters)
            if given:
                given = await self._entry.passed(frame, place, label, "output", given, fits=same_class)
            changes.append(replace(change, parameters=given))
        return PipelineMutation(mutation.output, tuple(changes))

    def saying(self, call: Call) -> Call:
        """Return how the agent is called, with what it says by raising judged before it is written.

        Args:
            call: How it is called.
        """
        entry, label = self._entry, self._plan.label
        if not entry.judges:
            return call

        async def said(frame: Frame, context: PipelineContext, value: Any, info: StepInfo | None) -> Any:
            address = frame.prefix + label
            try:
                return await call(frame, context, value, info)
            except StopPipeline as stop:
                reason = await entry.words(frame, f"{address}#stop", label, stop.reason)
                if reason == stop.reason:
                    raise
                raise StopPipeline(reason) from None
            except PauseForHumanInput as pause:
                asked = await entry.asked(frame, address, pause.prompt, pause.subject)
                if asked == (pause.prompt, pause.subject):
                    raise
                raise PauseForHumanInput(asked[0], pause.schema, subject=asked[1]) from None

        return said

    async def failing(self, frame: Frame, info: StepInfo, error: Exception) -> Exception:
        """Return how the failure of an attempt may be told and recorded: itself, or in other words.

        Where policies judge what is written, what an exception says is, too, and what it came of: both are
        shown by a traceback.

        Args:
            frame: Where the step stands.
            info: The attempt.
            error: What ended it.
        """
        if not self._entry.judges or isinstance(error, TimeLimit | QuotaExceeded):
            return error
        label, address = self._plan.label, f"{info.address}#error"
        kind, text = told(error)
        whole = "\n".join([text, *map(described, _came_of(error))])
        clean = await self._entry.words(frame, address, label, whole)
        if clean == whole:
            return error
        if whole != text:
            clean = await self._entry.words(frame, address, label, text)
        return type(error)(clean) if isinstance(error, Rejected) else RecordedFailure(kind, clean)

    def _note(self, run: Run, denial: PolicyDenied) -> None:
        """Record that the step is over: it is neither attempted again nor asked about."""
        info = StepInfo(run.id, denial.address, denial.attempt, (), StepEffects(run))
        note_failure(run, info, denial, None)
        if run.observe is not None and self._on_denied is None:
            run.observe(StepGaveUp(run.id, denial.address, denial))

    async def _refused(
        self, frame: Frame, address: str, value: Any, denial: PolicyDenied, complete: Complete
    ) -> Any:
        """Run what runs where the step is denied; its output is the step's.

        Raises:
            PolicyDenied: There is nothing.
        """
        if self._on_denied is None:
            raise denial
        begun, inner = perf_counter(), frame.inner(f"{address}/")
        output = await self._on_denied(inner, value)
        if isinstance(output, Suspended):
            return output
        took = perf_counter() - begun
        result = StepResult(self._plan.label, address, output, denial.attempt, took, NO_USAGE, False, False)
        return await complete(frame, result, inner, NO_USAGE)


class Flowing:
    """What a step takes or gives, as it is judged.

    Args:
        annotation: Its type.
        point: ``input`` or ``output``.
    """

    def __init__(self, annotation: Type, point: Point) -> None:
        self.point: Point = point
        self._annotation = annotation
        self._classes = output_check(annotation)

    def what(self, address: str) -> str:
        """Return what it is, in words."""
        return f"the {self.point} of {address!r}"

    def asks(self, address: str) -> str:
        """Return where a person is asked about it."""
        return f"{address}#gate/{self.point}"

    def dump(self, data: Any) -> bytes:
        """Return it as JSON."""
        return codec_for(self._annotation).dump(data)

    def load(self, written: Any) -> Any:
        """Return it of its parsed JSON."""
        return codec_for(self._annotation).load_parsed(written)

    def wrong(self, data: Any) -> str:
        """Return what is wrong with a value that would take its place."""
        if self._classes is None or isinstance(data, self._classes):
            return ""
        return f"{type_name(type(data))} in the place of {type_name(self._annotation)}"

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of what may take its place."""
        return codec_for(self._annotation).schema()


def _came_of(error: BaseException) -> list[BaseException]:
    """Return the exceptions that one came of, the nearest first."""
    chain: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and cause is not error and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _denied_before(run: Run, address: str, label: str) -> PolicyDenied | None:
    """Return the denial of a step that the journal knows."""
    for note in run.noted(address):
        if note.kind == "step.attempt" and note.body["kind"] == "denied":
            body = note.body
            return PolicyDenied(
                body["text"], step=label, address=address, attempt=body["attempt"], **body.get("denied", {})
            )
    return None
