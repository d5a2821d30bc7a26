"""Events from outside, as every store keeps them."""

from pathlib import Path

import pytest

from flujo.errors import RunTaken
from flujo.journal.store import Batch, JournalStore, Signal
from tests.conformance.conftest import MakeStore
from tests.journal.scribe import Scribe


def delivery(*signals: Signal, token: str = "outside") -> Batch:
    return Batch(signals[0].run_id, token, (), signals=signals)


def signal(number: int, run_id: str = "run-1", name: str = "paid") -> Signal:
    return Signal(f"id-{number}", run_id, name, 1_000 + number, b'{"amount":%d}' % number)


async def test_signals_are_kept_in_the_order_they_came(store: JournalStore) -> None:
    await store.submit(Scribe().begin())
    await store.submit(delivery(signal(2)))
    await store.submit(delivery(signal(1), signal(3, name="shipped")))
    await store.submit(delivery(signal(4, "run-2")))
    assert await store.signals("run-1") == [signal(1), signal(2), signal(3, name="shipped")]
    assert await store.signals("nobody") == []


async def test_a_signal_delivered_twice_is_one(store: JournalStore) -> None:
    await store.submit(delivery(signal(1)))
    await store.submit(delivery(signal(1)._replace(payload=b"2"), token="again"))
    assert await store.signals("run-1") == [signal(1)]


async def test_a_signal_is_taken_in_with_the_event_that_says_so(store: JournalStore) -> None:
    scribe = Scribe()
    await store.submit(scribe.begin())
    await store.submit(delivery(signal(1), signal(2)))
    await store.submit(scribe.batch()._replace(received=["id-1"]))
    assert await store.signals("run-1") == [signal(2)]


async def test_a_refused_owner_takes_no_signal_in(store: JournalStore) -> None:
    scribe = Scribe()
    await store.submit(scribe.begin())
    rival = scribe.heir("rival")
    await store.submit(delivery(signal(1)))
    await store.submit(scribe.batch())
    with pytest.raises(RunTaken):
        await store.submit(rival.batch()._replace(received=["id-1"]))
    assert await store.signals("run-1") == [signal(1)]


async def test_signals_outlive_the_process(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(tmp_path)
    await store.submit(delivery(signal(1)))
    await store.close()
    again = make_store(tmp_path)
    kept = await again.signals("run-1")
    await again.close()
    assert kept == ([signal(1)] if type(store).__name__ != "MemoryStore" else [])
