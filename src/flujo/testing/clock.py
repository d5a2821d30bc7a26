"""A clock for tests: time that is told to move, or that jumps to the next thing somebody waits for."""

from __future__ import annotations

import asyncio

from typing_extensions import override

from flujo.engine.clock import Clock

START = 1_750_000_000_000_000
"""2025-06-15 15:06:40 UTC, in microseconds since the Unix epoch."""

_QUIET = 20
"""Turns of the event loop that whoever is ready has, to ask for an earlier moment before the clock jumps."""


class VirtualClock(Clock):
    """Time for tests: nobody waits for real.

    Left alone, it jumps to the next moment that somebody waits for: retries, ``Sleep`` and delays of scripted
    agents are over at once, in the right order (as far as the event loop tells: whoever works in a thread
    meanwhile is not waited for). Held, it moves only by :meth:`advance`. It reaches whatever the engine asks
    its clock for; the ``timeout`` of a step is measured by the event loop, in real seconds.

    Example:
        >>> from datetime import timedelta
        >>> from flujo import Flujo, Sleep, step
        >>> from flujo.testing import VirtualClock
        >>> @step
        ... async def greet(name: str) -> str:
        ...     return f"good morning, {name}"
        >>> clock = VirtualClock()
        >>> Flujo(Sleep(timedelta(hours=8)) >> greet, clock=clock).run("Ada").output
        'good morning, Ada'
        >>> clock.slept
        [28800.0]

    Args:
        start: When it begins, in microseconds since the Unix epoch.
        held: Whether it moves only when told.
        chance: What is answered for chance, 0 to 1: the jitter of every wait.
        tick: Microseconds that pass whenever somebody looks at it, so that no two moments are the same.

    Attributes:
        slept: Every wait that was asked for, in seconds, in the order it was asked.
        held: As given; may be changed.
    """

    def __init__(self, start: int = START, *, held: bool = False, chance: float = 0.0, tick: int = 0) -> None:
        self.held = held
        self.slept: list[float] = []
        self._now = start
        self._chance = chance
        self._tick = tick
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []
        self._asked = asyncio.Event()
        self._moves = 0

    @override
    def now(self) -> int:
        self._now += self._tick
        return self._now

    @override
    def chance(self) -> float:
        return self._chance

    @override
    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._asked.set()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = (self._now + int(seconds * 1e6), woken)
        self._sleepers.append(sleeper)
        try:
            while not self.held and not woken.done():
                await self._jump_when_quiet()
            await woken
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    async def asleep(self, count: int = 1) -> None:
        """Return when so many waits were asked for, since the clock was made."""
        while len(self.slept) < count:
            self._asked.clear()
            await self._asked.wait()

    def advance(self, seconds: float) -> None:
        """Move the time by the given seconds, and wake whoever waited until then."""
        self._move(self._now + int(seconds * 1e6))

    async def _jump_when_quiet(self) -> None:
        """Move to the next moment that somebody waits for, unless the time moves meanwhile."""
        moves = self._moves
        for _ in range(_QUIET):
            await asyncio.sleep(0)
        if self._moves == moves and self._sleepers and not self.held:
            self._move(min(due for due, _ in self._sleepers))

    def _move(self, now: int) -> None:
        self._now = max(self._now, now)
        self._moves += 1
        waiting, self._sleepers = self._sleepers, []
        for due, woken in waiting:
            if due > self._now:
                self._sleepers.append((due, woken))
            elif not woken.done():
                woken.set_result(None)
