"""Stores that misbehave on purpose."""

import asyncio

from flujo import MemoryStore
from flujo.journal.store import Batch


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

    def submit(self, batch: Batch) -> asyncio.Future[None]:
        self.batches += 1
        if self.after is not None and self.batches > self.after:
            raise Cut
        return super().submit(batch)
