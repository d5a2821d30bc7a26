"""Messages of a conversation: written briefly, read as the same, and told by what is new in each request."""

from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    FilePart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage
from pydantic_core import from_json

from flujo.agents.messages import Conversation, dumped, loaded

NOW = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@pytest.mark.parametrize(
    "response",
    [
        ModelResponse([], timestamp=NOW),
        ModelResponse([TextPart("ja"), ThinkingPart("hm", signature="s")], model_name="m", timestamp=NOW),
        ModelResponse([ToolCallPart("add", {"x": None}, "call-1"), ToolCallPart("now", None)], timestamp=NOW),
        ModelResponse(
            [FilePart(BinaryContent(b"\xff\x00", media_type="audio/wav", identifier="a"))], timestamp=NOW
        ),
        ModelResponse(
            [
                NativeToolCallPart("search", {"q": "x"}, "call-2", provider_name="p"),
                NativeToolReturnPart("search", None, "call-2", timestamp=NOW),
            ],
            timestamp=NOW,
        ),
        ModelResponse(
            [TextPart("")],
            usage=RequestUsage(
                input_tokens=3, cache_read_tokens=2, output_tokens=1, details={"a": 0}, cost=Decimal("0.10")
            ),
            model_name="m",
            timestamp=NOW,
            provider_name="p",
            provider_details={"none": None},
            provider_response_id="r",
            finish_reason="stop",
            run_id="run",
            conversation_id="talk",
            metadata={"none": None, "zero": 0},
            state="incomplete",
        ),
    ],
)
def test_a_response_is_read_as_it_was(response: ModelResponse) -> None:
    assert loaded(from_json(dumped(response))) == response


def test_what_a_response_says_nothing_of_is_not_written() -> None:
    response = ModelResponse([TextPart("ja")], usage=RequestUsage(input_tokens=3), timestamp=NOW)
    written = from_json(dumped(response))
    assert set(written) == {"parts", "usage", "timestamp", "kind", "state"}
    assert written["usage"] == {"input_tokens": 3, "details": {}}


class Talk:
    """A conversation of requests and answers, and what is recorded of each request."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.messages: list[ModelMessage] = []
        self.kept: list[bytes] = []

    def say(self, text: str) -> None:
        self.messages.append(ModelRequest([UserPromptPart(text)]))

    def answer(self, text: str, address: str) -> None:
        response = ModelResponse([TextPart(text)])
        self.conversation.answered(response, address)
        self.messages.append(response)

    def ask(self) -> tuple[str, int, list[Any]]:
        """Return what is recorded of a request: its digest, and how many messages are known, and the new."""
        told = self.conversation.describe(self.messages)
        recorded = told.recorded(lambda body: self.kept.append(body) or "kept")
        return told.digest, recorded["same"], recorded["new"]


def talked(*texts: str) -> Talk:
    talk = Talk()
    for number, text in enumerate(texts):
        talk.say(text)
        if number < len(texts) - 1:
            talk.answer(f"answer to {text}", f"#model-{number + 1}")
    return talk


def test_a_request_tells_what_is_new_in_it() -> None:
    talk = talked("one")
    _, same, new = talk.ask()
    assert (same, [message["parts"][0]["content"] for message in new]) == (0, ["one"])
    talk.answer("an answer", "#model")
    talk.say("two")
    _, same, new = talk.ask()
    assert (same, new[0], new[1]["parts"][0]["content"]) == (1, "#model", "two")
    assert talk.ask()[1:] == (3, [])


def test_messages_made_anew_are_known_by_what_they_say() -> None:
    talk = talked("one", "two")
    digest, *_ = talk.ask()
    talk.messages[0] = deepcopy(talk.messages[0])
    talk.say("three")
    _, same, new = talk.ask()
    assert (same, len(new)) == (3, 1)
    talk.messages.pop()
    assert talk.ask() == (digest, 3, [])


def test_after_a_message_that_changed_all_are_new() -> None:
    talk = talked("one", "two", "three")
    digest, *_ = talk.ask()
    talk.messages[2] = ModelRequest([UserPromptPart("another two")])
    other, same, new = talk.ask()
    assert (same, len(new), new[1]) == (2, 3, "#model-2")
    assert other != digest


def test_a_digest_is_of_the_messages_and_not_of_how_they_came() -> None:
    gradually = talked("one", "two", "three")
    for length in (1, 3, 5):
        gradually.conversation.describe(gradually.messages[:length])
    assert gradually.ask()[0] == talked("one", "two", "three").ask()[0]
    assert gradually.ask()[0] != talked("one", "three", "two").ask()[0]


def test_a_long_message_is_kept_apart() -> None:
    talk = talked("long " * 1_000)
    assert talk.ask()[1:] == (0, ["kept"])
    (body,) = talk.kept
    assert from_json(body)["parts"][0]["content"] == "long " * 1_000
