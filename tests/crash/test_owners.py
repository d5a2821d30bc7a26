"""One owner: of several processes that want a run exactly one carries it on, and the others are told."""

import asyncio
import os
import platform
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flujo import Flujo, MemoryStore, SQLiteStore
from flujo.errors import RunBusy, RunTaken
from flujo.journal.store import Batch, Committed
from flujo.journal.verify import verify
from tests.crash.rivals import (
    BROKEN,
    BUSY,
    REFUSED,
    RUN,
    TAKEN,
    WON,
    Attempt,
    answer_five,
    answer_six,
    asked,
    begin,
    cancel,
    check_clear,
    held,
    race,
    record_six,
    resume,
    rival,
    runner,
    status_of,
    take_over,
    unasked,
    until,
)
from tests.crash.witness import WITNESS, read_deeds

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
ROUNDS = range(4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flujo_ops.db"


def steps(path: Path) -> Counter[str]:
    """Return how often each step ran, in all processes."""
    return Counter(deed.where for file in path.parent.glob("*.deeds*") for deed in read_deeds(file))


async def outcome(pipeline: object, path: Path) -> tuple[str, int | None]:
    mine = runner(pipeline, path)
    result = await mine.result(RUN)
    assert mine.store is not None
    report = await verify(mine.store, RUN)
    await mine.close()
    assert report.sound, report.finding
    return result.status, result.output


async def paused(path: Path) -> None:
    mine = runner(asked, path)
    assert (await mine.run_async(1, run_id=RUN)).status == "paused"
    await mine.close()


async def left_behind(path: Path, pipeline: object = unasked) -> None:
    """Leave a run as a process does that dies in its second step."""
    child = rival(pipeline, path, path.with_suffix(".deeds-gone"), begin)
    await until(lambda: "slow" in steps(path))
    os.kill(child, signal.SIGKILL)
    status_of(child)


@pytest.mark.parametrize("_", ROUNDS)
async def test_two_resume_what_a_dead_process_left(path: Path, _: int) -> None:
    await left_behind(path)
    statuses = race(unasked, path, [resume, resume])
    assert sorted(statuses) in ([WON, BUSY], [WON, TAKEN], [WON, REFUSED])
    assert await outcome(unasked, path) == ("completed", 4)
    assert steps(path) == {"first": 1, "slow": 2, "last": 1}, "once in the dead process, once after it"


@pytest.mark.parametrize("_", ROUNDS)
async def test_two_answer_differently(path: Path, _: int) -> None:
    await paused(path)
    statuses = race(asked, path, [answer_five, answer_six])
    assert sorted(statuses) in ([WON, BUSY], [WON, TAKEN], [WON, REFUSED])
    assert await outcome(asked, path) == ("completed", 7 if statuses[0] == WON else 8)
    assert steps(path) == {"slow": 1, "last": 1}
    store = SQLiteStore(path)
    assert sum(event.kind == "answer" for event in await store.events(RUN)) == 1
    await store.close()


@pytest.mark.parametrize("_", ROUNDS)
async def test_many_begin_one_run(path: Path, _: int) -> None:
    statuses = race(unasked, path, [begin] * 4)
    assert min(statuses) == WON
    assert set(sorted(statuses)[1:]) <= {BUSY, TAKEN}
    assert await outcome(unasked, path) == ("completed", 4)
    assert steps(path) == {"first": 1, "slow": 1, "last": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [(answer_five, cancel), (answer_five, record_six), (cancel, cancel), (record_six, record_six)],
)
async def test_one_of_two_decisions_holds(path: Path, one: Attempt, other: Attempt) -> None:
    await paused(path)
    statuses = race(asked, path, [one, other])
    assert BROKEN not in statuses
    assert statuses.count(WON) >= 1
    store = SQLiteStore(path)
    kinds = Counter(event.kind for event in await store.events(RUN))
    await store.close()
    assert kinds["answer"] + kinds["run.ended"] >= 1
    assert kinds["answer"] <= 1
    assert kinds["run.ended"] <= 1
    assert (await verify(SQLiteStore(path), RUN)).sound


async def test_who_comes_while_it_runs_is_told_by_whom(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH_FOLDER", str(path.parent))
    child = rival(held, path, path.with_suffix(".deeds0"), begin)
    await holding(path, child)
    mine = runner(held, path)
    for attempt in (resume, begin, cancel):
        with pytest.raises(RunBusy) as refused:
            await attempt(mine)
        check_clear(refused.value)
        assert str(child) in refused.value.message
    (path.parent / "go").touch()
    assert status_of(child) == WON
    assert (await mine.resume_async(RUN)).output == 4, "what has ended is told to anybody"
    await mine.close()
    assert steps(path) == {"first": 1, "held": 1, "last": 1}


async def holding(path: Path, child: int) -> None:
    await until((path.parent / f"holding-{child}").exists)


def rename_owner(path: Path, child: int) -> None:
    """Make the record say that the owner is a process that started at another time: its number was reused."""
    with closing(sqlite3.connect(path)) as other:
        (owner,) = other.execute("SELECT owner FROM runs").fetchone()
        host, pid, _, *rest = owner.split(":")
        assert (host, pid) == (platform.node(), str(child))
        other.execute("UPDATE runs SET owner = ?", (":".join([host, pid, "1", *rest]),))
        other.commit()


def move_owner(path: Path, child: int) -> None:
    """Make the record say that the owner is on another host, which cannot be seen from here."""
    with closing(sqlite3.connect(path)) as other:
        (owner,) = other.execute("SELECT owner FROM runs").fetchone()
        other.execute("UPDATE runs SET owner = ?", (owner.replace(platform.node(), "elsewhere", 1),))
        other.commit()


async def test_an_owner_that_cannot_be_seen_keeps_its_run(path: Path) -> None:
    """A container has another host name each time it starts: a person says that the run may go on."""
    await left_behind(path)
    move_owner(path, 0)
    WITNESS.reset()
    mine = runner(unasked, path)
    for attempt in (resume, begin, cancel):
        with pytest.raises(RunBusy, match="elsewhere") as refused:
            await attempt(mine)
        assert "take_over" in refused.value.fix
    assert (await mine.resume_async(RUN, take_over=True)).output == 4
    assert [deed.where for deed in WITNESS.deeds] == ["slow", "last"]
    await mine.close()


@pytest.mark.parametrize(("disguise", "attempt"), [(rename_owner, resume), (move_owner, take_over)])
async def test_a_stale_owner_is_refused_at_its_first_write(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disguise: Callable[[Path, int], None],
    attempt: Attempt,
) -> None:
    monkeypatch.setenv("CRASH_FOLDER", str(path.parent))
    stale = rival(held, path, path.with_suffix(".deeds0"), begin)
    await holding(path, stale)
    os.kill(stale, signal.SIGSTOP)
    disguise(path, stale)

    heir = rival(held, path, path.with_suffix(".deeds1"), attempt)
    await holding(path, heir)
    before = len(read_deeds(path.with_suffix(".deeds0")))
    (path.parent / "go").touch()
    os.kill(stale, signal.SIGCONT)
    assert status_of(stale) == TAKEN
    assert status_of(heir) == WON

    assert len(read_deeds(path.with_suffix(".deeds0"))) == before, "the stale owner did nothing more"
    assert steps(path) == {"first": 1, "held": 2, "last": 1}
    assert await outcome(held, path) == ("completed", 4)


async def test_a_stale_owner_cannot_write_after_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH_FOLDER", str(path.parent))
    stale = rival(held, path, path.with_suffix(".deeds0"), begin)
    await holding(path, stale)
    os.kill(stale, signal.SIGSTOP)
    rename_owner(path, stale)
    mine = runner(held, path)
    assert (await mine.cancel(RUN, "its owner is gone")).status == "cancelled"
    (path.parent / "go").touch()
    os.kill(stale, signal.SIGCONT)
    assert status_of(stale) == TAKEN
    assert await outcome(held, path) == ("cancelled", None)
    await mine.close()


def leave_as_zombie(child: int) -> None:
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


async def test_a_killed_process_that_nobody_waited_for_is_dead(path: Path) -> None:
    """Its entry stays in the process table as a zombie: in a container without an init, for ever."""
    child = rival(unasked, path, path.with_suffix(".deeds-gone"), begin)
    await until(lambda: "slow" in steps(path))
    os.kill(child, signal.SIGKILL)
    leave_as_zombie(child)
    try:
        mine = runner(unasked, path)
        assert (await mine.resume_async(RUN)).output == 4
        await mine.close()
    finally:
        status_of(child)


async def test_two_runners_in_one_process() -> None:
    store = MemoryStore()
    one, other = (Flujo(unasked, state=store) for _ in range(2))
    WITNESS.reset()
    going = asyncio.create_task(one.run_async(1, run_id=RUN))
    await until(lambda: len(WITNESS.deeds) > 0)
    with pytest.raises((RunBusy, RunTaken)) as refused:
        await other.resume_async(RUN)
    check_clear(refused.value)
    assert (await going).output == 4


async def test_a_run_whose_runner_was_given_up_can_be_taken_on_in_the_same_process() -> None:
    store = MemoryStore()
    one, other = (Flujo(unasked, state=store) for _ in range(2))
    WITNESS.reset()
    going = asyncio.create_task(one.run_async(1, run_id=RUN))
    await until(lambda: len(WITNESS.deeds) > 1)
    going.cancel()
    await asyncio.wait({going})
    assert (await other.resume_async(RUN)).output == 4


class Unfenced(MemoryStore):
    """A store that lets every owner write: what is refused is put at the end all the same."""

    def submit(self, batch: Batch) -> Committed:
        told = super().submit(batch)
        if told.exception() is None:
            return told
        self._events[RUN] += batch.events
        admitted: Committed = asyncio.get_running_loop().create_future()
        admitted.set_result(())
        return admitted


@pytest.mark.parametrize(("store", "fenced"), [(MemoryStore(), True), (Unfenced(), False)])
async def test_the_fence_and_its_control(store: MemoryStore, fenced: bool) -> None:
    """Taken over by hand while it runs: without the fence, both would go on and the chain would break."""
    WITNESS.reset()
    one, other = (Flujo(unasked, state=store) for _ in range(2))
    going = asyncio.create_task(one.run_async(1, run_id=RUN))
    await until(lambda: len(WITNESS.deeds) > 1)
    taken = asyncio.create_task(other.resume_async(RUN, take_over=True))
    first, second = await asyncio.gather(going, taken, return_exceptions=True)
    last = [deed.where for deed in WITNESS.deeds].count("last")
    sound = (await verify(store, RUN)).sound
    if fenced:
        assert isinstance(first, RunTaken)
        check_clear(first)
        assert not isinstance(second, BaseException)
        assert (second.output, last, sound) == (4, 1, True)
    else:
        assert (last, sound) == (2, False)
