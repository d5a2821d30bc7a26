"""Side by side: branches on one input, and one node over many items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Literal, TypeVar, final, overload

from flujo.errors import PipelineError
from flujo.pipeline.checks import check_choice, check_count, check_function
from flujo.pipeline.node import In, Node, Out, check_name, check_node, labeled_nodes

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")

OnFailure = Literal["cancel", "collect"]


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
        _check_setting("name", name)
        _check_setting("on_failure", on_failure)
        check_choice(on_failure, "Parallel, on_failure", ("cancel", "collect"))
        of = labeled or {str(index): branch for index, branch in enumerate(branches)}
        if not of:
            raise PipelineError("Parallel has no branch", fix="pass at least one node")
        object.__setattr__(self, "branches", labeled_nodes("Parallel", of))
        object.__setattr__(self, "is_tuple", bool(branches))
        object.__setattr__(self, "on_failure", on_failure)
        object.__setattr__(self, "_name", check_name(name, "Parallel, "))


def _check_setting(label: str, value: object) -> None:
    """Refuse a branch under the name of a setting, which code without types may hand in."""
    if isinstance(value, Node):
        raise PipelineError(
            f"Parallel({label}={value!r}): {label!r} is a setting of Parallel, and not a branch's label",
            fix="give the branch another label; its place in addresses and in the mapping is that label",
        )
    if not isinstance(value, str):
        raise PipelineError(f"Parallel({label}={value!r})", fix="pass a text")


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
        if concurrency is not None:
            check_count(concurrency, "Map, concurrency")
        check_choice(on_failure, "Map, on_failure", ("cancel", "collect"))
        check_node(body, "Map, body")
        if over is not None:
            check_function(over, "Map, over")
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "over", over)
        object.__setattr__(self, "concurrency", concurrency)
        object.__setattr__(self, "on_failure", on_failure)
        object.__setattr__(self, "_name", check_name(name, "Map, "))
