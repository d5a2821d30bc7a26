"""Dispatch over many machines: Procrastinate, a queue in the same PostgreSQL, hands the jobs out.

Its locks, priorities, due times, notifications, heartbeats and lists of stalled jobs are used as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from math import ceil
from time import time
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg
from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job as QueuedJob
from procrastinate.jobs import Status
from psycopg import OperationalError, pq
from psycopg_pool import PoolTimeout
from typing_extensions import override

from flujo.engine.identity import new_token
from flujo.engine.supervise import beside
from flujo.journal.postgres import PostgresStore
from flujo.journal.postgres_server import LOST, connect
from flujo.journal.scripts import queries
from flujo.journal.store import Batch, Job, short_queue
from flujo.worker.dispatch import Carry, Dispatch, Terms

logger = logging.getLogger("flujo.worker")

TASK = "flujo.carry_on"
ODD_SECONDS = 300.0
"""After how long a run is asked for again that failed in a way nobody thought of."""
FULL_SECONDS = 1.0
"""After how long a job comes again whose pipeline or tenant has as many runs in hand as it may."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between attempts to serve when the server is away."""
_AWAY = (ConnectorException, OperationalError, PoolTimeout, *LOST)


class _Again(BaseRetryStrategy):
    """What becomes of a job whose run could not be asked for anew: it comes again itself."""

    @override
    def get_retry_decision(self, *, exception: BaseException, job: QueuedJob) -> RetryDecision | None:
        if isinstance(exception, asyncio.CancelledError):  # handed back, and asked for anew
            return None
        return RetryDecision(retry_in={"seconds": min(2 ** min(job.attempts + 1, 9), 300)})


class ProcrastinateDispatch(Dispatch):
    """Lets a Procrastinate worker take the jobs, and hands out again what dead ones held.

    Args:
        store: The store; the queue is in the same database.
        terms: What the worker offers.
    """

    def __init__(self, store: PostgresStore, terms: Terms) -> None:
        self._store = store
        self._terms = terms
        self._slots = Slots(store, terms)
        self._queues = {short_queue(queue): queue for queue in terms.queues}

    async def work(self, carry: Carry, stop: asyncio.Event) -> None:
        """Hand out what is due until told to stop; see :meth:`Dispatch.work`."""
        await self._store.rows("has_queue")  # makes the tables, or says what is wrong
        pause = FIRST_PAUSE
        while not stop.is_set():
            try:
                await self._serve(carry, stop)
                pause = FIRST_PAUSE
            except _AWAY as error:
                logger.warning("the queue at %s is away: %s", self._store.place, type(error).__name__)
            if not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        await self._slots.close()

    async def _serve(self, carry: Carry, stop: asyncio.Event) -> None:
        url = conninfo(self._store.url)
        app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=4, timeout=10.0))

        @app.task(name=TASK, pass_context=True, retry=_Again())
        async def carry_on(context: JobContext, run_id: str, tenant: str = "", gone: str = "") -> None:
            job = context.job
            await self._carried(carry, Job(run_id, self._queues[job.queue], 0, job.priority, tenant), gone)

        async with app.open_async(), beside(self._recover(app)):
            serving = asyncio.ensure_future(
                app.run_worker_async(
                    queues=list(self._queues),
                    concurrency=self._terms.concurrency,
                    fetch_job_polling_interval=max(self._terms.poll, 1.0),
                    shutdown_graceful_timeout=self._terms.grace,
                    update_heartbeat_interval=self._terms.stalled_after / 3,
                    stalled_worker_timeout=self._terms.stalled_after,
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            )
            stopping = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                serving.cancel()  # it lets what it has in hand end first, for as long as there is grace
                await asyncio.wait({serving})
            if not serving.cancelled():
                serving.result()

    async def _carried(self, carry: Carry, job: Job, gone: str) -> None:
        """Carry a job out; where it is to come again, ask for its run anew, and let this one end.

        A job that is put off would keep its locks: it would stand in the way of those that come meanwhile.
        """
        again: int | None = _in(ODD_SECONDS)
        try:
            async with self._slots.taken(job) as free:
                again = await carry(job, gone) if free else _in(FULL_SECONDS)
        except asyncio.CancelledError:
            again = 0
            raise
        finally:
            if again is not None:
                anew = Batch(job.run_id, new_token(), (), jobs=[job._replace(due=again)])
                await asyncio.shield(self._store.submit(anew))

    async def _recover(self, app: App) -> None:
        """Hand out again, now and then, what workers held that are not heard of any more."""
        while True:
            await app.job_manager.prune_stalled_workers(self._terms.stalled_after)
            for job in await app.job_manager.get_stalled_jobs(
                task_name=TASK, seconds_since_heartbeat=self._terms.stalled_after
            ):
                await self._hand_out_again(app, job)
            await asyncio.sleep(self._terms.stalled_after / 3)

    async def _hand_out_again(self, app: App, job: QueuedJob) -> None:
        """Ask for a stalled job's run anew, saying which owner is gone; then strike the stalled one."""
        run_id = str(job.task_kwargs["run_id"])
        record = await self._store.run(run_id)
        gone = "" if record is None else record.owner
        with suppress(AlreadyEnqueued):  # another worker was first
            await app.configure_task(
                TASK,
                queue=job.queue,
                priority=job.priority,
                lock=run_id,
                queueing_lock=f"{run_id}!",
                task_kwargs={**job.task_kwargs, "gone": gone},
            ).defer_async()
        with suppress(ConnectorException):  # likewise
            await app.job_manager.finish_job(job=job, status=Status.FAILED, delete_job=True)
        logger.warning("run %s is handed out again: its worker is not heard of", run_id)


class Slots:
    """Limits that hold over all workers: each run in hand holds a lock of the database session.

    The server frees a session's locks when its worker dies.

    Args:
        store: The store.
        terms: The limits.
    """

    def __init__(self, store: PostgresStore, terms: Terms) -> None:
        self._store = store
        self._terms = terms
        self._held: set[str] = set()
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._sql = queries("postgres")

    @asynccontextmanager
    async def taken(self, job: Job) -> AsyncGenerator[bool]:
        """Hold a slot of each limit that a job falls under, and tell whether all were free."""
        held: list[str] = []
        try:
            free = True
            for name, most in self._limits(job):
                slot = await self._take(name, most)
                if slot is None:
                    free = False
                    break
                held.append(slot)
            yield free
        finally:
            for slot in held:
                await self._free(slot)

    def _limits(self, job: Job) -> list[tuple[str, int]]:
        pipeline = self._terms.queues[job.queue]
        found: list[tuple[str, int]] = []
        if pipeline in self._terms.pipelines:
            found.append((f"pipeline {pipeline}", self._terms.pipelines[pipeline]))
        of_tenant = self._terms.of_tenant(job.tenant)
        if of_tenant is not None:
            found.append((f"tenant {job.tenant}", of_tenant))
        return found

    async def _take(self, name: str, most: int) -> str | None:
        async with self._lock:
            for number in range(most):
                slot = f"{name}#{number}"
                if slot in self._held:  # a session may take its own lock twice
                    continue
                connection = await self._connected()
                if await connection.fetchval(self._sql["try_slot"], slot):
                    self._held.add(slot)
                    return slot
        return None

    async def _free(self, slot: str) -> None:
        async with self._lock:
            self._held.discard(slot)
            connection = self._connection
            if connection is not None and not connection.is_closed():
                with suppress(*LOST):
                    await connection.fetchval(self._sql["free_slot"], slot)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = connection = await connect(self._store.url, self._store.place)
            for slot in self._held:  # the server gave them back with the session that held them
                await connection.fetchval(self._sql["try_slot"], slot)
        return self._connection

    async def close(self) -> None:
        """Let go of everything."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def conninfo(url: str) -> str:
    """Return a store's URL as libpq reads it: settings of the server become options of the session."""
    parts = urlsplit(url)
    drivers_own = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    known: dict[str, str] = {}
    settings: list[str] = []
    for key, value in parse_qsl(parts.query):
        if key in drivers_own:
            known[key] = value
        else:
            settings.append(f"-c {key}={value.replace(' ', chr(92) + ' ')}")
    if settings:
        known["options"] = " ".join([*filter(None, [known.get("options")]), *settings])
    return urlunsplit(parts._replace(query=urlencode(known, quote_via=quote)))


def _in(seconds: float) -> int:
    """Return a time from now, in microseconds, to the full second: those put off together are one job."""
    return ceil(time() + seconds) * 1_000_000
