"""The command among other programs: interrupts, closed pipes, odd terminals."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import FLUJO, Shell

pytestmark = pytest.mark.e2e

SLEEPY = ["run", "shop.py:sleepy", "--input", "x", "--run-id", "r1"]


@contextmanager
def started(*words: str, env: dict[str, str] | None = None) -> Generator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [FLUJO, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_an_interrupt_leaves_a_run_that_goes_on(flujo: Shell) -> None:
    with started(*SLEEPY, "--store", "my.db") as process:
        assert process.stderr is not None
        while b"slow begins" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(10) == 130
    assert "To go on: flujo runs resume r1 --store my.db" in said
    assert "Traceback" not in said
    assert "interrupted" in flujo("runs", "list", "--store", "my.db").out
    assert flujo("runs", "show", "r1", "--store", "my.db").err == (
        "\nto go on: flujo runs resume r1 --store my.db\n"
    )
    Path("shop.py").write_text(Path("shop.py").read_text().replace("sleep(30)", "sleep(0)"))
    told = flujo.real("runs", "resume", "r1", "--store", "my.db")
    assert (told.code, told.out) == (0, "X\n")
    assert "shout" not in told.err.replace("shop", "")  # recorded: it did not run again
    assert "slow begins" in told.err


@pytest.mark.parametrize("words", [["runs", "list"], ["runs", "list", "--json"]])
def test_an_interrupt_while_the_command_is_loaded(words: list[str]) -> None:
    code = """
import sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == "flujo.cli.groups":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
from flujo.cli import main

main()
"""
    told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (told.returncode, "Traceback" in told.stderr) == (130, False)
    if "--json" in words:
        assert json.loads(told.stdout)["error"]["code"] == "interrupted"
    else:
        assert told.stderr == "interrupted\n"


def test_a_reader_that_leaves_does_not_stop_the_run(flujo: Shell) -> None:
    with started("run", "shop.py:shouted", "--input", "x", "--run-id", "r1", "--stream") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(20) == 0
    assert said == b""
    assert flujo("runs", "show", "r1", "--json").json["status"] == "completed"


@pytest.mark.parametrize(
    "words", [["runs", "list"], ["show", "shop.py:shouted"], ["check", "shop.py:shouted"]]
)
def test_a_closed_stdout_is_no_error(words: list[str], flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x")
    with started(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


@pytest.mark.parametrize(("closed", "printed"), [(">&-", ""), ("2>&-", "X\n"), (">&- 2>&-", "")])
def test_a_stream_that_was_never_open_is_no_error(closed: str, printed: str) -> None:
    told = in_shell(f'"$0" run shop.py:shouted x {closed}')
    assert (told.returncode, told.stdout, "Traceback" in told.stderr) == (0, printed, False)


def in_shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which `"$0"` is the command."""
    return subprocess.run(["/bin/sh", "-c", line, FLUJO], capture_output=True, text=True, check=False)


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@FULL
@pytest.mark.parametrize(
    "words", ["runs list", "runs list --json", "nonsense --json", "run shop.py:shouted x"]
)
def test_a_full_stdout_is_told(words: str, flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "x", "--run-id", "r1")
    told = in_shell(f'"$0" {words} >/dev/full')
    assert (told.returncode != 0, "Traceback" in told.stderr) == (True, False)
    assert ("stdout cannot be written: No space left" in told.stderr) is ("nonsense" not in words)
    assert "error: " in told.stderr


@FULL
def test_a_full_stderr_stops_no_run() -> None:
    told = in_shell('"$0" run shop.py:shouted x 2>/dev/full')
    assert (told.returncode, told.stdout) == (0, "X\n")


def test_a_terminal_without_unicode(flujo: Shell) -> None:
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    told = flujo.real("run", "shop.py:shouted", "--input", "caf\xe9", env=plain)
    assert (told.code, told.out) == (0, "CAF\\xc9\n")
    assert "+ shout " in told.err
    assert flujo.real("run", "shop.py:shouted", "-i", "\xe9", "--json", env=plain).json["output"] == "\xc9"
    assert "|- shout" in flujo.real("show", "shop.py:shouted", env=plain).out.replace("`", "|")


def watched(*words: str, rows: int = 24, columns: int = 60, env: dict[str, str] | None = None) -> str:
    """Call the command on a terminal of its own, and return all that it wrote there."""
    import fcntl
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover  # the child becomes the command
        os.environ.update({"TERM": "xterm-256color", **(env or {})})
        os.execv(str(FLUJO), ["flujo", *words])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    written = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other side was closed
            break
        if not part:
            break
        written += part
    os.waitpid(pid, 0)
    os.close(terminal)
    return written.decode()


SHORT = ["run", "shop.py:flaky", "--input", "x"]


def test_a_terminal_shows_a_live_tree() -> None:
    seen = watched(*SHORT)
    assert "\x1b[?25l" in seen  # the cursor is hidden while it is drawn
    assert seen.rstrip().rpartition("\x1b[?25h")[0] != ""  # and shown again
    assert "✓ " in seen
    assert "1 done" in seen


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colors_can_be_turned_off(name: str, value: str) -> None:
    seen = watched(*SHORT, env={name: value})
    assert "\x1b[3" not in seen
    assert "✓ " in seen


def test_a_narrow_and_low_terminal_is_not_overrun() -> None:
    import re

    seen = re.sub(
        r"\x1b\[[0-9;?]*[A-Za-z]", "", watched("run", "shop.py:both", "-i", "x", rows=6, columns=24)
    )
    tree = seen.partition("paused in")[0]
    assert all(len(line) <= 24 for line in tree.replace("\r", "\n").splitlines())


def test_a_journal_cannot_steer_the_terminal(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "\x1b[31mred\x07")
    shown = flujo("runs", "show", "last").out
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\x07" in shown.lower()


def test_completion_works() -> None:
    asked = {
        "_FLUJO_COMPLETE": "complete_bash",
        "COMP_WORDS": "flujo ru",
        "COMP_CWORD": "1",
    }
    told = subprocess.run([FLUJO], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["run", "runs"]
    # It asks which shell has started it: `true` keeps that shell from giving its place to the command.
    shown = ["bash", "-c", f"{FLUJO} --show-completion bash; true"]
    scripts = subprocess.run(shown, capture_output=True, text=True, check=False, env={**os.environ})
    assert "_FLUJO_COMPLETE=complete_bash" in scripts.stdout + scripts.stderr


def test_an_interrupt_is_told_to_machines() -> None:
    with started(*SLEEPY, "--json") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while b"slow begins" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        error = json.loads(process.stdout.read())["error"]
        assert process.wait(10) == 130
    assert (error["code"], error["fix"], error["run_id"]) == ("interrupted", "flujo runs resume r1", "r1")
