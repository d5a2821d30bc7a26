"""Testing pipelines: a pytest plugin, and what its fixtures are made of, for other test runners.

The names are loaded when they are first used: pytest loads this room at every start, and must not pay for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.testing.carrying import Answer, Late, Signal, carry_on
    from flujo.testing.clock import VirtualClock
    from flujo.testing.crash import Lives
    from flujo.testing.mortal import DEATHS, Death, Died, Mortal, died
    from flujo.testing.outcome import Outcome
    from flujo.testing.passage import CrashError
    from flujo.testing.recording import Recordings, ReplayError
    from flujo.testing.scripted import After, Call, Scripted, ScriptError

__all__ = [
    "DEATHS",
    "After",
    "Answer",
    "Call",
    "CrashError",
    "Death",
    "Died",
    "Late",
    "Lives",
    "Mortal",
    "Outcome",
    "Recordings",
    "ReplayError",
    "ScriptError",
    "Scripted",
    "Signal",
    "VirtualClock",
    "carry_on",
    "died",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flujo.testing' has no attribute {name!r}")
    from flujo.testing import carrying, clock, crash, mortal, outcome, passage, recording, scripted

    modules = (carrying, clock, crash, mortal, outcome, passage, recording, scripted)
    return next(vars(module)[name] for module in modules if name in vars(module))
