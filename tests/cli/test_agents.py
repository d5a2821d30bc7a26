"""`flujo agents list` and `flujo agents show`."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

DESK = """\
from pydantic_ai import Agent
from flujo import FlujoTool, PipelineContext, Step, StreamingStep, step
from flujo.agents import AgentChoice, ClassifierAgent, ContextualAgentFactory, ModelAgent, TranslatorAgent
from flujo.skills import McpServer, with_mcp

def look(number: str) -> str:
    '''Look up a number.'''
    return number

def choose(context: PipelineContext) -> AgentChoice:
    return AgentChoice()

@step
async def plain(label: str) -> str:
    return label

tools = [FlujoTool(look, needs_approval=True)]
clerk = ModelAgent("openai:gpt-5", "Be brief.", tools=tools, settings={"temperature": 0.2}, name="clerk")
pipeline = (
    Step(ClassifierAgent(["bill", "offer"], model="openai:gpt-5-mini"), name="sort")
    >> plain
    >> Step(clerk)
    >> Step(Agent("test", output_type=int), name="count")
    >> Step(ContextualAgentFactory(clerk, choose), name="made")
)
quiet = plain
headers = {"X-Key": "top secret"}
keyed = ModelAgent("openai:gpt-5", settings={"extra_headers": headers}, tools=tools, name="keyed")
others = (
    Step(with_mcp(keyed, McpServer("shop.py", name="shop")))
    >> StreamingStep(TranslatorAgent("German", model="openai:gpt-5"), name="translate")
)
"""


@pytest.fixture
def desk(flujo: Shell) -> Shell:
    Path("desk.py").write_text(DESK)
    return flujo


def test_the_roles_are_listed(flujo: Shell) -> None:
    told = flujo("agents", "list")
    assert told.code == 0
    lines = [line.split() for line in told.out.splitlines()]
    assert [line[0] for line in lines[1:]] == [
        *("classifier", "code_generator", "extractor", "planner", "reviewer", "router", "sql_query"),
        *("summarizer", "translator"),
    ]
    assert lines[1][1:4] == ["ClassifierAgent", "version", "1"]
    assert "``" not in told.out
    assert ":class:" not in told.out


def test_the_agents_of_a_pipeline_are_listed(desk: Shell) -> None:
    told = desk("agents", "list", "desk.py:pipeline")
    assert told.code == 0
    rows = [line.split() for line in told.out.splitlines()[1:]]
    assert rows[0][:3] == ["sort", "ClassifierAgent", "openai:gpt-5-mini"]
    assert rows[1] == ["clerk", "ModelAgent", "openai:gpt-5", "str", "look"]
    assert rows[2] == ["count", "pydantic_ai.Agent", "test:test", "int", "none"]
    assert rows[3][:2] == ["made", "ContextualAgentFactory"]
    assert len(rows) == 4


def test_they_are_listed_as_json(desk: Shell) -> None:
    agents = desk("agents", "list", "desk.py:pipeline", "--json").json["agents"]
    assert [one["address"] for one in agents] == ["sort", "clerk", "count", "made"]
    assert agents[0]["role"] == "classifier"
    assert agents[0]["output_schema"] == {"enum": ["bill", "offer"], "type": "string"}
    assert agents[3]["by_context"] is True
    roles = desk("agents", "list", "--json").json["roles"]
    assert len(roles) == 9
    assert desk("agents", "list", "desk.py:quiet", "--json").json == {"agents": []}


def test_agents_with_mcp_servers_and_those_that_stream_are_listed_too(desk: Shell) -> None:
    rows = [line.split() for line in desk("agents", "list", "desk.py:others").out.splitlines()[1:]]
    assert rows == [
        ["keyed", "with_mcp", "openai:gpt-5", "str", "look,", "shop_…"],
        ["translate", "TranslatorAgent", "openai:gpt-5", "str", "none"],
    ]
    shown = desk("agents", "show", "desk.py:others", "keyed").out
    assert "tools of the MCP servers: shop" in shown
    assert "X-Key" in shown
    assert "secret" not in shown


def test_none_that_asks_a_model(desk: Shell) -> None:
    told = desk("agents", "list", "desk.py:quiet")
    assert (told.code, told.out) == (0, "")
    assert "no step of desk.py:quiet asks a model" in told.err


def test_a_role_is_shown(flujo: Shell) -> None:
    told = flujo("agents", "show", "reviewer").out
    assert told.startswith("reviewer: ReviewerAgent\n  about: Reviews work: gives findings and a score")
    assert (
        "  prompt version: 1\n  gives: Review\n  arguments: model, criteria, with_task, output_type\n" in told
    )
    assert "    You review work strictly and fairly" in told
    assert '        "Finding": {' in told
    assert flujo("agents", "show", "ReviewerAgent").out == told
    facts = flujo("agents", "show", "sql_query", "--json").json
    assert facts["output_schema"]["properties"]["rows"]["type"] == "array"
    assert "system_prompt" in facts["settings"]


def test_the_agent_of_a_step_is_shown(desk: Shell) -> None:
    told = desk("agents", "show", "desk.py:pipeline", "clerk").out
    assert told.startswith(
        "clerk: ModelAgent\n  model: openai:gpt-5\n  gives: str\n  settings: temperature=0.2\n"
    )
    assert "  tool look (a person must agree): Look up a number.\n  prompt:\n    Be brief.\n" in told
    assert "- bill\n" in desk("agents", "show", "desk.py:pipeline", "sort").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("classifer",), "did you mean classifier?"),
        (("nobody",), "flujo agents list"),
        (("desk.py:pipeline",), "flujo agents list desk.py:pipeline"),
        (("desk.py:pipeline", "clark"), "did you mean clerk?"),
        (("desk.py:quiet", "x"), "no address"),
        (("desk.py:pipelin", "clerk"), "pipeline"),
    ],
)
def test_what_is_not_there(desk: Shell, words: tuple[str, ...], said: str) -> None:
    told = desk("agents", "show", *words)
    assert told.code == (5 if words[0] == "desk.py:pipelin" else 2) or told.code == 2
    assert said in told.err
    assert desk("agents", "show", *words, "--json").json["error"]["fix"]


def test_a_missing_package_is_named(flujo: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flujo.agents.described", raising=False)
    monkeypatch.setitem(sys.modules, "pydantic_ai.models", None)
    told = flujo("agents", "list")
    assert told.code == 2
    assert "pip install 'flujo[agents,sql]'" in told.err
