"""The runs that callers wait for: each is carried once, however many calls name it.

A call belongs to its connection; a run belongs to the server. So a run is carried by a task of the server's
own, and calls only look on: one that goes away leaves the run alone, one that is cancelled cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from flujo.engine.result import Finished, PipelineResult, RunEvent
from flujo.engine.runner import Flujo
from flujo.errors import ResumeError, RunConflict

Start = Callable[[], AsyncIterator[RunEvent]]


class Carried:
    """One run while it is carried.

    Attributes:
        run_id: The run.
        runner: Who carries it.
        given: What it was begun with, as JSON; None where it only goes on.
        callers: How many calls wait for it.
        ended: Set when it is carried no more.
    """

    def __init__(self, run_id: str, runner: Flujo[Any, Any, Any], given: bytes | None) -> None:
        self.run_id = run_id
        self.runner = runner
        self.given = given
        self.callers = 0
        self.ended = asyncio.Event()
        self._told: list[asyncio.Queue[RunEvent | None]] = []
        self._result: PipelineResult[Any, Any] | None = None
        self._error: BaseException | None = None
        self._over = False

    async def carry(self, start: Start) -> None:
        """Carry the run to its end or its pause, and tell whoever looks on."""
        try:
            # Whatever goes wrong is this run's failure, and not the server's.
            (self._error,) = await asyncio.gather(self._follow(start), return_exceptions=True)
        finally:
            self._over = True
            for queue in self._told:
                queue.put_nowait(None)

    async def _follow(self, start: Start) -> None:
        async for event in start():
            if isinstance(event, Finished):
                self._result = event.result
            for queue in self._told:
                queue.put_nowait(event)

    async def events(self) -> AsyncIterator[RunEvent]:
        """Yield what happens from now on, until the run ends or waits."""
        queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        self._told.append(queue)
        try:
            while not self._over or not queue.empty():
                event = await queue.get()
                if event is None:
                    return
                yield event
        finally:
            self._told.remove(queue)

    def result(self) -> PipelineResult[Any, Any]:
        """Return what the run came to.

        Raises:
            Exception: What kept it from being carried.
            asyncio.CancelledError: The server ends; the run stays as it is.
        """
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise asyncio.CancelledError("the server ends")
        return self._result

    async def cancel(self, reason: str) -> None:
        """Cancel the run for good, unless another call still waits for it."""
        if self.callers == 0 and not self._over:
            with suppress(ResumeError):  # it ended in the same moment
                await self.runner.cancel(self.run_id, reason)


class RunsInHand:
    """The runs that a server carries; leaving it interrupts them, so that they can be resumed."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._carried: dict[str, Carried] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    def carried(self, run_id: str) -> Carried | None:
        """Return a run that is under way here."""
        return self._carried.get(run_id)

    @asynccontextmanager
    async def answering(self, run_id: str) -> AsyncGenerator[None]:
        """Hold a run still while it is answered: whoever carries it would lose it to the answer.

        An answer to a run that is carried waits until that ends or pauses again.
        """
        async with self._turn(run_id):
            while (carried := self._carried.get(run_id)) is not None:
                await carried.ended.wait()
            yield

    def _turn(self, run_id: str) -> asyncio.Lock:
        return self._turns.setdefault(run_id, asyncio.Lock())

    async def carry(
        self, runner: Flujo[Any, Any, Any], run_id: str, start: Start, *, given: bytes | None = None
    ) -> Carried:
        """Return a run under way: one that is carried already, or one that begins to be now.

        Args:
            runner: Who carries it.
            run_id: The run.
            start: Begins it or goes on with it.
            given: Its input as JSON, where it begins.

        Raises:
            RunConflict: It is carried, and began with another input.
        """
        async with self._turn(run_id):
            return self._carry(runner, run_id, start, given)

    def _carry(self, runner: Flujo[Any, Any, Any], run_id: str, start: Start, given: bytes | None) -> Carried:
        carried = self._carried.get(run_id)
        if carried is not None:
            if given is not None and carried.given not in (None, given):
                raise RunConflict(f"run {run_id} began with another input")
            return carried
        carried = self._carried[run_id] = Carried(run_id, runner, given)
        task = self._group.create_task(carried.carry(start))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(run_id, task))
        return carried

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._carried.pop(run_id).ended.set()
        self._tasks.discard(task)


def run_id_of(*parts: str) -> str:
    """Return the name of the run that an idempotency key stands for, of a tool and on somebody's behalf."""
    return "mcp-" + sha256("\0".join(parts).encode()).hexdigest()[:32]
