"""Giving every node of a pipeline its place, its types and its sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Never
from zlib import crc32

from flujo.errors import PlanError, Problem
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.flow import Branch, Loop, SubPipeline, case_label
from flujo.pipeline.lanes import Failure, Map, Parallel
from flujo.pipeline.node import Chunked, Node, Pipeline, Within, bare
from flujo.pipeline.step import Step
from flujo.pipeline.waits import HumanInput, Sleep, WaitForEvent
from flujo.plan.nodes import (
    DEFAULT_LABELS,
    Members,
    PlanBranch,
    PlanEvent,
    PlanHuman,
    PlanLoop,
    PlanMap,
    PlanNode,
    PlanParallel,
    PlanScope,
    PlanSequence,
    PlanSleep,
    PlanStep,
    PlanStream,
    PlanSub,
    labeled,
    same_names,
)
from flujo.plan.scope import Scope, Source, unknown_source
from flujo.plan.shapes import (
    asked_of,
    case_problems,
    either,
    item_type,
    may_iterate,
    record_type,
    without_changes,
)
from flujo.plan.signature import Signature, SignatureProblem, read_signature
from flujo.plan.types import Type, assignable, is_never, type_name, union

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
        self._changing: set[str] = set()
        self._within: tuple[PlanScope, ...] = ()
        self._joins = _ALONE

    def place_root(self, pipeline: AnyNode, input_type: Type) -> PlanNode:
        """Place a whole pipeline that takes values of a type; Any where its first node is to tell."""
        told = input_type is not Any
        given = input_type if told else self._input_type(pipeline)
        root = self._place(pipeline, "", "", given, Scope(), first=not told)
        for path, name in self._unresolved:
            self.problems.append(unknown_source(path, name, self._placed))
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
        asked = Placement()._place(first, "", "", Any, Scope(), first=True).input_type
        return Any if asked is object else asked

    def _place(
        self, node: AnyNode, prefix: str, label: str, given: Type, scope: Scope, *, first: bool = False
    ) -> PlanNode:
        """Place one node that is given a value of a type; ``first`` where it takes the pipeline's input.

        Raises:
            PlanError: It lies too deep, so that what is inside it is not looked at.
        """
        if not label:  # a row of nodes begins
            self._begins.setdefault(prefix, node)
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
        placed = self._place(node.node, prefix, label, given, scope, first=first)
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
            case Parallel():
                return self._place_parallel(node, path, label, given, scope)
            case Map():
                return self._place_map(node, path, label, given, scope)
            case Branch():
                return self._place_branch(node, path, label, given, scope)
            case Loop():
                return self._place_loop(node, path, label, given, scope)
            case SubPipeline():
                return self._place_sub(node, path, label, given, scope)
            case HumanInput():
                return self._place_human(node, path, label, given, scope)
            case WaitForEvent():
                late = self._aside(node.on_timeout, path, given, scope, "runs only when the event is late")
                self._check_gives(late, node.schema, path)
                return PlanEvent(
                    path=path,
                    label=label,
                    input_type=given,
                    output_type=node.schema,
                    node=node,
                    on_timeout=late,
                )
            case Sleep():
                return PlanSleep(path=path, label=label, input_type=given, output_type=given, node=node)
            case _:
                raise TypeError(f"{type(node).__name__} is no kind of node that a plan knows")

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
            placed = self._place(node, prefix, label, value, scope, first=first and not nodes)
            if nodes and is_never(value):
                self.problems.append(_unreachable(placed.path, nodes[-1].path))
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
        return as_stream(step, node, given, joins, self._judge, self.problems)

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
        fallback = self._aside(step.fallback, path, given, scope, f"is only the fallback of {label!r}")
        given_on, changes = without_changes(signature.output_type)
        if step.may_mutate is not None:
            self._changing.add(path.removesuffix(label))
        elif changes:
            self.problems.append(_not_permitted(path))
        output = given_on
        if fallback is not None and is_never(output):
            output = fallback.output_type
        self._check_gives(fallback, output, path)
        denied = self._aside(step.on_denied, path, given, scope, f"runs only when {label!r} is denied")
        self._check_gives(denied, output, path)
        return PlanStep(
            path=path,
            label=label,
            input_type=signature.input_type if signature.input else object,
            output_type=output,
            node=step,
            signature=signature,
            sources=sources,
            validators=tuple(self._judge(one, path, given_on, "a validator") for one in step.validators),
            undo=None if step.undo is None else self._judge(step.undo, path, given_on, "undo"),
            fallback=fallback,
            denied=denied,
        )

    def _place_parallel(
        self, node: Parallel[Any, Any], path: str, label: str, given: Type, scope: Scope
    ) -> PlanParallel:
        branches: dict[str, PlanNode] = {}
        scopes: list[Scope] = []
        for name, branch in node.branches.items():
            inner = scope.inside()
            branches[name] = self._place(branch, f"{path}/{name}/", "", given, inner)
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

    def _place_map(self, node: Map[Any, Any], path: str, label: str, given: Type, scope: Scope) -> PlanMap:
        over = None if node.over is None else self._judge(node.over, path, given, "over")
        items = given if over is None else over.output_type
        inner = scope.inside()
        body = self._place(node.body, f"{path}[]/", "", item_type(items), inner)
        if not may_iterate(items):
            self.problems.append(
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
        self, node: Branch[Any, Any], path: str, label: str, given: Type, scope: Scope
    ) -> PlanBranch:
        on = self._judge(node.on, path, given, "on")
        cases: dict[str, PlanNode] = {}
        nodes: dict[str, AnyNode] = {case_label(key): case for key, case in node.cases.items()}
        if node.default is not None:
            nodes["default"] = node.default
        for name, case in nodes.items():
            inner = scope.inside()
            cases[name] = self._place(case, f"{path}/{name}/", "", given, inner)
            scope.take(inner, f"it runs only in case {name!r} of {path!r}")
        self.problems += case_problems(node, on.output_type, path)
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

    def _place_loop(self, node: Loop[Any, Any], path: str, label: str, given: Type, scope: Scope) -> PlanLoop:
        inner = scope.inside()
        body = self._place(node.body, f"{path}[]/", "", given, inner)
        until = self._judge(node.until, path, body.output_type, "until")
        if not assignable(body.output_type, body.input_type):
            self.problems.append(
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
        self, node: SubPipeline[Any, Any], path: str, label: str, given: Type, scope: Scope
    ) -> PlanSub:
        inner = scope.inside()
        into = None if node.input is None else self._judge(node.input, path, given, "input")
        body = self._place(node.pipeline, f"{path}/", "", given if into is None else into.output_type, inner)
        scope.take(inner)
        outof = None if node.result is None else self._judge(node.result, path, body.output_type, "output")
        asked = body.input_type if into is None else into.input_type
        return PlanSub(
            path=path,
            label=label,
            input_type=asked if given is Any else given,
            output_type=body.output_type
            if outof is None or is_never(body.output_type)
            else outof.output_type,
            node=node,
            into=into,
            outof=outof,
            body=body,
        )

    def _place_human(
        self, node: HumanInput[Any, Any], path: str, label: str, given: Type, scope: Scope
    ) -> PlanHuman:
        denied = self._aside(node.on_deny, path, given, scope, "runs only when the person denies")
        self._check_gives(denied, node.schema, path)
        late = self._aside(node.on_timeout, path, given, scope, "runs only when the answer is late")
        self._check_gives(late, node.schema, path)
        return PlanHuman(
            path=path,
            label=label,
            input_type=given,
            output_type=node.schema,
            node=node,
            prompt=self._judge(node.prompt, path, given, "prompt") if callable(node.prompt) else None,
            subject=None if node.subject is None else self._judge(node.subject, path, given, "subject"),
            on_deny=denied,
            on_timeout=late,
        )

    def _aside(
        self, node: AnyNode | None, path: str, given: Type, scope: Scope, doubt: str
    ) -> PlanNode | None:
        """Place a node that runs only when something else did not."""
        if node is None:
            return None
        inner = scope.inside()
        placed = self._place(node, f"{path}/", "", given, inner)
        scope.take(inner, f"it {doubt}")
        return placed

    def _check_gives(self, aside: PlanNode | None, wanted: Type, path: str) -> None:
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

    def _judge(self, function: Any, path: str, given: Type, role: str) -> Signature:
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


def _not_permitted(path: str) -> Problem:
    return Problem(
        path,
        "it may give a PipelineMutation, and nothing permits it to change the pipeline",
        "say what it may change: Step(…, may_mutate=MayMutate(…))",
    )


def _unreachable(path: str, before: str) -> Problem:
    return Problem(
        path,
        f"unreachable: {before!r} before it is declared to give NoReturn, so nothing runs after it",
        f"remove it, or annotate what {before!r} returns",
    )


def _too_deep(path: str) -> Problem:
    return Problem(
        path.partition("/")[0].removesuffix("[]"),
        f"its nodes lie in one another more than {MAX_LEVELS} levels deep",
        "join what runs in turn with >>, which nests nothing; let a Loop repeat what repeats",
    )
