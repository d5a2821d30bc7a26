"""What a run gives back, and what it tells while it is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, Protocol, overload

from typing_extensions import TypeVar

from flujo.errors import FlujoError, RunError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import NO_USAGE, Usage
from flujo.pipeline.waits import Approval

Out = TypeVar("Out", covariant=True)
Context = TypeVar("Context", bound=PipelineContext, covariant=True, default=PipelineContext)

Status = Literal["completed", "failed", "paused", "cancelled", "stopped"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """One execution of a step.

    Attributes:
        name: The step's name.
        address: Where in the run.
        output: What it gave.
        attempts: How many attempts it took.
        duration: Seconds from its first attempt in this process to its output.
        usage: What it reported, over all attempts.
        reused: Whether the output came from the journal: nothing ran.
        cached: Whether it came from the cache.
    """

    name: str
    address: str
    output: Any
    attempts: int = 1
    duration: float = 0.0
    usage: Usage = NO_USAGE
    reused: bool = False
    cached: bool = False


class Unread(NamedTuple):
    """A step that the journal knew when the run went on, until somebody looks at what it gave.

    Attributes:
        name: The step's name.
        address: Where in the run.
        body: The body of its event.
        read: Makes its result of the address and the body.
    """

    name: str
    address: str
    body: bytes
    read: Callable[[str, bytes], StepResult]


class StepHistory(Sequence[StepResult]):
    """The steps of a run in the order they ended, by place or by address or name.

    A name that several executions bear gives the last of them. Steps inside a composite that was
    recorded as a whole before the run was resumed are not listed: the journal holds them.
    """

    def __init__(self, steps: Sequence[StepResult | Unread]) -> None:
        self._steps = list(steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[StepResult]:
        return map(self._at, range(len(self._steps)))

    @overload
    def __getitem__(self, index: int | str) -> StepResult: ...
    @overload
    def __getitem__(self, index: slice) -> StepHistory: ...
    def __getitem__(self, index: int | str | slice) -> StepResult | StepHistory:
        if isinstance(index, slice):
            return StepHistory(self._steps[index])
        if isinstance(index, int):
            return self._at(index)
        for place in reversed(range(len(self._steps))):
            step = self._steps[place]
            if step.address == index or step.name == index:
                return self._at(place)
        raise KeyError(index)

    def __repr__(self) -> str:
        return f"StepHistory({[step.address for step in self._steps]})"

    def _at(self, place: int) -> StepResult:
        step = self._steps[place]
        if isinstance(step, Unread):
            step = self._steps[place] = step.read(step.address, step.body)
        return step


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change that a step made to its pipeline while it ran; it holds for that execution of its row.

    Attributes:
        address: The step.
        operations: What it asked for, in order, as JSON: ``operation``, ``node``, ``target``, ….
        row: The labels of the nodes of its row from then on.
        added: The references of the nodes that came in, by label.
    """

    address: str
    operations: tuple[Mapping[str, Any], ...]
    row: tuple[str, ...]
    added: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PipelineResult(Generic[Out, Context]):
    """How a run ended, or where it waits.

    Attributes:
        run_id: The run's name.
        status: ``completed``, ``failed``, ``paused``, ``cancelled`` or ``stopped``.
        output: What the pipeline gave; None unless completed.
        steps: The steps that ended.
        context: The run's context as it stands, of the runner's ``context_model``.
        usage: What all its steps used.
        pending: What it waits for, while paused.
        error: Why it failed or was cancelled.
        reason: The reason a stop or a cancellation was given.
        wakes_at: While paused, when it goes on by itself in the hands of a worker.
        mutations: What its steps changed of the pipeline, in the order the run came by it.
    """

    run_id: str
    status: Status
    output: Out | None
    steps: StepHistory
    context: Context
    usage: Usage = NO_USAGE
    pending: tuple[Approval, ...] = ()
    error: FlujoError | None = None
    reason: str = ""
    wakes_at: datetime | None = None
    mutations: tuple[Mutation, ...] = ()
    _live: object = field(default=None, repr=False, compare=False)

    @property
    def success(self) -> bool:
        """Whether the run completed."""
        return self.status == "completed"

    def unwrap(self) -> Out:
        """Return the output, or raise what kept the run from giving one.

        Raises:
            FlujoError: The run's error; or RunError when it is paused or was stopped.
        """
        if self.error is not None:
            raise self.error
        if self.status != "completed":
            raise RunError(
                f"run {self.run_id} is {self.status} and has no output"
                + (f": {self.reason}" if self.reason else ""),
                fix="answer what it waits for and resume it" if self.status == "paused" else "",
            )
        return self.output  # pyright: ignore[reportReturnType]  # a completed run has its output


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins, or goes on after a pause or a crash."""

    run_id: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins its first attempt."""

    run_id: str
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class StepRetrying:
    """An attempt failed, and another follows after ``wait`` seconds."""

    run_id: str
    address: str
    attempt: int
    error: str
    wait: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """A streaming step gave a chunk, or a step emitted one; it is told again where a crash repeats it."""

    run_id: str
    address: str
    value: Any


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A step calls a tool."""

    run_id: str
    address: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """A step ended; in a durable run its result is committed."""

    run_id: str
    result: StepResult


@dataclass(frozen=True, slots=True)
class StepGaveUp:
    """A step failed for good."""

    run_id: str
    address: str
    error: FlujoError


@dataclass(frozen=True, slots=True)
class Paused:
    """The run waits."""

    run_id: str
    pending: tuple[Approval, ...]


@dataclass(frozen=True, slots=True)
class Finished(Generic[Out]):
    """The run ended or paused: always the last event."""

    run_id: str
    result: PipelineResult[Out]


RunEvent = (
    RunStarted
    | StepStarted
    | StepRetrying
    | Chunk
    | ToolCalled
    | StepCompleted
    | StepGaveUp
    | Paused
    | Finished[Any]
)


class Observer(Protocol):
    """Takes what happens in a run, for somebody who streams it."""

    def __call__(self, event: RunEvent, /) -> None:
        """Take an event; at once, however much waits to be looked at."""
        ...

    async def room(self) -> None:
        """Return when so little waits to be looked at that more may be made."""
        ...
