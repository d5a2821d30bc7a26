"""Worker threads for steps that are not ``async``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import CoroutineType
from typing import Any, Literal, cast


def text_of(error: BaseException | None) -> str:
    """Return what any exception says; of one that cannot even say that, so much."""
    try:
        return str(error)
    except Exception as odd:  # noqa: BLE001  # the exception's own code
        return f"(its text cannot be made: {type(odd).__name__})"


class NeverBegan(Exception):
    """The cause of a cancellation that came before the call was made."""


class _Job:
    """A call, and who awaits it; its stage changes under the lock of its threads only."""

    __slots__ = ("call", "future", "loop", "stage")

    def __init__(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.stage: Literal["queued", "withdrawn", "running", "abandoned", "ended"] = "queued"


class Threads:
    """Runs blocking calls in daemon threads, started when needed and ended when idle.

    Unlike an executor's, these threads never keep the interpreter from exiting: a call that was
    given up, because its run was cancelled or timed out, may block for ever. Its thread does not
    count any more, and ends with it.

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
        self._idle = 0  # threads that are free, or about to start, or about to say which job they took
        self._queued = 0  # jobs that no thread has said it took

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return what a function gives, run in a worker thread with this task's context variables.

        When the awaiting task is cancelled, a call that has not begun is never made, and
        :func:`never_began` tells so. One that has begun goes on in its thread, and its result is
        discarded.
        """
        context = copy_context()
        job = _Job(lambda: context.run(function, *args, **kwargs), asyncio.get_running_loop())
        self._put(job)
        try:
            return await job.future
        except asyncio.CancelledError as error:
            if self._give_up(job):
                raise asyncio.CancelledError(*error.args) from NeverBegan()
            raise

    def _put(self, job: _Job) -> None:
        with self._lock:
            self._queued += 1
            self._jobs.put(job)
        try:
            self._ensure_thread()
        except RuntimeError:  # the system has no more threads to give
            job.future.cancel()
            raise

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._idle >= self._queued or self._count >= self._limit:
                return
            self._idle += 1
            self._count += 1
        try:
            Thread(target=self._work, name="flujo-step", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._idle -= 1
                self._count -= 1
            raise

    def _give_up(self, job: _Job) -> bool:
        """Give up a job whose caller was cancelled; say whether it had not begun, and never will."""
        with self._lock:
            if job.stage == "queued":
                job.stage = "withdrawn"
            elif job.stage == "running":
                job.stage = "abandoned"
                self._count -= 1
        if job.stage == "abandoned":
            self._ensure_thread()  # for what was queued behind it
        return job.stage == "withdrawn"

    def _work(self) -> None:
        while self._serve():
            pass

    def _serve(self) -> bool:
        """Take one job; say whether the thread is to take another."""
        try:
            job = self._jobs.get(timeout=self._idle_seconds)
        except Empty:
            return self._stays()
        with self._lock:
            self._queued -= 1
            if job.stage == "withdrawn" or job.future.done():
                job.stage = "withdrawn"
                return True
            self._idle -= 1
            job.stage = "running"
        outcome = _performed(job)
        with self._lock:
            stays = job.stage == "running"
            if stays:
                job.stage = "ended"
                self._idle += 1  # before the caller knows, whose next call may come to this thread
        _hand_over(job, outcome)
        return stays

    def _stays(self) -> bool:
        with self._lock:
            if self._queued:
                return True
            self._idle -= 1
            self._count -= 1
            return False


def never_began(error: BaseException | None) -> bool:
    """Say whether a cancellation, or a timeout that it became, came before the call was made.

    It speaks of the call that was awaited: a step that is ``async`` and awaits one has begun itself.
    """
    while error is not None and not isinstance(error, NeverBegan):
        error = error.__cause__
    return error is not None


async def settled(value: Any) -> Any:
    """Return what a user's function gave, awaiting it where the function was ``async``."""
    return await cast("Awaitable[Any]", value) if isinstance(value, Awaitable) else value


BARE = object()
"""What stands for a bare ``yield`` to the loop: ``asyncio.sleep(0)``."""


def attempted(function: Callable[..., Any], /, *args: Any) -> tuple[Any, BaseException | None]:
    """Call a user's function; return what it gave, or what it raised."""
    try:
        return function(*args), None
    except (SystemExit, asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # the user's own code
        return None, error


def begun(function: Callable[..., Any], /, *args: Any) -> tuple[Any, BaseException | None, Any]:
    """Call a user's function and go on with it, where it is ``async``, as far as it goes without waiting.

    Returns:
        What it gave, what it raised, and None. If it waits, instead: what is to be awaited further, None, and
        what that waits for; :class:`Rest` goes on with the two.
    """
    given, error = attempted(function, *args)
    if given.__class__ is CoroutineType:  # the common case, without the detour over its iterator
        steps, (waits_for, error) = given, attempted(given.send, None)
    elif error is not None or not isinstance(given, Awaitable):
        return given, error, None
    else:
        steps = cast("Awaitable[Any]", given).__await__()
        waits_for, error = attempted(next, steps)
    if isinstance(error, StopIteration):
        return error.value, None, None
    return (None, error, None) if error is not None else (steps, None, waits_for or BARE)


async def tried(function: Callable[..., Any], /, *args: Any) -> tuple[Any, BaseException | None]:
    """Call a user's function, awaiting it where it is ``async``; return what it gave, or what it raised."""
    given, error, waits_for = begun(function, *args)
    return (given, error) if waits_for is None else await Rest(given, waits_for)


class Rest:
    """The rest of something that has begun and waits: awaiting it gives what it gives, or what it raises.

    Args:
        steps: What is to be awaited further.
        waits_for: What it waits for.
    """

    __slots__ = ("_steps", "_waits_for")

    def __init__(self, steps: Generator[Any, Any, Any], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, tuple[Any, BaseException | None]]:
        return cast("Generator[Any, Any, tuple[Any, BaseException | None]]", self)

    def __iter__(self) -> Rest:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Go on with a value."""
        if self._waits_for is not None:
            first, self._waits_for = self._waits_for, None
            return None if first is BARE else first
        return self._after(*attempted(self._steps.send, value))

    def throw(self, *raised: Any) -> Any:
        """Go on with what was raised where it waits; a cancellation that it lets through is raised here."""
        waits_for, error = attempted(self._steps.throw, *raised)
        if isinstance(raised[0], asyncio.CancelledError) and isinstance(error, asyncio.CancelledError):
            raise error
        return self._after(waits_for, error)

    def _after(self, waits_for: Any, error: BaseException | None) -> Any:
        if error is None:
            return waits_for
        ended = (error.value, None) if isinstance(error, StopIteration) else (None, error)
        raise StopIteration(ended)


def _performed(job: _Job) -> Callable[[], None]:
    try:
        value = job.call()
    except BaseException as error:  # noqa: BLE001  # the step's own, raised again where it is awaited
        return _raise_in(job.future, error)
    return _give_to(job.future, value)


def _hand_over(job: _Job, outcome: Callable[[], None]) -> None:
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
