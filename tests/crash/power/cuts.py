"""Cuts the power of a simulated disk in the middle of runs, has others resume what is left, and judges.

    python -m tests.crash.power.cuts FOLDER SEED CUTS [FULL] [NORMAL] [LIES]

`LIES` is a disk that answers a sync without doing it. Prints what the cuts came to.
"""

import asyncio
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, cast, get_args

import pytest
from pydantic import Field

from flujo import (
    Append,
    Flujo,
    HumanInput,
    Loop,
    Map,
    PipelineContext,
    PipelineResult,
    SQLiteStore,
    StepInfo,
    step,
)
from flujo.engine.result import Finished, RunEvent, StepCompleted
from flujo.errors import FlujoError
from flujo.journal import sqlite_file
from flujo.journal.sqlite_file import Synchronous
from flujo.journal.verify import verify_all
from tests.crash.power.disk import Disk, Entry, Sync, Told
from tests.crash.power.recording import recorded

Mode = Literal["FULL", "NORMAL", "LIES"]

STORE = "flujo_ops.db"
RUNS = {f"run-{number}": number for number in range(4)}
CUTS_PER_LIFE = 12
# So few pages make SQLite fold its log into the database in the middle of a life, as a rush does.
LOG_PAGES = (20, 60, 4096)


class Ledger(PipelineContext):
    """What the steps of a run share."""

    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])


ran: list[tuple[str, str]] = []
"""The steps that really ran, by run and address."""


@step
async def add(number: int, context: Ledger, info: StepInfo) -> int:
    run, _, address = info.idempotency_key.partition(":")
    ran.append((run, address))
    context.lines.append(f"{address} " + "x" * (number * 7919 % 9000))
    await asyncio.sleep(0)
    return number + 1


@step
async def together(numbers: list[int], info: StepInfo) -> int:
    ran.append((info.idempotency_key.partition(":")[0], info.address))
    return sum(numbers)


def three(number: int) -> list[int]:
    return [number, number + 1, number + 2]


def large(number: int) -> bool:
    return number % 4 == 0


pipeline = (
    add
    >> add.named("again")
    >> Map(add.named("each"), over=three)
    >> together
    >> Loop(add.named("turn"), until=large, max_turns=4)
    >> HumanInput("go on with?", schema=int, name="ask")
    >> add.named("last")
)

ANSWER = 41


async def carry(runner: Flujo[int, int], told: Callable[[Told], None]) -> dict[str, int | None]:
    """Carry all runs to their ends at once, from wherever they stand; return what they gave."""
    outputs: dict[str, int | None] = {}

    async def one(run: str) -> None:
        assert runner.store is not None
        known = await runner.store.run(run)
        begins = known is None
        events = runner.stream_async(RUNS[run], run_id=run) if begins else runner.stream_resume_async(run)
        while True:
            result = await followed(events)
            if result.status != "paused":
                break
            for request in result.pending:
                told(Told(run, "request", request.address))
            events = runner.stream_resume_async(run, ANSWER)
        told(Told(run, "run.ended", ""))
        outputs[run] = result.output

    async def followed(events: AsyncGenerator[RunEvent]) -> PipelineResult[Any]:
        async for event in events:
            match event:
                case StepCompleted(run, result) if not result.reused:
                    told(Told(run, "step.completed", result.address))
                case Finished(_, result):
                    return result
                case _:
                    pass
        raise AssertionError("a stream that ended without its result")

    async with asyncio.TaskGroup() as group:
        for run in RUNS:
            group.create_task(one(run))
    return outputs


async def live(path: Path, mode: Mode, chance: Random) -> list[Entry]:
    """Carry all runs to their ends on a recorded disk; return its diary."""
    diary: list[Entry] = []
    synchronous: Synchronous = "NORMAL" if mode == "NORMAL" else "FULL"
    with recorded(diary), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "RUSH_PAGES", chance.choice(LOG_PAGES))
        async with Flujo(
            pipeline, context_model=Ledger, state=SQLiteStore(path, synchronous=synchronous)
        ) as runner:
            await carry(runner, diary.append)
    if mode == "LIES":
        diary = [entry for entry in diary if not isinstance(entry, Sync)]
    return diary


@dataclass
class Tally:
    """What a number of power cuts came to.

    Attributes:
        cuts: How many there were.
        told: How many events had been acknowledged before them.
        lost: How many of these were gone.
        losing: After how many cuts something was.
        broken: After how many cuts a store or a run was not sound, by what was wrong.
        resumed: How many runs were then carried to their right ends.
    """

    cuts: int = 0
    told: int = 0
    lost: int = 0
    losing: int = 0
    broken: Counter[str] = field(default_factory=Counter[str])
    resumed: int = 0

    def note(self, errors: BaseExceptionGroup[BaseException]) -> None:
        """Count a cut that broke something, by the first thing that was found."""
        first = errors.exceptions[0]
        if isinstance(first, BaseExceptionGroup):
            self.note(cast("BaseExceptionGroup[BaseException]", first))
        else:
            self.broken[f"{type(first).__name__}: {first}"] += 1

    def __str__(self) -> str:
        return (
            f"{self.cuts} power cuts: of {self.told} acknowledged events {self.lost} were lost, in "
            f"{self.losing} of the cuts; {self.resumed} runs were carried on to their ends; "
            f"{sum(self.broken.values())} stores or runs were broken"
        )


class Broken(Exception):
    """What a power cut left is not sound; the message says how."""


async def cut_power(folder: Path, seed: int, cuts: int, mode: Mode = "FULL") -> Tally:
    """Cut the power so many times, each at a place and with a loss of its own.

    Every third time it is cut once more while what the first cut left is recovered and carried on.
    """
    chance, tally = Random(seed), Tally()
    while tally.cuts < cuts:
        first = folder / f"life-{tally.cuts}"
        first.mkdir()
        diary = await live(first / STORE, mode, chance)
        for _ in range(min(CUTS_PER_LIFE, cuts - tally.cuts)):
            tally.cuts += 1
            left = folder / f"cut-{tally.cuts}"
            told = cut(diary, {}, chance, left)
            try:
                if tally.cuts % 3 == 0:
                    told |= await cut_again(left, mode, chance)
                await judge(left, told, tally)
            except* (FlujoError, Broken) as errors:
                tally.note(errors)
            shutil.rmtree(left)
        shutil.rmtree(first)
    return tally


def cut(diary: list[Entry], files: dict[str, bytes], chance: Random, left: Path) -> set[Told]:
    """Cut the power somewhere in a diary; return what had been told by then."""
    place = chance.randrange(len(diary) + 1)
    disk = Disk(files)
    disk.follow(diary[:place])
    left.mkdir()
    disk.cut(chance, left)
    return {entry for entry in diary[:place] if isinstance(entry, Told)}


async def cut_again(left: Path, mode: Mode, chance: Random) -> set[Told]:
    """Let another process recover what a cut left, and cut its power, too."""
    files = {file.name: file.read_bytes() for file in left.iterdir()}
    diary = await live(left / STORE, mode, chance)
    shutil.rmtree(left)
    return cut(diary, files, chance, left)


async def judge(left: Path, told: set[Told], tally: Tally) -> None:
    """Open what a power cut left with Python's own SQLite, compare it with what was told, and carry it on."""
    path = left / STORE
    tally.told += len(told)
    known = await look(path)
    missing = told - known
    tally.lost += len(missing)
    tally.losing += bool(missing)
    ran.clear()
    async with Flujo(pipeline, context_model=Ledger, state=SQLiteStore(path)) as runner:
        outputs = await carry(runner, lambda _: None)
    if outputs != dict.fromkeys(RUNS, ANSWER + 1):
        raise Broken(f"the runs gave {outputs}")
    if repeated := {(one.run, one.address) for one in known if one.kind == "step.completed"} & set(ran):
        raise Broken(f"recorded steps ran again: {repeated}")
    tally.resumed += len(outputs)
    await look(path)


async def look(path: Path) -> set[Told]:
    """Return what a store has recorded; it must be sound."""
    store = SQLiteStore(path)
    try:
        await store.run("run-0")
        with closing(sqlite3.connect(path)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                raise Broken(f"integrity_check: {verdict}")
        reports = [report async for report in verify_all(store)]
        if unsound := [report for report in reports if not report.sound]:
            raise Broken(f"the audit found {unsound}")
        return {
            Told(event.run_id, event.kind, event.address)
            for report in reports
            for event in await store.events(report.run_id)
        }
    except sqlite3.Error as error:
        raise Broken(f"{error}") from error
    finally:
        await store.close()


def main(folder: Path, seed: int, cuts: int, mode: Mode) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{mode}: {asyncio.run(cut_power(folder, seed, cuts, mode))}")


if __name__ == "__main__":
    where, number, count, *modes = sys.argv[1:]
    modes = modes or list(get_args(Mode))
    for mode in get_args(Mode):
        if mode in modes:
            main(Path(where), int(number), int(count), mode)
