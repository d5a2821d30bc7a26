"""Control flow: side by side, over items, one of several, again and again, and a pipeline as a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Concatenate, Generic, Literal, TypeVar, final, overload

from flujo.errors import PipelineError
from flujo.pipeline.node import In, Node, Out, check_name, check_node

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
Key = TypeVar("Key", bound="str | int | bool")

OnFailure = Literal["cancel", "collect"]
OnExhausted = Literal["fail", "return"]


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed branch or item gives where failures are collected.

    Attributes:
        address: Where it failed.
        error: The name of the exception's type.
        message: What it said.
    """

    address: str
    error: str
    message: str


@final
@dataclass(frozen=True, slots=True, init=False)
class Parallel(Node[In, Out]):
    """Branches that run side by side on one input.

    ``Parallel(a=one, b=two)`` gives a mapping by label, ``Parallel(one, two)`` a tuple. Each branch
    has its own view of the context; what they changed is merged, in declared order, when all are done.

    Args:
        branches: The branches of a tuple; their labels are ``0``, ``1``, ….
        name: Its name in addresses; ``parallel`` when left out.
        on_failure: ``"cancel"`` (a failing branch cancels its siblings and fails the parallel) or
            ``"collect"`` (its place is taken by a :class:`Failure`).
        labeled: The branches of a mapping, by label.

    Raises:
        PipelineError: There is no branch, or both forms are mixed.
    """

    branches: Mapping[str, Node[Any, Any]]
    is_tuple: bool
    on_failure: OnFailure
    _name: str

    @overload
    def __init__(
        self: Parallel[A, tuple[B]],
        one: Node[A, B],
        /,
        *,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, tuple[B, C]],
        one: Node[A, B],
        two: Node[A, C],
        /,
        *,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, tuple[B, C, D]],
        one: Node[A, B],
        two: Node[A, C],
        three: Node[A, D],
        /,
        *,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, tuple[B, C, D, E]],
        one: Node[A, B],
        two: Node[A, C],
        three: Node[A, D],
        four: Node[A, E],
        /,
        *,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, tuple[B, ...]],
        *branches: Node[A, B],
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, tuple[B | Failure, ...]],
        *branches: Node[A, B],
        name: str = "",
        on_failure: Literal["collect"],
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, dict[str, B]],
        *,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
        **labeled: Node[A, B],
    ) -> None: ...
    @overload
    def __init__(
        self: Parallel[A, dict[str, B | Failure]],
        *,
        name: str = "",
        on_failure: Literal["collect"],
        **labeled: Node[A, B],
    ) -> None: ...
    def __init__(
        self,
        *branches: Node[Any, Any],
        name: str = "",
        on_failure: OnFailure = "cancel",
        **labeled: Node[Any, Any],
    ) -> None:
        if branches and labeled:
            raise PipelineError(
                "Parallel mixes branches with and without labels",
                fix="label all (`Parallel(a=…, b=…)`: a mapping) or none (`Parallel(…, …)`: a tuple)",
            )
        if on_failure not in ("cancel", "collect"):
            raise PipelineError(f"Parallel(on_failure={on_failure!r})", fix='use "cancel" or "collect"')
        of = labeled or {str(index): branch for index, branch in enumerate(branches)}
        if not of:
            raise PipelineError("Parallel has no branch", fix="pass at least one node")
        object.__setattr__(self, "branches", _nodes("Parallel", of))
        object.__setattr__(self, "is_tuple", bool(branches))
        object.__setattr__(self, "on_failure", on_failure)
        object.__setattr__(self, "_name", check_name(name))


@final
@dataclass(frozen=True, slots=True, init=False)
class Map(Node[In, Out]):
    """One node over every item of its input, side by side; the outputs keep the items' order.

    The items are recorded before the first one runs, so that a resumed run walks the same ones.

    Args:
        body: What each item goes through.
        over: Gives the items from the input (and the context, if it asks by annotation); the input
            itself when left out.
        concurrency: How many items run at once; all of them when left out.
        name: Its name in addresses; ``map`` when left out.
        on_failure: ``"cancel"`` or ``"collect"``, as for :class:`Parallel`.

    Raises:
        PipelineError: A setting cannot work.
    """

    body: Node[Any, Any]
    over: Callable[..., Any] | None
    concurrency: int | None
    on_failure: OnFailure
    _name: str

    @overload
    def __init__(
        self: Map[Iterable[A], list[B]],
        body: Node[A, B],
        *,
        concurrency: int | None = None,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Map[C, list[B]],
        body: Node[A, B],
        *,
        over: Callable[Concatenate[C, ...], Iterable[A] | Awaitable[Iterable[A]]],
        concurrency: int | None = None,
        name: str = "",
        on_failure: Literal["cancel"] = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Map[Iterable[A], list[B | Failure]],
        body: Node[A, B],
        *,
        concurrency: int | None = None,
        name: str = "",
        on_failure: Literal["collect"],
    ) -> None: ...
    @overload
    def __init__(
        self: Map[C, list[B | Failure]],
        body: Node[A, B],
        *,
        over: Callable[Concatenate[C, ...], Iterable[A] | Awaitable[Iterable[A]]],
        concurrency: int | None = None,
        name: str = "",
        on_failure: Literal["collect"],
    ) -> None: ...
    def __init__(
        self,
        body: Node[Any, Any],
        *,
        over: Callable[..., Any] | None = None,
        concurrency: int | None = None,
        name: str = "",
        on_failure: OnFailure = "cancel",
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise PipelineError(f"Map(concurrency={concurrency})", fix="use at least 1, or leave it out")
        if on_failure not in ("cancel", "collect"):
            raise PipelineError(f"Map(on_failure={on_failure!r})", fix='use "cancel" or "collect"')
        check_node(body, "Map, body")
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "over", over)
        object.__setattr__(self, "concurrency", concurrency)
        object.__setattr__(self, "on_failure", on_failure)
        object.__setattr__(self, "_name", check_name(name))


@final
@dataclass(frozen=True, slots=True, init=False)
class Branch(Node[In, Out], Generic[In, Out]):
    """One of several nodes, chosen by a function of the input; the choice is recorded.

    Args:
        on: Gives the key of the case from the input (and the context, if it asks by annotation).
        cases: The nodes by key.
        default: What runs when no case has the key; without it such a key fails the run.
        name: Its name in addresses; ``branch`` when left out.

    Raises:
        PipelineError: There is no case.
    """

    on: Callable[..., object]
    cases: Mapping[str | int | bool, Node[Any, Any]]
    default: Node[Any, Any] | None
    _name: str

    def __init__(
        self: Branch[A, B],
        *,
        on: Callable[Concatenate[A, ...], Key | Awaitable[Key]],
        cases: Mapping[Key, Node[A, B]],
        default: Node[A, B] | None = None,
        name: str = "",
    ) -> None:
        if not cases:
            raise PipelineError("Branch has no case", fix="pass cases={key: node, …}")
        _nodes("Branch", {str(key): node for key, node in cases.items()})
        labels = [case_label(key) for key in cases]
        if default is not None:
            _nodes("Branch", {"default": default})
            labels.append("default")
        if len(set(labels)) < len(labels):
            raise PipelineError(
                f"Branch has cases with one label: {', '.join(labels)}", fix="use keys that differ as text"
            )
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "cases", MappingProxyType(dict(cases)))
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "_name", check_name(name))


@final
@dataclass(frozen=True, slots=True, init=False)
class Loop(Node[In, Out]):
    """A node that runs again and again on its own output until a condition holds.

    Args:
        body: What each turn runs; it takes what it gives.
        until: Judges a turn's output (and the context, if it asks by annotation); True ends the loop.
            Its verdict is recorded with the turn.
        max_turns: The most turns there may be.
        name: Its name in addresses; ``loop`` when left out.
        on_exhausted: What a last turn that does not satisfy ``until`` means: ``"fail"`` raises
            :class:`flujo.errors.LoopExhausted`; ``"return"`` gives the last output.

    Raises:
        PipelineError: A setting cannot work.
    """

    body: Node[Any, Any]
    until: Callable[..., Any]
    max_turns: int
    on_exhausted: OnExhausted
    _name: str

    def __init__(
        self: Loop[A, A],
        body: Node[A, A],
        *,
        until: Callable[Concatenate[A, ...], bool | Awaitable[bool]],
        max_turns: int,
        name: str = "",
        on_exhausted: OnExhausted = "fail",
    ) -> None:
        if max_turns < 1:
            raise PipelineError(f"Loop(max_turns={max_turns})", fix="use at least 1")
        if on_exhausted not in ("fail", "return"):
            raise PipelineError(f"Loop(on_exhausted={on_exhausted!r})", fix='use "fail" or "return"')
        check_node(body, "Loop, body")
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "until", until)
        object.__setattr__(self, "max_turns", max_turns)
        object.__setattr__(self, "on_exhausted", on_exhausted)
        object.__setattr__(self, "_name", check_name(name))


@final
@dataclass(frozen=True, slots=True, init=False)
class SubPipeline(Node[In, Out]):
    """A pipeline as one node of another, at a level of its own in addresses.

    It shares the context of the run.

    Args:
        pipeline: What runs.
        input: Gives the sub-pipeline's input from this node's; the same when left out.
        output: Gives this node's output from the sub-pipeline's; the same when left out.
        name: Its name in addresses; the pipeline's name, or ``sub``, when left out.
    """

    pipeline: Node[Any, Any]
    input: Callable[[Any], Any] | None
    result: Callable[[Any], Any] | None
    _name: str

    @overload
    def __init__(self: SubPipeline[A, B], pipeline: Node[A, B], *, name: str = "") -> None: ...
    @overload
    def __init__(
        self: SubPipeline[C, B],
        pipeline: Node[A, B],
        *,
        input: Callable[[C], A | Awaitable[A]],
        name: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: SubPipeline[A, D],
        pipeline: Node[A, B],
        *,
        output: Callable[[B], D | Awaitable[D]],
        name: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: SubPipeline[C, D],
        pipeline: Node[A, B],
        *,
        input: Callable[[C], A | Awaitable[A]],
        output: Callable[[B], D | Awaitable[D]],
        name: str = "",
    ) -> None: ...
    def __init__(
        self,
        pipeline: Node[Any, Any],
        *,
        input: Callable[[Any], Any] | None = None,
        output: Callable[[Any], Any] | None = None,
        name: str = "",
    ) -> None:
        check_node(pipeline, "SubPipeline, pipeline")
        object.__setattr__(self, "pipeline", pipeline)
        object.__setattr__(self, "input", input)
        object.__setattr__(self, "result", output)
        object.__setattr__(self, "_name", check_name(name or pipeline.name))


def case_label(key: str | int | bool) -> str:
    """Return the text that stands for a branch's key in addresses."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _nodes(kind: str, nodes: Mapping[str, Node[Any, Any]]) -> Mapping[str, Node[Any, Any]]:
    for label, node in nodes.items():
        check_name(label)
        check_node(node, f"{kind}, {label}")
    return MappingProxyType(dict(nodes))
