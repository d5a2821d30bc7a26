"""Every write and sync of a run fails, or is the last thing its process does: by `strace`, from outside."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from flujo import Flujo, SQLiteStore
from flujo.journal.sqlite_file import open_file
from flujo.journal.verify import verify_all
from tests.crash.faulty import DEEDS, INPUT, OUTPUT, pipeline
from tests.crash.tracing import why_not

FLUJO = Path(sys.executable).parent / "flujo"
TARGET = f"{Path(__file__).with_name('faulty.py')}:pipeline"
STORE, RUN = "flujo_ops.db", "run-1"
STEPS = {"add", "map[0]/each", "map[1]/each", "total", "last"}

Calls = Literal["pwrite64", "fsync,fdatasync", "ftruncate", "unlink"]
Place = Literal["new", "log", "file"]
Fault = Literal["error=EIO", "error=ENOSPC", "signal=KILL"]


class Disturbance(NamedTuple):
    """What does not succeed.

    Attributes:
        place: Where: on any file of a store that is made meanwhile; on the log of one that was there, where
            every commit goes; or on its database file, into which the log is folded at the end.
        calls: Which calls.
        fault: What becomes of them.
        when: Which of them, counted from 1 by each thread; ``5+`` is the fifth and all later.
    """

    place: Place
    calls: Calls
    fault: Fault
    when: str

    def __str__(self) -> str:
        return " ".join(self)


class Disturbed(NamedTuple):
    """What came of a process: its exit code, what it printed, and how often it was disturbed."""

    code: int
    out: str
    err: str
    times: int

    @property
    def told(self) -> set[str]:
        """The addresses of the steps that it was told are completed."""
        events: list[dict[str, Any]] = [json.loads(line) for line in self.out.splitlines()]
        return {event["address"] for event in events if event.get("event") == "step.completed"}


FILES: dict[Place, tuple[str, ...]] = {
    "new": ("", "-wal", "-shm", "-journal"),
    "log": ("-wal",),
    "file": ("",),
}


def carried(folder: Path, place: Place, disturbance: Disturbance | None) -> Disturbed:
    """Carry the run in a process, and disturb what it asks of the store's files; without, only count."""
    log = folder / "calls"
    calls = disturbance.calls if disturbance else "pwrite64,fsync,fdatasync,ftruncate,unlink"
    inject = f"inject={calls}:{disturbance.fault}:when={disturbance.when}" if disturbance else ""
    files = [folder / f"{STORE}{end}" for end in FILES[place]] + [folder] * (place == "new")
    paths = [word for path in files for word in ("-P", str(path))]
    command = ["strace", "-f", "-qq", "-o", str(log), *paths, "-e", f"trace={calls}"]
    command += ["-e", inject] if inject else []
    run = [str(FLUJO), "run", TARGET, str(INPUT), "--run-id", RUN, "--store", str(folder / STORE)]
    done = subprocess.run(
        [*command, *run, "--json", "--stream"],
        env={**os.environ, DEEDS: str(folder / "deeds")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    seen = log.read_text()
    times = seen.count("(INJECTED)") + seen.count("+++ killed by SIGKILL +++")
    return Disturbed(done.returncode, done.stdout, done.stderr, times)


def prepare(folder: Path, place: Place) -> None:
    """Make the folder, and the store in it unless it is to be new."""
    folder.mkdir()
    if place != "new":
        open_file(folder / STORE, create=True, synchronous="FULL", busy_timeout=5).close()


def counted(folder: Path, place: Place) -> Counter[str]:
    """Return how many calls of each kind the busiest thread of an undisturbed run makes."""
    prepare(folder, place)
    whole = carried(folder, place, None)
    assert (whole.code, whole.told) == (0, STEPS), whole
    by_thread = Counter(re.findall(r"^(\d+)\s+(\w+)\(", (folder / "calls").read_text(), re.MULTILINE))
    most = Counter[str]()
    for (_, call), times in by_thread.items():
        most[call] = max(most[call], times)
    most["fsync,fdatasync"] = most["fsync"] + most["fdatasync"]
    return most


async def survives(folder: Path, disturbance: Disturbance, monkeypatch: pytest.MonkeyPatch) -> Disturbed:
    """Disturb a run, and judge: what it said, what it left, and how it goes on."""
    prepare(folder, disturbance.place)
    disturbed = carried(folder, disturbance.place, disturbance)
    assert "Traceback" not in disturbed.out + disturbed.err, disturbed
    if disturbance.fault == "signal=KILL":
        assert disturbed.code == (-9 if disturbed.times else 0), disturbed
    elif disturbed.code:
        assert disturbed.code == 1, disturbed
        error = json.loads(disturbed.out.splitlines()[-1])["error"]
        assert error["code"] == "store_unavailable", error
        assert error["fix"]
    path = folder / STORE
    store = SQLiteStore(path)
    await store.run(RUN)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert all([report.sound async for report in verify_all(store)])
    recorded = {event.address for event in await store.events(RUN) if event.kind == "step.completed"}
    assert disturbed.told <= recorded, disturbed
    monkeypatch.setenv(DEEDS, str(folder / "deeds"))
    async with Flujo(pipeline, state=store) as runner:
        assert (await runner.run_async(INPUT, run_id=RUN)).output == OUTPUT
        deeds = Counter((folder / "deeds").read_text().split())
        assert all(deeds[address] == 1 for address in recorded), deeds
        assert all([report.sound async for report in verify_all(store)])
    shutil.rmtree(folder)
    return disturbed


@pytest.fixture(autouse=True)
def _can_be_disturbed() -> None:  # pyright: ignore[reportUnusedFunction]
    if reason := why_not():
        pytest.skip(reason)


FEW: list[tuple[Place, Calls, Fault, str]] = [
    ("new", "pwrite64", "error=ENOSPC", "30"),
    ("new", "fsync,fdatasync", "signal=KILL", "6"),
    ("log", "pwrite64", "error=EIO", "20"),
    ("log", "pwrite64", "error=ENOSPC", "8+"),
    ("log", "fsync,fdatasync", "error=EIO", "4"),
    ("log", "fsync,fdatasync", "signal=KILL", "5"),
    ("file", "pwrite64", "error=EIO", "1+"),
    ("file", "pwrite64", "signal=KILL", "4"),
]


@pytest.mark.e2e
@pytest.mark.parametrize("disturbance", [Disturbance(*one) for one in FEW], ids=str)
async def test_a_call_that_does_not_succeed(
    disturbance: Disturbance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed = await survives(tmp_path / "run", disturbance, monkeypatch)
    assert disturbed.times


KINDS: list[tuple[Calls, Fault, str]] = [
    ("pwrite64", "error=EIO", ""),
    ("pwrite64", "error=ENOSPC", "+"),
    ("pwrite64", "signal=KILL", ""),
    ("fsync,fdatasync", "error=EIO", ""),
    ("fsync,fdatasync", "error=EIO", "+"),
    ("fsync,fdatasync", "signal=KILL", ""),
    ("ftruncate", "error=EIO", ""),
    ("ftruncate", "signal=KILL", ""),
    ("unlink", "error=EIO", ""),
    ("unlink", "signal=KILL", ""),
]
PLACES: tuple[Place, ...] = ("new", "log", "file")


@pytest.mark.soak
@pytest.mark.e2e
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("calls", "fault", "later"), KINDS)
@pytest.mark.parametrize("place", PLACES)
async def test_each_call_that_does_not_succeed(
    place: Place, calls: Calls, fault: Fault, later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = counted(tmp_path / "whole", place)[calls]
    codes, reached = Counter[int](), 0
    for when in range(1, most + 1):
        disturbance = Disturbance(place, calls, fault, f"{when}{later}")
        try:
            disturbed = await survives(tmp_path / "run", disturbance, monkeypatch)
        except BaseException as error:
            error.add_note(str(disturbance))
            raise
        reached += disturbed.times > 0
        codes[disturbed.code] += 1
    assert reached >= 0.8 * most  # how many commits are shared, and so how many calls there are, varies
    print(f"{place} {calls} {fault}{later}: {reached} places, exit codes {dict(codes)}")
