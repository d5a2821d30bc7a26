"""Who commits to an SQLite store, and when: its thread, or a caller who is alone with a quick disk."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from flujo.errors import StoreUnavailable
from flujo.journal import sqlite_group, sqlite_writer
from flujo.journal.rules import Answers, Submission
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.sqlite_group import LOG_COMMITS, ROOM_BYTES, ROOM_COMMITS, Committer
from flujo.journal.sqlite_writer import CALM_COMMITS
from tests.journal.scribe import Scribe, connection_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flujo_ops.db"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every commit for a quick one, on whatever disk the tests run."""
    monkeypatch.setattr(sqlite_writer, "QUICK_SECONDS", 60.0)


def committing_threads(store: SQLiteStore) -> list[str]:
    """Return a list that grows by the name of the thread that commits, at each commit."""
    names: list[str] = []
    connection = connection_of(store)

    def note(statement: str) -> None:
        if statement.startswith("BEGIN") or ("INTO events" in statement and not connection.in_transaction):
            names.append(threading.current_thread().name)

    connection.set_trace_callback(note)
    return names


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does soon."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


async def cared_for(store: SQLiteStore) -> None:
    """Wait until the log has room, and its thread has nothing left to do."""
    writer = store._writer
    assert writer is not None
    await until(lambda: writer._committer._has_room and not writer._writing.locked())


async def calmed(path: Path) -> tuple[SQLiteStore, Scribe]:
    """Return a store that has committed one by one for a while, and the writer of its run."""
    store, scribe = SQLiteStore(path), Scribe()
    await store.submit(scribe.begin())
    for _ in range(CALM_COMMITS + ROOM_COMMITS):
        await store.submit(scribe.batch())
    await cared_for(store)
    return store, scribe


HERE = threading.main_thread().name


@pytest.mark.usefixtures("quick")
class TestHere:
    async def test_who_is_alone_commits_in_the_calling_thread(self, path: Path) -> None:
        store, scribe = await calmed(path)
        threads = committing_threads(store)
        for _ in range(20):
            await store.submit(scribe.batch())
        assert threads == [HERE] * 20
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()

    async def test_it_is_told_in_a_later_turn_of_the_loop(self, path: Path) -> None:
        store, scribe = await calmed(path)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(20):
            future = store.submit(scribe.batch())
            assert not future.done()
            await future
        counting.cancel()
        assert turns >= 20, "a run that commits lets others run"
        await store.close()

    async def test_others_in_the_same_turn_share_a_commit_of_the_thread(self, path: Path) -> None:
        store, scribe = await calmed(path)
        scribes = [Scribe(f"other-{number}") for number in range(30)]
        threads = committing_threads(store)
        await asyncio.gather(*(store.submit(other.begin()) for other in scribes))
        assert threads[0] == HERE, "the first one knows of no others"
        assert HERE not in threads[1:]
        assert len(threads) < 20, "the others share"
        threads.clear()
        await store.submit(scribe.batch())
        assert HERE not in threads, "whoever was not alone is not taken to be so at once"
        for _ in range(CALM_COMMITS + 1):
            await store.submit(scribe.batch())
        assert threads[-1] == HERE
        await store.close()

    async def test_what_is_queued_is_not_overtaken(self, path: Path) -> None:
        store, scribe = await calmed(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = [store.submit(scribe.batch()) for _ in range(3)]
            assert store._writer is not None
            store._writer._calm = CALM_COMMITS
            last = store.submit(scribe.batch())
            other.execute("ROLLBACK")
        await asyncio.gather(*first, last)
        assert [event.seq for event in await store.events("run-1")] == list(range(1, scribe.seq + 1))
        await store.close()

    async def test_a_file_that_another_process_holds_does_not_stop_the_loop(self, path: Path) -> None:
        store, scribe = await calmed(path)
        threads = committing_threads(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = monotonic()
            future = store.submit(scribe.batch())
            assert monotonic() - began < 1, "the file is waited for in the thread"
            await asyncio.sleep(0.1)
            assert not future.done()
            other.execute("ROLLBACK")
        await future
        assert threads[-1] != HERE
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()

    async def test_another_event_loop(self, path: Path) -> None:
        store, scribe = await calmed(path)
        untold = store.submit(scribe.batch())

        async def elsewhere() -> None:
            for _ in range(5):
                await store.submit(scribe.batch())

        await asyncio.to_thread(asyncio.run, elsewhere())
        await untold
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()

    async def test_an_interrupt_leaves_no_transaction_open(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, scribe = await calmed(path)

        def interrupted(self: Committer, connection: sqlite3.Connection, group: list[Submission]) -> Answers:
            connection.execute("BEGIN IMMEDIATE")
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Committer, "_commit_together", interrupted)
            lost = scribe.batch()
            with pytest.raises(KeyboardInterrupt):
                store.submit(lost)
        assert not connection_of(store).in_transaction
        await asyncio.gather(store.submit(lost), store.submit(scribe.batch()))
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()

    async def test_a_batch_that_cannot_be_stored_is_told(self, path: Path) -> None:
        store, scribe = await calmed(path)
        threads = committing_threads(store)
        stale = scribe.heir("stale")
        await store.submit(scribe.batch())
        with pytest.raises(sqlite_group.FlujoError, match="another owner"):
            await store.submit(stale.batch())
        await store.submit(scribe.batch())
        assert set(threads) == {HERE}
        await store.close()


class TestAside:
    async def test_on_a_slow_disk_the_thread_commits(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_writer, "QUICK_SECONDS", 0.0)
        store, scribe = await calmed(path)
        threads = committing_threads(store)
        for _ in range(CALM_COMMITS + 5):
            await store.submit(scribe.batch())
        assert HERE not in threads
        await store.close()

    @pytest.mark.usefixtures("quick")
    async def test_one_slow_commit_hands_the_next_ones_to_the_thread(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, scribe = await calmed(path)
        threads = committing_threads(store)
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_writer, "QUICK_SECONDS", 0.0)
            await store.submit(scribe.batch())
        for _ in range(CALM_COMMITS):
            await store.submit(scribe.batch())
        assert threads[0] == HERE
        assert HERE not in threads[1:]
        await store.submit(scribe.batch())
        assert threads[-1] == HERE
        await store.close()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    async def test_a_writer_that_dies_leaves_nobody_waiting(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        assert store._writer is not None

        def die(group: list[Submission]) -> Answers:
            raise MemoryError

        store._writer._committer.commit = die
        futures = [store.submit(scribe.batch()) for _ in range(3)]
        for outcome in await asyncio.gather(*futures, return_exceptions=True):
            assert isinstance(outcome, StoreUnavailable)
        store._writer.join()
        with pytest.raises(StoreUnavailable, match="is closed"):
            await store.submit(scribe.batch())
        await store.close()


class TestLog:
    async def test_it_is_made_long_at_once_and_then_written_over(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        log = path.with_name(f"{path.name}-wal")
        await store.submit(scribe.begin())
        while scribe.seq < ROOM_COMMITS - 1:
            await store.submit(scribe.batch())
        assert log.stat().st_size < ROOM_BYTES / 2
        await store.submit(scribe.batch())
        await until(lambda: log.stat().st_size > ROOM_BYTES)
        for _ in range(3 * LOG_COMMITS):
            await store.submit(scribe.batch())
        assert log.stat().st_size < 2 * ROOM_BYTES, "three times as many would take three times as much"
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (0,), "room is not kept"

    async def test_it_is_moved_into_the_database_between_commits(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        for _ in range(ROOM_COMMITS):
            await store.submit(scribe.batch())
        await cared_for(store)
        made = path.stat().st_mtime_ns
        for _ in range(LOG_COMMITS // 2):
            await store.submit(scribe.batch())
        assert path.stat().st_mtime_ns == made, "a commit writes to the log only"
        for _ in range(LOG_COMMITS // 2 + 1):
            await store.submit(scribe.batch())
        await until(lambda: path.stat().st_mtime_ns > made)
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()

    async def test_no_room_on_the_disk_is_no_failure(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        connection_of(store).execute("PRAGMA max_page_count = 60")
        for _ in range(ROOM_COMMITS + 20):
            await store.submit(scribe.batch())
        assert connection_of(store).execute("PRAGMA cache_size").fetchone() != (1,)
        assert len(await store.events("run-1")) == scribe.seq
        await store.close()
