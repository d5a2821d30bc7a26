"""Schedules on the command line: added, listed, put to rest, removed."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from pydantic_core import from_json

from flujo.cli.carry import runner_of
from flujo.cli.config import Config
from flujo.cli.inputs import Given, read_input
from flujo.cli.output import DONE, emit, emit_json, note, user_code
from flujo.cli.reading import opened
from flujo.cli.runs import terminal_width
from flujo.cli.targets import load_target
from flujo.cli.text import local, moment, table
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError
from flujo.journal.jobs import Board, ScheduleRow
from flujo.journal.store import RunQuery
from flujo.plan.codec import codec_for
from flujo.plan.types import recorded_input
from flujo.worker import Schedule, board_of
from flujo.worker.schedules import Missed

T = TypeVar("T")


def add(
    config: Config,
    target: str,
    *,
    cron: str,
    name: str | None,
    timezone: str,
    given: str | None,
    missed: str,
    tenant: str,
    priority: int,
    as_json: bool,
) -> int:
    """Add a schedule for a target's runs.

    Raises:
        ConfigError: The cron expression, the time zone or another value is none; or the name is taken.
        InputError: The input does not fit the pipeline.
    """
    with user_code():
        found = load_target(target, names=config.targets, folder=config.folder)
        runner = runner_of(found, config)
        value = asyncio.run(runner.screened(read_input(runner.plan, Given(text=given)), tenant=tenant))
    schedule = Schedule(
        name or runner.plan.name,
        runner.plan.name,
        cron,
        timezone=timezone,
        input=_written(runner, value),
        missed=cast("Missed", missed),
        labels=found.labels,
        tenant=tenant,
        priority=priority,
    )
    row = schedule.row(schedule.after(_now()))

    async def put(board: Board) -> bool:
        return await board.put_schedule(row)

    if not _on_board(config, put, create=True):
        raise ConfigError(
            f"there is a schedule {schedule.name!r} already",
            fix="choose another --name, or remove that one first",
        )
    if as_json:
        emit_json(_facts(row))
    else:
        note(f"{schedule.name} begins a run of {schedule.pipeline} next at {local(moment(row.next))}")
    return DONE


def _written(runner: Flujo[Any, Any], value: Any) -> Any:
    return from_json(codec_for(recorded_input(runner.plan.root.input_type)).dump(value))


def show(config: Config, *, as_json: bool) -> int:
    """Print the schedules."""
    rows = _on_board(config, lambda board: board.schedules())
    if as_json:
        emit_json({"schedules": [_facts(row) for row in rows]})
        return DONE
    if not rows:
        note("no schedule yet; add one: flujo schedule add TARGET --cron '30 8 * * *'")
        return DONE
    lines: list[tuple[str, ...]] = []
    for row in rows:
        schedule = Schedule.of(row)
        following = "paused" if schedule.paused else local(moment(row.next))
        lines.append((row.name, following, schedule.cron, schedule.timezone, schedule.missed, row.pipeline))
    emit(table(("NAME", "NEXT", "CRON", "ZONE", "MISSED", "PIPELINE"), lines, width=terminal_width()))
    return DONE


def set_paused(config: Config, name: str, *, paused: bool, as_json: bool) -> int:
    """Put a schedule to rest, or take it up again.

    Raises:
        ConfigError: There is none of this name.
    """

    async def change(board: Board) -> ScheduleRow:
        while True:
            row = await _named(board, name)
            schedule = Schedule.of(row).with_paused(paused)
            changed = schedule.row(schedule.after(_now()))
            if await board.move_schedule(changed, row):
                return changed

    row = _on_board(config, change)
    if as_json:
        emit_json(_facts(row))
    else:
        note(f"{name} rests" if paused else f"{name} begins a run next at {local(moment(row.next))}")
    return DONE


def remove(config: Config, name: str, *, as_json: bool) -> int:
    """Remove a schedule.

    Raises:
        ConfigError: There is none of this name.
    """

    async def drop(board: Board) -> None:
        await _named(board, name)
        await board.drop_schedule(name)

    _on_board(config, drop)
    if as_json:
        emit_json({"removed": name})
    else:
        note(f"removed {name}")
    return DONE


async def _named(board: Board, name: str) -> ScheduleRow:
    rows = await board.schedules()
    for row in rows:
        if row.name == name:
            return row
    close = difflib.get_close_matches(name, [row.name for row in rows], n=1)
    raise ConfigError(
        f"there is no schedule {name!r}",
        fix=f"did you mean {close[0]!r}?" if close else "`flujo schedule list` shows them",
    )


def _on_board(config: Config, work: Callable[[Board], Awaitable[T]], *, create: bool = False) -> T:
    async def do() -> T:
        async with opened(config.store) as store:
            if not create:
                await store.runs(RunQuery(limit=1))  # says so where there is no store
            board = board_of(store)
            try:
                return await work(board)
            finally:
                await board.close()

    return asyncio.run(do())


def _facts(row: ScheduleRow) -> dict[str, Any]:
    schedule = Schedule.of(row)
    return {
        "name": schedule.name,
        "pipeline": schedule.pipeline,
        "next": None if schedule.paused else moment(row.next).isoformat(),
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "missed": schedule.missed,
        "paused": schedule.paused,
        "input": schedule.input,
        "tenant": schedule.tenant,
        "priority": schedule.priority,
    }


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1e6)
