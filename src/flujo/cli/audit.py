"""The audit: every chain recomputed, and the first bad event named."""

from __future__ import annotations

import asyncio

from flujo.cli.config import Config
from flujo.cli.output import BROKEN, DONE, Fault, emit, emit_json, exit_code, note, report
from flujo.cli.reading import find_run, opened
from flujo.cli.text import counted
from flujo.errors import StoreCorrupt
from flujo.journal.verify import Report, verify, verify_all


def verify_store(config: Config, typed: str | None, *, as_json: bool) -> int:
    """Verify one run, or all; return what the command exits with."""
    try:
        reports = asyncio.run(_verified(config, typed))
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
                "sound": not broken,
                "runs": len(reports),
                "events": events,
                "findings": [_json(one) for one in broken],
            }
        )
        return BROKEN if broken else DONE
    for one in broken:
        assert one.finding is not None
        where = f" at {one.finding.address}" if one.finding.address else ""
        emit(f"broken  {one.run_id}  event {one.finding.seq}{where}: {one.finding.message}")
    if broken:
        note(f"{counted(len(broken), 'run')} of {len(reports)} broken")
        note("  To fix: do not resume what is broken; compare it with a backup of the store")
        return BROKEN
    emit(f"sound: {counted(len(reports), 'run')}, {counted(events, 'event')}")
    return DONE


async def _verified(config: Config, typed: str | None) -> list[Report]:
    async with opened(config.store) as store:
        if typed is not None:
            gone = typed in await store.orphans()
            return [await verify(store, typed if gone else (await find_run(store, typed)).run_id)]
        return [one async for one in verify_all(store)]


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
