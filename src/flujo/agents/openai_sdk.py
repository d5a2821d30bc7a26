"""Agents of the OpenAI Agents SDK as the agents of steps (the extra ``openai-agents``)."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, cast

from agents.models.interface import Model, ModelProvider
from agents.models.multi_provider import MultiProvider
from agents.tool_context import ToolContext
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from agents import (
    Agent,
    AgentOutputSchema,
    AgentOutputSchemaBase,
    FunctionTool,
    ModelResponse,
    RunConfig,
    Runner,
)
from flujo.agents.calls import at_work, call_with, schema_of
from flujo.agents.digests import digest
from flujo.agents.place import Place, denied
from flujo.engine.prices import price
from flujo.errors import ConfigError, PipelineError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import Effect, Judged, Question, StepInfo, Usage
from flujo.pipeline.tools import FlujoTool, ToolError

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
        at_work.set(Place(info, context))
        result = await Runner.run(recorded, told, context=context, run_config=config)
        for said in info.feedback:
            more: list[Any] = [*result.to_input_list(), {"role": "user", "content": said}]
            result = await Runner.run(recorded, more, context=context, run_config=config)
        return result.final_output


def function_tool_of(tool: FlujoTool) -> FunctionTool:
    """Return a tool as agents of the SDK take it.

    Raises:
        PipelineError: Nothing tells a model what to give it.
    """

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        try:
            return await call_with(tool, from_json(arguments or "{}"), at_work.get())
        except ToolError as error:
            return str(error)

    async def asks(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        return tool.asks(arguments)

    return FunctionTool(
        tool.name, tool.description, schema_of(tool), invoke, strict_json_schema=False, needs_approval=asks
    )


class _Recorded(Model):
    """A model whose requests are effects of a run."""

    def __init__(self, model: Model, name: str, info: StepInfo) -> None:
        self._model = model
        self._name = name
        self._info = info

    async def get_response(
        self, system_instructions: Any, input: Any, *rest: Any, **more: Any
    ) -> ModelResponse:
        """Send a request, or return what it gave when it was sent."""
        name = self._name

        def describe(keep: Callable[[bytes], str]) -> Mapping[str, Any]:
            return {"call": name, "arguments": {"messages": digest([system_instructions, input])}}

        async def act_on(part: StepInfo, given: Any) -> ModelResponse:
            response = await self._model.get_response(given[0], given[1], *rest, **more)
            part.report(_usage_of(response, name))
            return response

        judged = Judged(
            "",
            lambda: from_json(to_json([system_instructions, input])),
            lambda written: written,
            act_on,
            lambda response: from_json(_dumped(response)),
            lambda _, given: _loaded(given),
            {"model": name},
        )
        whole = [system_instructions, input]
        effect = Effect(
            "model", 0, describe, lambda part: act_on(part, whole), _dumped, _loaded, judged=judged
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
        tools=[_tool(tool, info) if isinstance(tool, FunctionTool) else tool for tool in agent.tools]
    )
    if isinstance(agent.model, Model):
        copy.model = _Recorded(agent.model, type(agent.model).__name__, info)
    copy.handoffs = [_recorded(cast("Agent[Any]", other), info, known) for other in agent.handoffs]
    return copy


def _tool(tool: FunctionTool, info: StepInfo) -> FunctionTool:
    """Return a copy of a tool whose calls are effects of a run."""

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        given: dict[str, Any] = from_json(arguments or "{}")
        number = info.counts[_CALLS] = info.counts.get(_CALLS, 0) + 1
        if await _needs_approval(tool, context, given):
            decision = await info.decide(
                Question(
                    "approval",
                    number,
                    f"the agent wants to call {tool.name!r}",
                    {"tool": tool.name, "arguments": given},
                    tool.params_json_schema,
                    lambda value: "" if isinstance(value, dict) else "the arguments of a call are an object",
                )
            )
            if decision.action == "deny":
                return denied(decision)
            if decision.action == "edit":
                given = decision.value

        def describe(keep: Callable[[bytes], str]) -> Mapping[str, Any]:
            return {"call": tool.name, "arguments": {name: digest(value) for name, value in given.items()}}

        async def act_on(part: StepInfo, arguments: Any) -> Any:
            part.report(Usage(tool_calls=1))
            return await tool.on_invoke_tool(context, to_json(arguments).decode())

        judged = Judged(tool.name, lambda: given, lambda written: written, act_on)
        effect = Effect(
            "tool",
            number,
            describe,
            lambda part: act_on(part, given),
            to_json,
            lambda written: written,
            judged=judged,
        )
        return await info.perform(effect)

    return dataclasses.replace(tool, on_invoke_tool=invoke, needs_approval=False)


_CALLS = "tool"
"""Under which name an attempt counts the calls of tools."""


async def _needs_approval(tool: FunctionTool, context: ToolContext[Any], given: dict[str, Any]) -> bool:
    if isinstance(tool.needs_approval, bool):
        return tool.needs_approval
    return await tool.needs_approval(context, given, context.tool_call_id)


def _given(output: Any) -> Any:
    if isinstance(output, AgentOutputSchema):
        return output.output_type
    return Any if isinstance(output, AgentOutputSchemaBase) else output or str


def _usage_of(response: ModelResponse, model: str) -> Usage:
    spent = response.usage
    used = Usage(spent.requests or 1, spent.input_tokens, spent.output_tokens)
    try:
        return used + Usage(cost=price(model, used))
    except ConfigError:  # no known price
        return used


def _dumped(response: ModelResponse) -> bytes:
    return _responses.dump_json(response, exclude_unset=True)  # what is sent on again tells set from unset


def _loaded(written: Any) -> ModelResponse:
    return _responses.validate_json(to_json(written))
