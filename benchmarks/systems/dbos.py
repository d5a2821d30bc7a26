"""DBOS Transact: functions whose steps are recorded, in SQLite or PostgreSQL.

Every workflow is stored, so the in-memory workloads are left out. The SQLite file is created with the
write-ahead log, which DBOS itself leaves at the default, so that syncs cost everybody the same. Differences
that remain:

- what a step changes is stored only as its return value, so the step that counts in a context of 100 KB
  returns the context; a user who returns the field and merges it by hand stores less;
- a workflow that waits for a person (`recv`) stays in memory as a waiting coroutine, and looks for its
  message once a second, which is DBOS's default;
- a stopped workflow is resumed (`cancel_workflow`, `resume_workflow`) by a queue that is looked at once a
  second, and runs its function again, each recorded step being answered from the database. Its wall time has
  that second in it.
"""

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID, error

from benchmarks.measure import Meter
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN

_NOT_IN_MEMORY = "DBOS stores every workflow"

UNSUPPORTED: dict[str, str] = dict.fromkeys(("chain", "loop", "parallel", "concurrent"), _NOT_IN_MEMORY)


@DBOS.step()
async def add(x: int) -> int:
    return x + 1


@DBOS.workflow()
async def chain_workflow(size: int) -> int:
    x = 0
    for _ in range(size):
        x = await add(x)
    return x


@DBOS.step()
async def count(context: dict[str, Any]) -> dict[str, Any]:
    return context | {"counter": context["counter"] + 1}


@DBOS.workflow()
async def context_workflow(context: dict[str, Any], size: int) -> int:
    for _ in range(size):
        context = await count(context)
    return context["counter"]


stopping_at: int | None = None


@DBOS.workflow()
async def stopping_workflow(size: int) -> int:
    """Like `chain_workflow`, but is cancelled when `stopping_at` steps are recorded."""
    x = 0
    for _ in range(size):
        if x == stopping_at:
            assert DBOS.workflow_id is not None
            await DBOS.cancel_workflow_async(DBOS.workflow_id)
        x = await add(x)
    return x


@DBOS.workflow()
async def asking_workflow() -> bool:
    return await DBOS.recv_async("answer", timeout_seconds=3600)


@contextmanager
def launched(meter: Meter) -> Generator[None]:
    if not meter.url:
        with closing(sqlite3.connect(meter.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    config: DBOSConfig = {
        "name": "flujo-bench",
        "system_database_url": meter.url or f"sqlite:///{meter.database}",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


async def durable(meter: Meter, size: int) -> None:
    with launched(meter):
        for _ in meter.rounds():
            with meter.timed(size):
                output = await chain_workflow(size)
            assert output == size


async def durable_context(meter: Meter, size: int) -> None:
    with launched(meter):
        for _ in meter.rounds():
            with meter.timed(size):
                output = await context_workflow({"text": meter.text, "counter": 0}, size)
            assert output == size


async def durable_concurrent(meter: Meter, size: int) -> None:
    with launched(meter):
        for runs in meter.sizes(size):
            with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
                outputs = await asyncio.gather(
                    *(chain_workflow(STEPS_PER_CONCURRENT_RUN) for _ in range(runs))
                )
            assert outputs == [STEPS_PER_CONCURRENT_RUN] * runs


async def resume(meter: Meter, size: int) -> None:
    global stopping_at
    with launched(meter):
        for number in meter.rounds():
            stopping_at = size
            try:
                with SetWorkflowID(f"run-{number}"):
                    await stopping_workflow(size + 1)
            except error.DBOSAwaitedWorkflowCancelledError:
                stopping_at = None
            with meter.timed(1):
                handle = await DBOS.resume_workflow_async(f"run-{number}")
                output = await handle.get_result()
            assert output == size + 1


async def pause_resume(meter: Meter, size: int) -> None:
    async def ask(name: str) -> Any:
        with SetWorkflowID(name):
            return await DBOS.start_workflow_async(asking_workflow)

    with launched(meter):
        for number, runs in enumerate(meter.sizes(size)):
            names = [f"run-{number}-{each}" for each in range(runs)]
            with meter.timed(runs):
                handles = await asyncio.gather(*(ask(name) for name in names))
                await asyncio.gather(*(DBOS.send_async(name, True, topic="answer") for name in names))
                answers = await asyncio.gather(*(handle.get_result() for handle in handles))
            assert answers == [True] * runs
