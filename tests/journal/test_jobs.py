"""The job table of an SQLite store: who gets what, once, in which order, within which limits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from flujo.journal.jobs import Limits, Postponed, QueueCount, Taken
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.sqlite_jobs import SQLiteJobs
from flujo.journal.store import Batch, Job

NOW = 1_000_000
NONE = Limits()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flujo_ops.db"


@pytest.fixture
async def jobs(path: Path) -> AsyncIterator[SQLiteJobs]:
    table = SQLiteJobs(path)
    yield table
    await table.close()


async def ask(path: Path, *jobs: Job) -> None:
    store = SQLiteStore(path)
    await store.submit(Batch("any", "token", (), jobs=jobs))
    await store.close()


async def take(
    jobs: SQLiteJobs,
    worker: str = "one",
    *,
    wanted: int = 10,
    now: int = NOW,
    queues: Sequence[str] = ("q@1",),
    finished: Sequence[int] = (),
    postponed: Sequence[Postponed] = (),
    limits: Limits = NONE,
) -> list[Taken]:
    return await jobs.exchange(
        worker,
        queues=queues,
        finished=finished,
        postponed=postponed,
        wanted=wanted,
        limits=limits,
        now=now,
    )


def runs(taken: Sequence[Taken]) -> list[str]:
    return [one.job.run_id for one in taken]


async def test_what_is_due_is_taken_once(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"), Job("b", "q@1"), Job("later", "q@1", NOW + 1), Job("other", "p@1"))
    assert runs(await take(jobs)) == ["a", "b"]
    assert runs(await take(jobs, "two")) == []
    assert runs(await take(jobs, "two", now=NOW + 1)) == ["later"]


async def test_the_highest_priority_goes_first_then_the_longest_due(path: Path, jobs: SQLiteJobs) -> None:
    await ask(
        path, Job("low", "q@1"), Job("timed", "q@1", 500), Job("high", "q@1", 600, 5), Job("next", "q@1")
    )
    assert runs(await take(jobs, wanted=2)) == ["high", "low"]
    assert runs(await take(jobs)) == ["next", "timed"]


async def test_a_job_that_waits_already_is_not_made_again(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"), Job("a", "q@1"), Job("a", "q@1", 700), Job("a", "q@1", 700))
    assert [count.due for count in await jobs.counts(NOW)] == [2]


async def test_a_run_is_in_one_hand_and_asked_for_again_meanwhile(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"))
    [first] = await take(jobs)
    await ask(path, Job("a", "q@1"))
    assert await take(jobs, "two") == []
    assert runs(await take(jobs, "two", finished=[first.id])) == ["a"]
    assert [count.in_hand for count in await jobs.counts(NOW)] == [1]


async def test_what_is_postponed_comes_back_at_its_time(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"))
    [first] = await take(jobs)
    assert await take(jobs, postponed=[Postponed(first.id, NOW + 5)]) == []
    assert await jobs.next_due(("q@1",), NOW) == NOW + 5
    assert await jobs.next_due(("p@1",), NOW) is None
    assert runs(await take(jobs, now=NOW + 5)) == ["a"]


async def test_two_jobs_handed_back_for_the_same_time_become_one(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"))
    [first] = await take(jobs)
    await ask(path, Job("a", "q@1"))
    await take(jobs, postponed=[Postponed(first.id, 0)], wanted=0)
    assert [(count.due, count.in_hand) for count in await jobs.counts(NOW)] == [(1, 0)]


async def test_limits_hold_over_all_workers(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, *(Job(f"a{n}", "q@1") for n in range(3)), *(Job(f"b{n}", "p@1") for n in range(3)))
    limits = Limits(pipelines={"q": 2})
    assert runs(await take(jobs, queues=("q@1", "p@1"), limits=limits, wanted=1)) == ["a0"]
    assert runs(await take(jobs, "two", queues=("q@1", "p@1"), limits=limits)) == ["a1", "b0", "b1", "b2"]
    assert runs(await take(jobs, "two", queues=("q@1", "p@1"), limits=limits)) == []


async def test_a_tenant_does_not_keep_others_waiting(path: Path, jobs: SQLiteJobs) -> None:
    mine = [Job(f"acme-{n}", "q@1", tenant="acme") for n in range(20)]
    await ask(path, *mine, Job("zeta", "q@1", tenant="zeta"), Job("free", "q@1"))
    limits = Limits(tenants={"acme": 2}, each_tenant=1)
    assert runs(await take(jobs, limits=limits)) == ["acme-0", "acme-1", "zeta", "free"]


async def test_what_a_dead_worker_held_is_handed_back(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"), Job("b", "q@1"))
    await jobs.begin("dead", ("q@1",), 1, NOW)
    await jobs.begin("alive", ("q@1",), 1, NOW)
    assert runs(await take(jobs, "dead", wanted=1)) == ["a"]
    assert runs(await take(jobs, "alive", wanted=1)) == ["b"]
    assert await jobs.recover(lambda name: name == "alive") == 1
    assert [worker.name for worker in await jobs.workers()] == ["alive"]
    assert runs(await take(jobs, "alive")) == ["a"]


async def test_a_worker_that_ends_hands_back_what_it_holds(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"))
    await jobs.begin("one", ("q@1",), 4, NOW)
    await take(jobs)
    [worker] = await jobs.workers()
    assert (worker.queues, worker.concurrency, worker.in_hand) == (["q@1"], 4, 1)
    await jobs.end("one")
    assert await jobs.workers() == []
    assert await jobs.counts(NOW) == [QueueCount("q@1", 1, 0, 0)]


async def test_many_workers_share_the_work(path: Path) -> None:
    await ask(path, *(Job(f"run-{n:03}", "q@1") for n in range(200)))
    tables = [SQLiteJobs(path) for _ in range(4)]

    async def work(number: int) -> list[str]:
        found: list[str] = []
        held: list[Taken] = []
        while True:
            held = await take(tables[number], str(number), finished=[one.id for one in held], wanted=7)
            if not held:
                return found
            found += runs(held)

    shares = await asyncio.gather(*(work(number) for number in range(4)))
    assert sorted(run for share in shares for run in share) == [f"run-{n:03}" for n in range(200)]
    assert await tables[0].counts(NOW) == []
    await asyncio.gather(*(table.close() for table in tables))


async def test_a_limit_holds_over_the_plans_of_a_pipeline(path: Path, jobs: SQLiteJobs) -> None:
    await ask(path, Job("a", "q@1"), Job("b", "q@2"), Job("c", "q@1"))
    limits = Limits(pipelines={"q": 2})
    assert runs(await take(jobs, queues=("q@1", "q@2"), limits=limits)) == ["a", "b"]


async def test_a_tenant_at_its_limit_hides_nobody_however_much_it_wants(path: Path, jobs: SQLiteJobs) -> None:
    await ask(
        path, *(Job(f"big-{n}", "q@1", tenant="big") for n in range(1_005)), Job("small", "q@1", tenant="s")
    )
    limits = Limits(each_tenant=1)
    assert runs(await take(jobs, limits=limits)) == ["big-0"]
    assert runs(await take(jobs, limits=limits)) == ["small"]
