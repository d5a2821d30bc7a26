"""Scenarios of streaming steps: a segment is recorded as a whole, and one that was broken off begins anew."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated

from flujo import Decision, Fold, From, Loop, Parallel, StepInfo, StreamingStep, Usage, step
from tests.crash.of_steps import LARGE, noted
from tests.crash.scenario import Notes, Scenario
from tests.crash.witness import did


def streams(info: StepInfo, last: str) -> None:
    """Say that a streaming step runs; the journal knows of it by the last step of its segment."""
    did("step", f"{info.address.rpartition('/')[0]}/{last}".lstrip("/"))


async def source(number: int, context: Notes, info: StepInfo) -> AsyncIterator[int]:
    streams(info, "sink")
    context.total += number
    for at in range(number, number + 4):
        await asyncio.sleep(0)
        yield at


def charge(number: int) -> int:
    did("effect", f"charges#charge{'' if number == 3 else f'-{number - 2}'}")
    return number * 10


async def charges(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
    streams(info, "sink")
    async for number in numbers:
        yield await info.do("charge", charge, number)


async def plain(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield number + 1


async def sink(numbers: AsyncIterator[int], context: Notes, info: StepInfo) -> AsyncIterator[str]:
    streams(info, "sink")
    async for number in numbers:
        context.lines.append(f"{info.address} {number}")
        info.report(Usage(1, number, 1, Decimal("0.01")))
        yield f"{number} "


def plus(total: int, number: int) -> int:
    return total + number


@step
async def weighed(text: str, kept: Annotated[list[int], From("source")], info: StepInfo) -> int:
    did("step", info.address)
    return len(text) + len(kept)


async def heavy(number: int, info: StepInfo) -> AsyncIterator[str]:
    streams(info, "heavy")
    for _ in range(3):
        yield LARGE


async def asks(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
    streams(info, "asks")
    async for number in numbers:
        yield number if number % 2 else await info.ask(f"what of {number}?", int)


async def breaks(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
    streams(info, "breaks")
    info.report(Usage(1))
    async for number in numbers:
        yield number
        raise ValueError("broken")


async def begins(number: int, info: StepInfo) -> AsyncIterator[int]:
    did("step", f"{info.address.removesuffix('begins')}ends")
    yield number
    yield number + 1


async def ends(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
    did("step", info.address)
    async for number in numbers:
        yield number


@step
async def length(text: str, info: StepInfo) -> int:
    did("step", info.address)
    return len(text)


def large(number: int) -> bool:
    return number > 20


kept = StreamingStep(source, collect=list)
summed = StreamingStep(begins) >> StreamingStep(ends, collect=Fold(0, plus))

STREAMS = [
    Scenario(
        "streams",
        noted
        >> noted.named("twice")
        >> kept
        >> StreamingStep(charges)
        >> StreamingStep(sink)
        >> weighed
        >> noted.named("after"),
        1,
        width=3,
    ),
    Scenario("large_stream", noted >> StreamingStep(heavy) >> length, 1),
    Scenario("streams_in_a_loop", Loop(summed, until=large, max_turns=5) >> noted, 1),
    Scenario("streams_side_by_side", Parallel(a=summed, b=summed, name="both"), 1, width=2),
    Scenario(
        "stream_that_asks",
        StreamingStep(begins, name="source")
        >> StreamingStep(plain)
        >> StreamingStep(asks, collect=Fold(0, plus)),
        2,
        answers={"asks#ask": Decision("edit", 40)},
        width=3,
    ),
    Scenario(
        "stream_that_breaks",
        noted >> StreamingStep(plain, collect=list) >> StreamingStep(breaks),
        1,
        ends="failed",
    ),
]
