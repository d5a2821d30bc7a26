"""A pipeline that was checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, runtime_checkable

from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Node
from flujo.plan.nodes import (
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
    PlanStep,
    PlanStream,
)
from flujo.plan.types import Type, type_text

NUMBER = re.compile(r"\[\d+\]")
"""The turn or the item in an address; the path of its node has ``[]`` there."""


@runtime_checkable
class Versioned(Protocol):
    """An agent that is part of the plan: with another version of it, a plan is another one."""

    @property
    def part_of_plan(self) -> str:
        """What tells this version of it from others."""
        ...


class Source(NamedTuple):
    """What a plan was made of, for a row of it to be changed and all of it to be checked again.

    Attributes:
        pipeline: The pipeline.
        input_type: What it was said to take.
        recorded: Whether its runs are recorded.
        rows: The rows of nodes that a step may change, by what the addresses in them begin with.
        given: Those of them that were changed.
        scopes: The parts under quotas, by what they stand for.
    """

    pipeline: Node[Any, Any]
    input_type: Type
    recorded: bool
    rows: Mapping[str, Members]
    given: Mapping[str, Members]
    scopes: Mapping[tuple[object, str], PlanScope]


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most a run of a plan may do.

    Attributes:
        steps: Step executions; for a plan with a Map, of one item each.
        attempts: Attempts, retries and fallbacks included; likewise.
        per_item: The paths of the maps: what is inside counts once for each of their items.
        unlimited: The paths of the steps that may bring in any number of others.
    """

    steps: int
    attempts: int
    per_item: tuple[str, ...] = ()
    unlimited: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A pipeline whose every node has an address, every input a source, and every type fits.

    Attributes:
        name: The pipeline's name.
        root: Its nodes.
        context_model: The class of the runs' context.
        kept: The paths of the nodes whose outputs are named by later steps.
        exports: For each container, the paths inside it that are named from outside.
        scopes: For each node under quotas, the parts of the plan that it lies in, the outermost first.
        source: What it was made of; None where no step may change it while it runs.
    """

    name: str
    root: PlanNode
    context_model: type[PipelineContext]
    kept: frozenset[str]
    exports: Mapping[str, tuple[str, ...]]
    scopes: Mapping[str, tuple[PlanScope, ...]] = field(default_factory=dict[str, tuple[PlanScope, ...]])
    source: Source | None = None

    @cached_property
    def nodes(self) -> Mapping[str, PlanNode]:
        """Every node that has an address, by path, in order."""
        return {node.path: node for node in self.root.walk() if not isinstance(node, PlanSequence)}

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """A digest of what matters to a recorded run, by path: kind, types, effects and choices."""
        return {path: sha256(_facts(node).encode()).hexdigest()[:12] for path, node in self.nodes.items()}

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256, in hex, over every address and its digest: the plan a run is pinned to."""
        return sha256(json.dumps(list(self.digests.items())).encode()).hexdigest()

    @cached_property
    def worst_case(self) -> WorstCase:
        """The most that a run may do."""
        return worst_of(self.root)


def _facts(node: PlanNode) -> str:
    facts = [node.kind, type_text(node.input_type), type_text(node.output_type)]
    match node:
        case PlanStep():
            facts += [node.node.effects, json.dumps(dict(node.sources))]
            agent = node.stream.agent if isinstance(node, PlanStream) else node.node.agent
            if isinstance(agent, Versioned):
                facts.append(agent.part_of_plan)
            if isinstance(node, PlanStream):
                facts += [type_text(node.gives), "joined" if node.joined else "", str(node.stream.items)]
            facts += ["may mutate"] if node.node.may_mutate is not None else []
        case PlanParallel() | PlanBranch():
            facts += list(node.children)
        case _:
            pass
    return json.dumps(facts)


def worst_of(node: PlanNode) -> WorstCase:
    """Return the most that a node may do."""
    inside = [worst_of(child) for child in node.children.values()]
    steps, attempts = sum(part.steps for part in inside), sum(part.attempts for part in inside)
    per_item = tuple(path for part in inside for path in part.per_item)
    unlimited = tuple(path for part in inside for path in part.unlimited)
    match node:
        case PlanStep():
            permission = node.node.may_mutate
            added = 0 if permission is None else permission.steps
            unlimited = unlimited if added is not None else (node.path, *unlimited)
            attempts += node.node.retry.attempts + (added or 0)
            return WorstCase(steps + 1 + (added or 0), attempts, per_item, unlimited)
        case PlanMap():
            return WorstCase(steps, attempts, (node.path, *per_item), unlimited)
        case PlanLoop():
            turns = node.node.max_turns
            return WorstCase(steps * turns, attempts * turns, per_item, unlimited)
        case PlanBranch() | PlanHuman() | PlanEvent():
            steps = max((part.steps for part in inside), default=0)
            attempts = max((part.attempts for part in inside), default=0)
            return WorstCase(steps, attempts, per_item, unlimited)
        case _:
            return WorstCase(steps, attempts, per_item, unlimited)


def segment_of(node: PlanNode | None, address: str) -> tuple[str, ...]:
    """Return the addresses of what is carried out, and recorded, together with the node at an address."""
    if not isinstance(node, PlanStream):
        return (address,)
    level = address.removesuffix(node.label)
    return tuple(level + label for label in node.segment)


def differing_paths(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the paths at which two plans differ, given their digests."""
    return [path for path in {**before, **now} if before.get(path) != now.get(path)]
