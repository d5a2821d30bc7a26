"""Processes killed by SIGKILL at commits and at random moments; others resume what they left."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.scenarios import KNOWN, SCENARIOS

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform == "win32", reason="there is neither fork nor SIGKILL"),
]


def killing(folder: Path, seed: int, kills: int, *names: str) -> list[str]:
    """Run the experiments of `tests.crash.killing`; return a line for each."""
    command = [sys.executable, "-m", "tests.crash.killing", str(folder), str(seed), str(kills), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done.stdout.splitlines()


def test_kills_at_commits_and_at_random_moments(tmp_path: Path) -> None:
    names = [name for name in SCENARIOS if name not in KNOWN]
    lines = killing(tmp_path, 1, 1, *names)
    assert len(lines) == 2 * len(names)
    assert all(line.endswith(": sound") for line in lines)
    assert sum("killed at" in line for line in lines) > len(names)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in KNOWN])
def test_kills_at_every_commit_and_many_moments(tmp_path: Path, name: str) -> None:
    lines = killing(tmp_path, 2, 60, name)
    assert len(lines) > 60


CARRY = """
import asyncio, sys
from pathlib import Path
from flujo import SQLiteStore
from tests.crash.harness import drive
from tests.crash.killing import Kill, Killed
from tests.crash.scenario import a_clock
from tests.crash.scenarios import KNOWN, SCENARIOS
from tests.crash.witness import WITNESS
path, at = Path(sys.argv[1]), int(sys.argv[2])
WITNESS.write_to(path.with_suffix(".deeds"))
scenario, clock = SCENARIOS["everything"], a_clock()
store = Killed(SQLiteStore(path), Kill("after commit", at))
print(asyncio.run(drive(scenario, scenario.runner(store, clock), clock)).output)
"""


async def test_processes_that_share_nothing_but_the_file(tmp_path: Path) -> None:
    """The same without forks: each process is started anew, and dies a few commits later."""
    path = tmp_path / "flujo_ops.db"
    statuses: list[int] = []
    printed = b""
    while not statuses or statuses[-1] != 0:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CARRY, str(path), "9", cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await child.communicate()
        statuses.append(child.returncode or 0)
        assert statuses[-1] in (0, -9)
        assert len(statuses) < 20
    assert len(statuses) > 2, "nobody was killed"
    assert int(printed) == 8
