"""Flujo: typed, durable, governed multi-agent AI workflows.

The names below are loaded when they are first used: importing Flujo imports no more than it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.engine.compare import RunComparison, compare_runs
    from flujo.engine.differences import Difference, ReplayReport
    from flujo.engine.hooks import Hook, Replace
    from flujo.engine.prices import price
    from flujo.engine.result import PipelineResult, StepHistory, StepResult
    from flujo.engine.runner import Flujo
    from flujo.engine.upgrade import UpgradeReport
    from flujo.errors import FlujoError
    from flujo.journal.memory import MemoryStore
    from flujo.journal.postgres import PostgresStore
    from flujo.journal.sqlite import SQLiteStore
    from flujo.pipeline.context import PipelineContext
    from flujo.pipeline.decorator import step
    from flujo.pipeline.flow import Branch, Loop, SubPipeline
    from flujo.pipeline.info import StepInfo, Usage
    from flujo.pipeline.lanes import Failure, Map, Parallel
    from flujo.pipeline.mutation import MayMutate, PipelineMutation, Reconfigure
    from flujo.pipeline.node import Node, Pipeline
    from flujo.pipeline.quota import Quota
    from flujo.pipeline.reducers import Add, Append, Last, Max, Merge, Min
    from flujo.pipeline.step import From, ResourceHints, Retry, Step
    from flujo.pipeline.streaming import Fold, StreamingStep
    from flujo.pipeline.tools import FlujoTool, ToolError, ToolInDoubt
    from flujo.pipeline.waits import (
        Approval,
        Decision,
        HumanInput,
        PauseForHumanInput,
        Sleep,
        StopPipeline,
        WaitForEvent,
    )

_HOMES = {
    "Add": "pipeline.reducers",
    "Append": "pipeline.reducers",
    "Approval": "pipeline.waits",
    "Branch": "pipeline.flow",
    "Decision": "pipeline.waits",
    "Difference": "engine.differences",
    "Failure": "pipeline.lanes",
    "Flujo": "engine.runner",
    "FlujoError": "errors",
    "Fold": "pipeline.streaming",
    "From": "pipeline.step",
    "Hook": "engine.hooks",
    "HumanInput": "pipeline.waits",
    "Last": "pipeline.reducers",
    "Loop": "pipeline.flow",
    "Map": "pipeline.lanes",
    "Max": "pipeline.reducers",
    "MayMutate": "pipeline.mutation",
    "MemoryStore": "journal.memory",
    "Merge": "pipeline.reducers",
    "Min": "pipeline.reducers",
    "Node": "pipeline.node",
    "Parallel": "pipeline.lanes",
    "PauseForHumanInput": "pipeline.waits",
    "Pipeline": "pipeline.node",
    "PipelineContext": "pipeline.context",
    "PipelineMutation": "pipeline.mutation",
    "PipelineResult": "engine.result",
    "PostgresStore": "journal.postgres",
    "Replace": "engine.hooks",
    "Quota": "pipeline.quota",
    "Reconfigure": "pipeline.mutation",
    "ReplayReport": "engine.differences",
    "ResourceHints": "pipeline.step",
    "FlujoTool": "pipeline.tools",
    "Retry": "pipeline.step",
    "RunComparison": "engine.compare",
    "SQLiteStore": "journal.sqlite",
    "Sleep": "pipeline.waits",
    "Step": "pipeline.step",
    "StepHistory": "engine.result",
    "StepInfo": "pipeline.info",
    "StepResult": "engine.result",
    "StopPipeline": "pipeline.waits",
    "StreamingStep": "pipeline.streaming",
    "SubPipeline": "pipeline.flow",
    "ToolError": "pipeline.tools",
    "ToolInDoubt": "pipeline.tools",
    "UpgradeReport": "engine.upgrade",
    "Usage": "pipeline.info",
    "WaitForEvent": "pipeline.waits",
    "compare_runs": "engine.compare",
    "price": "engine.prices",
    "step": "pipeline.decorator",
}

__all__ = [
    "Add",
    "Append",
    "Approval",
    "Branch",
    "Decision",
    "Difference",
    "Failure",
    "Flujo",
    "FlujoError",
    "FlujoTool",
    "Fold",
    "From",
    "Hook",
    "HumanInput",
    "Last",
    "Loop",
    "Map",
    "Max",
    "MayMutate",
    "MemoryStore",
    "Merge",
    "Min",
    "Node",
    "Parallel",
    "PauseForHumanInput",
    "Pipeline",
    "PipelineContext",
    "PipelineMutation",
    "PipelineResult",
    "PostgresStore",
    "Quota",
    "Reconfigure",
    "Replace",
    "ReplayReport",
    "ResourceHints",
    "Retry",
    "RunComparison",
    "SQLiteStore",
    "Sleep",
    "Step",
    "StepHistory",
    "StepInfo",
    "StepResult",
    "StopPipeline",
    "StreamingStep",
    "SubPipeline",
    "ToolError",
    "ToolInDoubt",
    "UpgradeReport",
    "Usage",
    "WaitForEvent",
    "compare_runs",
    "price",
    "step",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flujo' has no attribute {name!r}")
    value = getattr(import_module(f"flujo.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
