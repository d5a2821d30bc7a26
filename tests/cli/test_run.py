"""`flujo run`: where the input comes from, what is printed where, and what the command exits with."""

import json
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.cli.conftest import Shell

QUIET = "--quiet"


@pytest.mark.parametrize(
    ("target", "given", "output"),
    [
        ("double", "21", "42"),
        ("double", " 21\n", "42"),
        ("shouted", "hello", "HELLO"),
        ("shouted", '"hello"', "HELLO"),
        ("shouted", "17", "17"),
        ("shouted", '{"a": 1}', '{"A": 1}'),
        ("pack", '{"item": "tea", "amount": 2}', "2 x tea"),
        ("made", "x", "X"),
    ],
)
def test_the_input_is_json_of_the_pipelines_type_or_text(
    target: str, given: str, output: str, flujo: Shell
) -> None:
    assert flujo("run", f"shop.py:{target}", "--input", given, QUIET).out == f"{output}\n"


@pytest.mark.parametrize("detach", [False, True])
def test_what_the_input_holds_is_judged(detach: bool, flujo: Shell) -> None:
    code = "from flujo import Step\nasync def send(text: str) -> str:\n    return text\n"
    Path("out.py").write_text(f"{code}sender = Step(send, cleared_for=['untrusted'])\n")
    words = ["--input-label", "phi", "--input-label", "untrusted", "--run-id", "r1"]
    told = flujo("run", "out.py:sender", "x", *words, *(["--detach"] if detach else []))
    if detach:
        told = flujo("runs", "resume", "r1")
    assert (told.code, told.out) == (1, "")
    assert "is not cleared for 'phi'" in told.err
    assert flujo("run", "out.py:sender", "x", "--input-label", "untrusted", QUIET).out == "x\n"


def test_the_input_may_come_from_a_file(flujo: Shell) -> None:
    Path("in.json").write_text('{"item": "tea"}\n')
    assert flujo("run", "shop.py:pack", "--input-file", "in.json", QUIET).out == "1 x tea\n"
    assert flujo("run", "shop.py:pack", "--input", "@in.json", QUIET).out == "1 x tea\n"


def test_the_input_may_come_from_a_pipe(flujo: Shell) -> None:
    assert flujo("run", "shop.py:shouted", "--input", "-", QUIET, stdin="hello\n").out == "HELLO\n"
    assert flujo.real("run", "shop.py:shouted", QUIET, stdin=b"hello\n").out == "HELLO\n"


def test_the_input_may_stand_after_the_target(flujo: Shell) -> None:
    Path("in.json").write_text('{"item": "tea"}\n')
    assert flujo("run", "shop.py:pack", "in.json", QUIET).out == "1 x tea\n"
    assert flujo("run", "shop.py:pack", "@in.json", QUIET).out == "1 x tea\n"
    assert flujo("run", "shop.py:pack", "-", QUIET, stdin='{"item": "tea"}').out == "1 x tea\n"
    assert flujo("run", "shop.py:pack", '{"item": "tea"}', QUIET).out == "1 x tea\n"
    assert flujo("run", "shop.py:shouted", "hello there", QUIET).out == "HELLO THERE\n"
    assert flujo("run", "shop.py:shouted", "x" * 5000, QUIET).out == "X" * 5000 + "\n"


def test_a_run_that_was_stopped_says_why(flujo: Shell) -> None:
    assert flujo("run", "shop.py:stop", "--input", "x").err.splitlines()[-1].startswith("stopped: enough")


def test_text_that_is_no_utf8_is_refused(flujo: Shell) -> None:
    told = flujo.real("run", "shop.py:shouted", stdin=b"caf\xe9")
    assert (told.code, "no UTF-8 text (byte 3 is 0xe9)" in told.err) == (2, True)


def test_the_context_is_json(flujo: Shell) -> None:
    given = ["--context", '{"customer": "Ada"}', QUIET]
    assert flujo("run", "shop.py:greet", "-i", "Bob", *given).out == "Bob greets Ada\n"


@pytest.mark.parametrize("target", ["shop:shouted", "shop.py:shouted", "./shop.py:shouted"])
def test_a_target_is_a_module_or_a_file(target: str, flujo: Shell) -> None:
    assert flujo.real("run", target, "--input", "x", QUIET).out == "X\n"


def test_a_target_may_have_a_name_of_its_own(flujo: Shell) -> None:
    Path("flujo.toml").write_text('[targets]\nshouting = "shop.py:shouted"\n')
    Path("below").mkdir()
    assert flujo.real("run", "shouting", "-i", "x", QUIET, cwd=Path("below")).out == "X\n"
    assert "did you mean shouting?" in flujo("run", "shoutin", "-i", "x").err


def test_progress_goes_to_stderr(flujo: Shell) -> None:
    told = flujo("run", "shop.py:flaky", "--input", "x", "--run-id", "r1")
    assert told.out == "x\n"
    assert [line.partition("  (")[0].partition(" in ")[0] for line in told.err.splitlines()] == [
        "▸ flaky  attempt 1 failed: RuntimeError: not yet",
        *[line for line in told.err.splitlines() if line.startswith("✓ flaky")],
        "completed",
    ]
    assert "2 attempts" in told.err
    assert "(run r1)" in told.err


def test_what_steps_print_does_not_reach_stdout(flujo: Shell) -> None:
    told = flujo("run", "shop.py:loud", "--input", "x", "--json")
    assert told.json["output"] == "x"
    assert told.err == "printed by a step\n"


NOISY = """\
import atexit, logging, os, subprocess, sys, threading, time
from typing import Annotated
from pydantic import AfterValidator, BaseModel, field_serializer
from flujo import step

print("import: print")
sys.stdout.write("import: write\\n")
os.write(1, b"import: descriptor\\n")
logging.basicConfig(stream=sys.stdout)
atexit.register(print, "exit: print")

def loud(text: str) -> str:
    print("validator: print")
    return text

class Said(BaseModel):
    text: str

    @field_serializer("text")
    def tell(self, text: str) -> str:
        print("serializer: print")
        return text

def late() -> None:
    time.sleep(0.3)
    print("thread: print")

@step
async def awaited(text: Annotated[str, AfterValidator(loud)]) -> str:
    print("async: print")
    sys.stdout.write("async: write\\n")
    sys.__stdout__.write("async: the first stream\\n")
    logging.warning("async: log")
    threading.Thread(target=late).start()
    return text

@step
def threaded(text: str) -> Said:
    print("sync: print")
    sys.stdout.write("sync: write\\n")
    subprocess.run([sys.executable, "-c", "print('sync: child')"], check=True)
    return Said(text=text)

talk = awaited >> threaded
"""
SAID = [
    *("import: print", "import: write", "import: descriptor", "validator: print", "exit: print"),
    *("async: print", "async: write", "async: the first stream", "async: log"),
    *("sync: print", "sync: write", "sync: child", "serializer: print", "thread: print"),
]


@pytest.mark.parametrize("form", ["--json", "--quiet", "--stream"])
def test_stdout_is_data_only_whatever_steps_write(form: str, flujo: Shell) -> None:
    Path("noisy.py").write_text(NOISY)
    told = flujo.real("run", "noisy.py:talk", "--input", "x", form)
    assert told.code == 0, told
    data = [json.loads(line) for line in told.out.splitlines()][-1] if form == "--stream" else told.json
    assert (data if form == "--quiet" else data["output"]) == {"text": "x"}
    assert [word for word in SAID if word not in told.err] == []


def test_the_result_as_one_document(flujo: Shell) -> None:
    document = flujo("run", "shop.py:double", "--input", "4", "--json", "--run-id", "r1").json
    assert document["steps"][0].pop("seconds") < 1
    assert document == snapshot(
        {
            "run_id": "r1",
            "status": "completed",
            "output": 8,
            "steps": [
                {
                    "address": "double",
                    "name": "double",
                    "output": 8,
                    "attempts": 1,
                    "usage": {"requests": 0, "input_tokens": 0, "output_tokens": 0, "cost": "0"},
                    "reused": False,
                    "cached": False,
                }
            ],
            "usage": {"requests": 0, "input_tokens": 0, "output_tokens": 0, "cost": "0"},
            "pending": [],
        }
    )


def test_the_result_as_lines(flujo: Shell) -> None:
    lines = [
        json.loads(line) for line in flujo("run", "shop.py:flaky", "-i", "x", "--stream").out.splitlines()
    ]
    assert [line["event"] for line in lines] == snapshot(
        ["run.started", "step.started", "step.retrying", "step.completed", "finished"]
    )
    assert lines[-1]["output"] == "x"


@pytest.mark.parametrize(
    ("target", "code", "status"),
    [
        ("shouted", 0, "completed"),
        ("fail", 1, "failed"),
        ("stop", 0, "stopped"),
        ("letter", 3, "paused"),
    ],
)
def test_the_exit_code_says_how_the_run_stands(target: str, code: int, status: str, flujo: Shell) -> None:
    told = flujo("run", f"shop.py:{target}", "--input", "x", "--json")
    assert (told.code, told.json["status"]) == (code, status)


def test_a_run_that_waits_says_how_to_go_on(flujo: Shell) -> None:
    told = flujo("run", "shop.py:letter", "--input", "x", "--run-id", "r1", "--store", "my runs.db", QUIET)
    assert told.err == snapshot("""\
waits at confirm: Send it?
  flujo approvals approve r1 --store 'my runs.db' --resume
  flujo approvals answer r1 --value '"text"' --store 'my runs.db' --resume
  flujo approvals deny r1 --reason '…' --store 'my runs.db' --resume
""")


@pytest.mark.parametrize("detached", [[], ["--detach"]])
def test_a_name_that_is_empty_is_refused(detached: list[str], flujo: Shell) -> None:
    told = flujo("run", "shop.py:double", "1", "--run-id", "", *detached)  # as where a variable is not set
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("error: run_id='' cannot name a run\n")


def test_the_same_name_twice_is_one_run(flujo: Shell) -> None:
    assert flujo("run", "shop.py:shouted", "-i", "x", "--run-id", "r1", QUIET).out == "X\n"
    assert flujo("run", "shop.py:shouted", "-i", "x", "--run-id", "r1", QUIET).out == "X\n"
    assert len(flujo("runs", "list", "--json").json["runs"]) == 1
    other = flujo("run", "shop.py:shouted", "-i", "y", "--run-id", "r1", "--json")
    assert (other.code, other.error["code"]) == (2, "run_conflict")


def test_a_runner_keeps_its_own_store(flujo: Shell) -> None:
    told = flujo("run", "shop.py:runner", "--input", "x", "--run-id", "r1")
    assert (told.code, Path("own.db").exists(), Path("flujo_ops.db").exists()) == (3, True, False)
    assert "flujo approvals approve r1 --store" in told.err
    resumed = flujo("approvals", "approve", "r1", "--store", "own.db", "--resume", QUIET)
    assert (resumed.code, resumed.out) == (0, "sent: X\n")


def test_a_runner_without_a_store_says_that_nothing_is_recorded(flujo: Shell) -> None:
    assert "nothing is recorded" in flujo("run", "shop.py:unkept", "--input", "x").err
    assert list(Path().glob("*.db")) == []


def test_a_syntax_error_is_told_with_its_line(flujo: Shell) -> None:
    Path("bad.py").write_text("x = 1\nx = = 2\n")
    told = flujo("check", "bad.py:x")
    assert (told.code, "SyntaxError" in told.err, "line 2" in told.err) == (5, True, True)


def test_a_missing_package_of_the_target_is_named(flujo: Shell) -> None:
    Path("bad.py").write_text("import nowhere_at_all\n")
    told = flujo("check", "bad.py:x")
    assert (told.code, "nowhere_at_all" in told.err, "install what is missing" in told.err) == (5, True, True)


def test_an_output_may_be_any_json(flujo: Shell) -> None:
    assert json.loads(flujo("run", "shop.py:want", "--input", "tea", QUIET).out) == {
        "item": "tea",
        "amount": 1,
    }
