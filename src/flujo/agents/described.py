"""What an agent is told, gives and may call, as JSON: for people who look at a pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from pydantic import PydanticUserError, TypeAdapter
from pydantic_ai.models import Model
from pydantic_core import to_jsonable_python

from flujo.agents.choosing import ClassifierAgent, RouterAgent
from flujo.agents.contextual import SECRET_SETTINGS, ContextualAgentFactory
from flujo.agents.model import ModelAgent
from flujo.agents.pydantic import PydanticAgent
from flujo.agents.querying import SQLAnswer, SQLQueryAgent
from flujo.agents.reading import (
    ExtractorAgent,
    Review,
    ReviewerAgent,
    Summary,
    TextSummarizerAgent,
    TranslatorAgent,
)
from flujo.agents.role import RoleAgent
from flujo.agents.roleprompts import prompt_of_role
from flujo.agents.working import CodeGeneratorAgent, GeneratedCode, PlannerAgent, TaskPlan
from flujo.pipeline.tools import FlujoTool
from flujo.plan.nodes import PlanStep, PlanStream
from flujo.plan.plan import Plan
from flujo.plan.types import plain, type_name

Described = Mapping[str, Any]


@runtime_checkable
class Wrapped(Protocol):
    """An agent of another room, with a model's agent inside."""

    @property
    def agent(self) -> ModelAgent[Any]:
        """The agent inside."""
        ...

    @property
    def described(self) -> Described:
        """What is other about it, as JSON."""
        ...


_ROLES: tuple[tuple[type[RoleAgent[Any]], Any, str], ...] = (
    (ClassifierAgent, None, "one of its labels, or a list of them"),
    (CodeGeneratorAgent, GeneratedCode, ""),
    (ExtractorAgent, None, "the model that it is made with"),
    (PlannerAgent, TaskPlan, ""),
    (ReviewerAgent, Review, ""),
    (RouterAgent, None, "one of its routes"),
    (SQLQueryAgent, SQLAnswer, ""),
    (TextSummarizerAgent, Summary, ""),
    (TranslatorAgent, str, ""),
)
"""The roles: what makes an agent of each, what that gives, and in words where it depends."""


def roles() -> list[Described]:
    """Return every role, by name: what it does and is told, what it gives, and what may be changed."""
    return sorted((_role(*one) for one in _ROLES), key=lambda one: str(one["role"]))


def _role(kind: type[RoleAgent[Any]], gives: Any, words: str) -> Described:
    prompt = prompt_of_role(kind.role)
    taken = [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "settings")]
    return {
        "role": kind.role,
        "made_by": kind.__name__,
        "about": kind.about(),
        "prompt_version": prompt.version,
        "prompt": prompt.text,
        "gives": words or type_name(gives),
        "output_schema": None if words else schema_of(gives),
        "arguments": taken,
        "settings": sorted(_settings()),
    }


def _settings() -> set[str]:
    from flujo.agents.role import RoleSettings

    return {*RoleSettings.__required_keys__, *RoleSettings.__optional_keys__}


def agents_of(plan: Plan) -> list[Described]:
    """Return the agents of a plan's steps that ask a model, in order."""
    found = (
        (path, agent_of(node.stream.agent if isinstance(node, PlanStream) else node.node.agent))
        for path, node in plan.nodes.items()
        if isinstance(node, PlanStep)
    )
    return [{"address": path, **facts} for path, facts in found if facts is not None]


def agent_of(agent: object) -> Described | None:
    """Return what an agent is; None for what asks no model, as far as Flujo knows."""
    match agent:
        case ContextualAgentFactory():
            made = cast("ContextualAgentFactory[Any]", agent)
            return {**(agent_of(made.agent) or {}), "agent": "ContextualAgentFactory", "by_context": True}
        case RoleAgent():
            role = cast("RoleAgent[Any]", agent)
            version = {"role": role.role, "prompt_version": role.prompt.version}
            return {**_model_agent(role.agent), "agent": type(role).__name__, **version}
        case ModelAgent():
            return _model_agent(cast("ModelAgent[Any]", agent))
        case Wrapped():
            return {**_model_agent(agent.agent), **agent.described}
        case PydanticAgent():
            return _pydantic_agent(agent)
        case _:
            return None


def _model_agent(agent: ModelAgent[Any]) -> dict[str, Any]:
    return {
        "agent": "ModelAgent",
        "model": _model_name(agent.model),
        "fallbacks": [_model_name(one) for one in agent.fallbacks],
        "gives": type_name(plain(agent.output_type)),
        "prompt": agent.system_prompt,
        "output_schema": schema_of(agent.output_type),
        "settings": to_jsonable_python({**agent.settings, **_headers(agent.settings)}, fallback=str),
        "retries": agent.retries,
        "timeout": agent.timeout,
        "max_turns": agent.max_turns,
        "tools": [_tool(tool) for tool in cast("Sequence[FlujoTool]", agent.tools)],
    }


def _pydantic_agent(adapted: PydanticAgent) -> dict[str, Any]:
    model = adapted.agent.model
    gives = adapted.run.__annotations__["return"]
    return {
        "agent": "pydantic_ai.Agent",
        "model": "" if model is None else _model_name(model),
        "gives": type_name(gives),
        "output_schema": schema_of(gives),
    }


def _headers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers among settings, without what they hold: it may be a key."""
    return {
        name: dict.fromkeys(cast("Mapping[str, Any]", value), "***")
        for name, value in settings.items()
        if name in SECRET_SETTINGS
    }


def _model_name(model: str | Model) -> str:
    return model if isinstance(model, str) else model.model_id


def _tool(tool: FlujoTool) -> dict[str, Any]:
    asks = tool.needs_approval
    return {
        "name": tool.name,
        "description": tool.description,
        "needs_approval": "depends" if callable(asks) else asks,
        "labels": sorted(tool.labels),
    }


def schema_of(kind: Any) -> dict[str, Any] | None:
    """Return the JSON Schema of a type; None where it has none."""
    try:
        return TypeAdapter(kind).json_schema()
    except PydanticUserError:
        return None
