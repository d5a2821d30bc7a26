"""Records the golden journals: once for each version, into a folder of its own. Nothing overwrites them.

    python -m tests.golden.record v0_1

Ids and time are fixed, so that the journals can be made again byte for byte.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, MemoryStore, PipelineResult, SQLiteStore
from flujo.journal.events import Event
from flujo.journal.store import Batch, JournalStore, RunRecord, StatusChange
from flujo.journal.verify import references
from flujo.testing import VirtualClock
from tests.golden.pipelines import GOLDEN, Golden, Ledger

HERE = Path(__file__).parent
BEGIN = 1_800_000_000_000_000


def fixed_clock(now: int = BEGIN) -> VirtualClock:
    """Return a clock on which a microsecond passes whenever it is looked at."""
    return VirtualClock(now, chance=0.25, tick=1)


@contextmanager
def fixed_names() -> Generator[None]:
    """Keep what differs between processes out of journals: their names, and how fast they are."""

    def process(pid: int) -> str:
        return "golden:1:1"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flujo.engine.gate.perf_counter", lambda: 0.0)
        patch.setattr("flujo.engine.identity._process", process)
        yield


def runner(golden: Golden, store: JournalStore, clock: VirtualClock) -> Flujo[Any, Any]:
    return Flujo(golden.pipeline, context_model=Ledger, state=store, clock=clock)


async def record(name: str, store: JournalStore) -> None:
    """Record one run, up to where its decisions were recorded."""
    golden, clock = GOLDEN[name], fixed_clock()
    with fixed_names():
        run = runner(golden, store, clock)
        if name == "in_doubt":
            await recorded_in_doubt(run, store)
            return
        await run.run_async(golden.input, run_id=name)
        for address, decision in golden.decisions[: golden.recorded]:
            await run.resume_async(name, decision, request=address)


async def recorded_in_doubt(run: Flujo[Any, Any], store: JournalStore) -> None:
    """Record a run whose process died right after its at-most-once step had started."""
    whole = MemoryStore()
    other = Flujo(GOLDEN["in_doubt"].pipeline, context_model=Ledger, state=whole, clock=fixed_clock())
    await other.run_async(GOLDEN["in_doubt"].input, run_id="in_doubt")
    record = await whole.run("in_doubt")
    assert record is not None
    events = await whole.events("in_doubt")
    left = events[: [event.kind for event in events].index("step.started") + 1]
    change = StatusChange("running", "", record.pipeline, record.fingerprint)
    await store.submit(Batch("in_doubt", "1", left[:1], change, await payloads(whole, left)))
    await store.submit(Batch("in_doubt", "1", left[1:]))


async def payloads(store: JournalStore, events: Iterable[Event]) -> list[tuple[bytes, bytes]]:
    """Return what events refer to."""
    digests = [bytes.fromhex(digest) for event in events for digest in references(event.body)]
    return [(digest, await store.payload(digest)) for digest in dict.fromkeys(digests)]


async def restored(facts: dict[str, Any], store: JournalStore) -> None:
    """Put a run that was kept as text into a store, as the process left it that wrote it."""
    record = facts["record"]
    events = [
        Event(record["run_id"], seq, kind, address, at, body.encode(), bytes.fromhex(digest))
        for seq, kind, address, at, body, digest in facts["events"]
    ]
    change = StatusChange(record["status"], record["owner"], record["pipeline"], record["fingerprint"])
    kept = [(bytes.fromhex(digest), text.encode()) for digest, text in facts["payloads"].items()]
    known, rest = events[: record["seq"]], events[record["seq"] :]
    await store.submit(Batch(record["run_id"], "golden", known, change, kept))
    if rest:
        await store.submit(Batch(record["run_id"], "golden", rest))


async def dumped(store: JournalStore, name: str) -> dict[str, Any]:
    """Return a run as text: its record, its events, its payloads."""
    found, events = await store.run(name), await store.events(name)
    assert found is not None
    return {
        "record": {**{key: getattr(found, key) for key in RunRecord.__slots__}, "hash": found.hash.hex()},
        "events": [
            [event.seq, event.kind, event.address, event.at, event.body.decode(), event.hash.hex()]
            for event in events
        ],
        "payloads": {digest.hex(): text.decode() for digest, text in await payloads(store, events)},
    }


def told(result: PipelineResult[Any]) -> dict[str, Any]:
    """Return a result as text."""
    return {
        "status": result.status,
        "output": repr(result.output),
        "context": result.context.model_dump(mode="json"),
        "usage": repr(result.usage),
        "error": None if result.error is None else [type(result.error).__name__, str(result.error)],
        "notes": list(getattr(result.error, "__notes__", [])),
        "reason": result.reason,
        "pending": [
            [one.id, one.kind, one.prompt, one.subject, one.digest, one.actions] for one in result.pending
        ],
        "steps": [[one.address, repr(one.output), one.attempts, repr(one.usage)] for one in result.steps],
    }


async def gone_on(name: str, store: JournalStore) -> list[dict[str, Any]]:
    """Return how a recorded run stands, and each result of going on with it."""
    golden, clock = GOLDEN[name], fixed_clock(BEGIN + 7_200_000_000)
    run = runner(golden, store, clock)
    results = [await run.result(name), await run.resume_async(name)]
    for address, decision in golden.decisions[golden.recorded :]:
        results.append(await run.resume_async(name, decision, request=address))
    results.append(await run.result(name))
    return [told(result) for result in results]


async def main(version: str) -> None:
    folder = HERE / version
    folder.mkdir()
    for name in GOLDEN:
        store = MemoryStore()
        await record(name, store)
        facts = await dumped(store, name)
        facts["told"] = await gone_on(name, store)
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    file = folder / "flujo_ops.sqlite"
    store = SQLiteStore(file)
    for name in GOLDEN:
        await record(name, store)
    await store.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
