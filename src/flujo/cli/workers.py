"""Workers on the command line: one that serves, and a look at all of them."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flujo.cli.carry import runner_of
from flujo.cli.config import Config
from flujo.cli.output import DONE, emit, emit_json, note, user_code
from flujo.cli.reading import opened
from flujo.cli.runs import terminal_width
from flujo.cli.targets import load_target
from flujo.cli.text import age, counted, table
from flujo.engine.identity import is_alive
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError
from flujo.journal.jobs import QueueCount, WorkerRecord
from flujo.journal.store import RunQuery
from flujo.worker import Worker, board_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


SILENT_SECONDS = 60.0
"""How long a worker may not have been heard of and is still called alive."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker is told on the command line; limits as they were typed, `NAME=N`."""

    concurrency: int
    pipelines: Sequence[str]
    tenants: Sequence[str]
    each_tenant: int | None
    grace: float
    stalled_after: float
    host: str
    port: int | None


def serve(config: Config, targets: Sequence[str], offer: Offer) -> int:
    """Carry on what is due until a signal comes, and return what the command exits with.

    Raises:
        FlujoError: A target or the store cannot be used.
    """
    names = targets or list(config.targets)
    if not names:
        raise ConfigError(
            "no pipeline to carry on was named",
            fix="name one: `flujo worker file.py:object`; or list them in [targets] of flujo.toml",
        )
    with user_code():
        runners = [
            runner_of(load_target(name, names=config.targets, folder=config.folder), config) for name in names
        ]
    worker = Worker(
        runners,
        concurrency=offer.concurrency,
        pipelines=_limits(offer.pipelines, "--limit"),
        tenants=_limits(offer.tenants, "--tenant"),
        each_tenant=offer.each_tenant,
        grace=offer.grace,
        stalled_after=offer.stalled_after,
    )
    _log_to_stderr()
    with user_code():
        asyncio.run(_serve(worker, runners, offer, config))
    done = sum(worker.tally.outcomes.values())
    note(f"stopped; carried runs on {counted(done, 'time')}")
    return DONE


async def _serve(worker: Worker, runners: Sequence[Flujo[Any, Any]], offer: Offer, config: Config) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as open_:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, worker)
        for runner in runners:
            open_.push_async_callback(runner.close)
        if offer.port is not None:
            address = await open_.enter_async_context(_health(worker, offer.host, offer.port))
            note(f"health and metrics: {address}/healthz, {address}/metrics")
        pipelines = ", ".join(sorted(set(worker.terms.queues.values())))
        note(f"carrying on {pipelines} in {config.store_name}; Ctrl-C or SIGTERM stops")
        await worker.run()


def _stop(worker: Worker) -> None:
    worker.stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # a second signal ends the process at once
        loop.remove_signal_handler(number)


@asynccontextmanager
async def _health(worker: Worker, host: str, port: int) -> AsyncGenerator[str]:
    try:
        from flujo.worker.health import served
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--port needs the package {error.name}, which is not installed",
            fix="pip install 'flujo[server]'",
        ) from None
    async with served(worker, host, port) as address:
        yield address


def _limits(typed: Sequence[str], option: str) -> dict[str, int]:
    """Return limits by name.

    Raises:
        ConfigError: One is not written as a name, `=` and a number.
    """
    found: dict[str, int] = {}
    for text in typed:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal() or int(number) < 1:
            raise ConfigError(
                f"{option} {text!r} is no limit", fix=f"write {option} NAME=N, N being 1 or more"
            )
        found[name] = int(number)
    return found


def _log_to_stderr() -> None:
    """Print what the worker notes, as it comes; what the queue itself notes, where it matters."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("flujo.worker").setLevel(logging.INFO)


def show_status(config: Config, *, as_json: bool) -> int:
    """Print who works, and what waits for a worker."""
    workers, queues = asyncio.run(_status(config))
    if as_json:
        emit_json(
            {
                "workers": [{**one._asdict(), "alive": _lives(one)} for one in workers],
                "queues": [one._asdict() for one in queues],
            }
        )
        return DONE
    _print_workers(workers)
    _print_queues(queues)
    return DONE


async def _status(config: Config) -> tuple[list[WorkerRecord], list[QueueCount]]:
    async with opened(config.store) as store:
        await store.runs(RunQuery(limit=1))  # says so where there is no store
        board = board_of(store)
        try:
            now = int(datetime.now(UTC).timestamp() * 1e6)
            return await board.workers(), await board.counts(now)
        finally:
            await board.close()


def _lives(worker: WorkerRecord) -> bool:
    return is_alive(worker.name) if worker.silent_for is None else worker.silent_for < 30


def _print_workers(workers: Sequence[WorkerRecord]) -> None:
    if not workers:
        note("no worker serves this store; start one: flujo worker TARGET")
        return
    now = datetime.now(UTC)
    rows = [
        (
            one.name.rpartition(":")[0] or one.name,
            "alive" if _lives(one) else "dead",
            "" if one.silent_for is None else age(now - timedelta(seconds=one.silent_for), now),
            f"{one.in_hand} of {one.concurrency}" if one.concurrency else str(one.in_hand),
            ", ".join(queue.rpartition("@")[0] for queue in one.queues),
        )
        for one in workers
    ]
    emit(table(("WORKER", "STATE", "HEARD OF", "IN HAND", "PIPELINES"), rows, width=terminal_width()))


def _print_queues(queues: Sequence[QueueCount]) -> None:
    if not queues:
        note("nothing waits for a worker")
        return
    rows = [
        (
            one.queue.rpartition("@")[0],
            one.queue.rpartition("@")[2],
            str(one.due),
            str(one.later),
            str(one.in_hand),
        )
        for one in queues
    ]
    emit("\n" + table(("PIPELINE", "PLAN", "DUE", "LATER", "IN HAND"), rows, width=terminal_width()))
