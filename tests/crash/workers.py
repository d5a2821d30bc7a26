"""A pipeline whose steps write down that they begin, and a process that serves it as a worker.

Run as ``python -m tests.crash.workers PLACE DEEDS``; SIGTERM stops it, SIGKILL is what it is for.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

from flujo import Flujo, Loop, Parallel, Sleep, StepInfo, step
from flujo.worker import Worker

_deeds = -1


def begins(info: StepInfo) -> str:
    """Write down that a step begins, in one write, and return the name of this execution."""
    name = uuid4().hex
    os.write(_deeds, f"{info.run_id} {info.address} {name}\n".encode())
    return name


@step
async def prepare(number: int, info: StepInfo) -> list[str]:
    name = begins(info)
    await asyncio.sleep(0.05)
    return [name]


@step
async def turn(names: list[str], info: StepInfo) -> list[str]:
    name = begins(info)
    await asyncio.sleep(0.05)
    return [*names, name]


@step(name="join")
async def join(sides: dict[str, list[str]], info: StepInfo) -> list[str]:
    return [*sides["left"], *sides["right"], begins(info)]


@step(effects="at_most_once")
async def once(names: list[str], info: StepInfo) -> list[str]:
    name = begins(info)
    await asyncio.sleep(0.005)
    return [*names, name]


pipeline = (
    prepare
    >> Loop(turn, until=lambda names: len(names) >= 4, max_turns=3)
    >> Parallel(left=turn.named("left"), right=turn.named("right"))
    >> join
    >> Sleep(timedelta(milliseconds=50))
    >> once
    >> turn.named("last")
).named("work")

EXECUTIONS = 1 + 3 + 2 + 1 + 1 + 1


async def serve(place: str) -> None:
    runner: Flujo[Any, Any] = Flujo(pipeline, state=place)
    worker = Worker([runner], concurrency=4, poll=0.05, grace=2.0, stalled_after=3.0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()
    await runner.close()


if __name__ == "__main__":
    _deeds = os.open(sys.argv[2], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    asyncio.run(serve(sys.argv[1]))
