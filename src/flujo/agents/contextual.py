"""Agents that are made from a run's context just before their step: and made the same when it is resumed."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_ai.models import Model

from flujo.agents.model import ModelAgent
from flujo.agents.role import RoleAgent
from flujo.agents.tools import as_tool
from flujo.errors import PipelineError
from flujo.pipeline.checks import check_function
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.tools import FlujoTool
from flujo.plan.signature import Signature, SignatureProblem, read_signature

Out = TypeVar("Out", covariant=True)
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)
SECRET_SETTINGS = ("extra_headers",)
"""The settings that may hold a key, and are not recorded."""
NO_MODELS: Mapping[str, str | Model] = {}


class AgentChoice(BaseModel):
    """What is to be other about an agent for one step of a run; what is None stays as it is.

    Attributes:
        model: The model: ``provider:model``, or a name that the factory knows.
        system_prompt: What it is told.
        tools: The names of the tools that it may call.
        settings: Model settings, beside those that it has.
        fallbacks: The models that take over, as for ``model``.
        retries: How often an output that does not fit goes back.
        timeout: The time limit of a request, in seconds.
        max_turns: The most requests of a conversation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    system_prompt: str | None = None
    tools: tuple[str, ...] | None = None
    settings: dict[str, JsonValue] | None = None
    fallbacks: tuple[str, ...] | None = None
    retries: int | None = None
    timeout: float | None = None
    max_turns: int | None = None


class ContextualAgentFactory(Generic[Out]):
    """Makes an agent from the run's context, just before its step; a step takes the factory as its agent.

    What was made is recorded as an effect of the step (``draft#agent``): model, prompt, tools and settings in
    full, but for headers, which may hold a key. A run that is resumed makes the same agent again, and asks
    nothing anew.

    Example:
        >>> from flujo import PipelineContext, Step
        >>> from flujo.agents import AgentChoice, ContextualAgentFactory, ModelAgent
        >>> class Desk(PipelineContext):
        ...     risk: str = "low"
        >>> def choose(context: Desk) -> AgentChoice:
        ...     return AgentChoice(model="openai:gpt-5" if context.risk == "high" else None)
        >>> clerk = ModelAgent("openai:gpt-5-mini", "Answer briefly.", name="clerk")
        >>> Step(ContextualAgentFactory(clerk, choose))
        Step('clerk')

    Args:
        agent: What is made where nothing else is chosen.
        choose: Gives what is to be other, from the context; and from the step's input, if it takes one. It
            may be ``async``. What it changes in the context is forgotten.
        models: Models by the names that choices, and a :class:`flujo.Reconfigure`, may use for them.
        tools: Tools that may be chosen beside the agent's own.

    Raises:
        PipelineError: It asks for something that a step does not have, or two tools have one name.
    """

    def __init__(
        self,
        agent: ModelAgent[Out] | RoleAgent[Out],
        choose: Callable[..., AgentChoice | Awaitable[AgentChoice]],
        *,
        models: Mapping[str, str | Model] = NO_MODELS,
        tools: Sequence[FlujoTool | Callable[..., Any]] = (),
    ) -> None:
        check_function(choose, "ContextualAgentFactory, choose")
        if not isinstance(cast("object", agent), ModelAgent | RoleAgent):
            raise PipelineError(
                f"ContextualAgentFactory, agent={agent!r}", fix="pass a ModelAgent, or an agent with a role"
            )
        self.agent = agent
        self._models = dict(models)
        self._signature = _signature_of(choose)
        self._base: ModelAgent[Any] = agent.agent if isinstance(agent, RoleAgent) else agent
        own = cast("Sequence[FlujoTool]", self._base.tools)
        self._tools: dict[str, FlujoTool] = {}
        for tool in (*own, *(as_tool(one) for one in tools)):
            if self._tools.setdefault(tool.name, tool) is not tool:
                raise PipelineError(
                    f"ContextualAgentFactory: two tools are called {tool.name!r}",
                    fix="give one another name: FlujoTool(function, name=…)",
                )

    @property
    def __name__(self) -> str:
        return self._base.name

    @property
    def part_of_plan(self) -> str:
        """What a plan's fingerprint holds of it: that of a role it begins with."""
        return f"contextual {self.agent.part_of_plan if isinstance(self.agent, RoleAgent) else ''}".strip()

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Out]]:
        """What a step calls, annotated with what the choice takes and the agent gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Out:
            async def made() -> AgentChoice:
                return self._whole(await self._chosen(input, info, context))

            agent = self._made(await info.do("agent", made))
            if info.parameters:
                info.parameters = self._meant(info.parameters)
            return await agent.run(input, info, context)

        run.__annotations__["input"] = self._signature.input_type
        run.__annotations__["context"] = self._signature.context_type
        run.__annotations__["return"] = self._base.output_type
        return run

    async def _chosen(self, input: Any, info: StepInfo, context: PipelineContext) -> AgentChoice:
        signature = self._signature
        given = {signature.context: context.model_copy(deep=True), signature.input: input}
        given[signature.info] = info
        chosen = signature.call(**{name: value for name, value in given.items() if name})
        choice = cast("object", await chosen if isawaitable(chosen) else chosen)
        if not isinstance(choice, AgentChoice):
            raise PipelineError(
                f"agent {self._base.name!r}: {choice!r} was chosen", fix="return AgentChoice(model=…, …)"
            )
        return choice

    def _whole(self, choice: AgentChoice) -> AgentChoice:
        """Return a choice that says everything about the agent that can be written.

        Raises:
            PipelineError: It names a tool that there is not, or holds what may be a key.
        """
        base = self._base
        tools = choice.tools
        if tools is None:
            tools = tuple(tool.name for tool in cast("Sequence[FlujoTool]", base.tools))
        for name in tools:
            self._known(name, self._tools, "tool")
        for name in SECRET_SETTINGS:
            if name in (choice.settings or {}):
                raise PipelineError(
                    f"agent {base.name!r}: {name} was chosen: choices are recorded, and it may hold a key",
                    fix="let it stand in the agent's own settings, or in a model of models=",
                )
        model = base.model if isinstance(base.model, str) else None
        fallbacks = tuple(one for one in base.fallbacks if isinstance(one, str))
        own = None if len(fallbacks) < len(base.fallbacks) else fallbacks
        return AgentChoice(
            model=model if choice.model is None else choice.model,
            system_prompt=base.system_prompt if choice.system_prompt is None else choice.system_prompt,
            tools=tools,
            settings={**_written(base.settings), **(choice.settings or {})},
            fallbacks=own if choice.fallbacks is None else choice.fallbacks,
            retries=base.retries if choice.retries is None else choice.retries,
            timeout=base.timeout if choice.timeout is None else choice.timeout,
            max_turns=base.max_turns if choice.max_turns is None else choice.max_turns,
        )

    def _made(self, whole: AgentChoice) -> ModelAgent[Out] | RoleAgent[Out]:
        """Return the agent of a whole choice."""
        changes: dict[str, Any] = {
            "system_prompt": whole.system_prompt,
            "tools": tuple(self._known(name, self._tools, "tool") for name in whole.tools or ()),
            "settings": {**_unwritten(self._base.settings), **(whole.settings or {})},
            "retries": whole.retries,
            "timeout": whole.timeout,
            "max_turns": whole.max_turns,
        }
        if whole.model is not None:
            changes["model"] = self._model(whole.model)
        if whole.fallbacks is not None:
            changes["fallbacks"] = tuple(self._model(one) for one in whole.fallbacks)
        return self.agent.replace(**changes)

    def _meant(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what an earlier step asked to be set, with the models that the names in it stand for."""
        meant = dict(parameters)
        if isinstance(meant.get("model"), str):
            meant["model"] = self._model(meant["model"])
        if isinstance(meant.get("fallbacks"), list | tuple):
            meant["fallbacks"] = tuple(self._model(str(one)) for one in meant["fallbacks"])
        return meant

    def _model(self, name: str) -> str | Model:
        return self._models[name] if name in self._models else _checked(name, self._models)

    def _known(self, name: str, known: Mapping[str, FlujoTool], what: str) -> FlujoTool:
        if name not in known:
            raise PipelineError(f"agent {self._base.name!r} has no {what} {name!r}", fix=_near(name, known))
        return known[name]


def _written(settings: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the settings of an agent that are recorded: not what may hold a key, nor what is no JSON."""
    found: dict[str, JsonValue] = {}
    for name, value in settings.items():
        if name in SECRET_SETTINGS:
            continue
        with suppress(ValidationError):
            found[name] = _JSON.validate_python(value)
    return found


def _unwritten(settings: Mapping[str, Any]) -> dict[str, Any]:
    written = _written(settings)
    return {name: value for name, value in settings.items() if name not in written}


def _signature_of(choose: Callable[..., Any]) -> Signature:
    try:
        signature = read_signature(choose)
    except SignatureProblem as problem:
        raise PipelineError(f"ContextualAgentFactory, choose: {problem}", fix=problem.fix) from None
    if signature.named:
        raise PipelineError(
            "ContextualAgentFactory, choose: it names an earlier output, which only steps can",
            fix="take what it needs from the context or the step's input",
        )
    return signature


def _checked(name: str, known: Iterable[str]) -> str:
    """Return a model's name, refusing what is neither known here nor written as one.

    Raises:
        PipelineError: It is refused.
    """
    if ":" not in name and name != "test":
        raise PipelineError(f"{name!r} names no model", fix=f"write provider:model; {_near(name, known)}")
    return name


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names) or 'none'}"
