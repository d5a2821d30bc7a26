"""The store on the command line: how it stands, brought up to date, copied, and relieved of what is old."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from flujo.cli.config import Config
from flujo.cli.output import BROKEN, DONE, FAILED, emit, emit_json, note
from flujo.cli.reading import opened, since
from flujo.cli.runs import statuses, terminal_width
from flujo.cli.text import bytes_of, counted, local, moment, table
from flujo.engine.identity import new_run_id
from flujo.errors import ChainBroken, ConfigError, StoreCorrupt, UnknownRun
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import ENDED
from flujo.journal.upkeep import PRUNED_AT_ONCE, EndedRun, Removed, Retention, StoreStatus, Upkeep
from flujo.journal.verify import verify, verify_all, verify_tombstones

T = TypeVar("T")

SHOWN = 10
"""How many of the runs that would go are listed."""


def show_status(config: Config, *, as_json: bool) -> int:
    """Print how the store stands."""
    found = _upkept(config, lambda upkeep: upkeep.status())
    if as_json:
        emit_json(asdict(found))
        return DONE
    facts = [
        ("store", found.place),
        ("kept by", found.backend),
        ("schema", _schema(found)),
        ("size", bytes_of(found.size) + (f", log {bytes_of(found.log_size)}" if found.log_size else "")),
        ("runs", ", ".join(f"{count} {status}" for status, count in found.runs.items()) or "none"),
        ("events", f"{found.events:,}"),
        ("payloads", f"{found.payloads:,}"),
        ("pruned", counted(found.pruned, "run")),
        ("first run", "" if found.oldest is None else local(moment(found.oldest))),
        ("last run", "" if found.latest is None else local(moment(found.latest))),
    ]
    emit("\n".join(f"{name:<9} {value}" for name, value in facts if value))
    return DONE


def _schema(found: StoreStatus) -> str:
    if found.schema < found.newest:
        return f"version {found.schema}; `flujo store migrate` brings it to {found.newest}"
    return f"version {found.schema}" + (", made by a newer Flujo" if found.schema > found.newest else "")


def migrate(config: Config, *, check: bool, as_json: bool) -> int:
    """Bring the store's tables to the newest version, or say whether that is to be done."""
    before = _upkept(config, lambda upkeep: upkeep.status())
    old = before.schema < before.newest
    after = before.schema
    if old and not check:
        _, after = _upkept(config, lambda upkeep: upkeep.migrate())
    if as_json:
        emit_json({"before": before.schema, "after": after, "newest": before.newest})
    elif not old:
        note(f"nothing to do: the schema has version {before.schema}")
    elif check:
        note(f"to do: the schema has version {before.schema}, the newest is {before.newest}")
    else:
        note(f"the schema had version {before.schema}, and has {after} now")
    return FAILED if old and check else DONE


def backup(config: Config, file: Path, *, check: bool, as_json: bool) -> int:
    """Write a copy of the store to a new file, and verify it.

    Raises:
        StoreError: The store cannot be read, or the file cannot be written.
        ChainBroken: The copy is not sound, and was removed.
    """
    if file.exists():
        raise ConfigError(f"{file} exists already", fix="name a file that does not exist")
    before = _upkept(config, lambda upkeep: upkeep.status())
    part = file.with_name(f".{file.name}.{new_run_id()}")
    try:
        _upkept(config, lambda upkeep: upkeep.copy_to(part))
        # To audit a copy of an older schema would migrate it.
        runs = asyncio.run(_verified(part)) if check and before.schema >= before.newest else None
        os.link(part, file)  # it does not replace a file that was made meanwhile
    except FileExistsError as error:
        raise ConfigError(f"{file} exists already", fix="name a file that does not exist") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    size = file.stat().st_size
    if as_json:
        emit_json({"file": str(file), "size": size, "verified_runs": runs})
    else:
        checked = "not verified" if runs is None else f"{counted(runs, 'run')} verified"
        note(f"wrote {file}: {bytes_of(size)}, {checked}")
    return DONE


async def _verified(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        damage: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if damage != "ok":
        raise StoreCorrupt(f"the copy is damaged: {damage}")
    store = SQLiteStore(file, create=False)
    try:
        runs = 0
        async for one in verify_all(store):
            runs += 1
            if one.finding is not None:
                raise ChainBroken(
                    f"run {one.run_id}: {one.finding.message}",
                    fix="the store is damaged: see `flujo audit verify`; --no-verify copies it as it is",
                )
        _, wrong = await verify_tombstones(store)
        if wrong:
            raise ChainBroken(wrong, fix="the store itself is damaged: look with `flujo audit verify`")
        return runs
    finally:
        await store.close()


def prune(
    config: Config,
    *,
    older_than: str,
    status: Sequence[str],
    pipeline: str,
    sure: bool,
    as_json: bool,
) -> int:
    """Remove the journals of old runs, or say which would go.

    Raises:
        ConfigError: A time or a status is none, or names runs that have not ended.
    """
    before = since(older_than, "--older-than", datetime.now(UTC))
    assert before is not None
    chosen = statuses(status)
    for one in chosen:
        if one not in ENDED:
            raise ConfigError(
                f"--status {one}: such a run has not ended", fix=f"use {', '.join(sorted(ENDED))}"
            )
    retention = Retention(before, chosen or tuple(sorted(ENDED)), pipeline)
    found = _upkept(config, lambda upkeep: _found(upkeep, retention))
    if not sure:
        return _tell_plan(found, as_json)
    sound = asyncio.run(_sound(config.store, found))
    removed = _upkept(config, lambda upkeep: _removed(upkeep, sound))
    if as_json:
        emit_json({"pruned": removed.runs, **asdict(removed)})
    else:
        note(
            f"pruned {counted(removed.runs, 'run')}, {counted(removed.events, 'event')} and "
            f"{counted(removed.payloads, 'payload')} ({bytes_of(removed.payload_bytes)}); tombstones stay"
        )
    return DONE if len(sound) == len(found) else BROKEN


async def _found(upkeep: Upkeep, retention: Retention) -> list[EndedRun]:
    return [run async for run in upkeep.prunable(retention)]


async def _sound(store: Path | str, found: Sequence[EndedRun]) -> list[EndedRun]:
    """Return the runs whose journals are sound; tell of the others: they are not to be forgotten."""
    sound: list[EndedRun] = []
    async with opened(store) as journal:
        for run in found:
            try:
                finding = (await verify(journal, run.run_id)).finding
            except UnknownRun:
                continue  # another has pruned it meanwhile
            if finding is None:
                sound.append(run)
            else:
                note(f"left alone: run {run.run_id} is broken: {finding.message}")
    return sound


async def _removed(upkeep: Upkeep, found: Sequence[EndedRun]) -> Removed:
    runs = events = 0
    for at in range(0, len(found), PRUNED_AT_ONCE):
        some = [run.run_id for run in found[at : at + PRUNED_AT_ONCE]]
        removed = await upkeep.prune(some, int(datetime.now(UTC).timestamp() * 1e6))
        runs, events = runs + removed.runs, events + removed.events
    swept = await upkeep.sweep()
    return Removed(runs, events, swept.payloads, swept.payload_bytes)


def _tell_plan(found: Sequence[EndedRun], as_json: bool) -> int:
    size, events = sum(run.size for run in found), sum(run.events for run in found)
    if as_json:
        ids = [run.run_id for run in found]
        emit_json({"pruned": 0, "would_prune": len(found), "events": events, "bytes": size, "runs": ids})
        return DONE
    if not found:
        note("nothing is that old")
        return DONE
    rows = [(run.run_id, run.status, local(moment(run.ended_at)), run.pipeline) for run in found[:SHOWN]]
    emit(table(("RUN", "STATUS", "ENDED", "PIPELINE"), rows, width=terminal_width()))
    if len(found) > SHOWN:
        emit(f"… and {len(found) - SHOWN:,} more")
    note(
        f"\nwould prune {counted(len(found), 'run')}: {counted(events, 'event')}, {bytes_of(size)}, and the "
        "payloads that nothing else stands on\nto do so: add --yes"
    )
    return DONE


def _upkept(config: Config, work: Callable[[Upkeep], Awaitable[T]]) -> T:
    async def do() -> T:
        upkeep = _upkeep_of(config.store)
        try:
            return await work(upkeep)
        finally:
            await upkeep.close()

    return asyncio.run(do())


def _upkeep_of(store: Path | str) -> Upkeep:
    if isinstance(store, Path):
        from flujo.journal.sqlite_upkeep import SQLiteUpkeep

        return SQLiteUpkeep(store)
    from flujo.journal.postgres_upkeep import PostgresUpkeep

    return PostgresUpkeep(store)
