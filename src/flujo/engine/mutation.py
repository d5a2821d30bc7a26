"""Mutations: what a step asks for is checked against its permission, and against the whole pipeline."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flujo.engine.references import Unresolved, below, digest_of, is_in, named, resolved
from flujo.errors import PlanChanged, PlanError, Problem
from flujo.pipeline.mutation import Change, MayMutate
from flujo.pipeline.node import Node, Within, bare
from flujo.pipeline.quota import METERS, STEPS, TIME, amounts
from flujo.pipeline.step import Step
from flujo.plan.compile import recompile
from flujo.plan.nodes import Members, PlanNode, PlanStep
from flujo.plan.plan import Plan, worst_of
from flujo.plan.types import assignable, type_name
from flujo.plan.worst import cost_of

AnyNode = Node[Any, Any]


class Place(NamedTuple):
    """Where a step stands that changes the nodes after it.

    Attributes:
        plan: The plan as it is now.
        prefix: What the paths in its row begin with.
        members: The nodes of the row.
        at: Which of them the step is.
    """

    plan: Plan
    prefix: str
    members: Members
    at: int

    @property
    def path(self) -> str:
        """The step's path."""
        return self.prefix + self.members[self.at][0]

    @property
    def permission(self) -> MayMutate:
        """What the step may change."""
        step = bare(self.members[self.at][1])
        permission = step.may_mutate if isinstance(step, Step) else None
        assert permission is not None  # or the row would not be one that changes
        return permission


@dataclass(frozen=True, slots=True)
class Mutated:
    """A row of nodes after a mutation.

    Attributes:
        plan: The plan with the row in it.
        prefix: What the paths in the row begin with.
        members: The nodes of the row.
        changes: The operations that led here.
        added: What came in, by label: the reference, and the digest of what it stands for.
        parameters: What later steps are given, by their paths.
    """

    plan: Plan
    prefix: str
    members: Members
    changes: tuple[Change, ...]
    added: Mapping[str, tuple[str, str]]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def facts(self) -> dict[str, Any]:
        """Return what is recorded of the mutation."""
        facts: dict[str, Any] = {
            "operations": [change.facts() for change in self.changes],
            "row": [label for label, _ in self.members],
        }
        paths = [path for label in self.added for path in below(self.plan, self.prefix + label)]
        if self.added:
            facts["added"] = {
                name: {"node": ref, "digest": digest} for name, (ref, digest) in self.added.items()
            }
            nodes, digests = self.plan.nodes, self.plan.digests
            facts["nodes"] = {path: [nodes[path].kind, digests[path]] for path in paths}
        scopes = {
            path: [[scope.number, scope.depth] for scope in self.plan.scopes[path]]
            for path in paths
            if path in self.plan.scopes
        }
        return {**facts, "scopes": scopes} if scopes else facts


def mutate(place: Place, changes: Sequence[Change]) -> Mutated:
    """Return the row of nodes that a mutation leads to.

    Raises:
        PlanError: It is not permitted, or the pipeline would not fit together; every problem is listed.
    """
    making = _Making(place)
    for change in changes:
        refused = place.permission.permits(change)
        if refused:
            making.problem(refused, "widen the step's may_mutate, or let it ask for something else")
        else:
            making.apply(change)
    mutated = making.mutated(changes)
    making.check_limits(mutated)
    making.refuse()
    return mutated


def again(place: Place, facts: Mapping[str, Any], run_id: str, address: str) -> Mutated:
    """Return the row of nodes that a recorded mutation led to.

    Raises:
        PlanChanged: What it refers to is gone or something else, or it does not fit the pipeline any more.
    """
    level = address.removesuffix(place.members[place.at][0])
    making = _Making(place)
    changes = [Change.of(one) for one in facts["operations"]]
    try:
        for change in changes:
            making.apply(change)
        mutated = making.mutated(changes)
    except PlanError as error:
        raise PlanChanged(
            f"run {run_id}: the mutation that {address!r} made does not fit any more: {error.message}",
            addresses=[level + label for label in facts.get("added", {})] or [address],
            fix="resume the run with the code that it began with, or cancel it",
        ) from None
    recorded: Mapping[str, Mapping[str, str]] = facts.get("added", {})
    for label, (reference, digest) in mutated.added.items():
        if recorded[label]["digest"] != digest:
            raise PlanChanged(
                f"run {run_id}: {reference!r}, which {address!r} brought in as {level + label!r}, is "
                "something else now",
                addresses=[level + label],
                fix="resume the run with the code that it began with, or cancel it",
            )
    return mutated


class _Making:
    """A row of nodes while operations are applied to it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._row = list(place.members)
        self._problems: list[Problem] = []
        self._added: dict[str, str] = {}
        self._inserted: dict[str, dict[str, None]] = {}
        self._parameters: dict[str, dict[str, Any]] = {}

    def problem(self, message: str, fix: str) -> None:
        """Note what is wrong."""
        self._problems.append(Problem(self._place.path, message, fix))

    def refuse(self) -> None:
        """Raise what was found wrong, if anything was.

        Raises:
            PlanError: Something was.
        """
        if self._problems:
            raise PlanError(self._problems)

    def apply(self, change: Change) -> None:
        """Apply one operation."""
        match change.operation:
            case "insert":
                target = change.target or self._place.members[self._place.at][0]
                at = self._later(target, at_all=True)
                if at is not None:
                    self._bring_in(change, self._behind(target, at), self._row[at][1])
            case "append":
                self._bring_in(change, len(self._row), self._row[-1][1])
            case "replace":
                at = self._later(change.target)
                if at is not None:
                    _, gone = self._row.pop(at)
                    self._bring_in(change, at, gone)
            case "skip":
                at = self._later(change.target)
                if at is not None:
                    del self._row[at]
                    self._added.pop(change.target, None)
                    self._inserted.pop(change.target, None)
                    for behind in self._inserted.values():
                        behind.pop(change.target, None)
            case "reconfigure":
                self._parameters.setdefault(change.target, {}).update(change.parameters)

    def _later(self, target: str, *, at_all: bool = False) -> int | None:
        """Return where a node stands that the row has not reached; ``at_all``: the step itself will do."""
        labels = [label for label, _ in self._row]
        later = labels[self._place.at + (0 if at_all else 1) :]
        if target in later:
            return labels.index(target)
        fix = f"choose from {', '.join(map(repr, later))}" if later else "no node comes after it in its row"
        if target in labels:
            self.problem(f"{target!r} has been reached already", fix)
            return None
        row = {self._place.prefix + label for label, _ in self._place.members}
        nodes = self._place.plan.nodes.values()
        elsewhere = [node.path for node in nodes if node.label == target and node.path not in row]
        if elsewhere:
            self.problem(f"{elsewhere[0]!r} stands in another row of nodes, which it cannot change", fix)
            return None
        close = difflib.get_close_matches(target, later, n=1)
        self.problem(
            f"no node after it is called {target!r}", f"did you mean {close[0]!r}?" if close else fix
        )
        return None

    def _behind(self, target: str, at: int) -> int:
        """Return where what is inserted after a node goes: behind what was inserted after it before."""
        labels = [label for label, _ in self._row]
        return 1 + max([at, *(labels.index(one) for one in self._inserted.get(target, ()))])

    def _bring_in(self, change: Change, at: int, anchor: AnyNode) -> None:
        try:
            node, name = resolved(change.node, self._place.permission.nodes, self._place.plan)
        except Unresolved as error:
            self.problem(str(error), error.fix)
            return
        label = change.target if change.operation == "replace" else change.name or name
        if label in [known for known, _ in self._row]:
            self.problem(
                f"a node of its row is called {label!r} already",
                f'give what comes in another name: {change.operation}("{change.node}", name="{label}_2")',
            )
            return
        around = [*_layers(anchor), *_layers(self._place.members[self._place.at][1])]
        placed = named(node, label)
        for layer in reversed(list({id(one.scope): one for one in around}.values())):
            placed = Within(placed, *layer.quotas, scope=layer.scope)
        self._row.insert(at, (label, placed))
        self._added[label] = change.node
        if change.operation == "insert":
            self._inserted.setdefault(change.target or self._place.members[self._place.at][0], {})[label] = (
                None
            )

    # The pipeline with the row in it

    def mutated(self, changes: Sequence[Change]) -> Mutated:
        """Return the row, where the pipeline fits together with it.

        Raises:
            PlanError: It does not.
        """
        self.refuse()
        prefix, before = self._place.prefix, self._place.plan
        row = tuple(self._row)
        plan = recompile(before, prefix, row)
        self._check_output(plan, row)
        self._check_exports(plan)
        self._check_sources(plan)
        parameters = {
            path: given
            for target, given in self._parameters.items()
            if (path := self._target(plan, target)) is not None
        }
        self.refuse()
        added = {label: (ref, digest_of(plan, prefix + label)) for label, ref in self._added.items()}
        return Mutated(plan, prefix, row, tuple(changes), added, parameters)

    def _check_output(self, plan: Plan, row: Members) -> None:
        """Report a row that would give something else than what comes after it, or around it, takes."""
        prefix = self._place.prefix
        wanted = self._place.plan.nodes[prefix + self._place.members[-1][0]].output_type
        last = plan.nodes[prefix + row[-1][0]]
        if not assignable(last.output_type, wanted):
            self._problems.append(
                Problem(
                    last.path,
                    f"it would come last and gives {type_name(last.output_type)}, but "
                    f"{type_name(wanted)} is what comes out there",
                    f"let the last node give {type_name(wanted)}",
                )
            )

    def _check_exports(self, plan: Plan) -> None:
        """Report what is recorded with a node around it, for who names it outside, and is of another type."""
        before = self._place.plan
        for path in dict.fromkeys(path for paths in before.exports.values() for path in paths):
            declared, now = before.nodes[path].output_type, plan.nodes[path].output_type
            if not assignable(now, declared):
                self._problems.append(
                    Problem(
                        path,
                        f"it would give {type_name(now)}, but a step outside its row names it, which is kept "
                        f"as {type_name(declared)}",
                        f"bring in what gives {type_name(declared)}",
                    )
                )

    def _check_sources(self, plan: Plan) -> None:
        """Report earlier outputs that this run did not keep for what comes in."""
        prefix = self._place.prefix
        own = [prefix + label for label, _ in self._row[self._place.at + 1 :]]
        for path in (path for label in self._added for path in below(plan, prefix + label)):
            node = plan.nodes[path]
            for source in node.sources.values() if isinstance(node, PlanStep) else ():
                if source not in self._place.plan.kept and not any(is_in(source, one) for one in own):
                    message = f"it takes the output of {source!r}, which is inside of what has ended"
                    fix = "name what stands in the step's own row, or in a row around it"
                    self._problems.append(Problem(path, message, fix))

    def _target(self, plan: Plan, target: str) -> str | None:
        """Return the path of a step that is reconfigured."""
        prefix = self._place.prefix
        later = [prefix + label for label, _ in self._row[self._place.at + 1 :]]
        steps = [
            node
            for node in plan.nodes.values()
            if isinstance(node, PlanStep) and any(is_in(node.path, one) for one in later)
        ]
        exact = [node for node in steps if target in _spellings(node.path.removeprefix(prefix))]
        found = exact or [node for node in steps if node.label == target]
        if len(found) != 1:
            paths = ", ".join(repr(node.path.removeprefix(prefix)) for node in found or steps)
            what = (
                f"{target!r} is the name of several steps" if found else f"no later step is called {target!r}"
            )
            self.problem(what, f"choose from {paths}" if paths else "no step comes after it in its row")
            return None
        step = found[0]
        if not step.signature.info:
            fix = "let its agent ask for StepInfo, by annotation"
            self.problem(f"{target!r} asks for no StepInfo, so that parameters would not reach it", fix)
        if step.node.cache:
            fix = "leave its cache= out"
            self.problem(f"{target!r} is cached, whatever parameters it is given", fix)
        return step.path

    # What may come in

    def check_limits(self, mutated: Mutated) -> None:
        """Report more than the step may bring in."""
        plan, permission = mutated.plan, self._place.permission
        nodes = [plan.nodes[mutated.prefix + label] for label in mutated.added]
        worst = [worst_of(node) for node in nodes]
        many = sum(one.attempts for one in worst)
        if permission.steps is not None and many > permission.steps:
            self.problem(
                f"what it brings in may make {many} attempts of steps, {permission.steps} are permitted",
                "raise MayMutate(steps=…), or let it ask for less",
            )
        endless = [path for one in worst for path in (*one.per_item, *one.unlimited)]
        if permission.steps is not None and endless:
            self.problem(
                f"how often {endless[0]!r} runs steps has no bound, {permission.steps} are permitted",
                "pass MayMutate(steps=None), or let it ask for something else",
            )
        if permission.bound is not None:
            self._check_bound(plan, nodes, amounts(permission.bound))

    def _check_bound(self, plan: Plan, nodes: Sequence[PlanNode], bound: Sequence[int]) -> None:
        costs = [cost_of(node, plan) for node in nodes]
        for place, meter in enumerate(METERS):
            if place == STEPS or (place == TIME and not bound[TIME]):
                continue
            why = next((cost.unbounded[place] for cost in costs if place in cost.unbounded), "")
            if why or sum(cost.counted[place] for cost in costs) > bound[place]:
                self.problem(
                    f"what it brings in may spend more {meter} than its bound" + (f": {why}" if why else ""),
                    "raise MayMutate(bound=…), or declare bounds of the steps that come in",
                )


def _layers(node: AnyNode) -> list[Within[Any, Any]]:
    """Return the quotas around a node, the outermost first."""
    found: list[Within[Any, Any]] = []
    while isinstance(node, Within):
        found.append(node)
        node = node.node
    return found


def _spellings(path: str) -> tuple[str, str]:
    return path, path.replace("[]", "")
