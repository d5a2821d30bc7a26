"""Reading a store: finding runs and requests by what people type."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from flujo.cli.text import age, counted, local, moment
from flujo.engine import requests
from flujo.errors import ConfigError, UnknownRequest, UnknownRun
from flujo.journal.events import Event
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import JournalStore, RunQuery, RunRecord
from flujo.pipeline.waits import Approval

READING_SECONDS = 5.0
"""How long a command that only reads waits for a server that is away."""
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


@asynccontextmanager
async def opened(place: Path | str) -> AsyncGenerator[JournalStore]:
    """Open a store that exists, a file or a database, and close it afterwards.

    Raises:
        StoreUnavailable: There is none.
    """
    store: JournalStore
    if isinstance(place, Path):
        store = SQLiteStore(place, create=False)
    else:
        from flujo.journal.postgres import PostgresStore

        store = PostgresStore(place, patience=READING_SECONDS)
    try:
        yield store
    finally:
        await store.close()


async def find_run(store: JournalStore, typed: str) -> RunRecord:
    """Return the run that was meant: by its id, a beginning that only it has, or `last`.

    Raises:
        UnknownRun: No run, or more than one, is meant.
    """
    exact = await store.run(typed)
    if exact is not None:
        return exact
    if typed == "last":
        newest = (await store.runs(RunQuery(limit=1))).runs
        if newest:
            return newest[0]
        raise UnknownRun("there is no run yet", fix="begin one with `flujo run`")
    page = await store.runs(RunQuery(prefix=typed, limit=6))
    if len(page.runs) == 1:
        return page.runs[0]
    if page.runs:
        some = ", ".join(record.run_id for record in page.runs[:5]) + (", …" if len(page.runs) > 5 else "")
        raise UnknownRun(f"{typed!r} begins more than one run's id", fix=f"type more of it: {some}")
    stone = await store.tombstone(typed)
    if stone is not None:
        raise UnknownRun(
            f"run {typed} was pruned on {local(moment(stone.pruned_at))}; it was {stone.status}",
            fix="look for its journal in a backup: --store FILE",
        )
    raise UnknownRun(f"no run has the id {typed!r}", fix=await _near_run(store, typed))


async def _near_run(store: JournalStore, typed: str) -> str:
    recent = [record.run_id for record in (await store.runs(RunQuery(limit=200))).runs]
    close = difflib.get_close_matches(typed, recent, n=1, cutoff=0.5)
    if not close:
        close = [one for one in recent if len(typed) > 3 and one.endswith(typed)][:1]
    return f"did you mean {close[0]}?" if close else UnknownRun.fix


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that nobody answered yet, and the run that waits for it."""

    request: Approval
    run: RunRecord


async def waiting(store: JournalStore, query: RunQuery) -> list[Waiting]:
    """Return what the paused runs of a query wait for: newest run first, its requests as they were made."""
    found: list[Waiting] = []
    query = replace(query, status=("paused", "queued"))
    while True:
        page = await store.runs(query)
        for record in page.runs:
            found += [Waiting(request, record) for request in await requests.waiting(store, record.run_id)]
        if not page.next:
            return found
        query = replace(query, after=page.next)


async def find_request(store: JournalStore, typed: str) -> Waiting:
    """Return the request that was meant: by its id, a beginning of it, or its run where it is the only one.

    Raises:
        UnknownRequest: None, or more than one, is meant; or it was answered already.
    """
    run_part, colon, address = typed.partition(":")
    record = await _run_of_request(store, typed, run_part)
    open_ones = await requests.waiting(store, record.run_id)
    meant = [one for one in open_ones if not colon or one.address.startswith(address)]
    exact = [one for one in meant if one.address == address]
    if len(exact or meant) == 1:
        return Waiting((exact or meant)[0], record)
    if meant:
        some = ", ".join(one.id for one in meant[:5]) + (", …" if len(meant) > 5 else "")
        raise UnknownRequest(
            f"run {record.run_id} waits for {counted(len(meant), 'answer')}", fix=f"name one: {some}"
        )
    raise await _not_waiting(store, record, address, open_ones)


async def _run_of_request(store: JournalStore, typed: str, run_part: str) -> RunRecord:
    whole = await store.run(typed)  # an id that a caller chose may hold a colon
    if whole is not None:
        return whole
    try:
        return await find_run(store, run_part)
    except UnknownRun as error:
        raise UnknownRequest(f"no request {typed!r}: {error.message}", fix=error.fix) from None


async def _not_waiting(
    store: JournalStore, record: RunRecord, address: str, open_ones: Sequence[Approval]
) -> UnknownRequest:
    for event in reversed(await store.events(record.run_id)):
        if (
            event.kind == "answer"
            and event.address == (address or event.address)
            and not (open_ones and not address)
        ):
            body = body_of(event)
            when = age(moment(event.at), datetime.now(UTC))
            return UnknownRequest(
                f"{record.run_id}:{event.address} was answered already: "
                f"{body.get('action')} by {body.get('actor') or 'somebody'}, {when}",
                fix=f"the answer stands; `flujo runs show {record.run_id}` tells what came of it",
            )
    close = difflib.get_close_matches(address, [one.address for one in open_ones], n=1)
    if close:
        return UnknownRequest(
            f"run {record.run_id} waits for no answer at {address!r}",
            fix=f"did you mean {record.run_id}:{close[0]}?",
        )
    if open_ones:
        return UnknownRequest(
            f"run {record.run_id} waits for no answer at {address!r}", fix=f"name {open_ones[0].id} instead"
        )
    return UnknownRequest(f"run {record.run_id} waits for no answer: it is {record.status}")


async def begun_with(store: JournalStore, run_id: str) -> dict[str, Any]:
    """Return what the journal says of a run's beginning."""
    events = await store.events(run_id, limit=1)
    return body_of(events[0]) if events else {}


def body_of(event: Event) -> dict[str, Any]:
    """Return an event's body."""
    return from_json(event.body)


def since(typed: str | None, option: str, now: datetime) -> int | None:
    """Return a point in time, in microseconds since the epoch: `90s`, `15m`, `2h`, `3d`, `1w` ago, or a date.

    Raises:
        ConfigError: It is neither.
    """
    if typed is None:
        return None
    number, unit = typed.rstrip("abcdefghijklmnopqrstuvwxyz"), typed.lstrip("0123456789.")
    try:
        if unit in _UNITS and number.replace(".", "", 1).isdigit():
            at = now - timedelta(seconds=float(number) * _UNITS[unit])
        else:
            at = datetime.fromisoformat(typed).astimezone(UTC)
    except (ValueError, OverflowError):  # a calendar begins with the year 1
        raise ConfigError(
            f"{option} {typed!r} is no point in time",
            fix="write 15m, 2h, 3d, or a date like 2025-01-31T12:00",
        ) from None
    return int(at.timestamp() * 1e6)
