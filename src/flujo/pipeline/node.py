"""The one shape everything in a pipeline has, and how nodes are joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Self, TypeVar, final

from flujo.errors import PipelineError

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
Next = TypeVar("Next")

_RESERVED = frozenset("/[]#\n")


class Node(Generic[In, Out]):
    """A part of a pipeline that turns an ``In`` into an ``Out``.

    Nodes are immutable data: they do nothing until a runner walks them, and one node may stand in
    any number of pipelines. ``a >> b`` is the pipeline that gives ``a``'s output to ``b``.

    Attributes:
        name: What the node is called in addresses; empty for a container that takes its kind's name.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def output(self) -> Output[Out]:
        """A reference to this node's output, for the ``inputs=`` of a later step."""
        return Output(self.name)

    def __rshift__(self, other: Node[Out, Next]) -> Pipeline[In, Next]:
        if not is_node(other):
            raise PipelineError(
                f"cannot join {type(other).__name__} {other!r} to a pipeline with >>",
                fix="make it a step first: `@step` above the function, or `Step(function)`",
            )
        return Pipeline(self, other)


@final
@dataclass(frozen=True, slots=True)
class Output(Generic[Out]):
    """What a named node gives, as an input of a later step."""

    node: str


@final
class Pipeline(Node[In, Out]):
    """Nodes one after another: the output of each is the input of the next.

    Joining pipelines joins their nodes: ``(a >> b) >> c`` and ``a >> (b >> c)`` are the same.

    Args:
        nodes: The nodes, in order; at least one. Pipelines among them are taken apart.
        name: What the pipeline is called in lists of runs.

    Raises:
        PipelineError: There is no node, or one of them is no node.
    """

    __slots__ = ("_name", "nodes")

    nodes: tuple[Node[object, object], ...]

    def __init__(
        self, *nodes: Node[In, object] | Node[object, Out] | Node[object, object], name: str = ""
    ) -> None:
        if not nodes:
            raise PipelineError("a pipeline needs at least one node", fix="pass steps, or join them with >>")
        for node in nodes:
            if not is_node(node):
                raise PipelineError(
                    f"{node!r} is no node",
                    fix="make it a step first: `@step` above the function, or `Step(function)`",
                )
        flat = tuple(part for node in nodes for part in _parts(node))
        object.__setattr__(self, "nodes", flat)
        object.__setattr__(self, "_name", check_name(name))

    @property
    def name(self) -> str:
        return self._name

    _name: str

    def named(self, name: str) -> Self:
        """Return the same pipeline under another name."""
        return type(self)(*self.nodes, name=name)

    def __iter__(self) -> Iterator[Node[object, object]]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a pipeline is immutable: {name!r} cannot be set")

    def __repr__(self) -> str:
        return " >> ".join(repr(node) for node in self.nodes)


def is_node(value: object) -> bool:
    """Say whether a value is a node: what comes from untyped code may be anything."""
    return isinstance(value, Node)


def check_name(name: str) -> str:
    """Return a node's name, refusing the characters that addresses are made with."""
    bad = sorted(_RESERVED.intersection(name))
    if bad:
        raise PipelineError(
            f"the name {name!r} holds {', '.join(map(repr, bad))}, which addresses are made with",
            fix="use letters, digits, '_', '-', '.' and spaces",
        )
    return name


def _parts(node: Node[object, object]) -> tuple[Node[object, object], ...]:
    return node.nodes if isinstance(node, Pipeline) else (node,)
