"""Errors: one envelope, a remedy in each, the promised exit codes, and no traceback unless asked for."""

import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from flujo.cli.output import CodeExited, user_code
from tests.cli.conftest import Shell

WRONG = {
    "command": (["rnu"], 2, "did you mean run"),
    "command of a group": (["runs", "lst"], 2, "did you mean list"),
    "option": (["run", "shop.py:shouted", "--inptu", "x"], 2, "did you mean --input"),
    "no target": (["run"], 2, "flujo run --help"),
    "file": (["run", "shp.py:shouted"], 2, "did you mean shop.py"),
    "folder": (["run", "../:shouted"], 2, "name a file in it"),
    "module": (["run", "shpo:shouted"], 2, "did you mean shop:shouted"),
    "object": (["run", "shop.py:shoutd"], 2, "did you mean shop.py:shouted"),
    "no object": (["run", "shop.py"], 2, "choose from shop.py:"),
    "no pipeline": (["run", "shop.py:number"], 2, "name a Pipeline"),
    "a class": (["run", "shop.py:Order"], 2, "name a Pipeline"),
    "a function with arguments": (["run", "shop.py:needs"], 2, "put @step above it"),
    "an async function": (["run", "shop.py:later"], 2, "put @step above it"),
    "a function that makes nothing": (["run", "shop.py:nothing"], 2, "return a node"),
    "a function that raises": (["run", "shop.py:broken"], 5, "mend that line"),
    "a pipeline that does not fit": (["check", "shop.py:wrong"], 5, "flujo check"),
    "input": (["run", "shop.py:double", "--input", "many"], 2, "give JSON like 1"),
    "input that is no JSON": (
        ["run", "shop.py:pack", "--input", "{x}"],
        2,
        'give JSON like {"item": "text"}',
    ),
    "no input": (["run", "shop.py:double"], 2, "--input TEXT"),
    "both inputs": (["run", "shop.py:double", "-i", "1", "--input-file", "x"], 2, "give one of them"),
    "a file that is missing": (["run", "shop.py:double", "-i", "@none.json"], 2, "check the path"),
    "context": (["run", "shop.py:greet", "-i", "x", "--context", "{"], 2, "customer"),
    "a run": (["runs", "show", "0000", "--store", "old.db"], 2, "flujo runs list"),
    "a request": (["approvals", "approve", "0000", "--store", "old.db"], 2, "flujo runs list"),
    "a status": (["runs", "list", "--status", "pausd", "--store", "old.db"], 2, "did you mean 'paused'"),
    "a time": (["runs", "list", "--since", "yesterdy", "--store", "old.db"], 2, "2h"),
    "a time before the calendar": (["runs", "list", "--since", "9999999d", "--store", "old.db"], 2, "2h"),
    "a time that is no number": (
        ["store", "gc", "--older-than", "9" * 40 + "d", "--store", "old.db"],
        2,
        "2h",
    ),
    "a priority": (["run", "shop.py:double", "1", "-d", "--priority", "9" * 20], 2, "flujo run --help"),
    "durability": (["run", "shop.py:double", "-i", "1", "--durability", "snyc"], 2, "did you mean 'sync'"),
    "a format": (["show", "shop.py:shouted", "--format", "svgg"], 2, "svg"),
    "a format as an option": (["show", "shop.py:shouted", "--mermaid"], 2, "did you mean --format mermaid?"),
    "a missing file": (["run", "shop.py:pack", "order.json"], 2, "--input order.json"),
    "two inputs": (["run", "shop.py:pack", "-", "--input", "x"], 2, "give one of them"),
    "code that exits": (["run", "shop.py:leaves", "-i", "x"], 5, "raise an error"),
    "no store": (["runs", "list"], 1, "run a pipeline first"),
    "a step that fails": (["run", "shop.py:fail", "-i", "x"], 1, "mend the cause"),
    "a store in no folder": (
        ["run", "shop.py:shouted", "-i", "x", "--store", "no/x.db"],
        1,
        "make the directory",
    ),
    "a word that is no UTF-8": (["run", "shop.py:shouted", "bad\udcff"], 2, "write it in UTF-8"),
    "a run's name that is no UTF-8": (["runs", "show", "bad\udcff"], 2, "write it in UTF-8"),
    "a runner's store": (["run", "shop.py:runner", "-i", "x", "--store", "x.db"], 2, "leave --store out"),
}


@pytest.mark.parametrize(("words", "code", "fix"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_with_its_remedy(words: list[str], code: int, fix: str, flujo: Shell) -> None:
    if "old.db" in words:
        assert flujo("run", "shop.py:shouted", "--input", "x", "--store", "old.db").code == 0
    told = flujo(*words)
    assert told.code == code, told
    assert told.out == ""
    assert fix in told.err
    assert "To fix:" in told.err
    assert "Traceback" not in told.err
    if words[0] == "show":
        return  # --json is a format of its own there
    machine = flujo(*words, "--json")
    assert machine.code == code
    assert set(machine.error) >= {"code", "message", "fix"}
    assert fix in machine.error["fix"]


def test_an_error_for_people(flujo: Shell) -> None:
    assert flujo("check", "shop.py:wrong").err == snapshot("""\
error: the pipeline has 1 problem:
  1. double: it takes int, but is given str
      To fix: put a step between that converts, or change one of the two annotations
  To fix: mend what is listed, then run `flujo check` again
""")


def test_an_error_for_machines(flujo: Shell) -> None:
    assert flujo("check", "shop.py:wrong", "--json").json == snapshot(
        {
            "error": {
                "code": "plan",
                "message": """\
the pipeline has 1 problem:
  1. double: it takes int, but is given str
      To fix: put a step between that converts, or change one of the two annotations\
""",
                "fix": "mend what is listed, then run `flujo check` again",
                "problems": [
                    {
                        "address": "double",
                        "message": "it takes int, but is given str",
                        "fix": "put a step between that converts, or change one of the two annotations",
                    }
                ],
            }
        }
    )


def test_a_failing_step_names_its_place_and_cause(flujo: Shell) -> None:
    failed = flujo("run", "shop.py:fail", "--input", "luck", "--json")
    assert failed.code == 1
    assert failed.json["status"] == "failed"
    assert failed.error == snapshot(
        {
            "code": "step_failed",
            "message": "step 'fail' (attempt 1): ValueError: no luck",
            "fix": "mend the cause and run it again; --trace shows where it was raised",
            "step": "fail",
            "address": "fail",
            "attempt": 1,
            "cause": "ValueError: no luck",
        }
    )


@pytest.mark.parametrize("words", [["--trace"], []])
def test_a_traceback_is_shown_when_asked_for(words: list[str], flujo: Shell) -> None:
    told = flujo("check", "shop.py:broken", *words)
    assert told.code == 5
    assert ("RuntimeError: cannot make it" in told.err and "Traceback" in told.err) is bool(words)


def test_the_setting_asks_for_tracebacks_as_well(flujo: Shell) -> None:
    assert "Traceback" in flujo("check", "shop.py:broken", env={"FLUJO_TRACE": "1"}).err


def test_a_failed_run_shows_where_it_was_raised(flujo: Shell) -> None:
    assert "in fail" in flujo("run", "shop.py:fail", "--input", "x", "--trace").err


def test_conflicting_inputs_are_named(flujo: Shell) -> None:
    told = flujo("run", "shop.py:double", "1", "--input", "2", "--input-file", "x")
    assert told.err.startswith("error: INPUT, --input and --input-file were given\n")


@pytest.mark.parametrize("words", [["check"], ["show"], ["run", "--input", "x"]])
def test_a_module_that_exits_is_an_error_of_its_own(words: list[str], flujo: Shell) -> None:
    Path("gone.py").write_text("import sys\nsys.exit(0)\n")
    for target in ("gone.py:x", "gone:x"):
        told = flujo.real(words[0], target, *words[1:])
        assert told.code == 5, told
        assert "cannot be loaded: it calls sys.exit(0)" in told.err
        assert "gone.py, line 2" in told.err


@pytest.mark.parametrize("target", ["exits", "exits_sync", "exits_aside"])
def test_a_step_never_chooses_the_exit_code(target: str, flujo: Shell) -> None:
    for _ in range(2):
        told = flujo.real("run", f"shop.py:{target}", "--input", "x", "--json")
        assert told.code == 1, told
        assert "exit" in str(told.error).lower()


@pytest.mark.parametrize("group", [[], ["runs"], ["approvals"], ["audit"], ["config"]])
def test_a_group_alone_prints_its_help(group: list[str], flujo: Shell) -> None:
    told = flujo(*group)
    assert told.code == 0
    assert told.out.startswith("Usage: flujo")


def test_the_version(flujo: Shell) -> None:
    assert flujo("--version").out.startswith("flujo ")


def test_code_that_is_not_ours_cannot_end_the_command() -> None:
    with pytest.raises(CodeExited, match=r"the pipeline's code calls sys.exit\(3\)"), user_code():
        sys.exit(3)
