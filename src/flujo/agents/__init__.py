"""Agents that are language models: adapters, factories and roles; of pydantic-ai where nothing else is said.

The names are loaded when they are used, and with those of models pydantic-ai (the extra ``agents``). Recipes,
which put nodes of any kind together, need no model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flujo.errors import ConfigError
from flujo.pipeline.streaming import StreamingAgentProtocol

if TYPE_CHECKING:
    from flujo.agents.build import AgentBuilder, make_agent_async
    from flujo.agents.choosing import ClassifierAgent, RouterAgent
    from flujo.agents.contextual import AgentChoice, ContextualAgentFactory
    from flujo.agents.model import ModelAgent
    from flujo.agents.panels import Ballot, Debate, DebateTurn, Statement, consensus, debate
    from flujo.agents.providers import configure_provider
    from flujo.agents.pydantic import PydanticAgent
    from flujo.agents.querying import SQLAnswer, SQLQuery, SQLQueryAgent
    from flujo.agents.reading import (
        ExtractorAgent,
        Finding,
        Review,
        ReviewerAgent,
        Summary,
        TextSummarizerAgent,
        TranslatorAgent,
    )
    from flujo.agents.refine import Revision, refine_until
    from flujo.agents.role import RoleAgent, RoleSettings
    from flujo.agents.scores import Attempt, Scored, best_of
    from flujo.agents.sql_check import check_sql
    from flujo.agents.sql_run import Database, PostgresDatabase, SQLiteDatabase
    from flujo.agents.working import (
        CodeGeneratorAgent,
        CodeTask,
        GeneratedCode,
        PlannerAgent,
        TaskPlan,
        TaskStep,
    )

__all__ = [
    "AgentBuilder",
    "AgentChoice",
    "Attempt",
    "Ballot",
    "ClassifierAgent",
    "CodeGeneratorAgent",
    "CodeTask",
    "ContextualAgentFactory",
    "Database",
    "Debate",
    "DebateTurn",
    "ExtractorAgent",
    "Finding",
    "GeneratedCode",
    "ModelAgent",
    "PlannerAgent",
    "PostgresDatabase",
    "PydanticAgent",
    "Review",
    "ReviewerAgent",
    "Revision",
    "RoleAgent",
    "RoleSettings",
    "RouterAgent",
    "SQLAnswer",
    "SQLQuery",
    "SQLQueryAgent",
    "SQLiteDatabase",
    "Scored",
    "Statement",
    "StreamingAgentProtocol",
    "Summary",
    "TaskPlan",
    "TaskStep",
    "TextSummarizerAgent",
    "TranslatorAgent",
    "best_of",
    "check_sql",
    "configure_provider",
    "consensus",
    "debate",
    "make_agent_async",
    "refine_until",
]

_MODULES = {
    "AgentBuilder": "build",
    "AgentChoice": "contextual",
    "Attempt": "scores",
    "Ballot": "panels",
    "ClassifierAgent": "choosing",
    "CodeGeneratorAgent": "working",
    "CodeTask": "working",
    "ContextualAgentFactory": "contextual",
    "Database": "sql_run",
    "Debate": "panels",
    "DebateTurn": "panels",
    "ExtractorAgent": "reading",
    "Finding": "reading",
    "GeneratedCode": "working",
    "ModelAgent": "model",
    "PlannerAgent": "working",
    "PostgresDatabase": "sql_run",
    "PydanticAgent": "pydantic",
    "configure_provider": "providers",
    "Review": "reading",
    "ReviewerAgent": "reading",
    "Revision": "refine",
    "RoleAgent": "role",
    "RoleSettings": "role",
    "RouterAgent": "choosing",
    "SQLAnswer": "querying",
    "SQLQuery": "querying",
    "SQLQueryAgent": "querying",
    "SQLiteDatabase": "sql_run",
    "Scored": "scores",
    "Statement": "panels",
    "Summary": "reading",
    "TaskPlan": "working",
    "TaskStep": "working",
    "TextSummarizerAgent": "reading",
    "TranslatorAgent": "reading",
    "best_of": "scores",
    "check_sql": "sql_check",
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
        package = (error.name or "").partition(".")[0]
        if package == "flujo":
            raise
        raise ConfigError(
            f"flujo.agents.{name} needs the package {package}, which is not installed",
            fix=f"pip install 'flujo[{'sql' if package == 'sqlglot' else 'agents'}]'",
        ) from error
    return vars(module)[name]
