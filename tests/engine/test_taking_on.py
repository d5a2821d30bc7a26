"""Taking a run on while somebody else does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flujo import Flujo, HumanInput, MemoryStore, Step
from flujo.errors import RunBusy
from flujo.journal.events import Event


class Between(MemoryStore):
    """A store that lets something happen while a run is read."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def live_events(self, run_id: str) -> list[Event]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().live_events(run_id)


async def test_a_run_that_somebody_takes_on_while_it_is_read_is_theirs() -> None:
    store, begun, go_on = Between(), asyncio.Event(), asyncio.Event()
    worked: list[str] = []

    async def work(answer: str) -> str:
        worked.append(answer)
        begun.set()
        await go_on.wait()
        return answer

    pipeline = HumanInput("Which?", name="ask") >> Step(work)
    runner, rival = Flujo(pipeline, state=store), Flujo(pipeline, state=store)
    assert (await runner.run_async("x", run_id="one")).status == "paused"
    tasks: list[asyncio.Task[Any]] = []

    async def first() -> None:
        tasks.append(asyncio.create_task(runner.resume_async("one", "first")))
        await begun.wait()

    store.meanwhile = first
    with pytest.raises(RunBusy):
        await rival.resume_async("one", "second")
    go_on.set()
    assert (await tasks[0]).unwrap() == "first"
    assert worked == ["first"]
