"""`flujo runs`: runs are listed, shown, resumed and cancelled."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.cli.conftest import Shell


@pytest.fixture
def some(flujo: Shell) -> Shell:
    """Four runs: two that completed, one that failed, one that waits."""
    for name, target in (("a1", "shouted"), ("a2", "shouted"), ("b1", "fail"), ("c1", "letter")):
        flujo("run", f"shop.py:{target}", "--input", "x", "--run-id", name)
    return flujo


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["c1", "b1", "a2", "a1"]),
        (["--status", "completed"], ["a2", "a1"]),
        (["--status", "failed", "-s", "paused"], ["c1", "b1"]),
        (["--pipeline", "shouted"], ["a2", "a1"]),
        (["--prefix", "a"], ["a2", "a1"]),
        (["--limit", "2"], ["c1", "b1"]),
        (["--since", "1h"], ["c1", "b1", "a2", "a1"]),
        (["--until", "1h"], []),
        (["--since", "2999-01-01"], []),
    ],
)
def test_lists_are_filtered(words: list[str], found: list[str], some: Shell) -> None:
    assert [run["run_id"] for run in some("runs", "list", *words, "--json").json["runs"]] == found


def test_lists_come_in_pages(some: Shell) -> None:
    first = some("runs", "list", "--limit", "3", "--json").json
    second = some("runs", "list", "--limit", "3", "--after", first["next"], "--json").json
    assert [run["run_id"] for run in second["runs"]] == ["a1"]
    assert second["next"] == ""
    assert f"--after {first['next']}" in some("runs", "list", "--limit", "3").err


def test_a_list_for_people(some: Shell) -> None:
    lines = some("runs", "list").out.splitlines()
    assert lines[0].split() == ["RUN", "STATUS", "BEGAN", "TOOK", "PIPELINE"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["c1", "paused"],
        ["b1", "failed"],
        ["a2", "completed"],
        ["a1", "completed"],
    ]


def test_an_empty_list_says_so(some: Shell) -> None:
    told = some("runs", "list", "--prefix", "zzz")
    assert (told.code, told.out, told.err) == (0, "", "no run in flujo_ops.db is like that\n")


def test_a_run_is_shown_with_what_happened(some: Shell) -> None:
    some("approvals", "approve", "c1", "--actor", "ada", "--reason", "fine", "--resume")
    shown = some("runs", "show", "c1").out
    assert [line.split("  ")[0] for line in shown.splitlines()[:4]] == ["run", "pipeline", "target", "status"]
    told = [line.split(None, 2)[2] if line.startswith("+<") else line for line in shown.splitlines()]
    assert any(
        "answer" in line and "confirm" in line and "approve by ada (cli): fine" in line for line in told
    )
    assert any("run completed" in line and "sent: X" in line for line in told)


def test_a_failed_attempt_is_shown_with_its_error(some: Shell) -> None:
    (line,) = [line for line in some("runs", "show", "b1").out.splitlines() if "attempt failed" in line]
    assert line.endswith("1: ValueError: no x, gave up")


def test_a_run_is_shown_to_machines_with_its_whole_journal(some: Shell) -> None:
    document = some("runs", "show", "b1", "--json").json
    assert (document["status"], document["labels"]["target"].endswith("shop.py:fail")) == ("failed", True)
    assert [event["kind"] for event in document["journal"]] == snapshot(
        ["run.started", "step.attempt", "run.ended"]
    )


def test_a_long_run_is_shown_from_its_end(some: Shell) -> None:
    shown = some("runs", "show", "a1", "--limit", "1").out
    assert "run completed" in shown
    assert "earlier lines; --limit 0 shows all" in shown
    assert "earlier" not in some("runs", "show", "a1", "--limit", "0").out


def test_last_is_the_newest_run(some: Shell) -> None:
    assert some("runs", "show", "last", "--json").json["run_id"] == "c1"


@pytest.mark.parametrize(
    ("typed", "said"),
    [("a", "begins more than one run's id"), ("a3", "did you mean a2?"), ("zzz", "flujo runs list")],
)
def test_a_run_that_is_not_found(typed: str, said: str, some: Shell) -> None:
    told = some("runs", "show", typed)
    assert (told.code, said in told.err) == (2, True), told.err


def test_a_unique_beginning_is_enough(some: Shell) -> None:
    assert some("runs", "show", "b", "--json").json["run_id"] == "b1"


def test_resuming_a_run_that_waits_without_an_answer(some: Shell) -> None:
    told = some("runs", "resume", "c1")
    assert (told.code, "waits at confirm" in told.err) == (3, True)


def test_resuming_a_run_that_ended_gives_its_result(some: Shell) -> None:
    told = some("runs", "resume", "a1")
    assert (told.code, told.out, "has ended already" in told.err) == (0, "X\n", True)
    failed = some("runs", "resume", "b1", "--json")
    assert (failed.code, failed.error["code"]) == (1, "step_failed")


def test_a_run_is_found_again_with_its_pipeline_from_another_folder(some: Shell) -> None:
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    some("approvals", "answer", "c1", "--value", "hi")
    store = str(Path("flujo_ops.db").resolve())
    told = some.real("runs", "resume", "c1", "--store", store, "--quiet", cwd=elsewhere)
    assert (told.code, told.out) == (0, "sent: hi\n")


def test_another_target_may_be_named(some: Shell) -> None:
    some("approvals", "answer", "c1", "--value", "hi")
    Path("shop.py").rename("store.py")
    gone = some("runs", "resume", "c1")
    assert (gone.code, "there is no file" in gone.err) == (2, True)
    told = some("runs", "resume", "c1", "--target", "store.py:letter", "--quiet")
    assert (told.code, told.out) == (0, "sent: hi\n")


def test_another_pipeline_is_refused(some: Shell) -> None:
    told = some("runs", "resume", "c1", "--target", "shop.py:shouted", "--json")
    assert (told.code, told.error["code"]) == (5, "plan_changed")


def test_a_changed_pipeline_is_refused(some: Shell) -> None:
    shop = Path("shop.py")
    shop.write_text(
        shop.read_text().replace('name="confirm") >> send', 'name="confirm") >> shout.named("other")')
    )
    told = some("runs", "resume", "c1", "--json")
    assert (told.code, told.error["code"]) == (5, "plan_changed")


def test_a_run_that_was_not_begun_here_needs_a_target(flujo: Shell) -> None:
    Path("go.py").write_text("from shop import runner\nrunner.run('x', run_id='r1')\n")
    import subprocess
    import sys

    subprocess.run([sys.executable, "go.py"], check=True)
    told = flujo("runs", "resume", "r1", "--store", "own.db")
    assert (told.code, "--target file.py:object" in told.err) == (2, True)


def test_a_run_is_cancelled(some: Shell) -> None:
    told = some("runs", "cancel", "c1", "--reason", "no longer needed")
    assert (told.code, told.out, told.err) == (0, "", "cancelled: no longer needed  (run c1)\n")
    assert some("runs", "list", "--status", "cancelled", "--json").json["runs"][0]["run_id"] == "c1"
    again = some("runs", "cancel", "c1", "--json")
    assert (again.code, "ended already" in again.error["message"]) == (2, True)
