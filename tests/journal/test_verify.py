"""The audit finds what was changed in a journal after it was written, and names the first place."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from flujo.errors import ChainBroken, StoreCorrupt, UnknownRun
from flujo.journal.events import Event
from flujo.journal.memory import MemoryStore
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import RunQuery, RunRecord, StatusChange
from flujo.journal.verify import Finding, Report, references, verify, verify_all
from tests.journal.scribe import Scribe, payload

COMPLETED = StatusChange("completed")
LARGE = payload(b"a large value")
PART = payload(b"a part of one")


class Ledger(NamedTuple):
    """A store's file with one run of ten events, and a way to write into it behind the store's back."""

    path: Path

    def tamper(self, statement: str, *values: str | int | bytes | None) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            assert connection.execute(statement, values).rowcount == 1

    async def verdict(self, run_id: str = "run-1") -> Finding | None:
        store = SQLiteStore(self.path)
        try:
            return (await verify(store, run_id)).finding
        finally:
            await store.close()


@pytest.fixture
async def ledger(tmp_path: Path) -> Ledger:
    store, scribe = SQLiteStore(tmp_path / "flujo_ops.db"), Scribe()
    await store.submit(scribe.begin())
    for number in range(2, 9):
        await store.submit(scribe.batch(scribe.event("step.completed", f"step-{number}")))
    body = b'{"output_ref":"%b","parts":[{"text_ref":"%b"}]}' % (
        LARGE[0].hex().encode(),
        PART[0].hex().encode(),
    )
    await store.submit(scribe.batch(scribe.event("step.completed", "draft", body), payloads=[LARGE, PART]))
    await store.submit(scribe.end(COMPLETED))
    await store.close()
    return Ledger(tmp_path / "flujo_ops.db")


class TestFindings:
    async def test_a_sound_run(self, ledger: Ledger) -> None:
        store = SQLiteStore(ledger.path)
        report = await verify(store, "run-1")
        assert report == Report("run-1", 10)
        assert report.sound
        await store.close()

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("kind", "turn"),
            ("address", "step-6"),
            ("at", 1),
            ("body", b'{"a":1}'),
            ("hash", bytes(32)),
            ("body", "{}"),
            ("address", b"step-5"),
            ("kind", "step.completed\x00"),
            ("hash", "x"),
        ],
    )
    async def test_a_changed_event(self, ledger: Ledger, column: str, value: str | int | bytes) -> None:
        ledger.tamper(f"UPDATE events SET {column} = ? WHERE seq = 5", value)
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (5, "changed")
        assert finding.message == "event 5 was changed: it does not match its hash"
        assert column == "address" or finding.address == "step-5"

    async def test_an_event_that_cannot_be_read(self, ledger: Ledger) -> None:
        ledger.tamper("UPDATE events SET address = CAST(x'ff' AS TEXT) WHERE seq = 5")
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (5, "unreadable")
        assert "address" in finding.message

    async def test_a_rewritten_event_breaks_the_next(self, ledger: Ledger) -> None:
        """Who recomputes one hash must recompute all that follow, and the record's."""
        forger = Scribe()
        forger.event("run.started", "", b'{"pipeline":"triage"}')
        forged = forger.event("step.completed", "step-2", b'{"output":"forged"}')
        ledger.tamper("UPDATE events SET body = ?, hash = ? WHERE seq = 2", forged.body, forged.hash)
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (3, "changed")

    async def test_a_rewritten_journal_does_not_match_the_record(self, ledger: Ledger) -> None:
        store = SQLiteStore(ledger.path)
        events = await store.events("run-1")
        await store.close()
        forger = Scribe()
        for event in events:
            body = b'{"output":"forged"}' if event.seq == 2 else event.body
            forged = forger.event(event.kind, event.address, body)
            ledger.tamper(
                "UPDATE events SET body = ?, hash = ? WHERE seq = ?", forged.body, forged.hash, forged.seq
            )
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (10, "record")

    async def test_a_missing_event(self, ledger: Ledger) -> None:
        ledger.tamper("DELETE FROM events WHERE seq = 4")
        assert await ledger.verdict() == Finding(4, "", "gap", "event 4 is missing")
        ledger.tamper("DELETE FROM events WHERE seq = 5")
        assert await ledger.verdict() == Finding(4, "", "gap", "events 4 to 5 are missing")

    async def test_a_journal_cut_off(self, ledger: Ledger) -> None:
        ledger.tamper("DELETE FROM events WHERE seq = 10")
        assert await ledger.verdict() == Finding(
            10, "", "truncated", "events 10 to 10 are missing: the journal was cut off"
        )

    async def test_a_journal_gone_altogether(self, ledger: Ledger) -> None:
        for seq in range(1, 11):
            ledger.tamper("DELETE FROM events WHERE seq = ?", seq)
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (1, "truncated")

    @pytest.mark.parametrize("digest", [LARGE[0], PART[0]], ids=["whole", "part"])
    async def test_a_missing_payload(self, ledger: Ledger, digest: bytes) -> None:
        ledger.tamper("DELETE FROM payloads WHERE digest = ?", digest)
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.address, finding.fault) == (9, "draft", "payload")
        assert f"payload {digest.hex()} is missing" in finding.message

    async def test_a_changed_payload(self, ledger: Ledger) -> None:
        ledger.tamper("UPDATE payloads SET bytes = ? WHERE digest = ?", b"another value", LARGE[0])
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (9, "payload")
        assert "was changed" in finding.message

    @pytest.mark.parametrize(
        ("column", "value", "fault"),
        [
            ("status", "failed", "status"),
            ("status", "running", "status"),
            ("status", "pausef", "status"),
            ("pipeline", "other", "record"),
            ("created_at", 1, "record"),
            ("updated_at", 1, "record"),
            ("seq", 3, "record"),
            ("seq", 11, "truncated"),
            ("hash", bytes(32), "record"),
        ],
    )
    async def test_a_changed_record(self, ledger: Ledger, column: str, value: str | int, fault: str) -> None:
        ledger.tamper(f"UPDATE runs SET {column} = ?", value)
        finding = await ledger.verdict()
        assert finding is not None
        assert finding.fault == fault

    async def test_a_missing_record(self, ledger: Ledger) -> None:
        ledger.tamper("DELETE FROM runs")
        finding = await ledger.verdict()
        assert finding is not None
        assert finding.message == "the run has events but no record"

    async def test_an_unfinished_run_that_claims_to_have_ended(self, tmp_path: Path) -> None:
        store, scribe = SQLiteStore(tmp_path / "flujo_ops.db"), Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch())
        await store.close()
        ledger = Ledger(tmp_path / "flujo_ops.db")
        assert await ledger.verdict() is None
        ledger.tamper("UPDATE runs SET status = 'completed'")
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (2, "status")

    @pytest.mark.parametrize("column", ["pipeline", "status", "owner"])
    async def test_a_record_that_cannot_be_read(self, ledger: Ledger, column: str) -> None:
        ledger.tamper(f"UPDATE runs SET {column} = CAST(x'ff' AS TEXT)")
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (1, "unreadable")
        assert column in finding.message

    async def test_a_record_under_a_name_that_cannot_be_read(self, ledger: Ledger) -> None:
        ledger.tamper("UPDATE runs SET run_id = CAST(x'ff' AS TEXT)")
        store = SQLiteStore(ledger.path)
        reports = [report async for report in verify_all(store)]
        await store.close()
        assert [(report.run_id, report.finding and report.finding.fault) for report in reports] == [
            ("\ufffd", "unreadable"),
            ("run-1", "record"),
        ]

    async def test_an_unknown_run(self, ledger: Ledger) -> None:
        with pytest.raises(UnknownRun, match="no run is called 'run-2'"):
            await ledger.verdict("run-2")

    async def test_the_first_finding_comes_first(self, ledger: Ledger) -> None:
        ledger.tamper("DELETE FROM payloads WHERE digest = ?", LARGE[0])
        ledger.tamper("UPDATE runs SET status = 'failed'")
        ledger.tamper("UPDATE events SET at = 1 WHERE seq = 8")
        finding = await ledger.verdict()
        assert finding is not None
        assert (finding.seq, finding.fault) == (8, "changed")


def test_payloads_are_found_where_bodies_name_them() -> None:
    assert list(references(b'{"output":{"user_ref":"no"}}')) == []
    assert list(references(b'{"output_ref":"a","patch_ref":"b","count_ref":1}')) == ["a", "b"]
    assert list(references(b'{"parts":[{"text_ref":"a"},"b_ref",{"c_ref":"c"}]}')) == ["a", "c"]
    assert list(references(b'{"parts":{"text_ref":"a"}}')) == ["a"]
    assert list(references(b'["x_ref"]')) == []
    assert list(references(b"no JSON_ref")) == []


async def test_a_reference_that_is_no_hash() -> None:
    store, scribe = MemoryStore(), Scribe()
    await store.submit(scribe.begin())
    await store.submit(scribe.batch(scribe.event("effect", "a#x", b'{"output_ref":"not hex"}')))
    finding = (await verify(store, "run-1")).finding
    assert finding is not None
    assert (finding.seq, finding.fault) == (2, "payload")


async def test_all_runs_page_by_page(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "flujo_ops.db")
    for number in range(7):
        scribe = Scribe(f"run-{number}", at=number * 1000)
        await store.submit(scribe.begin())
        await store.submit(scribe.end(COMPLETED))
    await store.close()
    Ledger(tmp_path / "flujo_ops.db").tamper("UPDATE events SET at = 1 WHERE run_id = 'run-3' AND seq = 2")

    async def verdicts(reports: AsyncIterator[Report]) -> list[tuple[str, bool]]:
        return [(report.run_id, report.sound) async for report in reports]

    expected = [(f"run-{number}", number != 3) for number in range(6, -1, -1)]
    store = SQLiteStore(tmp_path / "flujo_ops.db")
    assert await verdicts(verify_all(store)) == expected
    assert await verdicts(verify_all(store, RunQuery(limit=2))) == expected
    assert await verdicts(verify_all(store, RunQuery(until=3002))) == expected[3:]
    await store.close()


class Moving(MemoryStore):
    """A store whose run goes on between any two readings of the audit."""

    def __init__(self, scribe: Scribe) -> None:
        super().__init__()
        self.scribe = scribe
        self.steps = 3

    async def move(self) -> None:
        if self.steps > 0:
            self.steps -= 1
            await self.submit(self.scribe.batch())
        elif self.steps == 0:
            self.steps = -1
            await self.submit(self.scribe.end(COMPLETED))

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        await self.move()
        return await super().events(run_id, after=after, limit=limit)

    async def run(self, run_id: str) -> RunRecord | None:
        record = await super().run(run_id)
        await self.move()
        return record


@pytest.mark.parametrize("steps", range(5))
async def test_a_run_may_go_on_meanwhile(steps: int) -> None:
    scribe = Scribe()
    store = Moving(scribe)
    store.steps = steps
    await store.submit(scribe.begin())
    report = await verify(store, "run-1")
    assert report.finding is None


def test_a_long_run_is_read_page_by_page() -> None:
    async def check() -> Report:
        store, scribe = MemoryStore(), Scribe()
        await store.submit(scribe.begin())
        await store.submit(scribe.batch(*(scribe.event() for _ in range(2_998))))
        await store.submit(scribe.end(COMPLETED))
        return await verify(store, "run-1")

    assert asyncio.run(check()) == Report("run-1", 3_000)


EVENT_COLUMNS = ("run_id", "seq", "kind", "address", "at", "body", "hash")
RUN_COLUMNS = ("run_id", "pipeline", "status", "created_at", "updated_at", "seq", "hash")
PAYLOAD_COLUMNS = ("digest", "bytes")


def flipped(value: str | int | bytes, place: int, bit: int) -> str | int | bytes:
    """Flip one bit of a stored value."""
    match value:
        case int():
            return value ^ (1 << (place * 8 + bit) % 63)
        case str():
            data = bytearray(value.encode() or b"\0")
        case bytes():
            data = bytearray(value or b"\0")
    data[place % len(data)] ^= 1 << bit
    return bytes(data)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(
        [("events", column) for column in EVENT_COLUMNS]
        + [("runs", column) for column in RUN_COLUMNS]
        + [("payloads", column) for column in PAYLOAD_COLUMNS]
    ),
    row=st.integers(0, 99),
    byte=st.integers(0, 99),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_is_found(
    ledger: Ledger, place: tuple[str, str], row: int, byte: int, bit: int
) -> None:
    table, column = place
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as connection:
        rows = connection.execute(f"SELECT rowid, {column}, typeof({column}) FROM {table}").fetchall()
        rowid, value, kind = rows[row % len(rows)]
        changed = flipped(value, byte, bit)
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = CAST(? AS {kind}) WHERE rowid = ?", (changed, rowid)
            )
        except sqlite3.IntegrityError:
            reject()  # it would be another row's number

    async def audit() -> list[Report]:
        store = SQLiteStore(ledger.path)
        try:
            return [report async for report in verify_all(store)]
        finally:
            await store.close()

    async def go_on() -> None:
        store = SQLiteStore(ledger.path)
        try:
            await store.live_events("run-1")
        finally:
            await store.close()

    try:
        reports = asyncio.run(audit())
        if table == "events":
            with pytest.raises((ChainBroken, StoreCorrupt)):
                asyncio.run(go_on())
    finally:
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))
    assert any(not report.sound for report in reports)


class TestOrphans:
    """Runs whose record was deleted, but not their events."""

    async def test_events_without_a_record_are_found(self, ledger: Ledger) -> None:
        ledger.tamper("DELETE FROM runs WHERE run_id = 'run-1'")
        store, other = SQLiteStore(ledger.path), Scribe("run-2")
        await store.submit(other.begin())
        await store.submit(other.end(COMPLETED))
        try:
            reports = {report.run_id: report.finding async for report in verify_all(store)}
        finally:
            await store.close()
        assert reports == {
            "run-2": None,
            "run-1": Finding(1, "", "record", "the run has events but no record"),
        }

    async def test_a_question_for_some_runs_is_not_about_those_without_a_record(self, ledger: Ledger) -> None:
        ledger.tamper("DELETE FROM runs WHERE run_id = 'run-1'")
        store = SQLiteStore(ledger.path)
        try:
            told = {
                query: [report.run_id async for report in verify_all(store, query)]
                for query in (RunQuery(pipeline="triage"), RunQuery(prefix="run-1"), RunQuery(prefix="run-2"))
            }
        finally:
            await store.close()
        assert list(told.values()) == [[], ["run-1"], []]

    async def test_a_store_in_memory_has_none(self) -> None:
        store, scribe = MemoryStore(), Scribe()
        await store.submit(scribe.begin())
        assert await store.orphans() == []
