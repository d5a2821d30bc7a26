"""What a step may know and do while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, final, overload

from flujo.errors import PipelineError

if TYPE_CHECKING:
    from flujo.pipeline.effect import Effect, Question
    from flujo.pipeline.policy import Principal
    from flujo.pipeline.waits import Decision

P = ParamSpec("P")
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True, repr=False)
class Usage:
    """What work cost; usages add up exactly.

    Attributes:
        requests: Requests to models.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        cost: Money, in US dollars.
        tool_calls: Calls of tools.
        steps: Attempts of steps; counted by the engine, and only where a quota limits them.
        microseconds: Working time; likewise.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    tool_calls: int = 0
    steps: int = 0
    microseconds: int = 0

    def __add__(self, other: Usage) -> Usage:
        if self is NO_USAGE:
            return other
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
            self.tool_calls + other.tool_calls,
            self.steps + other.steps,
            self.microseconds + other.microseconds,
        )

    def __sub__(self, other: Usage) -> Usage:
        less = Usage(-other.requests, -other.input_tokens, -other.output_tokens, -other.cost)
        more = Usage(tool_calls=-other.tool_calls, steps=-other.steps, microseconds=-other.microseconds)
        return self + less + more

    def __bool__(self) -> bool:
        return self != NO_USAGE

    def __repr__(self) -> str:
        tokens = f"input_tokens={self.input_tokens}, output_tokens={self.output_tokens}"
        shown = f"requests={self.requests}, {tokens}, cost={self.cost!r}"
        more = {"tool_calls": self.tool_calls, "steps": self.steps, "microseconds": self.microseconds}
        return f"Usage({', '.join([shown, *(f'{name}={count}' for name, count in more.items() if count)])})"


NO_USAGE = Usage()
FINEST = 12
"""How many decimal places of a dollar are counted."""

NO_FACTS: Mapping[str, Any] = MappingProxyType({})


class Performer(Protocol):
    """Performs for a step in progress what it asks of its :class:`StepInfo`."""

    async def do(
        self, info: StepInfo, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """See :meth:`StepInfo.do`."""
        ...

    async def perform(self, info: StepInfo, effect: Effect) -> Any:
        """See :meth:`StepInfo.perform`."""
        ...

    async def ask(self, info: StepInfo, prompt: str, schema: Any, subject: Any) -> Any:
        """See :meth:`StepInfo.ask`."""
        ...

    async def decide(self, info: StepInfo, question: Question) -> Decision:
        """See :meth:`StepInfo.decide`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """See :meth:`StepInfo.sleep`."""
        ...

    def limits(self, info: StepInfo) -> frozenset[str]:
        """See :attr:`StepInfo.limits`."""
        ...

    def reserve(self, info: StepInfo, bound: Usage) -> AbstractAsyncContextManager[Spending]:
        """See :meth:`StepInfo.reserve`."""
        ...

    @property
    def principal(self) -> Principal:
        """See :attr:`StepInfo.principal`."""
        ...

    @property
    def watched(self) -> bool:
        """See :attr:`StepInfo.watched`."""
        ...

    @property
    def judged_whole(self) -> bool:
        """See :attr:`StepInfo.judged_whole`."""
        ...

    async def emit(self, info: StepInfo, chunk: object) -> None:
        """See :meth:`StepInfo.emit`."""
        ...

    async def emit_tool_call(self, info: StepInfo, tool: str, arguments: Mapping[str, Any]) -> None:
        """See :meth:`StepInfo.emit_tool_call`."""
        ...


@final
class Spending:
    """Part of a step's work for which its upper bound was reserved.

    Attributes:
        bound: What was reserved.
        info: The step's info for this part: what is reported to it is reported by this part.
        known: Whether it has cost what it reported; set to False, it has cost its bound, for nobody knows.
    """

    __slots__ = ("bound", "info", "known")

    def __init__(self, info: StepInfo, bound: Usage) -> None:
        self.bound = bound
        self.info = info.inside(info.address)
        self.known = True

    @property
    def usage(self) -> Usage:
        """What the part has reported so far."""
        return self.info.usage

    def report(self, usage: Usage) -> None:
        """Add to what this part, and with it the step, used; see :meth:`StepInfo.report`."""
        self.info.report(usage)


@final
class StepInfo:
    """One attempt of a step, handed to an agent that asks for it by annotation.

    Attributes:
        run_id: The run.
        address: Where in the run the step stands.
        attempt: Which attempt this is, from 1.
        feedback: What validators said of the rejected attempts before this one.
        usage: What this attempt has reported so far.
        parameters: What an earlier step asked to be set for this one, by :class:`flujo.Reconfigure`.
    """

    __slots__ = (
        "_above", "_performer", "address", "attempt", "counts", "feedback", "parameters", "run_id", "usage",
    )  # fmt: skip

    def __init__(
        self,
        run_id: str,
        address: str,
        attempt: int,
        feedback: tuple[str, ...],
        performer: Performer,
        above: StepInfo | None = None,
    ) -> None:
        self.run_id = run_id
        self.address = address
        self.attempt = attempt
        self.feedback = feedback
        self.usage = NO_USAGE
        self.counts: dict[str, int] = {}
        self.parameters: Mapping[str, Any] = NO_FACTS if above is None else above.parameters
        self._performer = performer
        self._above = above

    def inside(self, address: str) -> StepInfo:
        """Return the info of a part of this attempt at an address of its own."""
        return StepInfo(self.run_id, address, self.attempt, self.feedback, self._performer, self)

    @property
    def limits(self) -> frozenset[str]:
        """What quotas limit here (``usd``, ``requests``, …): what uses it must :meth:`reserve` it first."""
        return self._performer.limits(self)

    @property
    def principal(self) -> Principal:
        """On whose behalf the run goes; one without an id where nobody was named."""
        return self._performer.principal

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every resume of this step in this run."""
        return f"{self.run_id}:{self.address}"

    def report(self, usage: Usage) -> None:
        """Add to what this step used; it is recorded with the step, also when the attempt fails.

        Raises:
            PipelineError: Its cost is no Decimal or finer than a trillionth of a dollar, so that costs would
                not add up exactly; or something is negative.
        """
        cost = cast("object", usage.cost)
        if not isinstance(cost, Decimal):
            raise PipelineError(f"Usage(cost={cost!r}) is no Decimal", fix=f'pass Decimal("{cost}")')
        exponent = cost.as_tuple().exponent if cost else 0  # no number, where there is no sum
        if not isinstance(exponent, int) or (exponent < -FINEST and cost != round(cost, FINEST)):
            raise PipelineError(
                f"Usage(cost=Decimal({str(cost)!r})) is finer than a trillionth of a dollar, or no sum",
                fix=f"round it up to {FINEST} decimal places",
            )
        if min(cost, usage.requests, usage.input_tokens, usage.output_tokens, usage.tool_calls) < 0:
            raise PipelineError(f"{usage!r} is negative", fix="report what was used, and nothing back")
        place: StepInfo | None = self
        while place is not None:
            place.usage = place.usage + usage
            place = place._above

    def reserve(self, bound: Usage) -> AbstractAsyncContextManager[Spending]:
        """Reserve the upper bound of a part of the step's work, on every quota that holds here.

        ``async with info.reserve(Usage(requests=1, …)) as spending:`` sets the bound aside before the block
        begins; what the step declares as its ``bound``, and what earlier parts did not need, is drawn on
        first. Inside, ``spending.report(…)`` says what it cost. A block that raises has cost what it
        reported; one that is cancelled has cost its bound, for nobody knows. Where no quota holds, nothing
        is checked.

        Raises:
            QuotaExceeded: There is not so much left: raised before the block begins.
        """
        return self._performer.reserve(self, bound)

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

    async def perform(self, effect: Effect) -> Any:
        """Do work as a recorded effect, for adapters of agents; steps use :meth:`do`.

        What it used is recorded with it, and reported again where the attempt that did it was lost.

        Raises:
            EffectDiverged: Other work was recorded here.
            RecordError: The result cannot be recorded.
        """
        return await self._performer.perform(self, effect)

    async def decide(self, question: Question) -> Decision:
        """Have a person decide about a part of this attempt, and go on here with the decision.

        For adapters of agents; steps use :meth:`ask`. Like there, the run pauses until it is answered, and
        the step runs again from its start. An edit that does not fit is asked about again.
        """
        return await self._performer.decide(self, question)

    async def sleep(self, seconds: float) -> None:
        """Wait by the run's clock."""
        await self._performer.sleep(seconds)

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

    @property
    def watched(self) -> bool:
        """Whether somebody streams the run and sees what is emitted; nobody where a policy judges outputs."""
        return self._performer.watched

    @property
    def judged_whole(self) -> bool:
        """Whether a policy judges outputs: then nothing of one goes on before the whole was judged."""
        return self._performer.judged_whole

    async def emit(self, chunk: object) -> None:
        """Show a part of the output, such as a token, to whoever streams the run; nothing is recorded.

        It waits while the one who streams is behind; where nobody does, nothing is done.
        """
        await self._performer.emit(self, chunk)

    async def emit_tool_call(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Show to whoever streams the run that a tool is called; otherwise as :meth:`emit`."""
        await self._performer.emit_tool_call(self, tool, arguments)
