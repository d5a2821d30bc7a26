"""Branches in four processes spend under one quota, and the processes are killed: nothing is overspent."""

import asyncio
import random
import sys
import time
from pathlib import Path

import pytest

from flujo.journal.store import JournalStore
from tests.crash.spending import PROCESSES, journal_sum, run_ids, store_at

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]


class Overspent(AssertionError):
    """An account was seen with more spent and reserved than its limit."""


async def watch(store: JournalStore, seen: list[int]) -> None:
    """Look at the accounts again and again, from outside."""
    while True:
        for one in await store.balances():
            if one.spent + one.reserved > one.limit:
                raise Overspent(one)
        seen.append(1)
        await asyncio.sleep(0.005)


async def carried(place: str, index: int, size: tuple[int, int], kills: int, *more: str) -> int:
    """Carry the runs of one number, in processes that are killed so many times; return how many were."""
    chance, killed = random.Random(index), 0
    while True:
        command = ("-m", "tests.crash.spending", place, str(index), *map(str, size), *more)
        child = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
        try:
            async with asyncio.timeout(chance.uniform(0.7, 1.4) if killed < kills else None):
                assert await child.wait() == 0
            return killed
        except TimeoutError:
            child.kill()
            await child.wait()
            killed += 1
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def spend(place: str, size: tuple[int, int], kills: int, *more: str) -> None:
    store, seen = store_at(place), list[int]()
    await store.balances()
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(store, seen))
            begun = time.monotonic()
            async with asyncio.TaskGroup() as carrying:
                tasks = [
                    carrying.create_task(carried(place, index, size, kills, *more))
                    for index in range(PROCESSES)
                ]
            watching.cancel()
        assert len(seen) > 20 * (time.monotonic() - begun)
        assert sum(task.result() for task in tasks) >= PROCESSES * kills // 2, "too few were killed"
        await judge(store, size[0])
    finally:
        await store.close()


async def judge(store: JournalStore, runs: int) -> None:
    """Check that nothing is reserved any more, and that journals and accounts tell the same."""
    records = [await store.run(run_id) for run_id in run_ids(runs)]
    assert {record.status if record else "" for record in records} == {"completed"}
    assert await store.reservations() == []
    told = await journal_sum(store, run_ids(runs))
    balances = await store.balances()
    assert [one.meter for one in balances] == ["steps", "usd", "usd"]
    for one in balances:
        assert one.reserved == 0
        assert one.spent == told[one.meter], one
        assert one.spent <= one.limit
        assert one.meter != "usd" or one.spent > 0.5 * one.limit, "the quota was hardly tried"


async def test_killed_processes_do_not_overspend(place: str) -> None:
    await spend(place, (8, 400), 1)


async def test_the_control_a_ledger_that_does_not_check_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as found:
        await spend(str(tmp_path / "flujo_ops.db"), (4, 160), 0, "broken")
    assert found.group_contains(Overspent)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_a_thousand_branches_side_by_side(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACE", "4")
    await spend(place, (20, 1000), 6)
