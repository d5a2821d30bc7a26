"""Counts what one step costs in function calls, which no noise of a busy machine can change.

A pipeline of equal steps is run; the first and the last step of a stretch open and close the count, so that
what a run costs once stays outside. Calls are counted as cProfile counts them (of C functions too, and each
time a coroutine goes on), but in every thread, since a store writes in one of its own.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

from flujo import Flujo, Pipeline, Quota, SQLiteStore, Step

PACKAGE = Path(__file__).parents[2] / "src" / "flujo"


@dataclass
class Count:
    """What happened between two steps.

    Args:
        package: The folder of the functions that are ours.
    """

    package: Path
    open: bool = False
    calls: int = 0
    code: dict[int, CodeType] = field(
        default_factory=dict[int, CodeType]
    )  # equal code may stand in two files

    def see(self, frame: FrameType, event: str, argument: object) -> None:
        """Count one event of the interpreter, as `sys.setprofile` tells it."""
        if not self.open:
            return
        if event == "call":
            self.calls += 1
            self.code[id(frame.f_code)] = frame.f_code
        elif event == "c_call":
            self.calls += 1

    @property
    def files(self) -> list[str]:
        """The files of ours that were passed."""
        return sorted({name.partition(":")[0] for name in self.functions})

    @property
    def functions(self) -> list[str]:
        """The functions of ours that were passed, one each however often it was called."""
        found = {
            f"{Path(code.co_filename).relative_to(self.package)}:{code.co_firstlineno} {code.co_qualname}"
            for code in self.code.values()
            if Path(code.co_filename).is_relative_to(self.package)
        }
        return sorted(found)


def count(
    steps: int,
    *,
    store: Path | None = None,
    work: Callable[[int], int] = int,
    package: Path = PACKAGE,
    quota: Quota | None = None,
) -> Count:
    """Run a chain that is longer than `steps`, and count what lies between so many of its steps.

    Args:
        steps: How many steps the count spans: from one step's work to the work of the one so much later.
        store: The SQLite file of a durable run; in memory without it.
        work: What each step does.
        package: The folder of the functions that are ours.
        quota: What holds for the run.
    """
    seen = Count(package)
    first, last = 20, 20 + steps

    async def add(number: int) -> int:
        if number in (first, last):
            seen.open = number == first
            gc.disable() if seen.open else gc.enable()  # a collection calls whoever listens to it
        work(number)
        return number + 1

    chain = Pipeline(*(Step(add, name=f"add_{at}") for at in range(last + 20)))

    async def run() -> Any:
        recorded = None if store is None else SQLiteStore(store)
        async with Flujo(chain, state=recorded, quota=quota) as runner:
            return (await runner.run_async(0)).unwrap()

    before, before_threads = sys.getprofile(), threading.getprofile()
    threading.setprofile(seen.see)
    sys.setprofile(seen.see)
    try:
        with patch("flujo.engine.gate._BREATH", float("inf")):  # when others are let on is a matter of time
            given = asyncio.run(run())
    finally:
        sys.setprofile(before)
        threading.setprofile(before_threads)
    assert given == last + 20
    assert not seen.open
    return seen
