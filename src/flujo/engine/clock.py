"""Time as the engine sees it: given from outside, so that tests and replays decide what time it is."""

import asyncio
import random
import time
from typing import Protocol

from typing_extensions import override


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


class SystemClock(Clock):
    """The machine's own time."""

    @override
    def now(self) -> int:
        return time.time_ns() // 1000

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @override
    def chance(self) -> float:
        return random.random()  # noqa: S311  # spreads waits, keeps no secret
