"""A worker: it carries on what is due, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from flujo.engine.clock import Clock, SystemClock
from flujo.engine.runner import Flujo
from flujo.engine.supervise import beside
from flujo.errors import (
    ConfigError,
    FlujoError,
    RunBusy,
    RunTaken,
    UnknownRun,
)
from flujo.journal.jobs import Board
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import Job, JournalStore, queue_of
from flujo.worker.dispatch import Dispatch, Terms
from flujo.worker.schedules import Keeper

logger = logging.getLogger("flujo.worker")

BUSY_SECONDS = 1.0
"""After how long a run is asked for again that somebody else carries on."""
LONGEST_SECONDS = 300.0
"""The longest wait before a run is tried again that could not be carried on."""


@dataclass(slots=True)
class Tally:
    """What a worker has done since it began.

    Attributes:
        outcomes: How many times a run was carried on, by pipeline and what came of it: a status,
            ``nothing`` (there was nothing to go on with), ``busy``, ``handed back``, or ``error``.
        seconds: How long that took in all, by pipeline.
        in_hand: How many runs it carries on now.
    """

    outcomes: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    in_hand: int = 0

    def count(self, pipeline: str, outcome: str, seconds: float) -> None:
        """Note that a run was carried on."""
        self.outcomes[pipeline, outcome] = self.outcomes.get((pipeline, outcome), 0) + 1
        self.seconds[pipeline] = self.seconds.get(pipeline, 0.0) + seconds


class Worker:
    """Carries on the runs of some pipelines: new, answered, due ones, and those whose worker died.

    Any number of workers may serve one store. On PostgreSQL, Procrastinate hands the jobs out; on SQLite a
    table in the file does. Whatever is handed out twice, the journal's fence lets one owner write.

    Args:
        runners: The pipelines, each with its runner; all on one store.
        concurrency: How many runs to carry on at once.
        pipelines: How many runs of a pipeline, by name, all workers together may carry on at once.
        tenants: How many runs of a tenant they may, likewise.
        each_tenant: The same for every tenant that is not named.
        grace: Seconds that runs have to end after :meth:`stop`, before they are handed back.
        poll: Seconds between two looks for jobs, where nothing announces them.
        stalled_after: Seconds after which a worker on another machine that is not heard of counts as dead.
        clock: What time it is.

    Raises:
        ConfigError: There is no runner, or they have no store in common that workers can reach.
    """

    def __init__(
        self,
        runners: Sequence[Flujo[Any, Any]],
        *,
        concurrency: int = 10,
        pipelines: Mapping[str, int] | None = None,
        tenants: Mapping[str, int] | None = None,
        each_tenant: int | None = None,
        grace: float = 30.0,
        poll: float = 0.25,
        stalled_after: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        if concurrency < 1:
            raise ConfigError(
                f"concurrency={concurrency!r}: nothing could be carried on", fix="allow at least 1"
            )
        self._runners = {queue_of(runner.plan.name, runner.plan.fingerprint): runner for runner in runners}
        self._names = {runner.plan.name: runner for runner in runners}
        _check_limits(pipelines or {}, self._names)
        self.store = _common_store(runners)
        self.terms = Terms(
            queues={queue: runner.plan.name for queue, runner in self._runners.items()},
            concurrency=concurrency,
            pipelines=pipelines or {},
            tenants=tenants or {},
            each_tenant=each_tenant,
            grace=grace,
            poll=poll,
            stalled_after=stalled_after,
        )
        self.tally = Tally()
        self._clock = clock or SystemClock()
        self._stop = asyncio.Event()
        self._failures: dict[str, int] = {}

    def stop(self) -> None:
        """Take no more runs; :meth:`run` returns when those in hand have ended or were handed back."""
        self._stop.set()

    async def run(self) -> None:
        """Carry on what is due until :meth:`stop` is called.

        Raises:
            StoreError: The store cannot be used, and waiting would not help.
        """
        board = board_of(self.store)
        keeper = Keeper(board, self._names, self._clock)
        try:
            async with beside(keeper.keep()):
                await self._dispatch(board).work(self.carry, self._stop)
        finally:
            await board.close()

    async def carry(self, job: Job, gone: str) -> int | None:
        """Carry a job's run on; return when it is to be tried again, or None when the job is done."""
        pipeline, begun = self.terms.queues[job.queue], perf_counter()
        self.tally.in_hand += 1
        outcome = "error"
        try:
            outcome, again = await self._carried(job, gone)
        except asyncio.CancelledError:
            outcome = "handed back"
            raise
        finally:
            self.tally.in_hand -= 1
            self.tally.count(pipeline, outcome, perf_counter() - begun)
        return again

    async def _carried(self, job: Job, gone: str) -> tuple[str, int | None]:
        run_id = job.run_id
        try:
            record = await self.store.run(run_id) if gone else None
            take_over = record is not None and record.owner == gone
            woken = await self._runners[job.queue].carry_on(run_id, take_over=take_over)
        except RunBusy:
            return "busy", self._later(BUSY_SECONDS)
        except RunTaken:
            return "busy", None  # who took it over carries it on
        except UnknownRun as error:
            logger.error("run %s cannot be carried on: %s", run_id, error.message)
            return "error", None
        except FlujoError as error:  # it may pass: the only job of a run is not dropped
            return self._failed(run_id, error)
        self._failures.pop(run_id, None)
        if woken.result is None:
            return "nothing", woken.due
        return woken.result.status, None

    def _failed(self, run_id: str, error: FlujoError) -> tuple[str, int]:
        """Tell what kept a run from going on; it is tried again, less and less often."""
        count = self._failures[run_id] = self._failures.get(run_id, 0) + 1
        wait = min(BUSY_SECONDS * 2.0**count, LONGEST_SECONDS)
        logger.warning("run %s cannot go on now, and is tried again in %g s: %s", run_id, wait, error.message)
        return "error", self._later(wait)

    def _later(self, seconds: float) -> int:
        return self._clock.now() + int(seconds * 1e6)

    def _dispatch(self, board: Board) -> Dispatch:
        from flujo.journal.sqlite_jobs import SQLiteJobs

        if isinstance(board, SQLiteJobs):
            from flujo.worker.local import LocalDispatch

            return LocalDispatch(board, self.terms, self._clock)
        from flujo.journal.postgres import PostgresStore
        from flujo.worker.queue import ProcrastinateDispatch

        assert isinstance(self.store, PostgresStore)
        return ProcrastinateDispatch(self.store, self.terms)


def board_of(store: JournalStore) -> Board:
    """Return what a store knows of its queues, its workers and its schedules.

    Raises:
        ConfigError: Workers cannot reach this store.
    """
    if isinstance(store, SQLiteStore):
        from flujo.journal.sqlite_jobs import SQLiteJobs

        return SQLiteJobs(store.path)
    try:
        from flujo.journal.postgres import PostgresStore
        from flujo.journal.postgres_jobs import PostgresBoard
    except ConfigError:
        raise _unreachable(store) from None
    if isinstance(store, PostgresStore):
        return PostgresBoard(store)
    raise _unreachable(store)


def _unreachable(store: JournalStore) -> ConfigError:
    return ConfigError(
        f"workers cannot reach {type(store).__name__}",
        fix='use state="flujo_ops.db", or the URL of a PostgreSQL database',
    )


def _common_store(runners: Sequence[Flujo[Any, Any]]) -> JournalStore:
    """Return the store of the runners."""
    if not runners:
        raise ConfigError(
            "a worker without a pipeline has nothing to do", fix="pass its runners: Worker([…])"
        )
    stores = [runner.store for runner in runners]
    first = stores[0]
    if first is None:
        raise ConfigError(
            f"the runner of {runners[0].plan.name!r} has no store", fix='make it with state="flujo_ops.db"'
        )
    for runner, store in zip(runners, stores, strict=True):
        if store is None or _place(store) != _place(first):
            raise ConfigError(
                f"the runners of {runners[0].plan.name!r} and {runner.plan.name!r} have different stores",
                fix="run a worker for each store",
            )
    return first


def _place(store: JournalStore) -> str:
    return str(store.path.resolve()) if isinstance(store, SQLiteStore) else repr(store)


def _check_limits(limits: Mapping[str, int], names: Mapping[str, object]) -> None:
    for name, most in limits.items():
        if name not in names:
            raise ConfigError(
                f"a limit is set for the pipeline {name!r}, which this worker does not have",
                fix=f"its pipelines are {', '.join(map(repr, names))}",
            )
        if most < 1:
            raise ConfigError(f"a limit of {most} for {name!r} lets nothing run", fix="allow at least 1")
