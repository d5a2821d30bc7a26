"""Runs on a real PostgreSQL server: killed, taken over, and cut off from a server that restarts."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from flujo import Flujo, HumanInput, Map, Node, PostgresStore, Step, step
from flujo.errors import RunBusy
from flujo.journal.verify import verify
from tests.postgres import restart, schema

ROOT = Path(__file__).parents[2]
RUNS, STEPS = 40, 6

pytestmark = pytest.mark.e2e


@pytest.fixture
def url() -> Generator[str]:
    with schema() as url:
        yield url


WORK = """
import asyncio, os, signal, sys
from flujo import Flujo, Step
url, deeds, run_id, die = sys.argv[1:]
count = 0
async def work(x: int) -> int:
    global count
    count += 1
    with open(deeds, "a") as file:
        file.write(f"{x}\\n")
    if count == int(die):
        os.kill(os.getpid(), signal.SIGKILL)
    return x + 1
steps = [Step(work, name=f"work_{at}") for at in range(8)]
pipeline = steps[0]
for one in steps[1:]:
    pipeline = pipeline >> one
print(Flujo(pipeline, state=url).run(0, run_id=run_id).unwrap())
"""


@pytest.mark.parametrize("die", [1, 4, 8])
def test_a_killed_process_loses_and_repeats_no_recorded_step(url: str, tmp_path: Path, die: int) -> None:
    deeds = tmp_path / "deeds"

    def process(die: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WORK, url, str(deeds), "r1", str(die)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert process(die).returncode == -signal.SIGKILL
    again = process(0)
    assert again.stdout.strip() == "8", again.stderr
    done = Counter(map(int, deeds.read_text().split()))
    assert done == Counter(range(8)) + Counter([die - 1])  # only the step it died in ran again


async def test_a_run_paused_here_goes_on_elsewhere(url: str) -> None:
    runner = Flujo(HumanInput("amount?", schema=int) >> step(_double), state=url)
    paused = await runner.run_async(1)
    await runner.close()
    elsewhere = Flujo(HumanInput("amount?", schema=int) >> step(_double), state=url)
    assert [request.prompt for request in await elsewhere.pending(paused.run_id)] == ["amount?"]
    assert (await elsewhere.resume_async(paused.run_id, 21)).output == 42
    assert elsewhere.store is not None
    assert (await verify(elsewhere.store, paused.run_id)).sound
    await elsewhere.close()


async def _double(x: int) -> int:
    return 2 * x


async def test_a_run_in_progress_is_not_taken_by_another_runner(url: str) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    @step
    async def slow(x: int) -> int:
        reached.set()
        await go_on.wait()
        return x

    first, second = Flujo(slow, state=url), Flujo(slow, state=url)
    running = asyncio.create_task(first.run_async(1, run_id="r1"))
    await reached.wait()
    with pytest.raises(RunBusy):
        await second.resume_async("r1")
    taken = asyncio.create_task(second.resume_async("r1", take_over=True))
    await asyncio.sleep(0.1)
    go_on.set()
    outcomes = await asyncio.gather(running, taken, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["RunTaken", "PipelineResult"]
    await first.close()
    await second.close()


async def test_a_server_that_restarts_at_once_stops_no_run(url: str) -> None:
    deeds: Counter[tuple[int, int]] = Counter()

    async def work(x: int) -> int:
        deeds[divmod(x, 100)] += 1
        await asyncio.sleep(0.1)
        return x + 1

    def both(x: int) -> list[int]:
        return [x, x + 50]

    pipeline: Node[int, int] = Step(work, name="work_0")
    for at in range(1, STEPS):
        pipeline = pipeline >> Step(work, name=f"work_{at}")
    store = PostgresStore(url)
    runner = Flujo(pipeline >> Map(Step(work, name="each"), over=both), state=store)
    running = [
        asyncio.create_task(runner.run_async(100 * run, run_id=f"run-{run}")) for run in range(1, RUNS + 1)
    ]
    for _ in range(3):
        await asyncio.sleep(0.05)
        assert not all(task.done() for task in running)
        await asyncio.to_thread(restart, "immediate")
    results = await asyncio.gather(*running)
    assert [result.output for result in results] == [
        [100 * run + STEPS + 1, 100 * run + STEPS + 51] for run in range(1, RUNS + 1)
    ]
    assert set(deeds.values()) == {1}  # the process lived: nothing had to run again
    for run in range(1, RUNS + 1):
        assert (await verify(store, f"run-{run}")).sound
    await runner.close()
