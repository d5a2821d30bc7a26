"""Durable turns: each request to a model and each call of a tool is an effect with an address of its own.

It holds on to pydantic-ai's own hooks: its loop is theirs, and nothing of it is rewritten here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ToolFailed
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    ToolApproved,
    ToolDefinition,
    ToolDenied,
)

from flujo.agents.calls import ONE_CALL, told_of
from flujo.agents.costs import bound_of
from flujo.agents.digests import digest
from flujo.agents.messages import (
    Conversation,
    dumped,
    instructed,
    loaded,
    read_messages,
    read_response,
    shown_messages,
    shown_response,
)
from flujo.agents.place import Place, denied
from flujo.agents.requests import among, part, patient
from flujo.agents.results import Outcome, outcome_of
from flujo.agents.speech import Say, sent
from flujo.engine.requests import Asked
from flujo.engine.run import Suspended
from flujo.pipeline.effect import Effect, Judged, Question
from flujo.pipeline.info import NO_USAGE, StepInfo
from flujo.pipeline.tools import FlujoTool
from flujo.pipeline.waits import Approval

T = TypeVar("T")


@dataclass(init=False)
class Turns(AbstractCapability[Any]):
    """What makes one conversation of an agent durable, turn by turn.

    Args:
        place: Where it is held.
        tools: The tools that Flujo knows more of than the agent layer, by name.
        say: Takes what the model says as it comes, and all at once where it is recorded already; where left
            out, whoever streams the run is shown it.
    """

    def __init__(self, place: Place, tools: Mapping[str, FlujoTool], say: Say | None = None) -> None:
        self.place = place
        self.say = say
        self.tools = tools
        self.requests = 0
        self._asked: dict[str, Asked] = {}
        self._calls: dict[str, int] = {}
        self._count = 0
        self._conversation = Conversation()
        self._written: Conversation | None = None
        self._recorded: RecordedModel | None = None
        self._tokens = 0  # of the last request and its answer, as its provider counted
        self._told: dict[str, tuple[Any, str]] = {}
        self._last: dict[str, Any] = {}

    def __enter__(self) -> None:
        """Begin the conversation."""

    def __exit__(self, *_: object) -> None:
        """End it; what holds on to one another is let go, and is not left for the garbage collector."""
        self._recorded = None

    def get_ordering(self) -> CapabilityOrdering:
        """Stand next to the model and the tools, inside all else that wraps them."""
        return CapabilityOrdering(position="innermost")

    # Models

    def get_wrapper_model(self, model: Model) -> Model | None:
        """Return the model with its requests recorded; None where they are."""
        return None if isinstance(model, RecordedModel) else self.recorded(model)

    def recorded(self, model: Model) -> Model:
        """Return a model with its requests recorded."""
        if self._recorded is None or self._recorded.wrapped is not model:
            self._recorded = RecordedModel(model, self)
        return self._recorded

    async def request(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send a request once in the life of the run."""
        self.requests += 1
        told = self._conversation.later(messages)
        sender, number = patient(model), self.requests
        how, offered = self._same("settings", settings), self._same("tools", parameters)

        def describe(keep: Callable[[bytes], str], given: list[ModelMessage] = messages) -> dict[str, Any]:
            arguments = {
                "messages": told().digest,
                "settings": self._digests("settings", how),
                "tools": self._digests("tools", offered),
            }
            if given is not messages and self._written is None:
                self._written = Conversation()  # from here on, what was said is not what is written
            written = told() if self._written is None else self._written.describe(given)
            return {"call": model.model_id, "arguments": arguments, "messages": written.recorded(keep)}

        say, live = None if self.place.info.judged_whole else self.say, False

        async def act_on(info: StepInfo, given: list[ModelMessage]) -> ModelResponse:
            nonlocal live
            live, token, asked = say is not None, part.set(info), instructed(parameters, messages, given)
            try:
                limits = info.limits
                if not limits:
                    return await sent(sender, info, say, given, settings, asked)
                tokens = self._tokens + told().size + (0 if number > 1 else len(repr(parameters)))
                async with info.reserve(bound_of(model, settings, tokens, limits)) as spending:
                    return await sent(sender, info, say, given, settings, asked, spending)
            finally:
                part.reset(token)

        effect = Effect(
            "model",
            number,
            describe,
            lambda info: act_on(info, messages),
            dumped,
            loaded,
            judged=_judged_request(model, messages, parameters, act_on, describe),
            awaited=False,
        )
        response = await self.place.info.perform(effect)
        if self.say is not None and not live:
            for text in response.parts:
                if isinstance(text, TextPart) and text.content:
                    await self.say(text.content)
        self._conversation.answered(response, "#model" if number == 1 else f"#model-{number}")
        self._tokens = response.usage.input_tokens + response.usage.output_tokens
        for call in response.tool_calls:  # some providers give the same ids in every answer
            self._next(call)
        return response

    def _same(self, name: str, value: T) -> T:
        """Return settings or tools, or those of the last request where they are equal: one is kept."""
        last = self._last.setdefault(name, value)
        if last is not value and last != value:
            last = self._last[name] = value
        return last

    def _digests(self, name: str, value: Any) -> str:
        """Return what tells settings or tools from others; most often they are those of the last request."""
        known = self._told.get(name)
        if known is None or known[0] is not value:
            known = self._told[name] = (value, digest({} if value is None else value))
        return known[1]

    # Tools

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Any],
    ) -> Any:
        """Call a tool once in the life of the run."""
        tool = self.tools.get(call.tool_name)
        if tool is not None and not ctx.tool_call_approved and tool.asks(args):
            raise ApprovalRequired

        try:
            outcome = await self.place.info.perform(self._call_of(ctx, call, tool, args, handler))
            return outcome.give() if outcome.kind != "asks" else await self._answered(call, outcome.value)
        except Asked as question:
            self._asked[call.tool_call_id] = question
            raise CallDeferred from None

    def _call_of(
        self,
        ctx: RunContext[Any],
        call: ToolCallPart,
        tool: FlujoTool | None,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Any],
    ) -> Effect:
        """Return a call as an effect: what identifies it, what it does, what policies judge of it."""

        async def called(info: StepInfo, given: dict[str, Any]) -> Outcome:
            if info.watched:
                await info.emit_tool_call(call.tool_name, given)
            token, spent = part.set(info), ONE_CALL
            try:
                return await outcome_of(lambda: handler(given))
            except (ApprovalRequired, CallDeferred):  # its toolset asks first
                spent = NO_USAGE
                raise
            finally:
                part.reset(token)
                info.report(spent)

        async def act_on(info: StepInfo, given: dict[str, Any]) -> Outcome:
            if not info.limits:
                return await called(info, given)
            bound = tool.bound if tool is not None and tool.bound is not None else NO_USAGE
            async with info.reserve(ONE_CALL + bound) as spending:
                return await called(spending.info, given)

        def describe(keep: Callable[[bytes], str]) -> Mapping[str, Any]:
            return {
                "call": call.tool_name,
                "arguments": {name: digest(value) for name, value in args.items()},
            }

        once = tool is not None and tool.effects == "at_most_once"
        manager = ctx.tool_manager
        known = None if manager is None else (manager.tools or {}).get(call.tool_name)
        judged = Judged(
            call.tool_name,
            lambda: args,
            lambda written: written if known is None else known.args_validator.validate_python(written),
            act_on,
            Outcome.shown,
            Outcome.replaced,
            {} if tool is None else tool.facts,
        )
        return Effect(
            "tool",
            self._number(call),
            describe,
            lambda info: act_on(info, args),
            Outcome.dump,
            Outcome.load,
            once,
            judged,
            awaited=False,
        )

    def _number(self, call: ToolCallPart) -> int:
        return self._calls.get(call.tool_call_id) or self._next(call)

    def _next(self, call: ToolCallPart) -> int:
        self._count += 1
        self._calls[call.tool_call_id] = self._count
        return self._count

    # People

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Have people decide about calls; those that nobody has decided yet pause the run."""
        results = DeferredToolResults()
        waiting: list[Approval] = []
        for call in requests.approvals:
            try:
                results.approvals[call.tool_call_id] = await self._decided(ctx, call)
            except Asked as question:
                waiting += question.suspended.requests
        for call in requests.calls:
            if call.tool_call_id in self._asked:
                waiting += self._asked[call.tool_call_id].suspended.requests
        if waiting:
            raise Asked(Suspended(*waiting))
        return results

    async def _decided(self, ctx: RunContext[Any], call: ToolCallPart) -> ToolApproved | ToolDenied:
        tool = None if ctx.tool_manager is None else (ctx.tool_manager.tools or {}).get(call.tool_name)

        def misfit(edited: Any) -> str:
            if tool is None:
                return ""
            try:
                tool.args_validator.validate_python(edited)
            except ValidationError as error:
                return told_of(error)
            return ""

        decision = await self.place.info.decide(
            Question(
                "approval",
                self._number(call),
                f"the agent wants to call {call.tool_name!r}",
                {"tool": call.tool_name, "arguments": call.args_as_dict()},
                {} if tool is None else tool.tool_def.parameters_json_schema,
                misfit,
            )
        )
        match decision.action:
            case "approve":
                return ToolApproved()
            case "edit":
                return ToolApproved(override_args=decision.value)
            case _:
                return ToolDenied(denied(decision))

    async def _answered(self, call: ToolCallPart, asked: Mapping[str, Any]) -> Any:
        """Return what a person answers in the place of a tool that asked by raising."""
        subject = asked["subject"]
        question = Question(
            "answer", self._number(call), asked["prompt"], subject, asked["schema"], lambda value: ""
        )
        decision = await self.place.info.decide(question)
        if decision.action == "deny":
            raise ToolFailed(denied(decision))
        return subject if decision.action == "approve" else decision.value


def _judged_request(
    model: Model,
    messages: list[ModelMessage],
    offered: ModelRequestParameters,
    send: Callable[[StepInfo, list[ModelMessage]], Awaitable[ModelResponse]],
    describe: Callable[[Callable[[bytes], str], list[ModelMessage]], Mapping[str, Any]],
) -> Judged:
    """Return what policies judge of a request: its messages and its response, as JSON."""
    return Judged(
        "",
        lambda: shown_messages(messages),
        lambda written: shown_messages(read_messages(written)),
        lambda info, given: send(info, read_messages(given)),
        lambda response: shown_response(response, offered),
        lambda _, given: read_response(given),
        {"model": model.model_id, **among(model)},
        lambda given: lambda keep: describe(keep, read_messages(given)),
    )


class RecordedModel(WrapperModel):
    """A model whose requests are effects of a run."""

    def __init__(self, wrapped: Model, turns: Turns) -> None:
        super().__init__(wrapped)
        self._turns = turns

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send a request, or return what it gave when it was sent."""
        return await self._turns.request(self.wrapped, messages, model_settings, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the recorded response piece by piece, to code of the agent's own that wants a stream."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )
