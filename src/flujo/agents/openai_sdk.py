"""Agents of the OpenAI Agents SDK as the agents of steps (the extra ``openai-agents``)."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from agents.models.interface import Model, ModelProvider, ModelTracing
from agents.models.multi_provider import MultiProvider
from agents.tool_context import ToolContext
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from agents import (
    Agent,
    AgentOutputSchema,
    AgentOutputSchemaBase,
    FunctionTool,
    Handoff,
    ModelResponse,
    ModelSettings,
    RunConfig,
    Runner,
    Tool,
)
from flujo.agents.bounds import upper_bound
from flujo.agents.calls import call_in_run, schema_of, working
from flujo.agents.digests import digest
from flujo.agents.place import Place
from flujo.engine.prices import priced
from flujo.errors import PipelineError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.effect import Effect, Judged
from flujo.pipeline.info import NO_USAGE, StepInfo, Usage
from flujo.pipeline.tools import FlujoTool

_responses: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


def adapt(agent: object) -> OpenAIAgent | None:
    """Return an agent of the SDK as a step calls it; None for what is no agent.

    Raises:
        PipelineError: It has parts whose calls cannot be recorded.
    """
    return OpenAIAgent(cast("Agent[Any]", agent)) if isinstance(agent, Agent) else None


class OpenAIAgent:
    """An agent of the OpenAI Agents SDK as a step calls it: durable turn by turn.

    Its context is the run's. Nothing is traced to the provider. A tool with ``needs_approval`` is asked about
    as Flujo's are.

    Args:
        agent: The agent.

    Raises:
        PipelineError: It has parts whose calls cannot be recorded: MCP servers, or handoffs made by hand.
    """

    def __init__(self, agent: Agent[Any]) -> None:
        for one in _family(agent):
            if one.mcp_servers:
                raise PipelineError(
                    f"the agent {one.name!r} has MCP servers, whose calls nothing would record",
                    fix="give it their tools as functions, or make a flujo.agents.ModelAgent with them",
                )
            if not all(isinstance(other, Agent) for other in one.handoffs):
                raise PipelineError(
                    f"the agent {one.name!r} has a handoff that is no agent: nothing would record it",
                    fix="hand off to the agent itself: handoffs=[other]",
                )
        self.agent = agent
        self.__name__ = agent.name

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Any]]:
        """What a step calls, annotated with what the agent gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Any:
            return await self._hold(input, info, context)

        run.__annotations__["return"] = _given(self.agent.output_type)
        return run

    async def _hold(self, value: Any, info: StepInfo, context: PipelineContext) -> Any:
        config = RunConfig(model_provider=_Provider(info), tracing_disabled=True)
        told = value if isinstance(value, str) else to_json(value, indent=2).decode()
        recorded = _recorded(self.agent, info, {})
        with working(Place(info, context)):
            result = await Runner.run(recorded, told, context=context, run_config=config)
            for said in info.feedback:
                more: list[Any] = [*result.to_input_list(), {"role": "user", "content": said}]
                result = await Runner.run(recorded, more, context=context, run_config=config)
            return result.final_output


class OurTool(FunctionTool):
    """A tool of Flujo's for agents of the SDK: its calls are effects already."""


def function_tool_of(tool: FlujoTool) -> FunctionTool:
    """Return a tool as agents of the SDK take it; in a step, its calls are effects.

    Raises:
        PipelineError: Nothing tells a model what to give it.
    """

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        return await call_in_run(tool, from_json(arguments or "{}"))

    return OurTool(tool.name, tool.description, schema_of(tool), invoke, strict_json_schema=False)


class _Recorded(Model):
    """A model whose requests are effects of a run."""

    def __init__(self, model: Model, name: str, info: StepInfo) -> None:
        self._model = model
        self._name = name
        self._info = info

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        **more: Any,
    ) -> ModelResponse:
        """Send a request, or return what it gave when it was sent."""
        name, asked = self._name, [system_instructions, input]
        offered = [*_offered(tools), *_offered(handoffs), _schema(output_schema)]

        def describe(keep: Callable[[bytes], str]) -> Mapping[str, Any]:
            settings = model_settings.to_json_dict()
            told = {"messages": asked, "settings": settings, "tools": offered}
            return {"call": name, "arguments": {what: digest(value) for what, value in told.items()}}

        async def act_on(part: StepInfo, given: Any) -> ModelResponse:
            bound = NO_USAGE
            if limits := part.limits:
                size = len(to_json([given, offered]))  # no token is shorter than a byte
                bound = upper_bound(name, model_settings.max_tokens, size, limits)
            async with part.reserve(bound) as spending:
                response = await self._model.get_response(
                    given[0], given[1], model_settings, tools, output_schema, handoffs, tracing, **more
                )
                spending.report(_usage_of(response, name))
                return response

        judged = Judged(
            "",
            lambda: from_json(to_json(asked)),
            lambda written: written,
            act_on,
            lambda response: from_json(_dumped(response)),
            lambda _, given: _loaded(given),
            {"model": name},
        )
        effect = Effect(
            "model", 0, describe, lambda part: act_on(part, asked), _dumped, _loaded, judged=judged
        )
        return await self._info.perform(effect)

    def stream_response(self, *given: Any, **more: Any) -> AsyncIterator[Any]:
        """Streams are not asked for: the whole response is recorded."""
        raise NotImplementedError


class _Provider(ModelProvider):
    """Gives models by name, recorded."""

    def __init__(self, info: StepInfo) -> None:
        self._info = info
        self._inner = MultiProvider()

    def get_model(self, model_name: str | None) -> Model:
        """Return a model by its name."""
        return _Recorded(self._inner.get_model(model_name), model_name or "default", self._info)


def _family(agent: Agent[Any]) -> list[Agent[Any]]:
    """Return an agent and all that it may hand off to."""
    found: list[Agent[Any]] = []
    left = [agent]
    while left:
        one = left.pop()
        if one not in found:
            found.append(one)
            left += [other for other in one.handoffs if isinstance(other, Agent)]
    return found


def _recorded(agent: Agent[Any], info: StepInfo, known: dict[int, Agent[Any]]) -> Agent[Any]:
    """Return a copy of an agent whose requests and calls are effects of a run."""
    if id(agent) in known:
        return known[id(agent)]
    copy = known[id(agent)] = agent.clone(
        tools=[_tool(tool) if isinstance(tool, FunctionTool) else tool for tool in agent.tools]
    )
    if isinstance(agent.model, Model):
        copy.model = _Recorded(agent.model, type(agent.model).__name__, info)
    copy.handoffs = [_recorded(cast("Agent[Any]", other), info, known) for other in agent.handoffs]
    return copy


def _tool(tool: FunctionTool) -> FunctionTool:
    """Return a copy of a tool whose calls are effects of a run."""
    if isinstance(tool, OurTool):
        return tool

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        given: dict[str, Any] = from_json(arguments or "{}")

        async def call(**told: Any) -> Any:
            return await tool.on_invoke_tool(context, to_json(told).decode())

        asks = await _needs_approval(tool, context, given)
        schema = tool.params_json_schema or {"type": "object"}
        described = FlujoTool(call, tool.name, tool.description, needs_approval=asks, parameters=schema)
        return await call_in_run(described, given)

    return dataclasses.replace(tool, on_invoke_tool=invoke, needs_approval=False)


async def _needs_approval(tool: FunctionTool, context: ToolContext[Any], given: dict[str, Any]) -> bool:
    if isinstance(tool.needs_approval, bool):
        return tool.needs_approval
    return await tool.needs_approval(context, given, context.tool_call_id)


def _offered(tools: Sequence[Tool | Handoff[Any, Any]]) -> list[Any]:
    """Return what is sent of tools and handoffs, as JSON values."""
    offered: list[Any] = []
    for tool in tools:
        match tool:
            case FunctionTool():
                offered.append([tool.name, tool.description, tool.params_json_schema])
            case Handoff():
                offered.append([tool.tool_name, tool.tool_description, tool.input_json_schema])
            case _:  # one of the provider's own
                offered.append([tool.name])
    return offered


def _schema(output: AgentOutputSchemaBase | None) -> Any:
    return None if output is None or output.is_plain_text() else output.json_schema()


def _given(output: Any) -> Any:
    if isinstance(output, AgentOutputSchema):
        return output.output_type
    return Any if isinstance(output, AgentOutputSchemaBase) else output or str


def _usage_of(response: ModelResponse, model: str) -> Usage:
    spent = response.usage
    return priced(model, Usage(spent.requests or 1, spent.input_tokens, spent.output_tokens))


def _dumped(response: ModelResponse) -> bytes:
    return _responses.dump_json(response, exclude_unset=True)  # what is sent on again tells set from unset


def _loaded(written: Any) -> ModelResponse:
    return _responses.validate_json(to_json(written))
