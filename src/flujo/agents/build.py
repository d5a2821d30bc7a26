"""Making agents: by one call, or link by link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from pydantic_ai.models import Model
from typing_extensions import Unpack

from flujo.agents.model import NO_SETTINGS, AgentSettings, ModelAgent
from flujo.agents.names import model_named
from flujo.errors import PipelineError
from flujo.pipeline.tools import FlujoTool

T = TypeVar("T")
Out = TypeVar("Out", covariant=True)


@overload
async def make_agent_async(
    model: str | Model, system_prompt: str = "", **settings: Unpack[AgentSettings]
) -> ModelAgent[str]: ...
@overload
async def make_agent_async(
    model: str | Model, system_prompt: str = "", *, output_type: type[T], **settings: Unpack[AgentSettings]
) -> ModelAgent[T]: ...
@overload
async def make_agent_async(
    model: str | Model, system_prompt: str, output_type: type[T], **settings: Unpack[AgentSettings]
) -> ModelAgent[T]: ...
@overload
async def make_agent_async(
    model: str | Model, system_prompt: str = "", output_type: Any = str, **settings: Unpack[AgentSettings]
) -> ModelAgent[Any]: ...
async def make_agent_async(
    model: str | Model, system_prompt: str = "", output_type: Any = str, **settings: Unpack[AgentSettings]
) -> ModelAgent[Any]:
    """Make an agent, and check that its models can be used: that they are known, and that there are keys.

    Args:
        model: The model's name as ``provider:model``, or a model of pydantic-ai.
        system_prompt: What it is told before the input.
        output_type: What it gives.
        settings: The other settings of :class:`ModelAgent`.

    Raises:
        PipelineError: A setting cannot work.
        ConfigError: A model cannot be used.
    """
    agent: ModelAgent[Any] = ModelAgent(model).replace(
        system_prompt=system_prompt, output_type=output_type, **settings
    )
    for one in (agent.model, *agent.fallbacks):
        model_named(one, agent.name)
    return agent


class AgentBuilder(Generic[Out]):
    """Makes an agent link by link; each link returns a new builder and leaves the one before as it is.

    Example:
        >>> agent = AgentBuilder().with_model("test").with_prompt("Answer in one word.").build()
    """

    def __init__(self: AgentBuilder[str], **settings: Any) -> None:
        self._settings: Mapping[str, Any] = settings

    def _with(self, **changes: Any) -> AgentBuilder[Any]:
        return AgentBuilder(**{**self._settings, **changes})

    def with_model(self, model: str | Model, *, fallbacks: Sequence[str | Model] = ()) -> AgentBuilder[Out]:
        """Set the model, and those that take over when it fails for good."""
        return self._with(model=model, fallbacks=tuple(fallbacks))

    def with_prompt(self, system_prompt: str) -> AgentBuilder[Out]:
        """Set what it is told before the input."""
        return self._with(system_prompt=system_prompt)

    def with_output(self, output_type: type[T]) -> AgentBuilder[T]:
        """Set what it gives."""
        return self._with(output_type=output_type)

    def with_tools(self, *tools: FlujoTool | Callable[..., Any]) -> AgentBuilder[Out]:
        """Add tools to those that it may call."""
        return self._with(tools=(*self._settings.get("tools", ()), *tools))

    def with_retries(self, retries: int) -> AgentBuilder[Out]:
        """Set how often the model may mend an output or a call that does not fit."""
        return self._with(retries=retries)

    def with_timeout(self, seconds: float) -> AgentBuilder[Out]:
        """Set the time limit of one request, in seconds."""
        return self._with(timeout=seconds)

    def with_settings(self, **settings: Any) -> AgentBuilder[Out]:
        """Add model settings: ``temperature``, ``max_tokens``, …."""
        return self._with(settings={**self._settings.get("settings", NO_SETTINGS), **settings})

    def with_name(self, name: str) -> AgentBuilder[Out]:
        """Set its name in addresses."""
        return self._with(name=name)

    def build(self) -> ModelAgent[Out]:
        """Return the agent.

        Raises:
            PipelineError: A setting cannot work, or there is no model.
        """
        if "model" not in self._settings:
            raise PipelineError(
                "the agent has no model", fix='name one: AgentBuilder().with_model("openai:gpt-5")'
            )
        return ModelAgent(self._settings["model"]).replace(**self._settings)
