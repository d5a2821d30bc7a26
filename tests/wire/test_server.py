"""Agents over the clients of providers and real sockets: a protocol-true server on this machine."""

from typing import Any

import pytest

from flujo.testing import UseTool
from tests.wire.aimock import HangsUp, Served, Slow
from tests.wire.protocols import READ, WRITTEN, Spoken
from tests.wire.runs import Desk, Invoice, add
from tests.wire.server import Fails, Garbled, says

pytestmark = pytest.mark.e2e

ASKED = UseTool("final_result", {"number": "A-1", "total": 7})


async def test_a_text_and_its_usage(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(says("forty-two"))
    result = await desk.run(served.model(spoken))
    assert result.unwrap() == "forty-two"
    assert served.statuses == [200]
    assert (result.usage.requests, result.usage.input_tokens, result.usage.output_tokens) == (
        1,
        READ,
        WRITTEN,
    )
    assert desk.keeps_the_key_to_itself(result)


async def test_a_structured_answer(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(says(ASKED))
    assert (await desk.run(served.model(spoken), Invoice)).unwrap() == Invoice(number="A-1", total=7)
    assert served.statuses == [200]


async def test_a_loop_of_tools(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(
        says(UseTool("add", {"a": 1, "b": 2})),
        says(UseTool("add", {"a": 3, "b": 0}), UseTool("add", {"a": 4, "b": 0})),
        says("7"),
    )
    result = await desk.run(served.model(spoken), tools=[add])
    assert result.unwrap() == "7"
    assert served.statuses == [200, 200, 200]
    assert result.usage.tool_calls == 3


async def test_an_output_that_does_not_fit_goes_back(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(says(UseTool("final_result", {"number": "A-1", "total": "seven"})), says(ASKED))
    assert (await desk.run(served.model(spoken), Invoice)).unwrap().total == 7
    assert served.statuses == [200, 200]
    assert "valid integer" in str(served.bodies[1])


async def test_a_rate_limit_is_waited_for(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(Fails(429, (("retry-after", "7"),)), says("done"))
    assert (await desk.run(served.model(spoken))).unwrap() == "done"
    assert served.statuses == [429, 200]
    assert desk.clock.slept == [7]


@pytest.mark.parametrize(("failure", "status"), [(Fails(500), 500), (HangsUp(), 0)], ids=["500", "hang-up"])
async def test_what_fails_in_passing_is_sent_four_times_and_no_more(
    failure: Any, status: int, spoken: Spoken, served: Served, desk: Desk
) -> None:
    served.answers(*[failure] * 4, says("never"))
    assert (await desk.run(served.model(spoken))).status == "failed"
    assert served.statuses == [status] * 4


async def test_a_slow_answer_is_not_waited_for(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(Slow(5000), says("done"))
    assert (await desk.run(served.model(spoken), timeout=0.5)).unwrap() == "done"
    assert len(desk.clock.slept) == 1


async def test_a_refused_key_is_sent_once(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(Fails(401), says("never"))
    result = await desk.run(served.model(spoken))
    assert result.status == "failed"
    assert served.statuses == [401]
    assert desk.keeps_the_key_to_itself(result, result.error)


async def test_an_answer_that_is_no_json_is_no_success(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(Garbled(), says("never"))
    assert (await desk.run(served.model(spoken))).status == "failed"
    assert served.statuses == [200]
