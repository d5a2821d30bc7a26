"""Streaming steps in their place: the types of chunks, and of what is made of them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import replace
from types import BuiltinMethodType, NoneType
from typing import Any, Protocol, cast, get_args, get_origin

from flujo.errors import Problem
from flujo.pipeline.node import Node, bare
from flujo.pipeline.streaming import Fold, StreamingStep
from flujo.plan.nodes import PlanNode, PlanStep, PlanStream
from flujo.plan.scope import Scope, Source
from flujo.plan.shapes import item_type, may_iterate
from flujo.plan.signature import Signature, SignatureProblem, read_signature, returned_type
from flujo.plan.types import Type, assignable, is_never, plain, type_name

AnyNode = Node[Any, Any]


class Judge(Protocol):
    """Reads a function that stands beside a node."""

    def __call__(self, function: Any, path: str, given: Type, role: str) -> Signature:
        """Return how it is called; what is wrong with it is a problem of the plan."""
        ...


def joins(nodes: Sequence[AnyNode]) -> list[bool]:
    """Say of each of several nodes in a row whether it takes the chunks of the one before it."""
    row = [bare(node) for node in nodes]
    found = [False] * len(row)
    for at in range(1, len(row)):
        before, node = row[at - 1], row[at]
        if isinstance(before, StreamingStep) and isinstance(node, StreamingStep):
            found[at] = _takes_chunks(node)
    return found


def _takes_chunks(node: StreamingStep[Any, Any]) -> bool:
    try:
        signature = read_signature(
            node.step.agent, {key: value.node for key, value in node.step.inputs.items()}, streams=True
        )
    except SignatureProblem:
        return True  # the problem is told where the node is placed
    return bool(signature.input) and _chunk_type(signature.input_type) is not None


def as_stream(
    step: PlanStep,
    node: StreamingStep[Any, Any],
    given: Type,
    neighbours: tuple[bool, bool],
    judge: Judge,
    problems: list[Problem],
) -> PlanStream:
    """Return a placed step as the streaming step that it is.

    Args:
        step: What it has in common with every step, placed.
        node: The streaming step.
        given: The type of what it is given: of a chunk, where it is joined to the one before.
        neighbours: Whether it takes the chunks of the node before; whether its own go on to the one after.
        judge: Reads ``collect``.
        problems: Takes what is wrong.
    """
    joined, goes_on = neighbours
    signature, path = step.signature, step.path
    takes = _chunk_type(signature.input_type) if signature.input else None
    gives = _chunk_type(signature.output_type)
    if gives is None:
        gives = Any
        problems.append(
            Problem(
                path,
                f"it streams, but is annotated to give {type_name(signature.output_type)}",
                f"annotate it to give AsyncIterator[{type_name(signature.output_type)}], and let it yield",
            )
        )
    problems += _misfed(node, path, given, takes, joined=joined)
    output, collect = _collected(node, path, gives, goes_on, judge, problems)
    asked: Any = step.input_type if takes is None else takes
    return PlanStream(
        path=path,
        label=step.label,
        input_type=Iterable[asked] if node.items and not joined else asked,
        output_type=output,
        node=step.node,
        signature=replace(signature, is_async=True),
        sources=step.sources,
        validators=(),
        undo=None,
        fallback=None,
        stream=node,
        takes=takes,
        gives=gives,
        joined=joined,
        goes_on=goes_on,
        collect=collect,
        segment=(step.label,),
    )


def _misfed(
    node: StreamingStep[Any, Any], path: str, given: Type, takes: Type, *, joined: bool
) -> Iterable[Problem]:
    """Yield what is wrong with how a step is to be fed."""
    if not node.items:
        return
    if joined:
        why, fix = "it follows a streaming step, whose chunks come one by one as they are", "leave items out"
    elif takes is None:
        why, fix = "it takes no chunks", "annotate its first parameter: AsyncIterator[…]"
    elif plain(given) in (str, bytes) or not may_iterate(given):
        why, fix = f"it is given {type_name(given)}, which has no items", "give it a list, or leave items out"
    else:
        return
    yield Problem(path, f"items=True: {why}", fix)


def feeding(placed: PlanNode, given: Type) -> str:
    """Return how a step may be fed that is given a list of what it takes; empty for any other."""
    if isinstance(placed, PlanStream) and placed.takes is not None and not placed.joined:
        listed = may_iterate(given) and plain(given) not in (str, bytes)
        if listed and assignable(item_type(given), placed.takes):
            return "pass items=True, for its items to be fed one by one"
    return ""


def _chunk_type(annotation: Type) -> Type:
    """Return the type of the chunks of an iterator; Any where it does not tell, None where it is none."""
    annotation = plain(annotation)
    if annotation is Any or annotation is object:
        return Any
    kind = get_origin(annotation) or annotation
    if not (isinstance(kind, type) and issubclass(kind, AsyncIterable)):
        return None
    held = get_args(annotation)
    return held[0] if held else Any


# What is made of the chunks


def _collected(
    node: StreamingStep[Any, Any],
    path: str,
    gives: Type,
    goes_on: bool,
    judge: Judge,
    problems: list[Problem],
) -> tuple[Type, Signature | None]:
    """Return the type of a step's final value, and how a function is called that makes it."""
    match node.collect:
        case None:
            return (NoneType if goes_on else _by_default(gives)), None
        case Fold() as fold:
            return _folded(fold, path, gives, problems), None
        case collect if collect is list:
            return list[gives], None
        case collect:
            kind = _joins(collect)
            if kind is None:
                signature = judge(collect, path, list[gives], "collect")
                return signature.output_type, signature
            if not assignable(gives, kind):
                problems.append(_misfit(path, kind, gives))
            return kind, None


def _joins(collect: object) -> Type:
    """Return what a function joins, as ``"".join`` does, which does not tell itself; None for any other."""
    if isinstance(collect, BuiltinMethodType) and collect.__name__ == "join":
        return type(collect.__self__)
    return None


def _by_default(gives: Type) -> Type:
    for kind in (str, bytes):
        if gives is not Any and not is_never(gives) and assignable(gives, kind):
            return kind
    return list[gives]


def _folded(fold: Fold[Any, Any], path: str, gives: Type, problems: list[Problem]) -> Type:
    takes, adds, total = _added(fold.add)
    begins = _begun(fold.start)
    if not assignable(gives, adds):
        problems.append(_misfit(path, adds, gives))
    for kind, what in ((begins, "begins with"), (total, "returns")):
        if not assignable(kind, takes):
            message = f"collect {what} {type_name(kind)}, but adds chunks to {type_name(takes)}"
            problems.append(
                Problem(path, message, "let `start`, and what `add` takes and returns, be of one type")
            )
    known = [kind for kind in (total, takes, begins) if kind not in (Any, object)]
    return known[0] if known else Any


def _begun(start: object) -> Type:
    if not callable(start):
        return type(start)
    if inspect.isclass(start) or inspect.isclass(get_origin(start)):
        return start
    return returned_type(cast("Callable[..., Any]", start))


def _added(add: Callable[..., Any]) -> tuple[Type, Type, Type]:
    """Return what the function of a fold adds to, what it adds, and what it returns."""
    try:
        names = list(inspect.signature(add).parameters)[:2]
        hints = typing.get_type_hints(add)
    except (TypeError, ValueError, NameError):  # builtins do not tell
        return Any, Any, Any
    takes, adds, *_ = [*(hints.get(name, Any) for name in names), Any, Any]
    return takes, adds, hints.get("return", Any)


def _misfit(path: str, takes: Type, gives: Type) -> Problem:
    return Problem(
        path,
        f"collect takes {type_name(takes)}, but the chunks are {type_name(gives)}",
        "change its annotation, or pass collect=list",
    )


# Segments


def in_segments(nodes: Sequence[PlanNode]) -> list[PlanNode]:
    """Return nodes in a row, with the streaming steps among them knowing whom they are carried out with."""
    found: list[PlanNode] = []
    for unit in units(nodes):
        labels = tuple(node.label for node in unit)
        found += [replace(one, segment=labels) if isinstance(one, PlanStream) else one for one in unit]
    return found


def units(nodes: Sequence[PlanNode]) -> list[list[PlanNode]]:
    """Return nodes in a row, those together that are carried out together."""
    found: list[list[PlanNode]] = []
    for node in nodes:
        if isinstance(node, PlanStream) and node.joined and found:
            found[-1].append(node)
        else:
            found.append([node])
    return found


def settle_names(scope: Scope, nodes: Sequence[PlanNode], *, over: bool) -> None:
    """Make known which outputs of a segment a step may name.

    Args:
        scope: The names at this place.
        nodes: The nodes in a row that were placed so far; the last is of the segment.
        over: Whether the segment is: its steps end together.
    """
    for node in units(nodes)[-1]:
        if not isinstance(node, PlanStream):
            continue
        doubt = "" if over else "it is still streaming when this begins"
        if over and node.output_type is NoneType and node.stream.collect is None:
            doubt = "its chunks went on, and nothing was kept: pass it collect="
        scope.add(node.stream.name, Source(node.path, node.output_type, doubt))
