"""Stores that misbehave on purpose."""

import asyncio

from flujo import MemoryStore
from flujo.errors import StoreUnavailable
from flujo.journal.store import Batch, Committed


class Cut(BaseException):
    """Stands for the death of the process: nothing may catch it."""


class CutStore(MemoryStore):
    """A store in memory that refuses every batch after the first few, as if the process had died.

    Args:
        after: How many batches are accepted; None for all.
    """

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.after = after
        self.batches = 0

    def submit(self, batch: Batch) -> Committed:
        self.batches += 1
        if self.after is not None and self.batches > self.after:
            raise Cut
        return super().submit(batch)


class FullStore(MemoryStore):
    """A store in memory with room for a number of events.

    Args:
        room: How many.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def submit(self, batch: Batch) -> Committed:
        self.room -= len(batch.events)
        if self.room < 0:
            full: Committed = asyncio.get_running_loop().create_future()
            full.set_exception(StoreUnavailable("the disk is full", fix="make room"))
            return full
        return super().submit(batch)


class SlowStore(MemoryStore):
    """A store in memory that commits in order, some time after it was asked to.

    Args:
        seconds: How long it takes.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def submit(self, batch: Batch) -> Committed:
        loop = asyncio.get_running_loop()
        told: Committed = loop.create_future()
        loop.call_later(self.seconds, self._at_last, batch, told)
        return told

    def _at_last(self, batch: Batch, told: Committed) -> None:
        super().submit(batch).add_done_callback(lambda committed: _tell(committed, told))


def _tell(committed: Committed, told: Committed) -> None:
    error = committed.exception()
    if told.done():
        return
    if error is None:
        told.set_result(committed.result())
    else:
        told.set_exception(error)
