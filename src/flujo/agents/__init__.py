"""Agents that are language models: adapters, factories and roles; of pydantic-ai where nothing else is said.

The names are loaded when they are used, and with those of models pydantic-ai (the extra ``agents``). Recipes,
which put nodes of any kind together, need no model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flujo.errors import ConfigError

if TYPE_CHECKING:
    from flujo.agents.build import AgentBuilder, make_agent_async
    from flujo.agents.model import ModelAgent
    from flujo.agents.panels import Ballot, Debate, DebateTurn, Statement, consensus, debate
    from flujo.agents.providers import configure_provider
    from flujo.agents.pydantic import PydanticAgent
    from flujo.agents.refine import Revision, refine_until
    from flujo.agents.scores import Attempt, Scored, best_of

__all__ = [
    "AgentBuilder",
    "Attempt",
    "Ballot",
    "Debate",
    "DebateTurn",
    "ModelAgent",
    "PydanticAgent",
    "Revision",
    "Scored",
    "Statement",
    "best_of",
    "configure_provider",
    "consensus",
    "debate",
    "make_agent_async",
    "refine_until",
]

_MODULES = {
    "AgentBuilder": "build",
    "Attempt": "scores",
    "Ballot": "panels",
    "Debate": "panels",
    "DebateTurn": "panels",
    "ModelAgent": "model",
    "PydanticAgent": "pydantic",
    "configure_provider": "providers",
    "Revision": "refine",
    "Scored": "scores",
    "Statement": "panels",
    "best_of": "scores",
    "consensus": "panels",
    "debate": "panels",
    "make_agent_async": "build",
    "refine_until": "refine",
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
