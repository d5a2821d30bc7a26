"""A disk that is full, or mounted read-only: a small one of its own, where this user may mount one."""

import asyncio
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from flujo import Flujo, PostgresStore, SQLiteStore, StepInfo, step
from flujo.engine.result import StepCompleted
from flujo.errors import FlujoError, StoreError, StoreUnavailable
from flujo.journal.store import JournalStore, RunQuery
from flujo.journal.verify import verify_all
from tests.postgres import schema, tablespace

RUN = "run-1"
STEPS = 40
done: Counter[str] = Counter()


@step
async def weigh(number: int, info: StepInfo) -> str:
    """Give what takes room, and does not grow smaller by being stored."""
    done[info.address] += 1
    return f"{number + 1} {os.urandom(30_000).hex()}"


@step
async def read(text: str) -> int:
    return int(text.partition(" ")[0])


pipeline = weigh.named("weigh_0") >> read.named("read_0")
for place in range(1, STEPS):
    pipeline = pipeline >> weigh.named(f"weigh_{place}") >> read.named(f"read_{place}")


@contextmanager
def mounted(folder: Path, size: str) -> Generator[Path]:
    """Mount a small disk on a folder; skip the test where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only the superuser may mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk() -> Generator[Path]:
    if shutil.which("mount") is None or os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only the superuser may mount a disk")
    above = Path(mkdtemp(prefix="flujo-disk-"))  # not pytest's folder, which it keeps from other users
    try:
        with mounted(above / "disk", "1m") as folder:
            yield folder
    finally:
        shutil.rmtree(above, ignore_errors=True)


async def fill(runner: Flujo[int, int]) -> tuple[list[str], FlujoError]:
    """Run until the disk is full; return the steps that were told as completed, and the error."""
    told: list[str] = []
    try:
        async for event in runner.stream_async(0, run_id=RUN):
            if isinstance(event, StepCompleted):
                told.append(event.result.address)  # noqa: PERF401  # what came before the error counts
    except FlujoError as error:
        return told, error
    raise AssertionError("the disk was too large")


async def goes_on(store: JournalStore, runner: Flujo[int, int], told: list[str]) -> None:
    """Check that nothing that was told is lost, and that the run goes on to its end."""
    recorded = [event.address for event in await store.events(RUN) if event.kind == "step.completed"]
    assert set(told) <= set(recorded)
    assert (await runner.resume_async(RUN)).output == STEPS
    assert {address for address, times in done.items() if times > 1} <= set(done) - set(recorded)
    assert all([report.sound async for report in verify_all(store)])


async def test_a_full_disk_under_sqlite(disk: Path) -> None:
    done.clear()
    store = SQLiteStore(disk / "flujo_ops.db")
    runner = Flujo(pipeline, state=store)
    told, error = await fill(runner)
    assert isinstance(error, StoreUnavailable)
    assert "is full: no space is left" in str(error)
    assert told
    # What is there can be read, on a full disk too, and by a process that comes anew.
    assert len((await store.runs(RunQuery())).runs) == 1
    assert all([report.sound async for report in verify_all(store)])
    with pytest.raises(StoreUnavailable, match="is full"):
        await runner.resume_async(RUN)
    await asyncio.to_thread(remount, disk, "size=16m")
    await goes_on(store, runner, told)
    await runner.close()


async def test_a_full_disk_from_the_start(disk: Path) -> None:
    done.clear()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024 - 8192))
    path = disk / "flujo_ops.db"
    with pytest.raises(StoreUnavailable):
        await Flujo(pipeline, state=path).run_async(0, run_id=RUN)
    ballast.unlink()
    await asyncio.to_thread(remount, disk, "size=16m")
    async with Flujo(pipeline, state=path) as runner:
        assert (await runner.run_async(0, run_id=RUN)).output == STEPS


async def test_a_disk_that_is_mounted_read_only(disk: Path) -> None:
    done.clear()
    path = disk / "flujo_ops.db"
    await asyncio.to_thread(remount, disk, "size=16m")
    async with Flujo(read, state=path) as runner:
        await runner.run_async("7", run_id="before")
    await asyncio.to_thread(remount, disk, "ro")
    try:
        for attempt in (
            Flujo(pipeline, state=path).run_async(0, run_id=RUN),
            Flujo(read, state=path).result("before"),
            SQLiteStore(path).runs(RunQuery()),
        ):
            with pytest.raises(StoreUnavailable) as raised:
                await attempt
            assert "work on a copy" in raised.value.fix
        with pytest.raises(StoreError, match="cannot make"):
            await Flujo(pipeline, state=disk / "new.db").run_async(0, run_id=RUN)
    finally:
        await asyncio.to_thread(remount, disk, "rw")
    async with Flujo(pipeline, state=path) as runner:
        assert (await runner.run_async(0, run_id=RUN)).output == STEPS


async def test_a_full_disk_under_postgres(disk: Path) -> None:
    """The tables lie on the small disk; the server's own log does not."""
    done.clear()
    await asyncio.to_thread(remount, disk, "size=2m")
    with tablespace(disk) as place, schema() as url:
        store = PostgresStore(f"{url}&default_tablespace={place}")
        runner = Flujo(pipeline, state=store)
        told, error = await fill(runner)
        assert isinstance(error, StoreUnavailable), error
        assert "No space left" in str(error)
        assert told
        assert all([report.sound async for report in verify_all(store)])
        await asyncio.to_thread(remount, disk, "size=16m")
        await goes_on(store, runner, told)
        await runner.close()


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
