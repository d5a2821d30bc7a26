"""Streams: what is told while a run is under way."""

import asyncio
import gc
from typing import Any

import pytest

from flujo import Flujo, HumanInput, MemoryStore, Node, Parallel, Retry, StepInfo, StopPipeline, step
from flujo.engine.result import (
    Chunk,
    Finished,
    Paused,
    RunEvent,
    RunStarted,
    StepCompleted,
    StepGaveUp,
    StepRetrying,
    StepStarted,
    ToolCalled,
)
from flujo.errors import InputError
from flujo.testing import VirtualClock
from tests.engine.stores import Cut, FullStore


@step
async def add(x: int) -> int:
    return x + 1


@step
def double(x: int) -> int:
    return 2 * x


def shown(event: RunEvent) -> str:
    match event:
        case RunStarted():
            return "resumed" if event.resumed else "began"
        case StepStarted():
            return f"> {event.address}"
        case StepCompleted():
            return f"< {event.result.address} {event.result.output}"
        case StepRetrying():
            return f"~ {event.address} {event.attempt} {event.error} {event.wait:g}"
        case StepGaveUp():
            return f"! {event.address}"
        case Chunk() | ToolCalled():
            return f"+ {event.address}"
        case Paused():
            return f"paused at {', '.join(one.address for one in event.pending)}"
        case Finished():
            return f"finished {event.result.status} {event.result.output}"


async def told(node: Node[int, Any], x: int = 1, **settings: Any) -> list[str]:
    return [shown(event) async for event in Flujo(node, **settings).stream_async(x)]


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"state": MemoryStore()} if request.param else {}


async def test_steps_in_order(settings: dict[str, Any]) -> None:
    assert await told(add >> double, **settings) == [
        "began",
        "> add",
        "< add 2",
        "> double",
        "< double 4",
        "finished completed 4",
    ]


async def test_retries_and_failures(settings: dict[str, Any]) -> None:
    @step(retry=Retry(attempts=2, backoff=5, jitter=0))
    async def breaks(x: int) -> int:
        raise LookupError("no")

    assert await told(breaks, clock=VirtualClock(), **settings) == [
        "began",
        "> breaks",
        "~ breaks 1 LookupError: no 5",
        "! breaks",
        "finished failed None",
    ]


async def test_pauses_and_going_on(settings: dict[str, Any]) -> None:
    runner = Flujo(add >> HumanInput("?", schema=int) >> double, **settings)
    events = [event async for event in runner.stream_async(1)]
    assert [shown(event) for event in events] == [
        "began",
        "> add",
        "< add 2",
        "paused at human_input",
        "finished paused None",
    ]
    last = events[-1]
    assert isinstance(last, Finished)
    assert [shown(event) async for event in runner.stream_resume_async(last.result, 5)] == [
        "resumed",
        "> double",
        "< double 10",
        "finished completed 10",
    ]


async def test_a_stop(settings: dict[str, Any]) -> None:
    @step
    async def stops(x: int) -> int:
        raise StopPipeline("enough")

    assert await told(stops, **settings) == ["began", "> stops", "finished stopped None"]


async def test_every_event_names_its_run(settings: dict[str, Any]) -> None:
    events = [event async for event in Flujo(add >> double, **settings).stream_async(1, run_id="mine")]
    assert {event.run_id for event in events} == {"mine"}


async def test_events_come_while_the_run_is_under_way() -> None:
    go = asyncio.Event()

    @step
    async def waits(x: int) -> int:
        await go.wait()
        return x

    seen: list[str] = []
    async for event in Flujo(add >> waits).stream_async(1):
        seen.append(shown(event))
        if seen[-1] == "> waits":
            go.set()
    assert seen[-2:] == ["< waits 2", "finished completed 2"]


async def test_a_completed_step_is_committed_before_it_is_told() -> None:
    store = MemoryStore()
    async for event in Flujo(add >> double, state=store).stream_async(1, run_id="r1"):
        if isinstance(event, StepCompleted):
            kinds = [(one.kind, one.address) for one in await store.events("r1")]
            assert ("step.completed", event.result.address) in kinds


async def test_leaving_the_stream_interrupts_the_run_which_can_go_on() -> None:
    store, ran = MemoryStore(), list[str]()

    @step
    async def first(x: int) -> int:
        ran.append("first")
        return x + 1

    @step
    async def second(x: int) -> int:
        ran.append("second")
        if len(ran) == 2:
            await asyncio.sleep(60)
        return x * 2

    runner = Flujo(first >> second, state=store)
    stream = runner.stream_async(1, run_id="r1")
    async for event in stream:
        if isinstance(event, StepStarted) and event.name == "second":
            await asyncio.sleep(0)
            break
    await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    result = await runner.resume_async("r1")
    assert (result.output, ran) == (4, ["first", "second", "second"])


async def test_what_is_wrong_with_the_call_is_raised() -> None:
    with pytest.raises(InputError):
        async for _ in Flujo(add).stream_async("text"):  # pyright: ignore[reportArgumentType]
            pass


async def test_branches_are_told_apart() -> None:
    lines = await told(Parallel(a=add, b=add, name="both"))
    assert {"> both/a/add", "> both/b/add", "< both/a/add 2", "< both/b/add 2"} <= set(lines)


async def test_reused_steps_are_not_told_again() -> None:
    store, tries = MemoryStore(), list[int]()

    @step
    async def dies_once(x: int, info: StepInfo) -> int:
        tries.append(x)
        if len(tries) == 1:
            raise Cut
        return x

    runner = Flujo(add >> dies_once, state=store)
    with pytest.raises(Cut):
        await runner.run_async(1, run_id="r1")
    assert [shown(event) async for event in runner.stream_resume_async("r1")] == [
        "resumed",
        "> dies_once",
        "< dies_once 2",
        "finished completed 2",
    ]


async def test_a_stream_that_is_left_when_its_run_has_failed_leaves_nothing_to_complain_of() -> None:
    """Such as one among several in a task group: the error that ends them all is told by another."""
    loop, complaints = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    stream = Flujo(add, state=FullStore(1)).stream_async(1)
    await anext(stream)
    for _ in range(20):
        await asyncio.sleep(0)  # the run fails meanwhile
    await stream.aclose()
    del stream
    gc.collect()
    assert complaints == []
