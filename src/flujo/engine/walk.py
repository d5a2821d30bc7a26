"""Walking: how each kind of node is carried out, around the gate that its steps pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from flujo.engine.build import Build
from flujo.engine.choices import compile_branch, compile_loop
from flujo.engine.gate import Pass, compile_pass, compile_step
from flujo.engine.run import Frame, Suspended, Walk
from flujo.engine.side_by_side import compile_map, compile_parallel
from flujo.engine.sub import compile_sub
from flujo.engine.waiting import compile_event, compile_human, compile_sleep
from flujo.plan.nodes import (
    PlanBranch,
    PlanEvent,
    PlanHuman,
    PlanLoop,
    PlanMap,
    PlanNode,
    PlanParallel,
    PlanSequence,
    PlanSleep,
    PlanStep,
    PlanStream,
    PlanSub,
)


def compile_walk(node: PlanNode, build: Build) -> Walk:
    """Return what carries a node out: a function of a place and an input.

    It gives the node's output, or Suspended when the node waits; failures are raised. Everything
    about the node that can be known beforehand is decided here, once.
    """
    if _may_change(node):
        from flujo.engine.rows import compile_changing

        return compile_changing((node,), build, _units)
    return _compiled(node, build)


def _may_change(node: PlanNode) -> bool:
    return isinstance(node, PlanStep) and node.node.may_mutate is not None


def _compiled(node: PlanNode, build: Build) -> Walk:
    """Return what carries one node of a row out."""
    around = build.around
    walk = _walk_of(node, build) if around is None else around(node, partial(_walk_of, build=build))
    kept = node.path in build.plan.kept and not isinstance(node, PlanSequence)
    return _tracking([node], _keeping(walk, node.path) if kept else walk, build)


def _tracking(nodes: Sequence[PlanNode], walk: Walk, build: Build) -> Walk:
    """Return a walk that carries on what values are labelled with, where policies may ask."""
    if not build.tracks:
        return walk
    from flujo.engine.tracking import tracked

    return tracked(nodes, walk, build)


def _keeping(walk: Walk, path: str) -> Walk:
    """Return a walk that keeps its output for the later steps that name it."""

    async def keeping(frame: Frame, value: Any) -> Any:
        output = await walk(frame, value)
        if output.__class__ is not Suspended:
            frame.slots[path] = output
        return output

    return keeping


def _walk_of(node: PlanNode, build: Build) -> Walk:
    match node:
        case PlanSequence():
            return compile_sequence(node.nodes, build)
        case PlanStream():
            return _compile_stream([node], build)
        case PlanStep():
            return compile_step(node, build, _aside(node.fallback, build), _aside(node.denied, build))
        case PlanParallel():
            branches = {label: compile_walk(branch, build) for label, branch in node.branches.items()}
            return compile_parallel(node, branches, build)
        case PlanMap():
            return compile_map(node, compile_walk(node.body, build), build)
        case PlanBranch():
            return compile_branch(
                node, {key: compile_walk(case, build) for key, case in node.cases.items()}, build
            )
        case PlanLoop():
            return compile_loop(node, compile_walk(node.body, build), build)
        case PlanSub():
            return compile_sub(node, compile_walk(node.body, build), build)
        case PlanHuman():
            return compile_human(node, _aside(node.on_deny, build), _aside(node.on_timeout, build), build)
        case PlanEvent():
            return compile_event(node, _aside(node.on_timeout, build))
        case PlanSleep():
            return compile_sleep(node)
        case _:
            raise TypeError(f"{type(node).__name__} cannot be walked")


def compile_sequence(nodes: Sequence[PlanNode], build: Build) -> Walk:
    """Return the walk of nodes one after another: the output of each is the input of the next."""
    if any(map(_may_change, nodes)):
        from flujo.engine.rows import compile_changing

        return compile_changing(nodes, build, _units)
    if any(isinstance(node, PlanStream) and node.joined for node in nodes) and not build.replays:
        return _compile_segments(nodes, build)
    walks = [_compiled(node, build) for node in nodes]
    return _in_turn(walks, [_passing(node, after, build) for node, after in pairwise(nodes)])


def _passing(node: PlanNode, after: PlanNode, build: Build) -> Pass | None:
    return compile_pass(node, after, build) if isinstance(node, PlanStep) else None


def _in_turn(walks: Sequence[Walk], passes: Sequence[Pass | None]) -> Walk:
    if len(walks) == 1:
        return walks[0]
    parts = list(zip(walks, [*passes, None], strict=True))

    async def sequence(frame: Frame, value: Any) -> Any:
        if frame.run.done:
            return await resumed(frame, value)
        for walk in walks:
            value = await walk(frame, value)
            if value.__class__ is Suspended:
                return value
        return value

    async def resumed(frame: Frame, value: Any) -> Any:
        for walk, passed in parts:
            if passed is not None and passed(frame):
                continue
            value = await walk(frame, value)
            if value.__class__ is Suspended:
                return value
        return value

    return sequence


def _compile_segments(nodes: Sequence[PlanNode], build: Build) -> Walk:
    walks = [walk for walk, _ in _units(nodes, build)]
    return _in_turn(walks, [None] * (len(walks) - 1))


def _units(nodes: Sequence[PlanNode], build: Build) -> list[tuple[Walk, int]]:
    """Return the walks of nodes in a row, each with how many nodes it carries out.

    Streaming steps next to each other are carried out together.
    """
    if build.replays or not any(isinstance(node, PlanStream) and node.joined for node in nodes):
        return [(_compiled(node, build), 1) for node in nodes]
    from flujo.plan.streams import units

    around, walks = build.around, list[tuple[Walk, int]]()
    for unit in units(nodes):
        first, *others = unit
        if not others:
            walk = _compiled(first, build)
        else:
            whole = partial(_streaming, others=others, build=build)
            walk = whole(first) if around is None else around(first, whole)
            walk = _tracking(unit, walk, build)
        walks.append((walk, len(unit)))
    return walks


def _streaming(node: PlanNode, others: Sequence[PlanNode], build: Build) -> Walk:
    return _compile_stream([node, *others], build)


def _compile_stream(nodes: Sequence[PlanNode], build: Build) -> Walk:
    from flujo.engine.streams import compile_stream

    return compile_stream([node for node in nodes if isinstance(node, PlanStream)], build)


def _aside(node: PlanNode | None, build: Build) -> Walk | None:
    return None if node is None else compile_walk(node, build)
