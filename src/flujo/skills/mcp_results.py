"""What a call of an MCP tool gave, as agents and journals take it: a text, JSON, or a list of parts."""

from __future__ import annotations

import json
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic_core import to_jsonable_python

from flujo.pipeline.tools import ToolError


def given_by(result: CallToolResult, tool: str, largest: int) -> Any:
    """Return what a tool gave: its structured content, else its text, else a list of parts of it.

    A part is an object with a ``type``: ``text`` (``text``), ``image`` or ``audio`` (``mime_type``, ``data``
    in base64), ``resource`` (``uri``, and ``text`` or ``data``) or ``link`` (``uri``, ``name``).

    Args:
        result: The server's answer.
        tool: The tool's name.
        largest: How many characters are given; a longer text is cut, and says so.

    Raises:
        ToolError: The tool answered that it failed, or gave what is too large and cannot be cut.
    """
    parts = [_part(block) for block in result.content]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if result.is_error:
        raise ToolError(f"{tool} failed: {cut(' '.join(texts) or 'it does not say why', largest)}")
    if result.structured_content is not None:
        return _bounded(to_jsonable_python(result.structured_content), tool, largest)
    if len(texts) == len(parts):
        return cut("\n".join(texts), largest)
    return _bounded(parts, tool, largest)


def cut(text: str, largest: int) -> str:
    """Return a text, or as much of it as may be given."""
    if len(text) <= largest:
        return text
    return f"{text[:largest]}… (cut: {largest} of {len(text)} characters)"


def _bounded(value: Any, tool: str, largest: int) -> Any:
    size = len(json.dumps(value))
    if size > largest:
        raise ToolError(
            f"{tool} gave {size} characters of data, and {largest} may be given",
            fix="ask it for less at once",
        )
    return value


def _part(block: ContentBlock) -> dict[str, Any]:
    match block:
        case TextContent(text=text):
            return {"type": "text", "text": text}
        case ImageContent(mime_type=kind, data=data):
            return {"type": "image", "mime_type": kind, "data": data}
        case AudioContent(mime_type=kind, data=data):
            return {"type": "audio", "mime_type": kind, "data": data}
        case EmbeddedResource(resource=TextResourceContents(uri=uri, text=text)):
            return {"type": "resource", "uri": str(uri), "text": text}
        case EmbeddedResource(resource=BlobResourceContents(uri=uri, blob=blob)):
            return {"type": "resource", "uri": str(uri), "data": blob}
        case ResourceLink(uri=uri, name=name):
            return {"type": "link", "uri": str(uri), "name": name}
        case _:
            return {"type": "unknown"}
