"""Choices: one of several cases, and whether a loop turns again. Each is recorded when it is made."""

from __future__ import annotations

from typing import Any

from flujo.engine.build import Build, between_for, condition
from flujo.engine.composite import Composite
from flujo.engine.record import Memo
from flujo.engine.run import Frame, Suspended, Walk
from flujo.errors import LoopExhausted, RunError
from flujo.pipeline.flow import case_label
from flujo.plan.codec import Codec, codec_for
from flujo.plan.nodes import PlanBranch, PlanLoop


def compile_branch(plan: PlanBranch, cases: dict[str, Walk], build: Build) -> Walk:
    """Return the walk of a branch: choose once, record the choice, run the case."""
    node, label = plan.node, plan.label
    between = between_for(build)
    on = condition(plan.on, "on", between=between)
    labels = {key: case_label(key) for key in node.cases}
    text = codec_for(str)

    async def choose(frame: Frame, address: str, value: Any) -> str:
        known = await known_choice(frame, address, text)
        if known is not None:
            return known.output
        key = await on(frame, address, value)
        case = labels.get(key) if isinstance(key, str | int) else None
        if case is None and node.default is None:
            shown = (
                f"{type(key).__name__} {_short(key)}" if isinstance(key, str | int) else type(key).__name__
            )
            told = f"{address}: no case for {shown}"
            raise RunError(
                told if between is None else await between.words(frame, address, told),
                fix=f"add the case or a default; it has {', '.join(cases)}",
            )
        case = case or "default"
        record_choice(frame, address, case, text)
        return case

    async def branch(frame: Frame, value: Any) -> Any:
        address = frame.prefix + label
        case = await choose(frame, address, value)
        return await cases[case](frame.inner(f"{address}/{case}/"), value)

    return branch


async def known_choice(frame: Frame, address: str, codec: Codec) -> Memo | None:
    """Return a choice that the journal knows, with what its function changed taken into the context."""
    run = frame.run
    if not run.done or (known := run.done.get(address)) is None:
        return None
    if not isinstance(known, bytes):
        return known
    assert run.recorder is not None
    memo = await run.recorder.recorded(known, codec, address)
    if memo.patch:
        frame.replay(memo.patch)
    return memo


def record_choice(frame: Frame, address: str, choice: Any, codec: Codec) -> None:
    """Record a choice, and what its function changed in the context.

    Raises:
        RecordError: It cannot be recorded.
    """
    run = frame.run
    if run.recorder is None:
        run.choices[address] = Memo(choice)
        return
    body = b"{" + run.recorder.member(choice, codec, address)
    patch = frame.diff(address)
    if patch is not None:
        body += b',"patch":' + patch
    run.recorder.append("choice", address, body + b"}")


def compile_loop(plan: PlanLoop, body: Walk, build: Build) -> Walk:
    """Return the walk of a loop: each turn is recorded with its output and whether it was the last."""
    node, label = plan.node, plan.label
    record = Composite(plan, build.codec(plan.output_type), build)
    until, most = condition(plan.until, "until", bool, between_for(build)), node.max_turns

    async def one_turn(frame: Frame, address: str, value: Any) -> Memo | Suspended:
        inner = frame.inner(f"{address}/")
        output = await body(inner, value)
        if output.__class__ is Suspended:
            return output
        last = await until(frame, address, output)
        inner.diff(address)  # what the condition changed is part of the turn
        record.ended(frame, address, output, kind="turn", usage=inner.usage, patch=inner.patch, last=last)
        return Memo(output, last=last)

    async def loop(frame: Frame, value: Any) -> Any:
        address = frame.prefix + label
        memo = await record.known(frame, address)
        if memo is not None:
            return memo.output
        inner = frame.inner(f"{address}/")
        for number in range(1, most + 1):
            place = f"{address}[{number}]"
            turn = await record.known(inner, place) or await one_turn(inner, place, value)
            if isinstance(turn, Suspended):
                return turn
            value = turn.output
            if turn.last:
                break
        else:
            if node.on_exhausted == "fail":
                raise LoopExhausted(
                    f"{address}: its condition did not hold after {most} turns",
                    fix="raise max_turns, or pass on_exhausted='return' to go on with the last output",
                )
        record.ended(frame, address, value, usage=inner.usage, patch=inner.patch)
        return value

    return loop


def _short(key: Any) -> str:
    shown = repr(key)
    return shown if len(shown) <= 40 else shown[:37] + "..."
