"""Agents made here: a model, what it is told, what it gives, and its tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, cast, overload

from pydantic_ai import Agent, Tool
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelAPIError
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits
from typing_extensions import Unpack

from flujo.agents.names import check_settings, model_named
from flujo.agents.place import Place
from flujo.agents.pydantic import PydanticAgent
from flujo.agents.requests import REQUESTS, patient
from flujo.agents.tools import as_tool, for_model, named
from flujo.errors import PipelineError, ProviderUnavailable
from flujo.pipeline.checks import is_amount, is_count
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.step import Retry
from flujo.pipeline.tools import FlujoTool

Out = TypeVar("Out", covariant=True)
_FAILED = (ModelAPIError, FallbackExceptionGroup, ProviderUnavailable)
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


_RECONFIGURED = frozenset({"fallbacks", "max_turns", "model", "retries", "system_prompt", "timeout"})
"""What of an agent an earlier step may ask to be otherwise, besides the settings of its model."""


_KINDS: Mapping[str, tuple[Any, str]] = {
    "name": (str, "a text"),
    "system_prompt": (str, "a text"),
    "tools": (Sequence, "a list of tools"),
    "settings": (Mapping, "the settings by name"),
    "fallbacks": (Sequence, "a list of models, or of their names"),
    "requests": (Retry, "Retry(…)"),
}
"""What the settings of an agent are, and how to say so; its model is looked at when it is needed."""


class AgentSettings(TypedDict, total=False):
    """The settings of an agent beyond what it is and gives: see :class:`ModelAgent`."""

    tools: Sequence[FlujoTool | Tool[Any] | Callable[..., Any]]
    retries: int
    timeout: float | None
    settings: Mapping[str, Any]
    fallbacks: Sequence[str | Model]
    requests: Retry
    max_turns: int | None
    name: str


@dataclass(frozen=True)
class ModelAgent(Generic[Out]):
    """An agent: a language model with what it is told, what it gives and what it may call.

    A step takes it as it is: ``Step(agent)``. Its input is told as a text, or as JSON. It is immutable;
    :meth:`replace` returns a changed one.

    Args:
        model: The model's name as ``provider:model``, or a model of pydantic-ai.
        system_prompt: What it is told before the input.
        output_type: What it gives. Anything but a text is asked for as structured output, and what does not
            fit goes back to the model with what is wrong.
        tools: What it may call: :class:`FlujoTool`, functions, or tools of pydantic-ai.
        retries: How often the model may mend an output or a call that does not fit.
        timeout: The time limit of one request, in seconds.
        settings: The model's settings: ``temperature``, ``max_tokens``, ….
        fallbacks: Models that take over when a request has failed for good.
        requests: How often a request is sent that fails in passing, and how long it waits.
        max_turns: The most requests of one conversation.
        name: Its name in addresses.

    Raises:
        PipelineError: A setting cannot work.
        ConfigError: A model or its provider is not known, or its key is missing: when the agent first runs.
    """

    model: str | Model
    system_prompt: str = ""
    output_type: type[Out] | Any = str
    tools: Sequence[FlujoTool | Tool[Any] | Callable[..., Any]] = ()
    retries: int = 2
    timeout: float | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: NO_SETTINGS)
    fallbacks: Sequence[str | Model] = ()
    requests: Retry = REQUESTS
    max_turns: int | None = 50
    name: str = "agent"

    if TYPE_CHECKING:  # what it gives is known from the type that it is told to give

        @overload
        def __init__(
            self: ModelAgent[str],
            model: str | Model,
            system_prompt: str = "",
            **settings: Unpack[AgentSettings],
        ) -> None: ...
        @overload
        def __init__(
            self,
            model: str | Model,
            system_prompt: str = "",
            *,
            output_type: type[Out],
            **settings: Unpack[AgentSettings],
        ) -> None: ...
        @overload
        def __init__(
            self,
            model: str | Model,
            system_prompt: str,
            output_type: type[Out],
            **settings: Unpack[AgentSettings],
        ) -> None: ...
        @overload
        def __init__(
            self: ModelAgent[Any],
            model: str | Model,
            system_prompt: str = "",
            output_type: Any = str,
            **settings: Unpack[AgentSettings],
        ) -> None: ...
        def __init__(
            self, model: Any, system_prompt: str = "", output_type: Any = str, **settings: Any
        ) -> None: ...

    def __post_init__(self) -> None:
        for setting, (kind, wanted) in _KINDS.items():
            value = vars(self)[setting]
            if not isinstance(value, kind) or (kind is Sequence and isinstance(value, str)):
                raise PipelineError(f"agent {self.name!r}, {setting}={value!r}", fix=f"use {wanted}")
        if self.output_type is None or isinstance(self.output_type, bool | int | float | str):
            raise PipelineError(f"agent {self.name!r}, output_type={self.output_type!r}", fix="use a type")
        object.__setattr__(self, "tools", tuple(as_tool(tool) for tool in self.tools))
        object.__setattr__(self, "fallbacks", tuple(self.fallbacks))
        object.__setattr__(self, "settings", MappingProxyType({**self.settings}))
        if self.retries != 0 and not is_count(self.retries):
            raise PipelineError(
                f"agent {self.name!r}, retries={self.retries!r}", fix="use a whole number from 0 up"
            )
        if self.timeout is not None and not (is_amount(self.timeout) and self.timeout):
            raise PipelineError(
                f"agent {self.name!r}, timeout={self.timeout!r}", fix="use a number of seconds above 0"
            )
        if self.max_turns is not None and not is_count(self.max_turns):
            raise PipelineError(
                f"agent {self.name!r}, max_turns={self.max_turns!r}", fix="use a whole number from 1 up"
            )
        check_settings(self.settings, self.name)
        for tool in named(self._tools).values():
            for_model(tool)  # what a model cannot be told is refused here, before anything runs

    @property
    def __name__(self) -> str:
        return self.name

    @property
    def _tools(self) -> tuple[FlujoTool, ...]:
        return cast("tuple[FlujoTool, ...]", self.tools)

    def replace(self, **changes: Any) -> ModelAgent[Any]:
        """Return the same agent with other settings.

        Raises:
            PipelineError: There is no such setting.
        """
        known = [one.name for one in fields(self)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise PipelineError(
                f"an agent has no setting {', '.join(unknown)}", fix=f"choose from {', '.join(known)}"
            )
        return replace(self, **changes)

    def reconfigured(self, parameters: Mapping[str, Any]) -> ModelAgent[Out]:
        """Return the same agent with the parameters that an earlier step asked for it.

        Args:
            parameters: ``model``, ``system_prompt`` and other settings of the agent; what is none of these
                is a setting of its model, as ``temperature``.

        Raises:
            PipelineError: There is no such parameter.
        """
        own = {name: value for name, value in parameters.items() if name in _RECONFIGURED}
        rest = {name: value for name, value in parameters.items() if name not in own}
        unknown = sorted(set(rest) - set(ModelSettings.__annotations__))
        if unknown:
            raise PipelineError(
                f"agent {self.name!r} has no parameter {', '.join(unknown)}",
                fix=f"choose from {', '.join(sorted(_RECONFIGURED))}, or a model's settings: temperature, …",
            )
        return self.replace(**own, settings={**self.settings, **rest})

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Out]]:
        """What a step calls, annotated with what the agent gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Out:
            agent = self.reconfigured(info.parameters) if info.parameters else self
            return await agent._adapted.converse(input, Place(info, context))

        run.__annotations__["return"] = self.output_type
        return run

    @property
    def stream(self) -> Callable[[AsyncIterator[Any], StepInfo, PipelineContext], AsyncIterator[str]]:
        """What a streaming step calls: the chunks together are the prompt; it gives words as they come.

        Raises:
            PipelineError: The agent gives something else than a text.
        """
        if self.output_type is not str:
            raise PipelineError(
                f"the agent {self.name!r} gives no text, and cannot stream it",
                fix="put it into a Step, or leave its output_type out",
            )

        async def stream(
            chunks: AsyncIterator[Any], info: StepInfo, context: PipelineContext
        ) -> AsyncIterator[str]:
            agent = self.reconfigured(info.parameters) if info.parameters else self
            async with aclosing(agent._adapted.words(chunks, Place(info, context))) as words:
                async for word in words:
                    yield word

        return stream

    @cached_property
    def _adapted(self) -> PydanticAgent:
        models = [
            patient(model_named(one, self.name), self.requests) for one in (self.model, *self.fallbacks)
        ]
        settings = cast(
            "ModelSettings", {**({} if self.timeout is None else {"timeout": self.timeout}), **self.settings}
        )
        agent = Agent(
            models[0] if len(models) == 1 else FallbackModel(*models, fallback_on=_FAILED),
            instructions=self.system_prompt or None,
            output_type=self.output_type,
            tools=[for_model(tool) for tool in self._tools],
            retries=self.retries,
            model_settings=settings,
            deps_type=Place,
            name=self.name,
        )
        return PydanticAgent(
            agent, tools=named(self._tools), limits=UsageLimits(request_limit=self.max_turns)
        )
