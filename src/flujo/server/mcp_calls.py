"""Calls of tools: from a request of a client to a durable run, and back to an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from traceback import format_tb
from typing import Any

import anyio
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CancelledNotificationParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic_core import from_json, to_json

from flujo.engine.identity import new_run_id
from flujo.engine.result import (
    PipelineResult,
    RunEvent,
    RunStarted,
    StepCompleted,
    StepGaveUp,
    StepRetrying,
)
from flujo.errors import AnswerRejected, FlujoError, InputError, UnknownRequest
from flujo.pipeline.waits import Approval
from flujo.server import mcp_asking as asking
from flujo.server.mcp_results import IDEMPOTENCY_KEY, answered, failed
from flujo.server.mcp_runs import Carried, RunsInHand, Start, run_id_of
from flujo.server.mcp_tools import PipelineTool

Context = ServerRequestContext[Any, Any]
Answer = CallToolResult | InputRequiredResult

ROUNDS = 3
"""How often a person is asked the same thing before the run is left waiting."""
_NOTICE = 0.5
"""Seconds in which the notice that a call was cancelled arrives after the cancellation itself."""

log = logging.getLogger("flujo.server")


@dataclass(eq=False, slots=True)
class Call:
    """One call of a tool while it lasts.

    Attributes:
        context: The client's request.
        carried: The run it waits for, once there is one.
        cancelled: Set when the client says that it no longer wants an answer.
        progress: How many events it told.
    """

    context: Context
    carried: Carried | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    progress: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What names it in a notice that it is cancelled.

        Clients that speak without a session number their calls alike, and cancel otherwise.
        """
        return _key(self.context, self.context.request_id)

    @property
    def is_modern(self) -> bool:
        """Whether the client asks people between two calls, rather than during one."""
        return self.context.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def can_ask(self) -> bool:
        """Whether the client shows forms to a person."""
        known = self.context.session.client_capabilities
        form = known.elicitation if known is not None else None
        takes_forms = form is not None and (form.form is not None or form.url is None)
        return takes_forms and (self.is_modern or self.context.session.can_send_request)


class Calls:
    """Answers the calls of a server's tools.

    Args:
        tools: The pipelines by the names of their tools.
        hand: Who carries their runs.
        asks: Whether people are asked through clients.
        actor: Who answers through them, as far as this server knows: what clients call themselves is theirs.
    """

    def __init__(
        self, tools: Mapping[str, PipelineTool], hand: RunsInHand, *, asks: bool, actor: str = "mcp"
    ) -> None:
        self.tools = tools
        self.hand = hand
        self.actor = actor
        self.closing = False
        self._asks = asks
        self._open: set[Call] = set()

    async def run(self, context: Context, tool: PipelineTool, params: CallToolRequestParams) -> Answer:
        """Run a pipeline for a client, or go on with the run that an earlier round of the call began."""
        call = Call(context)
        return await self.answered(call, self._run(call, tool, params))

    async def answered(self, call: Call, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Await a call's work; an error becomes an answer, and tells no more than it must.

        Raises:
            MCPError: The request itself is wrong.
        """
        self._open.add(call)
        try:
            (found,) = await asyncio.gather(work, return_exceptions=True)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._left(call)
            raise
        finally:
            self._open.remove(call)
        run_id = "" if call.carried is None else call.carried.run_id
        match found:
            case CallToolResult() | InputRequiredResult():
                return found
            case FlujoError():
                return failed(found, run_id)
            case MCPError():
                raise found
            case _:  # what it says may hold what a client sent
                where = "".join(format_tb(found.__traceback__))
                log.error("a call failed: %s, at\n%s", type(found).__name__, where)
                return failed(FlujoError("the server failed", fix="look at what it logged"), run_id)

    async def cancelled(self, context: Context, params: CancelledNotificationParams) -> None:
        """Note that a client cancelled one of its calls."""
        named = _key(context, params.request_id)
        for call in self._open:
            if call.key == named:
                call.cancelled.set()

    async def follow(
        self, call: Call, tool: PipelineTool, run_id: str, start: Start
    ) -> PipelineResult[Any, Any]:
        """Carry a run, or look on where it is carried, and return what it comes to."""
        return await self.watched(call, await self.hand.carry(tool.runner, run_id, start))

    async def _run(self, call: Call, tool: PipelineTool, params: CallToolRequestParams) -> Answer:
        if params.request_state is not None:
            return await self._go_on(call, tool, params)
        value = tool.read(params.arguments or {})
        run_id = _named(tool, params)

        def start() -> AsyncIterator[RunEvent]:
            given = tool.offered
            return tool.runner.stream_async(
                value, run_id=run_id, labels=given.labels, tenant=given.tenant, principal=given.principal
            )

        given = tool.takes.dump(value)
        result = await self.watched(call, await self.hand.carry(tool.runner, run_id, start, given=given))
        return await self._asked(call, tool, result)

    async def _go_on(self, call: Call, tool: PipelineTool, params: CallToolRequestParams) -> Answer:
        """Take what people answered to the last round of a call, and go on with its run."""
        state = from_json(params.request_state or "")  # sealed by us: nobody else wrote it
        run_id, digests, rounds = state["run"], state["asked"], state["rounds"]
        waiting = {one.id: one for one in await tool.runner.pending(run_id)}
        wrong: dict[str, str] = {}
        decided = False
        for name, response in (params.input_responses or {}).items():
            request = waiting.get(name)
            if request is None or request.digest != digests.get(name):
                decided = True  # by somebody else, meanwhile
                continue
            if not isinstance(response, ElicitResult):
                raise MCPError(INVALID_PARAMS, f"{name}: the answer is no filled-in form")
            try:
                decided = await self._take(call, tool, request, response) or decided
            except AnswerRejected as error:
                wrong[name] = f"{error.message}; {error.fix}"
        result = await self.resumed(call, tool, run_id)
        rounds = 0 if decided else rounds if wrong else ROUNDS
        return await self._asked(call, tool, result, rounds=rounds, wrong=wrong)

    async def resumed(self, call: Call, tool: PipelineTool, run_id: str) -> PipelineResult[Any, Any]:
        """Go on with a run that was answered."""
        return await self.follow(call, tool, run_id, lambda: tool.runner.stream_resume_async(run_id))

    async def _asked(
        self,
        call: Call,
        tool: PipelineTool,
        result: PipelineResult[Any, Any],
        *,
        rounds: int = 0,
        wrong: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask a person what a paused run waits for, if the client can; return how the run stands then."""
        wrong = dict(wrong or {})
        while result.status == "paused" and self._asks and call.can_ask and rounds < ROUNDS:
            askable = [one for one in result.pending if asking.can_be_asked(one, self.actor)]
            if not askable:
                break
            if call.is_modern:
                return _next_round(result.run_id, askable, wrong, rounds)
            try:
                decided, wrong = await self._ask_each(call, tool, askable)
            except MCPError as error:
                log.warning("the client could not ask: %s", error)
                break
            rounds = 0 if decided and not wrong else ROUNDS
            if decided:
                result = await self.resumed(call, tool, result.run_id)
        return answered(tool, result, "; ".join(wrong.values()))

    async def _ask_each(
        self, call: Call, tool: PipelineTool, requests: Sequence[Approval]
    ) -> tuple[bool, dict[str, str]]:
        """Ask a person one thing after the other during the call.

        Returns:
            Whether they decided anything, and what was wrong with the answers that were not taken.
        """
        wrong: dict[str, str] = {}
        decided = False
        for request in requests:
            for _ in range(ROUNDS):
                result = await call.context.session.elicit_form(
                    asking.message(request, wrong.pop(request.id, "")),
                    asking.form(request),
                    related_request_id=call.context.request_id,
                )
                try:
                    decided = await self._take(call, tool, request, result) or decided
                    break
                except AnswerRejected as error:
                    wrong[request.id] = f"{error.message}; {error.fix}"
        return decided, wrong

    async def _take(self, call: Call, tool: PipelineTool, request: Approval, result: ElicitResult) -> bool:
        """Record what a person decided; say whether they decided anything.

        Raises:
            AnswerRejected: It does not fit what is asked; the request stays open.
        """
        decision = asking.decision(request, result, self.actor)
        if decision is None:
            return False
        try:
            async with self.hand.answering(request.run_id):
                await tool.runner.answer(request.run_id, decision, request=request.id)
        except UnknownRequest:
            log.info("%s was answered elsewhere meanwhile", request.id)
        return True

    async def watched(self, call: Call, carried: Carried) -> PipelineResult[Any, Any]:
        """Look on while a run is carried, and return what it comes to."""
        call.carried = carried
        carried.callers += 1
        try:
            async for event in carried.events():
                await self._tell(call, event)
            return carried.result()
        finally:
            carried.callers -= 1

    async def _tell(self, call: Call, event: RunEvent) -> None:
        said = _told(event)
        if said:
            call.progress += 1
            await call.context.session.report_progress(call.progress, message=said)

    async def _left(self, call: Call) -> None:
        """Cancel the run of a call that ended early, if its client wished so and not the server."""
        if call.carried is None or self.closing:
            return
        if call.is_modern and call.context.request is not None:
            wanted = True  # over HTTP, closing the response is how this protocol cancels
        else:
            with anyio.move_on_after(_NOTICE):
                await call.cancelled.wait()
            wanted = call.cancelled.is_set()
        if wanted and not self.closing:
            await call.carried.cancel("cancelled by the MCP client")


def _named(tool: PipelineTool, params: CallToolRequestParams) -> str:
    """Return the name of the run of a call.

    Raises:
        InputError: The key that is to name it is no text.
    """
    meta: Mapping[str, Any] = {**(params.meta or {})}
    key = meta.get(IDEMPOTENCY_KEY)
    if key is None:
        return new_run_id()
    if not isinstance(key, str) or not key:
        raise InputError(f"_meta[{IDEMPOTENCY_KEY!r}] is {key!r}", fix="pass a text that is not empty")
    who = tool.offered.principal
    return run_id_of(tool.name, key, tool.offered.behalf, "" if who is None else who.id)


def _next_round(
    run_id: str, requests: Sequence[Approval], wrong: Mapping[str, str], rounds: int
) -> InputRequiredResult:
    """Return what a client asks a person before it calls again; the state is sealed on its way out."""
    state = {"run": run_id, "asked": {one.id: one.digest for one in requests}, "rounds": rounds + 1}
    return InputRequiredResult(
        input_requests={
            one.id: ElicitRequest(
                params=ElicitRequestFormParams(
                    message=asking.message(one, wrong.get(one.id, "")), requested_schema=asking.form(one)
                )
            )
            for one in requests
        },
        request_state=to_json(state).decode(),
    )


def _told(event: RunEvent) -> str:
    match event:
        case RunStarted(run_id=run_id, resumed=resumed):
            return f"run {run_id} {'goes on' if resumed else 'began'}"
        case StepCompleted(result=step):
            return f"{step.address} completed"
        case StepRetrying(address=address, attempt=attempt):
            return f"{address} is tried again after attempt {attempt}"
        case StepGaveUp(address=address):
            return f"{address} failed"
        case _:
            return ""


def _key(context: Context, request_id: object) -> tuple[str, str]:
    session = context.request.headers.get("mcp-session-id", "") if context.request is not None else ""
    return session or "", str(request_id)
