"""Giving every node of a pipeline its place, its types and its sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Never
from zlib import crc32

from flujo.errors import PlanError, Problem
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Chunked, Node, Pipeline, Within, bare
from flujo.pipeline.step import Step
from flujo.pipeline.waits import Sleep
from flujo.plan.nodes import (
    DEFAULT_LABELS,
    Members,
    PlanNode,
    PlanScope,
    PlanSequence,
    PlanSleep,
    PlanStep,
    PlanStream,
    labeled,
    same_names,
)
from flujo.plan.scope import Scope, Source, two_rows, unknown_source
from flujo.plan.shapes import not_permitted, unreachable, without_changes
from flujo.plan.signature import Signature, SignatureProblem, read_signature
from flujo.plan.types import Type, assignable, is_never, type_name

if TYPE_CHECKING:
    from flujo.pipeline.quota import Quota

AnyNode = Node[Any, Any]

MAX_LEVELS = 64
"""How deep nodes may lie in one another: checking and running go down level by level, on one stack."""

_NOTHING = Signature(lambda: None, is_async=False)
_ALONE = (False, False)
"""Of a streaming step that takes no other's chunks, and whose chunks no other takes."""


class Placement:
    """One walk over a pipeline that places its nodes and collects what is wrong with them.

    Attributes:
        problems: What was found, in the order of the pipeline.
        references: Pairs of the path of a step and the path of a node whose output it names.
        contexts: The context classes that steps ask for, with their paths.
        scopes: The parts under quotas that each node lies in, by its path.
        parts: The parts under quotas, by what they stand for.

    Args:
        rows: Rows of nodes that stand in the place of the pipeline's own, by what addresses there begin with.
        scopes: The parts that are known already, where a pipeline is placed again.
    """

    def __init__(
        self,
        rows: Mapping[str, Members] = MappingProxyType({}),
        scopes: Mapping[tuple[object, str], PlanScope] | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self.references: list[tuple[str, str]] = []
        self.contexts: list[tuple[str, type[PipelineContext]]] = []
        self._unresolved: list[tuple[str, str]] = []
        self._placed: list[str] = []
        self._level = 0
        self.scopes: dict[str, tuple[PlanScope, ...]] = {}
        self.parts: dict[tuple[object, str], PlanScope] = dict(scopes or {})
        self._again = scopes is not None
        self.given_rows = rows
        self._begins: dict[str, AnyNode] = {}
        self._shared: set[str] = set()
        self._changing: set[str] = set()
        self._within: tuple[PlanScope, ...] = ()
        self._joins = _ALONE

    def place_root(self, pipeline: AnyNode, input_type: Type) -> PlanNode:
        """Place a whole pipeline that takes values of a type; Any where its first node is to tell."""
        told = input_type is not Any
        given = input_type if told else self._input_type(pipeline)
        root = self.place(pipeline, "", "", given, Scope(), first=not told)
        for path, name in self._unresolved:
            self.problems.append(unknown_source(path, name, self._placed))
        for prefix in sorted(self._changing & self._shared):
            self.problems.append(two_rows(prefix.rstrip("/")))
        return replace(root, input_type=given) if told else root

    def in_order(self) -> list[Problem]:
        """Return the problems in the order of the pipeline; those of no place last."""
        order: dict[str, int] = {}
        for place, path in enumerate(self._placed):
            order.setdefault(path, place)
        return sorted(self.problems, key=lambda problem: order.get(problem.address, len(order)))

    def _input_type(self, pipeline: AnyNode) -> Type:
        """Return what a pipeline takes: nothing gives it a type, so what its first node asks for tells."""
        pipeline = bare(pipeline)
        first = next(iter(pipeline)) if isinstance(pipeline, Pipeline) else pipeline
        if isinstance(bare(first), Step):
            return Any
        asked = Placement().place(first, "", "", Any, Scope(), first=True).input_type
        return Any if asked is object else asked

    def place(
        self, node: AnyNode, prefix: str, label: str, given: Type, scope: Scope, *, first: bool = False
    ) -> PlanNode:
        """Place one node that is given a value of a type; ``first`` where it takes the pipeline's input.

        Raises:
            PlanError: It lies too deep, so that what is inside it is not looked at.
        """
        if not label:  # a row of nodes begins
            if bare(self._begins.setdefault(prefix, node)) is not bare(node):
                self._shared.add(prefix)
            if prefix in self.given_rows:
                return self._place_row(self.given_rows[prefix], prefix, given, scope, first=first)
        if isinstance(node, Pipeline):
            return self._place_sequence(node, prefix, given, scope, first=first)
        if isinstance(node, Within):
            return self._place_within(node, prefix, label, given, scope, first=first)
        label = label or node.name or DEFAULT_LABELS[type(node)]
        path = prefix + label
        self._placed.append(path)
        if self._within:
            self.scopes[path] = self._within
        self._level += 1
        if self._level > MAX_LEVELS:
            raise PlanError([*self.in_order(), _too_deep(path)])
        placed = self._place_one(node, path, label, given, scope)
        self._level -= 1
        if not first and not assignable(given, placed.input_type):
            self.problems.append(
                Problem(
                    path,
                    f"it takes {type_name(placed.input_type)}, but is given {type_name(given)}",
                    _mend(node, placed, given),
                )
            )
        scope.add(node.name or label, Source(path, placed.output_type))
        return placed

    def _place_within(
        self, node: Within[Any, Any], prefix: str, label: str, given: Type, scope: Scope, *, first: bool
    ) -> PlanNode:
        """Place a node under quotas: where it would be without them."""
        outside = self._within
        known_as = label or node.name or DEFAULT_LABELS.get(type(bare(node)), "")
        part = self._scope(node.scope, prefix, known_as, node.quotas)
        self._within = (*outside, part)
        placed = self.place(node.node, prefix, label, given, scope, first=first)
        self._within = outside
        return placed

    def _scope(self, key: object, prefix: str, label: str, quotas: tuple[Quota, ...]) -> PlanScope:
        """Return a part under quotas; nodes of one pipeline that were joined with others share theirs."""
        path = (prefix + label).rstrip("/")
        number = len(self.parts) + 1
        if self._again:  # the same wherever else something is brought in
            number += crc32(f"{path} {quotas!r}".encode())
        return self.parts.setdefault((key, prefix), PlanScope(number, path, quotas, prefix.count("[]")))

    def _place_one(self, node: AnyNode, path: str, label: str, given: Type, scope: Scope) -> PlanNode:
        match node:
            case Step():
                return self._place_step(node, path, label, given, scope)
            case Chunked():
                return self._place_stream(node, path, label, given, scope)
            case Sleep():
                return PlanSleep(path=path, label=label, input_type=given, output_type=given, node=node)
            case _:
                from flujo.plan.containers import place_container

                return place_container(self, node, path, label, given, scope)

    def _place_sequence(
        self, pipeline: Pipeline[Any, Any], prefix: str, given: Type, scope: Scope, *, first: bool
    ) -> PlanSequence:
        members = labeled(pipeline)
        self.problems += same_names(members, prefix)
        return self._place_row(members, prefix, given, scope, first=first)

    def _place_row(
        self, members: Members, prefix: str, given: Type, scope: Scope, *, first: bool
    ) -> PlanSequence:
        streams = any(isinstance(bare(node), Chunked) for _, node in members)
        joined = [False] * len(members)
        if streams:
            from flujo.plan.streams import joins

            joined = joins([node for _, node in members])
        nodes: list[PlanNode] = []
        value, never = given, False
        for at, (label, node) in enumerate(members):
            self._joins = joined[at], at + 1 < len(joined) and joined[at + 1]
            placed = self.place(node, prefix, label, value, scope, first=first and not nodes)
            if nodes and is_never(value):
                self.problems.append(unreachable(placed.path, nodes[-1].path))
            nodes.append(placed)
            value = placed.output_type
            if isinstance(placed, PlanStream):
                value = self._after_stream(nodes, placed, scope)
            never = never or is_never(value)
        if streams:
            from flujo.plan.streams import in_segments

            nodes = in_segments(nodes)
        self._joins = _ALONE
        return PlanSequence(
            path=prefix.rstrip("/"),
            label=prefix.rstrip("/"),
            input_type=nodes[0].input_type,
            output_type=Never if never else value,
            nodes=tuple(nodes),
        )

    def _after_stream(self, nodes: list[PlanNode], placed: PlanStream, scope: Scope) -> Type:
        """Return what goes on from a streaming step: its chunks, or its value when its segment is over."""
        from flujo.plan.streams import settle_names

        settle_names(scope, nodes, over=not placed.goes_on)
        return placed.gives if placed.goes_on else placed.output_type

    def rows(self) -> Mapping[str, Members]:
        """Return the rows of nodes that a step in them may change."""
        return {
            prefix: self.given_rows[prefix] if prefix in self.given_rows else labeled(self._begins[prefix])
            for prefix in sorted(self._changing)
        }

    def _place_stream(
        self, node: Chunked[Any, Any], path: str, label: str, given: Type, scope: Scope
    ) -> PlanStream:
        from flujo.pipeline.streaming import StreamingStep
        from flujo.plan.streams import as_stream

        assert isinstance(node, StreamingStep)
        joins, self._joins = self._joins, _ALONE
        step = self._place_step(node.step, path, label, given, scope, streams=True)
        return as_stream(step, node, given, joins, self.judge, self.problems)

    def _place_step(
        self, step: Step[Any, Any], path: str, label: str, given: Type, scope: Scope, *, streams: bool = False
    ) -> PlanStep:
        inputs = {key: value.node for key, value in step.inputs.items()}
        signature = self._signature(step.agent, path, inputs, streams=streams)
        if step.quotas:
            own = self._scope(step, path.removesuffix(label), label, step.quotas)
            self.scopes[path] = (*self._within, own)
        if signature.context:
            self.contexts.append((path, signature.context_type))
            if step.cache is True:
                self.problems.append(
                    Problem(
                        path,
                        "its output is cached by its inputs alone, but it also asks for the context",
                        "pass cache= a function of the input, or take what it needs of the context as input",
                    )
                )
        sources: dict[str, str] = {}
        for parameter, name in signature.named.items():
            source = self._source(path, name, scope)
            if source is None:
                continue
            sources[parameter] = source.path
            self.references.append((path, source.path))
            if not assignable(source.type, signature.named_types[parameter]):
                self.problems.append(
                    Problem(
                        path,
                        f"{parameter!r} takes {type_name(signature.named_types[parameter])}, "
                        f"but {source.path!r} gives {type_name(source.type)}",
                        "change one of the two annotations, or put a step between that converts",
                    )
                )
        fallback = self.aside(step.fallback, path, given, scope, f"is only the fallback of {label!r}")
        given_on, changes = without_changes(signature.output_type)
        if step.may_mutate is not None:
            self._changing.add(path.removesuffix(label))
        elif changes:
            self.problems.append(not_permitted(path))
        output = given_on
        if fallback is not None and is_never(output):
            output = fallback.output_type
        self.check_gives(fallback, output, path)
        denied = self.aside(step.on_denied, path, given, scope, f"runs only when {label!r} is denied")
        self.check_gives(denied, output, path)
        return PlanStep(
            path=path,
            label=label,
            input_type=signature.input_type if signature.input else object,
            output_type=output,
            node=step,
            signature=signature,
            sources=sources,
            validators=tuple(self.judge(one, path, given_on, "a validator") for one in step.validators),
            undo=None if step.undo is None else self.judge(step.undo, path, given_on, "undo"),
            fallback=fallback,
            denied=denied,
        )

    def aside(
        self, node: AnyNode | None, path: str, given: Type, scope: Scope, doubt: str
    ) -> PlanNode | None:
        """Place a node that runs only when something else did not."""
        if node is None:
            return None
        inner = scope.inside()
        placed = self.place(node, f"{path}/", "", given, inner)
        scope.take(inner, f"it {doubt}")
        return placed

    def check_gives(self, aside: PlanNode | None, wanted: Type, path: str) -> None:
        """Note where what a node aside gives cannot stand in for what the node at a path gives."""
        if aside is not None and not assignable(aside.output_type, wanted):
            self.problems.append(
                Problem(
                    aside.path,
                    f"it gives {type_name(aside.output_type)} in the place of {path!r}, which gives "
                    f"{type_name(wanted)}",
                    "let both give one type",
                )
            )

    def _signature(
        self, agent: Any, path: str, inputs: dict[str, str], *, streams: bool = False
    ) -> Signature:
        try:
            return read_signature(agent, inputs, streams=streams)
        except SignatureProblem as problem:
            self.problems.append(Problem(path, str(problem), problem.fix))
            return _NOTHING

    def judge(self, function: Any, path: str, given: Type, role: str) -> Signature:
        """Read a function that stands beside a node: a condition, a validator and the like."""
        signature = self._signature(function, path, {})
        if signature.context:
            self.contexts.append((path, signature.context_type))
        if signature.named:
            self.problems.append(
                Problem(
                    path,
                    f"{role} names an earlier output, which only steps can",
                    "let a step give what it needs",
                )
            )
        if signature.input and not assignable(given, signature.input_type):
            self.problems.append(
                Problem(
                    path,
                    f"{role} takes {type_name(signature.input_type)}, but is given {type_name(given)}",
                    "change its annotation",
                )
            )
        return signature

    def _source(self, path: str, name: str, scope: Scope) -> Source | None:
        source = scope.find(name)
        if source is None:
            self._unresolved.append((path, name))
            return None
        if source.doubt:
            self.problems.append(
                Problem(
                    path,
                    f"it takes the output of {source.path!r}, which may not have run: {source.doubt}",
                    "name something that runs on every path, such as the container's own output",
                )
            )
            return None
        return source


def _mend(node: AnyNode, placed: PlanNode, given: Type) -> str:
    """Return what may be done where a node is given what it does not take."""
    otherwise = "put a step between that converts, or change one of the two annotations"
    if not isinstance(node, Chunked):
        return otherwise
    from flujo.plan.streams import feeding

    return feeding(placed, given) or otherwise


def _too_deep(path: str) -> Problem:
    return Problem(
        path.partition("/")[0].removesuffix("[]"),
        f"its nodes lie in one another more than {MAX_LEVELS} levels deep",
        "join what runs in turn with >>, which nests nothing; let a Loop repeat what repeats",
    )
