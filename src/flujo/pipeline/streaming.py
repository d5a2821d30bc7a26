"""Streaming steps: they take chunks as they come, and give chunks as they are made."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Protocol,
    TypedDict,
    TypeVar,
    cast,
    final,
    overload,
    runtime_checkable,
)

from typing_extensions import Unpack

from flujo.errors import PipelineError
from flujo.pipeline.checks import Kind, check_count, check_function
from flujo.pipeline.node import Chunked, In, Out, Output, check_name
from flujo.pipeline.step import ResourceHints, Step, StepSettings

if TYPE_CHECKING:
    from flujo.pipeline.info import Usage
    from flujo.pipeline.labels import Declassify
    from flujo.pipeline.policy import GovernancePolicy
    from flujo.pipeline.quota import Quota

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)

_REFUSED: Mapping[str, str] = {
    "retry": "chunks that went on cannot be taken back: retry inside the function, before it yields",
    "fallback": "chunks that went on cannot be taken back: fall back inside the function, before it yields",
    "validators": "chunks that went on cannot be taken back: judge the final value in a step after it",
    "cache": "what streams is not remembered: cache the step before or after it",
    "effects": "a streaming step may begin anew after a crash: have the effect recorded by `info.do`",
    "may_mutate": "what streams has one final value: change the pipeline in a step before or after it",
    "on_denied": "chunks that went on cannot be taken back: put the whole stream into a step's `fallback`",
    "undo": "undo belongs to what has an effect: have that in a step of its own",
}


@runtime_checkable
class StreamingAgentProtocol(Protocol[A_contra, B_co]):
    """Anything with ``stream(chunks, …)``: the work of a streaming step.

    ``stream`` is given an ``AsyncIterator`` of chunks and gives one; it may ask for more by annotation, as
    the agent of a :class:`Step`.
    """

    @property
    def stream(self) -> Callable[Concatenate[AsyncIterator[A_contra], ...], AsyncIterator[B_co]]:
        """Give chunks for the chunks that come."""
        ...


@final
class Fold(Generic[A_contra, T_co], metaclass=Kind):
    """How chunks become one value, one by one, so that no more than that value is held.

    Args:
        start: What is there before the first chunk: a function that makes it (``Counter``, ``list``), or a
            value that nobody changes (``0``).
        add: Takes what is there and a chunk, and returns what is there with it.

    Raises:
        PipelineError: ``add`` is no plain function.
    """

    __slots__ = ("add", "start")

    start: object
    add: Callable[[Any, Any], Any]

    @overload
    def __init__(self: Fold[B, T], start: Callable[[], T], add: Callable[[T, B], T]) -> None: ...
    @overload
    def __init__(self: Fold[B, T], start: T, add: Callable[[T, B], T]) -> None: ...
    def __init__(self, start: object, add: Callable[[Any, Any], Any]) -> None:
        check_function(add, "Fold, add")
        if inspect.iscoroutinefunction(add):
            raise PipelineError(
                "Fold, add: it is async", fix="pass a plain function: it is called for each chunk"
            )
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "add", add)

    def begin(self) -> object:
        """Return what is there before the first chunk."""
        return self.start() if callable(self.start) else self.start

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a fold is immutable: {name!r} cannot be set")


class StreamingSettings(TypedDict, total=False):
    """The settings of a streaming step, but for ``collect``: see :class:`StreamingStep`."""

    name: str
    items: bool
    buffer: int
    timeout: float | timedelta | None
    inputs: Mapping[str, Output[Any]]
    resources: ResourceHints | None
    quota: Quota | Sequence[Quota] | None
    bound: Usage | None
    policies: Sequence[GovernancePolicy]
    labels: Iterable[str]
    cleared_for: Iterable[str] | None
    declassifies: Declassify | None


Streamer = Callable[Concatenate[AsyncIterator[A], ...], AsyncIterator[B]] | StreamingAgentProtocol[A, B]
"""What takes chunks and gives chunks."""
Source = Callable[Concatenate[A, ...], AsyncIterator[B]]
"""What takes one value and gives chunks."""


@final
class StreamingStep(Chunked[In, Out]):
    """A step that takes chunks as they come and gives chunks as they are made.

    The agent is an async generator function, or an object with ``stream(chunks, …)``
    (:class:`StreamingAgentProtocol`). Its first parameter takes an ``AsyncIterator`` of chunks; others ask,
    by annotation, for what the agent of a :class:`Step` may ask for. A function whose first parameter is
    annotated otherwise takes the whole value, and gives chunks for it.

    Streaming steps next to each other run at the same time: each chunk goes on as it is made, and who is
    slow holds back who is fast. The first of them is fed the output of the node before as one chunk. What
    comes after the last, and the journal, get its final value, which ``collect`` makes of its chunks.

    Args:
        agent: What does the work.
        collect: How its chunks become its final value: a function of the list of them (``list``), or a
            :class:`Fold`. When left out: text and bytes are joined, of others there is a list; and where its
            chunks go on to another streaming step, nothing is kept: its value is None.
        name: Its name in addresses; the function's or the class's when left out.
        items: Whether the input is fed item by item, rather than as one chunk.
        buffer: How many chunks may wait for the next streaming step.
        timeout: The time limit of the whole stream, in seconds, waiting for its neighbours included.
        inputs: Parameters by name that take the outputs of earlier nodes.
        resources: Hints for backends.
        quota: What it may spend, or several quotas.
        bound: The most that it spends: reserved before it begins.
        policies: What judges its input, its tools and its final value, after the runner's policies.
        labels: What its final value holds besides what it was given.
        cleared_for: What it may be given; only where it streams neither to nor from another step.
        declassifies: Which labels its final value no longer holds, and why; likewise.

    Raises:
        PipelineError: A setting cannot work, or makes no sense for what streams.
    """

    __slots__ = ("_name", "agent", "buffer", "collect", "items", "step")

    _name: str
    agent: object
    step: Step[Any, Any]
    collect: Callable[..., Any] | Fold[Any, Any] | None
    items: bool
    buffer: int

    @overload
    def __init__(
        self: StreamingStep[A | list[A], T],
        agent: Streamer[A, B],
        *,
        collect: Fold[B, T],
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A | list[A], T],
        agent: Streamer[A, B],
        *,
        collect: Callable[[list[B]], T],
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A | list[A], str],
        agent: Streamer[A, str],
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A | list[A], bytes],
        agent: Streamer[A, bytes],
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A | list[A], list[B]],
        agent: Streamer[A, B],
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A, T],
        agent: Source[A, B],
        *,
        collect: Fold[B, T] | Callable[[list[B]], T],
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A, str], agent: Source[A, str], **settings: Unpack[StreamingSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A, bytes], agent: Source[A, bytes], **settings: Unpack[StreamingSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[A, list[B]], agent: Source[A, B], **settings: Unpack[StreamingSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: StreamingStep[object, Any],
        agent: Callable[[], AsyncIterator[B]],
        *,
        collect: Fold[B, Any] | Callable[[list[B]], Any] | None = None,
        **settings: Unpack[StreamingSettings],
    ) -> None: ...
    def __init__(
        self,
        agent: Callable[..., AsyncIterator[Any]] | StreamingAgentProtocol[Any, Any],
        *,
        collect: Callable[..., Any] | Fold[Any, Any] | None = None,
        **settings: Unpack[StreamingSettings],
    ) -> None:
        function = _function(agent)
        name = settings.get("name", "") or (_own_name(agent) if function is not agent else "")
        _check_settings(settings, name or "streaming")
        shared = {key: value for key, value in settings.items() if key not in ("items", "buffer")}
        step: Step[Any, Any] = Step(function, **cast("StepSettings", {**shared, "name": name}))
        if collect is not None and not isinstance(collect, Fold):
            check_function(collect, f"streaming step {step.name!r}, collect")
        items, buffer = settings.get("items", False), settings.get("buffer", 16)
        if not isinstance(cast("object", items), bool):
            raise PipelineError(f"streaming step {step.name!r}, items={items!r}", fix="pass True or False")
        check_count(buffer, f"streaming step {step.name!r}, buffer")
        self._set(agent, step, collect, items, buffer)

    def _set(self, agent: object, step: Step[Any, Any], collect: Any, items: bool, buffer: int) -> None:
        given = {"_name": step.name, "agent": agent, "step": step}
        given |= {"collect": collect, "items": items, "buffer": buffer}
        for key, value in given.items():
            object.__setattr__(self, key, value)

    def named(self, name: str) -> StreamingStep[In, Out]:
        """Return the same step under another name."""
        copy = cast("StreamingStep[In, Out]", object.__new__(StreamingStep))
        step = self.step.named(check_name(name)) if name else self.step
        copy._set(self.agent, step, self.collect, self.items, self.buffer)
        return copy

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"a step is immutable: {name!r} cannot be set; make another with StreamingStep(…)"
        )

    def __repr__(self) -> str:
        return f"StreamingStep({self.name!r})"


def _function(agent: object) -> Callable[..., Any]:
    """Return what is called of an agent."""
    if inspect.isclass(agent):
        raise PipelineError(f"{agent!r} is a class", fix=f"pass an instance: {agent.__name__}(…)")
    if isinstance(agent, StreamingAgentProtocol):
        return cast("StreamingAgentProtocol[Any, Any]", agent).stream
    return cast("Callable[..., Any]", agent)


def _own_name(agent: object) -> str:
    """Return what an agent that is an object calls itself, or what it is."""
    match agent:
        case object(__name__=str(name)) if name:
            return name
        case _:
            return type(agent).__name__


def _check_settings(settings: Mapping[str, object], name: str) -> None:
    """Refuse what a streaming step cannot have, with the reason; and what is no setting."""
    for key in settings:
        if key in _REFUSED:
            why, _, fix = _REFUSED[key].partition(": ")
            raise PipelineError(f"streaming step {name!r} cannot have {key}=: {why}", fix=fix)
    known = [*StreamingSettings.__annotations__, "collect"]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise PipelineError(
            f"StreamingStep(…) has no setting {', '.join(unknown)}", fix=f"choose from {', '.join(known)}"
        )
