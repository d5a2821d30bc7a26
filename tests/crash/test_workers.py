"""Workers that are killed again and again: every run ends right, and nothing recorded happens again."""

import asyncio
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

from flujo import Decision, Flujo, PipelineResult
from flujo.errors import ResumeError, StoreError
from flujo.journal.rules import Fence
from flujo.journal.store import Batch, JournalStore, RunQuery
from flujo.journal.verify import verify, verify_all
from tests.crash.workers import EXECUTIONS, pipeline
from tests.postgres import restart, schema

ROOT = Path(__file__).parents[2]
SETTLED = "settled by a person"

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def workers(count: int, place: str, deeds: Path, *, kill_every: float) -> AsyncGenerator[list[int]]:
    """Let so many workers serve, and kill one of them again and again; a new one takes its place."""
    command = [sys.executable, "-m", "tests.crash.workers", place, str(deeds)]
    told = deeds.with_suffix(".log").open("ab")

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT, stderr=told)

    serving = [begin() for _ in range(count)]
    kills = [0]
    chance = random.Random(7)

    async def kill() -> None:
        while True:
            await asyncio.sleep(kill_every)
            victim = chance.randrange(count)
            serving[victim].kill()
            serving[victim].wait()
            serving[victim] = begin()
            kills[0] += 1

    killing = asyncio.create_task(kill())
    try:
        yield kills
    finally:
        killing.cancel()
        for process in serving:
            process.send_signal(signal.SIGTERM)
        for process in serving:
            assert await asyncio.to_thread(process.wait, 30) in (
                0,
                -signal.SIGTERM,
            )  # that: it was still starting
        told.close()


async def finished(runner: Flujo[Any, Any], count: int, seconds: float) -> None:
    """Wait until so many runs have completed; settle what is in doubt on the way, as done."""
    store, give_up = store_of(runner), monotonic() + seconds
    done = 0
    while done < count:
        assert monotonic() < give_up, f"{done} of {count} runs have completed"
        await asyncio.sleep(0.1)
        try:
            done = len((await store.runs(RunQuery(status=("completed",), limit=count))).runs)
            for record in (await store.runs(RunQuery(status=("paused",), limit=count))).runs:
                for request in await runner.pending(record.run_id):
                    await runner.answer(record.run_id, Decision("edit", [SETTLED]), request=request.id)
        except (StoreError, ResumeError):
            continue  # it is away, or somebody was quicker


def store_of(runner: Flujo[Any, Any]) -> JournalStore:
    assert runner.store is not None
    return runner.store


def begun(deeds: Path) -> dict[tuple[str, str], list[str]]:
    """Return the executions that began, in order, by run and address."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in deeds.read_text().splitlines():
        run_id, address, name = line.split()
        found[run_id, address].append(name)
    return found


def faults(result: PipelineResult[Any, Any], deeds: dict[tuple[str, str], list[str]]) -> list[str]:
    """Tell what is wrong with a run: what is recorded of a step must be the last time that it began."""
    found: list[str] = []
    if result.status != "completed":
        found.append(f"{result.run_id} is {result.status}")
        return found
    mine = {address: names for (run_id, address), names in deeds.items() if run_id == result.run_id}
    output: list[str] = result.unwrap()
    begun_once = mine.setdefault("once", [])  # one that was killed before it began is in doubt, too
    if len(begun_once) > 1 or (not begun_once and SETTLED not in output):
        found.append(f"{result.run_id}: the at-most-once step began {len(begun_once)} times")
    if len(mine) != EXECUTIONS:
        found.append(f"{result.run_id} has executed {sorted(mine)}")
    kept = [mine["last"][-1]]
    if SETTLED not in output:
        kept += [names[-1] for address, names in mine.items() if address != "last"]
    found += [f"{result.run_id}: an execution after a recorded one" for name in kept if name not in output]
    return found


async def trial(
    place: str, folder: Path, *, runs: int, count: int, kill_every: float, seconds: float, trouble: bool
) -> None:
    deeds = folder / "deeds"
    deeds.touch()
    runner: Flujo[Any, Any] = Flujo(pipeline, state=place)
    names = [f"run-{number:03}" for number in range(runs)]
    async with workers(count, place, deeds, kill_every=kill_every) as kills:
        await asyncio.gather(*(runner.start_async(number, run_id=name) for number, name in enumerate(names)))
        troubled = asyncio.create_task(_trouble(place)) if trouble and "://" in place else None
        try:
            await finished(runner, runs, seconds)
        finally:
            if troubled is not None:
                troubled.cancel()
    assert kills[0] > 0
    seen = begun(deeds)
    results = [await runner.result(name) for name in names]
    assert [fault for result in results for fault in faults(result, seen)] == []
    assert [report async for report in verify_all(store_of(runner)) if not report.sound] == []
    await runner.close()


async def _trouble(url: str) -> None:
    """Cut the connections to the server, and crash it, in turns."""
    while True:
        await asyncio.sleep(3)
        try:
            connection = await asyncpg.connect(url)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            )
            await connection.close()
        except (OSError, asyncpg.PostgresError):
            continue
        await asyncio.sleep(3)
        await asyncio.to_thread(restart, "immediate")


@pytest.mark.timeout(300)
async def test_killed_workers_lose_and_repeat_nothing(place: str, tmp_path: Path) -> None:
    await trial(place, tmp_path, runs=24, count=2, kill_every=0.7, seconds=240, trouble=False)


@pytest.mark.soak
async def test_200_runs_over_4_workers_a_kill_every_second_and_a_troubled_server(
    place: str, tmp_path: Path
) -> None:
    await trial(place, tmp_path, runs=200, count=4, kill_every=1.0, seconds=600, trouble=True)


@pytest.mark.parametrize("fenced", [True, False])
async def test_the_fence_is_what_keeps_two_owners_apart(
    fenced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job handed out twice is carried by one owner. Without the fence, and so it must fail, both write."""
    with schema() as url:
        meeting = _Meeting(1.0 if fenced else 60.0)
        first, second = (Flujo(_slowly(meeting), state=url) for _ in range(2))
        await first.start_async(0, run_id="run-1")
        if not fenced:
            connection = await asyncpg.connect(url)
            await connection.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
            await connection.close()
            monkeypatch.setattr(Fence, "refusal", _nobody_is_refused)
        both = await asyncio.gather(
            first.carry_on("run-1", take_over=True),
            second.carry_on("run-1", take_over=True),
            return_exceptions=True,
        )
        refused = [one for one in both if isinstance(one, ResumeError)]
        report = await verify(store_of(first), "run-1")
        await first.close()
        await second.close()
    assert (len(refused), report.sound) == ((1, True) if fenced else (0, False))


def _nobody_is_refused(fence: Fence, batch: Batch, stored: int) -> None:
    """Stand in for the fence where it is off."""


class _Meeting:
    """Where two owners of one run wait for each other, so that both are under way; or not for ever."""

    def __init__(self, seconds: float) -> None:
        self._both = asyncio.Barrier(2)
        self._seconds = seconds

    async def wait(self) -> None:
        with suppress(TimeoutError, asyncio.BrokenBarrierError):
            await asyncio.wait_for(self._both.wait(), self._seconds)


def _slowly(meeting: _Meeting) -> Any:
    from flujo import Step

    async def work(number: int) -> int:
        if number == 0:
            await meeting.wait()
        await asyncio.sleep(0.02)
        return number + 1

    steps = [Step(work, name=f"work_{at}") for at in range(6)]
    chain = steps[0]
    for one in steps[1:]:
        chain = chain >> one
    return chain
