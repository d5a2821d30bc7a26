"""Streaming steps on the command line: drawn, checked, run, and told chunk by chunk where that is asked."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

SOURCE = """
from collections.abc import AsyncIterator
from flujo import StepInfo, StreamingStep, step

class Odd:
    def __repr__(self):
        return "odd"

async def words(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word

async def parts(words: AsyncIterator[str]) -> AsyncIterator[bytes | Odd]:
    async for word in words:
        yield Odd() if word == "odd" else word.encode()

def many(parts: list[bytes | Odd]) -> int:
    return len(parts)

@step
async def told(count: int, info: StepInfo) -> int:
    await info.emit_tool_call("search", {"query": {1, 2}})
    await info.emit(float("inf"))
    return count

letters = StreamingStep(words) >> StreamingStep(parts, collect=many) >> told
"""


@pytest.fixture(autouse=True)
def _pipeline() -> None:
    Path("streaming.py").write_text(SOURCE)


def test_each_chunk_is_a_line_of_json_however_odd(flujo: Shell) -> None:
    told = flujo("run", "streaming.py:letters", "-i", "an odd thing", "--stream")
    lines = [json.loads(line) for line in told.out.splitlines()]
    shown: dict[str, list[str]] = {}
    for line in lines:
        if line.get("event") == "chunk":
            shown.setdefault(line["address"], []).append(line["value"])
    assert shown == {
        "words": ["an", "odd", "thing"],
        "parts": ["YW4=", "odd", "dGhpbmc="],
        "told": ["Infinity"],
    }
    (call,) = [line for line in lines if line.get("event") == "tool.called"]
    assert (call["tool"], sorted(call["arguments"]["query"])) == ("search", [1, 2])
    assert lines[-1]["output"] == 3


def test_without_that_only_steps_are_told(flujo: Shell) -> None:
    told = flujo("run", "streaming.py:letters", "-i", "an odd thing")
    assert told.out.strip() == "3"
    assert "words" in told.err
    assert "YW4=" not in told.err


def test_it_is_checked_and_drawn(flujo: Shell) -> None:
    assert flujo("check", "streaming.py:letters").code == 0
    drawn = flujo("show", "streaming.py:letters").out
    assert "words  (streams str)" in drawn
    assert "streams bytes | Odd" in drawn
