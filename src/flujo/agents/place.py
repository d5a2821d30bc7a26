"""Where in a run an agent is at work."""

from __future__ import annotations

from typing import NamedTuple

from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo


class Place(NamedTuple):
    """Where an agent is at work.

    Attributes:
        info: The attempt of its step.
        context: The context as its step sees it.
    """

    info: StepInfo
    context: PipelineContext
