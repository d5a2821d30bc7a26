"""The thread in which the connections to one MCP server live.

A connection must be opened and closed by one task, and outlives the event loops of those who use it:
`Flujo.run` has one for each run. So a loop of its own keeps it, and calls are passed to it from wherever they
come. And a server that sends what takes long to read holds up nothing but itself.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")

ENDING = 10.0
"""How many seconds a server has to end with the process."""


class Keeper:
    """Keeps a loop in a thread, begun when it is first needed.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._stop: asyncio.Event | None = None
        _keepers.add(self)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the thread's loop, and await it in one's own; a cancellation is passed on."""
        return await asyncio.wrap_future(self._submit(work))

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin something that lasts; called in the thread's loop."""
        assert self._tasks is not None
        return self._tasks.create_task(work)

    def stop(self) -> None:
        """End all that is kept, and the thread."""
        with self._lock:
            loop, thread, stop = self._loop, self._thread, self._stop
            self._loop = None
        if loop is not None and thread is not None and stop is not None:
            loop.call_soon_threadsafe(stop.set)
            thread.join(ENDING)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._loop is None:
                begun: Future[None] = Future()
                self._thread = threading.Thread(
                    target=lambda: asyncio.run(self._live(begun)), name=self._name, daemon=True
                )
                self._thread.start()
                begun.result()
            assert self._loop is not None
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _live(self, begun: Future[None]) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self._tasks:
            begun.set_result(None)
            await self._stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()


_keepers: WeakSet[Keeper] = WeakSet()


def _stop() -> None:
    for keeper in list(_keepers):
        keeper.stop()


atexit.register(_stop)
