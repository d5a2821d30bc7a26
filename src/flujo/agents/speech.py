"""Requests whose answers are told as they come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic_ai.exceptions import ModelConnectionError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from flujo.agents.costs import usage_of
from flujo.agents.failures import legible
from flujo.pipeline.info import Spending, StepInfo

_SAY_WHY = frozenset({"openai", "azure"})

Say = Callable[[str], Awaitable[None]]
"""Takes a part of what a model says."""


async def sent(
    sender: Model,
    info: StepInfo,
    say: Say | None,
    messages: list[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
    spending: Spending | None = None,
) -> ModelResponse:
    """Send a request; where somebody listens, its text is told as it comes.

    Args:
        sender: Whom it is sent to.
        info: The request's part of its step.
        say: Takes the text; where left out, whoever streams the run is shown it.
        messages: What is said.
        settings: How it is to be answered.
        parameters: What may be called and given.
        spending: What is set aside for it, where quotas hold. An answer that broke off has cost all of that;
            where nothing is set aside, what its provider had counted by then.

    Raises:
        ModelConnectionError: The answer broke off in the middle.
        ModelAPIError: The request failed, or its answer cannot be read.
    """
    report = info.report if spending is None else spending.report
    if say is None and not info.watched:
        response = await sender.request(messages, settings, parameters)
        report(usage_of(response))
        return response
    async with sender.request_stream(messages, settings, parameters) as stream:
        told = False
        try:
            await _tell(stream, say or info.emit)
            told = True
        finally:
            response = stream.get()
            whole = told and response.state == "complete" and not _cut(response)
            if response.parts or response.usage.has_values():
                report(usage_of(response))
            if spending is not None:
                spending.known = whole
        legible(response)
    if not whole:
        raise ModelConnectionError(sender.model_name, "the answer broke off in the middle", in_stream=True)
    return response


async def _tell(stream: StreamedResponse, tell: Callable[[str], Awaitable[None]]) -> None:
    async for event in stream:
        match event:
            case PartStartEvent(part=TextPart(content=text)) if text:
                await tell(text)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                await tell(text)
            case _:
                pass


def _cut(response: ModelResponse) -> bool:
    """Say whether a stream ended before it said why it does: then it was cut, however politely."""
    if response.provider_url is None:  # it came over no wire
        return False
    if response.finish_reason is None:
        return True
    # The client of OpenAI's chat puts "stop" where none came, since some who speak as OpenAI does send none.
    said = "finish_reason" in (response.provider_details or {}) or response.finish_reason != "stop"
    return not said and response.provider_name in _SAY_WHY
