"""A folder with pipelines, and two ways to call the command in it: in this process, and as users do."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from flujo.cli.app import app
from tests.cli.outcome import Outcome

FLUJO = Path(sys.executable).parent / "flujo"

PIPELINES = """\
import asyncio
import sys
from flujo import Flujo, HumanInput, Parallel, PipelineContext, Retry, StepInfo, StopPipeline, step
from pydantic import BaseModel

class Order(BaseModel):
    item: str
    amount: int = 1

class Shop(PipelineContext):
    customer: str = "nobody"

@step
async def double(number: int) -> int:
    return 2 * number

@step
async def shout(text: str) -> str:
    return text.upper()

@step
async def pack(order: Order) -> str:
    return f"{order.amount} x {order.item}"

@step
async def greet(name: str, context: Shop) -> str:
    return f"{name} greets {context.customer}"

@step
def loud(text: str) -> str:
    print("printed by a step")
    return text

@step
async def fail(text: str) -> str:
    raise ValueError(f"no {text}")

@step
async def stop(text: str) -> str:
    raise StopPipeline("enough")

@step(retry=Retry(3, backoff=0))
async def flaky(text: str, info: StepInfo) -> str:
    if info.attempt < 2:
        raise RuntimeError("not yet")
    return text

@step
async def send(letter: str) -> str:
    return f"sent: {letter}"

@step
async def buy(order: Order) -> str:
    return f"bought {order.amount} {order.item}"

@step
async def want(item: str) -> Order:
    return Order(item=item)

@step
async def slow(text: str) -> str:
    print("slow begins", file=sys.stderr, flush=True)
    await asyncio.sleep(30)
    return text

@step
async def exits(text: str) -> str:
    sys.exit(3)

@step
def exits_sync(text: str) -> str:
    raise SystemExit(3)

def leaves():
    sys.exit("I leave")

shouted = (shout >> shout.named("again")).named("shouted")
letter = (shout >> HumanInput("Send it?", schema=str, name="confirm") >> send).named("letter")
order = (want >> HumanInput("Buy it?", schema=Order, name="confirm") >> buy).named("order")
both = (shout >> Parallel(a=HumanInput("a?", name="ask_a"), b=HumanInput("b?", name="ask_b"))).named("both")
sleepy = (shout >> slow).named("sleepy")
exits_aside = Parallel(a=shout, b=exits)
wrong = shout >> double
runner = Flujo(letter, state="own.db")
unkept = Flujo(letter)
number = 17

def made():
    return shouted

def nothing():
    return None

def broken():
    raise RuntimeError("cannot make it")

def needs(something):
    return something

async def later():
    return shouted
"""


commands = cache(get_command)
"""The commands, made once: making them takes longer than most of them."""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `shop.py`, which is also the current one; what loading it leaves behind is removed."""
    (tmp_path / "shop.py").write_text(PIPELINES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", commands)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith(("flujo.", "rich.", "pydantic")):
            del sys.modules[name]


class Shell:
    """Calls the command."""

    def __call__(
        self, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> Outcome:
        """Call it in this process."""
        result = CliRunner(env=env or {}).invoke(app, list(words), input=stdin)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def real(
        self,
        *words: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Outcome:
        """Call the installed command in a process of its own."""
        outcome = subprocess.run(
            [FLUJO, *words],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL if stdin is None else None,
            input=stdin,
        )
        return Outcome(outcome.returncode, outcome.stdout.decode(), outcome.stderr.decode())


@pytest.fixture
def flujo() -> Shell:
    return Shell()
