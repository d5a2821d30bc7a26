"""Side by side: the branches of a parallel and the items of a map, each with its own view of the context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from flujo.engine.build import Build, between_for, condition
from flujo.engine.choices import known_choice, record_choice
from flujo.engine.composite import Composite
from flujo.engine.merge import merge
from flujo.engine.patch import Tracker
from flujo.engine.run import Frame, Suspended, Walk
from flujo.errors import ContextConflict, EffectDiverged, HookFailed, RecordError, RunError, StepFailed
from flujo.pipeline.context import fork
from flujo.pipeline.lanes import Failure
from flujo.plan.codec import Codec, codec_for
from flujo.plan.nodes import (
    PlanBranch,
    PlanHuman,
    PlanLoop,
    PlanMap,
    PlanNode,
    PlanParallel,
    PlanStep,
    PlanSub,
)
from flujo.plan.signature import Signature
from flujo.plan.types import Type


class Lane(NamedTuple):
    """One of several things that run side by side."""

    label: str
    frame: Frame
    walk: Walk
    value: Any


def compile_parallel(plan: PlanParallel, branches: dict[str, Walk], build: Build) -> Walk:
    """Return the walk of a parallel: all branches on one input, then the join."""
    node, label = plan.node, plan.label
    composite = Composite(plan, _joint_codec(plan, build), build)
    views, collect = needs_views(plan, build), node.on_failure == "collect"

    async def parallel(frame: Frame, value: Any) -> Any:
        address = frame.prefix + label
        memo = await composite.known(frame, address)
        if memo is not None:
            return memo.output
        lanes = [
            Lane(branch, _lane_frame(frame, f"{address}/{branch}/", views, frame.slots), walk, value)
            for branch, walk in branches.items()
        ]
        outputs = await _all(lanes, None, collect=collect, views=views)
        if isinstance(outputs, Suspended):
            return outputs
        output: Any = tuple(outputs) if node.is_tuple else dict(zip(branches, outputs, strict=True))
        _join(frame, lanes, outputs, views, composite, address, output)
        return output

    return parallel


def compile_map(plan: PlanMap, body: Walk, build: Build) -> Walk:
    """Return the walk of a map: its items, each through the body, then the join."""
    node, label = plan.node, plan.label
    composite = Composite(plan, build.codec(plan.output_type), build)
    items_codec = codec_for(list[plan.body.input_type] if build.durable else Any)
    between = between_for(build)
    over = None if plan.over is None else condition(plan.over, "over", between=between)
    views, collect = needs_views(plan, build), node.on_failure == "collect"

    async def choose_items(frame: Frame, address: str, value: Any) -> list[Any]:
        """Return the items; recorded first where a function or an unordered input gives them."""
        if over is None and isinstance(value, list | tuple):
            return list(cast("Sequence[Any]", value))
        known = await known_choice(frame, f"{address}[]", items_codec)
        if known is not None:
            return known.output
        given = value if over is None else await over(frame, address, value)
        items = _listed(given, address)
        if over is not None and between is not None:
            items = await between.given(frame, f"{address}[]", list[plan.body.input_type], items)
        record_choice(frame, f"{address}[]", items, items_codec)
        return items

    async def mapped(frame: Frame, value: Any) -> Any:
        address = frame.prefix + label
        memo = await composite.known(frame, address)
        if memo is not None:
            return memo.output
        items = await choose_items(frame, address, value)
        lanes = [
            Lane(
                f"[{index}]", _lane_frame(frame, f"{address}[{index}]/", views, dict(frame.slots)), body, item
            )
            for index, item in enumerate(items)
        ]
        outputs = await _all(lanes, node.concurrency, collect=collect, views=views)
        if isinstance(outputs, Suspended):
            return outputs
        _join(frame, lanes, outputs, views, composite, address, outputs)
        return outputs

    return mapped


def needs_views(plan: PlanNode, build: Build) -> bool:
    """Say whether anything inside a node may look at the context, so that each lane needs a view of it."""
    if build.hooks.before_step or build.hooks.after_step:
        return True
    return any(signature.context for node in plan.walk() for signature in functions_of(node))


def functions_of(node: PlanNode) -> Iterator[Signature]:
    """Yield how the functions are called that a node itself has, without those of the nodes inside it."""
    match node:
        case PlanStep():
            yield from (node.signature, *node.validators)
        case PlanBranch():
            yield node.on
        case PlanLoop():
            yield node.until
        case PlanMap() if node.over is not None:
            yield node.over
        case PlanSub():
            yield from (one for one in (node.into, node.outof) if one is not None)
        case PlanHuman():
            yield from (one for one in (node.prompt, node.subject) if one is not None)
        case _:
            return


def _lane_frame(frame: Frame, prefix: str, views: bool, slots: dict[str, Any]) -> Frame:
    run = frame.run
    if not views:
        return Frame(run, prefix, frame.context, None, slots, frame, False)
    view = run.views.pop(prefix, None) or fork(frame.context)
    return Frame(run, prefix, view, None if frame.tracker is None else Tracker(view), slots, frame, False)


async def _all(lanes: list[Lane], limit: int | None, *, collect: bool, views: bool) -> list[Any] | Suspended:
    """Run lanes side by side and return their outputs in order; what waits lets the others finish."""
    outputs = await _in_group(lanes, _collected if collect else _walked, limit or len(lanes))
    waiting = [output for output in outputs if output.__class__ is Suspended]
    if not waiting:
        return outputs
    for lane in lanes:
        if views and lane.frame.run.recorder is None:
            lane.frame.run.views[lane.frame.prefix] = lane.frame.context
    return Suspended.together(waiting)


async def _in_group(lanes: list[Lane], carry: Callable[[Lane], Any], limit: int) -> list[Any]:
    """Carry lanes out, at most ``limit`` at once; the first to fail cancels the others.

    Of several that failed, the first in order is raised, whichever failed first in time.
    """
    outputs: list[Any] = [None] * len(lanes)
    failed: dict[int, Exception] = {}
    waiting = iter(range(len(lanes)))

    async def work() -> None:
        for index in waiting:
            try:
                outputs[index] = await carry(lanes[index])
            except Exception as error:
                failed[index] = error
                raise

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(lanes))):
                group.create_task(work())
    except ExceptionGroup:
        first = failed[min(failed)]
        raise first from first.__cause__
    return outputs


def _walked(lane: Lane) -> Any:
    return lane.walk(lane.frame, lane.value)


async def _collected(lane: Lane) -> Any:
    try:
        return await lane.walk(lane.frame, lane.value)
    except (HookFailed, ContextConflict, EffectDiverged, RecordError):
        raise
    except RunError as error:
        address = error.address if isinstance(error, StepFailed) else lane.frame.prefix.rstrip("/")
        return Failure(address, type(error).__name__, error.message)


def _join(
    frame: Frame,
    lanes: list[Lane],
    outputs: Sequence[Any],
    views: bool,
    composite: Composite,
    address: str,
    output: Any,
) -> None:
    """Merge what the lanes did to the context, in declared order, and record the composite."""
    patch = None
    if views:
        merge(
            frame.context,
            [
                (
                    f"{address}{lane.label if lane.label.startswith('[') else '/' + lane.label}",
                    lane.frame.context,
                )
                for lane, output in zip(lanes, outputs, strict=True)
                if not isinstance(output, Failure)
            ],
        )
        patch = frame.diff(address)
    usage = None
    for lane in lanes:
        if lane.frame.usage is not None:
            usage = lane.frame.usage if usage is None else usage + lane.frame.usage
    composite.ended(frame, address, output, usage=usage, patch=patch)


def _listed(given: Any, address: str) -> list[Any]:
    try:
        return list(given)
    except TypeError as error:
        raise RunError(
            f"{address}: it maps over {type(given).__name__}, which has no items",
            fix="give it a list, or pass over=",
        ) from error


def _joint_codec(plan: PlanParallel, build: Build) -> Codec | None:
    """Return how a join is recorded; branches of one type need no schema that names each of them."""
    kinds: list[Type] = [branch.output_type for branch in plan.branches.values()]
    if plan.node.on_failure == "collect" or any(kind is not kinds[0] for kind in kinds):
        return build.codec(plan.output_type)
    return build.codec(tuple[kinds[0], ...] if plan.node.is_tuple else dict[str, kinds[0]])
