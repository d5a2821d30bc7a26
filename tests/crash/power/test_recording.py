"""The recorded disk is asked for what Python's own SQLite asks a real one for, as `strace` sees it."""

import asyncio
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from flujo import Flujo, SQLiteStore, step
from tests.crash.power.disk import Delete, Entry, Sync, Truncate, Write
from tests.crash.power.recording import recorded
from tests.crash.tracing import why_not

CALLS = {
    "pwrite64": "write",
    "fsync": "sync",
    "fdatasync": "sync",
    "ftruncate": "truncate",
    "unlink": "delete",
}
STORE = "flujo_ops.db"
ROOT = Path(__file__).parents[3]
CARRY = "import sys; from tests.crash.power.test_recording import carry; carry(sys.argv[1])"


@step
async def add(number: int) -> int:
    return number + 1


def carry(path: str) -> None:
    """Carry a run to its end in a store that is made for it, and close the store."""

    async def carried() -> None:
        async with Flujo(add >> add.named("again") >> add.named("last"), state=SQLiteStore(path)) as runner:
            assert (await runner.run_async(0)).output == 3

    asyncio.run(carried())


def named(entry: Entry) -> str | None:
    match entry:
        case Write(name, _, _):
            return f"write {name}"
        case Truncate(name, _):
            return f"truncate {name}"
        case Delete(name):
            return f"delete {name}"
        case Sync(name):
            return f"sync {name or 'folder'}"
        case _:
            return None


def traced(log: str, folder: Path) -> list[str]:
    """Return what a process asked of the files in a folder, as the recorder names it."""
    found: list[str] = []
    for call, opened, path in re.findall(r'^\d+\s+(\w+)\((?:\d+<([^>]*)>|"([^"]*)")', log, re.MULTILINE):
        asked = Path(opened or path)
        found.append(f"{CALLS[call]} {'folder' if asked == folder else asked.name}")
    return found


@pytest.mark.e2e
def test_the_recorder_sees_what_pythons_own_sqlite_asks_for(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    real, seen, log = tmp_path / "real", tmp_path / "seen", tmp_path / "log"
    real.mkdir()
    seen.mkdir()
    files = [real, *(real / f"{STORE}{end}" for end in ("", "-wal", "-journal"))]
    paths = [word for path in files for word in ("-P", str(path))]
    command = ["strace", "-f", "-y", "-qq", "-o", str(log), *paths, "-e", f"trace={','.join(CALLS)}"]
    subprocess.run(
        [*command, sys.executable, "-c", CARRY, str(real / STORE)], cwd=ROOT, check=True, timeout=60
    )
    diary: list[Entry] = []
    with recorded(diary):
        carry(str(seen / STORE))
    asked = [name for name, _ in groupby(traced(log.read_text(), real))]
    assert asked.count(f"sync {STORE}-wal") > 4
    assert [name for name, _ in groupby(filter(None, map(named, diary)))] == asked
