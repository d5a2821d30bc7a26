"""What a checked pipeline is made of: every node with its place, its types and how it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from flujo.errors import Problem
from flujo.pipeline.flow import Branch, Loop, SubPipeline
from flujo.pipeline.lanes import Map, Parallel
from flujo.pipeline.node import Node, bare, parts_of
from flujo.pipeline.step import Step
from flujo.pipeline.waits import HumanInput, Sleep, WaitForEvent
from flujo.plan.signature import Signature
from flujo.plan.types import Type

if TYPE_CHECKING:
    from flujo.pipeline.quota import Quota
    from flujo.pipeline.streaming import StreamingStep


DEFAULT_LABELS: dict[type, str] = {
    Parallel: "parallel",
    Map: "map",
    Branch: "branch",
    Loop: "loop",
    SubPipeline: "sub",
    HumanInput: "human_input",
    Sleep: "sleep",
}
"""What nodes without a name are called."""
Members = tuple[tuple[str, Node[Any, Any]], ...]
"""The nodes of a row, each with its label."""


@dataclass(frozen=True, slots=True)
class PlanScope:
    """A part of a plan that is under quotas.

    Attributes:
        number: What tells it from the others of the plan.
        path: Where it is: the path of its first node.
        quotas: What holds for all that runs inside it.
        depth: How many loops and maps it lies in: it counts anew for each of their turns and items.
    """

    number: int
    path: str
    quotas: tuple[Quota, ...]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """A node in its place.

    Attributes:
        path: Its address, with ``[]`` where a run has a turn or an item; empty for the root.
        label: The last part of its address.
        input_type: What it takes.
        output_type: What it gives.
    """

    path: str
    label: str
    input_type: Type
    output_type: Type

    @property
    def kind(self) -> str:
        """The word for this node in drawings and fingerprints."""
        return type(self).__name__.removeprefix("Plan").lower()

    @property
    def children(self) -> Mapping[str, PlanNode]:
        """The nodes inside it, by what labels them."""
        return {}

    def walk(self) -> Iterator[PlanNode]:
        """Yield this node and all inside it, in order."""
        yield self
        for child in self.children.values():
            yield from child.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep(PlanNode):
    """A step: how its agent is called, where its named inputs come from."""

    node: Step[object, object]
    signature: Signature
    sources: Mapping[str, str]
    """The path of the node that each named parameter takes its value from."""
    validators: tuple[Signature, ...]
    undo: Signature | None
    fallback: PlanNode | None
    denied: PlanNode | None = None
    """What runs when a policy denied."""

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        asides = {"fallback": self.fallback, "denied": self.denied}
        return {label: node for label, node in asides.items() if node is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStream(PlanStep):
    """A streaming step: what flows in and out of it, and what becomes of its chunks.

    Streaming steps next to each other are carried out together, as one segment.

    Attributes:
        stream: The streaming step; ``node`` holds what it has in common with every step.
        takes: The type of the chunks it takes; None where it takes a whole value, or nothing.
        gives: The type of the chunks it gives.
        joined: Whether it takes the chunks of the streaming step before it.
        goes_on: Whether its chunks go on to the streaming step after it.
        collect: How ``collect`` is called, where that is a function of all chunks.
        segment: The labels of its segment's steps, in order.
    """

    stream: StreamingStep[object, object]
    takes: Type
    gives: Type
    joined: bool
    goes_on: bool
    collect: Signature | None
    segment: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSequence(PlanNode):
    """Nodes one after another."""

    nodes: tuple[PlanNode, ...]

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return {node.label: node for node in self.nodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParallel(PlanNode):
    """Branches side by side."""

    node: Parallel[object, object]
    branches: Mapping[str, PlanNode]

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return self.branches


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMap(PlanNode):
    """One body over many items."""

    node: Map[object, object]
    over: Signature | None
    body: PlanNode

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return {"each": self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBranch(PlanNode):
    """One of several cases."""

    node: Branch[object, object]
    on: Signature
    cases: Mapping[str, PlanNode]

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return self.cases


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLoop(PlanNode):
    """A body that runs again and again."""

    node: Loop[object, object]
    until: Signature
    body: PlanNode

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return {"each turn": self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSub(PlanNode):
    """A pipeline as one node."""

    node: SubPipeline[object, object]
    into: Signature | None
    outof: Signature | None
    body: PlanNode

    @property
    def mapped_type(self) -> Type:
        """What its input is recorded as: what its nodes ask for, or if they take anything, what is given."""
        asked = self.body.input_type
        return self.into.output_type if self.into is not None and asked in (Any, object) else asked

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return {"": self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHuman(PlanNode):
    """A place where a person is asked."""

    node: HumanInput[object, object]
    prompt: Signature | None
    subject: Signature | None
    on_deny: PlanNode | None
    on_timeout: PlanNode | None

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        asides = {"denied": self.on_deny, "timed out": self.on_timeout}
        return {label: node for label, node in asides.items() if node is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEvent(PlanNode):
    """A place where an event is awaited."""

    node: WaitForEvent[object, object]
    on_timeout: PlanNode | None

    @property
    @override
    def children(self) -> Mapping[str, PlanNode]:
        return {} if self.on_timeout is None else {"timed out": self.on_timeout}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSleep(PlanNode):
    """A wait of a given time."""

    node: Sleep[object, object]


def labeled(node: Node[Any, Any]) -> Members:
    """Return the nodes of a row, each with its name, or its kind with a number from the second on."""
    members: list[tuple[str, Node[Any, Any]]] = []
    counts: dict[str, int] = {}
    for part in parts_of(node):
        label = part.name
        if not label:
            kind = DEFAULT_LABELS[type(bare(part))]
            counts[kind] = counts.get(kind, 0) + 1
            label = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
        members.append((label, part))
    return tuple(members)


def same_names(members: Members, prefix: str) -> Iterator[Problem]:
    """Yield what is wrong where nodes of one row bear one name."""
    for label, count in sorted(Counter(label for label, _ in members).items()):
        if count > 1:
            yield Problem(
                prefix + label,
                f"{count} nodes in a row of steps are called {label!r}",
                f'give each its own name: `node.named("{label}_2")` or `Step(…, name="{label}_2")`',
            )


def node_of(placed: PlanNode) -> Node[Any, Any] | None:
    """Return the node of a pipeline that stands in a place; None for a row of nodes."""
    match placed:
        case PlanStream():
            return placed.stream
        case PlanStep() | PlanParallel() | PlanMap() | PlanBranch() | PlanLoop() | PlanSub():
            return placed.node
        case PlanHuman() | PlanEvent() | PlanSleep():
            return placed.node
        case _:
            return None
