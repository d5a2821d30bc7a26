"""The ledger under any order of what may happen to it: several processes, their deaths, windows that end."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from flujo import MemoryStore, SQLiteStore
from flujo.journal import sqlite_ledger
from flujo.journal.ledger import Balance, Claim, LedgerEntry, Release, Reserve, Settle, Shortfall
from flujo.journal.store import Batch, JournalStore
from tests.journal.scribe import Scribe

LIMITS = {"usd": 20, "steps": 6}
RUNS = st.sampled_from(["run-1", "run-2", "run-3"])
One = tuple[str, str]
"""A reservation: its run, and its name."""


class Ledger(RuleBasedStateMachine):
    """Two processes keep accounts in one file; a store in memory and a model say what must come of it."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.memory = MemoryStore()
        self.stores: list[SQLiteStore] = [self.opened(), self.opened()]
        self.scribes: dict[str, tuple[Scribe, int]] = {}
        self.day = 1
        self.attempts = 0
        self.spent: dict[tuple[str, str], int] = {}
        self.reserved: dict[tuple[str, str], dict[tuple[str, str], int]] = {}

    def opened(self) -> SQLiteStore:
        return SQLiteStore(Path(self.folder.name) / "flujo_ops.db", synchronous="NORMAL")

    def teardown(self) -> None:
        for store in self.stores:
            self.loop.run_until_complete(store.close())
        self.loop.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        for number, run_id in enumerate(("run-1", "run-2", "run-3")):
            self.scribes[run_id] = Scribe(run_id), number % 2
            self.keep(run_id)

    def keep(self, run_id: str, *entries: LedgerEntry) -> tuple[Shortfall, ...]:
        """Record entries by the process that carries a run, and in memory; return what was missing."""
        scribe, place = self.scribes[run_id]
        batch = (scribe.batch() if scribe.seq else scribe.begin())._replace(ledger=entries)
        told = self.loop.run_until_complete(self.submitted(self.stores[place], batch))
        assert told == self.loop.run_until_complete(self.submitted(self.memory, batch))
        return told

    @staticmethod
    async def submitted(store: JournalStore, batch: Batch) -> tuple[Shortfall, ...]:
        return await store.submit(batch)

    @property
    def accounts(self) -> tuple[str, str]:
        return f"tenant:a/day:{self.day}", "pipeline:p"

    def left(self, place: tuple[str, str]) -> int:
        taken = sum(amounts.get(place, 0) for amounts in self.reserved.values())
        return LIMITS[place[1]] - self.spent.get(place, 0) - taken

    @rule(target=held, run_id=RUNS, usd=st.integers(0, 9), steps=st.integers(0, 2))
    def reserve(
        self, run_id: str, usd: int, steps: int
    ) -> tuple[str, str] | MultipleResults[tuple[str, str]]:
        self.attempts += 1
        name = f"a@{self.attempts}"
        asked = {(account, "usd"): usd for account in self.accounts}
        asked[self.accounts[0], "steps"] = steps
        entry = Reserve(name, [Claim(*place, amount, LIMITS[place[1]]) for place, amount in asked.items()])
        fits = all(self.left(place) >= amount for place, amount in asked.items())
        assert (self.keep(run_id, entry) == ()) is fits
        if not fits:
            return multiple()
        self.reserved[run_id, name] = asked
        return run_id, name

    @rule(one=held, usd=st.integers(0, 9))
    def reserve_again(self, one: One, usd: int) -> None:
        """By the heir of a process that died, which may ask for more, and in another window."""
        asked = self.reserved.get(one)
        if asked is None:
            return
        wanted = {(account, "usd"): usd for account in self.accounts}
        entry = Reserve(one[1], [Claim(*place, amount, LIMITS[place[1]]) for place, amount in wanted.items()])
        more = {place: usd - asked[place] for place in wanted if asked.get(place, usd) < usd}
        fits = all(self.left(place) >= amount for place, amount in more.items())
        assert (self.keep(one[0], entry) == ()) is fits
        if fits:
            asked.update(dict.fromkeys(more, usd))

    @rule(one=consumes(held), share=st.integers(0, 100))
    def settle(self, one: One, share: int) -> None:
        asked = self.reserved.pop(one)
        spent = {meter: min(asked[place] for place in asked if place[1] == meter) for _, meter in asked}
        spent = {meter: amount * share // 100 for meter, amount in spent.items()}
        self.keep(one[0], Settle(one[1], spent))
        for place in asked:
            self.spent[place] = self.spent.get(place, 0) + spent[place[1]]

    @rule(one=consumes(held))
    def release(self, one: One) -> None:
        del self.reserved[one]
        self.keep(one[0], Release(one[1]), Release(one[1]))

    @rule(run_id=RUNS)
    def take_over(self, run_id: str) -> None:
        """The other process carries the run on; the first, should it live, changes nothing any more."""
        scribe, place = self.scribes[run_id]
        heir = scribe.heir(f"heir of {run_id} at {scribe.seq}")
        self.scribes[run_id] = heir, 1 - place
        self.keep(run_id)
        late = scribe.batch()._replace(ledger=[Reserve("late@1", [Claim(self.accounts[1], "usd", 1, 20)])])
        with pytest.raises(Exception, match="another owner"):
            self.loop.run_until_complete(self.submitted(self.stores[place], late))

    @rule(place=st.integers(0, 1))
    def crash(self, place: int) -> None:
        self.loop.run_until_complete(self.stores[place].close())
        self.stores[place] = self.opened()

    @rule()
    def a_day_passes(self) -> None:
        self.day += 1

    @invariant()
    def nothing_is_overspent(self) -> None:
        balances = self.loop.run_until_complete(self.stores[0].balances())
        for one in balances:
            assert one.spent + one.reserved <= one.limit == LIMITS[one.meter], one
        assert balances == self.loop.run_until_complete(self.memory.balances())
        assert {(one.account, one.meter): one.spent for one in balances if one.spent} == {
            place: amount for place, amount in self.spent.items() if amount
        }
        known = self.loop.run_until_complete(self.stores[1].reservations())
        assert {(row.run_id, row.id, row.account, row.meter): row.amount for row in known} == {
            (*one, *place): amount for one, asked in self.reserved.items() for place, amount in asked.items()
        }


STEPS = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_the_ledger_in_any_order() -> None:
    run_state_machine_as_test(Ledger, settings=STEPS)


@pytest.mark.parametrize("broken", ["check", "settle"])
def test_the_control_a_broken_ledger_is_found(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "check":

        def unchecked(
            entry: Reserve, held: dict[tuple[str, str], int], balances: dict[tuple[str, str], Balance]
        ) -> tuple[list[Claim], tuple[Shortfall, ...]]:
            return ([] if held else list(entry.claims)), ()

        monkeypatch.setattr(sqlite_ledger, "weigh", unchecked)
    else:

        def unsettled(*_: object) -> None:
            return

        monkeypatch.setattr(sqlite_ledger, "_settle", unsettled)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(Ledger, settings=settings(STEPS, phases=[Phase.generate]))
