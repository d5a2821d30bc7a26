"""The ledger, as every store keeps it: nothing beyond a limit, and nothing by halves."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from flujo.errors import RunTaken
from flujo.journal.ledger import Balance, Claim, Held, LedgerEntry, Release, Reserve, Settle, Shortfall
from flujo.journal.store import Batch, JournalStore
from tests.conformance.conftest import MakeStore
from tests.journal.scribe import Scribe

DAY = "tenant:acme/day:2027-01-15"


def reserve(amount: int, name: str = "draft@1", *, limit: int = 10, account: str = DAY) -> Reserve:
    return Reserve(name, [Claim(account, "usd", amount, limit)])


def batch(scribe: Scribe, *entries: LedgerEntry) -> Batch:
    return (scribe.batch() if scribe.seq else scribe.begin())._replace(ledger=entries)


async def stands(store: JournalStore, account: str = DAY) -> list[tuple[int, int, int]]:
    """Return the limit, what is spent and what is set aside, by meter."""
    return [(one.limit, one.spent, one.reserved) for one in await store.balances(account)]


class TestReserving:
    async def test_what_fits_is_set_aside(self, store: JournalStore) -> None:
        scribe = Scribe()
        assert await store.submit(batch(scribe, reserve(4))) == ()
        assert await store.submit(batch(scribe, reserve(6, "send@1"))) == ()
        assert await store.balances() == [Balance(DAY, "usd", 10, 0, 10)]
        assert await store.reservations("run-1") == [
            Held("run-1", "draft@1", DAY, "usd", 4),
            Held("run-1", "send@1", DAY, "usd", 6),
        ]

    async def test_what_does_not_fit_is_told_and_the_events_are_kept(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(7)))
        short = await store.submit(batch(scribe, reserve(4, "send@1")))
        assert short == (Shortfall("send@1", DAY, "usd", 10, 0, 7, 4),)
        assert await stands(store) == [(10, 0, 7)]
        assert len(await store.events("run-1")) == 2

    async def test_all_or_nothing(self, store: JournalStore) -> None:
        scribe = Scribe()
        month = "tenant:acme/month:2027-01"
        await store.submit(batch(scribe, reserve(7)))
        both = Reserve(
            "send@1", [Claim(month, "usd", 4, 90), Claim(DAY, "usd", 4, 10), Claim(DAY, "steps", 1, 0)]
        )
        short = await store.submit(batch(scribe, both))
        assert sorted(short) == [
            Shortfall("send@1", DAY, "steps", 0, 0, 0, 1),
            Shortfall("send@1", DAY, "usd", 10, 0, 7, 4),
        ]
        assert await stands(store, month) == [(90, 0, 0)]
        assert await stands(store) == [(0, 0, 0), (10, 0, 7)]

    async def test_nothing_may_be_asked_for_where_more_was_spent(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(1)))
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 11})))
        assert await stands(store) == [(10, 11, 0)]
        assert await store.submit(batch(scribe, reserve(0, "send@1"))) == (
            Shortfall("send@1", DAY, "usd", 10, 11, 0, 0),
        )

    async def test_the_limit_is_the_newest_that_was_told(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(7)))
        assert await store.submit(batch(scribe, reserve(1, "a@1", limit=5)))
        assert await stands(store) == [(5, 0, 7)]
        assert not await store.submit(batch(scribe, reserve(9, "b@1", limit=20)))
        assert await stands(store) == [(20, 0, 16)]

    async def test_amounts_are_exact_beyond_what_a_double_holds(self, store: JournalStore) -> None:
        scribe, large = Scribe(), 2**62
        assert not await store.submit(batch(scribe, reserve(large - 1, limit=large)))
        assert not await store.submit(batch(scribe, reserve(1, "a@1", limit=large)))
        assert await store.submit(batch(scribe, reserve(1, "b@1", limit=large)))
        assert await stands(store) == [(large, 0, large)]

    async def test_one_batch_is_kept_in_its_order(self, store: JournalStore) -> None:
        scribe = Scribe()
        short = await store.submit(
            batch(scribe, reserve(8), Settle("draft@1", {"usd": 3}), reserve(7, "a@1"), reserve(1, "b@1"))
        )
        assert [missing.id for missing in short] == ["b@1"]
        assert await stands(store) == [(10, 3, 7)]


class TestSettling:
    async def test_what_was_spent_is_kept_and_the_rest_given_back(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(8)))
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 5, "tokens": 3})))
        assert await stands(store) == [(10, 5, 0)]
        assert await store.reservations() == []

    async def test_more_than_was_set_aside_is_kept_truthfully(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(8)))
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 12})))
        assert await stands(store) == [(10, 12, 0)]

    async def test_settling_twice_is_settling_once(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(8)))
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 5})))
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 5}), Release("draft@1")))
        assert await stands(store) == [(10, 5, 0)]

    async def test_what_was_not_reserved_is_not_settled(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 5}), Release("other@1")))
        assert await store.balances() == []

    async def test_released_is_given_back(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(8)))
        await store.submit(batch(scribe, Release("draft@1")))
        assert await stands(store) == [(10, 0, 0)]
        assert not await store.submit(batch(scribe, reserve(10)))


class TestTakingOver:
    async def test_a_reservation_made_again_is_the_same(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(8)))
        heir = scribe.heir("heir")
        assert await store.submit(batch(heir, reserve(8))) == ()
        assert await stands(store) == [(10, 0, 8)]
        await store.submit(batch(heir, Settle("draft@1", {"usd": 8})))
        assert await stands(store) == [(10, 8, 0)]

    @pytest.mark.parametrize(("amount", "fits"), [(3, True), (9, True), (11, False)])
    async def test_it_is_raised_where_there_is_room(
        self, store: JournalStore, amount: int, fits: bool
    ) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(5)))
        short = await store.submit(batch(scribe, reserve(amount)))
        assert short == (() if fits else (Shortfall("draft@1", DAY, "usd", 10, 0, 5, 6),))
        assert await stands(store) == [(10, 0, max(5, amount) if fits else 5)]

    async def test_it_stays_in_the_window_that_it_was_made_in(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(batch(scribe, reserve(5)))
        later = "tenant:acme/day:2027-01-16"
        assert await store.submit(batch(scribe, reserve(5, account=later))) == ()
        await store.submit(batch(scribe, Settle("draft@1", {"usd": 4})))
        assert await stands(store) == [(10, 4, 0)]
        assert await stands(store, later) == [(10, 0, 0)]

    async def test_reservations_of_two_runs_are_apart(self, store: JournalStore) -> None:
        one, other = Scribe("run-1"), Scribe("run-2")
        await store.submit(batch(one, reserve(4)))
        await store.submit(batch(other, reserve(4)))
        await store.submit(batch(one, Release("draft@1")))
        assert await stands(store) == [(10, 0, 4)]
        assert [held.run_id for held in await store.reservations()] == ["run-2"]
        assert await store.reservations("run-1") == []


class TestCommits:
    async def test_a_refused_owner_changes_no_account(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(scribe.begin())
        rival = scribe.heir("rival")
        await store.submit(batch(scribe, reserve(4)))
        with pytest.raises(RunTaken):
            await store.submit(batch(rival, reserve(5, "other@1")))
        with pytest.raises(RunTaken):
            await store.submit(batch(rival, Release("draft@1")))
        assert await stands(store) == [(10, 0, 4)]

    async def test_of_many_at_once_as_many_are_made_as_fit(self, store: JournalStore) -> None:
        runs = [Scribe(f"run-{number}") for number in range(60)]
        told = await asyncio.gather(*(store.submit(batch(run, reserve(3, limit=100))) for run in runs))
        assert sum(short == () for short in told) == 33
        assert await stands(store) == [(100, 0, 99)]
        assert {len(await store.events(run.run_id)) for run in runs} == {1}

    async def test_together_with_a_batch_that_is_refused(self, store: JournalStore) -> None:
        """Where a group must be written one by one, the others' reservations are made once, and told."""
        first = Scribe("run-1", "first")
        await store.submit(first.begin())
        rival = Scribe("run-1", "rival")
        others = [Scribe(f"run-{number}") for number in (2, 3)]
        told = await asyncio.gather(
            store.submit(batch(others[0], reserve(6))),
            store.submit(rival.begin()),
            store.submit(batch(others[1], reserve(6))),
            return_exceptions=True,
        )
        assert told[0] == ()
        assert isinstance(told[1], RunTaken)
        assert told[2] == (Shortfall("draft@1", DAY, "usd", 10, 0, 6, 6),)
        assert await stands(store) == [(10, 0, 6)]

    async def test_several_stores_on_one_ledger(self, make_store: MakeStore, tmp_path: Path) -> None:
        stores: Sequence[JournalStore] = [make_store(tmp_path) for _ in range(4)]
        if type(stores[0]).__name__ == "MemoryStore":
            stores = [stores[0]] * 4

        async def spend(number: int, attempts: int = 8) -> int:
            run, store, made = Scribe(f"run-{number}"), stores[number % 4], 0
            for attempt in range(attempts):
                accounts = [f"tenant:{name}" for name in ("ab", "ba")[number % 2]]  # locked in either order
                entry = Reserve(f"a@{attempt}", [Claim(name, "usd", 5, 400) for name in accounts])
                if await store.submit(batch(run, entry)) == ():
                    made += 1
                    await store.submit(batch(run, Settle(entry.id, {"usd": 3})))
            return made

        made = sum(await asyncio.gather(*map(spend, range(24))))
        made += await spend(24, 60)  # some were refused for what others held and gave back
        assert made == 132
        for account in ("tenant:a", "tenant:b"):
            assert await stands(stores[0], account) == [(400, 3 * made, 0)]
        for store in set(stores):
            await store.close()

    async def test_it_outlives_the_process(self, make_store: MakeStore, tmp_path: Path) -> None:
        store = make_store(tmp_path)
        await store.submit(batch(Scribe(), reserve(4)))
        await store.close()
        again = make_store(tmp_path)
        known = await stands(again)
        await again.close()
        assert known == ([(10, 0, 4)] if type(store).__name__ != "MemoryStore" else [])
