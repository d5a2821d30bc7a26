"""Testing pipelines: a pytest plugin, and what its fixtures are made of, for other test runners.

The names are loaded when they are first used: pytest loads this room at every start, and must not pay for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.testing.clock import VirtualClock

__all__ = ["VirtualClock"]


def __getattr__(name: str) -> Any:
    match name:
        case "VirtualClock":
            from flujo.testing.clock import VirtualClock

            return VirtualClock
        case _:
            raise AttributeError(f"module 'flujo.testing' has no attribute {name!r}")
