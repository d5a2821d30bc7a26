"""What the library leaves alone: files, environment, logging, and the interpreter's way out."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NODES = """
from flujo import *
import asyncio, sys, threading, time

@step
async def add(x: int) -> int:
    return x + 1

@step
def threaded(x: int) -> int:
    return 2 * x

class Notes(PipelineContext):
    line: str = ""

async def note(x: int, notes: Notes, info: StepInfo) -> int:
    notes.line = "seen"
    return await info.do("threaded", threaded.agent, x)

EVERYTHING = (
    add >> threaded >> Step(note) >> Parallel(add, threaded) >> Step(sum, name="sum1")
    >> Map(add, over=range) >> Step(sum, name="sum2")
    >> Branch(on=bool, cases={True: add}, default=threaded)
    >> Loop(add, until=lambda x: True, max_turns=2) >> SubPipeline(add, name="sub")
)
"""


def python(code: str, folder: Path, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program in an empty folder with an empty environment.

    That a callback took long on a busy machine, which the development mode tells, is left out.
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        cwd=folder,
        env={"HOME": str(folder), "PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    done.stderr = re.sub(r"^Executing <.* took \d+\.\d+ seconds\n", "", done.stderr, flags=re.MULTILINE)
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".env").write_text("FLUJO_MODEL=secret:from-a-file\nFLUJO_STATE=stolen.db\n")
    (tmp_path / "flujo.toml").write_text("state = 'from-toml.db'\n")
    return tmp_path


def test_a_run_without_a_store_leaves_everything_as_it_was(folder: Path) -> None:
    done = python(
        NODES
        + """
import builtins, io, logging, os, signal, warnings
before = dict(os.environ), logging.root.handlers[:], logging.root.level, warnings.filters[:], sys.excepthook
handlers = signal.getsignal(signal.SIGINT)
opened = []

def watch(event, args):
    if event == "open" and isinstance(args[0], str):
        writes = set(args[1] or "") & set("wax+") or (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes or args[0].endswith((".env", ".toml", ".ini", ".db")):
            opened.append(args[0])
    if event in ("socket.connect", "subprocess.Popen", "os.system"):
        opened.append(event)

sys.addaudithook(watch)
result = Flujo(EVERYTHING).run(3)
assert result.success, result.error
assert opened == [], opened
after = dict(os.environ), logging.root.handlers[:], logging.root.level, warnings.filters[:], sys.excepthook
assert before == after
assert signal.getsignal(signal.SIGINT) is handlers
assert not any(name.startswith("flujo") and logger.handlers for name, logger in
               logging.Logger.manager.loggerDict.items() if isinstance(logger, logging.Logger))
print(result.output)
""",
        folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().isdigit()
    assert sorted(path.name for path in folder.iterdir()) == [".env", "flujo.toml"]


def test_importing_opens_nothing_but_code(folder: Path) -> None:
    done = python(
        """
        import sys
        opened = []
        def watch(event, args):
            if event == "open" and isinstance(args[0], str) and not args[0].endswith((".py", ".pyc", ".so")):
                opened.append(args[0])
        import pydantic, asyncio, sqlite3  # what they open is theirs
        sys.addaudithook(watch)
        import flujo
        for name in flujo.__all__:
            getattr(flujo, name)
        code = ("site-packages", ".zip", "/proc", sys.base_prefix)
        print([path for path in opened if not any(part in path for part in code)])
        """,
        folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "[]"


class TestTheWayOut:
    """The interpreter exits though the user closed nothing."""

    def test_with_a_store_left_open(self, folder: Path) -> None:
        done = python(
            NODES
            + """
runner = Flujo(EVERYTHING >> HumanInput("?", schema=int), state="flujo_ops.db")
print(runner.run(3, run_id="r1").status)
""",
            folder,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "paused\n", "")
        done = python(
            NODES
            + """
runner = Flujo(EVERYTHING >> HumanInput("?", schema=int), state="flujo_ops.db")
print(runner.resume("r1", 5).output)
""",
            folder,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "")

    def test_with_a_step_blocked_in_a_thread_after_its_time_limit(self, folder: Path) -> None:
        done = python(
            NODES
            + """
def blocks(x: int) -> int:
    threading.Event().wait()
    return x

result = Flujo(Step(blocks, timeout=0.01), state="flujo_ops.db").run(1)
print(type(result.error).__name__)
""",
            folder,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "StepTimedOut\n", "")

    def test_with_a_step_blocked_in_a_thread_after_a_cancel(self, folder: Path) -> None:
        done = python(
            NODES
            + """
begun = threading.Event()

def blocks(x: int) -> int:
    begun.set()
    threading.Event().wait()
    return x

async def main() -> None:
    runner = Flujo(Step(blocks))
    task = asyncio.ensure_future(runner.run_async(1, run_id="r1"))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    print((await runner.cancel("r1")).status, (await task).status)

asyncio.run(main())
""",
            folder,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "cancelled cancelled\n", "")

    def test_after_an_interruption_the_run_can_go_on(self, folder: Path) -> None:
        code = (
            NODES
            + """
import os, signal

async def interrupts(x: int) -> int:
    if not os.path.exists("again"):
        open("again", "w").close()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
    return x

runner = Flujo(add >> Step(interrupts), state="flujo_ops.db")
try:
    result = runner.run(1, run_id="r1")
    print(result.output, [step.reused for step in result.steps])
except KeyboardInterrupt:
    print("interrupted")
"""
        )
        assert python(code, folder).stdout == "interrupted\n"
        assert python(code, folder).stdout == "2 [True, False]\n"

    def test_from_a_thread_of_the_users(self, folder: Path) -> None:
        done = python(
            NODES
            + """
out = []
runner = Flujo(EVERYTHING, state="flujo_ops.db")
threads = [threading.Thread(target=lambda: out.append(runner.run(3).output)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(out), len(set(out)))
""",
            folder,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "4 1\n", "")
