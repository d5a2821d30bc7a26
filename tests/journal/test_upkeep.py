"""The upkeep of both durable stores: looked at, migrated, copied, pruned; and the audit still adds up."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
from typing_extensions import override

from flujo import Flujo, step
from flujo.errors import RunConflict, StoreUnavailable, StoreVersionError
from flujo.journal import postgres_server, sqlite_file
from flujo.journal.events import Event
from flujo.journal.postgres_upkeep import PostgresUpkeep
from flujo.journal.scripts import migrations
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.sqlite_upkeep import SQLiteUpkeep
from flujo.journal.store import JournalStore, RunQuery, RunRecord, StatusChange
from flujo.journal.upkeep import EndedRun, Retention, Upkeep
from flujo.journal.verify import verify, verify_all, verify_tombstones
from flujo.testing.mortal import Mortal
from tests.journal.scribe import START, Scribe, payload
from tests.postgres import execute

LATER = START + 10_000_000
NOW = START + 20_000_000
ADDITIVE = "-- flujo: additive\nCREATE TABLE of_tomorrow (name TEXT);"
BREAKING = "CREATE TABLE of_tomorrow (name TEXT);"


@pytest.fixture
def upkeep(place: str) -> Upkeep:
    return PostgresUpkeep(place) if "://" in place else SQLiteUpkeep(Path(place))


def big(text: str) -> tuple[bytes, bytes]:
    return payload(f'"{text * 5000}"'.encode())


async def write(store: JournalStore, name: str, *texts: str, ended: bool = True, at: int = START) -> None:
    """Write a run whose steps gave large values."""
    scribe = Scribe(name, at=at)
    await store.submit(scribe.begin())
    for text in texts:
        digest, content = big(text)
        body = b'{"output_ref":"%b"}' % digest.hex().encode()
        event = scribe.event("step.completed", text, body)
        await store.submit(scribe.batch(event, payloads=[(digest, content)]))
    if ended:
        await store.submit(scribe.end(StatusChange("completed")))


async def names(upkeep: Upkeep, retention: Retention) -> list[str]:
    return [run.run_id async for run in upkeep.prunable(retention)]


async def sound(store: JournalStore) -> int:
    """Audit everything; return how many tombstones there are."""
    assert [report async for report in verify_all(store) if not report.sound] == []
    stones, wrong = await verify_tombstones(store)
    assert wrong == ""
    return stones


class TestStatus:
    async def test_it_tells_what_is_there(self, store: JournalStore, upkeep: Upkeep) -> None:
        await write(store, "a", "x", "y")
        await write(store, "b", "x", ended=False)
        found = await upkeep.status()
        assert (found.runs, found.events, found.payloads) == ({"completed": 1, "running": 1}, 6, 2)
        assert found.schema == found.newest > 2
        assert found.oldest == START + 1
        assert found.size > 1000
        assert found.pruned == 0

    async def test_an_older_schema_is_looked_at_and_left_alone(self, place: str, upkeep: Upkeep) -> None:
        await make(place, 1)
        found = await upkeep.status()
        assert (found.schema, found.runs) == (1, {})
        assert (await upkeep.status()).schema == 1
        assert await upkeep.migrate() == (1, found.newest)
        assert (await upkeep.status()).schema == found.newest
        assert await upkeep.migrate() == (found.newest, found.newest)

    async def test_a_store_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="no store"):
            await SQLiteUpkeep(tmp_path / "none.db").status()
        assert list(tmp_path.iterdir()) == []


async def make(place: str, version: int, extra: tuple[str, ...] = ()) -> None:
    """Make a store at a version, or of a newer Flujo that has further scripts."""
    if "://" in place:
        connection = await asyncpg.connect(place)
        await postgres_server.prepare(connection, "here", (*migrations("postgres")[:version], *extra))
        await connection.close()
        return
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        scripts = (*migrations("sqlite")[:version], *extra)
        sqlite_file.migrate(connection, Path(place), scripts)


class TestOldCodeOnANewSchema:
    async def test_what_only_adds_does_not_disturb_it(self, place: str, store: JournalStore) -> None:
        await make(place, 99, (ADDITIVE,))
        await write(store, "a", "x")
        assert (await verify(store, "a")).sound
        assert len((await store.runs(RunQuery())).runs) == 1

    async def test_what_it_cannot_use_is_refused(self, place: str, store: JournalStore) -> None:
        newest = len(migrations("postgres" if "://" in place else "sqlite"))
        await make(place, 99, (BREAKING,))
        with pytest.raises(StoreVersionError, match=f"schema version {newest + 1}"):
            await store.run("a")

    async def test_what_adds_to_what_it_cannot_use_is_refused_too(
        self, place: str, store: JournalStore
    ) -> None:
        await make(place, 99, (BREAKING, ADDITIVE.replace("tomorrow", "later")))
        with pytest.raises(StoreVersionError):
            await store.run("a")


class TestBackup:
    async def test_a_copy_is_a_store_of_its_own(
        self, store: JournalStore, upkeep: Upkeep, tmp_path: Path
    ) -> None:
        await write(store, "a", "x", "y")
        await write(store, "b", "x", ended=False)
        await write(store, "old")
        await upkeep.prune(["old"], NOW)
        file = tmp_path / "copy.db"
        await upkeep.copy_to(file)
        copy = SQLiteStore(file, create=False)
        for name in ("a", "b"):
            assert await copy.events(name) == await store.events(name)
            assert await copy.run(name) == await store.run(name)
        assert await sound(copy) == 1
        await copy.close()
        assert file.stat().st_mode & 0o777 == 0o600

    async def test_it_is_consistent_while_others_write(
        self, store: JournalStore, upkeep: Upkeep, tmp_path: Path
    ) -> None:
        await write(store, "first")
        stop = asyncio.Event()

        async def keep_writing() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                await write(store, f"run-{number}", str(number))

        writing = asyncio.create_task(keep_writing())
        for number in range(3):
            await asyncio.sleep(0.05)
            await upkeep.copy_to(tmp_path / f"copy-{number}.db")
        stop.set()
        await writing
        for number in range(3):
            copy = SQLiteStore(tmp_path / f"copy-{number}.db", create=False)
            await sound(copy)
            assert (await copy.runs(RunQuery(limit=1))).runs
            await copy.close()

    async def test_a_file_that_exists_is_let_alone(
        self, store: JournalStore, upkeep: Upkeep, tmp_path: Path
    ) -> None:
        await write(store, "a")
        file = tmp_path / "precious"
        file.write_text("precious")
        with pytest.raises(StoreUnavailable, match="exists"):
            await upkeep.copy_to(file)
        assert file.read_text() == "precious"


class TestPruning:
    async def test_only_what_ended_before_goes(self, store: JournalStore, upkeep: Upkeep) -> None:
        await write(store, "old", "x")
        await write(store, "open", "y", ended=False)
        await write(store, "new", "z", at=LATER)
        retention = Retention(before=LATER)
        assert await names(upkeep, retention) == ["old"]
        assert await names(upkeep, Retention(LATER, ("failed",))) == []
        assert await names(upkeep, Retention(LATER, pipeline="other")) == []
        removed = await upkeep.prune(["old", "open", "nobody"], NOW)
        assert (removed.runs, removed.events) == (1, 3)
        assert await store.run("old") is None
        assert await store.events("old") == []
        assert await sound(store) == 1
        assert await names(upkeep, retention) == []
        [stone] = await store.tombstones()
        assert (stone.run_id, stone.status, stone.events, stone.pruned_at) == ("old", "completed", 3, NOW)

    async def test_shared_payloads_stay_and_loose_ones_go(self, store: JournalStore, upkeep: Upkeep) -> None:
        await write(store, "old", "mine", "ours")
        await write(store, "kept", "ours")
        await upkeep.prune(["old"], NOW)
        swept = await upkeep.sweep()
        assert (swept.payloads, swept.payload_bytes) == (1, len(big("mine")[1]))
        assert await store.payload(big("ours")[0]) == big("ours")[1]
        assert (await upkeep.sweep()).payloads == 0
        await sound(store)

    async def test_many_runs_are_listed_page_by_page(self, store: JournalStore, upkeep: Upkeep) -> None:
        scribes = [Scribe(f"run-{number:03}", at=START + number) for number in range(450)]
        await asyncio.gather(*(store.submit(scribe.begin()) for scribe in scribes))
        await asyncio.gather(*(store.submit(scribe.end(StatusChange("failed"))) for scribe in scribes))
        found = await names(upkeep, Retention(before=LATER))
        assert found == [f"run-{number:03}" for number in range(450)]
        for at in range(0, 450, 100):
            await upkeep.prune(found[at : at + 100], NOW)
        assert await sound(store) == 450

    async def test_a_pruned_name_is_not_used_again(self, store: JournalStore, upkeep: Upkeep) -> None:
        await write(store, "old")
        await upkeep.prune(["old"], NOW)
        other = Scribe("other")
        results = await asyncio.gather(
            store.submit(Scribe("old", "again").begin()), store.submit(other.begin()), return_exceptions=True
        )
        assert isinstance(results[0], RunConflict)
        assert "'old' was pruned" in str(results[0])
        assert not isinstance(results[1], BaseException)

    async def test_a_tombstone_that_was_changed_or_removed_is_found(
        self, place: str, store: JournalStore, upkeep: Upkeep
    ) -> None:
        for name in ("a", "b", "c"):
            await write(store, name)
        await upkeep.prune(["a", "b", "c"], NOW)
        assert await sound(store) == 3
        await tamper(place, "UPDATE tombstones SET events = 1 WHERE number = 2")
        assert await verify_tombstones(store) == (1, "tombstone 2 was changed")
        await tamper(place, "DELETE FROM tombstones WHERE number = 2")
        assert await verify_tombstones(store) == (1, "tombstone 2 is missing")

    async def test_a_writer_keeps_its_payloads_whatever_is_swept_meanwhile(
        self, store: JournalStore, upkeep: Upkeep
    ) -> None:
        """The same values are written and become loose, again and again, while payloads are swept."""
        await write(store, "first", "the same")
        stop = asyncio.Event()

        async def write_and_prune(number: int) -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                name = f"run-{number}-{turn}"
                await write(store, name, "the same", str(turn % 3))
                if turn % 2:
                    await upkeep.prune([name], NOW)

        async def sweep() -> int:
            return sum([(await upkeep.sweep()).payloads for _ in range(25)])

        writers = [asyncio.create_task(write_and_prune(number)) for number in range(3)]
        await sweep()
        stop.set()
        await asyncio.gather(*writers)
        await upkeep.sweep()
        assert await sound(store) >= 1

    async def test_a_name_that_is_taken_while_it_is_pruned_is_refused(
        self, place: str, store: JournalStore
    ) -> None:
        """Whoever begins a run waits for whoever prunes one of its name, and sees what came of it."""
        if "://" not in place:
            pytest.skip("in a file one writes at a time")
        await write(store, "old")
        pruning = await asyncpg.connect(place)
        async with pruning.transaction():
            await pruning.execute(
                "INSERT INTO tombstones VALUES (1, 'old', 'p', 'completed', 1, 2, 2, '', 3, '')"
            )
            await pruning.execute("DELETE FROM events WHERE run_id = 'old'")
            await pruning.execute("DELETE FROM runs WHERE run_id = 'old'")
            again = asyncio.ensure_future(store.submit(Scribe("old", "again").begin()))
            await asyncio.sleep(0.1)
            assert not again.done()
        await pruning.close()
        with pytest.raises(RunConflict):
            await again

    async def test_a_sweep_starts_over_where_rows_were_numbered_anew(
        self, place: str, store: JournalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between its two looks the newest run is pruned, and another takes the numbers of its rows."""
        if "://" in place:
            pytest.skip("rows have no numbers there")
        await write(store, "a", "loose")
        await write(store, "b", "other")
        upkeep, other = SQLiteUpkeep(Path(place)), SQLiteUpkeep(Path(place))
        await upkeep.prune(["a"], NOW)
        looked = upkeep._bodies
        turns = [0]

        def look(connection: sqlite3.Connection, after: int) -> Iterator[bytes]:
            yield from looked(connection, after)
            turns[0] += 1
            if turns[0] == 1:
                asyncio.run(other.prune(["b"], NOW))
                asyncio.run(self.again(place))

        monkeypatch.setattr(upkeep, "_bodies", look)
        await upkeep.sweep()
        assert turns[0] > 1
        await sound(store)

    async def again(self, place: str) -> None:
        store = SQLiteStore(place)
        await write(store, "c", "loose")
        await store.close()

    async def test_two_who_prune_at_once_leave_one_chain(self, store: JournalStore, place: str) -> None:
        for number in range(40):
            await write(store, f"run-{number:02}")
        make_upkeep = partial(PostgresUpkeep, place) if "://" in place else partial(SQLiteUpkeep, Path(place))
        found = [f"run-{number:02}" for number in range(40)]
        counts = await asyncio.gather(
            *(make_upkeep().prune(found[at : at + 20], NOW) for at in (0, 10, 20, 0))
        )
        assert sum(removed.runs for removed in counts) == 40
        assert await sound(store) == 40


PRUNING = """
import asyncio, sys
from pathlib import Path
from flujo.journal.upkeep import Retention

async def prune(place):
    if "://" in place:
        from flujo.journal.postgres_upkeep import PostgresUpkeep as Upkeep
    else:
        from flujo.journal.sqlite_upkeep import SQLiteUpkeep as Upkeep
        place = Path(place)
    upkeep = Upkeep(place)
    names = [run.run_id async for run in upkeep.prunable(Retention(before=2**62))]
    for at in range(0, len(names), 20):
        await upkeep.prune(names[at : at + 20], 2**61)
        print("pruned", flush=True)
    await upkeep.sweep()

asyncio.run(prune(sys.argv[1]))
"""


async def test_whoever_is_killed_while_pruning_leaves_a_sound_store(
    place: str, store: JournalStore, upkeep: Upkeep
) -> None:
    await asyncio.gather(*(write(store, f"run-{number:03}", f"{number // 2}") for number in range(300)))
    stones = 0
    for turns in (1, 2, 1, 3):
        with subprocess.Popen([sys.executable, "-c", PRUNING, place], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(turns):
                assert process.stdout.readline() == b"pruned\n"
            await asyncio.sleep(0.002 * turns)  # into the next transaction
            process.kill()
        assert process.returncode != 0
        before, stones = stones, await sound(store)
        assert before + 20 * turns <= stones == 300 - len(await names(upkeep, Retention(before=NOW)))
    subprocess.run([sys.executable, "-c", PRUNING, place], check=True, capture_output=True)
    assert await sound(store) == 300
    assert (await upkeep.status()).payloads == 0


class PrunedMeanwhile(Mortal):
    """A store whose run `a` is pruned, with its payloads, just before it is read for the so-manieth time."""

    def __init__(self, inner: JournalStore, upkeep: Upkeep, read: int) -> None:
        super().__init__(inner)
        self._upkeep = upkeep
        self._reads_to_go = read

    async def _look(self, run_id: str) -> None:
        self._reads_to_go -= run_id == "a"
        if self._reads_to_go == 0:
            await self._upkeep.prune(["a"], NOW)
            await self._upkeep.sweep()

    @override
    async def run(self, run_id: str) -> RunRecord | None:
        await self._look(run_id)
        return await super().run(run_id)

    @override
    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        await self._look(run_id)
        return await super().events(run_id, after=after, limit=limit)

    @override
    async def payload(self, digest: bytes) -> bytes:
        await self._look("a")
        return await super().payload(digest)


class TestNothingIsMissing:
    async def test_the_newest_tombstones_that_were_removed(
        self, place: str, store: JournalStore, upkeep: Upkeep
    ) -> None:
        for name in ("a", "b", "c"):
            await write(store, name)
        await upkeep.prune(["a", "b", "c"], NOW)
        await tamper(place, "DELETE FROM tombstones WHERE number > 1")
        assert await verify_tombstones(store) == (1, "tombstone 2 is missing")

    async def test_a_run_that_was_removed_without_a_tombstone(
        self, place: str, store: JournalStore, upkeep: Upkeep
    ) -> None:
        for name in ("a", "b", "c"):
            await write(store, name)
        await upkeep.prune(["a"], NOW)
        await tamper(place, "DELETE FROM runs WHERE run_id = 'b'")
        assert await verify_tombstones(store) == (1, "")  # its events tell: the run itself is reported
        assert [report.run_id async for report in verify_all(store) if not report.sound] == ["b"]
        await tamper(place, "DELETE FROM events WHERE run_id = 'b'")
        assert await verify_tombstones(store) == (1, "1 run is gone without a tombstone")

    async def test_runs_are_counted_however_they_begin(
        self, store: JournalStore, upkeep: Upkeep, tmp_path: Path
    ) -> None:
        """Together, one by one because another is refused, twice, and in a copy."""
        await write(store, "old")
        await upkeep.prune(["old"], NOW)
        new = [Scribe(f"run-{number}") for number in range(20)]
        both = [*(scribe.begin() for scribe in new), Scribe("old", "x").begin(), Scribe("run-1", "y").begin()]
        results = await asyncio.gather(*(store.submit(batch) for batch in both), return_exceptions=True)
        assert sum(isinstance(result, Exception) for result in results) == 2
        assert (await store.census())[:3] == (21, 20, 1)
        await upkeep.copy_to(tmp_path / "copy.db")
        copy = SQLiteStore(tmp_path / "copy.db")
        assert await copy.census() == await store.census()
        await sound(copy)
        await copy.close()

    @pytest.mark.parametrize("read", range(1, 7))
    async def test_an_audit_goes_on_while_runs_are_pruned(
        self, store: JournalStore, upkeep: Upkeep, read: int
    ) -> None:
        for name in ("a", "b"):
            await write(store, name, "large")
        audited = PrunedMeanwhile(store, upkeep, read)
        assert [report.finding async for report in verify_all(audited) if not report.sound] == []
        assert await verify_tombstones(audited) == (int(await store.run("a") is None), "")

    async def test_a_fork_keeps_what_its_origin_stood_on(self, store: JournalStore, upkeep: Upkeep) -> None:
        """Also if that run is pruned after its journal was read, and before the fork is there."""

        class PrunedThen(Mortal):
            @override
            async def run(self, run_id: str) -> RunRecord | None:
                if run_id == "fork":
                    await upkeep.prune(["origin"], NOW)
                    await upkeep.sweep()
                return await super().run(run_id)

        @step
        async def large(text: str) -> str:
            return text * 5000

        @step
        async def count(text: str) -> int:
            return len(text)

        runner = Flujo(large >> count, state=PrunedThen(store))
        await runner.run_async("ab", run_id="origin")
        await runner.fork("origin", at="count", run_id="fork")
        assert await store.run("origin") is None
        assert (await verify(store, "fork")).sound
        assert (await runner.resume_async("fork")).output == 10_000

    @pytest.mark.parametrize("durability", ["sync", "async"])
    async def test_no_step_of_a_pruned_run_runs_again(
        self, store: JournalStore, upkeep: Upkeep, durability: Literal["sync", "async"]
    ) -> None:
        ran: list[int] = []

        @step
        async def pay(amount: int) -> int:
            ran.append(amount)
            return amount

        runner = Flujo(pay, state=store, durability=durability)
        await runner.run_async(1, run_id="once")
        await upkeep.prune(["once"], NOW)
        with pytest.raises(RunConflict, match="was pruned"):
            await runner.run_async(1, run_id="once")
        with pytest.raises(RunConflict, match="was pruned"):
            await runner.start_async(1, run_id="once")
        assert ran == [1]


async def tamper(place: str, statement: str) -> None:
    if "://" in place:
        await execute(place, statement)
        return
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute(statement)


def test_the_chain_of_tombstones_is_what_is_documented() -> None:
    """The hash is over the one before and the facts as JSON: a verifier of one's own can be written."""
    import json
    from hashlib import sha256

    from flujo.journal.upkeep import buried

    run = EndedRun("r", "p", "completed", 1, 2, 3, b"\x01" * 32)
    stone = buried((0, bytes(32)), run, 9)
    facts = json.dumps([1, "r", "p", "completed", 1, 2, 3, "01" * 32, 9])
    assert stone.hash == sha256(bytes(32) + facts.encode()).digest()
    assert buried((1, stone.hash), run, 9).number == 2
