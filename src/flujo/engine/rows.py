"""Rows: nodes one after another, in one execution, that a step among them may change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic_core import to_json

from flujo.engine.accounts import Key
from flujo.engine.build import Build, guards_over, quotas_of
from flujo.engine.failures import Refused
from flujo.engine.mutation import Mutated, Place, again, mutate
from flujo.engine.result import Mutation
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.errors import ConfigError, PlanChanged, PlanError
from flujo.pipeline.mutation import PipelineMutation
from flujo.plan.nodes import Members, PlanNode, PlanStep
from flujo.plan.plan import NUMBER, Plan

Compile = Callable[[Sequence[PlanNode], Build], list[tuple[Walk, int]]]
"""Compiles nodes of a row: each walk comes with how many of them it carries out."""
Told = Sequence[tuple[str, Mapping[str, Any]]]
"""Mutations as they were recorded, in order: the address of the step, and the event's body."""
_REMEMBERED = 64
"""How many rows that mutations led to are kept, compiled, beside the one they began with."""


class Stage:
    """A row as it is before or after a mutation, compiled; the same for every execution that comes to it.

    Args:
        build: What its walks are compiled with: the plan is the one with this row in it.
        prefix: What the paths in the row begin with.
        members: Its nodes.
        compiled: Compiles its nodes.
        reached: How many of its nodes no longer need a walk.
    """

    def __init__(
        self, build: Build, prefix: str, members: Members, compiled: Compile, reached: int = 0
    ) -> None:
        self.build = build
        self.prefix = prefix
        self.members = members
        self._compiled = compiled
        nodes = [build.plan.nodes[prefix + label] for label, _ in members]
        self.walks: dict[int, tuple[Walk, int]] = {}
        for walk, many in compiled(nodes[reached:], build):
            self.walks[reached] = walk, many
            reached += many
        self.changes = [isinstance(node, PlanStep) and node.node.may_mutate is not None for node in nodes]
        self._later: dict[tuple[int, bytes], tuple[Stage, Mutated]] = {}

    def proposed(self, at: int, mutation: PipelineMutation[Any]) -> tuple[Stage, Mutated]:
        """Return where a mutation by the node at a place leads.

        Raises:
            PlanError: It is not permitted, or does not fit.
        """
        key = at, to_json([change.facts() for change in mutation.changes])
        if key not in self._later:
            self._remember(key, mutate(self._place(at), mutation.changes))
        return self._later[key]

    def recorded(self, at: int, facts: Mapping[str, Any], run: Run, address: str) -> tuple[Stage, Mutated]:
        """Return where a recorded mutation led.

        Raises:
            PlanChanged: It does not lead there any more.
        """
        key = at, to_json([facts["operations"], facts.get("added")])
        if key not in self._later:
            self._remember(key, again(self._place(at), facts, run.id, address))
        return self._later[key]

    def _place(self, at: int) -> Place:
        return Place(self.build.plan, self.prefix, self.members, at)

    def _remember(self, key: tuple[int, bytes], mutated: Mutated) -> None:
        if len(self._later) >= _REMEMBERED:
            self._later.pop(next(iter(self._later)))
        plan, quotas = mutated.plan, self.build.quotas
        if quotas is not None or self.build.limited:
            quotas = quotas_of(plan, None if quotas is None else quotas.given, durable=self.build.durable)
        build = replace(self.build, plan=plan, quotas=quotas, guards=guards_over(self.build, plan))
        stage = Stage(build, self.prefix, mutated.members, self._compiled, key[0] + 1)
        self._later[key] = stage, mutated


class Row:
    """One execution of a row.

    Args:
        stage: The row as the pipeline declares it.
        prefix: What the addresses in it begin with.
    """

    __slots__ = ("_stage", "accepted", "at", "prefix")

    def __init__(self, stage: Stage, prefix: str) -> None:
        self._stage = stage
        self.prefix = prefix
        self.at = 0
        self.accepted: tuple[Stage, Mutated] | None = None

    def checked(self, mutation: PipelineMutation[Any], output: Any) -> PipelineMutation[Any]:
        """Return a mutation, with the output that was accepted, if it is permitted and fits.

        Raises:
            Refused: It is not, or does not; the text lists every problem.
        """
        try:
            self._stage.proposed(self.at, mutation)
        except PlanError as error:
            raise Refused(error.message.replace("the pipeline", "its mutation", 1)) from None
        except ConfigError as error:  # policies or quotas do not let it run there
            raise Refused(f"its mutation cannot run here: {error}") from None
        return PipelineMutation(output, mutation.changes)

    def accept(self, mutation: PipelineMutation[Any]) -> None:
        """Take a mutation in that was checked: it holds as soon as the step has ended."""
        self.accepted = self._stage.proposed(self.at, mutation)

    async def walk(self, frame: Frame, value: Any) -> Any:
        """Carry the row out, whatever its nodes make of it."""
        while self.at < len(self._stage.members):
            stage, at = self._stage, self.at
            walk, many = stage.walks[at]
            value = await walk(frame, value)
            if value.__class__ is Suspended:
                return value
            if stage.changes[at]:
                self._advance(frame.run, at)
            self.at += many
        return value

    def _advance(self, run: Run, at: int) -> None:
        """Go on as the step at a place asked for, now or in the part of the run that is recorded."""
        address = self.prefix + self._stage.members[at][0]
        accepted, self.accepted = self.accepted, None
        if accepted is not None and run.recorder is None:
            run.note("mutated", address, accepted[1].facts())
        if accepted is None:
            for note in run.noted(address):
                if note.kind == "mutated":
                    accepted = self._stage.recorded(at, note.body, run, address)
        if accepted is not None:
            self._stage, mutated = accepted
            rows = rows_of(run)
            rows.applied.append(told(address, mutated.facts()))
            for path, given in mutated.parameters.items():
                rows.parameters.append((self.prefix, path.removeprefix(mutated.prefix), given))


class Rows:
    """The rows of a run that may change, and what changed in them.

    Attributes:
        open: Those under way, by what the addresses in them begin with.
        applied: The mutations that hold, in the order the run came by them.
        parameters: What later steps are given: where the row stands, their paths from there on, and what.
    """

    __slots__ = ("applied", "open", "parameters")

    def __init__(self) -> None:
        self.open: dict[str, Row] = {}
        self.applied: list[Mutation] = []
        self.parameters: list[tuple[str, str, Mapping[str, Any]]] = []

    def parameters_at(self, address: str) -> Mapping[str, Any]:
        """Return the parameters that a step is given."""
        found: dict[str, Any] = {}
        for prefix, path, given in self.parameters:
            if address.startswith(prefix) and NUMBER.sub("[]", address[len(prefix) :]) == path:
                found.update(given)
        return found

    def close(self, prefix: str) -> None:
        """Forget a row that is over."""
        del self.open[prefix]
        if self.parameters:
            self.parameters = [one for one in self.parameters if one[0] != prefix]


def rows_of(run: Run) -> Rows:
    """Return the rows of a run."""
    if run.rows is None:
        run.rows = Rows()
    return run.rows


def compile_changing(nodes: Sequence[PlanNode], build: Build, compiled: Compile) -> Walk:
    """Return the walk of nodes one after another that one of them may change.

    Args:
        nodes: The nodes.
        build: What they are compiled with.
        compiled: Compiles them.
    """
    first = nodes[0]
    prefix = first.path.removesuffix(first.label)
    assert build.plan.source is not None
    declared = Stage(build, prefix, build.plan.source.rows[prefix], compiled)

    async def changing(frame: Frame, value: Any) -> Any:
        rows = rows_of(frame.run)
        row = rows.open[frame.prefix] = Row(declared, frame.prefix)
        try:
            return await row.walk(frame, value)
        finally:
            rows.close(frame.prefix)

    return changing


# What the gate asks


def taken(frame: Frame, output: Any) -> Any:
    """Return what a step gives to the next, having taken its mutation in."""
    if not isinstance(output, PipelineMutation):
        return output
    mutation = cast("PipelineMutation[Any]", output)
    rows_of(frame.run).open[frame.prefix].accept(mutation)
    return mutation.output


def recording(label: str, settle: Callable[[Run, str], None] | None) -> Callable[[Run, str], None]:
    """Return what is done right before a step's result is recorded: its mutation is, in the same commit."""

    def record(run: Run, address: str) -> None:
        if settle is not None:
            settle(run, address)
        accepted = rows_of(run).open[address.removesuffix(label)].accepted
        if accepted is not None:
            run.note("mutated", address, accepted[1].facts())

    return record


# What is read of recorded ones


def told(address: str, facts: Mapping[str, Any]) -> Mutation:
    """Return a recorded mutation as results show it."""
    added: Mapping[str, Mapping[str, str]] = facts.get("added", {})
    return Mutation(
        address=address,
        operations=tuple(facts["operations"]),
        row=tuple(facts["row"]),
        added={label: one["node"] for label, one in added.items()},
    )


class Grown:
    """The nodes of a run whose pipeline was changed while it ran, by address.

    Args:
        plan: The plan that the run is pinned to.
        run_id: The run.
        recorded: Its mutations.

    Raises:
        PlanChanged: One of them refers to something that is gone or something else.
    """

    def __init__(self, plan: Plan, run_id: str, recorded: Told) -> None:
        self._plan = plan
        self._rows: dict[str, tuple[Plan, Members]] = {}
        self._added: dict[str, list[str]] = {}
        for address, facts in recorded:
            level = address[: address.rfind("/") + 1]
            around = self._plan_at(address)
            path = NUMBER.sub("[]", level)
            if level in self._rows:
                around, members = self._rows[level]
            else:
                members = () if around.source is None else around.source.rows.get(path, ())
            labels = [label for label, _ in members]
            if address[len(level) :] not in labels:
                raise PlanChanged(
                    f"run {run_id}: {address!r} changed the pipeline, which no step there may do any more",
                    addresses=[address],
                    fix="resume the run with the code that it began with, or cancel it",
                )
            at = labels.index(address[len(level) :])
            mutated = again(Place(around, path, members, at), facts, run_id, address)
            self._rows[level] = mutated.plan, mutated.members
            self._added.setdefault(level, []).extend(mutated.added)

    def at(self, address: str) -> PlanNode | None:
        """Return the node that stands at an address."""
        return self._plan_at(address).nodes.get(NUMBER.sub("[]", address))

    def joined(self) -> Iterator[PlanNode]:
        """Yield the nodes that mutations brought in, and all inside them."""
        for level, (plan, _) in self._rows.items():
            path = NUMBER.sub("[]", level)
            for label in self._added.get(level, ()):
                yield from plan.nodes[path + label].walk()

    def _plan_at(self, address: str) -> Plan:
        end = len(address)
        while self._rows and end > 0:
            end = address.rfind("/", 0, end)
            level = address[: end + 1]
            if level in self._rows:
                return self._rows[level][0]
        return self._plan


def joined_lanes(recorded: Told) -> tuple[str, ...]:
    """Return what the paths inside the parallels and maps begin with that mutations brought in."""
    nodes: list[tuple[str, Sequence[str]]] = [
        one for _, facts in recorded for one in facts.get("nodes", {}).items()
    ]
    lanes = [path for path, (kind, *_) in nodes if kind in ("parallel", "map")]
    return tuple(f"{path}{mark}" for path in lanes for mark in "/[")


def accounts_of(recorded: Told, whole: Sequence[int]) -> Callable[[str], list[Key]]:
    """Return what tells the accounts that a node counts on which joined a run; none for other nodes.

    Args:
        recorded: The mutations of the run.
        whole: The numbers of the accounts of the whole run.
    """
    parts: dict[str, list[tuple[int, int]]] = {}
    for address, facts in recorded:
        level = address[: address.rfind("/") + 1]
        begin = len(NUMBER.sub("[]", level))
        scopes: Mapping[str, Sequence[tuple[int, int]]] = facts.get("scopes", {})
        parts.update((level + path[begin:], list(counted)) for path, counted in scopes.items())

    def accounts(address: str) -> list[Key]:
        address = address.partition("#")[0]
        for end in (len(address), *(at for at, letter in enumerate(address) if letter in "/[")):
            inside = NUMBER.sub("[]", address[end:]).removesuffix("[]")
            if address[:end] + inside in parts:
                numbers = NUMBER.findall(address)
                around = [(number, ()) for number in whole]
                counted = parts[address[:end] + inside]
                return [*around, *((number, tuple(numbers[:depth])) for number, depth in counted)]
        return []

    return accounts
