"""Carrying a run from the command line: begin it or go on with it, watch it, tell what it came to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, cast

from flujo.cli.config import Config
from flujo.cli.declared import declared
from flujo.cli.outcome import command, outcome_code, tell
from flujo.cli.output import DONE, Fault, colored, emit, emit_json, note, report, traced, user_code
from flujo.cli.targets import Target, load_target
from flujo.engine.identity import checked_id, new_run_id
from flujo.engine.result import Finished, PipelineResult, RunEvent, StepCompleted
from flujo.engine.runner import Flujo
from flujo.engine.supervise import beside
from flujo.errors import ConfigError, StoreError
from flujo.journal.memory import MemoryStore
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.urls import place_of
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Node
from flujo.plan.plan import Plan

if TYPE_CHECKING:
    from flujo.cli.inputs import Given
    from flujo.cli.live import Watch

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Show:
    """How a run is shown: as JSON, as JSON lines, or for people, with progress or without; traced or not."""

    as_json: bool = False
    stream: bool = False
    quiet: bool = False
    trace: bool = False

    @staticmethod
    def of(config: Config, *, as_json: bool, stream: bool, quiet: bool) -> Show:
        """Return what options and settings ask for; lines of events are JSON in any case."""
        return Show(as_json or stream, stream, quiet, config.values["trace"].value is True)


Start = Callable[[Flujo[Any, Any]], AsyncIterator[RunEvent]]


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run is to begin with, as it was typed."""

    target: str
    given: Given
    context: str | None = None
    run_id: str | None = None
    input_labels: Sequence[str] = ()
    tenant: str = ""
    priority: int = 0
    quota: str | None = None


def begin(begun: Begun, config: Config, show: Show) -> int:
    """Leave a run of a target to a worker, print its id, and return what the command exits with.

    Raises:
        FlujoError: The target, the input or the store cannot be used.
    """
    target, runner, value, context = _read(begun, config)

    async def start() -> str:
        try:
            return await runner.start_async(
                value,
                context=context,
                run_id=begun.run_id,
                labels=target.labels,
                input_labels=begun.input_labels,
                tenant=begun.tenant,
                priority=begun.priority,
            )
        finally:
            await runner.close()

    with user_code():
        run_id = asyncio.run(start())
    if show.as_json:
        emit_json({"run_id": run_id, "status": "queued"}, line=show.stream)
        return DONE
    emit(run_id)
    if not show.quiet:
        note(f"a worker will carry it on; look: {command('runs', 'show', run_id, *tail_of(runner, config))}")
    return DONE


def _read(begun: Begun, config: Config) -> tuple[Target, Flujo[Any, Any], Any, PipelineContext | None]:
    from flujo.cli.inputs import read_context, read_input

    with user_code():
        target = load_target(begun.target, names=config.targets, folder=config.folder)
        runner = runner_of(target, config)
        return target, runner, read_input(runner.plan, begun.given), read_context(runner.plan, begun.context)


def run_target(begun: Begun, config: Config, show: Show) -> int:
    """Begin a run of a target, and return what the command exits with.

    Raises:
        FlujoError: The target, the input or the store cannot be used.
    """
    target, runner, value, begun_with = _read(begun, config)
    name = new_run_id() if begun.run_id is None else checked_id(begun.run_id)
    if runner.store is None and not show.quiet:
        note("this runner has no store: nothing is recorded, and the run cannot be resumed")
    return carry(
        runner,
        lambda runner: runner.stream_async(
            value,
            context=begun_with,
            run_id=name,
            labels=target.labels,
            input_labels=begun.input_labels,
            tenant=begun.tenant,
            quota=cast("Literal['refuse'] | None", begun.quota),
        ),
        name,
        show=show,
        tail=tail_of(runner, config),
    )


def runner_of(target: Target, config: Config) -> Flujo[Any, Any]:
    """Return the runner that carries a target's runs: its own, or one with the settings' store.

    The policies of the settings judge its runs in either case.

    Raises:
        PlanError: The pipeline does not fit together.
        ConfigError: A policy of the settings cannot be had: nothing runs without it.
        ConfigError: The target is a runner with a store of its own, and another was asked for.
    """
    found, policies = target.found, declared(config)
    if isinstance(found, Node):
        durability = cast("Literal['sync', 'async']", config.text("durability"))
        return Flujo(found, state=config.store, durability=durability, policies=policies)
    if config.values["store"].source == "--store" and own_store(found) != _place(config.store):
        raise ConfigError(
            f"{target.name} is a runner, which chooses its store itself",
            fix="leave --store out, or name the pipeline",
        )
    return found.under(policies) if policies else found


def own_store(runner: Flujo[Any, Any]) -> str | None:
    """Return where a runner records: its file, or its database."""
    match runner.store:
        case None | MemoryStore():
            return None
        case SQLiteStore() as store:
            return str(store.path.resolve())
        case store:
            return repr(store)


def _place(store: Path | str) -> str:
    """Return a store of the settings as `own_store` would."""
    return str(store.resolve()) if isinstance(store, Path) else f"PostgresStore({place_of(store)!r})"


def tail_of(runner: Flujo[Any, Any], config: Config, target: str | None = None) -> list[str]:
    """Return the options by which another command finds a run of this runner, and its pipeline, again."""
    tail: list[str] = []
    own = own_store(runner)
    asked = config.values["store"].source == "--store"
    if asked and own is not None:
        tail += config.store_words
    elif isinstance(runner.store, SQLiteStore) and own != _place(config.store):
        tail += ["--store", str(own)]
    if target is not None:
        tail += ["--target", target]
    return tail


def carry(
    runner: Flujo[Any, Any],
    start: Start,
    run_id: str,
    *,
    show: Show,
    tail: list[str],
    known: Iterable[str] = (),
) -> int:
    """Carry a run until it ends, waits or is interrupted, and return what the command exits with.

    Args:
        runner: Who carries it.
        start: Begins it or goes on with it, and gives its events.
        run_id: The run.
        show: How it is shown.
        tail: Options by which another command finds it again.
        known: The steps that its journal knows already.
    """
    begun = monotonic()
    going_on = command("runs", "resume", run_id, *tail)
    try:
        with user_code():
            result = asyncio.run(_carried(runner, start, show, known, going_on))
    except KeyboardInterrupt as error:
        said = "interrupted; what was done is kept" if runner.store else "interrupted; nothing was recorded"
        fix = going_on if runner.store else "run it again"
        fault = Fault(error, "interrupted", said, fix, INTERRUPTED, {"run_id": run_id})
        return report(fault, as_json=show.as_json, line=show.stream)
    if show.trace and result.error is not None:
        note(traced(result.error))
    tell(
        result, as_json=show.as_json, line=show.stream, quiet=show.quiet, took=monotonic() - begun, tail=tail
    )
    return outcome_code(result)


async def _carried(
    runner: Flujo[Any, Any], start: Start, show: Show, known: Iterable[str], going_on: str
) -> PipelineResult[Any]:
    watch = _watch(show, runner.plan, known)
    try:
        async with beside(_tick(watch)):
            return await _watched(start(runner), watch, going_on)
    finally:
        watch.close()
        await runner.close()


async def _watched(events: AsyncIterator[RunEvent], watch: Watch, going_on: str) -> PipelineResult[Any]:
    result: PipelineResult[Any] | None = None
    recorded = False
    try:
        async for event in events:
            watch.see(event)
            recorded = recorded or isinstance(event, StepCompleted)
            if isinstance(event, Finished):
                result = event.result
    except StoreError as error:
        if recorded:
            error.fix = f"{error.fix}; then go on: {going_on}"
        raise
    assert result is not None, "the last event of a run is Finished"
    return result


async def _tick(watch: Watch) -> None:
    while True:
        await asyncio.sleep(0.1)
        watch.tick()


def _watch(show: Show, plan: Plan, known: Iterable[str]) -> Watch:
    from flujo.cli.live import JsonLines, Lines, LiveTree, Silent

    if show.as_json:
        return JsonLines() if show.stream else Silent()
    if show.quiet:
        return Silent()
    if not sys.stderr.isatty():
        return Lines()
    from rich.console import Console

    from flujo.cli.progress import Progress

    console = Console(stderr=True, no_color=not colored(sys.stderr), highlight=False)
    return Lines() if console.is_dumb_terminal else LiveTree(Progress(plan, known), console)
