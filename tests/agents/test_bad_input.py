"""Agents that are given what cannot work: clear errors, the right number of attempts, and nothing lost."""

from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from flujo import Flujo, MemoryStore, SQLiteStore, Step
from flujo.agents import AgentBuilder, ModelAgent, make_agent_async
from flujo.errors import ConfigError, PipelineError
from flujo.testing import Malformed, Reply, ScriptedModel, Status, UseTool, VirtualClock

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


class Total(BaseModel):
    amount: int


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


async def run(agent: Any, **settings: Any) -> Any:
    runner = Flujo(Step(agent, name="ask", **settings), state=MemoryStore(), clock=VirtualClock())
    return await runner.run_async("my number is 555-1234")


async def refused(model: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        await make_agent_async(model)
    return str(caught.value)


async def test_a_model_that_is_not_known_is_refused_with_the_one_that_was_meant() -> None:
    assert await refused("gpt-4o") == snapshot("""\
agent 'agent': the model 'gpt-4o' is not known
  To fix: did you mean 'openai:gpt-4o'?\
""")
    assert await refused("opnai:gpt-4o") == snapshot("""\
agent 'agent': the model 'opnai:gpt-4o' is not known
  To fix: did you mean 'openai:gpt-4o'?\
""")
    for unlike in ("nobody:x", ""):
        said = await refused(unlike)
        assert said.startswith(f"agent 'agent': the model {unlike!r} is not known")
        assert "name it as provider:model, with a provider of anthropic, bedrock" in said
    assert await refused(5) == snapshot("""\
agent 'agent': int is no model
  To fix: name one as provider:model, or pass a model of pydantic-ai\
""")


async def test_a_key_that_is_missing_is_named() -> None:
    assert await refused("openai:gpt-4o") == snapshot("""\
agent 'agent': there is no key for 'openai:gpt-4o'
  To fix: set OPENAI_API_KEY in the environment, or pass a model that was made with its key\
""")
    assert await refused("anthropic:claude-sonnet-4-6") == snapshot("""\
agent 'agent': there is no key for 'anthropic:claude-sonnet-4-6'
  To fix: set ANTHROPIC_API_KEY in the environment, or pass a model that was made with its key\
""")


async def test_a_client_that_is_not_installed_is_named() -> None:
    assert await refused("groq:x") == snapshot("""\
agent 'agent': the client of 'groq:x' is not installed
  To fix: pip install 'pydantic-ai-slim[groq]'\
""")


async def test_a_model_that_cannot_be_used_is_tried_once() -> None:
    result = await run(AgentBuilder().with_model("openai:gpt-4o").build(), retry=3)
    assert result.status == "failed"
    assert result.error.attempt == 1
    assert "OPENAI_API_KEY" in str(result.error)


@pytest.mark.parametrize(
    "settings",
    [
        {"retries": -1},
        {"timeout": 0},
        {"timeout": -1.0},
        {"max_turns": 0},
        {"temperature": 0.5},
        {"settings": {"temprature": 0.5}},
        {"settings": {"max_retries": 3}},
        {"settings": None},
        {"system_prompt": 5},
        {"output_type": None},
        {"output_type": 5},
        {"tools": None},
        {"tools": "add"},
        {"fallbacks": "openai:gpt-5"},
        {"requests": 3},
        {"name": None},
    ],
    ids=str,
)
async def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(PipelineError) as caught:
        await make_agent_async(ScriptedModel("x"), **settings)
    assert caught.value.fix


class Shelf:
    """A tool that fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[str] = []

    def find(self, title: str) -> str:
        """Find a book."""
        self.calls.append(title)
        if len(self.calls) <= self.failures:
            raise ConnectionError("the shelf is closed")
        return f"{title} is here"


async def test_a_tool_that_raises_fails_the_attempt_and_is_called_again_in_the_next() -> None:
    shelf = Shelf(failures=1)
    model = ScriptedModel(UseTool("find", {"title": "Emma"}), "It is here.")
    result = await run(ModelAgent(model, tools=[shelf.find]), retry=2)
    assert result.unwrap() == "It is here."
    assert shelf.calls == ["Emma", "Emma"]
    assert len(model.asked) == 2  # what the model said before is not paid for again
    assert result.usage.requests == 2


async def test_a_tool_that_always_raises_fails_the_step_with_its_own_error() -> None:
    shelf = Shelf(failures=9)
    model = ScriptedModel(UseTool("find", {"title": "Emma"}))
    result = await run(ModelAgent(model, tools=[shelf.find]), retry=2)
    assert result.status == "failed"
    assert str(result.error) == snapshot("step 'ask' (attempt 2): ConnectionError: the shelf is closed")
    assert isinstance(result.error.__cause__, ConnectionError)
    assert result.usage.requests == 1


async def test_a_tool_with_wrong_arguments_is_not_called_and_the_model_is_told() -> None:
    shelf = Shelf(failures=0)
    model = ScriptedModel(
        UseTool("find", {"name": "Emma"}), UseTool("find", {"title": 7}), UseTool("lose", {}), "I give up."
    )
    result = await run(ModelAgent(model, tools=[shelf.find], retries=2))
    assert result.unwrap() == "I give up."
    assert shelf.calls == []
    assert "title" in model.asked[1].said
    assert "valid string" in model.asked[2].said
    assert "find" in model.asked[3].said  # the tools that there are


async def test_an_output_that_never_validates_says_what_was_wrong_and_not_with_which_value() -> None:
    model = ScriptedModel(*[Malformed('{"amount": "call 555-1234"}')] * 3)
    result = await run(ModelAgent(model, output_type=Total))
    assert str(result.error) == snapshot("""\
step 'ask' (attempt 1): AgentFailed: agent 'agent' gave no output that fits: amount: Input should be a valid \
integer, unable to parse string as an integer
  To fix: make the output type easier to fill, say in the prompt what is wanted, or allow more retries\
""")
    assert len(model.asked) == 3
    assert result.usage.requests == 3


async def test_an_answer_of_another_kind_says_so() -> None:
    model = ScriptedModel(*["My number is 555-1234"] * 3)
    result = await run(ModelAgent(model, output_type=Total))
    assert str(result.error) == snapshot("""\
step 'ask' (attempt 1): AgentFailed: agent 'agent' gave no output that fits: the whole: Invalid \
JSON: expected value at line 1 column 1
  To fix: make the output type easier to fill, say in the prompt what is wanted, or allow more retries\
""")


async def test_an_agent_that_never_ends_is_stopped() -> None:
    shelf = Shelf(failures=0)
    model = ScriptedModel(*[UseTool("find", {"title": "Emma"})] * 3)
    result = await run(ModelAgent(model, tools=[shelf.find], max_turns=3))
    assert str(result.error) == snapshot("""\
step 'ask' (attempt 1): AgentFailed: agent 'agent' did not come to an end: it has asked its model 3 times
  To fix: raise its max_turns, or look in the journal for why it goes on\
""")
    assert result.usage.requests == 3


async def test_what_a_filter_stopped_is_said_without_what_was_said() -> None:
    model = ScriptedModel(Reply(finish="content_filter"))
    result = await run(ModelAgent(model))
    assert result.status == "failed"
    assert str(result.error) == snapshot("""\
step 'ask' (attempt 1): AgentFailed: agent 'agent': its provider's filter stopped the answer
  To fix: look at what it was given\
""")


SECRET = "sk-proj-abcdefghijklmnop0123456789"


async def test_a_key_that_a_provider_repeats_is_told_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    store = SQLiteStore(tmp_path / "flujo_ops.db")
    model = ScriptedModel(Status(401, message=f"Incorrect API key provided: {SECRET}. Bearer {SECRET}"))
    runner = Flujo(Step(ModelAgent(model), name="ask"), state=store)
    result = await runner.run_async("x")
    await store.close()
    assert str(result.error) == snapshot(
        "step 'ask' (attempt 1): ModelAuthenticationError: status_code: 401, model_name: scripted, body: "
        "{'message': 'Incorrect API key provided: [a key]. [a key]'}"
    )
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in written
    assert SECRET not in caplog.text
    chain: list[BaseException] = []
    error: BaseException | None = result.error
    while error is not None:
        chain.append(error)
        error = error.__cause__
    assert all(SECRET not in repr(one) + str(one) for one in chain)
