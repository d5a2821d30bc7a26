"""Spends under one quota, in runs of many branches: a process of its own, that others kill.

    python -m tests.crash.spending STORE INDEX RUNS BRANCHES [broken]

Process INDEX carries the runs of its number, from wherever they stand, until all have ended. What a branch
does depends on its number alone: it costs less than it reserved, reports in parts, fails, or is cut off by
its time limit. `broken` leaves the check out, as a control: the test must notice.
"""

import asyncio
import os
import random
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic_core import from_json

from flujo import Flujo, Map, PostgresStore, Quota, Retry, SQLiteStore, Step, StepInfo, Usage
from flujo.engine.record import read_usage
from flujo.errors import RunTaken
from flujo.journal import sqlite_ledger
from flujo.journal.ledger import Balance, Claim, Place, Reserve, Shortfall, weigh
from flujo.journal.store import JournalStore
from flujo.pipeline.quota import METERS, amounts

PROCESSES = 4
TENANT = "acme"
UNIT = Decimal("0.000000000001")
PACE = float(os.environ.get("PACE", "0.05"))
"""Seconds that a branch takes at most, but for those that are cut off."""
BOUND = Usage(requests=2, cost=5 * UNIT)


async def spend(number: int, info: StepInfo) -> int:
    await asyncio.sleep(random.uniform(0.0, PACE))
    match number % 6:
        case 0:
            async with info.reserve(Usage(requests=1, cost=9 * UNIT)) as part:
                await asyncio.sleep(0.005)
                part.report(Usage(requests=1, cost=(number % 9) * UNIT))
        case 1:
            info.report(Usage(cost=2 * UNIT))
            raise ValueError("it failed, after it had cost something")
        case 2 if info.attempt == 1:
            await asyncio.sleep(60)  # cut off: what it cost is not known
        case _:
            info.report(Usage(requests=1, cost=(number % 5) * UNIT))
    return number


def runner(store: JournalStore, branches: int) -> Flujo[list[int], Any]:
    limit = UNIT * branches * 3  # of what all would cost, about two thirds
    each = Step(spend, bound=BOUND, timeout=2 * PACE, retry=Retry(2, 0.0))
    quotas = [Quota(usd=limit, of="tenant"), Quota(usd=limit, steps=2 * branches, of="pipeline")]
    return Flujo(
        Map(each, on_failure="collect", concurrency=3 if branches < 1000 else None), state=store, quota=quotas
    )


def run_ids(runs: int) -> list[str]:
    return [f"run-{number}" for number in range(runs)]


def store_at(place: str) -> JournalStore:
    return PostgresStore(place) if "://" in place else SQLiteStore(place)


async def journal_sum(store: JournalStore, ids: Sequence[str]) -> dict[str, int]:
    """Return what the journals of runs say that was used, by meter."""
    total = Usage()
    for run_id in ids:
        events = await store.events(run_id)
        over = {event.address for event in events if event.kind == "step.completed"}
        for event in events:
            apart = event.kind in ("step.attempt", "step.discarded") and event.address not in over
            if event.kind == "step.completed" or apart:
                total = total + read_usage(from_json(event.body).get("usage"))
    return dict(zip(METERS, amounts(total), strict=True))


def unchecked(
    entry: Reserve, held: Mapping[Place, int], balances: Mapping[Place, Balance]
) -> tuple[list[Claim], tuple[Shortfall, ...]]:
    """Return what a reservation would add to its accounts if it always fitted."""
    free = {place: balance._replace(limit=2**62) for place, balance in balances.items()}
    return weigh(entry._replace(claims=[claim._replace(limit=2**62) for claim in entry.claims]), held, free)


async def carry(place: str, index: int, runs: int, branches: int) -> None:
    store = store_at(place)
    each = branches // runs
    flow = runner(store, branches)

    async def one(number: int, run_id: str) -> None:
        items = list(range(number * each, (number + 1) * each))
        while True:
            try:
                await flow.run_async(items, run_id=run_id, tenant=TENANT)
                return
            except RunTaken:  # the server went on with the last statement of a process that was dead by then
                await asyncio.sleep(0.1)

    mine = [(number, run_id) for number, run_id in enumerate(run_ids(runs)) if number % PROCESSES == index]
    await asyncio.gather(*(one(number, run_id) for number, run_id in mine))
    await store.close()


if __name__ == "__main__":
    if "broken" in sys.argv:
        sqlite_ledger.weigh = unchecked
    asyncio.run(carry(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
