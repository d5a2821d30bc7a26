"""Runs on the command line: listed, shown, resumed, cancelled."""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, cast, get_args

from flujo.cli.carry import Show, carry, runner_of, tail_of
from flujo.cli.config import Config
from flujo.cli.inputs import read_value
from flujo.cli.outcome import approval_json, command, outcome_code, tell, waiting_lines
from flujo.cli.output import DONE, emit, emit_json, note, user_code
from flujo.cli.reading import begun_with, body_of, find_run, opened, since
from flujo.cli.targets import Target, TargetError, load_target
from flujo.cli.text import age, counted, duration, local, moment, table
from flujo.cli.timeline import Row, timeline
from flujo.engine.identity import is_alive
from flujo.engine.requests import waiting
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError, PlanChanged
from flujo.journal.events import Event
from flujo.journal.store import ENDED, RunPage, RunQuery, RunRecord, RunStatus
from flujo.pipeline.waits import Approval


def list_runs(
    config: Config,
    *,
    status: Sequence[str],
    pipeline: str,
    since_: str | None,
    until: str | None,
    prefix: str,
    limit: int,
    after: str,
    as_json: bool,
) -> int:
    """Print a page of runs, the newest first."""
    now = datetime.now(UTC)
    query = RunQuery(
        status=statuses(status),
        pipeline=pipeline,
        since=since(since_, "--since", now),
        until=since(until, "--until", now),
        prefix=prefix,
        limit=limit,
        after=after,
    )

    async def read() -> RunPage:
        async with opened(config.store) as store:
            return await store.runs(query)

    page = asyncio.run(read())
    if as_json:
        emit_json({"runs": [record_json(record) for record in page.runs], "next": page.next})
        return DONE
    filtered = query != RunQuery(limit=limit)
    _print_page(page, now, empty=f"no run in {config.store_name}{' is like that' if filtered else ' yet'}")
    return DONE


def _print_page(page: RunPage, now: datetime, *, empty: str) -> None:
    if not page.runs:
        note(empty)
        return
    rows = [
        (
            record.run_id,
            standing(record),
            age(moment(record.created_at), now),
            _worked(record, now),
            record.pipeline,
        )
        for record in page.runs
    ]
    emit(table(("RUN", "STATUS", "BEGAN", "TOOK", "PIPELINE"), rows, width=terminal_width()))
    if page.next:
        note(f"there are more: add --after {page.next}")


def standing(record: RunRecord) -> str:
    """Return a run's status for people: one that is marked as running may have lost its process."""
    lost = record.status == "running" and not (record.owner and is_alive(record.owner))
    return "interrupted" if lost else record.status


def _worked(record: RunRecord, now: datetime) -> str:
    end = now if standing(record) == "running" else moment(record.updated_at)
    return duration((end - moment(record.created_at)).total_seconds())


def statuses(typed: Sequence[str]) -> tuple[RunStatus, ...]:
    """Return statuses as they were typed.

    Raises:
        ConfigError: One is none.
    """
    known: tuple[str, ...] = get_args(RunStatus)
    for word in typed:
        if word not in known:
            close = difflib.get_close_matches(word, known, n=1)
            raise ConfigError(
                f"--status {word!r} is no status",
                fix=f"did you mean {close[0]!r}?" if close else f"use {', '.join(known)}",
            )
    return cast("tuple[RunStatus, ...]", tuple(typed))


def record_json(record: RunRecord) -> dict[str, Any]:
    """Return a run's record as JSON."""
    return {
        "run_id": record.run_id,
        "pipeline": record.pipeline,
        "status": record.status,
        "interrupted": standing(record) == "interrupted",
        "created_at": moment(record.created_at).isoformat(),
        "updated_at": moment(record.updated_at).isoformat(),
        "owner": record.owner,
        "fingerprint": record.fingerprint,
        "events": record.seq,
    }


def show_run(config: Config, typed: str, *, limit: int, as_json: bool) -> int:
    """Print what a run is, what happened in it, and what it waits for."""

    async def read() -> tuple[RunRecord, list[Event], list[Approval]]:
        async with opened(config.store) as store:
            record = await find_run(store, typed)
            events = await store.events(record.run_id)
            return record, events, [] if record.status in ENDED else await waiting(store, record.run_id)

    record, events, pending = asyncio.run(read())
    if as_json:
        emit_json(_whole_json(record, events, pending))
        return DONE
    _print_run(record, events, limit)
    tail = config.store_words
    if pending:
        note("\n" + "\n".join(waiting_lines(pending, record.run_id, tail)))
    elif record.status not in ENDED and standing(record) != "running":
        note(f"\nto go on: {command('runs', 'resume', record.run_id, *tail)}")
    return DONE


def _whole_json(record: RunRecord, events: Sequence[Event], pending: Sequence[Approval]) -> dict[str, Any]:
    """Return a run with all of its journal."""
    return {
        **record_json(record),
        "labels": _labels(events),
        "pending": [approval_json(one) for one in pending],
        "journal": [
            {"seq": e.seq, "kind": e.kind, "address": e.address, "at": e.at, "body": body_of(e)}
            for e in events
        ],
    }


def _print_run(record: RunRecord, events: Sequence[Event], limit: int) -> None:
    facts = [
        ("run", record.run_id),
        ("pipeline", record.pipeline),
        ("target", _labels(events).get("target", "")),
        ("status", standing(record)),
        ("began", local(moment(record.created_at))),
        ("took", _worked(record, datetime.now(UTC))),
    ]
    emit("\n".join(f"{name:<9} {value}" for name, value in facts if value))
    rows = timeline(events)
    hidden = max(0, len(rows) - limit) if limit else 0
    if hidden:
        emit(f"\n… {counted(hidden, 'earlier line')}; --limit 0 shows all")
    emit("\n" + _timeline_table(rows[hidden:]))


def _timeline_table(rows: Sequence[Row]) -> str:
    cells = [(row.after, row.what, row.address, row.took, row.details) for row in rows]
    return table(("AFTER", "WHAT", "WHERE", "TOOK", "DETAILS"), cells, width=terminal_width())


def terminal_width() -> int | None:
    """Return how wide the terminal is that stdout goes to; None where it goes elsewhere."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def _labels(events: Sequence[Event]) -> dict[str, str]:
    return body_of(events[0]).get("labels", {}) if events else {}


def resume_run(config: Config, typed: str, *, target: str | None, take_over: bool, show: Show) -> int:
    """Go on with a run, and return what the command exits with."""
    record, found, known = asyncio.run(found_run(config, typed, target))
    with user_code():
        runner = matching(found, record, config)
    if record.status in ENDED and not show.quiet:
        note(f"run {record.run_id} has ended already; its result:")
    return carry(
        runner,
        lambda runner: runner.stream_resume_async(record.run_id, take_over=take_over),
        record.run_id,
        show=show,
        tail=tail_of(runner, config, target),
        known=known,
    )


async def found_run(config: Config, typed: str, target: str | None) -> tuple[RunRecord, Target, list[str]]:
    """Return a run, its pipeline, and the steps its journal knows."""
    async with opened(config.store) as store:
        record = await find_run(store, typed)
        labels = (await begun_with(store, record.run_id)).get("labels", {})
        known = [
            event.address for event in await store.events(record.run_id) if event.kind == "step.completed"
        ]
    with user_code():
        return record, target_of(config, labels, record, target), known


def target_of(config: Config, labels: dict[str, str], record: RunRecord, given: str | None) -> Target:
    """Return the pipeline of a run: the one that is named, or the one that it was begun with.

    Raises:
        TargetError: None is named, and the run was not begun by `flujo run`.
    """
    if given is not None:
        return load_target(given, names=config.targets, folder=config.folder)
    name = labels.get("target", "")
    if not name:
        raise TargetError(
            f"run {record.run_id} does not say which target it was begun with",
            fix=f"name the pipeline {record.pipeline!r}: --target file.py:object",
        )
    return load_target(name, names={}, folder=Path(labels.get("folder") or config.folder))


def matching(found: Target, record: RunRecord, config: Config) -> Flujo[Any, Any]:
    """Return the runner of a run's pipeline, refusing another pipeline at once."""
    runner = runner_of(found, config)
    if runner.plan.fingerprint != record.fingerprint and runner.plan.name != record.pipeline:
        raise PlanChanged(
            f"run {record.run_id} is of the pipeline {record.pipeline!r}, "
            f"and {found.name} is {runner.plan.name!r}",
            fix="name the run's own pipeline with --target",
        )
    return runner


def cancel_run(
    config: Config, typed: str, *, reason: str, target: str | None, take_over: bool, as_json: bool
) -> int:
    """Cancel a run for good, and return what the command exits with."""
    record, found, _ = asyncio.run(found_run(config, typed, target))

    async def cancel(runner: Flujo[Any, Any]) -> Any:
        try:
            return await runner.cancel(record.run_id, reason, take_over=take_over)
        finally:
            await runner.close()

    with user_code():
        result = asyncio.run(cancel(matching(found, record, config)))
    if as_json:
        tell(result, as_json=True, line=False, quiet=False, took=0.0)
    else:
        note(f"cancelled{f': {reason}' if reason else ''}  (run {record.run_id})")
    return DONE if result.status == "cancelled" else outcome_code(result)


def signal_run(
    config: Config, typed: str, event: str, *, payload: str, target: str | None, as_json: bool
) -> int:
    """Deliver an event to a run, and return what the command exits with."""
    record, found, _ = asyncio.run(found_run(config, typed, target))
    value = read_value(payload, "--payload")

    async def deliver(runner: Flujo[Any, Any]) -> None:
        try:
            await runner.signal(record.run_id, event, value)
        finally:
            await runner.close()

    with user_code():
        runner = matching(found, record, config)
        asyncio.run(deliver(runner))
    following = command("runs", "resume", record.run_id, *tail_of(runner, config, target))
    if as_json:
        emit_json({"run_id": record.run_id, "event": event, "next": following})
    else:
        note(f"delivered: {event}\nwithout a worker, go on: {following}")
    return DONE
