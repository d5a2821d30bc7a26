"""Dispatch on one machine: a small loop over the job table of an SQLite store."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from flujo.engine.clock import Clock
from flujo.engine.identity import begins, ends, is_alive, new_token, owner_of
from flujo.engine.threads import text_of
from flujo.errors import StoreUnavailable
from flujo.journal.jobs import JobTable, Limits, Postponed, Taken, pipeline_of
from flujo.worker.dispatch import Carry, Dispatch, Terms

logger = logging.getLogger("flujo.worker")

RECOVERY_SECONDS = 2.0
"""How often a worker looks whether others have died."""
ODD_SECONDS = 300
"""After how long a job is tried again that failed in a way nobody thought of."""
AWAY_SECONDS = 1.0
"""How long it waits before it looks again for a store that is locked or full."""


class LocalDispatch(Dispatch):
    """Takes jobs from a table, as many as there are hands free, and gives back what is done in the same step.

    Args:
        table: The job table.
        terms: What the worker offers.
        clock: What time it is.
    """

    def __init__(self, table: JobTable, terms: Terms, clock: Clock) -> None:
        self._table = table
        self._terms = terms
        self._clock = clock
        named = {pipeline_of(queue): name for queue, name in terms.queues.items()}
        self._limits = Limits(
            pipelines={
                short: terms.pipelines[name] for short, name in named.items() if name in terms.pipelines
            },
            tenants=terms.tenants,
            each_tenant=terms.each_tenant,
        )
        self._in_hand: dict[asyncio.Task[int | None], Taken] = {}
        self._finished: list[int] = []
        self._postponed: list[Postponed] = []
        self._changed = asyncio.Event()

    async def work(self, carry: Carry, stop: asyncio.Event) -> None:
        """Hand out what is due until told to stop; see :meth:`Dispatch.work`."""
        token = new_token()
        name = owner_of(token)
        begins(token)
        stopped = asyncio.ensure_future(stop.wait())
        stopped.add_done_callback(lambda _: self._changed.set())
        try:
            await self._serve(name, carry, stop)
        finally:
            stopped.cancel()
            try:
                await self._wind_up(name)
            finally:
                ends(token)  # what could not be handed back is a dead worker's now

    async def _serve(self, name: str, carry: Carry, stop: asyncio.Event) -> None:
        queues, looked = list(self._terms.queues), 0.0
        registered = False
        while not stop.is_set():
            try:
                if not registered:
                    await self._table.begin(name, queues, self._terms.concurrency, self._clock.now())
                    registered = True
                if monotonic() - looked > RECOVERY_SECONDS:
                    looked = monotonic()
                    if found := await self._table.recover(is_alive):
                        logger.warning("%d jobs of dead workers are handed out again", found)
                taken = await self._exchange(name, self._terms.concurrency - len(self._in_hand))
            except StoreUnavailable as error:
                logger.warning("the store is away, and is waited for: %s", error.message)
                await self._rest(AWAY_SECONDS)
                continue
            for one in taken:
                task = asyncio.ensure_future(carry(one.job, ""))
                self._in_hand[task] = one
                task.add_done_callback(self._done)
            if not taken:
                await self._rest(self._terms.poll)

    async def _exchange(self, name: str, wanted: int) -> list[Taken]:
        finished, postponed = self._finished, self._postponed
        self._finished, self._postponed = [], []
        given = False
        try:
            taken = await self._table.exchange(
                name,
                queues=list(self._terms.queues),
                finished=finished,
                postponed=postponed,
                wanted=wanted,
                limits=self._limits,
                now=self._clock.now(),
            )
            given = True
        finally:
            if not given:
                self._finished, self._postponed = finished + self._finished, postponed + self._postponed
        return taken

    def _done(self, task: asyncio.Task[int | None]) -> None:
        """Note what came of a job. One that failed oddly ends nothing else, and comes again after a while."""
        taken = self._in_hand.pop(task)
        if task.cancelled():
            again: int | None = 0
        elif (error := task.exception()) is not None:
            logger.error("run %s: %s: %s", taken.job.run_id, type(error).__name__, text_of(error))
            again = self._clock.now() + ODD_SECONDS * 1_000_000
        else:
            again = task.result()
        if again is None:
            self._finished.append(taken.id)
        else:
            self._postponed.append(Postponed(taken.id, again))
        self._changed.set()

    async def _rest(self, seconds: float) -> None:
        """Wait until a hand is free again, or the worker is stopped, but no longer than so."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _wind_up(self, name: str) -> None:
        """Let what is in hand end, for as long as there is grace; hand the rest back, and take leave."""
        if self._in_hand:
            logger.info("stopping: %d runs may end within %g seconds", len(self._in_hand), self._terms.grace)
            await asyncio.wait(self._in_hand, timeout=self._terms.grace)
        for task in list(self._in_hand):
            task.cancel()
        if self._in_hand:
            await asyncio.wait(self._in_hand)
            await asyncio.sleep(0)  # their callbacks
        if self._finished or self._postponed:
            await self._exchange(name, 0)
        await self._table.end(name)
