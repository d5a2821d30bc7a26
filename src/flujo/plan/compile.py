"""Checking: from a pipeline to a plan, or to every problem it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flujo.errors import PlanError, Problem
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Node, check_node
from flujo.plan.codec import Unrecordable, codec_for
from flujo.plan.fields import check_context
from flujo.plan.nodes import Members, PlanEvent, PlanHuman, PlanMap, PlanNode, PlanParallel, PlanStep, PlanSub
from flujo.plan.place import Placement
from flujo.plan.plan import Plan, Source
from flujo.plan.types import Type, recorded_input, type_name

AnyNode = Node[Any, Any]


def compile_plan(
    pipeline: AnyNode,
    *,
    context_model: type[PipelineContext] | None = None,
    input_type: Type = Any,
    recorded: bool = True,
) -> Plan:
    """Check a pipeline and return its plan.

    Args:
        pipeline: A pipeline, or a single node.
        context_model: The class of the runs' context; when left out, the most derived class that a
            step asks for.
        input_type: What the pipeline takes; Any where its first node is to tell.
        recorded: Whether runs are recorded: every output type must then be recordable.

    Raises:
        PlanError: It does not fit together; the error lists every problem, in the order of the
            pipeline, each with its place and remedy.
    """
    check_node(pipeline, "Flujo")
    return _compiled(pipeline, Placement(), context_model, input_type, recorded=recorded)


def recompile(plan: Plan, prefix: str, row: Members) -> Plan:
    """Check the pipeline of a plan again, with other nodes in one of its rows, and return its plan.

    Args:
        plan: A plan with steps that may change it.
        prefix: What the addresses in the row begin with.
        row: The nodes of the row from now on.

    Raises:
        PlanError: It does not fit together any more.
    """
    source = plan.source
    assert source is not None
    placement = Placement({**source.given, prefix: row}, source.scopes)
    return _compiled(
        source.pipeline, placement, plan.context_model, source.input_type, recorded=source.recorded
    )


def _compiled(
    pipeline: AnyNode,
    placement: Placement,
    context_model: type[PipelineContext] | None,
    input_type: Type,
    *,
    recorded: bool,
) -> Plan:
    root = placement.place_root(pipeline, input_type)
    model = _context_model(placement, context_model)
    _check_recordable(root, model, placement.problems, recorded=recorded)
    if placement.problems:
        raise PlanError(placement.in_order())
    rows = placement.rows()
    kept = frozenset(target for _, target in placement.references)
    source = Source(pipeline, input_type, recorded, rows, placement.given_rows, placement.parts)
    return Plan(
        name=pipeline.name or "pipeline",
        root=root,
        context_model=model,
        kept=kept.union(_in_reach(root, rows)) if rows else kept,
        exports=_exports(root, placement.references),
        scopes=placement.scopes,
        source=source if rows else None,
    )


def _in_reach(root: PlanNode, rows: Mapping[str, Members]) -> set[str]:
    """Return the nodes that something which is brought into a row may name: those in the rows around it."""
    levels = {"", *(prefix for prefix in rows)}
    for prefix in rows:
        levels.update(prefix[:end] for end in (at + 1 for at, letter in enumerate(prefix) if letter == "/"))
    return {node.path for node in root.walk() if node.label and node.path.removesuffix(node.label) in levels}


def _context_model(placement: Placement, given: type[PipelineContext] | None) -> type[PipelineContext]:
    """Return the context class that satisfies every step, or report those it does not."""
    model = given
    if model is None:
        model = PipelineContext
        for _, asked in placement.contexts:
            if issubclass(asked, model):
                model = asked
    for path, asked in placement.contexts:
        if not issubclass(model, asked):
            placement.problems.append(
                Problem(
                    path,
                    f"it asks for the context {asked.__name__}, but runs have {model.__name__}",
                    f"pass Flujo(…, context_model={asked.__name__}), or ask for a class that "
                    f"{model.__name__} derives from",
                )
            )
    return model


def _check_recordable(
    root: PlanNode, model: type[PipelineContext], problems: list[Problem], *, recorded: bool
) -> None:
    """Report types that cannot be recorded; without a store, those that are cached or asked of a person."""
    kinds: list[tuple[str, str, Type]] = []
    if recorded:
        kinds.append((root.path, "input", recorded_input(root.input_type)))
        problems.extend(check_context(model))
    for node in root.walk():
        if recorded and isinstance(node, PlanParallel | PlanMap) and node.node.on_failure == "collect":
            problems.extend(_undeclared(lane) for lane in node.children.values() if lane.output_type is Any)
        if isinstance(node, PlanHuman | PlanEvent) or (
            isinstance(node, PlanStep) and (recorded or _is_written(node))
        ):
            kinds.append((node.path, "output", node.output_type))
        elif recorded and isinstance(node, PlanMap):
            kinds.append((node.path, "item", node.body.input_type))
        elif recorded and isinstance(node, PlanSub) and node.into is not None:
            kinds.append((node.path, "input", node.mapped_type))
    for path, role, kind in kinds:
        try:
            codec_for(kind)
        except Unrecordable as error:
            message = f"its {role} type {type_name(kind)} cannot be recorded: {error.message}"
            problems.append(Problem(path, message, error.fix))


def _is_written(step: PlanStep) -> bool:
    """Say whether a step's output is written, or a person asked for it, also without a store."""
    return bool(step.node.cache) or step.node.effects == "at_most_once"


def _undeclared(lane: PlanNode) -> Problem:
    return Problem(
        lane.path,
        "its failures are collected, but nothing declares what it gives: the two could not be told apart",
        "annotate what its last step returns",
    )


def _exports(root: PlanNode, references: list[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Return, for each container, the nodes inside it that something outside it names."""
    containers = {node.path for node in root.walk() if node.children} if references else set[str]()
    exports: dict[str, dict[str, None]] = {}
    for user, target in references:
        for path in containers.intersection(_around(target)).difference(_around(user)):
            exports.setdefault(path, {})[target] = None
    return {path: tuple(targets) for path, targets in exports.items()}


def _around(path: str) -> list[str]:
    """Return the paths that a path lies in."""
    return [path[:end] for end, letter in enumerate(path) if letter in "/[" and end]
