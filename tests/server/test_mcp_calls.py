"""Calls of tools: runs, answers, errors; with the official client, in both ways of the protocol."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitResult, RequestParamsMeta

from flujo import Flujo, FlujoTool, HumanInput, Parallel, SQLiteStore, Step, step
from flujo.agents import ModelAgent
from flujo.journal.store import RunQuery, RunRecord
from flujo.testing import ScriptedModel, UseTool
from tests.server import shop
from tests.server.conftest import Connect

KEY = cast("RequestParamsMeta", {"flujo/idempotency-key": "order-17"})


async def runs(folder: Path) -> list[RunRecord]:
    store = SQLiteStore(folder / "runs.db")
    try:
        return list((await store.runs(RunQuery())).runs)
    finally:
        await store.close()


def told(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if part.type == "text")


class Person:
    """Fills in forms as it was told to; leaves them when it has nothing left to say."""

    def __init__(self, *answers: ElicitResult) -> None:
        self.answers = list(answers)
        self.shown: list[Any] = []

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.shown.append(params)
        return self.answers.pop(0) if self.answers else ElicitResult(action="cancel")


def says(decision: str, **more: str) -> ElicitResult:
    return ElicitResult(action="accept", content={"decision": decision, **more})


async def test_what_a_fault_of_the_server_says_is_told_nowhere(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: SQLiteStore, run_id: str) -> RunRecord | None:
        raise ValueError(run_id)

    async with connect(shop.pack) as client:
        monkeypatch.setattr(SQLiteStore, "run", broken)
        result = await client.call_tool("flujo_run", {"run_id": "ada@example.com"})
    assert "the server failed" in told(result)
    assert "a call failed: ValueError, at" in caplog.text
    assert "in broken" in caplog.text
    assert "ada@example.com" not in caplog.text + told(result)


async def test_a_call_is_a_recorded_run(connect: Connect, tmp_path: Path) -> None:
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with connect(shop.pack) as client:
        result = await client.call_tool("pack", {"item": "tea", "amount": 2}, progress_callback=hear)
    (record,) = await runs(tmp_path)
    assert not result.is_error
    assert result.structured_content == {
        "run_id": record.run_id,
        "status": "completed",
        "output": {"item": "tea", "amount": 2},
    }
    assert (result.meta or {})["flujo/run-id"] == record.run_id
    assert record.status == "completed"
    assert heard == [(1.0, f"run {record.run_id} began"), (2.0, "pack completed")]


async def test_the_tools_are_listed_with_their_schemas(connect: Connect) -> None:
    async with connect(shop.pack, shop.letter) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools.keys() == {"pack", "letter", "flujo_run"}
    assert tools["pack"].input_schema["required"] == ["item"]
    assert tools["letter"].output_schema is not None
    assert tools["letter"].output_schema["properties"]["output"]["type"] == "string"


async def test_the_same_key_twice_is_one_run(connect: Connect, tmp_path: Path) -> None:
    async with connect(shop.pack) as client:
        one = await client.call_tool("pack", {"item": "tea"}, meta=KEY)
        two = await client.call_tool("pack", {"item": "tea"}, meta=KEY)
        other = await client.call_tool("pack", {"item": "milk"}, meta=KEY)
    assert one.structured_content == two.structured_content
    assert other.is_error
    assert "another input" in told(other)
    assert len(await runs(tmp_path)) == 1


async def test_the_same_key_at_once_is_one_run(connect: Connect, tmp_path: Path) -> None:
    async with connect(shop.pack) as client:
        calls = [client.call_tool("pack", {"item": "tea"}, meta=KEY) for _ in range(5)]
        results = await asyncio.gather(*calls)
    assert len({str(result.structured_content) for result in results}) == 1
    assert len(await runs(tmp_path)) == 1


async def test_a_key_that_is_no_text_is_refused(connect: Connect) -> None:
    async with connect(shop.pack) as client:
        result = await client.call_tool(
            "pack",
            {"item": "tea"},
            meta=cast("RequestParamsMeta", {"flujo/idempotency-key": 17}),
        )
    assert "pass a text" in told(result)


async def test_an_input_that_does_not_fit_is_the_tool_s_error(connect: Connect, tmp_path: Path) -> None:
    async with connect(shop.pack) as client:
        result = await client.call_tool("pack", {"amount": "many"})
    assert result.is_error
    assert told(result).startswith("the input does not fit: item: Field required")
    assert "To fix:" in told(result)
    assert not (tmp_path / "runs.db").exists() or await runs(tmp_path) == []


async def test_an_unknown_tool_is_an_error_of_the_protocol(connect: Connect) -> None:
    async with connect(shop.pack) as client:
        with pytest.raises(MCPError, match="no tool 'unpack'"):
            await client.call_tool("unpack", {})


async def test_a_failure_tells_no_traceback_and_no_secret(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "sk-123456789")
    async with connect(shop.fail) as client:
        result = await client.call_tool("fail", {"input": "tea"})
    text = told(result) + str(result.structured_content)
    assert result.is_error
    assert "step 'fail' (attempt 1): ValueError: no tea" in text
    assert "sk-123456789" not in text
    assert "Traceback" not in text
    assert ".py" not in text
    assert result.structured_content["error"]["code"] == "step_failed"


async def test_a_paused_run_names_itself_and_what_is_asked(connect: Connect, tmp_path: Path) -> None:
    async with connect(shop.letter) as client:
        result = await client.call_tool("letter", {"input": "rent"})
        again = await client.call_tool("flujo_run", {"run_id": result.structured_content["run_id"]})
    (record,) = await runs(tmp_path)
    said = result.structured_content
    assert not result.is_error
    assert (said["run_id"], said["status"]) == (record.run_id, "paused")
    assert [(one["address"], one["prompt"], one["subject"]) for one in said["pending"]] == [
        ("confirm", "Send it?", "RENT")
    ]
    assert "Send it?" in said["message"]
    assert again.structured_content == said


async def test_what_was_answered_elsewhere_is_found_by_the_same_key(connect: Connect, tmp_path: Path) -> None:
    async with connect(shop.letter) as client:
        paused = await client.call_tool("letter", {"input": "rent"}, meta=KEY)
        run_id = paused.structured_content["run_id"]
        async with Flujo(shop.letter, state=tmp_path / "runs.db") as elsewhere:
            await elsewhere.resume_async(run_id, "rent, please")
        found = await client.call_tool("letter", {"input": "rent"}, meta=KEY)
        asked = await client.call_tool("flujo_run", {"run_id": run_id})
    assert found.structured_content == asked.structured_content
    assert found.structured_content["output"] == "sent: rent, please"


async def test_runs_of_other_pipelines_are_not_told(connect: Connect, tmp_path: Path) -> None:
    async with Flujo(shop.shout, state=tmp_path / "runs.db") as other:
        run_id = (await other.run_async("private")).run_id
    async with connect(shop.letter, approvals=True) as client:
        result = await client.call_tool("flujo_run", {"run_id": run_id})
    assert result.is_error
    assert "no run" in told(result)


# Asking people through the client


@pytest.mark.parametrize(
    ("answer", "output"),
    [(says("approve"), "sent: RENT"), (says("edit", value="rent, please"), "sent: rent, please")],
)
async def test_a_person_decides_through_the_client(
    connect: Connect, answer: ElicitResult, output: str, tmp_path: Path
) -> None:
    person = Person(answer)
    async with connect(shop.letter, elicitation_callback=person) as client:
        result = await client.call_tool("letter", {"input": "rent"})
    assert result.structured_content["output"] == output
    assert "Send it?" in person.shown[0].message
    assert '"RENT"' in person.shown[0].message
    assert person.shown[0].requested_schema["required"] == ["decision"]
    async with Flujo(shop.letter, state=tmp_path / "runs.db") as runner:
        assert runner.store is not None
        events = await runner.store.events(result.structured_content["run_id"])
    answered = next(event for event in events if event.kind == "answer")
    assert b'"channel":"mcp"' in answered.body
    assert b'"actor":"mcp' in answered.body


@pytest.mark.parametrize("answer", [says("deny", reason="too dear"), ElicitResult(action="decline")])
async def test_to_decline_is_to_deny(connect: Connect, answer: ElicitResult) -> None:
    async with connect(shop.letter, elicitation_callback=Person(answer)) as client:
        result = await client.call_tool("letter", {"input": "rent"})
    assert result.is_error
    assert result.structured_content["error"]["code"] == "denied"


async def test_a_form_that_is_left_leaves_the_run_paused(connect: Connect) -> None:
    person = Person(ElicitResult(action="cancel"))
    async with connect(shop.letter, elicitation_callback=person) as client:
        result = await client.call_tool("letter", {"input": "rent"})
    assert result.structured_content["status"] == "paused"
    assert len(person.shown) == 1


async def test_nothing_is_approved_by_saying_nothing(connect: Connect) -> None:
    person = Person(*[ElicitResult(action="accept", content={}) for _ in range(9)])
    async with connect(shop.letter, elicitation_callback=person) as client:
        result = await client.call_tool("letter", {"input": "rent"})
    assert result.structured_content["status"] == "paused"
    assert "no decision was made" in result.structured_content["message"]
    assert len(person.shown) == 3
    assert "Your last answer was not taken" in person.shown[1].message


async def test_an_answer_of_many_parts_is_given_as_json(connect: Connect) -> None:
    person = Person(
        says("edit", value="dear me"),
        says("edit", value='{"to": "me"}'),
        says("edit", value='{"to": "me", "lines": ["hello"]}'),
    )
    async with connect(shop.note, elicitation_callback=person) as client:
        result = await client.call_tool("note", {"input": "you"})
    assert "no JSON" in person.shown[1].message
    assert "lines: Field required" in person.shown[2].message
    assert result.structured_content["output"] == "me: hello"


async def test_several_questions_are_asked_each(connect: Connect) -> None:
    person = Person(says("approve"), says("edit", value="B"))
    async with connect(shop.both, elicitation_callback=person) as client:
        result = await client.call_tool("both", {"input": "x"})
    assert result.structured_content["status"] == "completed"
    assert sorted(result.structured_content["output"].values()) == ["B", "X"]


async def test_what_cannot_be_shown_in_full_is_not_decided_here(connect: Connect) -> None:
    person = Person(says("approve"))
    async with connect(shop.letter, elicitation_callback=person) as client:
        result = await client.call_tool("letter", {"input": "long " * 5000})
    assert result.structured_content["status"] == "paused"
    assert person.shown == []


async def test_a_server_that_is_not_to_ask_does_not(connect: Connect) -> None:
    person = Person(says("approve"))
    async with connect(shop.letter, asks=False, elicitation_callback=person) as client:
        result = await client.call_tool("letter", {"input": "rent"})
    assert result.structured_content["status"] == "paused"
    assert person.shown == []


@pytest.mark.parametrize("mode", ["auto"], indirect=True)
async def test_a_client_cannot_make_up_the_state_of_a_call(connect: Connect) -> None:
    """What comes back with people's answers names a run: it must be what the server gave out."""
    async with connect(shop.letter) as client:
        run_id = (await client.call_tool("letter", {"input": "rent"})).structured_content["run_id"]
        state = json.dumps({"run": run_id, "asked": {}, "rounds": 0})
        with pytest.raises(MCPError, match="Invalid or expired"):
            await client.call_tool("letter", {"input": "rent"}, request_state=state)


async def test_a_person_decides_about_a_tool_of_an_agent(connect: Connect) -> None:
    paid: list[int] = []

    async def pay(amount: int) -> str:
        """Pay an amount."""
        paid.append(amount)
        return "paid"

    model = ScriptedModel(UseTool("pay", {"amount": 5}), UseTool("pay", {"amount": 7}), "done")
    agent = ModelAgent(model, tools=[FlujoTool(pay, needs_approval=True)], name="clerk")
    person = Person(says("approve"), says("edit", value='{"amount": 1}'))
    async with connect(Step(agent), elicitation_callback=person) as client:
        result = await client.call_tool("clerk", {"input": "pay"})
    assert result.structured_content["output"] == "done"
    assert '{"tool":"pay","arguments":{"amount":5}}' in person.shown[0].message
    assert paid == [5, 1]


async def test_what_an_agent_waits_for_is_listed_and_answered(connect: Connect) -> None:
    async def pay(amount: int) -> str:
        """Pay an amount."""
        return "paid"

    model = ScriptedModel(UseTool("pay", {"amount": 5}), "done")
    agent = ModelAgent(model, tools=[FlujoTool(pay, needs_approval=True)], name="clerk")
    async with connect(Step(agent), approvals=True) as client:
        paused = (await client.call_tool("clerk", {"input": "pay"})).structured_content
        listed = (await client.call_tool("flujo_approvals", {})).structured_content["pending"]
        request = {"request": listed[0]["id"], "digest": listed[0]["digest"], "decision": "approve"}
        result = await client.call_tool("flujo_answer", request)
    assert paused["pending"][0]["kind"] == "tool"
    assert result.structured_content["output"] == "done"


# Answering for people


async def test_the_tools_of_approvals_are_there_only_where_they_are_wanted(connect: Connect) -> None:
    async with connect(shop.letter) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        with pytest.raises(MCPError, match="no tool"):
            await client.call_tool("flujo_answer", {})
    assert names == ["letter", "flujo_run"]


async def test_requests_are_listed_and_answered(connect: Connect) -> None:
    async with connect(shop.letter, shop.pack, approvals=True) as client:
        paused = await client.call_tool("letter", {"input": "rent"})
        listed = (await client.call_tool("flujo_approvals", {})).structured_content["pending"]
        elsewhere = await client.call_tool("flujo_approvals", {"run_id": "no-such-run"})
        request = {"request": listed[0]["id"], "digest": listed[0]["digest"]}
        result = await client.call_tool("flujo_answer", {**request, "decision": "approve", "reason": "ok"})
        late = await client.call_tool("flujo_answer", {**request, "decision": "deny"})
    assert [one["id"] for one in listed] == [paused.structured_content["pending"][0]["id"]]
    assert listed[0]["tool"] == "letter"
    assert elsewhere.structured_content == {"pending": []}
    assert result.structured_content["output"] == "sent: RENT"
    assert late.is_error
    assert "nothing waits" in told(late)


async def test_two_requests_of_a_run_are_answered_at_once(connect: Connect) -> None:
    """One answer would take the run from whoever goes on with the other."""
    goes_on = asyncio.Event()

    @step
    async def work(said: str) -> str:
        goes_on.set()
        await asyncio.sleep(0.1)
        return said

    asks = Parallel(a=HumanInput("a?", name="ask_a") >> work, b=HumanInput("b?", name="ask_b"))
    async with connect((shop.shout >> asks).named("two"), approvals=True, asks=False) as client:
        paused = (await client.call_tool("two", {"input": "x"})).structured_content
        assert [one["prompt"] for one in paused["pending"]] == ["a?", "b?"]

        async def answer(asked: dict[str, Any]) -> CallToolResult:
            given = {"request": asked["id"], "digest": asked["digest"], "decision": "edit", "value": "v"}
            return await client.call_tool("flujo_answer", given)

        first = asyncio.create_task(answer(paused["pending"][0]))
        await goes_on.wait()
        second = await answer(paused["pending"][1])
    assert not (await first).is_error
    assert second.structured_content is not None
    assert second.structured_content["status"] == "completed"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"digest": "0" * 64}, "something else than what is asked"),
        ({"digest": ""}, "digest"),
        ({"decision": "yes"}, "decision"),
        ({"decision": "edit", "value": 17}, "does not fit what is asked"),
        ({"decision": "approve", "value": "x"}, "only an edit gives a value"),
        ({"request": "nobody:confirm"}, "no run 'nobody'"),
        ({"more": 1}, "more"),
    ],
)
async def test_an_answer_that_does_not_fit_leaves_the_run_paused(
    connect: Connect, wrong: dict[str, Any], said: str
) -> None:
    async with connect(shop.letter, approvals=True) as client:
        paused = (await client.call_tool("letter", {"input": "rent"})).structured_content
        request = paused["pending"][0]
        given = {"request": request["id"], "digest": request["digest"], "decision": "approve", **wrong}
        result = await client.call_tool("flujo_answer", given)
        still = await client.call_tool("flujo_run", {"run_id": paused["run_id"]})
    assert result.is_error
    assert said in told(result)
    assert still.structured_content["status"] == "paused"
