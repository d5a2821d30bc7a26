"""Waiting: for a person, for an event, for time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flujo.engine.build import Build, between_for, condition
from flujo.engine.dispatch import arrived
from flujo.engine.requests import accepted, answer_to, ask, asked, importable, is_late
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.errors import WaitTimedOut
from flujo.pipeline.context import fork
from flujo.pipeline.waits import Action
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanEvent, PlanHuman, PlanSleep
from flujo.plan.types import assignable


def compile_human(plan: PlanHuman, on_deny: Walk | None, on_timeout: Walk | None, build: Build) -> Walk:
    """Return the walk of a HumanInput: ask once, and go on with the answer."""
    node, label = plan.node, plan.label
    codec = codec_for(node.schema)
    schema, type_name = codec.schema(), importable(node.schema)
    may_approve = node.subject is not None or assignable(plan.input_type, node.schema)
    between = between_for(build)
    prompt = None if plan.prompt is None else condition(plan.prompt, "prompt", str, between)
    subject = None if plan.subject is None else condition(plan.subject, "subject", between=between)
    actions: tuple[Action, ...] = ("approve", "edit", "deny") if may_approve else ("edit", "deny")

    async def ask_them(frame: Frame, address: str, value: Any) -> Suspended:
        place = Frame(frame.run, frame.prefix, fork(frame.context), None, frame.slots)  # they only look
        text = str(node.prompt) if prompt is None else await prompt(place, address, value)
        shown = value if subject is None else await subject(place, address, value)
        if between is not None and prompt is not None:
            text = await between.given(frame, address, str, text)
        if between is not None and subject is not None:
            shown = await between.given(frame, address, Any, shown)
        return ask(
            frame.run,
            address,
            "input",
            text,
            subject=shown,
            schema=schema,
            type_name=type_name,
            actions=actions,
            deadline=_deadline(frame.run, node.timeout),
        )

    async def human(frame: Frame, value: Any) -> Any:
        run, address = frame.run, frame.prefix + label
        answer = answer_to(run, address) if address in run.notes else None
        if answer is None:
            waiting = asked(run, address) or await ask_them(frame, address, value)
            if not _is_late(run, waiting):
                return waiting
            answer = _time_out(run, address)
        match answer["action"]:
            case "deny" if on_deny is not None:
                return await on_deny(frame.inner(f"{address}/"), value)
            case "timeout" if on_timeout is not None:
                return await on_timeout(frame.inner(f"{address}/"), value)
            case "timeout":
                raise WaitTimedOut(f"{address}: nobody answered within {node.timeout}")
            case _:
                return accepted(answer, codec, address)

    return human


def compile_event(plan: PlanEvent, on_timeout: Walk | None) -> Walk:
    """Return the walk of a WaitForEvent: go on with the payload, or after the time with the other way."""
    node, label = plan.node, plan.label
    codec = codec_for(node.schema)
    schema, type_name = codec.schema(), importable(node.schema)

    def wait_for_it(run: Run, address: str) -> Suspended:
        return ask(
            run,
            address,
            "event",
            f"waits for the event {node.event!r}",
            schema=schema,
            type_name=type_name,
            actions=("edit",),
            deadline=_deadline(run, node.timeout),
            name=node.event,
        )

    async def event(frame: Frame, value: Any) -> Any:
        run, address = frame.run, frame.prefix + label
        answer = answer_to(run, address) if address in run.notes else None
        if answer is None:
            waiting = asked(run, address) or wait_for_it(run, address)
            answer = await arrived(run, waiting.requests[0], node.event, codec)
            if answer is None and not _is_late(run, waiting):
                return waiting
            answer = answer or _time_out(run, address)
        if answer["action"] != "timeout":
            return accepted(answer, codec, address)
        if on_timeout is None:
            raise WaitTimedOut(f"{address}: the event {node.event!r} did not come within {node.timeout}")
        return await on_timeout(frame.inner(f"{address}/"), value)

    return event


def _is_late(run: Run, waiting: Suspended) -> bool:
    request = waiting.requests[0]
    return request.deadline is not None and is_late(request, run.clock.now())


def _deadline(run: Run, timeout: timedelta | None) -> int | None:
    return None if timeout is None else run.clock.now() + int(timeout.total_seconds() * 1e6)


def _time_out(run: Run, address: str) -> dict[str, Any]:
    answer = {"action": "timeout", "value": None, "reason": "", "actor": "", "channel": "clock"}
    run.note("answer", address, answer)
    return answer


def compile_sleep(plan: PlanSleep) -> Walk:
    """Return the walk of a Sleep: its due time is recorded when it begins.

    In a worker's hands the run is put down until then; elsewhere the process waits.
    """
    label = plan.label
    microseconds = int(plan.node.duration.total_seconds() * 1e6)

    async def sleep(frame: Frame, value: Any) -> Any:
        run, address = frame.run, frame.prefix + label
        due = next((note.body["due"] for note in run.noted(address) if note.kind == "timer"), None)
        if due is None:
            due = run.clock.now() + microseconds
            run.note("timer", address, {"due": due})
        await run.commit()
        # Never longer than it was to be, should the clock have been set back meanwhile.
        left = min(due - run.clock.now(), microseconds) / 1e6
        if left > 0:
            if run.parks:
                return Suspended(due=due)
            await run.clock.sleep(left)
        return value

    return sleep
