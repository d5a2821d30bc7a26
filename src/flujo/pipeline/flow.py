"""Control flow: one of several, again and again, and a pipeline as a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Concatenate, Generic, Literal, TypeVar, final, overload

from flujo.errors import PipelineError
from flujo.pipeline.checks import check_choice, check_count, check_function, check_mapping
from flujo.pipeline.node import In, Node, Out, check_name, check_node, labeled_nodes

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
Key = TypeVar("Key", bound="str | int | bool")

OnExhausted = Literal["fail", "return"]


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
        check_function(on, "Branch, on")
        check_mapping(cases, "Branch, cases", "cases={key: node, …}")
        if not cases:
            raise PipelineError("Branch has no case", fix="pass cases={key: node, …}")
        for key in cases:
            _check_key(key)
        labeled_nodes("Branch", {str(key): node for key, node in cases.items()})
        labels = [case_label(key) for key in cases]
        if default is not None:
            labeled_nodes("Branch", {"default": default})
            labels.append("default")
        if len(set(labels)) < len(labels):
            raise PipelineError(
                f"Branch has cases with one label: {', '.join(labels)}", fix="use keys that differ as text"
            )
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "cases", MappingProxyType(dict(cases)))
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "_name", check_name(name, "Branch, "))


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
        check_count(max_turns, "Loop, max_turns")
        check_choice(on_exhausted, "Loop, on_exhausted", ("fail", "return"))
        check_node(body, "Loop, body")
        check_function(until, "Loop, until")
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "until", until)
        object.__setattr__(self, "max_turns", max_turns)
        object.__setattr__(self, "on_exhausted", on_exhausted)
        object.__setattr__(self, "_name", check_name(name, "Loop, "))


@final
@dataclass(frozen=True, slots=True, init=False)
class SubPipeline(Node[In, Out]):
    """A pipeline as one node of another, at a level of its own in addresses.

    It shares the context of the run.

    Args:
        pipeline: What runs.
        input: Gives the sub-pipeline's input from this node's (and the context, if it asks by annotation);
            the same when left out.
        output: Gives this node's output from the sub-pipeline's, likewise.
        name: Its name in addresses; the pipeline's name, or ``sub``, when left out.
    """

    pipeline: Node[Any, Any]
    input: Callable[..., Any] | None
    result: Callable[..., Any] | None
    _name: str

    @overload
    def __init__(self: SubPipeline[A, B], pipeline: Node[A, B], *, name: str = "") -> None: ...
    @overload
    def __init__(
        self: SubPipeline[C, B],
        pipeline: Node[A, B],
        *,
        input: Callable[Concatenate[C, ...], A | Awaitable[A]],
        name: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: SubPipeline[A, D],
        pipeline: Node[A, B],
        *,
        output: Callable[Concatenate[B, ...], D | Awaitable[D]],
        name: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: SubPipeline[C, D],
        pipeline: Node[A, B],
        *,
        input: Callable[Concatenate[C, ...], A | Awaitable[A]],
        output: Callable[Concatenate[B, ...], D | Awaitable[D]],
        name: str = "",
    ) -> None: ...
    def __init__(
        self,
        pipeline: Node[Any, Any],
        *,
        input: Callable[..., Any] | None = None,
        output: Callable[..., Any] | None = None,
        name: str = "",
    ) -> None:
        check_node(pipeline, "SubPipeline, pipeline")
        if input is not None:
            check_function(input, "SubPipeline, input")
        if output is not None:
            check_function(output, "SubPipeline, output")
        object.__setattr__(self, "pipeline", pipeline)
        object.__setattr__(self, "input", input)
        object.__setattr__(self, "result", output)
        object.__setattr__(self, "_name", check_name(name or pipeline.name, "SubPipeline, "))


def _check_key(key: object) -> None:
    if not isinstance(key, str | int) or key == "":
        raise PipelineError(
            f"Branch, cases: {key!r} cannot be a key",
            fix="use texts that are not empty, whole numbers, bools, or the members of a StrEnum",
        )


def case_label(key: str | int | bool) -> str:
    """Return the text that stands for a branch's key in addresses."""
    return str(key).lower() if isinstance(key, bool) else str(key)
