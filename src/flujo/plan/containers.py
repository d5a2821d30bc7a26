"""Placing the nodes that hold others: containers, and waits that have a node for when no answer comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Never

from flujo.errors import Problem
from flujo.pipeline.flow import Branch, Loop, SubPipeline, case_label
from flujo.pipeline.lanes import Failure, Map, Parallel
from flujo.pipeline.node import Node
from flujo.pipeline.waits import HumanInput, WaitForEvent
from flujo.plan.nodes import (
    PlanBranch,
    PlanEvent,
    PlanHuman,
    PlanLoop,
    PlanMap,
    PlanNode,
    PlanParallel,
    PlanSub,
)
from flujo.plan.scope import Scope
from flujo.plan.shapes import asked_of, case_problems, either, item_type, may_iterate, record_type
from flujo.plan.types import Type, assignable, is_never, type_name, union

if TYPE_CHECKING:
    from flujo.plan.place import Placement

AnyNode = Node[Any, Any]


def place_container(
    walk: Placement, node: AnyNode, path: str, label: str, given: Type, scope: Scope
) -> PlanNode:
    """Place a node that holds others, and them.

    Args:
        walk: The walk over the pipeline; it places what is inside.
        node: The node.
        path: Where it stands.
        label: The last part of its path.
        given: The type of what it is given.
        scope: The outputs that may be named there; takes those that become known inside.

    Raises:
        PlanError: What is inside lies too deep.
        TypeError: It is no kind of node that a plan knows.
    """
    match node:
        case Parallel():
            return _place_parallel(walk, node, path, label, given, scope)
        case Map():
            return _place_map(walk, node, path, label, given, scope)
        case Branch():
            return _place_branch(walk, node, path, label, given, scope)
        case Loop():
            return _place_loop(walk, node, path, label, given, scope)
        case SubPipeline():
            return _place_sub(walk, node, path, label, given, scope)
        case HumanInput():
            return _place_human(walk, node, path, label, given, scope)
        case WaitForEvent():
            return _place_event(walk, node, path, label, given, scope)
        case _:
            raise TypeError(f"{type(node).__name__} is no kind of node that a plan knows")


def _place_parallel(
    walk: Placement, node: Parallel[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanParallel:
    branches: dict[str, PlanNode] = {}
    scopes: list[Scope] = []
    for name, branch in node.branches.items():
        inner = scope.inside()
        branches[name] = walk.place(branch, f"{path}/{name}/", "", given, inner)
        scopes.append(inner)
    collects = node.on_failure == "collect"
    scope.join(scopes, f"its branch of {path!r} may fail, and is then collected" if collects else "")
    outputs: dict[str, Any] = {
        name: union(branch.output_type, Failure) if collects else branch.output_type
        for name, branch in branches.items()
    }
    output: Any = record_type(label, outputs) if not node.is_tuple else tuple[tuple(outputs.values())]
    if any(map(is_never, outputs.values())):  # that branch fails, and the parallel with it
        output = Never
    return PlanParallel(
        path=path,
        label=label,
        input_type=asked_of(given, branches.values()),
        output_type=output,
        node=node,
        branches=branches,
    )


def _place_map(
    walk: Placement, node: Map[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanMap:
    over = None if node.over is None else walk.judge(node.over, path, given, "over")
    items = given if over is None else over.output_type
    inner = scope.inside()
    body = walk.place(node.body, f"{path}[]/", "", item_type(items), inner)
    if not may_iterate(items):
        walk.problems.append(
            Problem(
                path,
                f"it maps over {type_name(items)}, which has no items",
                "give it a list, or pass over=",
            )
        )
    scope.take(inner, f"it runs once for each item of {path!r}: name the map's own output instead")
    each: Any = Any if is_never(body.output_type) else body.output_type  # no item: an empty list
    if node.on_failure == "collect":
        each = union(body.output_type, Failure)
    asked = over.input_type if over is not None else Iterable[body.input_type]
    return PlanMap(
        path=path,
        label=label,
        input_type=asked if given is Any else given,
        output_type=list[each],
        node=node,
        over=over,
        body=body,
    )


def _place_branch(
    walk: Placement, node: Branch[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanBranch:
    on = walk.judge(node.on, path, given, "on")
    cases: dict[str, PlanNode] = {}
    nodes: dict[str, AnyNode] = {case_label(key): case for key, case in node.cases.items()}
    if node.default is not None:
        nodes["default"] = node.default
    for name, case in nodes.items():
        inner = scope.inside()
        cases[name] = walk.place(case, f"{path}/{name}/", "", given, inner)
        scope.take(inner, f"it runs only in case {name!r} of {path!r}")
    walk.problems += case_problems(node, on.output_type, path)
    output = cases[next(iter(cases))].output_type
    for case in list(cases.values())[1:]:
        output = either(output, case.output_type)
    return PlanBranch(
        path=path,
        label=label,
        input_type=asked_of(given, cases.values()),
        output_type=output,
        node=node,
        on=on,
        cases=cases,
    )


def _place_loop(
    walk: Placement, node: Loop[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanLoop:
    inner = scope.inside()
    body = walk.place(node.body, f"{path}[]/", "", given, inner)
    until = walk.judge(node.until, path, body.output_type, "until")
    if not assignable(body.output_type, body.input_type):
        walk.problems.append(
            Problem(
                path,
                f"its body gives {type_name(body.output_type)}, but the next turn takes "
                f"{type_name(body.input_type)}",
                "let the body give what it takes",
            )
        )
    scope.take(inner)
    return PlanLoop(
        path=path,
        label=label,
        input_type=body.input_type,
        output_type=body.output_type,
        node=node,
        until=until,
        body=body,
    )


def _place_sub(
    walk: Placement, node: SubPipeline[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanSub:
    inner = scope.inside()
    into = None if node.input is None else walk.judge(node.input, path, given, "input")
    body = walk.place(node.pipeline, f"{path}/", "", given if into is None else into.output_type, inner)
    scope.take(inner)
    outof = None if node.result is None else walk.judge(node.result, path, body.output_type, "output")
    asked = body.input_type if into is None else into.input_type
    return PlanSub(
        path=path,
        label=label,
        input_type=asked if given is Any else given,
        output_type=body.output_type if outof is None or is_never(body.output_type) else outof.output_type,
        node=node,
        into=into,
        outof=outof,
        body=body,
    )


def _place_human(
    walk: Placement, node: HumanInput[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanHuman:
    denied = walk.aside(node.on_deny, path, given, scope, "runs only when the person denies")
    walk.check_gives(denied, node.schema, path)
    late = walk.aside(node.on_timeout, path, given, scope, "runs only when the answer is late")
    walk.check_gives(late, node.schema, path)
    return PlanHuman(
        path=path,
        label=label,
        input_type=given,
        output_type=node.schema,
        node=node,
        prompt=walk.judge(node.prompt, path, given, "prompt") if callable(node.prompt) else None,
        subject=None if node.subject is None else walk.judge(node.subject, path, given, "subject"),
        on_deny=denied,
        on_timeout=late,
    )


def _place_event(
    walk: Placement, node: WaitForEvent[Any, Any], path: str, label: str, given: Type, scope: Scope
) -> PlanEvent:
    late = walk.aside(node.on_timeout, path, given, scope, "runs only when the event is late")
    walk.check_gives(late, node.schema, path)
    return PlanEvent(
        path=path,
        label=label,
        input_type=given,
        output_type=node.schema,
        node=node,
        on_timeout=late,
    )
