"""What only the SQLite store does: its file, its commits, and what it says when the disk says no."""

import asyncio
import os
import re
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flujo.errors import (
    ConfigError,
    FlujoError,
    RunTaken,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    StoreVersionError,
)
from flujo.journal import sqlite_file
from flujo.journal.scripts import migrations, queries
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.sqlite_file import migrate, open_file
from flujo.journal.sqlite_writer import CALM_COMMITS
from flujo.journal.store import RunQuery, StatusChange
from tests.journal.scribe import RUNNING, Scribe, connection_of, payload

MIGRATIONS = tuple(
    file.read_text() for file in sorted(Path(sqlite_file.__file__).with_name("sql").glob("sqlite_0*.sql"))
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flujo_ops.db"


def connect(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))


def open_default(path: Path) -> sqlite3.Connection:
    return open_file(path, create=True, synchronous="FULL", busy_timeout=5)


def nothing(statement: str) -> list[None] | dict[str, None]:
    """Return parameters for a statement that is only explained."""
    if "?" in statement:
        return [None] * statement.count("?")
    return dict[str, None].fromkeys(re.findall(r":(\w+)", statement))


async def begun(path: Path, events: int = 1) -> Scribe:
    """Make a store with one run in it, close it, and return the run's writer."""
    store, scribe = SQLiteStore(path), Scribe()
    await store.submit(scribe.begin())
    for _ in range(events - 1):
        await store.submit(scribe.batch())
    await store.close()
    return scribe


async def failure(store: SQLiteStore, scribe: Scribe) -> FlujoError:
    """Return what a submission is told, and take it back from the writer's count."""
    seq, head = scribe.seq, scribe.head
    with pytest.raises(FlujoError) as raised:
        await store.submit(scribe.batch() if seq else scribe.begin())
    scribe.seq, scribe.head = seq, head
    return raised.value


@contextmanager
def as_nobody() -> Generator[None]:
    """Give up root's right to write everywhere, so that a read-only file is one."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def let_others_pass(folder: Path) -> None:
    """Let everyone look into a folder of ours, however deep it lies."""
    for above in (folder, *folder.parents):
        if above.stat().st_mode & 0o055 != 0o055 and above.owner() == folder.owner():
            above.chmod(above.stat().st_mode | 0o055)


class TestFile:
    async def test_nothing_is_made_before_the_first_use(self, path: Path) -> None:
        store = SQLiteStore(path)
        assert not path.exists()
        await store.close()
        assert not path.exists()

    async def test_it_is_private_with_all_its_company(self, path: Path) -> None:
        umask = os.umask(0)
        try:
            store = SQLiteStore(path)
            await store.submit(Scribe().begin())
        finally:
            os.umask(umask)
        files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert files == {"flujo_ops.db": 0o600, "flujo_ops.db-wal": 0o600, "flujo_ops.db-shm": 0o600}
        await store.close()
        assert [file.name for file in path.parent.iterdir()] == ["flujo_ops.db"]

    async def test_the_rights_of_an_existing_file_are_left_alone(self, path: Path) -> None:
        await begun(path)
        path.chmod(0o640)
        await SQLiteStore(path).run("run-1")
        assert path.stat().st_mode & 0o777 == 0o640

    def test_every_commit_reaches_the_disk(self, path: Path) -> None:
        with closing(open_default(path)) as connection:
            settings = [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "fullfsync", "user_version", "application_id")
            ]
        assert settings == ["wal", 2, 1, len(migrations("sqlite")), 0x666C756A]

    def test_normal_trades_power_cuts_for_speed(self, path: Path) -> None:
        with closing(open_file(path, create=True, synchronous="NORMAL", busy_timeout=5)) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1

    async def test_a_reader_does_not_make_it(self, path: Path) -> None:
        store = SQLiteStore(path, create=False)
        with pytest.raises(StoreUnavailable, match="there is no store at"):
            await store.runs(RunQuery())
        with pytest.raises(StoreUnavailable, match="there is no store at"):
            await store.run("run-1")
        assert not path.exists()

    @pytest.mark.parametrize("path", ["", ":memory:"])
    def test_it_is_a_file(self, path: str) -> None:
        with pytest.raises(ConfigError, match="MemoryStore"):
            SQLiteStore(path)

    def test_its_settings_are_checked(self, path: Path) -> None:
        with pytest.raises(ConfigError, match="'OFF'"):
            SQLiteStore(path, synchronous="OFF")  # pyright: ignore[reportArgumentType]

    async def test_a_missing_directory(self, tmp_path: Path) -> None:
        error = await failure(SQLiteStore(tmp_path / "missing" / "flujo_ops.db"), Scribe())
        assert isinstance(error, StoreUnavailable)
        assert "its directory does not exist" in str(error)
        assert str(tmp_path / "missing") in error.fix

    async def test_a_directory(self, tmp_path: Path) -> None:
        error = await failure(SQLiteStore(tmp_path), Scribe())
        assert isinstance(error, StoreUnavailable)
        assert "is a directory" in str(error)

    async def test_a_file_that_is_no_database(self, path: Path) -> None:
        path.write_bytes(b"not a database, but long enough to be taken for one. " * 40)
        before = path.read_bytes()
        error = await failure(SQLiteStore(path), Scribe())
        assert isinstance(error, StoreCorrupt)
        assert str(path) in str(error)
        with pytest.raises(StoreCorrupt):
            await SQLiteStore(path).run("run-1")
        assert path.read_bytes() == before

    async def test_the_database_of_another_application(self, path: Path) -> None:
        with connect(path) as other:
            other.execute("CREATE TABLE customers (name)")
        before = path.read_bytes()
        error = await failure(SQLiteStore(path), Scribe())
        assert isinstance(error, StoreCorrupt)
        assert "another application" in str(error)
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    async def test_a_damaged_page(self, path: Path) -> None:
        await begun(path, 200)
        damaged = bytearray(path.read_bytes())
        damaged[4096 * 2 :] = b"\xff" * (len(damaged) - 4096 * 2)
        path.write_bytes(damaged)
        store = SQLiteStore(path)
        with pytest.raises(StoreCorrupt, match="not a readable store"):
            await store.events("run-1")
        with pytest.raises(StoreCorrupt):
            await store.submit(Scribe("run-2").begin())

    async def test_an_old_library(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
        error = await failure(SQLiteStore(path), Scribe())
        assert isinstance(error, StoreVersionError)
        assert "needs 3.35.0 or newer" in str(error)
        assert "newer SQLite" in error.fix


class TestMigration:
    async def test_an_older_file_is_migrated_with_all_it_holds(self, path: Path) -> None:
        scribe = Scribe()
        with connect(path) as older:
            migrate(older, path, MIGRATIONS[:1])
            begin = scribe.begin()
            older.execute(queries("sqlite")["append_events"], begin.events[0])
            older.execute(
                queries("sqlite")["create_run"],
                ("run-1", "triage", "f1", "running", "", 1, 1, 1, scribe.head),
            )
            assert older.execute("PRAGMA user_version").fetchone() == (1,)
        store = SQLiteStore(path)
        await store.submit(scribe.batch(cache=[("key", b"value")]))
        assert len(await store.events("run-1")) == 2
        assert await store.cached("key") == b"value"
        assert len((await store.runs(RunQuery(status=["running"]))).runs) == 1
        await store.close()
        with connect(path) as migrated:
            assert migrated.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)

    async def test_a_newer_file_is_refused_and_left_alone(self, path: Path) -> None:
        await begun(path)
        with connect(path) as newer:
            newer.execute("PRAGMA user_version = 99")
        before = path.read_bytes()
        error = await failure(SQLiteStore(path), Scribe())
        assert isinstance(error, StoreVersionError)
        assert f"schema version 99; this Flujo knows versions up to {len(MIGRATIONS)}" in str(error)
        with pytest.raises(StoreVersionError):
            await SQLiteStore(path).run("run-1")
        assert path.read_bytes() == before

    def test_a_migration_that_fails_leaves_the_version_before(self, path: Path) -> None:
        broken = "CREATE TABLE half (x);\nCREATE TABLE half (x);\n"
        with connect(path) as connection:
            with pytest.raises(sqlite3.OperationalError, match="half"):
                migrate(connection, path, (*MIGRATIONS[:1], broken))
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)
            assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall() == []
            migrate(connection, path)
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)

    def test_many_may_open_a_new_file_at_once(self, tmp_path: Path) -> None:
        failures: list[BaseException] = []
        barrier = threading.Barrier(8)

        def work(path: Path) -> None:
            barrier.wait()
            try:
                open_default(path).close()
            except BaseException as error:
                failures.append(error)

        for attempt in range(5):
            threads = [threading.Thread(target=work, args=(tmp_path / f"{attempt}.db",)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert failures == []

    def test_a_file_that_others_make_just_now_is_waited_for(self, path: Path) -> None:
        with connect(path) as other:
            other.execute("BEGIN IMMEDIATE")  # SQLite does not wait for this to turn on its log
            release = threading.Timer(0.2, other.close)
            release.start()
            open_default(path).close()
            release.join()

    def test_a_file_that_others_make_just_now_is_not_foreign(self, path: Path) -> None:
        """Between any two statements of the one, the other may finish."""
        with closing(sqlite3.connect(path, isolation_level=None)) as ours, connect(path) as other:
            made: list[bool] = []

            def make(statement: str) -> None:
                if "sqlite_master" in statement and not made:
                    made.append(True)
                    migrate(other, path)

            ours.set_trace_callback(make)
            migrate(ours, path)
            assert made
            assert ours.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)

    def test_every_statement_is_sound(self, path: Path) -> None:
        with closing(open_default(path)) as connection:
            for name, statement in queries("sqlite").items():
                assert sqlite3.complete_statement(statement + ";"), name
                connection.execute(f"EXPLAIN {statement}", nothing(statement))

    @pytest.mark.parametrize("name", ["runs_by_time", "runs_by_status", "events_after", "events_before"])
    def test_lists_are_read_in_the_order_of_an_index(self, path: Path, name: str) -> None:
        with closing(open_default(path)) as connection:
            statement = queries("sqlite")[name]
            explained = connection.execute(f"EXPLAIN QUERY PLAN {statement}", nothing(statement))
            plan = [row[3] for row in explained]
        assert len(plan) == 1
        assert plan[0].startswith("SEARCH")


class TestCommits:
    async def test_what_waits_shares_a_commit(self, path: Path) -> None:
        store = SQLiteStore(path)
        scribes = [Scribe(f"run-{number}") for number in range(100)]
        await store.submit(scribes[0].begin())
        commits = count_commits(store)
        with connect(path) as other:  # while it holds the file, everything queues
            other.execute("BEGIN IMMEDIATE")
            first = store.submit(scribes[0].batch())
            await asyncio.sleep(0.05)
            rest = [store.submit(scribe.begin()) for scribe in scribes[1:]]
            other.execute("ROLLBACK")
        await asyncio.gather(first, *rest)
        assert 1 <= len(commits) <= 2
        await store.close()

    async def test_a_refused_batch_costs_the_others_no_commit(self, path: Path) -> None:
        store = SQLiteStore(path)
        stale = Scribe(token="stale")
        await store.submit(stale.begin())
        with connect(path) as other:  # another process carried it on
            heir = stale.heir("heir")
            other.execute(queries("sqlite")["append_events"], heir.event())
        commits = count_commits(store)
        scribes = [Scribe(f"other-{number}") for number in range(20)]
        with connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = store.submit(scribes[0].begin())
            await asyncio.sleep(0.05)
            refused = [store.submit(stale.batch()), store.submit(stale.batch())]
            rest = [store.submit(scribe.begin()) for scribe in scribes[1:]]
            other.execute("ROLLBACK")
        await asyncio.gather(first, *rest)
        for future in refused:
            with pytest.raises(RunTaken):
                await future
        assert 1 <= len(commits) <= 2
        assert (await store.events("run-1"))[-1].hash == heir.head
        await store.close()

    async def test_one_batch_is_one_commit(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        commits = count_commits(store)
        for _ in range(10):
            await store.submit(scribe.batch(change=RUNNING, payloads=[payload(b"x")], cache=[("k", b"v")]))
        assert len(commits) == 10
        await store.close()

    async def test_a_run_that_another_process_carried_on_is_continued(self, path: Path) -> None:
        ours, theirs = SQLiteStore(path), SQLiteStore(path)
        scribe = Scribe()
        await ours.submit(scribe.begin())
        heir = scribe.heir("heir")
        await theirs.submit(heir.batch())
        await theirs.submit(heir.batch())
        again = heir.heir("again")
        await ours.submit(again.batch())
        with pytest.raises(RunTaken):
            await theirs.submit(heir.batch())
        assert [event.seq for event in await theirs.events("run-1")] == [1, 2, 3, 4]
        await asyncio.gather(ours.close(), theirs.close())

    async def test_a_value_that_no_column_holds_fails_alone(self, path: Path) -> None:
        store, scribe, other = SQLiteStore(path), Scribe(), Scribe("run-2")
        await store.submit(scribe.begin())
        lone = scribe.event()._replace(address="\ud800")
        huge = scribe.event()._replace(at=2**70)
        futures = [
            store.submit(scribe.batch(lone)),
            store.submit(other.begin()),
            store.submit(scribe.batch(huge)),
        ]
        with pytest.raises(StoreError, match="cannot be stored"):
            await futures[0]
        await futures[1]
        with pytest.raises(StoreError, match="cannot be stored"):
            await futures[2]
        scribe.seq = 1
        await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == 2
        await store.close()

    async def test_a_run_without_its_record_is_not_changed(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        with connect(path) as other:
            other.execute("DELETE FROM runs")
        with pytest.raises(StoreError, match="no record"):
            await store.submit(scribe.end(StatusChange("completed")))
        assert len(await store.events("run-1")) == 1
        await store.close()

    async def test_reading_lets_other_tasks_run(self, path: Path) -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(*(scribe.event() for _ in range(5_000))))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        assert len(await store.events("run-1")) == 5_001
        assert len(await store.live_events("run-1")) == 5_001
        counting.cancel()
        assert turns >= 20
        await store.close()


def count_commits(store: SQLiteStore) -> list[str]:
    """Return a list that grows by one entry at each commit of a store that has written."""
    commits: list[str] = []
    connection_of(store).set_trace_callback(lambda s: commits.append(s) if s == "COMMIT" else None)
    return commits


class TestTrouble:
    async def test_a_locked_file(self, path: Path) -> None:
        scribe = await begun(path)
        store = SQLiteStore(path, busy_timeout=0.1)
        with connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            error = await failure(store, scribe)
            assert isinstance(error, StoreUnavailable)
            assert f"{path} is locked by another process" in str(error)
            assert len(await store.events("run-1")) == 1, "readers are not locked out"
            other.execute("ROLLBACK")
        await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == 2
        await store.close()

    async def test_everything_queued_behind_a_failure_fails_like_it(self, path: Path) -> None:
        scribe, other_run = await begun(path), Scribe("run-2")
        store = SQLiteStore(path, busy_timeout=0.1)
        with connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            futures = [store.submit(scribe.batch()) for _ in range(3)]
            await asyncio.wait(futures)
            futures.append(store.submit(other_run.begin()))
            await asyncio.wait(futures)
            other.execute("ROLLBACK")
        futures.append(store.submit(scribe.batch()))  # follows what was not written
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 5
        assert len(set(map(id, outcomes))) == 5, "each has a traceback of its own"
        scribe.seq = 1
        await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == 2
        await store.close()

    async def test_an_owner_that_failed_can_still_be_fenced_off(self, path: Path) -> None:
        scribe = await begun(path)
        heir = scribe.heir("heir")
        store = SQLiteStore(path, busy_timeout=0.1)
        with connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            await failure(store, scribe)
            other.execute(queries("sqlite")["append_events"], heir.event())
            other.execute("COMMIT")
        assert isinstance(await failure(store, scribe), RunTaken)
        await store.close()

    async def test_a_reader_waits_for_a_locked_file_beside_the_loop(self, path: Path) -> None:
        await begun(path)
        store = SQLiteStore(path)
        assert await store.run("run-1") is not None
        with connect(path) as other:
            assert store._reader is not None
            store._reader.close()  # in exclusive mode, nobody else may have it open
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE runs SET owner = 'x'")
            store._reader = sqlite3.connect(path, timeout=0, check_same_thread=False)
            reading = asyncio.create_task(store.run("run-1"))
            for _ in range(10):
                await asyncio.sleep(0.01)
            assert not reading.done()
            other.execute("COMMIT")
        record = await reading
        assert record is not None
        assert record.owner == "x"
        await store.close()

    async def test_a_read_only_file_and_directory(self, path: Path) -> None:
        scribe = await begun(path)
        let_others_pass(path.parent)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            with as_nobody():
                error = await failure(SQLiteStore(path), scribe)
                assert isinstance(error, StoreUnavailable)
                assert str(path) in str(error)
                new = await failure(SQLiteStore(path.with_name("new.db")), Scribe())
                assert isinstance(new, StoreUnavailable)
                assert "cannot make" in str(new)
        finally:
            path.parent.chmod(0o755)
            path.chmod(0o600)

    async def test_a_folder_that_may_not_be_entered(self, path: Path) -> None:
        let_others_pass(path.parent)
        closed = path.parent / "closed"
        closed.mkdir(mode=0o700 if os.geteuid() == 0 else 0)
        with as_nobody():
            error = await failure(SQLiteStore(closed / "flujo_ops.db"), Scribe())
        closed.chmod(0o700)
        assert isinstance(error, StoreUnavailable)
        assert "cannot be reached: Permission denied" in str(error)
        assert f"check who may enter {closed}" in str(error)

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_a_file_that_was_moved_while_it_is_in_use(self, path: Path, at_once: bool) -> None:
        scribe, store = Scribe(), SQLiteStore(path)
        await store.submit(scribe.begin())
        assert store._writer is not None
        if at_once:  # without the writer's thread
            store._writer._calm = CALM_COMMITS
        assert await store.run("run-1") is not None
        written = scribe.seq
        path.rename(path.with_name("moved"))
        error = await failure(store, scribe)
        assert isinstance(error, StoreUnavailable)
        assert f"{path} was removed, moved or replaced while it was in use" in str(error)
        with pytest.raises(StoreUnavailable, match="moved or replaced"):
            await store.run("run-1")
        assert not path.exists(), "nothing new was made in its place"
        path.with_name("moved").rename(path)
        scribe.seq = written
        await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == written + 1
        await store.close()

    async def test_a_file_in_the_place_of_another_is_not_written_to(self, path: Path) -> None:
        scribe, store = Scribe(), SQLiteStore(path)
        await store.submit(scribe.begin())
        backup = path.with_name("backup.db")
        await begun(backup)
        backup.replace(path)
        error = await failure(store, scribe)
        assert isinstance(error, StoreUnavailable)
        assert "start the process anew" in str(error)
        await store.close()

    async def test_a_process_that_changes_its_folder_keeps_its_store(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        scribe, store = Scribe(), SQLiteStore(path.name)
        await store.submit(scribe.begin())
        monkeypatch.chdir("/")
        await store.submit(scribe.batch())
        assert len((await store.runs(RunQuery())).runs) == 1
        assert len(await store.events("run-1")) == 2
        await store.close()

    async def test_a_full_disk(self, path: Path) -> None:
        store, scribe, other = SQLiteStore(path), Scribe(), Scribe("run-2")
        await store.submit(scribe.begin())
        connection = connection_of(store)
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        large, small = scribe.batch(scribe.event("effect", "a", b"x" * 100_000)), other.begin()
        full, _ = await asyncio.gather(store.submit(large), store.submit(small), return_exceptions=True)
        assert isinstance(full, StoreUnavailable)
        assert "is full" in str(full)
        assert "free some space" in full.fix
        connection.execute("PRAGMA max_page_count = 1000000")
        await store.submit(large)
        assert len(await store.events("run-1")) == 2
        await store.close()
