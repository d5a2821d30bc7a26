"""Plain asyncio and asyncpg: one connection, one table, one statement and one commit a step."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from benchmarks.measure import Meter
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN

INSERT = "INSERT INTO outputs VALUES ($1, $2, $3)"
INSERT_MANY = "INSERT INTO outputs SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])"


async def add(x: int) -> int:
    return x + 1


@asynccontextmanager
async def opened(meter: Meter) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(meter.url)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS outputs (run text, seq bigint, output text, PRIMARY KEY (run, seq))"
    )
    try:
        yield connection
    finally:
        await connection.close()


async def durable(meter: Meter, size: int) -> None:
    async with opened(meter) as connection:
        for number in meter.rounds():
            with meter.timed(size):
                x = 0
                for seq in range(size):
                    x = await add(x)
                    await connection.execute(INSERT, f"run-{number}", seq, json.dumps(x))
            assert x == size


async def durable_context(meter: Meter, size: int) -> None:
    async with opened(meter) as connection:
        for number in meter.rounds():
            context: dict[str, object] = {"text": meter.text, "counter": 0}
            with meter.timed(size):
                await connection.execute(INSERT, f"run-{number}", 0, json.dumps(context))
                for seq in range(1, size + 1):
                    await connection.execute(INSERT, f"run-{number}", seq, json.dumps({"counter": seq}))


class GroupCommit:
    """Rows queued during one commit go into the next; `append` returns when its row is written."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[str, int, str]] = []
        self._committed: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    async def append(self, run: str, seq: int, output: str) -> None:
        if self._committed is None:
            self._committed = asyncio.get_running_loop().create_future()
        self._rows.append((run, seq, output))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(self._committed)

    async def _write(self) -> None:
        while self._committed is not None:
            rows, self._rows = self._rows, []
            committed, self._committed = self._committed, None
            await self._connection.execute(INSERT_MANY, *zip(*rows, strict=True))
            committed.set_result(None)
            await asyncio.sleep(0)
        self._writer = None


async def durable_concurrent(meter: Meter, size: int) -> None:
    async def run(log: GroupCommit, name: str) -> int:
        x = 0
        for seq in range(STEPS_PER_CONCURRENT_RUN):
            x = await add(x)
            await log.append(name, seq, json.dumps(x))
        return x

    async with opened(meter) as connection:
        log = GroupCommit(connection)
        for number, runs in enumerate(meter.sizes(size)):
            with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
                outputs = await asyncio.gather(*(run(log, f"run-{number}-{each}") for each in range(runs)))
            assert outputs == [STEPS_PER_CONCURRENT_RUN] * runs


async def pause_resume(meter: Meter, size: int) -> None:
    async with opened(meter) as connection, opened(meter) as reading:
        log, lock = GroupCommit(connection), asyncio.Lock()

        async def answer(run: str) -> bool:
            async with lock:
                asked = await reading.fetchval("SELECT output FROM outputs WHERE run = $1 AND seq = 0", run)
            assert "question" in json.loads(asked)
            await log.append(run, 1, json.dumps({"answer": True}))
            return True

        for number, runs in enumerate(meter.sizes(size)):
            names = [f"run-{number}-{each}" for each in range(runs)]
            question = json.dumps({"question": "Pay this invoice?"})
            with meter.timed(runs):
                await asyncio.gather(*(log.append(name, 0, question) for name in names))
                answers = await asyncio.gather(*(answer(name) for name in names))
            assert answers == [True] * runs
