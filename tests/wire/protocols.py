"""The three protocols that most models are spoken to in: what their servers answer, whole and streamed."""

import json
from collections.abc import Iterator
from typing import Any, Protocol

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from flujo.testing import UseTool

KEY = "sk-test-0123456789abcdef-never-to-be-seen"
READ, WRITTEN, CACHED = 1200, 30, 1000
"""The figures that every answer reports."""

Part = str | UseTool
Item = dict[str, Any]


class Spoken(Protocol):
    """A protocol, from the server's side, and the client that speaks it."""

    name: str
    path: str

    def model(self, http: httpx2.AsyncClient, base_url: str = ...) -> Model: ...

    def whole(self, parts: list[Part]) -> dict[str, Any]: ...

    def streamed(self, parts: list[Part]) -> list[bytes]: ...

    def error(self, status: int) -> dict[str, Any]: ...


def calls_of(parts: list[Part], prefix: str) -> Iterator[tuple[str, UseTool, str]]:
    for number, part in enumerate(parts, 1):
        if isinstance(part, UseTool):
            arguments = part.arguments if isinstance(part.arguments, str) else json.dumps(part.arguments)
            yield part.id or f"{prefix}{number}", part, arguments


def text_of(parts: list[Part]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def halves(text: str) -> list[str]:
    """Return a text in two pieces, as a stream brings it."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


class OpenAIChat:
    """POST /chat/completions."""

    name = "openai-chat"
    path = "/v1/chat/completions"

    def model(self, http: httpx2.AsyncClient, base_url: str = "https://models.test/v1") -> Model:
        client = AsyncOpenAI(api_key=KEY, base_url=base_url, http_client=http)
        return OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))

    def whole(self, parts: list[Part]) -> dict[str, Any]:
        calls = [
            {"id": call, "type": "function", "function": {"name": part.name, "arguments": arguments}}
            for call, part, arguments in calls_of(parts, "call_")
        ]
        message: dict[str, Any] = {"role": "assistant", "content": text_of(parts) or None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1750000000,
            "model": "gpt-4o-2024-08-06",
            "choices": [choice],
            "usage": self._usage(),
        }

    def streamed(self, parts: list[Part]) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in halves(text_of(parts)) if piece]
        for index, (call, part, arguments) in enumerate(calls_of(parts, "call_")):
            begun = {
                "index": index,
                "id": call,
                "type": "function",
                "function": {"name": part.name, "arguments": ""},
            }
            deltas.append({"tool_calls": [begun]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in halves(arguments)
            ]
        chunks = [self._chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        reason = "tool_calls" if any(isinstance(part, UseTool) for part in parts) else "stop"
        chunks.append(self._chunk([{"index": 0, "delta": {}, "finish_reason": reason}]))
        chunks.append(self._chunk([]) | {"usage": self._usage()})
        return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]

    def error(self, status: int) -> dict[str, Any]:
        return {
            "error": {"message": f"failed with {status}", "type": "server_error", "param": None, "code": None}
        }

    def _chunk(self, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1750000000,
            "model": "gpt-4o-2024-08-06",
            "choices": choices,
        }

    def _usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": READ,
            "completion_tokens": WRITTEN,
            "total_tokens": READ + WRITTEN,
            "prompt_tokens_details": {"cached_tokens": CACHED},
        }


class OpenAIResponses:
    """POST /responses."""

    name = "openai-responses"
    path = "/v1/responses"

    def model(self, http: httpx2.AsyncClient, base_url: str = "https://models.test/v1") -> Model:
        client = AsyncOpenAI(api_key=KEY, base_url=base_url, http_client=http)
        return OpenAIResponsesModel("gpt-4o", provider=OpenAIProvider(openai_client=client))

    def whole(self, parts: list[Part]) -> dict[str, Any]:
        output: list[dict[str, Any]] = []
        if text_of(parts):
            content: Item = {"type": "output_text", "text": text_of(parts), "annotations": []}
            output.append(
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [content],
                }
            )
        output += [self._call(call, part, arguments) for call, part, arguments in calls_of(parts, "call_")]
        return self._response("completed", output) | {
            "usage": {
                "input_tokens": READ,
                "input_tokens_details": {"cached_tokens": CACHED},
                "output_tokens": WRITTEN,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": READ + WRITTEN,
            }
        }

    def streamed(self, parts: list[Part]) -> list[bytes]:
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": self._response("in_progress", [])}
        ]
        at = 0
        if text := text_of(parts):
            item: Item = {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
            content: Item = {"type": "output_text", "text": "", "annotations": []}
            place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
            events.append({"type": "response.output_item.added", "output_index": 0, "item": item})
            events.append({"type": "response.content_part.added", **place, "part": content})
            events += [
                {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
                for piece in halves(text)
            ]
            events.append({"type": "response.output_text.done", **place, "text": text, "logprobs": []})
            done = item | {"status": "completed", "content": [content | {"text": text}]}
            events.append({"type": "response.output_item.done", "output_index": 0, "item": done})
            at = 1
        for index, (call, part, arguments) in enumerate(calls_of(parts, "call_"), at):
            item = self._call(call, part, "") | {"status": "in_progress"}
            place = {"item_id": item["id"], "output_index": index}
            events.append({"type": "response.output_item.added", "output_index": index, "item": item})
            events += [
                {"type": "response.function_call_arguments.delta", **place, "delta": piece}
                for piece in halves(arguments)
            ]
            events.append({"type": "response.function_call_arguments.done", **place, "arguments": arguments})
            done = self._call(call, part, arguments)
            events.append({"type": "response.output_item.done", "output_index": index, "item": done})
        events.append({"type": "response.completed", "response": self.whole(parts)})
        return [
            f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n".encode()
            for number, event in enumerate(events)
        ]

    def error(self, status: int) -> dict[str, Any]:
        return {
            "error": {"message": f"failed with {status}", "type": "server_error", "param": None, "code": None}
        }

    def _call(self, call: str, part: UseTool, arguments: str) -> dict[str, Any]:
        return {
            "type": "function_call",
            "id": f"fc_{call}",
            "call_id": call,
            "name": part.name,
            "arguments": arguments,
            "status": "completed",
        }

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1750000000,
            "model": "gpt-4o-2024-08-06",
            "status": status,
            "output": output,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
        }


class Anthropic:
    """POST /v1/messages."""

    name = "anthropic"
    path = "/v1/messages"

    def model(self, http: httpx2.AsyncClient, base_url: str = "https://models.test") -> Model:
        client = AsyncAnthropic(api_key=KEY, base_url=base_url.removesuffix("/v1"), http_client=http)
        return AnthropicModel("claude-sonnet-4-6", provider=AnthropicProvider(anthropic_client=client))

    def whole(self, parts: list[Part]) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if text_of(parts):
            content.append({"type": "text", "text": text_of(parts)})
        for call, part, arguments in calls_of(parts, "toolu_"):
            content.append(
                {"type": "tool_use", "id": call, "name": part.name, "input": json.loads(arguments)}
            )
        return self._message(content) | {"stop_reason": self._reason(parts), "usage": self._usage(WRITTEN)}

    def streamed(self, parts: list[Part]) -> list[bytes]:
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if text := text_of(parts):
            pieces = [{"type": "text_delta", "text": piece} for piece in halves(text)]
            blocks.append(({"type": "text", "text": ""}, pieces))
        for call, part, arguments in calls_of(parts, "toolu_"):
            pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in halves(arguments)]
            blocks.append(({"type": "tool_use", "id": call, "name": part.name, "input": {}}, pieces))
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": self._message([]) | {"usage": self._usage(1)}}
        ]
        for index, (block, pieces) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            events += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
            events.append({"type": "content_block_stop", "index": index})
        end = {"stop_reason": self._reason(parts), "stop_sequence": None}
        events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": WRITTEN}})
        events.append({"type": "message_stop"})
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]

    def error(self, status: int) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "api_error", "message": f"failed with {status}"}}

    def _message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-6",
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _reason(self, parts: list[Part]) -> str:
        return "tool_use" if any(isinstance(part, UseTool) for part in parts) else "end_turn"

    def _usage(self, written: int) -> dict[str, Any]:
        # Anthropic counts what came from its cache beside what it read anew; pydantic-ai adds them up.
        return {
            "input_tokens": READ - CACHED,
            "cache_read_input_tokens": CACHED,
            "cache_creation_input_tokens": 0,
            "output_tokens": written,
        }


PROTOCOLS: list[Spoken] = [OpenAIChat(), OpenAIResponses(), Anthropic()]
