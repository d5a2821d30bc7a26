"""Worker threads for steps that are not ``async``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, cast


class _Job(NamedTuple):
    call: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Threads:
    """Runs blocking calls in daemon threads, started when needed and ended when idle.

    Unlike an executor's, these threads never keep the interpreter from exiting: a call that was
    given up, because its run was cancelled or timed out, may block for ever.

    Args:
        limit: The most threads at once; further calls wait for one.
        idle: Seconds after which a thread without work ends.
    """

    def __init__(self, limit: int = 64, idle: float = 10.0) -> None:
        self._limit = limit
        self._idle_seconds = idle
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = Lock()
        self._count = 0
        self._idle = 0

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return what a function gives, run in a worker thread with this task's context variables.

        When the awaiting task is cancelled the call goes on in its thread, and its result is discarded.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = copy_context()
        self._jobs.put(_Job(lambda: context.run(function, *args, **kwargs), future, loop))
        self._ensure_thread()
        return await future

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._idle >= self._jobs.qsize() or self._count >= self._limit:
                return
            self._count += 1
        Thread(target=self._work, name="flujo-step", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                job = self._jobs.get(timeout=self._idle_seconds)
            except Empty:
                job = None
            with self._lock:
                self._idle -= 1
                if job is None and self._jobs.empty():
                    self._count -= 1
                    return
            if job is not None:
                _perform(job)


async def settled(value: Any) -> Any:
    """Return what a user's function gave, awaiting it where the function was ``async``."""
    return await cast("Awaitable[Any]", value) if isinstance(value, Awaitable) else value


def _perform(job: _Job) -> None:
    try:
        value = job.call()
    except BaseException as error:  # noqa: BLE001  # the step's own, raised again where it is awaited
        outcome = _raise_in(job.future, error)
    else:
        outcome = _give_to(job.future, value)
    try:
        job.loop.call_soon_threadsafe(outcome)
    except RuntimeError:  # the loop was closed: nobody waits any more
        return


def _give_to(future: asyncio.Future[Any], value: Any) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_result(value)


def _raise_in(future: asyncio.Future[Any], error: BaseException) -> Callable[[], None]:
    if isinstance(error, StopIteration):
        stopped = RuntimeError("the function raised StopIteration")
        stopped.__cause__ = error
        error = stopped
    return lambda: None if future.done() else future.set_exception(error)
