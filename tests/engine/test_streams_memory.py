"""What streams through is not held: any amount passes in constant memory."""

import resource
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from flujo import Flujo, Fold, Node, SQLiteStore, StreamingStep
from flujo.engine import Chunk, Finished

CHUNK = 64 * 1024
UNDER_WAY = 3 * 16 + 16 + 16
"""How many chunks may be held at once: in three channels, by the steps, by the one who streams."""


async def made(megabytes: int) -> AsyncIterator[bytes]:
    for number in range(megabytes * 1024 * 1024 // CHUNK):
        yield number.to_bytes(8, "big") * (CHUNK // 8)


async def copied(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield bytes(memoryview(chunk))


def weigh(total: int, chunk: bytes) -> int:
    return total + len(chunk)


def three_hops() -> Node[int, int]:
    return (
        StreamingStep(made)
        >> StreamingStep(copied)
        >> StreamingStep(copied, name="again")
        >> StreamingStep(copied, name="last", collect=Fold(0, weigh))
    )


async def streamed(megabytes: int, path: Path) -> int:
    """Stream a run with a store, looking at each chunk; return what came out."""
    runner = Flujo(three_hops(), state=SQLiteStore(path))
    async with runner, aclosing(runner.stream_async(megabytes)) as events:
        seen = 0
        async for event in events:
            seen += len(event.value) if isinstance(event, Chunk) and event.address == "last" else 0
            if isinstance(event, Finished):
                assert event.result.unwrap() == seen
                return seen
    raise AssertionError("a stream ends with Finished")


async def test_what_passes_is_not_held(tmp_path: Path) -> None:
    await streamed(1, tmp_path / "warm.db")
    tracemalloc.start()
    try:
        assert await streamed(64, tmp_path / "runs.db") == 64 * 1024 * 1024
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= UNDER_WAY * CHUNK + 2 * 1024 * 1024, f"{peak:,} bytes at once"


async def test_the_measure_sees_what_is_held(tmp_path: Path) -> None:
    """The negative control: a step that keeps its chunks is seen at a tenth of the size."""
    node = StreamingStep(made) >> StreamingStep(copied, collect=list) >> the_last()
    tracemalloc.start()
    try:
        await Flujo(node).run_async(16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > UNDER_WAY * CHUNK + 2 * 1024 * 1024


def the_last() -> Node[bytes | list[bytes], int]:
    return StreamingStep(copied, name="last", collect=Fold(0, weigh))


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
async def test_a_gigabyte_through_three_hops(tmp_path: Path) -> None:
    await streamed(16, tmp_path / "warm.db")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await streamed(1024, tmp_path / "runs.db") == 1024**3
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    per_unit = 1 if sys.platform == "darwin" else 1024
    assert grown * per_unit <= 16 * 1024 * 1024, f"{grown * per_unit:,} bytes more"
