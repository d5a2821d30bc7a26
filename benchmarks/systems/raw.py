"""Plain asyncio and sqlite3 (asyncpg for PostgreSQL): what the work itself costs, with no library around it.

The floor that the other numbers stand on, not a rival: no validation, no hooks, no retry, no cancellation,
no audit. One table of outputs per run and step is enough to resume. A single run commits on the event loop;
concurrent runs share commits through a list that is written by a worker thread (group commit).
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Meter
from benchmarks.systems import raw_postgres
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN

UNSUPPORTED: dict[str, str] = {}

INSERT = "INSERT INTO outputs VALUES (?, ?, ?)"

Step = Callable[[int], Awaitable[int]]


async def add(x: int) -> int:
    return x + 1


async def run_chain(steps: list[Step], x: int) -> int:
    for step in steps:
        x = await step(x)
    return x


async def chain(meter: Meter, size: int) -> None:
    steps: list[Step] = [add] * size
    for _ in meter.rounds():
        with meter.timed(size):
            output = await run_chain(steps, 0)
        assert output == size


async def loop(meter: Meter, size: int) -> None:
    for _ in meter.rounds():
        with meter.timed(size):
            x = 0
            while x < size:
                x = await add(x)
        assert x == size


async def parallel(meter: Meter, size: int) -> None:
    for _ in meter.rounds():
        with meter.timed(size):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(add(x)) for x in range(size)]
            outputs = [task.result() for task in tasks]
        assert outputs == list(range(1, size + 1))


async def source(size: int) -> AsyncIterator[int]:
    for number in range(size):
        yield number
        await asyncio.sleep(0)


async def increased(chunks: AsyncIterator[int]) -> AsyncIterator[int]:
    async for chunk in chunks:
        yield chunk + 1


async def stream(meter: Meter, size: int) -> None:
    for _ in meter.rounds():
        total = 0
        with meter.timed(3 * size):
            async for chunk in increased(increased(increased(source(size)))):
                total += chunk
        assert total == sum(range(size)) + 3 * size


async def stream_watched(meter: Meter, size: int) -> None:
    await stream(meter, size)


async def concurrent(meter: Meter, size: int) -> None:
    steps: list[Step] = [add] * STEPS_PER_CONCURRENT_RUN
    for runs in meter.sizes(size):
        with meter.timed(runs * len(steps)):
            outputs = await asyncio.gather(*(run_chain(steps, 0) for _ in range(runs)))
        assert outputs == [len(steps)] * runs


async def agent(meter: Meter, size: int) -> None:
    from benchmarks.systems.agents import bare

    asked = bare(size)
    for _ in meter.rounds():
        with meter.timed(size):
            result = await asked.run("go")
        assert result.output == str(size - 1)


async def durable_agent(meter: Meter, size: int) -> None:
    from benchmarks.systems.agents import bare

    asked = bare(size)
    with opened(meter.database) as connection:
        for number in meter.rounds():
            with meter.timed(size):
                result = await asked.run("go")
                connection.execute(INSERT, (f"run-{number}", 0, result.all_messages_json().decode()))
            assert result.output == str(size - 1)


@contextmanager
def opened(database: Path) -> Generator[sqlite3.Connection]:
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS outputs"
        " (run TEXT, seq INTEGER, output TEXT, PRIMARY KEY (run, seq)) WITHOUT ROWID"
    )
    try:
        yield connection
    finally:
        connection.close()


async def run_durable(
    connection: sqlite3.Connection, run: str, steps: list[Step], until: int | None = None
) -> int:
    recorded = connection.execute("SELECT output FROM outputs WHERE run = ? ORDER BY seq", (run,)).fetchall()
    x = json.loads(recorded[-1][0]) if recorded else 0
    for seq in range(len(recorded), len(steps) if until is None else until):
        x = await steps[seq](x)
        connection.execute(INSERT, (run, seq, json.dumps(x)))
    return x


async def durable(meter: Meter, size: int) -> None:
    if meter.url:
        await raw_postgres.durable(meter, size)
        return
    steps: list[Step] = [add] * size
    with opened(meter.database) as connection:
        for number in meter.rounds():
            with meter.timed(size):
                output = await run_durable(connection, f"run-{number}", steps)
            assert output == size


async def count(context: dict[str, object]) -> dict[str, object]:
    """Change one small field and say which, since plain Python does not find out by itself."""
    assert isinstance(context["counter"], int)
    return {"counter": context["counter"] + 1}


async def durable_context(meter: Meter, size: int) -> None:
    if meter.url:
        await raw_postgres.durable_context(meter, size)
        return
    with opened(meter.database) as connection:
        for number in meter.rounds():
            context: dict[str, object] = {"text": meter.text, "counter": 0}
            with meter.timed(size):
                connection.execute(INSERT, (f"run-{number}", 0, json.dumps(context)))
                for seq in range(1, size + 1):
                    changed = await count(context)
                    context |= changed
                    connection.execute(INSERT, (f"run-{number}", seq, json.dumps(changed)))
            assert context["counter"] == size


class GroupCommit:
    """Rows queued while one commit syncs go into the next; `append` returns when its row is on disk."""

    def __init__(self, connection: sqlite3.Connection) -> None:
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
            await asyncio.to_thread(self._commit, rows)
            committed.set_result(None)
            await asyncio.sleep(0)
        self._writer = None

    def _commit(self, rows: list[tuple[str, int, str]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(INSERT, rows)
        self._connection.execute("COMMIT")


async def durable_concurrent(meter: Meter, size: int) -> None:
    if meter.url:
        await raw_postgres.durable_concurrent(meter, size)
        return
    steps: list[Step] = [add] * STEPS_PER_CONCURRENT_RUN

    async def run(log: GroupCommit, name: str) -> int:
        x = 0
        for seq, step in enumerate(steps):
            x = await step(x)
            await log.append(name, seq, json.dumps(x))
        return x

    with opened(meter.database) as connection:
        log = GroupCommit(connection)
        for number, runs in enumerate(meter.sizes(size)):
            with meter.timed(runs * len(steps)):
                outputs = await asyncio.gather(*(run(log, f"run-{number}-{each}") for each in range(runs)))
            assert outputs == [len(steps)] * runs


async def resume(meter: Meter, size: int) -> None:
    steps: list[Step] = [add] * (size + 1)
    for number in meter.rounds():
        with opened(meter.database) as connection:
            await run_durable(connection, f"run-{number}", steps, until=size)
        with opened(meter.database) as connection, meter.timed(1):
            output = await run_durable(connection, f"run-{number}", steps)
        assert output == size + 1


async def pause_resume(meter: Meter, size: int) -> None:
    if meter.url:
        await raw_postgres.pause_resume(meter, size)
        return

    async def ask(log: GroupCommit, run: str, question: str) -> None:
        await log.append(run, 0, json.dumps({"question": question}))

    async def answer(connection: sqlite3.Connection, log: GroupCommit, run: str, answer: bool) -> bool:
        (asked,) = connection.execute(
            "SELECT output FROM outputs WHERE run = ? AND seq = 0", (run,)
        ).fetchone()
        assert "question" in json.loads(asked)
        await log.append(run, 1, json.dumps({"answer": answer}))
        return answer

    # The writer thread has the first connection inside a transaction while the questions are read back.
    with opened(meter.database) as writing, opened(meter.database) as reading:
        log = GroupCommit(writing)
        for number, runs in enumerate(meter.sizes(size)):
            names = [f"run-{number}-{each}" for each in range(runs)]
            with meter.timed(runs):
                await asyncio.gather(*(ask(log, name, "Pay this invoice?") for name in names))
                answers = await asyncio.gather(*(answer(reading, log, name, True) for name in names))
            assert answers == [True] * runs
