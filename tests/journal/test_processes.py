"""The SQLite store across processes: killed, forked, left open; what was acknowledged is there."""

import asyncio
import gc
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from flujo.journal.sqlite import SQLiteStore
from flujo.journal.verify import verify
from tests.journal.scribe import Scribe

ROOT = Path(__file__).parents[2]
PRELUDE = """
    import asyncio, os, sys
    from pathlib import Path
    from flujo.journal.sqlite import SQLiteStore
    from tests.journal.scribe import RUNNING, Scribe
    path = Path(sys.argv[1])
"""


def command(script: str, *arguments: object) -> list[str]:
    source = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return [sys.executable, "-c", source, *map(str, arguments)]


def run_script(script: str, *arguments: object) -> str:
    """Run a script in a process of its own and return what it prints; it must end well."""
    done = subprocess.run(
        command(script, *arguments), capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flujo_ops.db"


WRITE_UNTIL_KILLED = """
    async def carry(store, number, early):
        scribe = Scribe(f"run-{number}")
        while True:
            future = store.submit(scribe.batch() if scribe.seq else scribe.begin())
            if not early:
                await future
            os.write(1, b"%d %d\\n" % (number, scribe.seq))
            await asyncio.sleep(0)

    async def main():
        store = SQLiteStore(path)
        await asyncio.gather(*[carry(store, number, sys.argv[2] == "early") for number in range(5)])

    asyncio.run(main())
"""


def kill_writer(path: Path, acknowledge: str, lines: int) -> dict[str, int]:
    """Let a process write, kill it after some acknowledgements, and return the last of each run."""
    with subprocess.Popen(
        command(WRITE_UNTIL_KILLED, path, acknowledge), stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += [line for line in child.stdout if line.endswith("\n")]
    acknowledged: dict[str, int] = {}
    for line in said:
        number, seq = line.split()
        acknowledged[f"run-{number}"] = int(seq)
    return acknowledged


@pytest.mark.e2e
@pytest.mark.parametrize("lines", [1, 40, 700])
async def test_what_was_acknowledged_survives_a_kill(path: Path, lines: int) -> None:
    acknowledged = await asyncio.to_thread(kill_writer, path, "late", lines)
    store = SQLiteStore(path)
    assert acknowledged
    for run_id, seq in acknowledged.items():
        assert len(await store.events(run_id)) >= seq
        assert (await verify(store, run_id)).sound
    await store.close()


@pytest.mark.e2e
async def test_the_kill_would_be_noticed(path: Path) -> None:
    """The control: a writer that acknowledges at submission loses what a locked file held up."""
    store = SQLiteStore(path)
    await store.submit(Scribe("before").begin())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        acknowledged = await asyncio.to_thread(kill_writer, path, "early", 40)
        other.execute("ROLLBACK")
    assert len(acknowledged) == 5
    for run_id in acknowledged:
        assert await store.events(run_id) == []
    await store.close()


@pytest.mark.e2e
def test_a_program_that_forgets_to_close_ends_and_loses_nothing(path: Path) -> None:
    started = time.monotonic()
    run_script(
        """
        async def main():
            store = SQLiteStore(path)
            scribe = Scribe()
            await store.submit(scribe.begin())
            for _ in range(200):
                store.submit(scribe.batch())
            await store.run("run-1")
            return store

        store = asyncio.run(main())
        """,
        path,
    )
    assert time.monotonic() - started < 8
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (201,)
    assert [file.name for file in path.parent.iterdir()] == [path.name], "the log was folded in"


@pytest.mark.e2e
def test_the_end_of_a_program_waits_for_a_commit(path: Path) -> None:
    run_script(
        """
        import sqlite3, threading

        async def main():
            store = SQLiteStore(path)
            scribe = Scribe()
            await store.submit(scribe.begin())
            other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            store.submit(scribe.batch())
            release = threading.Timer(0.5, other.execute, ["ROLLBACK"])
            release.daemon = True  # the interpreter does not wait for it
            release.start()
            return store

        store = asyncio.run(main())
        """,
        path,
    )
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (2,)


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_opens_the_file_anew(path: Path) -> None:
    printed = run_script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        ours, theirs = Scribe("parent"), Scribe("child")
        store = SQLiteStore(path)

        async def write(scribe, batch):
            await store.submit(batch)
            return len(await store.events(scribe.run_id))

        asyncio.run(write(ours, ours.begin()))
        child = os.fork()
        if child == 0:
            seen = asyncio.run(write(theirs, theirs.begin()))
            again = asyncio.run(write(theirs, theirs.batch()))
            print("child", seen, again, flush=True)
            sys.exit(0)
        mine = asyncio.run(write(ours, ours.batch()))
        _, status = os.waitpid(child, 0)
        assert status == 0
        print("parent", mine, asyncio.run(write(ours, ours.batch())))
        asyncio.run(store.close())
        """,
        path,
    )
    assert printed == "child 1 2\nparent 2 3\n"


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("flujo-writer")]


def test_a_store_that_is_dropped_ends_its_thread(path: Path) -> None:
    async def write() -> None:
        store, scribe = SQLiteStore(path), Scribe()
        await store.submit(scribe.begin())
        assert writers() == ["flujo-writer flujo_ops.db"]
        store.submit(scribe.batch())

    asyncio.run(write())
    gc.collect()
    deadline = time.monotonic() + 5
    while writers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert writers() == []
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (2,)


@pytest.mark.e2e
def test_processes_share_a_file(path: Path) -> None:
    script = """
        async def main():
            store = SQLiteStore(path, busy_timeout=30)
            scribes = [Scribe(f"{sys.argv[2]}-{number}") for number in range(4)]
            async def carry(scribe):
                await store.submit(scribe.begin())
                for _ in range(25):
                    await store.submit(scribe.batch())
            await asyncio.gather(*map(carry, scribes))
            await store.close()

        asyncio.run(main())
        """
    children = [subprocess.Popen(command(script, path, number), cwd=ROOT) for number in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (3 * 4 * 26,)
