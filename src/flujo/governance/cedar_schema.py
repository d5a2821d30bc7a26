"""The schema of a pipeline's policies: what Cedar's own checker is told of steps, tools and data."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import reduce
from pathlib import PurePath
from types import NoneType
from typing import Any, Literal, Protocol, cast, get_args, get_origin, get_type_hints, runtime_checkable
from uuid import UUID

from pydantic import BaseModel
from typing_extensions import is_typeddict

from flujo.governance.cedar_request import DATA, GROUPS, OBSERVE, TEXTS
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.tools import FlujoTool
from flujo.plan.nodes import PlanStep
from flujo.plan.plan import Plan
from flujo.plan.types import Type, members, plain

DEPTH = 8
_WORDS: Mapping[type, str] = {
    bool: "Bool",
    int: "Long",
    float: "decimal",
    Decimal: "decimal",
    datetime: "datetime",
    date: "datetime",
    timedelta: "duration",
    str: "String",
    bytes: "String",
    UUID: "String",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a record: its type, and whether it may be missing."""

    type: CedarType
    optional: bool = False


CedarType = str | list["CedarType"] | dict[str, Member]
"""A type of Cedar: a word, a list with the type of a set's items, or the members of a record."""


@runtime_checkable
class _Tooled(Protocol):
    tools: Sequence[object]


def cedar_type(annotation: Type, depth: int = DEPTH) -> Member | None:
    """Return the type of Cedar that values of a declared type become; None where none fits."""
    parts = members(annotation)
    given = [part for part in parts if part is not NoneType]
    found = [_one(part, depth) for part in given]
    if not found or any(one is None or one != found[0] for one in found):
        return None
    assert found[0] is not None
    return Member(found[0], len(given) < len(parts))


def _one(annotation: Type, depth: int) -> CedarType | None:
    kind, inside = get_origin(annotation), get_args(annotation)
    if kind is Literal:
        return _of_values(inside)
    if kind is not None:
        if not isinstance(kind, type) or not issubclass(kind, list | tuple | Set | Sequence):
            return None
        items = [cedar_type(item, depth) for item in inside if item is not Ellipsis]
        alike = items and all(one is not None and one == items[0] for one in items)
        return [items[0].type] if alike and items[0] is not None else None
    if not isinstance(annotation, type) or not depth:
        return None
    if issubclass(annotation, Enum):
        return _of_values([one.value for one in annotation])
    word = next((word for base, word in _WORDS.items() if issubclass(annotation, base)), None)
    if word is not None or issubclass(annotation, PurePath):
        return word or "String"
    return _record(_fields(cast("type[Any]", annotation)), depth - 1)


def _of_values(values: Iterable[object]) -> CedarType | None:
    found = {_WORDS.get(type(value)) for value in values}
    return found.pop() if len(found) == 1 else None


def _fields(kind: type[Any]) -> Mapping[str, Type] | None:
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if is_dataclass(kind):
        hints, names = _hints(kind), [one.name for one in fields(kind)]
        return {name: hints.get(name, Any) for name in names}
    if is_typeddict(kind):
        return _hints(kind)
    return None


def _hints(of: Any) -> Mapping[str, Type]:
    try:
        return get_type_hints(of)
    except (NameError, TypeError):  # a name that only its checker knows
        return {}


def _record(found: Mapping[str, Type] | None, depth: int = DEPTH) -> dict[str, Member] | None:
    """Return the record of what has members: those that Cedar has no type for are not in it."""
    if found is None:
        return None
    typed = {name: cedar_type(plain(kind), depth) for name, kind in found.items()}
    return {name: one for name, one in typed.items() if one is not None}


def merged(one: CedarType, other: CedarType) -> CedarType | None:
    """Return the type of what is of one type here and of another there; None where none fits both."""
    if isinstance(one, dict) and isinstance(other, dict):
        found: dict[str, Member] = {}
        for name in (*one, *(name for name in other if name not in one)):
            here, there = one.get(name), other.get(name)
            if here is None or there is None:
                known = here or there
                assert known is not None
                found[name] = Member(known.type, optional=True)
            elif (both := merged(here.type, there.type)) is not None:
                found[name] = Member(both, here.optional or there.optional)
        return found
    return one if one == other else None


def _all(types: Iterable[CedarType | None]) -> CedarType | None:
    """Return the type of values that are of any of several types; None where there is none for all."""
    known = [one for one in types if one is not None]
    if not known:
        return None
    return reduce(lambda one, other: None if one is None else merged(one, other), known[1:], known[0])


def tools_of(plan: Plan, more: Sequence[Callable[..., Any]] = ()) -> list[FlujoTool]:
    """Return the tools that the agents of a plan's steps declare, and those of more functions."""
    found: dict[str, FlujoTool] = {}
    for node in plan.nodes.values():
        if isinstance(node, PlanStep) and isinstance(node.node.agent, _Tooled):
            found |= {tool.name: tool for tool in node.node.agent.tools if isinstance(tool, FlujoTool)}
    return [*found.values(), *(FlujoTool(function) for function in more)]


def schema_of(plan: Plan, tools: Sequence[Callable[..., Any]] = ()) -> str:
    """Return the schema of a plan's policies, in the words of Cedar.

    Where several steps or tools take data of different types, a member that only some have is optional,
    and one that is of different types is left out.

    Args:
        plan: The plan.
        tools: Functions that its steps call by ``info.do``, which the plan does not tell.
    """
    steps = [node for node in plan.nodes.values() if isinstance(node, PlanStep)]
    known = tools_of(plan, tools)
    data: dict[str, CedarType | None] = {
        "input": _all(_type(node.input_type) for node in steps if node.signature.input),
        "output": _all(_type(node.output_type) for node in steps),
        "before_tool": _all(_arguments(tool) for tool in known),
        "after_tool": _all(_type(_hints(tool.function).get("return", Any)) for tool in known),
    }
    data |= {"agent_start": _type(plan.root.input_type), "agent_end": _type(plan.root.output_type)}
    lines = [
        "entity Role;",
        "entity Principal in [Role] = { id: String, roles: Set<String>, tenant: String } tags String;",
        "entity Pipeline;",
        "entity Step in [Pipeline] = { name: String };",
        "entity Tool in [Step] = { name: String, labels: Set<String> };",
    ]
    context = _record({n: f.annotation for n, f in plan.context_model.model_fields.items()})
    for group, points in GROUPS.items():
        lines.append(f'action "{group}";')
        lines += [_action(point, group, data.get(point), context or {}) for point in points]
    asked = _written({"tenant": Member("String"), "pipeline": Member("String"), "at": Member("datetime")})
    applies = f"principal: [Principal], resource: [Pipeline], context: {asked}"
    lines.append(f'action "{OBSERVE}" appliesTo {{ {applies} }};')
    return "\n".join(lines) + "\n"


def _action(point: str, group: str, data: CedarType | None, context: dict[str, Member]) -> str:
    of_tool, of_model = point.endswith("_tool"), point.endswith("_model")
    said = {name: Member("String") for name in TEXTS}
    said |= {"at": Member("datetime"), "hour": Member("Long"), "weekday": Member("Long")}
    said |= {"labels": Member(["String"]), "context": Member(context)}
    if of_tool:
        said["tool"] = Member("String")
    if of_model:
        said |= {"model": Member("String", optional=True), "region": Member("String", optional=True)}
    if data is not None:
        said[DATA[point]] = Member(data)
    resource = "Pipeline" if point.startswith("agent_") else "Tool" if of_tool else "Step"
    applies = f"principal: [Principal], resource: [{resource}], context: {_written(said)}"
    return f'action "{point}" in ["{group}"] appliesTo {{ {applies} }};'


def _type(annotation: Type) -> CedarType | None:
    found = cedar_type(annotation)
    return None if found is None else found.type


def _arguments(tool: FlujoTool) -> CedarType | None:
    """Return the record of a tool's arguments, without what the run gives it."""
    hints = _hints(tool.function)
    try:
        taken = inspect.signature(tool.function).parameters.values()
    except (TypeError, ValueError):  # builtins that do not tell
        return None
    given = {one.name: hints.get(one.name, Any) for one in taken if not _of_the_run(hints.get(one.name))}
    record = _record(given) or {}
    defaults = {one.name for one in taken if one.default is not one.empty}
    return {name: Member(one.type, one.optional or name in defaults) for name, one in record.items()}


def _of_the_run(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, StepInfo | PipelineContext)


def _written(kind: CedarType) -> str:
    match kind:
        case str():
            return kind
        case list():
            return f"Set<{_written(kind[0])}>"
        case _:
            inside = ", ".join(
                f"{json.dumps(name, ensure_ascii=False)}{'?' if one.optional else ''}: {_written(one.type)}"
                for name, one in kind.items()
            )
            return f"{{ {inside} }}" if inside else "{}"
