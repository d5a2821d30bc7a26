"""Agents over the clients of providers, without a port: what is sent, how often, what comes of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from traceback import format_exception
from typing import Any

import httpx2
import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.fallback import FallbackModel
from pydantic_core import to_json

from flujo import Flujo, Step
from flujo.errors import StepFailed
from flujo.testing import UseTool, VirtualClock
from tests.wire.protocols import CACHED, KEY, READ, WRITTEN, Spoken
from tests.wire.runs import Desk, Invoice, add
from tests.wire.server import Fails, Garbled, Provider, says

ASKED = UseTool("final_result", {"number": "A-1", "total": 7})


async def test_a_text_is_given_and_its_cost_recorded(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, says("forty-two"))
    result = await desk.run(provider.model())
    assert result.unwrap() == "forty-two"
    assert len(provider.requests) == 1
    assert (result.usage.requests, result.usage.input_tokens, result.usage.output_tokens) == (
        1,
        READ,
        WRITTEN,
    )
    assert result.usage.cost > 0
    assert desk.keeps_the_key_to_itself(result)


async def test_tokens_from_the_cache_cost_less(spoken: Spoken, desk: Desk) -> None:
    result = await desk.run(Provider(spoken, says("forty-two")).model())
    price = {"anthropic": (3.0, 0.3, 15.0)}.get(spoken.name, (2.5, 1.25, 10.0))
    fresh, cached, written = (one / 1e6 for one in price)
    assert float(result.usage.cost) == pytest.approx(
        (READ - CACHED) * fresh + CACHED * cached + WRITTEN * written
    )


async def test_a_structured_answer_is_validated(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, says(ASKED))
    result = await desk.run(provider.model(), Invoice)
    assert result.unwrap() == Invoice(number="A-1", total=7)
    assert len(provider.requests) == 1


async def test_tools_are_called_one_by_one_and_at_once(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(
        spoken,
        says("Adding. ", UseTool("add", {"a": 1, "b": 2})),
        says(UseTool("add", {"a": 3, "b": 0}), UseTool("add", {"a": 4, "b": 0})),
        says("7"),
    )
    result = await desk.run(provider.model(), tools=[add])
    assert result.unwrap() == "7"
    assert len(provider.requests) == 3
    assert result.usage.tool_calls == 3
    assert result.usage.requests == 3
    addresses = [event.address for event in await desk.events() if event.kind == "effect"]
    assert sorted(addresses) == [
        "ask#model", "ask#model-2", "ask#model-3", "ask#tool", "ask#tool-2", "ask#tool-3",
    ]  # fmt: skip


async def test_calls_whose_ids_come_again_in_every_answer_are_told_apart(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(
        spoken,
        says(UseTool("add", {"a": 1, "b": 2}, id="call_0")),
        says(UseTool("add", {"a": 3, "b": 4}, id="call_0")),
        says("7"),
    )
    result = await desk.run(provider.model(), tools=[add])
    assert result.unwrap() == "7"
    addresses = [event.address for event in await desk.events() if event.kind == "effect"]
    assert addresses == ["ask#model", "ask#tool", "ask#model-2", "ask#tool-2", "ask#model-3"]


async def test_an_output_that_does_not_fit_goes_back_with_what_is_wrong(spoken: Spoken, desk: Desk) -> None:
    wrong = UseTool("final_result", {"number": "A-1", "total": "seven"})
    provider = Provider(spoken, says(wrong), says(ASKED))
    result = await desk.run(provider.model(), Invoice)
    assert result.unwrap().total == 7
    assert len(provider.requests) == 2
    assert "valid integer" in str(provider.bodies[1])


async def test_an_output_that_never_fits_is_asked_for_as_often_as_it_says(spoken: Spoken, desk: Desk) -> None:
    wrong = UseTool("final_result", {"number": "A-1", "total": "seven"})
    provider = Provider(spoken, *[says(wrong)] * 3)
    result = await desk.run(provider.model(), Invoice, retries=2)
    assert result.status == "failed"
    assert len(provider.requests) == 3
    assert result.usage.requests == 3  # what was spent is not lost with what it was spent on


RATE = (("retry-after", "7"),)


async def test_a_rate_limit_is_waited_for_as_long_as_it_asks(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, Fails(429, RATE), Fails(429, RATE), says("done"))
    result = await desk.run(provider.model())
    assert result.unwrap() == "done"
    assert len(provider.requests) == 3
    assert desk.clock.slept == [7, 7]


async def test_a_rate_limit_until_a_time_is_waited_for(spoken: Spoken, desk: Desk) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    provider = Provider(spoken, Fails(429, (("retry-after", until),)), says("done"))
    result = await desk.run(provider.model())
    assert result.unwrap() == "done"
    assert len(provider.requests) == 2
    assert desk.clock.slept == [pytest.approx(29, abs=1.5)]


async def test_a_wait_longer_than_allowed_fails_at_once(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, Fails(429, (("retry-after", "3600"),)))
    result = await desk.run(provider.model())
    assert result.status == "failed"
    assert len(provider.requests) == 1
    assert desk.clock.slept == []


PASSING = [
    Fails(500), Fails(502), Fails(503), Fails(529), Fails(408), Fails(429),
    httpx2.ReadTimeout("slow"), httpx2.ConnectError("refused"), httpx2.RemoteProtocolError("hung up"),
]  # fmt: skip


def _name(answer: Any) -> str:
    return f"{answer.status}" if isinstance(answer, Fails) else type(answer).__name__


@pytest.mark.parametrize("failure", PASSING, ids=_name)
async def test_what_fails_in_passing_is_sent_again(failure: Any, spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, failure, failure, says("done"))
    result = await desk.run(provider.model())
    assert result.unwrap() == "done"
    assert len(provider.requests) == 3
    assert len(desk.clock.slept) == 2


@pytest.mark.parametrize("failure", PASSING, ids=_name)
async def test_what_fails_again_and_again_is_sent_four_times_and_no_more(
    failure: Any, spoken: Spoken, desk: Desk
) -> None:
    provider = Provider(spoken, *[failure] * 4)
    result = await desk.run(provider.model())
    assert result.status == "failed"
    assert isinstance(result.error, StepFailed)
    assert len(provider.requests) == 4
    assert len(desk.clock.slept) == 3
    assert desk.keeps_the_key_to_itself(result, result.error, result.error.__cause__)


LASTING = [Fails(400), Fails(401), Fails(403), Fails(404), Fails(422), Fails(402)]


@pytest.mark.parametrize("failure", LASTING, ids=_name)
async def test_what_would_fail_again_is_sent_once(failure: Any, spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, failure)
    result = await desk.run(provider.model())
    assert result.status == "failed"
    assert len(provider.requests) == 1
    assert desk.keeps_the_key_to_itself(result, result.error)


async def test_a_provider_that_says_not_to_try_again_is_heard(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, Fails(500, (("x-should-retry", "false"),)))
    assert (await desk.run(provider.model())).status == "failed"
    assert len(provider.requests) == 1


async def test_an_answer_that_is_no_json_is_no_success(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, Garbled())
    result = await desk.run(provider.model())
    assert result.status == "failed"
    assert len(provider.requests) == 1


async def test_an_answer_that_is_not_as_its_protocol_says_is_told_without_what_was_said(
    spoken: Spoken, desk: Desk
) -> None:
    odd = {"of": f"Ada Lovelace, {KEY}"}
    body = {
        "id": odd,
        "model": "m",
        "choices": [{"message": {"content": odd}}],
        "content": odd,
        "output": [odd],
    }
    provider = Provider(spoken, *[Garbled(to_json(body))] * 4)
    result = await desk.run(provider.model())
    assert result.status == "failed"
    told = "".join(format_exception(result.error))
    assert "Lovelace" not in told
    assert KEY not in told


ODD = [b"null", b"7", b"[]", b"{}", b"<html>It is being mended.</html>", b""]


@pytest.mark.parametrize("body", ODD)
async def test_another_model_takes_over_from_one_whose_answer_cannot_be_read(
    body: bytes, spoken: Spoken, desk: Desk
) -> None:
    first, second = Provider(spoken, Garbled(body)), Provider(spoken, says("from the second"))
    settings = {"max_tokens": 50}  # without it, one of the clients streams for itself
    result = await desk.run(first.model(), fallbacks=[second.model()], settings=settings)
    assert result.unwrap() == "from the second"
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_parts_of_an_answer_that_are_of_another_kind_make_it_unreadable(
    spoken: Spoken, desk: Desk
) -> None:
    odd = {
        "openai-chat": {"choices": [None]},
        "openai-responses": {"model": {"name": "Ada Lovelace"}},
        "anthropic": {"content": [{"type": "text", "text": None}]},
    }[spoken.name]
    provider = Provider(spoken, Garbled(to_json(spoken.whole(["fine"]) | odd)))
    model = provider.model()
    result = await desk.run(model, settings={"max_tokens": 50})
    told = "".join(format_exception(result.error))
    assert isinstance(result.error, StepFailed)
    assert isinstance(result.error.__cause__, ModelAPIError)
    assert f"the answer of '{model.model_id}' cannot be read" in told
    assert "see whether https://models.test" in told
    assert "Lovelace" not in told


async def test_another_model_takes_over(spoken: Spoken, desk: Desk) -> None:
    first, second = Provider(spoken, *[Fails(500)] * 4), Provider(spoken, says("from the second"))
    result = await desk.run(first.model(), fallbacks=[second.model()])
    assert result.unwrap() == "from the second"
    assert (len(first.requests), len(second.requests)) == (4, 1)


async def test_fallbacks_of_the_users_own_making_are_asked_as_often_as_the_policy_says(
    spoken: Spoken, desk: Desk
) -> None:
    first, second = Provider(spoken, *[Fails(503)] * 9), Provider(spoken, says("done"))
    agent = Agent(FallbackModel(first.model(), second.model()), name="clerk")
    result = await Flujo(Step(agent), clock=VirtualClock()).run_async("go")
    assert result.unwrap() == "done"
    assert (len(first.requests), len(second.requests)) == (4, 1)


async def test_a_key_that_is_refused_is_no_reason_to_wait_before_another_takes_over(
    spoken: Spoken, desk: Desk
) -> None:
    first, second = Provider(spoken, Fails(401)), Provider(spoken, says("from the second"))
    result = await desk.run(first.model(), fallbacks=[second.model()])
    assert result.unwrap() == "from the second"
    assert (len(first.requests), len(second.requests)) == (1, 1)
    assert desk.clock.slept == []


async def test_the_system_prompt_and_the_input_are_sent(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, says("done"))
    await desk.run(provider.model(), settings={"temperature": 0.5, "max_tokens": 50}, timeout=3.0)
    body = provider.bodies[0]
    assert "Be exact." in str(body)
    assert "the question" in str(body)
    assert body["temperature"] == 0.5
    assert provider.requests[0].extensions["timeout"]["read"] == 3.0
