"""Running: the runner, the gate that every effect passes, pauses, hooks, results."""

from flujo.engine.clock import Clock, SystemClock
from flujo.engine.result import (
    Finished,
    Paused,
    RunEvent,
    RunStarted,
    StepCompleted,
    StepGaveUp,
    StepRetrying,
    StepStarted,
)

__all__ = [
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
]
