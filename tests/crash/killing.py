"""Kills processes by SIGKILL in the middle of runs, has others resume them, and judges: a program of its own.

    python -m tests.crash.killing FOLDER SEED KILLS [SCENARIO…]

For each scenario (all when none is named), so many processes are killed at chosen commits and as many at
random moments. Forking makes them cheap: nothing is imported anew. It prints a line for each experiment
and ends with status 1 if a guarantee did not hold.
"""

import asyncio
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from flujo import SQLiteStore
from flujo.journal.store import Batch, Committed, JournalStore
from tests.crash.harness import Carried, Life, Mortal, carry, drive, judge, undisturbed
from tests.crash.scenario import BEGIN, RUN, Scenario, a_clock
from tests.crash.scenarios import SCENARIOS
from tests.crash.witness import WITNESS, read_deeds

Moment = Literal["before commit", "after commit", "microsecond"]
LATER = BEGIN + 7_200_000_000


class Kill(NamedTuple):
    """When a process is killed."""

    moment: Moment
    at: int


class Killed(Mortal):
    """A store that has its own process killed before it writes, or after it was told that it is written."""

    def __init__(self, inner: JournalStore, kill: Kill) -> None:
        super().__init__(inner)
        self._kill = kill

    def submit(self, batch: Batch) -> Committed:
        last = self.commits + 1 == self._kill.at
        if last and self._kill.moment == "before commit":
            die()
        told = super().submit(batch)
        if last and self._kill.moment == "after commit":
            told.add_done_callback(lambda _: die())
        return told


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, seed: int, kills: int, names: list[str]) -> int:
    """Run the experiments; return how many failed."""
    chance = random.Random(seed)
    failures = 0
    for name in names or list(SCENARIOS):
        scenario = SCENARIOS[name]
        whole = asyncio.run(undisturbed(scenario))
        took = measured(scenario, folder / f"{name}-whole")
        for kill in chosen(chance, kills, whole.commits, took):
            place = folder / f"{name}-{kill.moment.replace(' ', '-')}-{kill.at}"
            died = in_child(partial(first_life, scenario, place, kill), kill)
            status = in_child(partial(second_life, scenario, place, whole))
            failures += status != 0
            verdict = "sound" if status == 0 else "BROKEN"
            print(
                f"{name}: {'killed' if died else 'ended'} at {kill.moment} {kill.at}: {verdict}", flush=True
            )
    return failures


def chosen(chance: random.Random, kills: int, commits: int, took: float) -> list[Kill]:
    """Return distinct moments to kill at."""
    places: list[Kill] = [
        Kill(moment, at) for moment in ("before commit", "after commit") for at in range(1, commits + 1)
    ]
    times = {chance.randrange(int(took * 1e6)) for _ in range(kills)}
    return chance.sample(places, min(kills, len(places))) + [Kill("microsecond", at) for at in sorted(times)]


def measured(scenario: Scenario, place: Path) -> float:
    """Return how many seconds a run takes that nobody kills."""
    begun = time.perf_counter()
    assert in_child(lambda: first_life(scenario, place, Kill("after commit", 0))) == 0
    return time.perf_counter() - begun


def first_life(scenario: Scenario, place: Path, kill: Kill) -> None:
    WITNESS.write_to(place.with_suffix(".deeds"))
    store = Killed(SQLiteStore(place.with_suffix(".db")), kill)
    clock = a_clock()
    asyncio.run(drive(scenario, scenario.runner(store, clock), clock))


def second_life(scenario: Scenario, place: Path, whole: Carried) -> None:
    async def resume() -> None:
        inner = SQLiteStore(place.with_suffix(".db"))
        left = Life(read_deeds(place.with_suffix(".deeds")), await inner.events(RUN))
        broken = await carry(scenario, [Mortal(inner)], clock=a_clock(LATER))
        judge(scenario, whole, broken._replace(lives=[left, *broken.lives]))
        await inner.close()

    asyncio.run(resume())


def in_child(work: Callable[[], None], kill: Kill | None = None) -> int:
    """Do something in a process of its own and return its status; kill it at a moment if asked to."""
    child = os.fork()
    if child == 0:
        live(work)
    if kill is not None and kill.moment == "microsecond":
        time.sleep(kill.at / 1e6)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def live(work: Callable[[], None]) -> NoReturn:
    """Do something and end the process, whatever it is a copy of."""
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    where, first_seed, number, *only = sys.argv[1:]
    sys.exit(min(main(Path(where), int(first_seed), int(number), only), 1))
