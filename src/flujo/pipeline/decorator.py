"""``@step``: a step made of the function below it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Protocol, TypeVar, overload

from typing_extensions import Unpack

from flujo.pipeline.step import Gives, Step, StepSettings

A = TypeVar("A")
B = TypeVar("B")


class StepDecorator(Protocol):
    """What ``step(…)`` with settings returns."""

    @overload
    def __call__(
        self, agent: Callable[Concatenate[A, ...], Coroutine[Any, Any, Gives[B]]], /
    ) -> Step[A, B]: ...
    @overload
    def __call__(self, agent: Callable[Concatenate[A, ...], Gives[B]], /) -> Step[A, B]: ...
    @overload
    def __call__(self, agent: Callable[[], Coroutine[Any, Any, Gives[B]]], /) -> Step[object, B]: ...
    @overload
    def __call__(self, agent: Callable[[], Gives[B]], /) -> Step[object, B]: ...


@overload
def step(agent: Callable[Concatenate[A, ...], Coroutine[Any, Any, Gives[B]]], /) -> Step[A, B]: ...
@overload
def step(agent: Callable[Concatenate[A, ...], Gives[B]], /) -> Step[A, B]: ...
@overload
def step(agent: Callable[[], Coroutine[Any, Any, Gives[B]]], /) -> Step[object, B]: ...
@overload
def step(agent: Callable[[], Gives[B]], /) -> Step[object, B]: ...
@overload
def step(**settings: Unpack[StepSettings]) -> StepDecorator: ...
def step(agent: Callable[..., Any] | None = None, /, **settings: Unpack[StepSettings]) -> Any:
    """Make a step of a function: ``@step``, or ``@step(retry=…, …)`` with the settings of :class:`Step`.

    Example:
        >>> @step
        ... async def double(number: int) -> int:
        ...     return 2 * number
    """
    if agent is not None:
        return Step(agent, **settings)

    def decorate(agent: Callable[..., Any], /) -> Step[Any, Any]:
        return Step(agent, **settings)

    return decorate
