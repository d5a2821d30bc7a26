"""Workers and schedules on the command line."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.cli.conftest import FLUJO, Shell
from tests.postgres import schema

WORK = """\
from datetime import timedelta
from flujo import HumanInput, Sleep, WaitForEvent, step

@step
async def double(number: int) -> int:
    return 2 * number

@step
async def tell(number: int) -> str:
    return f"it is {number}"

timed = (double >> Sleep(timedelta(milliseconds=300)) >> tell).named("timed")
paid = (double >> WaitForEvent("paid", schema=int) >> tell).named("paid")
asked = (double >> HumanInput("how many?", schema=int) >> tell).named("asked")
"""


@pytest.fixture(autouse=True)
def work(shop: Path) -> Path:
    (shop / "work.py").write_text(WORK, encoding="utf-8")
    return shop


@contextmanager
def serving(*words: str, log: str = "worker.log") -> Generator[subprocess.Popen[bytes]]:
    """Let a worker serve in a process of its own; it is told to stop afterwards."""
    with Path(log).open("wb") as told:
        process = subprocess.Popen([FLUJO, "worker", *words], stderr=told)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def until(flujo: Shell, run_id: str, status: str, *store: str) -> None:
    give_up = monotonic() + 20
    seen = ""
    while seen != status and monotonic() < give_up:
        sleep(0.05)
        shown = flujo("runs", "show", run_id, "--json", *store)
        seen = shown.json["status"] if shown.code == 0 else shown.err
    assert seen == status


def test_a_run_is_left_to_a_worker(flujo: Shell) -> None:
    begun = flujo("run", "work.py:timed", "--input", "3", "--detach")
    assert begun.code == 0
    run_id = begun.out.strip()
    assert f"flujo runs show {run_id}" in begun.err
    assert flujo("runs", "show", run_id, "--json").json["status"] == "queued"
    with serving("work.py:timed") as worker:
        until(flujo, run_id, "completed")
    assert worker.returncode == 0
    assert "carried runs on 2 times" in Path("worker.log").read_text()


def test_an_event_is_delivered_and_an_answer_recorded(flujo: Shell) -> None:
    flujo("run", "work.py:paid", "-i", "1", "-d", "--run-id", "one")
    flujo("run", "work.py:asked", "-i", "1", "-d", "--run-id", "two")
    with serving("work.py:paid", "work.py:asked"):
        until(flujo, "two", "paused")
        delivered = flujo("runs", "signal", "one", "paid", "--payload", "7")
        assert (delivered.code, delivered.err) == (
            0,
            "delivered: paid\nwithout a worker, go on: flujo runs resume one\n",
        )
        assert flujo("approvals", "answer", "two", "--value", "8").code == 0
        until(flujo, "one", "completed")
        until(flujo, "two", "completed")
    assert flujo("runs", "resume", "two", "-q").out == "it is 8\n"


def test_what_no_run_waits_for_is_refused(flujo: Shell) -> None:
    flujo("run", "work.py:paid", "-i", "1", "-d", "--run-id", "one")
    wrong = flujo("runs", "signal", "one", "payd", "--json")
    assert (wrong.code, wrong.error["code"], wrong.error["fix"]) == (
        2,
        "unknown_request",
        "did you mean 'paid'?",
    )
    unfit = flujo("runs", "signal", "one", "paid", "--payload", '"much"', "--json")
    assert (unfit.code, unfit.error["code"]) == (4, "answer_rejected")
    assert "much" not in unfit.out


def test_the_status_shows_who_works_and_what_waits(flujo: Shell) -> None:
    assert flujo("worker", "status").code == 1
    flujo("run", "work.py:paid", "-i", "1", "-d", "--run-id", "one")
    before = flujo("worker", "status", "--json").json
    assert before["workers"] == []
    assert [(one["due"], one["in_hand"]) for one in before["queues"]] == [(1, 0)]
    with serving("work.py:paid", "-c", "3"):
        until(flujo, "one", "paused")
        [worker] = flujo("worker", "status", "--json").json["workers"]
        assert (worker["alive"], worker["concurrency"]) == (True, 3)
        assert "paid" in flujo("worker", "status").out
    assert flujo("worker", "status", "--json").json == {"workers": [], "queues": []}


def test_a_killed_worker_s_run_goes_on(flujo: Shell, work: Path) -> None:
    (work / "slow.py").write_text(
        "import os, signal\nfrom flujo import step\n"
        "@step\nasync def once(x: int) -> int:\n"
        "    if not os.path.exists('seen'):\n"
        "        open('seen', 'w').close()\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return x\n",
        encoding="utf-8",
    )
    flujo("run", "slow.py:once", "-i", "4", "-d", "--run-id", "one")
    with serving("slow.py:once") as first:
        assert first.wait(20) == -signal.SIGKILL
    with serving("slow.py:once"):
        until(flujo, "one", "completed")


def test_health_and_metrics(flujo: Shell) -> None:
    flujo("run", "work.py:paid", "-i", "1", "-d", "--run-id", "one")
    with serving("work.py:paid", "--port", "0") as worker:
        until(flujo, "one", "paused")
        assert worker.poll() is None
        found = re.search(r"(http://\S+)/healthz", Path("worker.log").read_text())
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/healthz") as answer:
            assert json.load(answer)["status"] == "ok"
        with urllib.request.urlopen(f"{found[1]}/metrics") as answer:
            metrics = answer.read().decode()
    assert 'flujo_worker_carried_total{outcome="paused",pipeline="paid"} 1.0' in metrics
    assert "flujo_worker_in_hand 0.0" in metrics


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no pipeline to carry on was named"),
        (("work.py:timed", "--limit", "timed"), "'timed' is no limit"),
        (("work.py:timed", "--limit", "other=2"), "'other', which this worker does not have"),
        (("work.py:timed", "--port", "1", "--host", "256.0.0.1"), "cannot listen"),
        (("nowhere.py:x",), "there is no file"),
    ],
)
def test_a_worker_that_cannot_serve_says_why(flujo: Shell, words: tuple[str, ...], said: str) -> None:
    outcome = flujo.real("worker", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err


class TestSchedules:
    def test_runs_begin_at_their_times_and_once(self, flujo: Shell) -> None:
        added = flujo("schedule", "add", "work.py:paid", "--cron", "* * * * * *", "-i", "3", "--json")
        assert (added.json["name"], added.json["cron"], added.json["input"]) == ("paid", "* * * * * *", 3)
        with serving("work.py:paid"), serving("work.py:paid", log="other.log"):
            give_up = monotonic() + 20
            runs: list[str] = []
            while len(runs) < 2 and monotonic() < give_up:
                runs = [one["run_id"] for one in flujo("runs", "list", "--json").json["runs"]]
                sleep(0.1)
        assert len(runs) == len(set(runs)) >= 2
        assert all(run.startswith("paid@20") for run in runs)
        labels = flujo("runs", "show", runs[0], "--json").json["labels"]
        assert labels["schedule"] == "paid"
        assert runs[0] == f"paid@{labels['scheduled_for']}"

    def test_a_schedule_rests_and_is_removed(self, flujo: Shell) -> None:
        flujo("schedule", "add", "work.py:paid", "--cron", "30 8 * * *", "-z", "Europe/Madrid", "-i", "1")
        assert flujo("schedule", "pause", "paid", "--json").json["next"] is None
        assert "paused" in flujo("schedule", "list").out
        assert flujo("schedule", "resume", "paid", "--json").json["next"].endswith("+00:00")
        assert flujo("schedule", "remove", "paid").code == 0
        assert flujo("schedule", "list", "--json").json == {"schedules": []}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--cron", "61 * * * *"), "Bad minute"),
            (("--cron", "* * 31 2 *"), "cannot be used"),
            (("--cron", "* * * * *", "-z", "Mars"), "'Mars' is no time zone"),
            (("--cron", "* * * * *", "--missed", "never"), "missed='never'"),
            (("--cron", "* * * * *", "--name", "a@b"), "cannot name a schedule"),
        ],
    )
    def test_what_is_no_schedule(self, flujo: Shell, words: tuple[str, ...], said: str) -> None:
        outcome = flujo("schedule", "add", "work.py:paid", "-i", "1", *words)
        assert outcome.code == 2
        assert said in outcome.err

    def test_one_name_is_one_schedule(self, flujo: Shell) -> None:
        words = ("schedule", "add", "work.py:paid", "--cron", "* * * * *", "-i", "1")
        assert flujo(*words).code == 0
        assert "already" in flujo(*words).err
        missing = flujo("schedule", "remove", "payed")
        assert (missing.code, "did you mean 'paid'?" in missing.err) == (2, True)


def test_a_worker_on_postgresql(flujo: Shell) -> None:
    with schema() as url:
        store = ("--store", url)
        flujo("run", "work.py:timed", "-i", "3", "-d", "--run-id", "one", *store)
        with serving("work.py:timed", *store) as worker:
            until(flujo, "one", "completed", *store)
            [status] = flujo("worker", "status", "--json", *store).json["workers"]
            assert status["alive"]
        assert worker.returncode == 0
        added = flujo("schedule", "add", "work.py:timed", "--cron", "0 0 1 1 *", "-i", "1", "--json", *store)
        assert added.code == 0
        assert "timed" in flujo("schedule", "list", *store).out
