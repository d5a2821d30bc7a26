"""The audit: every chain recomputed, and the first bad event named."""

from __future__ import annotations

import asyncio

from flujo.cli.config import Config
from flujo.cli.output import BROKEN, DONE, Fault, emit, emit_json, exit_code, note, report
from flujo.cli.reading import find_run, opened
from flujo.cli.text import counted, local, moment
from flujo.errors import StoreCorrupt
from flujo.journal.store import JournalStore, Tombstone
from flujo.journal.verify import Report, verify, verify_all, verify_tombstones


def verify_store(config: Config, typed: str | None, *, as_json: bool) -> int:
    """Verify one run, or all; return what the command exits with."""
    try:
        reports, pruned, wrong = asyncio.run(_verified(config, typed))
    except StoreCorrupt as error:  # what cannot be read cannot be sound
        fault = Fault.of(error)
        return report(
            Fault(error, fault.code, fault.message, fault.fix, max(BROKEN, exit_code(error))),
            as_json=as_json,
            line=False,
        )
    broken = [one for one in reports if not one.sound]
    events = sum(one.events for one in reports)
    if as_json:
        emit_json(
            {
                "sound": not broken and not wrong,
                "runs": len(reports),
                "events": events,
                "pruned": pruned,
                "findings": [
                    *(_json(one) for one in broken),
                    *([{"fault": "tombstone", "message": wrong}] if wrong else []),
                ],
            }
        )
        return BROKEN if broken or wrong else DONE
    for one in broken:
        assert one.finding is not None
        where = f" at {one.finding.address}" if one.finding.address else ""
        emit(f"broken  {one.run_id}  event {one.finding.seq}{where}: {one.finding.message}")
    if wrong:
        emit(f"broken  pruned runs: {wrong}")
    if broken or wrong:
        note(f"{counted(len(broken), 'run')} of {len(reports)} broken")
        note("  To fix: do not resume what is broken; compare it with a backup of the store")
        return BROKEN
    kept = f", and the tombstones of {counted(pruned, 'pruned run')}" if pruned else ""
    emit(f"sound: {counted(len(reports), 'run')}, {counted(events, 'event')}{kept}")
    return DONE


async def _verified(config: Config, typed: str | None) -> tuple[list[Report], int, str]:
    """Return the verdicts on runs, how many tombstones are sound, and what is wrong with the next."""
    async with opened(config.store) as store:
        if typed is not None and typed in await store.orphans():
            return [await verify(store, typed)], 0, ""
        pruned, wrong = await verify_tombstones(store)
        if typed is None:
            return [one async for one in verify_all(store)], pruned, wrong
        if await store.run(typed) is None and (stone := await _tombstone(store, typed)) is not None:
            note(
                f"run {typed} was pruned {local(moment(stone.pruned_at))}: {counted(stone.events, 'event')}, "
                f"{stone.status}, last hash {stone.last_hash.hex()}"
            )
            return [], pruned, wrong
        return [await verify(store, (await find_run(store, typed)).run_id)], 0, ""


async def _tombstone(store: JournalStore, run_id: str) -> Tombstone | None:
    after = 0
    while page := await store.tombstones(after=after):
        for stone in page:
            if stone.run_id == run_id:
                return stone
        after = page[-1].number
    return None


def _json(one: Report) -> dict[str, object]:
    found = one.finding
    assert found is not None
    return {
        "run_id": one.run_id,
        "seq": found.seq,
        "address": found.address,
        "fault": found.fault,
        "message": found.message,
    }
