"""Runnables of LangChain and graphs of LangGraph as the agents of steps (the extra ``langchain``)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, cast

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable
from langchain_core.tools import StructuredTool

from flujo.agents.calls import call_in_run, schema_of, working
from flujo.agents.place import Place
from flujo.engine.prices import priced
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo, Usage
from flujo.pipeline.tools import FlujoTool


def adapt(agent: object) -> LangChainAgent | None:
    """Return a runnable as a step calls it; None for what is none."""
    return LangChainAgent(cast("Runnable[Any, Any]", agent)) if isinstance(agent, Runnable) else None


class LangChainAgent:
    """A runnable of LangChain as a step calls it: the step is recorded as a whole.

    A message that it gives is given as its text. What models inside report is counted as the step's usage.
    Tools of :func:`structured_tool_of` are effects of the run; what else it calls inside is not seen.

    Args:
        runnable: The runnable.
    """

    def __init__(self, runnable: Runnable[Any, Any]) -> None:
        self.runnable = runnable
        self.__name__ = (
            "".join(letter if letter.isalnum() else "_" for letter in runnable.get_name()).strip("_")
            or "runnable"
        )

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Any]]:
        """What a step calls, annotated with what the runnable gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Any:
            counter = _Counter()
            try:
                with working(Place(info, context)):
                    given = await self.runnable.ainvoke(input, {"callbacks": [counter]})
            finally:
                info.report(Usage(counter.requests))
                for model, spent in counter.usage_metadata.items():
                    info.report(priced(model, Usage(0, spent["input_tokens"], spent["output_tokens"])))
            return str(given.text) if isinstance(given, BaseMessage) else given

        run.__annotations__["return"] = _given(self.runnable)
        return run


class _Counter(UsageMetadataCallbackHandler):
    """Counts the requests besides what models report."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def on_llm_end(self, response: LLMResult, **more: Any) -> None:
        """Count a request that was answered."""
        self.requests += 1
        super().on_llm_end(response, **more)


def structured_tool_of(tool: FlujoTool) -> StructuredTool:
    """Return a tool as agents of LangChain and LangGraph take it; in a step, its calls are effects.

    Raises:
        PipelineError: Nothing tells a model what to give it.
    """

    async def call(**arguments: Any) -> Any:
        return await call_in_run(tool, arguments)

    return StructuredTool(
        name=tool.name, description=tool.description, args_schema=schema_of(tool), coroutine=call
    )


def _given(runnable: Runnable[Any, Any]) -> Any:
    try:
        kind = runnable.OutputType
    except TypeError:  # it does not tell
        return Any
    if kind is str or "Message" in str(kind):
        return str
    return kind if inspect.isclass(kind) else Any
