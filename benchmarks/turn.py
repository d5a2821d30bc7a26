"""What a turn of an agent costs beside bare pydantic-ai: `python -m benchmarks.turn`.

The same conversation is held bare, by Flujo in memory and by Flujo with SQLite, and plain rows are committed
to another SQLite file: all four take turns in one process, so that they share the machine as it is then. What
processes of their own take, as `python -m benchmarks` reports it, differs by more than is asked here.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.systems import agents, raw
from benchmarks.systems.flujo import agent_step
from flujo import Flujo, SQLiteStore

TURNS = 20
WARM_UP = 5


async def measure(folder: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Return medians per turn, or per commit, in microseconds: wall time and CPU of the process."""
    bare, store = agents.bare(TURNS), SQLiteStore(folder / "runs.db")
    memory, durable = Flujo(agent_step(TURNS)), Flujo(agent_step(TURNS), state=store)
    count = 0
    with raw.opened(folder / "rows.db") as connection:

        async def commit() -> None:
            nonlocal count
            for _ in range(TURNS):
                count += 1
                connection.execute(raw.INSERT, ("run", count, "1"))

        work: dict[str, Callable[[], Awaitable[object]]] = {
            "bare": lambda: bare.run("go"),
            "memory": lambda: memory.run_async("go"),
            "durable": lambda: durable.run_async("go"),
            "commit": commit,
        }
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
        for _ in range(WARM_UP + rounds):
            for name, one in work.items():
                wall, cpu = time.perf_counter(), time.process_time()
                await one()
                took[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    await store.close()
    return {name: _medians(times[WARM_UP:]) for name, times in took.items()}


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    wall, cpu = (statistics.median(column) / TURNS * 1e6 for column in zip(*times, strict=True))
    return wall, cpu


def main() -> None:
    """Measure, and print a table and the two ratios that are kept an eye on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turn")
    parser.add_argument("--rounds", type=int, default=60, help="conversations of each (60)")
    parser.add_argument("--dir", type=Path, help="where the databases are put; a folder on a disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flujo-bench-", dir=options.dir) as folder:
        found = asyncio.run(measure(Path(folder), options.rounds))
    for name, (wall, cpu) in found.items():
        print(f"{name:8} {wall:7,.0f} µs wall {cpu:7,.0f} µs CPU")
    bare, commit = found["bare"][0], found["commit"][0]
    print(f"memory / bare: {found['memory'][0] / bare:.3f}")
    print(f"durable / (bare + 4 commits): {found['durable'][0] / (bare + 4 * commit):.3f}")


if __name__ == "__main__":
    main()
