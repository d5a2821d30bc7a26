"""A clock that tests move by hand or that moves by itself: no test waits for real time."""

import asyncio

START = 1_750_000_000_000_000
"""2025-06-15 15:06:40 UTC, in microseconds since the Unix epoch."""


class VirtualClock:
    """A clock whose sleepers are woken by moving it.

    Args:
        chance: What the jitter of every wait is told.
        held: Whether sleepers wait for :meth:`advance`; otherwise each sleep moves the clock at once.

    Attributes:
        slept: Every wait that was asked for, in seconds.
    """

    def __init__(self, *, chance: float = 0.0, held: bool = False) -> None:
        self.held = held
        self.slept: list[float] = []
        self._chance = chance
        self._now = START
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []
        self._asked = asyncio.Event()

    def now(self) -> int:
        return self._now

    def chance(self) -> float:
        return self._chance

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._asked.set()
        if not self.held:
            self.advance(seconds)
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + int(seconds * 1e6), woken))
        await woken

    async def asleep(self, count: int = 1) -> None:
        """Return when so many waits were asked for."""
        while len(self.slept) < count:
            self._asked.clear()
            await self._asked.wait()

    def advance(self, seconds: float) -> None:
        """Move the time, and wake whoever slept long enough."""
        self._now += int(seconds * 1e6)
        waiting, self._sleepers = self._sleepers, []
        for due, woken in waiting:
            if due > self._now:
                self._sleepers.append((due, woken))
            elif not woken.done():
                woken.set_result(None)
