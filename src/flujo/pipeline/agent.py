"""What can be the agent of a step: functions, objects with ``run``, and agents of other frameworks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, Concatenate, Protocol, TypeVar

from flujo.errors import ConfigError

A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)

_PLAIN = frozenset({"builtins", "functools", "flujo", "__main__", "typing", "abc"})


class Agent(Protocol[A_contra, B_co]):
    """Anything with ``async def run(input, …)``: the work of a step.

    ``run`` may ask for more by annotation: see :class:`Step`.
    """

    @property
    def run(self) -> Callable[Concatenate[A_contra, ...], Coroutine[Any, Any, B_co]]:
        """Return the output for an input."""
        ...


class BlockingAgent(Protocol[A_contra, B_co]):
    """Anything with ``def run(input, …)``: it runs in a worker thread."""

    @property
    def run(self) -> Callable[Concatenate[A_contra, ...], B_co]:
        """Return the output for an input."""
        ...


class Conversation(Protocol[B_co]):
    """What an agent of pydantic-ai gives when it is called by itself: a step gives its output alone."""

    @property
    def output(self) -> B_co:
        """What the agent gives."""
        ...

    def all_messages(self) -> object:
        """Return what was said."""
        ...


class Invocable(Protocol[A_contra]):
    """A runnable of LangChain, as its adapter takes it."""

    async def ainvoke(self, input: A_contra, config: Any = None, **kwargs: Any) -> Any:
        """Return what it gives for an input."""
        ...


class Instructed(Protocol):
    """An agent of the OpenAI Agents SDK, as its adapter takes it."""

    name: str
    instructions: Any
    handoffs: Any


Foreign = Invocable[Any] | Instructed
Work = Callable[..., object] | Agent[Any, object] | BlockingAgent[Any, object] | Foreign


def adapted(agent: Any) -> Any:
    """Return an agent as a step can call it: itself, or what its package's adapter makes of it.

    An adapter is an entry point of the group ``flujo.agents``, named as the package is imported whose agents
    it adapts: a function of such an agent that returns an object with ``run(input, …)``, or None for what is
    no agent.

    Raises:
        ConfigError: The adapter cannot be loaded.
    """
    if inspect.isroutine(agent) or inspect.isclass(agent):
        return agent
    for kind in type(agent).__mro__[:-1]:
        package = kind.__module__.partition(".")[0]
        if package in _PLAIN:
            continue
        adapter = _adapters().get(package)
        if adapter is None:
            continue
        try:
            made = adapter.load()(agent)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"the adapter {adapter.value!r} for agents of {package!r} cannot be loaded: {error}",
                fix="install what it needs, in a version that has it; for ours: pip install 'flujo[agents]'",
            ) from error
        if made is not None:
            return made
    return agent


@cache
def _adapters() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group="flujo.agents")}
