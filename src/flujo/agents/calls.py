"""Calls of Flujo's tools by agent layers that know nothing of runs: effects all the same."""

from __future__ import annotations

import inspect
import typing
from asyncio import timeout
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import from_json, to_json

from flujo.agents.digests import digest
from flujo.agents.place import Place, denied
from flujo.engine.requests import first_of
from flujo.engine.threads import Threads, settled
from flujo.errors import (
    EffectDiverged,
    PipelineError,
    PolicyDenied,
    QuotaExceeded,
    RecordError,
    ResumeError,
    StoreError,
)
from flujo.pipeline.context import PipelineContext, fork
from flujo.pipeline.effect import Effect, Judged, Question
from flujo.pipeline.info import StepInfo, Usage
from flujo.pipeline.tools import FlujoTool, ToolError
from flujo.plan.jsonvalues import is_json
from flujo.plan.unrecordable import Unrecordable

GIVEN = (StepInfo, PipelineContext)
"""What the run gives a tool, whatever a model says."""

at_work: ContextVar[Place | None] = ContextVar("at_work", default=None)
"""Where the agent that calls is at work; None outside of runs."""

ENDS = (PolicyDenied, QuotaExceeded, RecordError, EffectDiverged, ResumeError, StoreError)
"""What a run raises in a call that ends the step, whatever the layer that called makes of errors of tools."""


class Ended(BaseException):
    """Takes an error of the run past an agent layer; below Exception, so that none swallows or wraps it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def working(place: Place) -> Generator[None]:
    """Have an agent be at work somewhere in a run; what a call of a tool ended with ends the work."""
    token = at_work.set(place)
    try:
        yield
    except BaseExceptionGroup as group:
        ended = group.subgroup(Ended)
        if ended is None:
            raise
        raise cast("Ended", first_of(ended)).error from None
    except Ended as ended:
        raise ended.error from None
    finally:
        at_work.reset(token)


ONE_CALL = Usage(tool_calls=1)
_threads = Threads()
_CALLS = "tool"
"""Under which name an attempt counts the calls of tools."""


def parameters_of(tool: FlujoTool) -> tuple[dict[str, type], dict[str, Any]]:
    """Return what the run gives a tool, by name, and the annotations of what a model gives.

    Raises:
        PipelineError: A parameter has no annotation, so that nothing tells a model what to give.
    """
    try:
        hints = typing.get_type_hints(tool.function, include_extras=True)
    except (NameError, TypeError) as error:
        raise PipelineError(
            f"tool {tool.name!r}: its annotations cannot be resolved: {error}",
            fix="define the types at the top of a module, or pass the schema: FlujoTool(…, parameters={…})",
        ) from None
    given: dict[str, type] = {}
    left: dict[str, Any] = {}
    for name, parameter in inspect.signature(tool.function).parameters.items():
        hint = hints.get(name)
        kind = next((kind for kind in GIVEN if inspect.isclass(hint) and issubclass(hint, kind)), None)
        if kind is not None:
            given[name] = kind
        elif hint is None or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PipelineError(
                f"tool {tool.name!r}: nothing tells a model what {name!r} takes",
                fix=f"annotate it: {name}: str; or pass the schema: FlujoTool(…, parameters={{…}})",
            )
        else:
            left[name] = hint
    return given, left


def arguments_of(tool: FlujoTool) -> type[BaseModel]:
    """Return the model of a tool's arguments, whose JSON Schema tells a model what to give.

    Raises:
        PipelineError: Nothing tells what to give.
    """
    return _arguments(tool.function, tool.name)


@lru_cache(maxsize=1024)
def _arguments(function: Callable[..., Any], name: str) -> type[BaseModel]:
    _, left = parameters_of(FlujoTool(function, name))
    taken = inspect.signature(function).parameters
    defaults = {key: one.default for key, one in taken.items() if one.default is not inspect.Parameter.empty}
    fields: dict[str, Any] = {key: (hint, defaults.get(key, ...)) for key, hint in left.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def schema_of(tool: FlujoTool) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments."""
    return dict(tool.parameters) or arguments_of(tool).model_json_schema()


async def call_with(tool: FlujoTool, arguments: Mapping[str, Any], place: Place | None) -> Any:
    """Call a tool's function with what a model gave, checked, and what the run gives.

    Raises:
        ToolError: The arguments do not fit, or it took longer than it may.
    """
    if wrong := misfit(tool, dict(arguments)):
        raise ToolError(f"the arguments do not fit: {wrong}")
    if tool.parameters:
        given, told = {}, dict(arguments)
    else:
        given, _ = parameters_of(tool)
        told = dict(arguments_of(tool).model_validate(dict(arguments)))
    if given and place is None:
        raise PipelineError(f"tool {tool.name!r} asks for what only a run has", fix="call it from a step")
    more = {} if place is None else {name: of_the_run(kind, place) for name, kind in given.items()}
    limit = timeout(tool.timeout)
    try:
        async with limit:
            return await invoked(tool.function, {**told, **more})
    except TimeoutError:
        if not limit.expired():
            raise
        raise ToolError(f"it gave nothing within {tool.timeout:g} seconds") from None


async def invoked(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a function of a tool: one that is not ``async`` in a worker thread."""
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    return await settled(await _threads.call(function, **arguments))


def of_the_run(kind: type, place: Place) -> Any:
    """Return what the run gives a tool for a parameter of a kind."""
    return place.info if kind is StepInfo else fork(place.context)


async def call_in_run(tool: FlujoTool, arguments: Mapping[str, Any]) -> Any:
    """Call a tool as an effect of the run in which the agent is at work; outside of runs, just call it.

    A person decides first, where the tool needs that. What the model is to be told of a call that came to
    nothing is returned as a text.

    Raises:
        PipelineError: A person must agree to it, and there is no run to ask one.
        Ended: The run does not let it be made: a policy denies it, or there is not so much left for it.
    """
    place, given = at_work.get(), dict(arguments)
    if wrong := misfit(tool, given):
        return f"the arguments do not fit: {wrong}"
    if place is None:
        if tool.asks(given):
            raise PipelineError(
                f"a person must agree to this call of {tool.name!r}, and outside of a run nobody is asked",
                fix="let the agent work in a step",
            )
        return await call_with(tool, given, None)
    try:
        return await _called(tool, given, place)
    except ENDS as error:
        raise Ended(error) from error


async def _called(tool: FlujoTool, given: dict[str, Any], place: Place) -> Any:
    info = place.info
    number = info.counts[_CALLS] = info.counts.get(_CALLS, 0) + 1
    if tool.asks(given):
        subject = {"tool": tool.name, "arguments": given}
        prompt = f"the agent wants to call {tool.name!r}"
        decision = await info.decide(
            Question("approval", number, prompt, subject, schema_of(tool), partial(misfit, tool))
        )
        if decision.action == "deny":
            return denied(decision)
        given = decision.value if decision.action == "edit" else given

    def describe(keep: Callable[[bytes], str]) -> Mapping[str, Any]:
        return {"call": tool.name, "arguments": {name: digest(value) for name, value in given.items()}}

    async def act_on(part: StepInfo, arguments: Any) -> Any:
        bound = ONE_CALL if tool.bound is None else ONE_CALL + tool.bound
        async with part.reserve(bound) as spending:
            spending.report(ONE_CALL)
            try:
                return await call_with(tool, arguments, place._replace(info=spending.info))
            except ToolError as error:
                return str(error)

    judged = Judged(tool.name, lambda: given, lambda written: written, act_on, facts=tool.facts)
    once = tool.effects == "at_most_once"
    effect = Effect("tool", number, describe, lambda part: act_on(part, given), _dumped, _same, once, judged)
    value = await info.perform(effect)
    try:
        return value if is_json(value) else from_json(to_json(value))  # as it is read from the journal
    except ValueError:  # nothing is recorded, and nothing will go on elsewhere
        return value


def misfit(tool: FlujoTool, arguments: Any) -> str:
    """Return what is wrong with the arguments of a call; empty where they fit."""
    if not isinstance(arguments, dict):
        return "the arguments of a call are an object"
    if tool.parameters:
        return ""
    try:
        arguments_of(tool).model_validate(arguments)
    except ValidationError as error:
        return told_of(error)
    return ""


def told_of(error: ValidationError) -> str:
    """Return what does not fit, and where, without the values."""
    parts = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in parts)


def unwritable(value: Any) -> Unrecordable:
    """Return what is said of something that a tool gave and that no journal holds."""
    return Unrecordable(
        f"a tool gave {type(value).__qualname__}, which cannot be written as JSON",
        fix="return a text, a Pydantic model or other JSON",
    )


def _dumped(value: Any) -> bytes:
    try:
        return to_json(value)
    except ValueError as error:
        raise unwritable(value) from error


def _same(written: Any) -> Any:
    return written
