"""What every store does: one suite, and each store is a parameter of it."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from flujo.errors import ChainBroken, ConfigError, RunTaken, StoreError, StoreUnavailable
from flujo.journal.events import Event
from flujo.journal.memory import MemoryStore
from flujo.journal.store import JournalStore, RunQuery, RunRecord, RunStatus, StatusChange
from tests.journal.scribe import RUNNING, START, Scribe, payload

PAUSED = StatusChange("paused")
COMPLETED = StatusChange("completed")

MakeStore = Callable[[Path], JournalStore]


class TestAppending:
    async def test_events_are_read_as_they_were_written(self, store: JournalStore) -> None:
        scribe = Scribe()
        first, second = scribe.begin(), scribe.batch(scribe.event(), scribe.event("turn", "loop[1]"))
        await store.submit(first)
        await store.submit(second)
        assert await store.events("run-1") == [*first.events, *second.events]

    async def test_any_text_and_bytes_come_back(self, store: JournalStore) -> None:
        scribe = Scribe("Lauf é \U0001f41d")
        await store.submit(scribe.begin())
        odd = scribe.event("effect", "größe/日本\n#x", bytes(range(256)) * 4096)
        empty = scribe.event("answer", "", b"")
        await store.submit(scribe.batch(odd, empty))
        assert (await store.events(scribe.run_id))[1:] == [odd, empty]

    async def test_a_part_of_the_events_is_read(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(*(scribe.event() for _ in range(9))))
        assert [event.seq for event in await store.events("run-1", after=7)] == [8, 9, 10]
        assert [event.seq for event in await store.events("run-1", after=2, limit=3)] == [3, 4, 5]
        assert await store.events("run-1", limit=0) == []
        assert await store.events("run-1", after=10) == []
        assert await store.events("nobody") == []

    async def test_long_runs_are_read_whole(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(*(scribe.event() for _ in range(2_500))))
        assert [event.seq for event in await store.events("run-1")] == list(range(1, 2_502))
        assert [event.seq for event in await store.events("run-1", after=1, limit=1_000)] == list(
            range(2, 1_002)
        )
        assert [event.seq for event in await store.live_events("run-1")] == list(range(1, 2_502))

    async def test_batches_are_committed_in_the_order_of_submission(self, store: JournalStore) -> None:
        scribe = Scribe()
        done: list[int] = []
        futures = [store.submit(scribe.begin())]
        for number in range(1, 200):
            futures.append(store.submit(scribe.batch()))
            futures[-1].add_done_callback(lambda _, number=number: done.append(number))
        await asyncio.gather(*futures)
        await asyncio.sleep(0)
        assert done == list(range(1, 200))
        assert len(await store.events("run-1")) == 200

    async def test_a_cancelled_wait_does_not_cancel_the_commit(self, store: JournalStore) -> None:
        scribe = Scribe()
        store.submit(scribe.begin()).cancel()
        await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == 2

    async def test_a_batch_without_events_stores_what_else_it_holds(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch()._replace(events=(), cache=[("key", b"value")]))
        assert await store.cached("key") == b"value"

    async def test_batches_that_no_store_can_hold_are_defects(self, store: JournalStore) -> None:
        scribe = Scribe()
        first, second, third = scribe.event(), scribe.event(), scribe.event()
        for unsound in (
            scribe.batch(first),  # begins a run without its record
            scribe.batch(first, third, change=RUNNING),  # skips one
            scribe.batch(first, change=RUNNING)._replace(run_id="run-2"),  # belongs to another run
            scribe.batch(first, change=RUNNING)._replace(events=()),  # changes a record without an event
        ):
            with pytest.raises(StoreError, match="a batch of run 'run-"):
                await store.submit(unsound)
        await store.submit(scribe.batch(first, second, third, change=RUNNING))
        assert await store.events("run-1") == [first, second, third]


class TestFence:
    async def test_the_second_owner_is_refused_at_its_first_write(self, store: JournalStore) -> None:
        first = Scribe(token="first")
        await store.submit(first.begin())
        second = first.heir("second")
        await store.submit(first.batch())
        with pytest.raises(RunTaken, match="'run-1'"):
            await store.submit(second.batch())
        await store.submit(first.batch())
        assert len(await store.events("run-1")) == 3

    async def test_a_refused_owner_stays_refused(self, store: JournalStore) -> None:
        """Also for a batch that would fit by its number: its hash continues another history."""
        stale = Scribe(token="stale")
        await store.submit(stale.begin())
        heir = stale.heir("heir")
        await store.submit(heir.batch())
        refused = [store.submit(stale.batch()), store.submit(stale.batch())]
        for future in refused:
            with pytest.raises(RunTaken):
                await future
        assert stale.seq == heir.seq + 1
        with pytest.raises(RunTaken):
            await store.submit(stale.batch(stale.event())._replace(events=(heir.event(),)))
        assert len(await store.events("run-1")) == 2

    async def test_batches_queued_behind_a_refused_one_are_refused(self, store: JournalStore) -> None:
        """All of them wait at once, so that a store with group commit meets them in one transaction."""
        stale = Scribe(token="stale")
        await store.submit(stale.begin())
        heir = stale.heir("heir")
        futures = [store.submit(heir.batch()), *(store.submit(stale.batch()) for _ in range(3))]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [tuple, RunTaken, RunTaken, RunTaken]
        assert [event.hash for event in (await store.events("run-1"))[1:]] == [heir.head]

    async def test_other_runs_are_not_affected(self, store: JournalStore) -> None:
        others = [Scribe(f"other-{number}") for number in range(50)]
        stale = Scribe(token="stale")
        await store.submit(stale.begin())
        heir = stale.heir("heir")
        await store.submit(heir.batch())
        before = [store.submit(other.begin()) for other in others[:25]]
        refused = store.submit(stale.batch())
        after = [store.submit(other.begin()) for other in others[25:]]
        with pytest.raises(RunTaken):
            await refused
        await asyncio.gather(*before, *after)
        assert all([len(await store.events(other.run_id)) == 1 for other in others])
        assert len(await store.events("run-1")) == 2

    async def test_a_gap_is_refused(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(scribe.begin())
        scribe.event()
        with pytest.raises(RunTaken):
            await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == 1

    async def test_a_run_cannot_begin_in_the_middle(self, store: JournalStore) -> None:
        scribe = Scribe()
        scribe.event()
        with pytest.raises(RunTaken):
            await store.submit(scribe.batch(change=RUNNING))
        assert await store.events("run-1") == []
        assert await store.run("run-1") is None

    async def test_one_id_is_one_run(self, store: JournalStore) -> None:
        first, second = Scribe(token="first"), Scribe(token="second", at=START + 99)
        outcomes = await asyncio.gather(
            store.submit(first.begin()),
            store.submit(second.begin(StatusChange("running", pipeline="other"))),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [tuple, RunTaken]
        record = await store.run("run-1")
        assert record is not None
        assert record.pipeline == "triage"

    async def test_a_refused_batch_leaves_nothing_behind(self, store: JournalStore) -> None:
        first = Scribe(token="first")
        await store.submit(first.begin())
        second = first.heir("second")
        await store.submit(first.batch())
        digest, content = payload(b"large")
        with pytest.raises(RunTaken):
            await store.submit(
                second.batch(
                    second.event(),
                    second.event(),
                    change=PAUSED,
                    payloads=[(digest, content)],
                    cache=[("key", b"value")],
                )
            )
        assert len(await store.events("run-1")) == 2
        record = await store.run("run-1")
        assert record is not None
        assert record.status == "running"
        assert await store.cached("key") is None
        with pytest.raises(ChainBroken, match="missing"):
            await store.payload(digest)


class TestRecords:
    async def test_a_record_says_where_its_run_stands(self, store: JournalStore) -> None:
        scribe = Scribe()
        begin = scribe.begin()
        await store.submit(begin)
        started = begin.events[0]
        expected = RunRecord(
            run_id="run-1",
            pipeline="triage",
            fingerprint="f1",
            status="running",
            owner="here:1:0",
            created_at=started.at,
            updated_at=started.at,
            seq=1,
            hash=started.hash,
        )
        assert await store.run("run-1") == expected
        await store.submit(scribe.batch())
        assert await store.run("run-1") == expected, "a batch without a change leaves the record"

    async def test_a_change_keeps_where_the_run_began(self, store: JournalStore) -> None:
        scribe = Scribe()
        begin = scribe.begin()
        await store.submit(begin)
        await store.submit(scribe.batch())
        pause = scribe.batch(
            scribe.event("request"), scribe.event("timer"), change=StatusChange("paused", "", "other", "f2")
        )
        await store.submit(pause)
        assert await store.run("run-1") == RunRecord(
            run_id="run-1",
            pipeline="triage",
            fingerprint="f1",
            status="paused",
            owner="",
            created_at=begin.events[0].at,
            updated_at=pause.events[-1].at,
            seq=4,
            hash=pause.events[-1].hash,
        )

    async def test_a_run_is_carried_on_by_another_owner(self, store: JournalStore) -> None:
        scribe = Scribe(token="first")
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(change=PAUSED))
        heir = scribe.heir("second")
        await store.submit(heir.batch(heir.event("run.resumed", ""), change=RUNNING))
        await store.submit(heir.end(COMPLETED))
        record = await store.run("run-1")
        assert record is not None
        assert (record.status, record.owner, record.seq) == ("completed", "", 4)

    async def test_begin_and_end_may_share_a_commit(self, store: JournalStore) -> None:
        scribes = [Scribe(f"run-{number}") for number in range(100)]
        futures = [store.submit(batch) for s in scribes for batch in (s.begin(), s.batch(), s.end(COMPLETED))]
        await asyncio.gather(*futures)
        page = await store.runs(RunQuery(limit=200))
        assert {(record.status, record.seq) for record in page.runs} == {("completed", 3)}
        assert len(page.runs) == 100

    async def test_an_unknown_run_has_no_record(self, store: JournalStore) -> None:
        assert await store.run("nobody") is None


class TestLists:
    STATUSES: tuple[RunStatus, ...] = ("running", "paused", "completed", "failed")

    @pytest.fixture
    async def many(self, store: JournalStore) -> list[RunRecord]:
        """Forty runs, begun in a shuffled order and some of them at one time; newest first."""
        chance = random.Random(7)
        numbers = list(range(40))
        chance.shuffle(numbers)
        for number in numbers:
            scribe = Scribe(f"{'ab'[number % 2]}_{number:02}", at=START + number // 3 * 1_000)
            change = StatusChange(self.STATUSES[number % 4], pipeline=f"p{number % 5}", fingerprint="f")
            await store.submit(scribe.begin(change))
        records = [await store.run(f"{'ab'[number % 2]}_{number:02}") for number in numbers]
        found = [record for record in records if record is not None]
        return sorted(found, key=lambda record: (record.created_at, record.run_id), reverse=True)

    async def test_the_newest_come_first(self, store: JournalStore, many: list[RunRecord]) -> None:
        page = await store.runs(RunQuery(limit=100))
        assert list(page.runs) == many
        assert page.next == ""

    @pytest.mark.parametrize("size", [1, 3, 7, 39, 40, 41])
    async def test_pages_hold_every_run_once(
        self, store: JournalStore, many: list[RunRecord], size: int
    ) -> None:
        found: list[RunRecord] = []
        query = RunQuery(limit=size)
        while True:
            page = await store.runs(query)
            found.extend(page.runs)
            assert len(page.runs) == size or not page.next
            if not page.next:
                break
            query = RunQuery(limit=size, after=page.next)
        assert found == many

    async def test_a_run_begun_meanwhile_shifts_no_page(
        self, store: JournalStore, many: list[RunRecord]
    ) -> None:
        first = await store.runs(RunQuery(limit=10))
        await store.submit(Scribe("newest", at=START + 10**9).begin())
        second = await store.runs(RunQuery(limit=10, after=first.next))
        assert [*first.runs, *second.runs] == many[:20]

    async def test_filters(self, store: JournalStore, many: list[RunRecord]) -> None:
        async def ids(query: RunQuery) -> list[str]:
            return [record.run_id for record in (await store.runs(query)).runs]

        def expected(fits: Callable[[RunRecord], bool]) -> list[str]:
            return [record.run_id for record in many if fits(record)]

        middle = many[20].created_at
        assert await ids(RunQuery(status=["paused"])) == expected(lambda r: r.status == "paused")
        assert await ids(RunQuery(status=["paused", "failed", "paused"])) == expected(
            lambda r: r.status in ("paused", "failed")
        )
        assert await ids(RunQuery(status=["cancelled"])) == []
        assert await ids(RunQuery(pipeline="p3")) == expected(lambda r: r.pipeline == "p3")
        assert await ids(RunQuery(since=middle)) == expected(lambda r: r.created_at >= middle)
        assert await ids(RunQuery(until=middle)) == expected(lambda r: r.created_at < middle)
        assert await ids(RunQuery(prefix="a_")) == expected(lambda r: r.run_id.startswith("a_"))
        assert await ids(RunQuery(prefix="a_12")) == ["a_12"]
        assert await ids(RunQuery(prefix="a%")) == []
        assert await ids(RunQuery(prefix="A_")) == []
        assert await ids(
            RunQuery(status=["completed", "running"], pipeline="p2", until=middle, prefix="a")
        ) == (expected(lambda r: r.pipeline == "p2" and r.created_at < middle and r.run_id < "b"))

    async def test_filtered_pages(self, store: JournalStore, many: list[RunRecord]) -> None:
        first = await store.runs(RunQuery(status=["paused", "failed"], limit=6))
        second = await store.runs(RunQuery(status=["paused", "failed"], limit=50, after=first.next))
        assert [*first.runs, *second.runs] == [r for r in many if r.status in ("paused", "failed")]
        assert len(first.runs) == 6

    async def test_a_record_is_listed_under_its_new_status(self, store: JournalStore) -> None:
        scribe = Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(change=PAUSED))
        assert (await store.runs(RunQuery(status=["running"]))).runs == ()
        assert [record.run_id for record in (await store.runs(RunQuery(status=["paused"]))).runs] == ["run-1"]

    async def test_a_query_that_makes_no_sense_is_refused(self, store: JournalStore) -> None:
        with pytest.raises(ConfigError, match="'yesterday' is not a cursor"):
            await store.runs(RunQuery(after="yesterday"))
        with pytest.raises(ConfigError, match="cannot hold 0 runs"):
            await store.runs(RunQuery(limit=0))


class TestPayloadsAndCache:
    async def test_payloads_are_stored_once(self, store: JournalStore) -> None:
        scribe = Scribe()
        large = payload(b"x" * 200_000)
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(payloads=[large]))
        await store.submit(scribe.batch(payloads=[large, payload(b"other"), large]))
        assert await store.payload(large[0]) == large[1]
        assert await store.payload(payload(b"other")[0]) == b"other"

    async def test_a_missing_payload_breaks_the_chain(self, store: JournalStore) -> None:
        digest, _ = payload(b"never stored")
        with pytest.raises(ChainBroken, match=digest.hex()):
            await store.payload(digest)

    async def test_a_payload_that_is_not_what_its_digest_says(self, store: JournalStore) -> None:
        scribe = Scribe()
        digest, _ = payload(b"this")
        await store.submit(scribe.begin()._replace(payloads=[(digest, b"that")]))
        with pytest.raises(ChainBroken, match="changed"):
            await store.payload(digest)

    async def test_the_cache_remembers_the_last_value(self, store: JournalStore) -> None:
        one, other = Scribe("run-1"), Scribe("run-2")
        assert await store.cached("key") is None
        await store.submit(one.begin()._replace(cache=[("key", b"1"), ("other", b"")]))
        assert await store.cached("key") == b"1"
        await store.submit(other.begin()._replace(cache=[("key", b"2")]))
        assert await store.cached("key") == b"2"
        assert await store.cached("other") == b""


class TestConcurrency:
    async def test_many_runs_at_once(self, store: JournalStore) -> None:
        async def carry(scribe: Scribe) -> None:
            await store.submit(scribe.begin())
            for _ in range(8):
                await store.submit(scribe.batch())
            await store.submit(scribe.end(COMPLETED))

        scribes = [Scribe(f"run-{number:03}") for number in range(200)]
        await asyncio.gather(*map(carry, scribes))
        for scribe in scribes:
            events = await store.events(scribe.run_id)
            assert [event.seq for event in events] == list(range(1, 11))
            assert events[-1].hash == scribe.head

    def test_several_event_loops_in_turn(self, make_store: MakeStore, tmp_path: Path) -> None:
        store = make_store(tmp_path)
        scribe = Scribe()

        async def write() -> int:
            await store.submit(scribe.batch() if scribe.seq else scribe.begin())
            return len(await store.events("run-1"))

        assert [asyncio.run(write()) for _ in range(4)] == [1, 2, 3, 4]
        asyncio.run(store.close())

    def test_several_threads_at_once(self, make_store: MakeStore, tmp_path: Path) -> None:
        store = make_store(tmp_path)
        failures: list[BaseException] = []

        async def carry(name: str) -> None:
            scribe = Scribe(name)
            await store.submit(scribe.begin())
            for seq in range(2, 30):
                await store.submit(scribe.batch())
                assert len(await store.events(name)) == seq

        def work(name: str) -> None:
            try:
                asyncio.run(carry(name))
            except BaseException as error:
                failures.append(error)

        threads = [Thread(target=work, args=(f"thread-{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(asyncio.run(store.runs(RunQuery())).runs) == 6
        asyncio.run(store.close())

    def test_a_loop_that_died_waiting_harms_nobody(self, make_store: MakeStore, tmp_path: Path) -> None:
        store = make_store(tmp_path)
        scribe = Scribe()

        async def leave() -> None:
            store.submit(scribe.begin())

        async def go_on() -> list[Event]:
            await store.submit(scribe.batch())
            return await store.events("run-1")

        asyncio.run(leave())
        assert len(asyncio.run(go_on())) == 2
        asyncio.run(store.close())


class TestClosing:
    async def test_what_is_queued_is_committed(self, make_store: MakeStore, tmp_path: Path) -> None:
        store = make_store(tmp_path)
        scribe = Scribe()
        futures = [store.submit(scribe.begin()), *(store.submit(scribe.batch()) for _ in range(50))]
        await store.close()
        assert await asyncio.gather(*futures) == [()] * 51
        if not isinstance(store, MemoryStore):
            later = make_store(tmp_path)
            assert [event.seq for event in await later.events("run-1")] == list(range(1, 52))
            await later.close()

    async def test_twice(self, store: JournalStore) -> None:
        await store.submit(Scribe().begin())
        await store.close()
        await store.close()

    async def test_unused(self, store: JournalStore) -> None:
        await store.close()

    async def test_at_the_same_time(self, store: JournalStore) -> None:
        await store.submit(Scribe().begin())
        await asyncio.gather(store.close(), store.close())

    async def test_a_closed_store_says_so(self, store: JournalStore) -> None:
        await store.submit(Scribe().begin())
        await store.close()
        for use in (
            lambda: store.submit(Scribe("run-2").begin()),
            lambda: store.events("run-1"),
            lambda: store.live_events("run-1"),
            lambda: store.run("run-1"),
            lambda: store.runs(RunQuery()),
            lambda: store.cached("key"),
            lambda: store.payload(bytes(32)),
        ):
            with pytest.raises(StoreUnavailable, match="is closed"):
                await use()
