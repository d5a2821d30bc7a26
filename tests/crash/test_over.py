"""What is over is not visited again: neither loaded, nor asked, nor run; cost follows what is live."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from flujo import (
    Flujo,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Node,
    Parallel,
    SQLiteStore,
    Step,
    StepInfo,
    SubPipeline,
    step,
)
from flujo.journal.events import Event
from flujo.journal.store import JournalStore
from tests.crash.harness import Mortal
from tests.crash.scenario import Notes
from tests.crash.witness import WITNESS, acts, did

RUN = "run-1"


class Counting(Mortal):
    """A store that counts what a resume takes from it."""

    def __init__(self, inner: JournalStore) -> None:
        super().__init__(inner)
        self.live: list[Event] = []
        self.read = Counter[str]()

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        self.read["events"] += 1
        return await super().events(run_id, after=after, limit=limit)

    async def live_events(self, run_id: str) -> list[Event]:
        self.read["live_events"] += 1
        self.live = await super().live_events(run_id)
        return self.live

    async def payload(self, digest: bytes) -> bytes:
        self.read["payload"] += 1
        return await super().payload(digest)


@step
async def up(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.total += 1
    return number + 1


@step
async def same(number: int, info: StepInfo) -> int:
    acts(info)
    return number


@step
async def large(number: int, info: StepInfo) -> str:
    acts(info)
    return f"{number:06d}" * 2000


@step
async def small(text: str, info: StepInfo) -> int:
    acts(info)
    return int(text[:6])


@step
async def numbers(number: int, info: StepInfo) -> list[int]:
    acts(info)
    return list(range(number % 100))


@step
async def added(parts: list[int], info: StepInfo) -> int:
    acts(info)
    return len(parts)


@step
async def joined(parts: dict[str, int], info: StepInfo) -> int:
    acts(info)
    return sum(parts.values())


def enough(number: int) -> bool:
    did("predicate", "loop")
    return number >= 120


looping = Loop(up >> large >> small, until=enough, max_turns=200)
branches: dict[str, Any] = {f"b{place}": up >> same for place in range(40)}
wide = cast("Node[int, dict[str, int]]", Parallel(name="wide", **branches)) >> joined
mapped = numbers >> Map(up >> same, concurrency=5) >> added
ask = HumanInput("?", schema=int, name="ask")


@pytest.mark.parametrize("inner", [MemoryStore, SQLiteStore])
async def test_finished_composites_are_passed_by(inner: type, tmp_path: object) -> None:
    store = MemoryStore() if inner is MemoryStore else SQLiteStore(f"{tmp_path}/flujo_ops.db")
    pipeline = looping >> SubPipeline(wide, name="sub") >> mapped >> ask >> same.named("last")
    WITNESS.reset()
    whole = Flujo(pipeline, context_model=Notes, state=store)
    paused = await whole.run_async(0, run_id=RUN)
    assert paused.status == "paused"
    assert len(await store.events(RUN)) > 600

    WITNESS.reset()
    counting = Counting(store)
    result = await Flujo(pipeline, context_model=Notes, state=counting).resume_async(RUN, 5)
    assert result.output == 5
    assert [deed.where for deed in WITNESS.deeds] == ["last"]
    assert [(event.kind, event.address) for event in counting.live] == [
        ("run.started", ""),
        ("node.completed", "loop"),
        ("node.completed", "sub"),
        ("step.completed", "numbers"),
        ("node.completed", "map"),
        ("step.completed", "added"),
        ("request", "ask"),
    ]
    assert counting.read == {"live_events": 1}, "no payload of a finished composite is fetched"
    assert result.context.model_dump() == paused.context.model_dump()
    assert result.usage == paused.usage
    await store.close()


async def test_the_turns_of_a_loop_under_way_are_not_entered() -> None:
    """Each turn that is over is one event; what is inside it is not held."""
    store = MemoryStore()
    stop = asyncio.Event()

    async def stops_agent(number: int, info: StepInfo) -> int:
        acts(info)
        if number == 100 and not stop.is_set():
            stop.set()
            await asyncio.sleep(60)
        return number

    pipeline = Loop(up >> large >> small >> Step(stops_agent, name="stops"), until=enough, max_turns=200)
    WITNESS.reset()
    going = asyncio.create_task(Flujo(pipeline, context_model=Notes, state=store).run_async(0, run_id=RUN))
    await stop.wait()
    going.cancel()
    await asyncio.wait({going})

    WITNESS.reset()
    counting = Counting(store)
    result = await Flujo(pipeline, context_model=Notes, state=counting).resume_async(RUN)
    assert result.output == 120
    kinds = Counter(event.kind for event in counting.live)
    assert kinds == {"run.started": 1, "turn": 99, "step.completed": 3}
    ran = Counter(deed.where.partition("/")[2] for deed in WITNESS.deeds if deed.what == "step")
    assert ran == {"up": 20, "large": 20, "small": 20, "stops": 21}
    assert sum(deed.what == "predicate" for deed in WITNESS.deeds) == 21
    assert counting.read["payload"] <= 1
    assert result.context.model_dump()["total"] == 120


async def test_an_ended_run_is_told_without_running_anything() -> None:
    store = MemoryStore()
    pipeline = looping >> same.named("last")
    first = await Flujo(pipeline, context_model=Notes, state=store).run_async(0, run_id=RUN)
    WITNESS.reset()
    counting = Counting(store)
    again = Flujo(pipeline, context_model=Notes, state=counting)
    for result in (
        await again.resume_async(RUN),
        await again.run_async(0, run_id=RUN),
        await again.result(RUN),
    ):
        assert result.output == first.output
        assert result.context.model_dump() == first.context.model_dump()
    assert WITNESS.deeds == []
    assert counting.commits == 0
    assert set(counting.read) == {"live_events"}
