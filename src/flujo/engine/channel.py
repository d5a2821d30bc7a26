"""Channels: how the chunks of one streaming step reach the next, a bounded number ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self


class Channel:
    """Chunks on their way from one streaming step, its writer, to the next, its reader.

    The writer waits while as many chunks are under way as the channel holds. A reader that is done closes
    the channel: its writer is not needed any more, and is interrupted where it stands, in ``with channel``.

    Args:
        holds: How many chunks may be under way.

    Attributes:
        closed: Whether the reader is done.
    """

    __slots__ = (
        "_chunks",
        "_ended",
        "_holds",
        "_interrupted",
        "_level",
        "_read",
        "_task",
        "_written",
        "closed",
    )

    def __init__(self, holds: int) -> None:
        self._chunks: deque[Any] = deque()
        self._holds = holds
        self._ended = False
        self.closed = False
        self._written: asyncio.Future[None] | None = None  # what the reader waits for
        self._read: asyncio.Future[None] | None = None  # what the writer waits for
        self._task: asyncio.Task[Any] | None = None
        self._level = 0
        self._interrupted = False

    # The writer

    async def send(self, chunk: Any) -> None:
        """Hand a chunk on; wait first while there is no room."""
        chunks = self._chunks
        while len(chunks) >= self._holds and not self.closed:
            self._read = asyncio.get_running_loop().create_future()
            await self._read
        if not self.closed:
            chunks.append(chunk)
            _wake(self._written)

    def end(self) -> None:
        """Say that no chunk follows."""
        self._ended = True
        _wake(self._written)

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._level = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if not self._interrupted:
            return False
        assert task is not None
        # Somebody else may have cancelled the task as well, which goes on then.
        return task.uncancel() <= self._level and kind is asyncio.CancelledError

    # The reader

    def close(self) -> None:
        """Say that no further chunk is taken."""
        if self.closed:
            return
        self.closed = True
        self._chunks.clear()
        if self._task is not None:
            self._interrupted = True
            self._task.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        chunks = self._chunks
        while not chunks:
            if self._ended or self.closed:
                raise StopAsyncIteration
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            before, self._written = self._written, written
            try:
                await written
            finally:
                _wake(before)  # several tasks of the reader may take chunks
        chunk = chunks.popleft()
        _wake(self._read)
        return chunk


class Fed:
    """What the first streaming step of a segment is fed: items that are there already.

    Args:
        items: The items.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Any]) -> None:
        self._items: Iterator[Any] = iter(items)

    def close(self) -> None:
        """Say that no further chunk is taken."""
        self._items = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            return item
        raise StopAsyncIteration


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
