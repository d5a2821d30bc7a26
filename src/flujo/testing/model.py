"""A model that answers from a script, for agents of pydantic-ai: no network, no keys."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic_core import to_json
from typing_extensions import override

from flujo.engine.clock import Clock, SystemClock
from flujo.errors import ConfigError
from flujo.pipeline.part import part
from flujo.testing.scripted import After, Order, ScriptError
from flujo.testing.turns import Malformed, Reply, Status, UseTool, reply_of

try:
    import pydantic_ai.exceptions as errors
    from pydantic_ai import RunContext
    from pydantic_ai.messages import (
        FinishReason,
        ModelMessage,
        ModelRequest,
        ModelResponse,
        ModelResponsePart,
        ModelResponseStreamEvent,
        TextPart,
        ToolCallPart,
    )
    from pydantic_ai.models import ModelRequestParameters, StreamedResponse
    from pydantic_ai.models.function import AgentInfo, FunctionModel
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import ToolDefinition
    from pydantic_ai.usage import RequestUsage

    from flujo.testing.asked import Asked
except ModuleNotFoundError as error:
    raise ConfigError(
        "a scripted model needs the package pydantic-ai, which is not installed",
        fix="pip install 'flujo[agents]'",
    ) from error

_CHUNK = re.compile(r"\S+\s*|\s+")
"""What a text is streamed by, where its script does not say."""

_CATEGORIES = {
    400: "ModelRequestRejectedError",
    401: "ModelAuthenticationError",
    403: "ModelAuthenticationError",
    404: "ModelNotFoundError",
    422: "ModelRequestRejectedError",
    429: "ModelRateLimitError",
    503: "ModelUnavailableError",
    529: "ModelOverloadedError",
}
"""What an error status means, by its name: older versions of pydantic-ai tell fewer of them apart."""


class ScriptedModel(FunctionModel):
    """A model that answers from a list, in order, and remembers what it was asked.

    A request that is sent again, because the process died before its answer was recorded, is given the same
    answer again. Each turn answers one request, streamed or not:

    - a text, or a structured answer (a model, a mapping, a number: given the way that the agent asks for it);
    - a :class:`UseTool`, or a list of them for calls at once;
    - an exception, which it raises, or a :class:`Status`, raised as the client of a provider would;
    - :class:`Malformed`, for text where JSON was asked for; any of them late, as :class:`After`;
    - a :class:`Reply`, for several of these in one answer, chunks, a cut stream, and figures of usage.

    Example:
        >>> import asyncio
        >>> from pydantic_ai import Agent
        >>> from flujo.testing import ScriptedModel, UseTool
        >>> model = ScriptedModel(UseTool("weather", {"city": "Oslo"}), "It rains in Oslo")
        >>> agent = Agent(model)
        >>> @agent.tool_plain
        ... def weather(city: str) -> str:
        ...     return "rain"
        >>> asyncio.run(agent.run("How is the weather?")).output
        'It rains in Oslo'
        >>> [request.said for request in model.asked]
        ['How is the weather?', 'rain']

    Args:
        turns: What it answers, in order.
        clock: What delays pass on; real time when left out.
        name: The name it goes by; that of a real model lets its price be counted.
        provider: The provider it goes by.
        input_tokens: How much each request reports as read, where its :class:`Reply` does not say.
        output_tokens: How much each request reports as written, likewise.

    Attributes:
        asked: Every request, in order.
    """

    def __init__(
        self,
        *turns: Any,
        clock: Clock | None = None,
        name: str = "scripted",
        provider: str = "test",
        input_tokens: int = 10,
        output_tokens: int = 5,
    ) -> None:
        self.asked: list[Asked] = []
        self._order = Order()
        self._turns = turns
        self._clock = clock or SystemClock()
        self._tokens = (input_tokens, output_tokens)
        super().__init__(function=self._answer, model_name=name)
        self._system = provider

    def rewind(self) -> None:
        """Begin the script anew, and forget what was asked."""
        self.asked.clear()
        self._order = Order()

    def check(self) -> None:
        """Check that every turn was asked for, and none besides.

        Raises:
            ScriptError: It was asked less or more often.
        """
        self._order.check("model", "turns", len(self._turns), *(asked.said for asked in self.asked[-1:]))

    @asynccontextmanager
    @override
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        asked = Asked(tuple(messages), _offered(parameters), settings, _instructions(messages), streamed=True)
        reply, number = await self._next(asked)
        pieces = _shaped(reply, number, parameters.output_tools, streamed=True)
        yield _Streamed(parameters, script=self, pieces=pieces, reply=reply, moment=self.moment())

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked = Asked(
            tuple(messages),
            _offered(info.model_request_parameters),
            info.model_settings,
            info.instructions,
        )
        reply, number = await self._next(asked)
        parts: list[ModelResponsePart] = []
        for piece in _shaped(reply, number, info.output_tools, streamed=False):
            match await self.due(piece):
                case str(text) if parts and isinstance(parts[-1], TextPart):
                    parts[-1] = TextPart(parts[-1].content + text)
                case str(text):
                    parts.append(TextPart(text))
                case part:
                    parts.append(part)
        return ModelResponse(
            parts,
            usage=self.usage_of(reply),
            timestamp=self.moment(),
            provider_name=self.system,
            finish_reason=cast("FinishReason | None", reply.finish),
        )

    async def _next(self, asked: Asked) -> tuple[Reply, int]:
        """Return what is due, and the number of the request; whatever comes instead is raised."""
        self.asked.append(asked)
        number = self._order.place(part.get()) + 1
        if number > len(self._turns):
            raise ScriptError(
                f"a scripted model with {len(self._turns)} turns was asked for one more, "
                f"with {asked.said!r}: give it another turn, or find who asks"
            )
        return reply_of(await self.due(self._turns[number - 1])), number

    async def due(self, turn: Any) -> Any:
        """Return a turn or a piece of one when its time has come; an error is raised."""
        if isinstance(turn, After):
            late = cast("After[Any]", turn)
            await self._clock.sleep(late.seconds)
            turn = late.answer
        if isinstance(turn, Status):
            raise _error_of(turn, self.model_name)
        if isinstance(turn, Exception):
            raise turn
        return turn

    def usage_of(self, reply: Reply) -> RequestUsage:
        """Return the figures that are reported of a reply."""
        read, written = self._tokens
        return RequestUsage(
            input_tokens=read if reply.input_tokens is None else reply.input_tokens,
            output_tokens=written if reply.output_tokens is None else reply.output_tokens,
            cache_read_tokens=reply.cached_tokens,
        )

    def moment(self) -> datetime:
        """Return the time on its clock."""
        return datetime.fromtimestamp(self._clock.now() / 1e6, UTC)


@dataclass
class _Streamed(StreamedResponse):
    """An answer on its way, piece by piece; its figures come with its end, as those of providers do."""

    script: ScriptedModel
    pieces: Iterator[Any]
    reply: Reply
    moment: datetime

    @override
    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        calls = 0
        for waiting in self.pieces:
            match await self.script.due(waiting):
                case str(text):
                    for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content=text):
                        yield event
                case ToolCallPart(tool_name=name, args=arguments, tool_call_id=call):
                    calls += 1
                    for event in self._parts_manager.handle_tool_call_delta_events(
                        vendor_part_id=calls,
                        tool_name=name,
                        args=arguments,
                        tool_call_id=call,
                    ):
                        yield event
                case other:
                    raise TypeError(f"{other!r} cannot be streamed")
        self._usage = self.script.usage_of(self.reply)
        self.finish_reason = cast("FinishReason | None", self.reply.finish)

    @override
    async def close_stream(self) -> None:
        """There is nothing open."""

    @property
    @override
    def model_name(self) -> str:
        return self.script.model_name

    @property
    @override
    def provider_name(self) -> str:
        return self.script.system

    @property
    @override
    def provider_url(self) -> None:
        return None

    @property
    @override
    def timestamp(self) -> datetime:
        return self.moment


def _shaped(reply: Reply, number: int, outputs: list[ToolDefinition], *, streamed: bool) -> Iterator[Any]:
    """Yield the parts of a reply as a provider's client does: texts and calls; late ones and errors as is."""
    alone = sum(isinstance(one, str) for one in reply.parts) == 1
    for place, one in enumerate(reply.parts, 1):
        late, bare = _undelayed(one)
        made = _made(bare, f"call-{number}-{place}", outputs)
        words = _CHUNK.findall(made) if streamed and alone and isinstance(made, str) else []
        chunks: list[Any] = words or [made]
        if late is not None:
            yield After(late, chunks[0])
            chunks = chunks[1:]
        yield from chunks


def _made(part: Any, call_id: str, outputs: list[ToolDefinition]) -> Any:
    match part:
        case str() | Exception() | Status():
            return part
        case UseTool():
            arguments = (
                part.arguments if isinstance(part.arguments, str) else to_json(part.arguments).decode()
            )
            return ToolCallPart(part.name, arguments, tool_call_id=part.id or call_id)
        case Malformed():
            return ToolCallPart(outputs[0].name, part.text, tool_call_id=call_id) if outputs else part.text
        case _ if not outputs:
            return to_json(part).decode()
        case _:
            tool = next((one for one in outputs if one.name.endswith(f"_{type(part).__name__}")), outputs[0])
            key = tool.outer_typed_dict_key
            return ToolCallPart(
                tool.name, to_json({key: part} if key else part).decode(), tool_call_id=call_id
            )


def _undelayed(part: Any) -> tuple[float | None, Any]:
    if isinstance(part, After):
        late = cast("After[Any]", part)
        return late.seconds, late.answer
    return None, part


def _error_of(status: Status, model: str) -> errors.ModelHTTPError:
    headers = {} if status.retry_after is None else {"retry-after": f"{status.retry_after:g}"}
    category = vars(errors).get(
        _CATEGORIES.get(status.code, "ModelServerError" if status.code >= 500 else "")
    )
    return errors.ModelHTTPError.for_category(
        category,
        status_code=status.code,
        model_name=model,
        body={"message": status.message},
        headers=headers,
        retry_after=status.retry_after,
    )


def _offered(parameters: ModelRequestParameters) -> tuple[str, ...]:
    return tuple(tool.name for tool in parameters.function_tools)


def _instructions(messages: list[ModelMessage]) -> str | None:
    requests = (message for message in reversed(messages) if isinstance(message, ModelRequest))
    return next((one.instructions for one in requests if one.instructions), None)
