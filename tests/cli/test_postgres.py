"""The command line over a store in PostgreSQL."""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.postgres import schema

WORK = """
from flujo import HumanInput, step

@step
async def draft(text: str) -> str:
    return text.upper()

letter = draft >> HumanInput("send it?", schema=bool)
"""


@pytest.fixture
def url() -> Generator[str]:
    with schema() as url:
        yield url


def flujo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("flujo")), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_is_begun_listed_answered_and_audited(url: str, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    store = ("--store", url)
    begun = flujo(tmp_path, "run", "work.py:letter", "--input", "dear", "--json", *store)
    assert begun.returncode == 3, begun.stderr
    run_id = json.loads(begun.stdout)["run_id"]
    listed = json.loads(flujo(tmp_path, "runs", "list", "--json", *store).stdout)
    assert [run["run_id"] for run in listed["runs"]] == [run_id]
    answered = flujo(
        tmp_path, "approvals", "answer", run_id, "--value", "true", "--target", "work.py:letter", *store
    )
    assert answered.returncode == 0, answered.stderr
    resumed = flujo(tmp_path, "runs", "resume", run_id, "--target", "work.py:letter", *store)
    assert (resumed.returncode, resumed.stdout) == (0, "true\n"), resumed.stderr
    assert flujo(tmp_path, "audit", "verify", run_id, *store).returncode == 0
    doctor = flujo(tmp_path, "doctor", *store)
    assert re.search(r"store\s+.*; 0 runs waiting", doctor.stdout), doctor.stdout
    assert not list(tmp_path.glob("*.db"))


IMPATIENT = """
from flujo.cli import main, reading
reading.READING_SECONDS = 0.3
main()
"""


@pytest.mark.parametrize("words", [("runs", "list"), ("doctor",), ("config", "show"), ("audit", "verify")])
def test_no_message_repeats_the_password(tmp_path: Path, words: tuple[str, ...]) -> None:
    away = "postgresql://ann:hush@127.0.0.1:1/journals"
    command = [sys.executable, "-c", IMPATIENT, *words, "--store", away]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "hush" not in done.stdout + done.stderr
    if words != ("config", "show"):
        assert done.returncode == 1
        assert "127.0.0.1:1/journals cannot be reached" in done.stdout + done.stderr
        assert "look whether the server runs" in done.stdout + done.stderr


def test_the_demonstration_keeps_to_files(tmp_path: Path) -> None:
    done = flujo(tmp_path, "demo", "--auto", "--store", "postgresql://here/journals")
    assert done.returncode == 2
    assert "keeps its runs in a file" in done.stderr
