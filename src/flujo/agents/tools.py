"""Flujo's tools as the agent layer calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic_ai import RunContext, Tool

from flujo.agents.calls import invoked, of_the_run, parameters_of
from flujo.agents.place import Place
from flujo.agents.requests import part
from flujo.errors import PipelineError
from flujo.pipeline.tools import FlujoTool


class Native:
    """A tool of pydantic-ai, as the function of Flujo's description of it."""

    def __init__(self, tool: Tool[Any]) -> None:
        self.tool = tool

    def __call__(self, **arguments: Any) -> Any:
        """Call it without an agent.

        Raises:
            PipelineError: It asks for an agent's context.
        """
        if self.tool.takes_ctx:
            raise PipelineError(
                f"tool {self.tool.name!r} asks for the context of an agent of pydantic-ai, and has none here",
                fix="call it through such an agent, or describe a function that needs none: FlujoTool(…)",
            )
        return cast("Callable[..., Any]", self.tool.function)(**arguments)


def as_tool(tool: FlujoTool | Tool[Any] | Callable[..., Any]) -> FlujoTool:
    """Return a tool's description: itself, or that of a function or of a tool of pydantic-ai."""
    if isinstance(tool, FlujoTool):
        return tool
    if isinstance(tool, Tool):
        known = cast("Tool[Any]", tool)
        return FlujoTool(
            Native(known),
            known.name,
            known.description or "",
            needs_approval=known.requires_approval,
            retries=known.max_retries,
            timeout=known.timeout,
            parameters=known.function_schema.json_schema,
        )
    return FlujoTool(tool)


def named(tools: Iterable[FlujoTool]) -> dict[str, FlujoTool]:
    """Return tools by name.

    Raises:
        PipelineError: Two have one name.
    """
    found: dict[str, FlujoTool] = {}
    for tool in tools:
        if found.setdefault(tool.name, tool) is not tool:
            raise PipelineError(
                f"two tools are named {tool.name!r}", fix="give one of them a name: FlujoTool(…, name=…)"
            )
    return found


def for_model(tool: FlujoTool) -> Tool[Any]:
    """Return a tool as pydantic-ai calls it.

    Raises:
        PipelineError: A parameter has no annotation, so that nothing tells a model what to give.
    """
    if isinstance(tool.function, Native):
        return replace(tool.function.tool, requires_approval=False)  # Flujo's description says whether
    if tool.parameters:
        called = _called(tool, {})
        made = Tool[Any].from_schema(
            called, tool.name, tool.description, dict(tool.parameters), takes_ctx=True
        )
        made.max_retries, made.timeout = tool.retries, tool.timeout
        return made
    given, left = parameters_of(tool)
    taken = inspect.signature(tool.function).parameters
    open_parameters = [
        taken[name].replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint)
        for name, hint in left.items()
    ]
    called = _called(tool, given)
    annotations = {parameter.name: parameter.annotation for parameter in open_parameters}
    first = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=RunContext[Any])
    called.__dict__["__signature__"] = inspect.Signature([first, *open_parameters])
    called.__annotations__ = {"ctx": RunContext[Any], **annotations}
    called.__doc__ = inspect.getdoc(tool.function)
    called.__name__ = tool.name
    return Tool(
        called,
        takes_ctx=True,
        name=tool.name,
        description=tool.description or None,
        max_retries=tool.retries,
        timeout=tool.timeout,
    )


def _called(tool: FlujoTool, given: Mapping[str, type]) -> Callable[..., Any]:
    """Return the function that is called with what the model gives."""

    async def call(ctx: RunContext[Any], /, **arguments: Any) -> Any:
        place = cast("Place", ctx.deps)
        here = place._replace(info=part.get() or place.info)
        more = {name: of_the_run(kind, here) for name, kind in given.items()}
        return await invoked(tool.function, {**arguments, **more})

    return cast("Callable[..., Any]", call)
