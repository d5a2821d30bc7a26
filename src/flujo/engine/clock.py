"""Time as the engine sees it: given from outside, so that tests and replays decide what time it is."""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Where time and chance come from."""

    def now(self) -> int:
        """Return the time, in microseconds since the Unix epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after the given seconds."""
        ...

    def chance(self) -> float:
        """Return a number from 0 to 1, for the jitter of waits."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> int:
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def chance(self) -> float:
        return random.random()
