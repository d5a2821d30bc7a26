"""The store's upkeep on the command line."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from time import sleep

import pytest

from flujo.journal.scripts import migrations
from tests.cli.conftest import FLUJO, Shell
from tests.postgres import schema

NEWEST = len(migrations("sqlite"))
OLD = ("store", "gc", "--older-than", "0s")


@pytest.fixture(autouse=True)
def runs(flujo: Shell) -> None:
    for name in ("one", "two"):
        assert flujo("run", "shop.py:shouted", "-i", name, "--run-id", name, "-q").code == 0
    assert flujo("run", "shop.py:letter", "-i", "x", "--run-id", "three", "-q").code == 3


def test_the_status_is_told(flujo: Shell) -> None:
    found = flujo("store", "status", "--json").json
    assert found["runs"] == {"completed": 2, "paused": 1}
    assert (found["schema"], found["newest"], found["pruned"]) == (NEWEST, NEWEST, 0)
    told = flujo("store", "status").out
    assert "2 completed, 1 paused" in told
    assert f"version {NEWEST}\n" in told


def test_a_store_is_migrated_when_asked(flujo: Shell) -> None:
    assert flujo("store", "migrate").err == f"nothing to do: the schema has version {NEWEST}\n"
    with closing(sqlite3.connect("old.db", isolation_level=None)) as connection:
        connection.executescript(migrations("sqlite")[0])
        connection.execute("PRAGMA application_id = 1718383978")
        connection.execute("PRAGMA user_version = 1")
    check = flujo("store", "migrate", "--check", "--store", "old.db")
    assert (check.code, check.err) == (
        1,
        f"to do: the schema has version 1, the newest is {NEWEST}\n",
    )
    done = flujo("store", "migrate", "--store", "old.db", "--json")
    assert (done.code, done.json) == (0, {"before": 1, "after": NEWEST, "newest": NEWEST})


def test_a_backup_is_verified_and_read_like_any_store(flujo: Shell) -> None:
    made = flujo("store", "backup", "copy.db", "--json")
    assert (made.code, made.json["verified_runs"]) == (0, 3)
    assert flujo("runs", "list", "--json", "--store", "copy.db").json == flujo("runs", "list", "--json").json
    assert flujo("audit", "verify", "--store", "copy.db").code == 0
    again = flujo("store", "backup", "copy.db")
    assert (again.code, "exists already" in again.err) == (2, True)


def test_a_damaged_store_is_not_copied_in_silence(flujo: Shell) -> None:
    with closing(sqlite3.connect("flujo_ops.db", isolation_level=None)) as connection:
        connection.execute("UPDATE events SET body = '{}' WHERE run_id = 'one' AND seq = 2")
    refused = flujo("store", "backup", "copy.db", "--json")
    assert (refused.code, refused.error["code"]) == (6, "chain_broken")
    assert list(Path().glob("copy.db*")) == []
    assert flujo("store", "backup", "copy.db", "--no-verify").code == 0


def test_pruning_is_told_first_and_leaves_a_sound_store(flujo: Shell) -> None:
    plan = flujo(*OLD)
    assert plan.code == 0
    assert "one" in plan.out
    assert "would prune 2 runs" in plan.err
    assert flujo("runs", "show", "one").code == 0
    assert flujo(*OLD, "--status", "failed", "--json").json["would_prune"] == 0
    done = flujo(*OLD, "--yes", "--json").json
    assert (done["pruned"], done["events"]) == (2, 8)
    gone = flujo("runs", "show", "one")
    assert (gone.code, "run one was pruned on" in gone.err, "backup" in gone.err) == (2, True, True)
    audit = flujo("audit", "verify")
    assert (audit.code, "the tombstones of 2 pruned runs" in audit.out) == (0, True)
    one = flujo("audit", "verify", "one")
    assert (one.code, "run one was pruned" in one.err) == (0, True)
    assert flujo("store", "status", "--json").json["pruned"] == 2
    again = flujo("run", "shop.py:shouted", "-i", "one", "--run-id", "one", "--json")
    assert (again.code, again.error["code"]) == (2, "run_conflict")
    assert flujo("approvals", "approve", "three", "--resume").code == 0


def test_what_was_changed_is_not_forgotten(flujo: Shell) -> None:
    with closing(sqlite3.connect("flujo_ops.db", isolation_level=None)) as connection:
        connection.execute("UPDATE events SET body = '{}' WHERE run_id = 'one' AND seq = 2")
    done = flujo(*OLD, "--yes")
    assert done.code == 6
    assert "left alone: run one is broken" in done.err
    assert flujo("audit", "verify", "one").code == 6
    assert flujo("runs", "show", "two").code == 2


def test_pruning_that_is_killed_leaves_a_sound_store(flujo: Shell) -> None:
    for number in range(30):
        flujo("run", "shop.py:shouted", "-i", str(number), "--run-id", f"more-{number}", "-q")
    for wait in (0.25, 0.3, 0.35, 0.4):
        process = subprocess.Popen([FLUJO, *OLD, "--yes"], stderr=subprocess.DEVNULL)
        sleep(wait)
        process.kill()
        process.wait()
        assert flujo("audit", "verify").code == 0
    assert flujo(*OLD, "--yes").code == 0
    assert flujo("store", "status", "--json").json["pruned"] == 32


def test_a_tombstone_that_is_gone_breaks_the_audit(flujo: Shell) -> None:
    flujo(*OLD, "--yes")
    with closing(sqlite3.connect("flujo_ops.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM tombstones WHERE number = 1")
    broken = flujo("audit", "verify", "--json")
    assert broken.code == 6
    assert broken.json["findings"] == [{"fault": "tombstone", "message": "tombstone 1 is missing"}]
    assert "tombstone 1 is missing" in flujo("audit", "verify").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gc", "--older-than", "long"), "no point in time"),
        (("gc", "--older-than", "1d", "--status", "paused"), "has not ended"),
        (("gc", "--older-than", "1d", "--status", "complete"), "did you mean 'completed'?"),
        (("gc",), "--older-than"),
        (("status", "--store", "nowhere.db"), "no store"),
        (("backup", "nowhere/copy.db"), "cannot make"),
    ],
)
def test_what_cannot_be_done_is_told(flujo: Shell, words: tuple[str, ...], said: str) -> None:
    outcome = flujo("store", *words)
    assert outcome.code in (1, 2)
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_a_store_in_postgresql(flujo: Shell) -> None:
    with schema() as url:
        store = ("--store", url)
        flujo("run", "shop.py:shouted", "-i", "x", "--run-id", "one", "-q", *store)
        status = flujo("store", "status", *store)
        assert "PostgreSQL" in status.out
        assert "postgres:" not in status.out.replace("postgresql", "")
        assert flujo("store", "backup", "copy.db", *store).code == 0
        assert flujo(*OLD, "--yes", "--json", *store).json["pruned"] == 1
        assert flujo("audit", "verify", *store).code == 0
    assert flujo("runs", "show", "one", "--store", "copy.db").code == 0
