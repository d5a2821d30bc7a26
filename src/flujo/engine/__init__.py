"""Running: the runner, the gate that every effect passes, pauses, hooks, results."""

from flujo.engine.clock import Clock, SystemClock
from flujo.engine.result import (
    Chunk,
    Finished,
    Paused,
    RunEvent,
    RunStarted,
    StepCompleted,
    StepGaveUp,
    StepRetrying,
    StepStarted,
    ToolCalled,
)

__all__ = [
    "Chunk",
    "Clock",
    "Finished",
    "Paused",
    "RunEvent",
    "RunStarted",
    "StepCompleted",
    "StepGaveUp",
    "StepRetrying",
    "StepStarted",
    "SystemClock",
    "ToolCalled",
]
