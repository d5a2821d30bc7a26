"""The one shape everything in a pipeline has, and how nodes are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, final, overload

from flujo.errors import PipelineError
from flujo.pipeline.checks import Kind

if TYPE_CHECKING:
    from flujo.pipeline.quota import Quota

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
Next = TypeVar("Next")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

_RESERVED = frozenset("/[]#\n")


class Node(Generic[In, Out], metaclass=Kind):
    """A part of a pipeline that turns an ``In`` into an ``Out``.

    Nodes are immutable data: they do nothing until a runner walks them, and one node may stand in
    any number of pipelines. ``a >> b`` is the pipeline that gives ``a``'s output to ``b``.
    """

    __slots__ = ()

    _name: str

    @property
    def name(self) -> str:
        """What the node is called in addresses; empty for a container that takes its kind's name."""
        return self._name

    @property
    def output(self) -> Output[Out]:
        """A reference to this node's output, for the ``inputs=`` of a later step."""
        return Output(self.name)

    def within(self, *quotas: Quota) -> Within[In, Out]:
        """Return the same node under quotas of its own: all that runs inside it counts against them.

        Raises:
            PipelineError: They are no quotas, or there is none.
        """
        return Within(self, *quotas)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __rshift__(self, other: Node[Out, Next]) -> Pipeline[In, Next]:
        check_node(other, ">>")
        return Pipeline(self, other)

    if not TYPE_CHECKING:  # type checkers refuse it by themselves

        def __rrshift__(self, other: object) -> None:
            check_node(other, ">>")


class Chunked(Node[In, Out]):
    """A node that gives its output chunk by chunk: a :class:`flujo.StreamingStep`."""

    __slots__ = ()


class Changed(Generic[Out]):
    """What a step gives with what it changes of its pipeline: see :class:`flujo.PipelineMutation`."""

    __slots__ = ("output",)

    output: Out


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

    nodes: tuple[Node[Any, Any], ...]
    _name: str

    @overload
    def __init__(self: Pipeline[A, B], one: Node[A, B], /, *, name: str = "") -> None: ...
    @overload
    def __init__(self: Pipeline[A, C], one: Node[A, B], two: Node[B, C], /, *, name: str = "") -> None: ...
    @overload
    def __init__(
        self: Pipeline[A, D], one: Node[A, B], two: Node[B, C], three: Node[C, D], /, *, name: str = ""
    ) -> None: ...
    @overload
    def __init__(self: Pipeline[Any, Any], *nodes: Node[Any, Any], name: str = "") -> None: ...
    def __init__(self, *nodes: Node[Any, Any], name: str = "") -> None:
        if not nodes:
            raise PipelineError("a pipeline needs at least one node", fix="pass steps, or join them with >>")
        for node in nodes:
            check_node(node, "Pipeline")
        flat = tuple(part for node in nodes for part in parts_of(node))
        object.__setattr__(self, "nodes", flat)
        object.__setattr__(self, "_name", check_name(name))

    def named(self, name: str) -> Pipeline[In, Out]:
        """Return the same pipeline under another name."""
        return Pipeline(*self.nodes, name=name)

    def __iter__(self) -> Iterator[Node[Any, Any]]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a pipeline is immutable: {name!r} cannot be set")

    def __repr__(self) -> str:
        return " >> ".join(repr(node) for node in self.nodes)


@final
class Within(Node[In, Out]):
    """A node under quotas; it has the address that the node would have without them.

    Args:
        node: The node.
        quotas: What holds for all that runs inside it.

    Raises:
        PipelineError: They are no quotas, or there is none.
    """

    __slots__ = ("_name", "node", "quotas", "scope")

    node: Node[In, Out]
    quotas: tuple[Quota, ...]
    scope: object
    _name: str

    def __init__(self, node: Node[In, Out], *quotas: Quota, scope: object = None) -> None:
        from flujo.pipeline.quota import checked_quotas

        check_node(node, "within")
        if not quotas:
            raise PipelineError("within() was given no quota", fix="pass Quota(usd=…)")
        object.__setattr__(self, "node", node)
        object.__setattr__(self, "quotas", checked_quotas(quotas, "within, quota"))
        # Nodes of one pipeline that are joined with others go on counting together.
        object.__setattr__(self, "scope", object() if scope is None else scope)
        object.__setattr__(self, "_name", node.name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a node is immutable: {name!r} cannot be set")

    def __repr__(self) -> str:
        return f"{self.node!r}.within({', '.join(map(repr, self.quotas))})"


def check_node(value: object, place: str) -> None:
    """Refuse what is no node: code without types may hand in anything.

    Raises:
        PipelineError: It is none.
    """
    if not isinstance(value, Node):
        raise PipelineError(
            f"{place}: {value!r} is no node",
            fix="make it a step first: `@step` above the function, or `Step(function)`",
        )


def check_name(name: object, place: str = "") -> str:
    """Return a node's name, refusing the characters that addresses are made with.

    Raises:
        PipelineError: It is no name.
    """
    if not isinstance(name, str):
        raise PipelineError(f"{place}name={name!r} is no text", fix="pass a text, or leave it out")
    bad = sorted(_RESERVED.intersection(name))
    if bad:
        raise PipelineError(
            f"the name {name!r} holds {', '.join(map(repr, bad))}, which addresses are made with",
            fix="use letters, digits, '_', '-', '.' and spaces",
        )
    return name


def parts_of(node: Node[Any, Any]) -> tuple[Node[Any, Any], ...]:
    """Return the nodes that a node is when it is joined with others: a pipeline is taken apart."""
    match node:
        case Pipeline():
            return node.nodes
        case Within():
            return tuple(Within(part, *node.quotas, scope=node.scope) for part in parts_of(node.node))
        case _:
            return (node,)


def bare(node: Node[Any, Any]) -> Node[Any, Any]:
    """Return a node without the quotas around it."""
    while isinstance(node, Within):
        node = node.node
    return node


def labeled_nodes(kind: str, nodes: Mapping[str, Node[Any, Any]]) -> Mapping[str, Node[Any, Any]]:
    """Return labeled nodes as they are kept, refusing labels and values that cannot be."""
    for label, node in nodes.items():
        check_name(label)
        check_node(node, f"{kind}, {label}")
    return MappingProxyType(dict(nodes))


def output_of(name: str, key: str, value: object) -> Output[Any]:
    """Return the reference that stands in a step's ``inputs``.

    Raises:
        PipelineError: It is none.
    """
    if isinstance(value, Output):
        return cast("Output[Any]", value)
    if isinstance(value, Node):
        return cast("Node[Any, Any]", value).output
    raise PipelineError(
        f"step {name!r}: inputs[{key!r}] is {value!r}", fix="pass an earlier node's `.output`"
    )


def step_name(agent: object, name: object) -> str:
    """Return the name of a step, given or its agent's.

    Raises:
        PipelineError: The agent cannot be one, or the name cannot be a name.
    """
    if isinstance(agent, Node) or not (callable(agent) or callable(getattr(agent, "run", None))):
        raise PipelineError(
            f"{agent!r} cannot be a step's agent", fix="pass a function, or an object with `run(input, …)`"
        )
    if check_name(name, "Step, "):
        return str(name)
    found = getattr(agent, "__name__", "") or type(agent).__name__
    return "lambda" if found == "<lambda>" else check_name(found)


def limits_of(name: str, settings: Mapping[str, object]) -> Mapping[str, object]:
    """Return what a step may spend, and what it may change of its pipeline, as it is kept.

    Raises:
        PipelineError: They are no quotas, the bound is no usage, or the permission is none.
    """
    limits: dict[str, object] = {"quotas": (), "bound": None, "may_mutate": None}
    quota, bound, permission = settings.get("quota"), settings.get("bound"), settings.get("may_mutate")
    if quota is not None or bound is not None:
        from flujo.pipeline.quota import checked_bound, checked_quotas

        limits["quotas"] = checked_quotas(quota, f"step {name!r}, quota")
        limits["bound"] = checked_bound(bound, f"step {name!r}, bound")
    if permission is not None:
        from flujo.pipeline.mutation import checked_permission

        cached = bool(settings.get("cache"))
        limits["may_mutate"] = checked_permission(permission, f"step {name!r}, may_mutate", cached=cached)
    return limits
