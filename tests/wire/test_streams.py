"""Agents whose answers are streamed by providers: what comes when, and that half an answer is none."""

from typing import Any

import httpx2
import pytest
from pydantic_ai.exceptions import ModelAPIError

from flujo import Quota
from flujo.errors import StepFailed
from flujo.testing import UseTool
from tests.wire.aimock import Served
from tests.wire.protocols import READ, WRITTEN, Spoken
from tests.wire.runs import Desk, add
from tests.wire.server import Cut, Fails, Provider, Raw, says

TEXT = "The sea is blue, and the sky above it."


async def test_a_streamed_answer_comes_in_pieces_and_costs_what_it_costs(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, says(TEXT))
    pieces, result = await desk.stream(provider.model())
    assert result.unwrap() == TEXT
    assert len(pieces) == 2
    assert "".join(pieces) == TEXT
    assert provider.bodies[0]["stream"] is True
    assert (result.usage.requests, result.usage.input_tokens, result.usage.output_tokens) == (
        1,
        READ,
        WRITTEN,
    )
    assert result.usage.cost > 0


async def test_a_loop_of_tools_is_streamed(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, says("Adding. ", UseTool("add", {"a": 1, "b": 2})), says("3"))
    _, result = await desk.stream(provider.model(), tools=[add])
    assert result.unwrap() == "3"
    assert len(provider.requests) == 2
    assert result.usage.tool_calls == 1


@pytest.mark.parametrize("clean", [False, True], ids=["lost", "clean"])
async def test_a_stream_that_is_cut_is_never_a_success(clean: bool, spoken: Spoken, desk: Desk) -> None:
    """Wherever it is cut: before the last event has come, there is no answer."""
    whole = len(spoken.streamed([TEXT])) - (3 if spoken.name == "openai-chat" else 1)
    for events in range(1, whole):
        provider = Provider(spoken, Cut((TEXT,), events, clean), *[Fails(400)] * 3)
        run = Desk(desk.folder / f"{events}")
        run.folder.mkdir()
        pieces, result = await run.stream(provider.model())
        assert result.status == "failed", f"cut after {events} of {whole} events: {pieces}"
        assert result.output is None
        assert [event.kind for event in await run.events()][-1] == "run.ended"


async def test_a_stream_that_is_cut_is_begun_again_by_the_steps_next_attempt(
    spoken: Spoken, desk: Desk
) -> None:
    provider = Provider(spoken, Cut((TEXT,), 3), says(TEXT))
    pieces, result = await desk.stream(provider.model(), again=2)
    assert result.unwrap() == TEXT
    assert len(provider.requests) == 2
    assert "".join(pieces).endswith(TEXT)
    # What the provider had counted by then was spent: one counts as it begins, the others at the end.
    counted = READ if spoken.name == "anthropic" else 0
    assert result.usage.input_tokens == counted + READ
    assert result.usage.output_tokens == (counted > 0) + WRITTEN


async def test_a_stream_that_is_cut_has_cost_what_was_set_aside_where_a_quota_holds(
    spoken: Spoken, desk: Desk
) -> None:
    provider, quota = Provider(spoken, Cut((TEXT,), 3), says(TEXT)), Quota(output_tokens=800)
    _, result = await desk.stream(provider.model(), again=2, quota=quota, settings={"max_tokens": 400})
    assert result.unwrap() == TEXT
    assert result.usage.output_tokens == 400 + WRITTEN


@pytest.mark.parametrize(
    "failure", [Fails(500), Fails(429), httpx2.ConnectError("refused")], ids=["500", "429", "refused"]
)
async def test_a_stream_that_does_not_open_is_opened_again(failure: Any, spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, failure, failure, says(TEXT))
    _, result = await desk.stream(provider.model())
    assert result.unwrap() == TEXT
    assert len(provider.requests) == 3
    assert len(desk.clock.slept) == 2


async def test_a_stream_that_never_opens_is_asked_for_four_times(spoken: Spoken, desk: Desk) -> None:
    provider = Provider(spoken, *[Fails(500)] * 4)
    _, result = await desk.stream(provider.model())
    assert result.status == "failed"
    assert len(provider.requests) == 4


# Events that cannot be read: one before anything is said, one after.
NULL = b"data: null\n\n"
ODD = {
    "openai-chat": [(1, NULL), (2, NULL)],
    "openai-responses": [(1, NULL), (4, NULL)],
    "anthropic": [
        (0, b'event: message_start\ndata: {"type": "message_start", "message": {}}\n\n'),
        (5, b'event: message_delta\ndata: {"type": "message_delta", "delta": null}\n\n'),
    ],
}


async def test_another_model_takes_over_from_one_whose_stream_cannot_be_read(
    spoken: Spoken, desk: Desk
) -> None:
    events = spoken.streamed([TEXT])
    at, odd = ODD[spoken.name][0]
    first = Provider(spoken, Raw([*events[:at], odd, *events[at + 1 :]]))
    _, result = await desk.stream(first.model(), fallbacks=[Provider(spoken, says("the second")).model()])
    assert result.unwrap() == "the second"


async def test_a_stream_that_cannot_be_read_to_its_end_is_told_clearly(spoken: Spoken, desk: Desk) -> None:
    events = spoken.streamed([TEXT])
    at, odd = ODD[spoken.name][1]
    model = Provider(spoken, Raw([*events[:at], odd, *events[at + 1 :]])).model()
    _, result = await desk.stream(model)
    assert isinstance(result.error, StepFailed)
    assert isinstance(result.error.__cause__, ModelAPIError)
    assert f"the answer of '{model.model_id}' cannot be read" in str(result.error)


@pytest.mark.e2e
async def test_a_server_that_streams(spoken: Spoken, served: Served, desk: Desk) -> None:
    served.answers(says(TEXT))
    pieces, result = await desk.stream(served.model(spoken))
    assert result.unwrap() == TEXT
    assert "".join(pieces) == TEXT
    assert served.statuses == [200]


@pytest.mark.e2e
async def test_a_server_that_ends_in_the_middle_of_a_stream(
    spoken: Spoken, served: Served, desk: Desk
) -> None:
    served.answers(Cut((TEXT,), 5), Fails(400), Fails(400))
    _, result = await desk.stream(served.model(spoken))
    assert result.status == "failed"
    assert result.output is None
