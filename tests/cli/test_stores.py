"""Stores that are missing, locked, corrupt, read-only or tampered with; and the audit."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

STORE = Path("flujo_ops.db")
READERS = [
    ["runs", "list"],
    ["runs", "show", "a"],
    ["approvals", "list"],
    ["audit", "verify"],
    ["runs", "resume", "a"],
]

HURRIED = """
from flujo import Flujo, SQLiteStore
from shop import shouted

runner = Flujo(shouted, state=SQLiteStore("flujo_ops.db", busy_timeout=0.3))
"""


@pytest.fixture
def kept(flujo: Shell) -> Shell:
    """Two runs in the store."""
    for name in ("a", "b"):
        assert flujo("run", "shop.py:shouted", "--input", "x", "--run-id", name).code == 0
    return flujo


def change(sql: str) -> None:
    connection = sqlite3.connect(STORE)
    connection.execute(sql)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_store_that_is_missing(words: list[str], flujo: Shell) -> None:
    told = flujo(*words, "--json")
    assert (told.code, told.error["code"]) == (1, "store_unavailable")
    assert not STORE.exists()


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_store_that_is_no_store(words: list[str], flujo: Shell) -> None:
    STORE.write_bytes(b"not a database at all" * 100)
    told = flujo(*words, "--json")
    assert (told.code, told.error["code"]) == (6 if words[0] == "audit" else 1, "store_corrupt")
    assert flujo("run", "shop.py:shouted", "--input", "x", "--json").error["code"] == "store_corrupt"
    assert STORE.read_bytes().startswith(b"not a database")


def test_a_store_of_another_application(flujo: Shell) -> None:
    change("CREATE TABLE cookies (x)")
    told = flujo("run", "shop.py:shouted", "--input", "x")
    assert (told.code, "of another application" in told.err) == (1, True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_store_that_is_read_only(kept: Shell) -> None:
    STORE.chmod(0o400)
    told = kept("run", "shop.py:shouted", "--input", "x")
    assert (told.code, "read-only" in told.err) == (1, True)


def test_a_store_that_is_locked(kept: Shell) -> None:
    Path("hurried.py").write_text(HURRIED)
    connection = sqlite3.connect(STORE)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        told = kept.real("run", "hurried.py:runner", "--input", "x", "--run-id", "c", "--json")
    finally:
        connection.rollback()
        connection.close()
    assert (told.code, told.error["code"], "locked" in told.error["message"]) == (
        1,
        "store_unavailable",
        True,
    )
    assert kept("run", "shop.py:shouted", "--input", "x", "--run-id", "c").code == 0


def test_the_audit_finds_nothing(kept: Shell) -> None:
    told = kept("audit", "verify")
    events = len(kept("runs", "show", "a", "--json").json["journal"])
    assert (told.code, told.out) == (0, f"sound: 2 runs, {2 * events} events\n")
    alone = kept("audit", "verify", "a", "--json").json
    assert alone == {"sound": True, "runs": 1, "events": events, "pruned": 0, "findings": []}


@pytest.mark.parametrize(
    ("sql", "fault", "seq"),
    [
        ("UPDATE events SET body = replace(body, 'X', 'Y') WHERE run_id = 'a' AND seq = 2", "changed", 2),
        ("UPDATE events SET at = at + 1 WHERE run_id = 'a' AND seq = 3", "changed", 3),
        ("DELETE FROM events WHERE run_id = 'a' AND seq = 2", "gap", 2),
        ("DELETE FROM events WHERE run_id = 'a' AND seq = 4", "truncated", 4),
    ],
)
def test_the_audit_names_the_first_bad_event(sql: str, fault: str, seq: int, kept: Shell) -> None:
    change(sql)
    told = kept("audit", "verify")
    assert (told.code, f"broken  a  event {seq}" in told.out) == (6, True), told
    assert "1 run of 2 broken" in told.err
    found = kept("audit", "verify", "--json").json
    assert [(one["run_id"], one["seq"], one["fault"]) for one in found["findings"]] == [("a", seq, fault)]
    assert kept("audit", "verify", "b").code == 0


def test_the_audit_finds_runs_whose_record_is_gone(kept: Shell) -> None:
    change("DELETE FROM runs WHERE run_id = 'a'")
    told = kept("audit", "verify")
    assert (told.code, told.out) == (6, "broken  a  event 1: the run has events but no record\n")
    assert "1 run of 2 broken" in told.err
    assert kept("audit", "verify", "a").code == 6
    assert kept("audit", "verify", "c").code == 2


def test_a_run_whose_journal_was_changed_is_not_resumed(flujo: Shell) -> None:
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a")
    change(
        "UPDATE events SET body = CAST(replace(body, 'X', 'Y') AS BLOB)"
        " WHERE run_id = 'a' AND kind = 'step.completed'"
    )
    told = flujo("approvals", "approve", "a", "--resume", "--json")
    assert (told.code, told.error["code"]) == (6, "chain_broken")


def test_two_processes_do_not_carry_one_run(flujo: Shell) -> None:
    import subprocess
    import sys

    with subprocess.Popen(
        [Path(sys.executable).parent / "flujo", "run", "shop.py:sleepy", "--input", "x", "--run-id", "r1"],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as first:
        assert first.stderr is not None
        while b"slow begins" not in first.stderr.readline():
            pass
        told = flujo("runs", "resume", "r1", "--json")
        shop = Path("shop.py")
        shop.write_text(shop.read_text().replace("sleep(30)", "sleep(0)"))
        taken = flujo("runs", "resume", "r1", "--take-over", "--json")
        first.kill()
    assert (told.code, told.error["code"], "--take-over" in told.error["fix"]) == (1, "run_busy", True)
    assert (taken.code, taken.json["output"]) == (0, "X")


@pytest.mark.parametrize("words", [["run", "shop.py:shouted", "x"], ["runs", "list"], ["store", "status"]])
def test_a_database_without_its_driver(words: list[str]) -> None:
    code = "import sys; sys.modules['asyncpg'] = None; from flujo.cli import main; main()"
    typed = [sys.executable, "-c", code, *words, "--store", "postgresql://db.invalid/runs"]
    told = subprocess.run(typed, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (2, "")
    assert "a PostgreSQL store needs the package asyncpg, which is not installed" in told.stderr
    assert "pip install 'flujo[postgres]'" in told.stderr
