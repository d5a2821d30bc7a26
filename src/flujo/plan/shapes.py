"""What can be told of the types around containers: their items, their joins, the values of their keys."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, cast, get_args, get_origin

from typing_extensions import TypedDict

from flujo.errors import Problem
from flujo.pipeline.flow import Branch
from flujo.pipeline.node import Changed
from flujo.plan.nodes import PlanNode
from flujo.plan.types import Type, assignable, members, plain, union


def asked_of(given: Type, inside: Iterable[PlanNode]) -> Type:
    """Return what a container takes: what it is given, or where that is unknown what is asked inside it."""
    if given is not Any:
        return given
    known = [node.input_type for node in inside if node.input_type not in (Any, object)]
    return known[0] if known else Any


def without_changes(given: Type) -> tuple[Type, bool]:
    """Return what a step gives to the next, and whether it may give a mutation together with it."""
    plain_type, found = given, False
    for member in members(given):
        kind = get_origin(member) or member
        if isinstance(kind, type) and issubclass(kind, Changed):
            found = True
    if found:
        parts = [_inside(member) for member in members(given)]
        plain_type = parts[0]
        for part in parts[1:]:
            plain_type = either(plain_type, part)
    return plain_type, found


def _inside(member: Type) -> Type:
    kind = get_origin(member) or member
    if not (isinstance(kind, type) and issubclass(kind, Changed)):
        return member
    return next(iter(get_args(member)), Any)


def either(one: Type, other: Type) -> Type:
    """Return the narrowest type that both types may be given for."""
    if one is Any or other is Any:
        return Any
    if assignable(other, one):
        return one
    return other if assignable(one, other) else union(one, other)


def item_type(items: Type) -> Type:
    """Return the type of what is in a container of a type; Any where it does not tell."""
    items = plain(items)
    held = get_args(items)
    if get_origin(items) is tuple and len(held) == 2 and held[1] is Ellipsis:
        return held[0]
    if get_origin(items) is tuple and held:
        joined = held[0]
        for part in held[1:]:
            joined = either(joined, part)
        return joined
    if items is str:
        return str
    return held[0] if held else Any


def may_iterate(items: Type) -> bool:
    """Say whether a value of a type may have items."""
    items = plain(items)
    kind = get_origin(items) or items
    return not isinstance(kind, type) or kind in (object, Any) or hasattr(kind, "__iter__")


def closed_values(keys: Type) -> list[Any] | None:
    """Return every value of a type that has few, or None."""
    found: list[Any] = []
    for member in members(keys):
        if get_origin(member) is Literal:
            found += get_args(member)
        elif member is bool:
            found += [True, False]
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            found += list(member)
        else:
            return None
    return found


def case_problems(node: Branch[Any, Any], keys: Type, path: str) -> Iterator[Problem]:
    """Yield the keys without a case, and the cases that no key reaches, where the keys are known."""
    known = closed_values(keys)
    if known is None:
        return
    lost = [repr(key) for key in known if key not in node.cases]
    if lost and node.default is None:
        yield Problem(path, f"nothing runs for {', '.join(lost)}", "add the case, or pass default=")
    unreachable = [repr(key) for key in node.cases if key not in known]
    if not lost and node.default is not None:
        unreachable.append("default")
    if unreachable:
        yield Problem(
            path,
            f"unreachable: {', '.join(unreachable)}; `on` gives only {', '.join(map(repr, known))}",
            "remove the case, or widen what `on` returns",
        )


def record_type(label: str, members: Mapping[str, Type]) -> Type:
    """Return the typed dict of what a parallel gives: a type for each label."""
    name = "".join(part for part in label.title() if part.isalnum()) or "Parallel"
    make = cast("Callable[[str, dict[str, Type]], Type]", TypedDict)
    return make(name, dict(members))


def not_permitted(path: str) -> Problem:
    """Return what is wrong where a step may change the pipeline and nothing lets it."""
    return Problem(
        path,
        "it may give a PipelineMutation, and nothing permits it to change the pipeline",
        "say what it may change: Step(…, may_mutate=MayMutate(…))",
    )


def unreachable(path: str, before: str) -> Problem:
    """Return what is wrong with a node that stands behind one that never gives anything."""
    return Problem(
        path,
        f"unreachable: {before!r} before it is declared to give NoReturn, so nothing runs after it",
        f"remove it, or annotate what {before!r} returns",
    )
