"""Agents of pydantic-ai as the agents of steps."""

from __future__ import annotations

from asyncio import FIRST_COMPLETED, Queue, create_task, wait
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Union, cast, get_origin

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.models import Model
from pydantic_ai.output import NativeOutput, PromptedOutput, TextOutput, ToolOutput
from pydantic_ai.usage import UsageLimits

from flujo.agents.failures import in_our_words
from flujo.agents.place import Place
from flujo.agents.prompts import prompt_of
from flujo.agents.turns import Say, Turns
from flujo.errors import PipelineError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.tools import FlujoTool
from flujo.plan.signature import returned_type

_NO_TOOLS: Mapping[str, FlujoTool] = {}


def adapt(agent: object) -> PydanticAgent | None:
    """Return a pydantic-ai agent as a step calls it; None for what is no agent.

    Raises:
        PipelineError: It needs dependencies that a run does not have.
    """
    return PydanticAgent(cast("AbstractAgent[Any, Any]", agent)) if isinstance(agent, AbstractAgent) else None


class PydanticAgent:
    """A pydantic-ai agent as a step calls it: durable turn by turn.

    Its dependencies are the run's context, the step's :class:`StepInfo` or nothing, by its ``deps_type``.

    Args:
        agent: The agent.
        deps: Gives its dependencies, where they are something else.
        tools: What Flujo knows of its tools, by name.
        limits: What one conversation may use at most, as pydantic-ai counts it.

    Raises:
        PipelineError: It needs dependencies, and nothing says where they come from.
    """

    def __init__(
        self,
        agent: AbstractAgent[Any, Any],
        *,
        deps: Callable[[Place], Any] | None = None,
        tools: Mapping[str, FlujoTool] = _NO_TOOLS,
        limits: UsageLimits | None = None,
    ) -> None:
        self.agent = agent
        self.__name__ = agent.name or "agent"
        self._deps = deps or _deps_for(agent)
        self._tools = tools
        self._limits = limits

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Any]]:
        """What a step calls, annotated with what the agent gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Any:
            return await self.converse(input, Place(info, context))

        run.__annotations__["return"] = output_type_of(self.agent.output_type)
        return run

    @property
    def stream(self) -> Callable[[AsyncIterator[Any], StepInfo, PipelineContext], AsyncIterator[str]]:
        """What a streaming step calls: the chunks together are the prompt; it gives words as they come.

        Raises:
            PipelineError: The agent gives something else than a text.
        """
        if output_type_of(self.agent.output_type) is not str:
            raise PipelineError(
                f"the agent {self.__name__!r} gives no text, and cannot stream it",
                fix="put it into a Step, or have it give a text",
            )

        async def stream(
            chunks: AsyncIterator[Any], info: StepInfo, context: PipelineContext
        ) -> AsyncIterator[str]:
            async with aclosing(self.words(chunks, Place(info, context))) as words:
                async for word in words:
                    yield word

        return stream

    async def words(self, chunks: AsyncIterator[Any], place: Place) -> AsyncGenerator[str]:
        """Hold a conversation about what the chunks say together, and yield its words as they come."""
        given = [chunk async for chunk in chunks]
        texts = all(isinstance(chunk, str) for chunk in given)
        words: Queue[str | None] = Queue(maxsize=1)

        async def speak() -> None:
            await self.converse("".join(given) if texts else given, place, words.put)
            await words.put(None)

        speaking = create_task(speak())
        try:
            while True:
                next_word = create_task(words.get())
                await wait([next_word, speaking], return_when=FIRST_COMPLETED)
                if not next_word.done():  # it failed
                    next_word.cancel()
                    break
                word = next_word.result()
                if word is None:
                    break
                yield word
            await speaking
        finally:
            speaking.cancel()
            await wait([speaking])

    async def converse(self, value: Any, place: Place, say: Say | None = None) -> Any:
        """Hold a conversation about a step's input, and return its output.

        What validators of the step rejected goes on in the same conversation, with what they said.
        """
        turns = Turns(place, self._tools, say)
        deps = self._deps(place)
        rest: dict[str, Any] = {
            "deps": deps,
            "capabilities": [turns],
            "usage_limits": self._limits,
            "infer_name": False,
        }
        if isinstance(self.agent.model, Model):  # wrapped once, and not for each request
            rest["model"] = turns.recorded(self.agent.model)
        with in_our_words(self.__name__), turns:
            result = await self.agent.run(prompt_of(value), **rest)
            for said in place.info.feedback:
                result = await self.agent.run(said, message_history=result.all_messages(), **rest)
        return result.output


def _deps_for(agent: AbstractAgent[Any, Any]) -> Callable[[Place], Any]:
    kind = agent.deps_type
    if kind is type(None) or kind is object:
        return lambda place: None
    if issubclass(kind, PipelineContext):
        return lambda place: place.context
    if kind is StepInfo:
        return lambda place: place.info
    if kind is Place:
        return lambda place: place
    raise PipelineError(
        f"the agent {agent.name or 'agent'!r} takes {kind!r}, which a run does not have",
        fix="say where it comes from: Step(PydanticAgent(agent, deps=lambda place: …)), or take the context: "
        "deps_type=PipelineContext",
    )


def output_type_of(spec: Any) -> Any:
    """Return the type of what an agent gives, as its step declares it.

    Args:
        spec: What the agent was declared to give, in pydantic-ai's terms.
    """
    match spec:
        case ToolOutput():
            return output_type_of(cast("ToolOutput[Any]", spec).output)
        case NativeOutput() | PromptedOutput():
            return output_type_of(cast("NativeOutput[Any]", spec).outputs)
        case TextOutput():
            return returned_type(cast("TextOutput[Any]", spec).output_function)
        case list() | tuple():
            found = [output_type_of(one) for one in cast("Sequence[Any]", spec)]
            return cast("Any", Union)[tuple(found)]
        case type():
            return cast("Any", spec)
        case _ if callable(spec) and get_origin(spec) is None:
            return returned_type(spec)
        case _:
            return spec
