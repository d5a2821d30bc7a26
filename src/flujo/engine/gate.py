"""The gate: the one place where a step's agent is run and its result is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from flujo.engine.attempts import Attempts
from flujo.engine.build import Build, governed_step
from flujo.engine.hooks import shown
from flujo.engine.patch import compose
from flujo.engine.record import OUTPUT_APART, Memo, read_output, read_usage, write_usage
from flujo.engine.result import StepCompleted, StepResult, StepStarted, Unread
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.errors import HookFailed, RecordError, RunTaken
from flujo.pipeline.info import NO_USAGE, Usage
from flujo.plan.codec import Unrecordable
from flujo.plan.nodes import PlanNode, PlanStep

if TYPE_CHECKING:
    from flujo.engine.governed import GovernedStep

_BREATH = 0.01
"""Seconds after which a run lets the other tasks of the loop go on."""

_USAGE, _PATCH = b'"usage":', b'"patch":'
"""What stands in the body of an execution that used something, or changed the context."""

Reuse = Callable[[Frame, str, Memo | bytes], Any]
Pass = Callable[[Frame], bool]
Settle = Callable[[Run, str], None]
Leaving = Callable[[Frame, str, int, Any], Awaitable[Any]]
Take = Callable[[Frame, Any], Any]
Complete = Callable[[Frame, StepResult, Frame | None, Usage], Awaitable[Any]]


def compile_step(plan: PlanStep, build: Build, fallback: Walk | None, denied: Walk | None = None) -> Walk:
    """Return the walk of a step: ask the journal, run the agent, record what came of it.

    Args:
        plan: The step.
        build: What the run is compiled with.
        fallback: What runs where every attempt failed.
        denied: What runs where a policy denied.
    """
    label = plan.label
    governed = governed_step(plan, build, denied)
    attempts = attempts_of(plan, build, fallback, governed)
    commits = not attempts.is_shared  # otherwise the reservation is committed with it
    direct, classes, once = attempts.direct, attempts.classes, attempts.once
    before, codec = build.hooks.before_step, build.codec(plan.output_type)
    reuse = compile_reuse(plan, build)
    settle, taken = _changing(plan, attempts.settle, build)
    complete = compile_record(plan, build, settle, None if governed is None else governed.leaving)

    async def execute_step(frame: Frame, value: Any) -> Any:
        run = frame.run
        address = frame.prefix + label
        if run.done and (known := run.done.get(address)) is not None:
            if isinstance(known, bytes) and known.startswith(OUTPUT_APART):
                assert run.recorder is not None
                assert codec is not None
                known = await run.recorder.recorded(known, codec, address)
            return reuse(frame, address, known)
        if run.given_up:
            raise RunTaken(f"run {run.id} was given up before {address!r} began")
        if run.recorder is not None and (commits or before or run.observe is not None):
            await run.recorder.commit()
        if before or run.observe is not None:
            value = await announced(before, label, frame, value)
        begun = perf_counter()
        if begun - run.yielded > _BREATH:
            await asyncio.sleep(0)
            run.yielded = perf_counter()
        if direct is not None and address not in run.notes:
            outcome = once
            try:
                output = await direct(frame, value)
                if classes is not None and not isinstance(output, classes):
                    raise attempts.mistyped(output)
            except (asyncio.CancelledError, SystemExit, Exception) as error:  # noqa: BLE001  # the step's own code
                return attempts.fail_direct(run, address, error)
        else:
            outcome = await attempts.run(frame, address, value)
            if isinstance(outcome, Suspended):
                return outcome
            output = outcome.output if taken is None else taken(frame, outcome.output)
        _, many, usage, cached, fallback, paid = outcome
        result = StepResult(label, address, output, many, perf_counter() - begun, usage, False, cached)
        return await complete(frame, result, fallback, paid)

    return execute_step if governed is None else governed.entering(execute_step, complete)


def attempts_of(
    plan: PlanStep, build: Build, fallback: Walk | None, governed: GovernedStep | None
) -> Attempts:
    """Return the attempts of a step, under the quotas and the policies that hold for it."""
    limited = None if build.quotas is None else build.quotas.attempts(plan, fallback)
    attempts = limited or Attempts(plan, fallback)
    if build.tracks and plan.node.cache:
        from flujo.engine.labelled import LabelledCache

        attempts.cache = LabelledCache(plan)
    if governed is not None:
        attempts.govern(governed)
    return attempts


def _changing(plan: PlanStep, settle: Settle | None, build: Build) -> tuple[Settle | None, Take | None]:
    """Return what is done before a step is recorded, and what it gives on, where it may change its row."""
    settle = noting(settle, build)
    if plan.node.may_mutate is None:
        return settle, None
    from flujo.engine.rows import recording, taken

    return recording(plan.label, settle), taken


def noting(settle: Settle | None, build: Build) -> Settle | None:
    """Return what is done before a step is recorded, what its output is labelled with included."""
    if not build.tracks:
        return settle
    from flujo.engine.labels import marking

    return marking(settle)


async def announced(before: tuple[Callable[..., Any], ...], label: str, frame: Frame, value: Any) -> Any:
    """Show a step's input to hooks, and tell that the step begins."""
    value = await shown(before, value, before=(label,), context=frame.context)
    run = frame.run
    if run.observe is not None:
        await run.observe.room()
        run.observe(StepStarted(run.id, frame.prefix + label, label))
    return value


def compile_reuse(plan: PlanStep, build: Build) -> Reuse:
    """Return how the output of a step that the journal knows is taken from there: nothing runs."""
    label = plan.label
    codec = build.codec(plan.output_type)

    def reuse(frame: Frame, address: str, known: Memo | bytes) -> Any:
        if isinstance(known, Memo):
            output, usage, attempts, took, patch = known[:5]
        else:
            assert codec is not None
            facts: dict[str, Any] = from_json(known)
            output = read_output(codec, facts["output"], address)
            usage = read_usage(facts["usage"]) if "usage" in facts else NO_USAGE
            attempts, took, patch = facts.get("attempts", 1), facts.get("took", 0) / 1e6, facts.get("patch")
        if patch is not None:
            frame.replay(patch)
        frame.run.steps.append(StepResult(label, address, output, attempts, took, usage, True))
        if usage is not NO_USAGE:
            frame.used(usage)
        return output

    return reuse


def compile_pass(plan: PlanStep, after: PlanNode, build: Build) -> Pass | None:
    """Return how a step is passed by unread where what follows it is recorded, too: nobody needs its output.

    Args:
        plan: The step.
        after: The node that its output goes to.
        build: What the run is compiled with.
    """
    codec = build.codec(plan.output_type)
    if codec is None or plan.path in build.plan.kept or not isinstance(after, PlanStep):
        return None
    if build.around is not None:
        return None  # somebody looks at every step
    label, following = plan.label, after.label

    def read(address: str, body: bytes) -> StepResult:
        facts: dict[str, Any] = from_json(body)
        output, took = read_output(codec, facts["output"], address), facts.get("took", 0) / 1e6
        return StepResult(label, address, output, facts.get("attempts", 1), took, NO_USAGE, True)

    def passed(frame: Frame) -> bool:
        run, address = frame.run, frame.prefix + label
        known = run.done.get(address)
        if not isinstance(known, bytes) or frame.prefix + following not in run.done:
            return False
        if known.startswith(OUTPUT_APART) or _USAGE in known or _PATCH in known:
            return False
        run.steps.append(Unread(label, address, known, read))
        return True

    return passed


def compile_record(
    plan: PlanStep, build: Build, settle: Settle | None = None, leaving: Leaving | None = None
) -> Complete:
    """Return how a step's result is shown to hooks, recorded, and told.

    A step whose fallback gave the output is recorded as a composite: what the fallback used and changed
    is part of its event.

    Args:
        plan: The step.
        build: What the run is compiled with.
        settle: Called right before the result is recorded, where quotas hold or the pipeline may change.
        leaving: Has policies judge what a hook put in the place of the output.
    """
    label = plan.label
    after = build.hooks.after_step
    looks = bool(plan.signature.context or after or build.hooks.before_step) or any(
        one.context for one in plan.validators
    )
    codec = build.codec(plan.output_type)
    dump = None if codec is None else codec.dump

    async def complete(frame: Frame, result: StepResult, fallback: Frame | None, paid: Usage) -> Any:
        run = frame.run
        if after:
            result = await after_hooks(after, frame, result, leaving)
        output = result.output
        if dump is not None and run.recorder is not None:
            try:
                written = run.recorder.written(dump(output))
                patch = frame.tracker.diff() if looks and frame.tracker is not None else None
            except Unrecordable as error:
                raise RecordError(
                    error.message, step=label, address=result.address, attempt=result.attempts, fix=error.fix
                ) from error
            if patch is not None:
                frame.changed(patch)
            if settle is not None:
                settle(run, result.address)
            if fallback is None:
                run.recorder.append(
                    "step.completed", result.address, step_body(written, result, result.usage, patch)
                )
            else:
                usage = result.usage + (fallback.usage or NO_USAGE)
                both = compose(fallback.patch, patch) if fallback.patch and patch else fallback.patch or patch
                run.recorder.append("node.completed", result.address, step_body(written, result, usage, both))
        elif fallback is not None:
            both = result.usage + (fallback.usage or NO_USAGE)
            run.choices[result.address] = Memo(output, both, result.attempts, result.duration, stood_in=True)
        if result.usage is not NO_USAGE:
            frame.used(result.usage if paid is NO_USAGE else result.usage - paid)
        run.steps.append(result)
        if run.observe is not None:
            if run.recorder is not None:
                await run.recorder.commit()
            run.observe(StepCompleted(run.id, result))
        return output

    return complete


def step_body(written: bytes, result: StepResult, usage: Usage, patch: bytes | None) -> bytes:
    """Return the body of the event that records a step's result."""
    body = b'{%b,"took":%d' % (written, result.duration * 1e6)
    if result.attempts != 1:
        body += b',"attempts":%d' % result.attempts
    if result.cached:
        body += b',"cached":true'
    if usage is not NO_USAGE and usage:
        body += b',"usage":' + write_usage(usage)
    if patch is not None:
        body += b',"patch":' + patch
    return body + b"}"


async def after_hooks(
    after: tuple[Callable[..., Any], ...], frame: Frame, result: StepResult, leaving: Leaving | None
) -> StepResult:
    """Show a result to hooks; what one puts in the place of the output is judged as the output was."""
    shown_as = await shown(after, result, context=frame.context)
    if not isinstance(shown_as, StepResult):
        raise HookFailed(
            f"a hook replaced the result of {result.address!r} by {type(shown_as).__name__}",
            fix="replace it by another StepResult: Replace(dataclasses.replace(step_result, output=…))",
        )
    if leaving is None or shown_as.output is result.output:
        return shown_as
    output = await leaving(frame, result.address, result.attempts, shown_as.output)
    return replace(shown_as, output=output)
