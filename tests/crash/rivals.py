"""Processes that want one and the same run: what they do, and how two of them are set off at once."""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from flujo import Decision, Flujo, HumanInput, SQLiteStore, Step, StepInfo, step
from flujo.errors import AnswerRejected, FlujoError, ResumeError, RunBusy, RunTaken, UnknownRequest
from tests.crash.witness import WITNESS, acts

RUN = "contested"
WON, BUSY, TAKEN, REFUSED, BROKEN = 0, 10, 11, 12, 1

Attempt = Callable[[Flujo[int, int]], Awaitable[Any]]


@step
async def first(number: int, info: StepInfo) -> int:
    acts(info)
    return number + 1


async def slow_agent(number: int, info: StepInfo) -> int:
    """Takes long enough for the other process to come in between."""
    acts(info)
    await asyncio.sleep(0.06)
    return number + 1


async def held_agent(number: int, info: StepInfo) -> int:
    """Takes until a file says that it may go on."""
    acts(info)
    here = Path(os.environ["CRASH_FOLDER"])
    (here / f"holding-{os.getpid()}").touch()
    await until((here / "go").exists)
    return number + 1


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    give_up = time.monotonic() + 30
    while not condition():  # it sends no event
        assert time.monotonic() < give_up
        await asyncio.sleep(0.002)


def status_of(child: int) -> int:
    """Wait for a process to end and return its status."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


slow = Step(slow_agent, name="slow")
asked = first >> HumanInput("how much?", schema=int, name="ask") >> slow >> first.named("last")
unasked = first >> slow >> first.named("last")
held = first >> Step(held_agent, name="held") >> first.named("last")


def runner(pipeline: Any, path: Path) -> Flujo[int, int]:
    return Flujo(pipeline, state=SQLiteStore(path, busy_timeout=20))


def rival(pipeline: Any, path: Path, deeds: Path, attempt: Attempt, ready: int | None = None) -> int:
    """Start a process that attempts something, once a pipe says so; return its id."""
    child = os.fork()
    if child:
        return child
    status = BROKEN
    try:
        WITNESS.write_to(deeds)
        if ready is not None:
            os.read(ready, 1)
        status = asyncio.run(attempted(pipeline, path, attempt))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


async def attempted(pipeline: Any, path: Path, attempt: Attempt) -> int:
    """Make an attempt and return what it came to; what is refused says why and what to do."""
    mine = runner(pipeline, path)
    try:
        await attempt(mine)
    except (RunBusy, RunTaken, ResumeError) as error:
        check_clear(error)
        match error:
            case RunBusy():
                return BUSY
            case RunTaken():
                return TAKEN
            case UnknownRequest() | AnswerRejected():
                return REFUSED
            case _ if "ended already" in error.message:
                return REFUSED
            case _:
                raise
    finally:
        await mine.close()
    return WON


def check_clear(error: FlujoError) -> None:
    assert RUN in error.message, error.message
    assert error.fix, f"{error.message}: what is to be done?"


def race(pipeline: Any, path: Path, attempts: list[Attempt]) -> list[int]:
    """Set several processes off at one moment and return what each came to."""
    ready, go = os.pipe()
    children = [
        rival(pipeline, path, path.with_suffix(f".deeds{place}"), attempt, ready)
        for place, attempt in enumerate(attempts)
    ]
    os.write(go, b"!" * len(children))
    statuses = [status_of(child) for child in children]
    os.close(ready)
    os.close(go)
    return statuses


async def resume(mine: Flujo[int, int]) -> Any:
    return await mine.resume_async(RUN)


async def take_over(mine: Flujo[int, int]) -> Any:
    return await mine.resume_async(RUN, take_over=True)


async def begin(mine: Flujo[int, int]) -> Any:
    return await mine.run_async(1, run_id=RUN)


async def answer_five(mine: Flujo[int, int]) -> Any:
    return await mine.resume_async(RUN, 5)


async def answer_six(mine: Flujo[int, int]) -> Any:
    return await mine.resume_async(RUN, 6)


async def record_six(mine: Flujo[int, int]) -> Any:
    return await mine.answer(RUN, Decision("edit", 6, actor="bob"))


async def cancel(mine: Flujo[int, int]) -> Any:
    return await mine.cancel(RUN, "enough")


if __name__ == "__main__":
    sys.exit("this is no program: tests/crash/test_owners.py uses it")
