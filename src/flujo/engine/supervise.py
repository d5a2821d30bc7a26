"""Supervising: a run is carried out in a task of its own; it is given up, blocked on, or streamed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from flujo.engine.record import Memo, Recall
from flujo.engine.result import Finished, Observer, PipelineResult, RunEvent, StepResult
from flujo.errors import ConfigError, UnknownRun
from flujo.pipeline.context import PipelineContext, clone

if TYPE_CHECKING:
    from flujo.engine.accounts import Purse
    from flujo.engine.labels import RunLabels
    from flujo.pipeline.policy import Principal

T = TypeVar("T")

GRACE = 0.05
"""Seconds that steps have to end after a cancellation; then they are given up."""


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, Any]) -> AsyncGenerator[None]:
    """Do something aside for as long as a block lasts; its failure ends the block."""
    try:
        async with asyncio.TaskGroup() as group:
            aside = group.create_task(work)
            try:
                yield
            finally:
                aside.cancel()
    except BaseExceptionGroup as several:
        if len(several.exceptions) == 1:
            alone = several.exceptions[0]
            raise alone from alone.__cause__
        raise


class Supervised:
    """A run in progress: something to wait for, and something to cancel.

    A step may swallow its cancellation, or block in a thread. No task group ends before its tasks do,
    so this one task stands alone: after the grace it is abandoned, and nothing it does afterwards is
    recorded.

    Args:
        work: What to carry out.
        give_up: Called before the work is cancelled, so that nothing new begins in it.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], give_up: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._ended: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(work)
        self._task.add_done_callback(self._end)
        self._give_up = give_up
        self.reason: str | None = None

    def _end(self, task: asyncio.Task[Any] | None = None) -> None:
        if task is not None and not task.cancelled():
            task.exception()  # seen, so that an abandoned task's failure is not reported as forgotten
        if not self._ended.done():
            self._ended.set_result(None)

    def cancel(self, reason: str) -> bool:
        """Cancel the work for good, with a reason, from any thread; return at once.

        Returns:
            Whether the loop that the work runs in is still there to end it.
        """
        try:
            self._loop.call_soon_threadsafe(self._cancel, reason)
        except RuntimeError:  # the loop was closed
            return False
        return True

    def _cancel(self, reason: str) -> None:
        if self.reason is None and not self._ended.done():
            self.reason = reason
            self._give_up()
            self._task.cancel()
            self._loop.call_later(GRACE, self._end)

    @property
    def abandoned(self) -> bool:
        """Whether the work was given up while it was still running."""
        return not self._task.done()

    async def outcome(self) -> Any:
        """Return what the work gives.

        Raises:
            asyncio.CancelledError: The caller was cancelled (the work is then cancelled, too), or the
                work was: then :attr:`reason` says why.
        """
        try:
            await self._ended
        except asyncio.CancelledError:
            self._give_up()
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=GRACE)
            raise
        if self.reason is not None and (self.abandoned or self._task.cancelled()):
            raise asyncio.CancelledError(self.reason)
        return self._task.result()


def blocking(name: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Carry something out for code that is not ``async``.

    Raises:
        ConfigError: An event loop is running.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(call())
    raise ConfigError(
        f"{name}() was called while an event loop is running", fix=f"await {name}_async() there"
    )


class Told:
    """What a run tells, on its way to whoever streams it.

    Nothing is lost and nobody is kept from telling how a run ends; but what would only make more to look at
    waits in :meth:`room` while there is enough.
    """

    AHEAD = 16
    """How many events may wait to be looked at before steps are held back."""

    def __init__(self) -> None:
        self._events: deque[RunEvent] = deque()
        self._over = False
        self._reader: asyncio.Future[None] | None = None
        self._held: list[asyncio.Future[None]] = []

    def __call__(self, event: RunEvent, /) -> None:
        """Take an event."""
        self._events.append(event)
        self._wake()

    def end(self) -> None:
        """Say that no more follows."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def room(self) -> None:
        """Return when fewer than :attr:`AHEAD` events wait to be looked at."""
        while len(self._events) >= self.AHEAD:
            held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(held)
            await held

    async def next(self) -> RunEvent | None:
        """Return the next event; None when no more follows."""
        while not self._events:
            if self._over:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        event = self._events.popleft()
        if self._held and len(self._events) < self.AHEAD:
            held, self._held = self._held, []
            for one in held:
                if not one.done():
                    one.set_result(None)
        return event


async def streamed(
    carry: Callable[[Observer], Coroutine[Any, Any, PipelineResult[Any, Any]]],
) -> AsyncGenerator[RunEvent]:
    """Yield what a run tells, and its result last; the run ends with the iteration."""
    told = Told()
    task = asyncio.ensure_future(carry(told))
    task.add_done_callback(lambda _: told.end())
    try:
        while (event := await told.next()) is not None:
            yield event
        result = await task
        yield Finished(result.run_id, result)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # whoever closed the stream does not ask why the run failed


@dataclass(frozen=True, slots=True)
class Live:
    """What a paused run without a store goes on from: kept in its result, by reference."""

    recall: Recall
    context: PipelineContext
    views: Mapping[str, PipelineContext]
    value: Any
    steps: Sequence[StepResult]
    purse: Purse | None = None
    principal: Principal | None = None
    labels: RunLabels | None = None

    def again(self) -> Live:
        """Return the same state to go on from, so that a result can be resumed more than once."""
        notes = {address: list(known) for address, known in self.recall.notes.items()}
        views = {prefix: view.model_copy(deep=True) for prefix, view in self.views.items()}
        done: dict[str, Memo | bytes] = {
            address: memo._replace(output=clone(memo.output)) if isinstance(memo, Memo) else memo
            for address, memo in self.recall.done.items()
        }
        context, value = self.context.model_copy(deep=True), clone(self.value)
        purse = self.purse and self.purse.again()
        labels = self.labels and self.labels.again()
        return Live(Recall(done, notes), context, views, value, self.steps, purse, self.principal, labels)


def live_of(run: str | PipelineResult[Any]) -> tuple[str, Live]:
    """Return what a paused run without a store goes on from: only its result holds that.

    Raises:
        UnknownRun: A mere name, or a result that holds nothing.
    """
    live = None if isinstance(run, str) else run._live  # pyright: ignore[reportPrivateUsage]
    run_id = run if isinstance(run, str) else run.run_id
    if not isinstance(live, Live):
        raise UnknownRun(
            f"{run_id} cannot be resumed: this runner has no store",
            fix="pass the paused result itself, or make the runner with state='flujo_ops.db'",
        )
    return run_id, live
