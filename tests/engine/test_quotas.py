"""Quotas: what is refused before it begins, what is told afterwards, and what counts where."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic_core import from_json
from typing_extensions import override

from flujo import (
    Decision,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Node,
    Parallel,
    Pipeline,
    PipelineResult,
    Quota,
    Retry,
    Step,
    StepInfo,
    Usage,
    price,
    step,
)
from flujo.engine.record import read_usage
from flujo.errors import ConfigError, PipelineError, QuotaExceeded, StepFailed
from flujo.journal.ledger import Balance, Reserve
from flujo.journal.store import Batch, Committed, JournalStore, RunQuery
from flujo.pipeline.quota import amounts
from flujo.testing import VirtualClock

CENT = Usage(requests=1, cost=Decimal("0.01"))
DAY = 86_400_000_000


def exceeded(result: PipelineResult[Any, Any]) -> QuotaExceeded:
    assert result.status == "failed"
    assert isinstance(result.error, QuotaExceeded), result.error
    return result.error


def spending(name: str, *costs: str, bound: str = "0.10", **settings: Any) -> Step[int, int]:
    """Return a step whose attempts cost so much each; what it is given is counted up."""
    left = iter(costs)

    async def spend(number: int, info: StepInfo) -> int:
        info.report(Usage(requests=1, cost=Decimal(next(left, costs[-1]))))
        return number + 1

    return Step(spend, name=name, bound=Usage(requests=1, cost=Decimal(bound)), **settings)


@step
async def add(number: int) -> int:
    return number + 1


async def sums(store: JournalStore, *run_ids: str) -> tuple[int, ...]:
    """Return all that the journals of runs say that was used."""
    total = Usage()
    for run_id in run_ids:
        events = await store.events(run_id)
        over = {event.address for event in events if event.kind in ("step.completed", "node.completed")}
        for event in events:
            known = event.kind in ("step.attempt", "step.discarded") and event.address not in over
            if event.kind == "step.completed" or known:
                total = total + read_usage(from_json(event.body).get("usage"))
    return amounts(total)


class TestRefusing:
    async def test_what_does_not_fit_is_refused_before_it_begins(self) -> None:
        begun: list[int] = []

        async def spend(number: int, info: StepInfo) -> int:
            begun.append(number)
            info.report(Usage(cost=Decimal("0.08")))
            return number + 1

        steps = [Step(spend, name=f"s{n}", bound=Usage(cost=Decimal("0.10"))) for n in range(4)]
        result = await Flujo(Pipeline(*steps), quota=Quota(usd="0.25")).run_async(0)
        error = exceeded(result)
        assert begun == [0, 1]
        assert error.message == (
            "step 's2' (attempt 1): the quota of 'run' has no room for $0.10: $0.16 of $0.25 spent"
        )
        assert (error.meter, error.account) == ("usd", "run")
        assert (error.limit, error.spent, error.reserved, error.asked) == (
            Decimal("0.25"), Decimal("0.16"), Decimal(0), Decimal("0.10"),
        )  # fmt: skip
        assert error.code == "quota_exceeded"
        assert result.usage.cost == Decimal("0.16")

    async def test_exactly_the_limit_fits(self) -> None:
        steps = Pipeline(*(spending(f"s{n}", "0.10") for n in range(3)))
        assert (await Flujo(steps, quota=Quota(usd="0.30")).run_async(0)).output == 3
        assert exceeded(await Flujo(steps, quota=Quota(usd="0.299999999999")).run_async(0))

    @pytest.mark.parametrize(
        ("quota", "meter"),
        [
            (Quota(input_tokens=29), "input_tokens"),
            (Quota(output_tokens=14), "output_tokens"),
            (Quota(requests=2), "requests"),
            (Quota(tool_calls=5), "tool_calls"),
            (Quota(steps=2), "steps"),
        ],
    )
    async def test_every_meter(self, quota: Quota, meter: str) -> None:
        used = Usage(1, 10, 5, Decimal(0), 2)

        async def spend(number: int, info: StepInfo) -> int:
            info.report(used)
            return number + 1

        steps = Pipeline(*(Step(spend, name=f"s{n}", bound=used) for n in range(3)))
        error = exceeded(await Flujo(steps, quota=quota).run_async(0))
        assert (error.meter, error.address) == (meter, "s2")

    async def test_the_tightest_of_several_wins(self) -> None:
        runner = Flujo(spending("s", "0.05"), quota=[Quota(usd=1), Quota(usd="0.09", requests=5)])
        assert exceeded(await runner.run_async(0)).limit == Decimal("0.09")

    async def test_side_by_side(self) -> None:
        """What is under way is reserved: of ten that begin at once, as many begin as fit."""
        begun: list[int] = []

        async def spend(number: int, info: StepInfo) -> int:
            begun.append(number)
            await asyncio.sleep(0)
            info.report(CENT)
            return number

        lanes = Map(Step(spend, bound=Usage(cost=Decimal("0.10"))), on_failure="collect")
        result = await Flujo(lanes, quota=Quota(usd="0.35")).run_async(list(range(10)))
        assert begun == [0, 1, 2]
        assert result.usage.cost == Decimal("0.03")

    async def test_it_is_not_tried_again_but_a_fallback_runs(self) -> None:
        dear = spending("dear", "0.10", retry=Retry(5, 0.0), fallback=add)
        result = await Flujo(dear, quota=Quota(usd="0.05")).run_async(1)
        assert result.output == 2
        assert result.steps["dear"].attempts == 1

    async def test_retries_are_reserved_each(self) -> None:
        tries: list[int] = []

        async def fail(number: int, info: StepInfo) -> int:
            tries.append(info.attempt)
            info.report(Usage(cost=Decimal("0.04")))
            raise ValueError("no")

        failing = Step(fail, retry=Retry(9, 0.0), bound=Usage(cost=Decimal("0.05")))
        assert exceeded(await Flujo(failing, quota=Quota(usd="0.15")).run_async(1)).attempt == 4
        assert tries == [1, 2, 3]

    async def test_a_failure_that_cost_nothing_gives_its_bound_back(self) -> None:
        async def fail(number: int) -> int:
            raise ValueError("no")

        failing = Step(fail, retry=Retry(5, 0.0), bound=Usage(cost=Decimal("0.10")))
        result = await Flujo(failing, quota=Quota(usd="0.15")).run_async(1)
        assert type(result.error) is StepFailed

    async def test_a_step_that_cannot_report_is_charged_its_bound(self) -> None:
        steps = Pipeline(*(Step(add.agent, name=f"s{n}", bound=CENT) for n in range(3)))
        result = await Flujo(steps, quota=Quota(usd="0.02")).run_async(0)
        assert exceeded(result).address == "s2"
        assert result.usage == Usage(requests=2, cost=Decimal("0.02"))


class TestReportingMore:
    async def test_more_than_was_reserved_fits_where_there_is_room(self) -> None:
        steps = spending("one", "0.15") >> spending("two", "0.10")
        assert (await Flujo(steps, quota=Quota(usd="0.25")).run_async(0)).output == 2

    async def test_more_than_the_quota_is_told_afterwards(self) -> None:
        steps = spending("one", "0.30", retry=3, fallback=add) >> spending("two", "0.01", bound="0.01")
        result = await Flujo(steps, quota=Quota(usd="0.25")).run_async(0)
        error = exceeded(result)
        assert error.address == "one/add"  # where more than all was spent, nothing more begins
        assert error.spent == Decimal("0.30")
        assert result.usage == Usage(requests=1, cost=Decimal("0.30"))

    async def test_amounts_finer_than_a_trillionth_are_refused(self) -> None:
        result = await Flujo(spending("s", "0.0000000000001"), quota=Quota(usd=1)).run_async(0)
        assert "finer than a trillionth" in str(result.error)


class TestScopes:
    async def test_a_part_of_a_pipeline(self) -> None:
        part = (spending("one", "0.10") >> spending("two", "0.10")).within(Quota(usd="0.15"))
        result = await Flujo(add >> part >> add.named("last"), quota=Quota(usd=5)).run_async(0)
        error = exceeded(result)
        assert (error.address, error.account) == ("two", "one")

    async def test_addresses_and_fingerprint_are_those_without_it(self) -> None:
        bare = (
            add
            >> spending("one", "0.1")
            >> spending("two", "0.1")
            >> Loop(add.named("more"), until=lambda n: n > 2, max_turns=9)
        )
        one, two, three, four = bare
        limited = (
            one >> (two >> three).within(Quota(usd=1)).within(Quota(usd=2)) >> four.within(Quota(steps=9))
        )
        assert Flujo(limited).plan.fingerprint == Flujo(bare).plan.fingerprint

    @pytest.mark.parametrize(("around", "fails"), [(False, False), (True, True)])
    async def test_each_item_or_all_of_them(self, around: bool, fails: bool) -> None:
        quota = Quota(usd="0.25")
        body = spending("a", "0.10") >> spending("b", "0.10")
        items: Node[Any, Any] = Map(body).within(quota) if around else Map(body.within(quota))
        result = await Flujo(items, quota=Quota(usd=10)).run_async([1, 2, 3])
        assert (result.status == "failed") is fails

    async def test_each_turn_or_all_of_them(self) -> None:
        def turns(body: Node[int, int]) -> Loop[int, int]:
            return Loop(body, until=lambda number: number > 4, max_turns=9)

        dear, quota = spending("a", "0.10"), Quota(usd="0.15")
        assert (await Flujo(turns(dear.within(quota))).run_async(0)).output == 5
        error = exceeded(await Flujo(turns(dear).within(quota)).run_async(0))
        assert error.address == "loop[2]/a"

    async def test_one_branch(self) -> None:
        lanes = Parallel(
            on_failure="collect",
            cheap=spending("a", "0.10").within(Quota(usd="0.05")),
            dear=spending("b", "0.1"),
        )
        result = await Flujo(lanes).run_async(1)
        assert result.usage.cost == Decimal("0.1")

    async def test_a_step_of_its_own(self) -> None:
        own = spending("s", "0.10", quota=Quota(requests=0), fallback=add)
        assert (await Flujo(own).run_async(1)).output == 2

    async def test_two_parts_count_apart(self) -> None:
        one, two = (spending(name, "0.10").within(Quota(usd="0.10")) for name in ("one", "two"))
        assert (await Flujo(one >> two).run_async(0)).output == 2


class TestParts:
    async def test_parts_of_a_step_are_reserved_one_by_one(self) -> None:
        sent: list[int] = []

        async def talk(number: int, info: StepInfo) -> int:
            for turn in range(5):
                async with info.reserve(Usage(requests=1, cost=Decimal("0.10"))) as part:
                    sent.append(turn)
                    part.report(CENT)
            return number

        error = exceeded(await Flujo(Step(talk), quota=Quota(usd="0.12")).run_async(0))
        assert sent == [0, 1, 2]
        assert (error.asked, error.spent, error.reserved) == (
            Decimal("0.01"), Decimal(0), Decimal("0.12"),
        )  # fmt: skip

    async def test_a_step_may_go_on_when_one_is_refused(self) -> None:
        async def talk(number: int, info: StepInfo) -> str:
            try:
                async with info.reserve(Usage(cost=Decimal(5))):
                    return "dear"
            except QuotaExceeded as error:
                return f"no {error.meter} left: {error.asked} of {error.limit}"

        result = await Flujo(Step(talk), quota=Quota(usd=1)).run_async(0)
        assert result.output == "no usd left: 5.00 of 1.00"

    async def test_the_declared_bound_is_drawn_on_first(self) -> None:
        async def talk(number: int, info: StepInfo) -> int:
            async with info.reserve(Usage(cost=Decimal("0.10"))) as part:
                part.report(Usage(cost=Decimal("0.10")))
            return number

        limited = Step(talk, bound=Usage(cost=Decimal("0.10")))
        result = await Flujo(limited, quota=Quota(usd="0.10")).run_async(0)
        assert result.usage.cost == Decimal("0.10")

    async def test_parts_side_by_side(self) -> None:
        async def talk(number: int, info: StepInfo) -> int:
            async def ask() -> int:
                try:
                    async with info.reserve(Usage(requests=1)) as part:
                        await asyncio.sleep(0)
                        part.report(Usage(requests=1))
                        return 1
                except QuotaExceeded:
                    return 0

            return sum(await asyncio.gather(*(ask() for _ in range(9))))

        result = await Flujo(
            Step(talk), quota=[Quota(requests=4), Quota(requests=4, per="day")], state=MemoryStore()
        ).run_async(0)
        assert (result.output, result.usage.requests) == (4, 4)

    async def test_parts_side_by_side_ask_a_store_that_takes_its_time(self, store: JournalStore) -> None:
        async def talk(number: int, info: StepInfo) -> int:
            async def ask() -> None:
                async with info.reserve(Usage(requests=1)) as part:
                    await asyncio.sleep(0.01)
                    part.report(Usage(requests=1))

            await asyncio.gather(*(ask() for _ in range(number)))
            return number

        result = await Flujo(Step(talk), quota=Quota(requests=6, per="day"), state=store).run_async(6)
        assert (result.unwrap(), result.usage.requests) == (6, 6)
        assert [(one.spent, one.reserved) for one in await store.balances()] == [(6, 0)]

    async def test_what_is_broken_off_while_the_store_is_asked_never_began(self) -> None:
        class Slow(MemoryStore):
            """A store that has kept a reservation, and takes its time to say so."""

            @override
            def submit(self, batch: Batch) -> Committed:
                told = super().submit(batch)
                asks = any(isinstance(entry, Reserve) for entry in batch.ledger)
                return asyncio.get_running_loop().create_future() if asks else told

        async def fail(number: int) -> int:
            raise ValueError(number)

        store = Slow()
        late = Step(add.agent, name="late", bound=CENT).within(Quota(requests=9, per="day"))
        result = await Flujo(Parallel(fail=Step(fail), late=late), state=store).run_async(1)
        assert (result.status, result.usage) == ("failed", Usage())
        assert [(one.spent, one.reserved) for one in await store.balances()] == [(0, 0)]

    async def test_what_asked_a_person_goes_on_in_the_window_of_the_answer(self, store: JournalStore) -> None:
        async def talk(number: int, info: StepInfo) -> int:
            async with info.reserve(CENT) as part:
                part.report(CENT)
            return number if await info.ask("Go on?", bool) else 0

        clock = VirtualClock(held=True)
        quota = Quota(requests=1, per="day")
        runner = Flujo(Step(talk, bound=CENT), quota=quota, state=store, clock=clock)
        await runner.run_async(1, run_id="one")
        assert [(one.spent, one.reserved) for one in await store.balances()] == [(1, 0)]
        clock.advance(2 * 86_400)
        assert (await runner.resume_async("one", True)).unwrap() == 1
        assert [(one.spent, one.reserved) for one in await store.balances()] == [(1, 0), (1, 0)]

    async def test_without_quotas_nothing_is_checked(self) -> None:
        async def talk(number: int, info: StepInfo) -> int:
            async with info.reserve(Usage(cost=Decimal(5))) as part:
                part.report(CENT)
            return number

        assert (await Flujo(Step(talk)).run_async(0)).usage == CENT


class TestTime:
    async def test_a_step_is_stopped_when_the_time_runs_out(self) -> None:
        async def wait(number: int) -> int:
            await asyncio.sleep(30)
            return number

        result = await Flujo(Step(wait, retry=3), quota=Quota(seconds=0.02)).run_async(0)
        error = exceeded(result)
        assert (error.meter, error.limit, error.attempt) == ("seconds", Decimal("0.02"), 1)
        assert 20_000 <= result.usage.microseconds < 2_000_000

    async def test_what_runs_side_by_side_shares_the_time(self) -> None:
        async def wait(number: int) -> int:
            await asyncio.sleep(30)
            return number

        loop = asyncio.get_running_loop()
        begun = loop.time()
        lanes = Map(Step(wait), on_failure="collect")
        result = await Flujo(lanes, quota=Quota(seconds=0.4)).run_async([1, 2, 3, 4])
        assert loop.time() - begun < 0.3
        assert 390_000 <= result.usage.microseconds < 1_000_000

    async def test_time_that_is_left_is_left(self) -> None:
        result = await Flujo(add >> add.named("again"), quota=Quota(seconds=30)).run_async(0)
        assert result.output == 2


class TestResuming:
    @pytest.fixture(params=["live", "store"])
    async def store(self, request: pytest.FixtureRequest) -> JournalStore | None:
        return MemoryStore() if request.param == "store" else None

    async def test_what_was_spent_before_a_pause_counts(self, store: JournalStore | None) -> None:
        first = Loop(spending("a", "0.10"), until=lambda number: number > 1, max_turns=9)
        ask = HumanInput("go on?", schema=int)
        pipeline = first >> ask >> Parallel(b=spending("b", "0.05", bound="0.05"), c=add)
        for limit, ends in (("0.25", "completed"), ("0.24", "failed")):
            kept = MemoryStore() if store is not None else None
            runner = Flujo(pipeline, quota=[Quota(usd=limit), Quota(steps=4)], state=kept)
            paused = await runner.run_async(0)
            assert paused.status == "paused", paused.error
            result = await runner.resume_async(paused, 3)
            assert result.status == ends, result.error
            if store is None:  # its result may be resumed more than once
                assert (await runner.resume_async(paused, 3)).status == ends
            if ends == "failed":
                assert exceeded(result).spent == Decimal("0.20")

    async def test_an_error_is_read_back_as_it_was(self) -> None:
        store = MemoryStore()
        runner = Flujo(spending("s", "0.10"), quota=Quota(usd="0.05"), state=store)
        told = exceeded(await runner.run_async(0, run_id="r"))
        read = exceeded(await runner.result("r"))
        assert str(read) == str(told)
        assert vars(read) == vars(told)

    async def test_a_refusal_that_was_recorded_stands(self) -> None:
        """A process that died between the refusal and the end of the run: the same is told again."""
        store = MemoryStore()
        pipeline = spending("s", "0.10")
        told = exceeded(await Flujo(pipeline, quota=Quota(usd="0.05"), state=store).run_async(0, run_id="r"))
        del store._events["r"][-1]  # pyright: ignore[reportPrivateUsage]
        last = store._events["r"][-1]  # pyright: ignore[reportPrivateUsage]
        record = store._runs["r"]  # pyright: ignore[reportPrivateUsage]
        from dataclasses import replace

        store._runs["r"] = replace(record, status="paused", seq=last.seq, hash=last.hash)  # pyright: ignore[reportPrivateUsage]
        again = exceeded(await Flujo(pipeline, quota=Quota(usd=9), state=store).resume_async("r"))
        assert vars(again) == vars(told)


class TestOverRuns:
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    async def test_runs_of_a_tenant_share_its_quota(self, store: MemoryStore) -> None:
        quota = Quota(usd="0.25", of="tenant")
        runner = Flujo(spending("s", "0.08"), quota=quota, state=store, clock=VirtualClock())
        acme = [await runner.run_async(n, run_id=f"a{n}", tenant="acme") for n in range(3)]
        other = await runner.run_async(0, run_id="o", tenant="other/one")
        assert [result.status for result in acme] == ["completed", "completed", "failed"]
        assert other.success
        assert exceeded(acme[2]).account == "tenant:acme"
        assert await store.balances() == [
            Balance("tenant:acme", "usd", 250_000_000_000, 160_000_000_000, 0),
            Balance("tenant:other%2Fone", "usd", 250_000_000_000, 80_000_000_000, 0),
        ]
        assert (await sums(store, "a0", "a1", "a2"))[0] == 160_000_000_000
        assert await store.reservations() == []

    async def test_a_window_ends(self, store: MemoryStore) -> None:
        clock = VirtualClock(1_800_000_000_000_000)
        runner = Flujo(add, quota=Quota(steps=2, per="day"), state=store, clock=clock)
        assert [(await runner.run_async(0)).success for _ in range(3)] == [True, True, False]
        clock.advance(DAY / 1e6)
        assert (await runner.run_async(0)).success
        assert [(one.account, one.spent) for one in await store.balances()] == [
            ("pipeline:add/day:2027-01-15", 2),
            ("pipeline:add/day:2027-01-16", 1),
        ]

    async def test_parts_of_pipelines_have_accounts_of_their_own(self, store: MemoryStore) -> None:
        part = add.named("b").within(Quota(steps=1, of="tenant", per="month"))
        runner = Flujo(add >> part, state=store, quota=Quota(steps=9, of="tenant"))
        assert (await runner.run_async(0, tenant="x")).success
        assert exceeded(await runner.run_async(0, tenant="x")).account.startswith("tenant:x/in:")
        assert [one.spent for one in await store.balances("tenant:x")] == [3, 1]

    async def test_without_a_store_it_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="no store to keep its account"):
            Flujo(add, quota=Quota(steps=1, per="day"))
        with pytest.raises(ConfigError, match="no store to keep its account"):
            Flujo(add.within(Quota(steps=1, of="tenant")))

    async def test_a_cancelled_effect_is_settled_at_its_bound(self, store: MemoryStore) -> None:
        began = asyncio.Event()

        async def hang(number: int, info: StepInfo) -> int:
            began.set()
            await asyncio.sleep(60)
            return number

        pipeline = spending("s", "0.01") >> Step(hang, bound=Usage(cost=Decimal("0.10")))
        runner = Flujo(pipeline, quota=Quota(usd=1, of="tenant"), state=store)
        going = asyncio.create_task(runner.run_async(0, run_id="r"))
        await began.wait()
        assert (await store.balances())[0][2:] == (10**12, 10**10, 10**11)
        await runner.cancel("r")
        result = await going
        assert result.status == "cancelled"
        assert result.usage.cost == Decimal("0.11")
        assert (await store.balances())[0][2:] == (10**12, 11 * 10**10, 0)
        assert (await sums(store, "r"))[0] == 11 * 10**10
        assert (await runner.result("r")).usage == result.usage

    @pytest.mark.parametrize("ends", ["resumed", "cancelled"])
    async def test_what_an_interrupted_run_has_reserved_stays_until_it_goes_on(
        self, store: MemoryStore, ends: str
    ) -> None:
        began, hangs = asyncio.Event(), True

        async def hang(number: int, info: StepInfo) -> int:
            began.set()
            await asyncio.sleep(60 if hangs else 0)
            info.report(Usage(cost=Decimal("0.03")))
            return number

        runner = Flujo(
            Step(hang, bound=Usage(cost=Decimal("0.10"))), quota=Quota(usd="0.15", per="month"), state=store
        )
        going = asyncio.create_task(runner.run_async(0, run_id="r"))
        await began.wait()
        going.cancel()
        await asyncio.wait({going})
        assert (await store.balances())[0][3:] == (0, 10**11)
        assert exceeded(await runner.run_async(0, run_id="other")).reserved == Decimal("0.10")
        hangs = False
        if ends == "resumed":
            assert (await runner.resume_async("r")).success
            assert (await store.balances())[0][3:] == (3 * 10**10, 0)
        else:
            assert (await runner.cancel("r")).usage.cost == Decimal("0.10")
            assert (await store.balances())[0][3:] == (10**11, 0)
        assert (await sums(store, "r"))[0] == (await store.balances())[0].spent

    async def test_a_failing_sibling_settles_what_it_stops_at_its_bound(self, store: MemoryStore) -> None:
        async def hang(number: int) -> int:
            await asyncio.sleep(60)
            return number

        async def fail(number: int) -> int:
            await asyncio.sleep(0.01)
            raise ValueError("no")

        lanes = Parallel(a=Step(hang, bound=CENT), b=Step(fail, bound=CENT))
        result = await Flujo(lanes, quota=Quota(usd=1, per="day"), state=store).run_async(0, run_id="r")
        assert result.status == "failed"
        assert (await store.balances())[0][3:] == (10**10, 0)
        assert (await sums(store, "r"))[0] == 10**10

    @pytest.mark.parametrize("how", ["crash", "time"])
    @pytest.mark.parametrize("says", ["edit", "approve"])
    async def test_an_attempt_in_doubt(self, store: MemoryStore, how: str, says: str) -> None:
        hangs = True

        async def charge(number: int, info: StepInfo) -> int:
            await asyncio.sleep(60 if hangs else 0)
            info.report(Usage(cost=Decimal("0.03")))
            return number

        once = Step(
            charge,
            effects="at_most_once",
            bound=Usage(cost=Decimal("0.10")),
            timeout=0.01 if how == "time" else None,
        )
        runner = Flujo(once, quota=Quota(usd=1, of="tenant"), state=store)
        going = asyncio.create_task(runner.run_async(0, run_id="r"))
        if how == "crash":
            while not await store.reservations():
                await asyncio.sleep(0)
            going.cancel()
        await asyncio.wait({going})
        hangs = False
        paused = await runner.resume_async("r")
        assert [request.kind for request in paused.pending] == ["in_doubt"]
        result = await runner.resume_async(
            "r", Decision("edit", 7) if says == "edit" else Decision("approve")
        )
        assert result.output == (7 if says == "edit" else 0)
        (account,) = await store.balances()
        assert account.reserved == 0
        lost = Decimal("0.10") if how == "time" or says == "edit" else Decimal(0)
        assert result.usage.cost == lost + (Decimal("0.03") if says == "approve" else 0)
        assert account.spent == amounts(result.usage)[0]
        assert (await sums(store, "r"))[0] == account.spent
        assert (await runner.result("r")).usage == result.usage


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({}, "limits nothing"),
            ({"usd": 0.1}, "a float is not exactly that sum"),
            ({"usd": True}, "a bool is not exactly that sum"),
            ({"usd": "much"}, "is no sum of money"),
            ({"usd": "0.0000000000001"}, "finer than a trillionth"),
            ({"usd": -1}, "cannot be counted"),
            ({"usd": "NaN"}, "is no sum of money"),
            ({"usd": "Infinity"}, "is no sum of money"),
            ({"requests": 1.5}, "requests=1.5"),
            ({"steps": -1}, "steps=-1"),
            ({"seconds": 0}, "seconds=0"),
            ({"requests": 1, "per": "year"}, "per='year'"),
            ({"requests": 1, "of": "user"}, "of='user'"),
            ({"requests": 1, "per": "day", "of": "run"}, "a window counts over runs"),
            ({"seconds": 1, "per": "day"}, "time is counted within one run"),
            ({"dollars": 1}, "did you mean|Quota"),
        ],
    )
    def test_what_cannot_work_is_refused(self, given: dict[str, Any], says: str) -> None:
        with pytest.raises(PipelineError, match=says):
            Quota(**given)

    def test_where_quotas_go(self) -> None:
        wrong: Any = "1 USD"
        with pytest.raises(PipelineError, match="no quota"):
            add.within(wrong)
        with pytest.raises(PipelineError, match="given no quota"):
            add.within()
        with pytest.raises(PipelineError, match="no quota"):
            Step(add.agent, quota=wrong)
        with pytest.raises(PipelineError, match="no usage"):
            Step(add.agent, bound=wrong)
        with pytest.raises(PipelineError, match="no quota"):
            Flujo(add, quota=wrong)

    def test_it_is_a_value(self) -> None:
        assert Quota(usd="1.0") == Quota(usd=1) != Quota(usd=2)
        assert len({Quota(usd=1), Quota(usd="1.00")}) == 1
        assert repr(Quota(usd="2.5", seconds=1.5, steps=3)) == (
            "Quota(usd=Decimal('2.50'), steps=3, seconds=Decimal('1.50'))"
        )
        assert repr(Quota(steps=3, per="day")) == "Quota(steps=3, per='day', of='pipeline')"


class TestCounting:
    async def test_a_refused_step_is_not_counted(self) -> None:
        store = MemoryStore()
        runner = Flujo(add >> add.named("b") >> add.named("c"), quota=Quota(steps=2), state=store)
        result = await runner.run_async(0, run_id="r")
        assert exceeded(result).asked == 1
        assert result.usage == Usage(steps=2)
        assert (await runner.result("r")).usage == result.usage

    async def test_a_failed_step_is(self) -> None:
        @step
        async def fail(number: int) -> int:
            raise ValueError("no")

        store = MemoryStore()
        runner = Flujo(add >> fail, quota=Quota(steps=2), state=store)
        result = await runner.run_async(0, run_id="r")
        assert type(result.error) is StepFailed
        assert result.usage == (await runner.result("r")).usage == Usage(steps=2)


def some(number: int) -> list[int]:
    return [number]


class TestRefusingRuns:
    @staticmethod
    async def refused(pipeline: Node[int, Any], *quotas: Quota, **settings: Any) -> str:
        runner = Flujo(pipeline, quota=quotas, state=MemoryStore(), **settings)
        with pytest.raises(QuotaExceeded) as found:
            await runner.run_async(0, quota="refuse")
        assert (await runner.store.runs(RunQuery())).runs == ()  # type: ignore[union-attr]
        return found.value.message

    async def test_what_could_exceed_is_not_begun(self) -> None:
        steps = spending("a", "0.01", retry=3) >> Loop(
            spending("b", "0.01"), until=lambda number: number > 1, max_turns=4
        )
        assert await self.refused(steps, Quota(usd="0.50")) == (
            "the quota of 'run' has $0.50 left, and the worst case takes $0.70, $0.20 too much"
        )
        assert await self.refused(steps, Quota(requests=6)) == (
            "the quota of 'run' has 6 requests left, and the worst case takes 7 requests, 1 request too much"
        )
        runner = Flujo(steps, quota=Quota(usd="0.70", requests=7, steps=7))
        assert (await runner.run_async(0, quota="refuse")).success

    async def test_what_has_no_bound_is_named(self) -> None:
        async def talk(number: int, info: StepInfo) -> int:
            return number

        assert await self.refused(Step(talk), Quota(usd=5)) == (
            "the quota of 'run' has $5.00 left, and the worst case takes without bound: "
            "talk may report what it used, and declares no bound"
        )
        assert "talk has no timeout" in await self.refused(Step(talk), Quota(seconds=5))
        assert "map has as many items as it is given" in await self.refused(
            Map(add, over=some), Quota(steps=5)
        )
        timed = Step(talk, timeout=4, bound=Usage())
        assert (await Flujo(timed, quota=Quota(seconds=5, usd=0)).run_async(0, quota="refuse")).success

    async def test_parts_are_held_to_their_own(self) -> None:
        body = spending("b", "0.01")
        each = Loop(body.within(Quota(usd="0.10")), until=lambda number: number > 1, max_turns=4)
        assert (await Flujo(each).run_async(0, quota="refuse")).success
        every = Loop(body, until=lambda number: number > 1, max_turns=4).within(Quota(usd="0.30"))
        assert "'loop' has $0.30 left, and the worst case takes $0.40" in await self.refused(every)

    async def test_accounts_as_they_stand(self) -> None:
        runner = Flujo(spending("a", "0.07"), quota=Quota(usd="0.20", of="tenant"), state=MemoryStore())
        assert (await runner.run_async(0, tenant="x", quota="refuse")).success
        assert (await runner.run_async(0, tenant="x", quota="refuse")).success
        with pytest.raises(QuotaExceeded, match=r"'tenant:x' has \$0.06 left"):
            await runner.run_async(0, tenant="x", quota="refuse")

    async def test_another_word(self) -> None:
        wrong: Any = "warn"
        with pytest.raises(ConfigError, match="quota='warn'"):
            await Flujo(add).run_async(0, quota=wrong)


class TestPrices:
    def test_a_model_s_upper_bound(self) -> None:
        assert price("openai:gpt-4o", Usage(input_tokens=1000, output_tokens=100)) == Decimal("0.0035")
        assert price("gpt-4o", Usage()) == 0

    def test_an_unknown_model(self) -> None:
        for unknown in ("openai:none-such", "nobody:gpt-4o"):
            with pytest.raises(ConfigError, match="has no known price"):
                price(unknown, Usage(input_tokens=1))
