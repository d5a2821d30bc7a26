"""Cancelling dies half-way: whoever goes on, it ends cancelled and nothing is undone twice."""

from collections import Counter

import pytest

from flujo import Flujo, HumanInput, MemoryStore
from flujo.errors import StoreUnavailable
from flujo.journal.verify import verify
from flujo.testing import DEATHS, Death, Died, Outcome
from tests.crash.harness import Mortal
from tests.crash.of_steps import book_0, book_1, book_2
from tests.crash.scenario import RUN, Notes, a_clock
from tests.crash.witness import WITNESS

pipeline = book_0 >> book_1 >> book_2 >> HumanInput("?", schema=int, name="ask")


def runner(store: Mortal) -> Flujo[int, int]:
    return Flujo(pipeline, context_model=Notes, state=store, clock=a_clock())


async def paused() -> MemoryStore:
    WITNESS.reset()
    inner = MemoryStore()
    assert (await runner(Mortal(inner)).run_async(0, run_id=RUN)).status == "paused"
    WITNESS.reset()
    return inner


@pytest.mark.parametrize("then", ["cancel", "resume"])
@pytest.mark.parametrize("death", DEATHS)
async def test_cancelling_dies_half_way(death: Death, then: str) -> None:
    store = Mortal(await paused())
    whole = await runner(store).cancel(RUN, "enough")
    assert whole.status == "cancelled"
    assert store.commits >= 4
    for at in range(1, store.commits + 1):
        inner = await paused()
        with pytest.raises((Died, StoreUnavailable)):
            await runner(Mortal(inner, at, death)).cancel(RUN, "enough")
        deeds = list(WITNESS.deeds)
        recorded = {event.address for event in await inner.events(RUN) if event.kind == "undone"}
        WITNESS.reset()
        heir = runner(Mortal(inner))
        known = await inner.run(RUN)
        assert known is not None
        if known.status == "cancelled" or (then == "resume" and recorded):
            result = await heir.resume_async(RUN)
        else:
            result = await heir.cancel(RUN, "enough")
        where = f"died {death} commit {at}"
        assert Outcome.of(result) == Outcome.of(whole), where
        assert Outcome.of(await heir.result(RUN)) == Outcome.of(whole), where
        undone = Counter(deed.where for deed in WITNESS.deeds)
        assert not set(undone) & recorded, where
        assert all(times <= 2 for times in Counter(d.where for d in (*deeds, *WITNESS.deeds)).values())
        assert (await verify(inner, RUN)).sound
