"""Testing pipelines: a pytest plugin, and what its fixtures are made of, for other test runners.

The names are loaded when they are first used: pytest loads this room at every start, and must not pay for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.testing.carrying import Answer, Late, Signal, carry_on
    from flujo.testing.clock import VirtualClock
    from flujo.testing.crash import Lives
    from flujo.testing.model import Asked, ScriptedModel
    from flujo.testing.mortal import DEATHS, Death, Died, Mortal, died
    from flujo.testing.outcome import Outcome
    from flujo.testing.passage import CrashError
    from flujo.testing.recording import Recordings, ReplayError
    from flujo.testing.scripted import After, Call, Scripted, ScriptError
    from flujo.testing.turns import Malformed, Reply, Status, UseTool

__all__ = [
    "DEATHS",
    "After",
    "Answer",
    "Asked",
    "Call",
    "CrashError",
    "Death",
    "Died",
    "Late",
    "Lives",
    "Malformed",
    "Mortal",
    "Outcome",
    "Recordings",
    "ReplayError",
    "Reply",
    "ScriptError",
    "Scripted",
    "ScriptedModel",
    "Signal",
    "Status",
    "UseTool",
    "VirtualClock",
    "carry_on",
    "died",
]

_OF_MODELS = frozenset({"Asked", "ScriptedModel"})
"""What needs pydantic-ai: asking for it loads that, and nothing else does."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flujo.testing' has no attribute {name!r}")
    if name in _OF_MODELS:
        from flujo.testing import model

        return vars(model)[name]
    from flujo.testing import carrying, clock, crash, mortal, outcome, passage, recording, scripted, turns

    modules = (carrying, clock, crash, mortal, outcome, passage, recording, scripted, turns)
    return next(vars(module)[name] for module in modules if name in vars(module))
