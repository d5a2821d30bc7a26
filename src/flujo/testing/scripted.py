"""Scripted agents: what stands in the place of a model in a test."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, NamedTuple, TypeVar, cast, overload

from flujo.engine.clock import Clock, SystemClock
from flujo.pipeline.info import StepInfo

Out = TypeVar("Out")
Moment = tuple[str, str, int, int]
"""One question: the run, the address, the attempt's number, and how often that attempt asked before."""


class After(NamedTuple, Generic[Out]):
    """An answer that takes its time: so many seconds on the agent's clock, then a value or an exception."""

    seconds: float
    answer: Out | Exception


class Call(NamedTuple):
    """One time that a scripted agent was asked.

    Attributes:
        input: What it was given.
        address: Where in the run; empty outside of a run.
        attempt: Which attempt of its step.
        run_id: The run; empty outside of a run.
        feedback: What validators said of the attempts before.
    """

    input: Any
    address: str = ""
    attempt: int = 1
    run_id: str = ""
    feedback: tuple[str, ...] = ()


class ScriptError(AssertionError):
    """An agent was asked more often, or less often, than its script has answers."""


class Order:
    """Which answer of a script is due: the next, or the one that the same question got in an earlier life.

    Attributes:
        next: How many were given.
    """

    def __init__(self) -> None:
        self.next = 0
        self._given: dict[Moment, int] = {}
        self._asking: dict[tuple[str, str, int], tuple[StepInfo, int]] = {}

    def place(self, info: StepInfo | None) -> int:
        """Return the place of the answer, from 0.

        Args:
            info: Where it is asked for; None outside of a run.
        """
        if info is not None:
            attempt = (info.run_id, info.address, info.attempt)
            asking, before = self._asking.get(attempt, (info, 0))
            before = before if asking is info else 0
            self._asking[attempt] = (info, before + 1)
            place = self._given.setdefault((*attempt, before), self.next)
            if place < self.next:
                return place
        self.next += 1
        return self.next - 1

    def check(self, whose: str, what: str, written: int, *last: object) -> None:
        """Check that all was given that is written, and nothing was asked for besides.

        Args:
            whose: Whose script it is.
            what: What it is made of.
            written: How many there are.
            last: What came with the last question; nothing where none was asked.

        Raises:
            ScriptError: It was asked less or more often.
        """
        if self.next != written:
            ended = f"; last with {last[-1]!r}" if last else ""
            raise ScriptError(
                f"a scripted {whose} has {written} {what} and was asked {self.next} times{ended}"
            )


class Scripted(Generic[Out]):
    """An agent that answers from a list, in order, and remembers what it was asked.

    An attempt that runs again, because the process died before it was recorded, is given the same answer
    again, as from a model that is asked the same.

    Example:
        >>> from flujo import Flujo, Step
        >>> from flujo.testing import Scripted
        >>> model = Scripted(ConnectionError("no network"), "Dear Ada")
        >>> Flujo(Step(model, name="draft", retry=2)).run("a letter").output
        'Dear Ada'
        >>> [call.attempt for call in model.calls]
        [1, 2]

    Args:
        answers: What it gives: values; exceptions, which it raises; either with a delay, as :class:`After`.
        gives: The type of its output, for the wiring and the journal; when left out, the class of all values.
        clock: What delays pass on; real time when left out.

    Attributes:
        calls: Every time it was asked, in order.
        run: What a step calls.
    """

    @overload
    def __init__(
        self: Scripted[Any], *answers: Any, gives: None = None, clock: Clock | None = None
    ) -> None: ...
    @overload
    def __init__(
        self, *answers: Out | Exception | After[Out], gives: type[Out], clock: Clock | None = None
    ) -> None: ...
    def __init__(self, *answers: Any, gives: type[Out] | None = None, clock: Clock | None = None) -> None:
        self.calls: list[Call] = []
        self._answers = answers
        self._clock = clock or SystemClock()
        self.rewind()

        async def run(input: Any, info: StepInfo | None = None) -> Out:
            return await self._answer(_call(input, info), self._order.place(info))

        run.__annotations__["return"] = gives or _kind(answers)
        self.run: Callable[..., Coroutine[Any, Any, Out]] = run

    @property
    def inputs(self) -> list[Any]:
        """What it was given, in order."""
        return [call.input for call in self.calls]

    def rewind(self) -> None:
        """Begin the script anew, and forget what was asked."""
        self.calls.clear()
        self._order = Order()

    def check(self) -> None:
        """Check that every answer was asked for, and none besides.

        Raises:
            ScriptError: It was asked less or more often.
        """
        self._order.check("agent", "answers", len(self._answers), *self.inputs[-1:])

    async def _answer(self, call: Call, place: int) -> Out:
        self.calls.append(call)
        if place >= len(self._answers):
            where = f" at {call.address!r}" if call.address else ""
            raise ScriptError(
                f"a scripted agent with {len(self._answers)} answers was asked for one more{where}, "
                f"with {call.input!r}: give it another answer, or find who asks"
            )
        answer: Any = self._answers[place]
        if isinstance(answer, After):
            await self._clock.sleep(answer.seconds)
            answer = _bare(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _call(input: Any, info: StepInfo | None) -> Call:
    if info is None:
        return Call(input)
    return Call(input, info.address, info.attempt, info.run_id, info.feedback)


def _bare(answer: Any) -> Any:
    """Return an answer without its delay."""
    return cast("After[Any]", answer).answer if isinstance(answer, After) else answer


def _kind(answers: tuple[Any, ...]) -> Any:
    """Return the class of all values among the answers; Any where they are of several."""
    plain: list[Any] = [_bare(one) for one in answers]
    kinds: set[type] = {type(one) for one in plain if not isinstance(one, Exception)}
    return kinds.pop() if len(kinds) == 1 else Any
