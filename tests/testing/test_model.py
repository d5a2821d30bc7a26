"""The scripted model: every kind of turn, asked by an agent of pydantic-ai, streamed and not."""

import doctest
import subprocess
import sys
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import (
    ModelAuthenticationError,
    ModelHTTPError,
    ModelOverloadedError,
    ModelRateLimitError,
    ModelServerError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ToolCallPart

from flujo import Step
from flujo.agents import ModelAgent
from flujo.testing import (
    After,
    Lives,
    Malformed,
    Reply,
    ScriptedModel,
    ScriptError,
    Status,
    UseTool,
    VirtualClock,
)
from flujo.testing import model as model_module
from flujo.testing.plugin import MakeScriptedModel


class Total(BaseModel):
    amount: int


class Refusal(BaseModel):
    why: str


async def test_it_answers_in_order_and_keeps_what_it_was_asked() -> None:
    model = ScriptedModel("a", "b")
    agent = Agent(model, instructions="Be brief.", model_settings={"temperature": 0.5})
    first = await agent.run("one")
    second = await agent.run("two", message_history=first.all_messages())
    assert (first.output, second.output) == ("a", "b")
    assert [request.said for request in model.asked] == ["one", "two"]
    assert model.asked[1].conversation == "one\na\ntwo"
    assert model.asked[0].instructions == "Be brief."
    assert model.asked[0].settings == {"temperature": 0.5}
    model.check()


async def test_a_structured_answer_is_given_the_way_the_agent_asks_for_it() -> None:
    assert (await Agent(ScriptedModel(Total(amount=7)), output_type=Total).run("x")).output == Total(amount=7)
    assert (await Agent(ScriptedModel({"amount": 7}), output_type=Total).run("x")).output == Total(amount=7)
    assert (await Agent(ScriptedModel(7), output_type=int).run("x")).output == 7
    assert (await Agent(ScriptedModel([1, 2]), output_type=list[int]).run("x")).output == [1, 2]
    native = Agent(ScriptedModel(Total(amount=7)), output_type=NativeOutput(Total))
    assert (await native.run("x")).output == Total(amount=7)
    either: Agent[None, Total | Refusal] = Agent(
        ScriptedModel(Refusal(why="no")),
        output_type=[Total, Refusal],  # pyright: ignore[reportArgumentType]
    )
    assert (await either.run("x")).output == Refusal(why="no")


async def test_it_calls_tools_one_by_one_and_several_at_once() -> None:
    model = ScriptedModel(
        UseTool("add", {"a": 1, "b": 2}),
        [UseTool("add", {"a": 3, "b": 3}), UseTool("add", {"a": 4, "b": 4})],
        "14",
    )
    agent = Agent(model)

    @agent.tool_plain
    def add(a: int, b: int) -> int:  # pyright: ignore[reportUnusedFunction]
        return a + b

    assert (await agent.run("sum")).output == "14"
    assert [request.said for request in model.asked] == ["sum", "3", "6\n8"]
    assert model.asked[0].tools == ("add",)
    calls = [part for part in model.asked[2].messages[-2].parts if isinstance(part, ToolCallPart)]
    assert [call.tool_call_id for call in calls] == ["call-2-1", "call-2-2"]


async def test_what_is_malformed_goes_back_with_what_is_wrong() -> None:
    model = ScriptedModel(Malformed('{"amount": '), Malformed('{"amount": "much"}'), Total(amount=1))
    assert (await Agent(model, output_type=Total, retries=2).run("x")).output == Total(amount=1)
    assert "EOF while parsing" in model.asked[1].said
    assert "valid integer" in model.asked[2].said

    with pytest.raises(UnexpectedModelBehavior, match="Exceeded maximum output retries"):
        await Agent(ScriptedModel(Malformed("?"), Malformed("?")), output_type=Total, retries=1).run("x")


async def test_a_tool_called_with_what_is_no_json_is_told() -> None:
    model = ScriptedModel(UseTool("add", '{"a": 1, '), "gave up")
    agent = Agent(model)

    @agent.tool_plain
    def add(a: int, b: int) -> int:  # pyright: ignore[reportUnusedFunction]
        return a + b

    assert (await agent.run("sum")).output == "gave up"
    assert "invalid" in model.asked[1].said.lower()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, ModelRateLimitError),
        (401, ModelAuthenticationError),
        (500, ModelServerError),
        (529, ModelOverloadedError),
    ],
)
async def test_a_status_is_raised_as_a_client_raises_it(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        await Agent(ScriptedModel(Status(code, retry_after=1.5))).run("x")
    assert isinstance(caught.value, ModelHTTPError)
    assert caught.value.status_code == code
    assert caught.value.retry_after == 1.5
    assert caught.value.headers == {"retry-after": "1.5"}


async def test_delays_pass_on_its_clock() -> None:
    clock = VirtualClock()
    model = ScriptedModel(After(60, "late"), Reply("a", After(5, "b"), After(6, "c")), clock=clock)
    assert (await Agent(model).run("x")).output == "late"
    assert (await Agent(model).run("x")).output == "abc"
    assert clock.slept == [60, 5, 6]


async def test_it_reports_the_usage_it_is_given() -> None:
    model = ScriptedModel(
        "a",
        Reply("b", input_tokens=1000, output_tokens=20, cached_tokens=900, finish="length"),
        input_tokens=3,
    )
    assert (await Agent(model).run("x")).usage.input_tokens == 3
    result = await Agent(model).run("x")
    used = result.usage
    assert (used.input_tokens, used.output_tokens, used.cache_read_tokens) == (1000, 20, 900)
    assert result.response.finish_reason == "length"


async def chunks(agent: Agent[Any, str]) -> list[str]:
    async with agent.run_stream("x") as stream:
        return [delta async for delta in stream.stream_text(delta=True, debounce_by=None)]


async def test_it_streams_by_words_or_as_it_is_told() -> None:
    model = ScriptedModel("The sea is blue.", Reply("The s", "ea is", " blue."), input_tokens=8)
    agent = Agent(model)
    assert await chunks(agent) == ["The ", "sea ", "is ", "blue."]
    assert await chunks(agent) == ["The s", "ea is", " blue."]
    assert [request.streamed for request in model.asked] == [True, True]


async def test_a_stream_that_is_cut_fails() -> None:
    model = ScriptedModel(Reply("The sea ", ConnectionError("cut")))
    with pytest.raises(ConnectionError, match="cut"):
        await chunks(Agent(model))


async def test_tools_and_structured_answers_are_streamed() -> None:
    model = ScriptedModel(Reply("Adding.", UseTool("add", {"a": 1, "b": 2})), Total(amount=3), input_tokens=8)
    agent = Agent(model, output_type=Total)

    @agent.tool_plain
    def add(a: int, b: int) -> int:  # pyright: ignore[reportUnusedFunction]
        return a + b

    async with agent.run_stream("sum") as stream:
        assert await stream.get_output() == Total(amount=3)
        assert stream.usage.input_tokens == 16
    assert model.asked[1].said == "3"


async def test_asked_more_often_or_less_it_says_so() -> None:
    model = ScriptedModel("a", "b")
    await Agent(model).run("one")
    with pytest.raises(ScriptError) as caught:
        model.check()
    assert str(caught.value) == snapshot(
        "a scripted model has 2 turns and was asked 1 times; last with 'one'"
    )
    await Agent(model).run("two")
    with pytest.raises(ScriptError) as caught:
        await Agent(model).run("three")
    assert str(caught.value) == snapshot(
        "a scripted model with 2 turns was asked for one more, with 'three': give it another "
        "turn, or find who asks"
    )


@pytest.mark.crash_everywhere
def test_wherever_the_process_dies_each_request_is_answered_as_before(
    scripted_model: MakeScriptedModel, flujo_lives: Lives
) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    model = scripted_model(
        UseTool("add", {"a": 1, "b": 2}), Status(500), Reply("It is ", "3", input_tokens=99)
    )
    agent = ModelAgent(model, tools=[add])
    result = flujo_lives.run(Step(agent, name="first") >> Step(agent_of("four"), name="second"), "go")
    assert result.unwrap() == "four"


def agent_of(*turns: Any) -> ModelAgent[str]:
    return ModelAgent(ScriptedModel(*turns))


def test_the_fixture_checks_that_the_script_was_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pydantic_ai import Agent

        def test_all(scripted_model):
            assert Agent(scripted_model("a")).run_sync("x").output == "a"

        def test_too_few(scripted_model):
            scripted_model("a")
        """
    )
    outcome = pytester.runpytest_subprocess("-q")
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines(["*a scripted model has 1 turns and was asked 0 times"])


def test_the_example_runs() -> None:
    assert doctest.testmod(model_module).failed == 0


def test_testing_loads_pydantic_ai_only_for_a_model() -> None:
    look = "import sys, flujo.testing as t; t.Scripted, t.UseTool; assert 'pydantic_ai' not in sys.modules"
    subprocess.run([sys.executable, "-c", look], check=True)


def test_without_pydantic_ai_it_names_the_extra() -> None:
    look = (
        "import sys; sys.modules['pydantic_ai'] = None\n"
        "import flujo.testing as t\n"
        "try: t.ScriptedModel\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True).stdout
    assert said == snapshot("""\
ConfigError a scripted model needs the package pydantic-ai, which is not installed
  To fix: pip install 'flujo[agents]'
""")
