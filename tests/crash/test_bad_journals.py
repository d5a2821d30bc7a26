"""Bad journals at resume: changed, cut off, locked, full: a clear error, nothing lost, and on when mended."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, HumanInput, Loop, Parallel, SQLiteStore, StepInfo, step
from flujo.errors import ChainBroken, FlujoError, StoreCorrupt, StoreUnavailable, UnknownRun
from flujo.journal.verify import verify
from tests.crash.of_flow import keep
from tests.crash.of_steps import LARGE, noted
from tests.crash.of_waits import FIVE
from tests.crash.rivals import until
from tests.crash.scenario import Notes
from tests.crash.witness import WITNESS, acts
from tests.journal.scribe import connection_of

RUN = "run-1"


@step
async def heavy(number: int, info: StepInfo) -> str:
    acts(info)
    return LARGE + str(number)


@step
async def heavier(text: str, info: StepInfo) -> str:
    acts(info)
    return text + LARGE


@step
async def length(text: str, info: StepInfo) -> int:
    acts(info)
    return len(text)


def four(number: int) -> bool:
    return number >= 4


weighed = heavy >> heavier >> length
pipeline = (
    noted.named("first")
    >> Loop(noted, until=four, max_turns=5)
    >> Parallel(a=weighed, b=keep, name="both")
    >> HumanInput("how much?", schema=int, name="ask")
    >> keep.named("last")
)


def runner(path: Path, busy_timeout: float = 0.2) -> Flujo[int, int]:
    return Flujo(pipeline, context_model=Notes, state=SQLiteStore(path, busy_timeout=busy_timeout))


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """The file of a run that waits for an answer: five live events of fourteen, and a large payload."""
    file = tmp_path / "flujo_ops.db"
    WITNESS.reset()
    mine = runner(file)
    assert (await mine.run_async(1, run_id=RUN)).status == "paused"
    await mine.close()
    return file


@contextmanager
def sql(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def rows(path: Path) -> dict[str, list[Any]]:
    with sql(path) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("runs", "events", "payloads", "cache")
        }


async def answered(path: Path) -> int | None:
    """Answer what the run waits for, in a process of its own as it were."""
    WITNESS.reset()
    mine = runner(path)
    try:
        result = await mine.resume_async(RUN, FIVE)
        result.unwrap()
        assert mine.store is not None
        assert (await verify(mine.store, RUN)).sound
        return result.output
    finally:
        await mine.close()


async def refused(path: Path) -> FlujoError:
    """Return how answering is refused; see that nothing was written and nothing ran."""
    before = rows(path)
    with pytest.raises(FlujoError) as raised:
        await answered(path)
    assert rows(path) == before, "a refused run is left as it is"
    assert WITNESS.deeds == [], "nothing ran"
    assert raised.value.fix, "it says what to do"
    return raised.value


# Changed bytes


def flipped(value: Any) -> Any:
    """Return a value of the same type that differs in one byte."""
    match value:
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:] if value else b"x"
        case str():
            return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        case _:
            return value ^ 1


def a_later_digit(body: bytes) -> bytes:
    """Return a body that is still JSON, and says something else."""
    digits = [place for place, byte in enumerate(body) if 48 <= byte < 56]
    return body if not digits else body[: digits[-1]] + bytes([body[digits[-1]] + 1]) + body[digits[-1] + 1 :]


COLUMNS = ("run_id", "seq", "kind", "address", "at", "body", "hash")


async def live_numbers(path: Path) -> set[int]:
    store = SQLiteStore(path, create=False)
    found = {event.seq for event in await store.live_events(RUN)}
    await store.close()
    return found


async def unnoticed(path: Path, statement: str, parameters: tuple[Any, ...]) -> bool:
    """Change a copy of the file; tell whether the run went on from it, and see that mending it helps."""
    copy = path.with_name("copy.db")
    with sql(path) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    try:
        with sql(copy) as connection:
            assert connection.execute(statement, parameters).rowcount == 1
        try:
            error = await refused(copy)
        except (AssertionError, pytest.fail.Exception):
            return True
        assert isinstance(error, ChainBroken | StoreCorrupt), f"{type(error).__name__}: {error}"
        return False
    finally:
        copy.unlink()


@pytest.mark.parametrize("column", ["seq", "kind", "address", "at", "body", "hash"])
async def test_a_changed_byte_in_any_live_event(path: Path, column: str) -> None:
    live = await live_numbers(path)
    with sql(path) as connection:
        events = connection.execute(f"SELECT seq, {column} FROM events ORDER BY seq").fetchall()
    missed: list[int] = []
    for seq, value in events:
        new = (
            a_later_digit(value) if column == "body" else flipped(value) if column != "seq" else value + 1000
        )
        if seq in live and new != value:
            missed += [seq] * await unnoticed(
                path, f"UPDATE events SET {column} = ? WHERE seq = ?", (new, seq)
            )
    assert not missed, f"of the live events {sorted(live)}, {missed} were changed, and the run went on"
    assert await answered(path) == 5, "the file itself is sound"


async def test_an_event_that_is_gone(path: Path) -> None:
    live = await live_numbers(path)
    missed = [seq for seq in live if await unnoticed(path, "DELETE FROM events WHERE seq = ?", (seq,))]
    assert not missed, f"of the live events {sorted(live)}, {missed} were removed, and the run went on"


async def test_a_journal_cut_off(path: Path) -> None:
    """The last event is one that the run's record names; what a step did before it must not run again."""
    with sql(path) as connection:
        (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
        for seq in range(last, 1, -1):
            connection.execute("DELETE FROM events WHERE seq = ?", (seq,))
            error = await refused(path)
            assert isinstance(error, ChainBroken), f"cut off before {seq}: {error}"


async def test_no_events_at_all(path: Path) -> None:
    with sql(path) as connection:
        connection.execute("DELETE FROM events")
    assert isinstance(await refused(path), ChainBroken)


@pytest.mark.parametrize("change", ["gone", "changed"])
async def test_a_payload_that_is_needed(tmp_path: Path, change: str) -> None:
    """The output of a step that the next one takes."""
    path = tmp_path / "flujo_ops.db"
    short = Flujo(heavy >> HumanInput("?", schema=int, name="ask"), state=SQLiteStore(path))
    WITNESS.reset()
    assert (await short.run_async(1, run_id=RUN)).status == "paused"
    with sql(path) as connection:
        ((digest, content),) = connection.execute(
            "SELECT digest, bytes FROM payloads WHERE length(bytes) > 100000"
        ).fetchall()
        if change == "gone":
            connection.execute("DELETE FROM payloads WHERE digest = ?", (digest,))
        else:
            connection.execute("UPDATE payloads SET bytes = ? WHERE digest = ?", (flipped(content), digest))
        WITNESS.reset()
        with pytest.raises(ChainBroken, match=f"payload {digest.hex()} (is missing|was changed)") as refusal:
            await short.resume_async(RUN, 5)
        assert refusal.value.fix
        assert WITNESS.deeds == []
        connection.execute("INSERT OR REPLACE INTO payloads VALUES (?, ?)", (digest, content))
    assert (await short.resume_async(RUN, 5)).output == 5, "nothing was lost"
    await short.close()


RECORD = {
    "run_id": "run-2",
    "pipeline": "another",
    "fingerprint": "0" * 64,
    "status": "completed",
    "owner": "nowhere:1:1",
    "created_at": 1,
    "updated_at": 1,
    "seq": 1,
    "hash": bytes(32),
}


@pytest.mark.parametrize("column", RECORD)
async def test_a_changed_record(path: Path, column: str) -> None:
    """What lists show is no part of the chain: either it is noticed, or it does no harm."""
    with sql(path) as connection:
        connection.execute(f"UPDATE runs SET {column} = ?", (RECORD[column],))
    if column in ("pipeline", "owner", "created_at", "updated_at"):
        WITNESS.reset()
        mine = runner(path)
        assert (await mine.resume_async(RUN, FIVE)).output == 5
        await mine.close()
        assert [deed.where for deed in WITNESS.deeds] == ["last"]
    else:
        error = await refused(path)
        expected = "UnknownRun" if column == "run_id" else "ChainBroken"
        assert type(error).__name__ == expected, f"{type(error).__name__}: {error}"


# The file


async def test_an_unknown_run(path: Path) -> None:
    mine = runner(path)
    for attempt in (
        mine.resume_async("run-3"),
        mine.cancel("run-3"),
        mine.result("run-3"),
        mine.pending("run-3"),
    ):
        with pytest.raises(UnknownRun, match="run-3") as raised:
            await attempt
        assert raised.value.fix
    await mine.close()


async def test_a_corrupt_page(path: Path) -> None:
    whole = path.read_bytes()
    with sql(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    path.write_bytes(whole[: (page - 1) * size] + os.urandom(size) + whole[page * size :])
    mine = runner(path)
    with pytest.raises(StoreCorrupt) as raised:
        await mine.resume_async(RUN, FIVE)
    assert str(path) in raised.value.message
    assert raised.value.fix
    await mine.close()
    path.write_bytes(whole)
    assert await answered(path) == 5, "restored from a backup, it goes on"


async def test_a_file_that_is_no_store(path: Path) -> None:
    path.write_text("this is no database, and long enough to be told apart from one\n" * 100)
    mine = runner(path)
    with pytest.raises(StoreCorrupt) as raised:
        await mine.resume_async(RUN, FIVE)
    assert raised.value.fix
    await mine.close()


async def test_a_locked_file(path: Path) -> None:
    with sql(path) as other:
        other.execute("BEGIN IMMEDIATE")
        WITNESS.reset()
        mine = runner(path)
        with pytest.raises(StoreUnavailable, match="locked") as raised:
            await mine.resume_async(RUN, FIVE)
        assert raised.value.fix
        assert WITNESS.deeds == [], "nothing runs that could not be recorded"
        other.execute("ROLLBACK")
    assert (await mine.resume_async(RUN, FIVE)).output == 5, "the same runner goes on"
    await mine.close()


async def test_locked_in_the_middle_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "flujo_ops.db"
    with sql(path) as other:

        @step
        async def meddle(number: int, info: StepInfo) -> int:
            acts(info)
            other.execute("BEGIN IMMEDIATE")
            return number

        mine = Flujo(keep >> meddle >> keep.named("after"), state=SQLiteStore(path, busy_timeout=0.1))
        WITNESS.reset()
        with pytest.raises(StoreUnavailable, match="locked"):
            await mine.run_async(1, run_id=RUN)
        other.execute("ROLLBACK")
        assert [deed.where for deed in WITNESS.deeds] == ["keep", "meddle"], (
            "it stopped where it could not record"
        )
        with pytest.raises(StoreUnavailable):
            await mine.resume_async(RUN)
        other.execute("ROLLBACK")
        with sql(path) as third:
            assert third.execute("SELECT count(*) FROM events").fetchone() == (3,)
    await mine.close()


@step
async def fills(number: int, info: StepInfo) -> str:
    acts(info)
    return f"{number:05d}" * 20_000


@step
async def counts(text: str, info: StepInfo) -> int:
    acts(info)
    return int(text[:5]) + 1


def enough(number: int) -> bool:
    return number >= 10


filling = Loop(fills >> counts, until=enough, max_turns=20)


async def test_a_disk_full_in_the_middle_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "flujo_ops.db"
    store = SQLiteStore(path)
    mine = Flujo(filling, state=store)
    WITNESS.reset()
    going = asyncio.create_task(mine.run_async(1, run_id=RUN))
    await until(lambda: len(WITNESS.deeds) > 1)
    connection_of(store).execute("PRAGMA max_page_count = 80")
    with pytest.raises(StoreUnavailable, match="full") as raised:
        await going
    assert raised.value.fix
    done = [deed.where for deed in WITNESS.deeds]
    assert 4 < len(done) < 16
    WITNESS.reset()
    with pytest.raises(StoreUnavailable, match="full"):
        await mine.resume_async(RUN)
    connection_of(store).execute("PRAGMA max_page_count = 100000")
    assert (await mine.resume_async(RUN)).output == 10
    again = [deed.where for deed in WITNESS.deeds]
    assert len(set(done) & set(again)) <= 1, "only what could not be recorded runs again"
    assert set(done) | set(again) == {
        f"loop[{turn}]/{name}" for turn in range(1, 10) for name in ("fills", "counts")
    }
    assert (await verify(store, RUN)).sound
    await mine.close()


READ_ONLY = """
import asyncio, os, shutil, sys
from pathlib import Path
from flujo.errors import StoreError
from tests.crash.of_waits import FIVE
from tests.crash.rivals import until
from tests.crash.test_bad_journals import RUN, runner
path = Path(sys.argv[1])
warm = shutil.copy(path, path.with_name("warm.db"))  # loads all that the other user could not
asyncio.run(runner(Path(warm)).resume_async(RUN, FIVE))
mine = runner(path)
os.chmod(path, 0o444)
os.chmod(path.parent, 0o555)
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(mine.resume_async(RUN, FIVE))
except StoreError as error:
    print(type(error).__name__, "|", error.message, "|", error.fix)
"""


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform == "win32", reason="rights are another matter there")
async def test_a_read_only_file(path: Path) -> None:
    folder = path.parent
    for above in folder.parents:
        if above.stat().st_uid == os.getuid() and not above.stat().st_mode & stat.S_IXOTH:
            os.chmod(above, above.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    try:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", READ_ONLY, str(path)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.chmod(folder, 0o755)
        os.chmod(path, 0o644)
    kind, message, fix = done.stdout.strip().split(" | ") if done.stdout else ("", done.stderr, "")
    assert kind == "StoreUnavailable", message
    assert str(path) in message
    assert fix
    assert await answered(path) == 5
