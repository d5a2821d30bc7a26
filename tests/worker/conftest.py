"""Workers on each store that they can reach."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from flujo import Flujo, Node
from flujo.worker import Worker


@pytest.fixture
async def runner_of(place: str) -> AsyncGenerator[Callable[..., Flujo[Any, Any]]]:
    """Makes runners on the place."""
    made: list[Flujo[Any, Any]] = []

    def make(pipeline: Node[Any, Any], **settings: Any) -> Flujo[Any, Any]:
        made.append(Flujo(pipeline, state=place, **settings))
        return made[-1]

    yield make
    for runner in made:
        await runner.close()


@asynccontextmanager
async def at_work(*runners: Flujo[Any, Any], **settings: Any) -> AsyncGenerator[Worker]:
    """Let a worker serve for as long as the block lasts."""
    chosen: dict[str, Any] = {"poll": 0.02, "grace": 5.0, **settings}
    worker = Worker(runners, **chosen)
    serving = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        with suppress(asyncio.CancelledError):
            await serving


async def until(runner: Flujo[Any, Any], run_id: str, *wanted: str) -> str:
    """Wait until a run's record says one of these statuses; return which."""
    assert runner.store is not None
    async with asyncio.timeout(20):
        while True:
            record = await runner.store.run(run_id)
            if record is not None and record.status in (wanted or ("completed",)):
                return record.status
            await asyncio.sleep(0.01)
