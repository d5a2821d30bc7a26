"""Agents that are language models: adapters, factories and roles; of pydantic-ai where nothing else is said.

The names are loaded when they are used, and with them pydantic-ai (the extra ``agents``).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flujo.errors import ConfigError

if TYPE_CHECKING:
    from flujo.agents.build import AgentBuilder, make_agent_async
    from flujo.agents.model import ModelAgent
    from flujo.agents.pydantic import PydanticAgent

__all__ = ["AgentBuilder", "ModelAgent", "PydanticAgent", "make_agent_async"]

_MODULES = {
    "AgentBuilder": "build",
    "ModelAgent": "model",
    "PydanticAgent": "pydantic",
    "make_agent_async": "build",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "flujo":
            raise
        raise ConfigError(
            f"flujo.agents.{name} needs the package {error.name}, which is not installed",
            fix="pip install 'flujo[agents]'",
        ) from error
    return vars(module)[name]
