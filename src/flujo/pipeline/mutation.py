"""Pipelines that change while they run: what a step asks for, and what it is permitted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast, final, get_args

from flujo.errors import PipelineError
from flujo.pipeline.checks import Kind, check_mapping
from flujo.pipeline.info import Usage
from flujo.pipeline.node import Changed, Node, check_name, check_node
from flujo.pipeline.quota import checked_bound

T = TypeVar("T", covariant=True)

Operation = Literal["insert", "replace", "skip", "append", "reconfigure"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
ADDS = frozenset({"insert", "replace", "append"})
"""The operations that bring a node into the pipeline."""
NO_NODES: Mapping[str, Node[Any, Any]] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Change:
    """One operation of a mutation, as it is recorded.

    Attributes:
        operation: Which.
        node: The reference of the node that comes in; empty where none does.
        target: The name of the node it is about: what is inserted after, replaced, skipped, reconfigured.
        name: What the node that comes in is called; empty for its own name.
        parameters: What a reconfigured step is given.
    """

    operation: Operation
    node: str = ""
    target: str = ""
    name: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def facts(self) -> dict[str, Any]:
        """Return the operation as JSON."""
        facts: dict[str, Any] = {"operation": self.operation}
        told = {"node": self.node, "target": self.target, "name": self.name}
        facts |= {key: value for key, value in told.items() if value}
        return {**facts, "parameters": dict(self.parameters)} if self.parameters else facts

    @staticmethod
    def of(facts: Mapping[str, Any]) -> Change:
        """Return an operation from its JSON."""
        return Change(**facts)

    def __str__(self) -> str:
        called = f" as {self.name}" if self.name else ""
        match self.operation:
            case "insert":
                return f"insert {self.node}{called} after {self.target or 'itself'}"
            case "replace":
                return f"replace {self.target} by {self.node}"
            case "skip":
                return f"skip {self.target}"
            case "append":
                return f"append {self.node}{called}"
            case "reconfigure":
                given = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
                return f"reconfigure {self.target}: {given}"


class PipelineMutation(Changed[T]):
    """What a step returns to change the nodes that come after it, together with its own output.

    A mutation is about the nodes that stand in one row with the step, and only about this execution of the
    row: this turn of a loop, this item of a map. It may touch only what the row has not reached yet, and
    only as the step's ``may_mutate`` permits. It is checked as the pipeline was, recorded together with the
    step, and holds after every resume, replay and fork. Each method returns another mutation with one
    operation more.

    A node is given by reference: a name that ``may_mutate`` registers, an import path ``module:attribute``,
    or the name of a node of the pipeline.

    Args:
        output: What the step gives.
        changes: Operations, in order.

    Example:
        >>> from flujo import PipelineMutation
        >>> PipelineMutation("a draft").insert("check").skip("polish")
        PipelineMutation('a draft', insert check after itself, skip polish)
    """

    __slots__ = ("changes",)

    changes: tuple[Change, ...]

    def __init__(self, output: T = None, changes: Iterable[Change] = ()) -> None:
        object.__setattr__(self, "output", output)
        object.__setattr__(self, "changes", tuple(changes))

    def insert(self, node: str, *, after: str = "", name: str = "") -> PipelineMutation[T]:
        """Let a node run after a later node of the row; after the step itself when left out.

        Args:
            node: The reference of the node that comes in.
            after: The name of the node it comes after.
            name: What it is called in addresses; its own name when left out.
        """
        return self._and(Change("insert", _text(node), _text(after), check_name(name)))

    def replace(self, target: str, node: str) -> PipelineMutation[T]:
        """Let a node run in the place, and under the name, of a later node of the row."""
        return self._and(Change("replace", _text(node), _text(target)))

    def skip(self, *targets: str) -> PipelineMutation[T]:
        """Leave later nodes of the row out."""
        changes = [Change("skip", target=_text(target)) for target in targets]
        return PipelineMutation(self.output, (*self.changes, *changes))

    def append(self, node: str, *, name: str = "") -> PipelineMutation[T]:
        """Let a node run after the last of the row."""
        return self._and(Change("append", _text(node), "", check_name(name)))

    def reconfigure(self, step: str, **parameters: Any) -> PipelineMutation[T]:
        """Give a later step other parameters: JSON values, which its agent reads in ``StepInfo.parameters``.

        Args:
            step: The step's name, or its address from the row on (``review/draft``).
            parameters: The parameters.
        """
        if not parameters:
            raise PipelineError(f"reconfigure({step!r}) gives no parameter", fix="pass temperature=0.2, …")
        given = {name: _json(value, f"reconfigure({step!r}, {name}=…)") for name, value in parameters.items()}
        return self._and(Change("reconfigure", target=_text(step), parameters=MappingProxyType(given)))

    def _and(self, change: Change) -> PipelineMutation[T]:
        return PipelineMutation(self.output, (*self.changes, change))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a mutation is immutable: {name!r} cannot be set")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([repr(self.output), *map(str, self.changes)])})"


class Reconfigure(PipelineMutation[T]):
    """What a step returns to give a later step other parameters, together with its own output.

    Args:
        output: What the step gives.
        step: The later step: its name, or its address from the row on.
        parameters: What it is given: JSON values, which its agent reads in ``StepInfo.parameters``.

    Example:
        >>> from flujo import Reconfigure
        >>> Reconfigure("an outline", step="draft", temperature=0.2)
        Reconfigure('an outline', reconfigure draft: temperature=0.2)
    """

    __slots__ = ()

    def __init__(self, output: T = None, /, *, step: str, **parameters: Any) -> None:
        asked = PipelineMutation(output).reconfigure(step, **parameters)
        super().__init__(output, asked.changes)


@final
@dataclass(frozen=True, slots=True, init=False)
class MayMutate(metaclass=Kind):
    """What a step may change of the pipeline it stands in.

    Args:
        operations: Which of ``insert``, ``replace``, ``skip``, ``append`` and ``reconfigure``.
        steps: The most attempts of steps that one mutation may bring in, in the worst case: retries and
            the turns of loops count. None for no limit.
        agents: Which nodes it may bring in: patterns (``check_*``, ``myapp.steps:*``) of references.
        nodes: Nodes by the name that a mutation refers to them.
        parameters: Which parameters of which steps it may set: patterns of ``step.parameter``.
        bound: The most that all it brings in may spend: what is brought in must declare bounds within it.

    Raises:
        PipelineError: It permits nothing, or a setting cannot work.

    Example:
        >>> from flujo import MayMutate
        >>> MayMutate("insert", "skip", steps=2, agents=["check_*"]).operations
        ('insert', 'skip')
    """

    operations: tuple[Operation, ...]
    steps: int | None
    agents: tuple[str, ...]
    nodes: Mapping[str, Node[Any, Any]]
    parameters: tuple[str, ...]
    bound: Usage | None

    def __init__(
        self,
        *operations: Operation,
        steps: int | None = 0,
        agents: Sequence[str] = (),
        nodes: Mapping[str, Node[Any, Any]] = NO_NODES,
        parameters: Sequence[str] = (),
        bound: Usage | None = None,
    ) -> None:
        for one in operations:
            if one not in OPERATIONS:
                raise PipelineError(f"MayMutate({one!r})", fix=f"use {', '.join(map(repr, OPERATIONS))}")
        if not operations:
            raise PipelineError(
                "MayMutate() permits no operation", fix=f"pass some of {', '.join(map(repr, OPERATIONS))}"
            )
        if steps is not None and (not isinstance(cast("object", steps), int) or steps is True or steps < 0):
            raise PipelineError(f"MayMutate(steps={steps!r})", fix="use a whole number, or None for no limit")
        check_mapping(nodes, "MayMutate, nodes", 'nodes={"name": node}')
        for name, node in nodes.items():
            check_name(name, "MayMutate, nodes, ")
            check_node(node, f"MayMutate, nodes, {name}")
        agents, parameters = _patterns(agents, "agents"), _patterns(parameters, "parameters")
        adds = [one for one in operations if one in ADDS]
        if adds and (steps == 0 or not agents):
            raise PipelineError(
                f"MayMutate permits {adds[0]!r}, but names no {'agents' if not agents else 'steps'}",
                fix='pass steps=2 (how many), and agents=["check_*"] (which)',
            )
        if "reconfigure" in operations and not parameters:
            raise PipelineError(
                "MayMutate permits 'reconfigure', but no parameter", fix='pass parameters=["draft.model"]'
            )
        object.__setattr__(self, "operations", tuple(operations))
        object.__setattr__(self, "steps", steps if adds else 0)
        object.__setattr__(self, "agents", agents)
        object.__setattr__(self, "nodes", MappingProxyType(dict(nodes)))
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "bound", checked_bound(bound, "MayMutate, bound"))

    @property
    def adds(self) -> bool:
        """Whether it may bring nodes in."""
        return not ADDS.isdisjoint(self.operations)

    def permits(self, change: Change) -> str:
        """Return why an operation is not permitted; empty where it is."""
        if change.operation not in self.operations:
            return f"it may not {change.operation}: it may {', '.join(self.operations)}"
        if change.node and not _fits(change.node, self.agents):
            return f"it may not bring in {change.node!r}: it may {', '.join(self.agents)}"
        step = change.target.rpartition("/")[2]
        refused = [name for name in change.parameters if not _fits(f"{step}.{name}", self.parameters)]
        if refused:
            return (
                f"it may not set {', '.join(f'{step}.{name}' for name in refused)}: "
                f"it may {', '.join(self.parameters)}"
            )
        return ""


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _patterns(given: object, role: str) -> tuple[str, ...]:
    found = tuple(cast("Iterable[object]", given)) if isinstance(given, Iterable) else ()
    if isinstance(given, str) or not all(isinstance(one, str) and one for one in found):
        raise PipelineError(f"MayMutate({role}={given!r})", fix=f'pass a list of patterns: {role}=["…*"]')
    return cast("tuple[str, ...]", found)


def _text(given: object) -> str:
    """Refuse what is no name: a node itself cannot be recorded."""
    if isinstance(given, str):
        return given
    raise PipelineError(
        f"a mutation names {given!r}",
        fix="give a name or an import path: nodes are recorded by reference, never themselves",
    )


def _json(value: object, place: str) -> Any:
    """Return a copy of a JSON value.

    Raises:
        PipelineError: It is none.
    """
    match value:
        case None | str() | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_json(one, place) for one in cast("Sequence[object]", value)]
        case dict() if all(isinstance(key, str) for key in cast("dict[object, object]", value)):
            return {key: _json(one, place) for key, one in cast("dict[str, object]", value).items()}
        case _:
            raise PipelineError(
                f"{place}: {value!r} is no JSON value",
                fix="give a text, a number, True, None, a list or a dict",
            )


def checked_permission(given: object, place: str, *, cached: bool) -> MayMutate:
    """Return a step's ``may_mutate``, refusing what is none.

    Raises:
        PipelineError: It is none, or the step's output may come from a cache, which knows of no mutation.
    """
    if not isinstance(given, MayMutate):
        raise PipelineError(f"{place}={given!r}", fix='pass MayMutate("insert", …)')
    if cached:
        raise PipelineError(f"{place}: its output is cached, and a mutation is not", fix="leave cache= out")
    return given
