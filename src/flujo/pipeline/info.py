"""What a step may know and do while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ParamSpec, Protocol, TypeVar, cast, final, overload

from flujo.errors import PipelineError

P = ParamSpec("P")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Usage:
    """What work cost; usages add up exactly.

    Attributes:
        requests: Requests to models.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        cost: Money, in US dollars.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        if self is NO_USAGE:
            return other
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.requests - other.requests,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cost - other.cost,
        )

    def __bool__(self) -> bool:
        return bool(self.requests or self.input_tokens or self.output_tokens or self.cost)


NO_USAGE = Usage()


class Performer(Protocol):
    """Performs for a step in progress what it asks of its :class:`StepInfo`."""

    async def do(
        self, info: StepInfo, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """See :meth:`StepInfo.do`."""
        ...

    async def ask(self, info: StepInfo, prompt: str, schema: Any, subject: Any) -> Any:
        """See :meth:`StepInfo.ask`."""
        ...


@final
class StepInfo:
    """One attempt of a step, handed to an agent that asks for it by annotation.

    Attributes:
        run_id: The run.
        address: Where in the run the step stands.
        attempt: Which attempt this is, from 1.
        feedback: What validators said of the rejected attempts before this one.
        usage: What this attempt has reported so far.
    """

    __slots__ = ("_performer", "address", "attempt", "counts", "feedback", "run_id", "usage")

    def __init__(
        self, run_id: str, address: str, attempt: int, feedback: tuple[str, ...], performer: Performer
    ) -> None:
        self.run_id = run_id
        self.address = address
        self.attempt = attempt
        self.feedback = feedback
        self.usage = Usage()
        self.counts: dict[str, int] = {}
        self._performer = performer

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every resume of this step in this run."""
        return f"{self.run_id}:{self.address}"

    def report(self, usage: Usage) -> None:
        """Add to what this step used; it is recorded with the step, also when the attempt fails.

        Raises:
            PipelineError: Its cost is no Decimal, so that costs would not add up exactly.
        """
        cost = cast("object", usage.cost)
        if not isinstance(cost, Decimal):
            raise PipelineError(f"Usage(cost={cost!r}) is no Decimal", fix=f'pass Decimal("{cost}")')
        self.usage = self.usage + usage

    @overload
    async def do(
        self, name: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def do(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def do(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a function as a recorded effect: once, and answered from the journal ever after.

        A function that is not ``async`` runs in a worker thread. The second effect of one name in a
        step is another effect (``charge#card-2``).

        Args:
            name: The effect's name within the step.
            fn: What to run; its return annotation says how its result is recorded.
            args: Its arguments; a digest of each is recorded, to notice code that asks for something else.
            kwargs: Likewise.

        Returns:
            What the function returned, now or when it ran.

        Raises:
            EffectDiverged: Another call was recorded here.
            RecordError: The result cannot be recorded.
        """
        return await self._performer.do(self, name, fn, *args, **kwargs)

    @overload
    async def ask(self, prompt: str, schema: type[T], *, subject: Any = None) -> T: ...
    @overload
    async def ask(self, prompt: str, *, subject: Any = None) -> str: ...
    async def ask(self, prompt: str, schema: Any = str, *, subject: Any = None) -> Any:
        """Ask a person, and go on here with the answer.

        The run pauses; when it is resumed, the step runs again from its start and this call returns
        the answer. What must not happen twice before it belongs into :meth:`do`.

        Raises:
            RequestDenied: The person denied.
        """
        return await self._performer.ask(self, prompt, schema, subject)
