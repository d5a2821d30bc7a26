"""Where in a run an agent is at work."""

from __future__ import annotations

from typing import NamedTuple

from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.waits import Decision


class Place(NamedTuple):
    """Where an agent is at work.

    Attributes:
        info: The attempt of its step.
        context: The context as its step sees it.
    """

    info: StepInfo
    context: PipelineContext


def denied(decision: Decision) -> str:
    """Return what a model is told of a call that a person denied."""
    reason = f": {decision.reason}" if decision.reason else ""
    return f"A person denied this call{reason}. Do not try it again."
