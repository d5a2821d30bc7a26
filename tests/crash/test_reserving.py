"""Runs under quotas over runs that die before and after every commit: journals and accounts tell the same."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from flujo import Flujo, Map, MemoryStore, Parallel, Quota, Retry, Step, StepInfo, Usage
from flujo.engine import carry
from flujo.engine.quota import LimitedAttempts
from flujo.engine.run import Run
from flujo.journal.store import RunQuery
from flujo.testing import Mortal, VirtualClock, died
from flujo.testing.mortal import DEATHS, Death
from tests.crash.spending import journal_sum

BOUND = Usage(requests=2, cost=Decimal("0.10"))
RUN = "run"
MONTH = 31 * 86_400


async def first(number: int, info: StepInfo) -> int:
    info.report(Usage(requests=1, cost=Decimal("0.04")))
    return number + 1


async def flaky(number: int, info: StepInfo) -> int:
    info.report(Usage(requests=1, cost=Decimal("0.01")))
    if info.attempt < 3:
        raise ValueError("not yet")
    return number + 1


async def parts(number: int, info: StepInfo) -> int:
    for _ in range(2):
        async with info.reserve(Usage(requests=1, cost=Decimal("0.08"))) as part:
            await asyncio.sleep(0)
            part.report(Usage(requests=1, cost=Decimal("0.03")))
    return number + 1


async def fail(number: int) -> int:
    raise ValueError("never")


async def last(number: int) -> int:
    return number + 1


def items(told: dict[str, Any]) -> list[int]:
    return [told["a"], told["b"], 7]


PIPELINE = (
    Step(first, bound=BOUND)
    >> Parallel(
        on_failure="collect",
        a=Step(flaky, retry=Retry(3, 1.0, 0.0), bound=BOUND),
        b=Step(parts),
        c=Step(fail, bound=BOUND, fallback=Step(last, bound=BOUND)),
    )
    >> Map(Step(last, name="each", bound=BOUND), over=items, concurrency=1)
).named("spender")
QUOTAS = [Quota(usd=5, requests=50, of="tenant"), Quota(steps=99, per="month"), Quota(usd=4)]


def runner(store: Mortal, clock: VirtualClock) -> Flujo[int, Any]:
    return Flujo(PIPELINE, state=store, quota=QUOTAS, clock=clock)


async def lives(at: int, death: Death, *, ends: str) -> tuple[MemoryStore, int]:
    """Let a process die at a commit and another end the run; return the store, and how many commits."""
    kept, clock = MemoryStore(), VirtualClock()
    dying = Mortal(kept, at, death)
    try:
        await runner(dying, clock).run_async(0, run_id=RUN, tenant="acme")
    except BaseException as error:
        if not died(error):
            raise
    await dying.settled()
    clock.advance(MONTH)
    heir = runner(Mortal(kept), clock)
    if await kept.run(RUN) is None:
        await heir.run_async(0, run_id=RUN, tenant="acme")
    elif ends == "goes on":
        await heir.resume_async(RUN, take_over=True)
    elif (await kept.runs(RunQuery(status=["running"]))).runs:
        await heir.cancel(RUN, take_over=True)
    return kept, dying.commits


async def check(kept: MemoryStore) -> None:
    assert await kept.reservations() == []
    told = await journal_sum(kept, [RUN])
    spent = dict.fromkeys(told, 0)
    seen = set[str]()
    for one in await kept.balances():
        assert one.reserved == 0
        assert one.spent <= one.limit
        spent[one.meter] += one.spent
        seen.add(one.meter)
    assert seen == {"usd", "requests", "steps"}
    assert {meter: told[meter] for meter in seen} == {meter: spent[meter] for meter in seen}


@pytest.mark.parametrize("ends", ["goes on", "is cancelled"])
@pytest.mark.parametrize("death", DEATHS)
async def test_death_at_every_commit(death: Death, ends: str) -> None:
    whole, commits = await lives(0, death, ends="goes on")
    await check(whole)
    assert commits > 12
    for at in range(1, commits + 1):
        kept, _ = await lives(at, death, ends=ends)
        try:
            await check(kept)
        except AssertionError as error:
            raise AssertionError(f"dead at commit {at} ({death}), then it {ends}") from error


@pytest.mark.parametrize("broken", ["settling before the event", "leaving what is unknown"])
async def test_the_controls(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "settling before the event":
        honest = LimitedAttempts.recorded

        def earlier(self: LimitedAttempts, run: Run, address: str) -> None:
            honest(self, run, address)
            assert run.recorder is not None
            run.recorder.submit()

        monkeypatch.setattr(LimitedAttempts, "recorded", earlier)
    else:

        async def left(*_: object) -> None:
            return

        monkeypatch.setattr(carry.Carrier, "_settle", left)
    with pytest.raises(AssertionError, match="dead at commit"):
        await test_death_at_every_commit("after", "is cancelled")
