"""Around nodes: what carries labels on from value to value, where policies may ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flujo.engine.build import Build
from flujo.engine.labels import (
    ANY,
    Held,
    Labels,
    Marks,
    StepLabels,
    held_in,
    labels_of,
    recalled,
    union,
)
from flujo.engine.run import Frame, Suspended, Walk
from flujo.engine.side_by_side import functions_of
from flujo.pipeline.context import IMMUTABLE, PipelineContext, clone
from flujo.pipeline.labels import UNTRUSTED
from flujo.pipeline.policy import NO_LABELS
from flujo.plan.labels import labels_in
from flujo.plan.nodes import PlanEvent, PlanHuman, PlanMap, PlanNode, PlanSequence, PlanStep, PlanSub


def tracked(nodes: Sequence[PlanNode], walk: Walk, build: Build) -> Walk:
    """Return the walk of a node, or of streaming steps in a row, that carries labels on.

    Args:
        nodes: The node, or the steps.
        walk: Their walk.
        build: What they are compiled with.
    """
    steps = [node for node in nodes if isinstance(node, PlanStep)]
    if steps:
        return _tracked_steps(steps, walk, build)
    return walk if isinstance(nodes[0], PlanSequence) else _tracked_node(nodes[0], walk, build)


def _tracked_steps(nodes: Sequence[PlanStep], walk: Walk, build: Build) -> Walk:
    labels, marks = [node.label for node in nodes], marks_of(nodes, build.plan.context_model)
    marked, takes = bool(marks.takes or marks.gives), bool(nodes[0].signature.input)
    sources = frozenset(path for node in nodes for path in node.sources.values())
    kept = {node.label: node.path for node in nodes if node.path in build.plan.kept}

    def begin(frame: Frame) -> None:
        held, steps = held_in(frame), labels_of(frame.run).steps
        taken = marks.takes | union(held.named.get(path, NO_LABELS) for path in sources)
        if takes:
            taken |= held.flowing
        if marks.reads:
            taken |= held.context
        entry = StepLabels(frame, marks, taken)
        for label in labels:
            steps[frame.prefix + label] = entry

    async def step(frame: Frame, value: Any) -> Any:
        run = frame.run
        known = bool(run.done) and frame.prefix + labels[-1] in run.done
        if not known and (marked or run.labels is not None):
            begin(frame)
        output = await walk(frame, value)
        if run.labels is None or output.__class__ is Suspended:
            return output
        held = held_in(frame)
        for label in labels:
            address = frame.prefix + label
            entry = run.labels.steps.pop(address, None)
            if known:
                recalled(frame, address)
            else:
                held.flowing = NO_LABELS if entry is None else entry.close(run, address)
            if label in kept:
                held.named[kept[label]] = held.flowing
        held.inside.clear()
        return output

    return step


def _tracked_node(node: PlanNode, walk: Walk, build: Build) -> Walk:
    asks = any(one.context for one in functions_of(node))
    own = _own(node)
    path = node.path if node.path in build.plan.kept else ""
    maps = asks and isinstance(node, PlanMap | PlanSub)

    async def around(frame: Frame, value: Any) -> Any:
        run = frame.run
        if run.labels is None and not (asks or own):
            output = await walk(frame, value)
            if run.labels is None or output.__class__ is Suspended:
                return output
            held = held_in(frame)
        else:
            labels_of(run)
            held = held_in(frame)
            carried = _with_context(held, walk, frame, value, maps=maps) if asks else walk(frame, value)
            output = await carried
            if output.__class__ is Suspended:
                return output
        if held.inside:
            held.leave()
        elif isinstance(node, PlanEvent):
            held.flowing = own
        else:
            held.flowing |= own
        if asks and isinstance(node, PlanSub):
            held.flowing |= held.context
        if path:
            held.named[path] = held.flowing
        return output

    return around


def _own(node: PlanNode) -> Labels:
    """Return what comes in from outside at a node."""
    match node:
        case PlanHuman():
            return labels_in(node.node.schema)
        case PlanEvent():
            return labels_in(node.node.schema) | {UNTRUSTED}
        case _:
            return NO_LABELS


async def _with_context(held: Held, walk: Walk, frame: Frame, value: Any, *, maps: bool) -> Any:
    """Carry a node out whose own functions look at the context: what they change there holds what they saw.

    Which fields those are is found when the node is over; until then it may have been any.

    Args:
        held: What is held at its place.
        walk: Its walk.
        frame: Its place.
        value: What it is given.
        maps: Whether such a function makes of its input what the nodes inside it are given.
    """
    flowing, before = held.flowing, {name: clone(one) for name, one in vars(frame.context).items()}
    any_before = held.fields.get(ANY, NO_LABELS)
    if maps:
        held.flowing |= held.context
    held.fields[ANY] = any_before | flowing
    output = await walk(frame, value)
    if any_before:
        held.fields[ANY] = any_before
    else:
        held.fields.pop(ANY, None)
    seen = flowing | held.flowing | union(one.flowing for one in held.inside)
    for name, one in vars(frame.context).items():
        if seen and (one is not before.get(name) if one.__class__ in IMMUTABLE else one != before.get(name)):
            held.fields[name] = held.fields.get(name, NO_LABELS) | seen
    return output


def marks_of(nodes: Sequence[PlanStep], context_model: type[PipelineContext]) -> Marks:
    """Return what a step declares, or streaming steps that are carried out together."""
    takes, gives, reads = NO_LABELS, NO_LABELS, False
    for plan in nodes:
        asks = any(one.context for one in (plan.signature, *plan.validators))
        takes |= labels_in(plan.input_type) | (labels_in(context_model) if asks else NO_LABELS)
        gives |= plan.node.labels | labels_in(plan.output_type)
        reads = reads or asks
    return Marks(takes, gives, nodes[0].node.declassifies, reads)
