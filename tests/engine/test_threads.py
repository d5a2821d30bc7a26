"""Worker threads: what is queued, what is given up, and how many there are."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from flujo.engine import threads as module
from flujo.engine.threads import Threads

ENOUGH = 5.0
"""Seconds after which something that should happen at once has failed to."""


class Held:
    """A blocking call that says when it has begun, and is held until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ran = 0

    def __call__(self) -> str:
        self.ran += 1
        self.begun.set()
        self.go.wait(ENOUGH)
        return "held"


class SlowLock:
    """A lock that worker threads are slow to take, so that others get in between."""

    DELAY = 0.01

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(self.DELAY)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


async def begun(held: Held) -> None:
    async with asyncio.timeout(ENOUGH):
        while not held.begun.is_set():
            await asyncio.sleep(0.001)


async def held_and_queued(
    threads: Threads, held: Held, ran: list[str]
) -> tuple[asyncio.Task[str], asyncio.Task[str]]:
    """Make two calls: one that is held, and one behind it that would say that it ran."""

    async def queued() -> str:
        await threads.call(ran.append, "cancelled")
        return "made"

    first = asyncio.create_task(threads.call(held))
    await begun(held)
    second = asyncio.create_task(queued())
    await asyncio.sleep(0)
    return first, second


async def gone(task: asyncio.Task[str]) -> asyncio.CancelledError:
    """Cancel a task and return what it raised."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


class TestQueued:
    async def test_a_call_that_was_cancelled_is_not_made(self, held: Held) -> None:
        threads, ran = Threads(limit=1), list[str]()
        first, second = await held_and_queued(threads, held, ran)
        error = await gone(second)
        held.go.set()
        assert await first == "held"
        await threads.call(ran.append, "third")
        assert ran == ["third"]
        assert module.never_began(error)

    async def test_a_call_that_was_cancelled_a_moment_ago_is_not_made(self, held: Held) -> None:
        """The thread is free before the task that awaits the call has seen its cancellation."""
        threads, ran = Threads(limit=1), list[str]()
        first, second = await held_and_queued(threads, held, ran)
        second.cancel()
        held.go.set()
        time.sleep(0.02)  # the loop is held up on purpose
        with pytest.raises(asyncio.CancelledError) as caught:
            await second
        assert await first == "held"
        assert ran == []
        assert module.never_began(caught.value)

    async def test_a_call_that_ran_out_of_time_is_not_made(self, held: Held) -> None:
        threads, ran = Threads(limit=1), list[str]()
        first = asyncio.create_task(threads.call(held))
        await begun(held)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.001):
                await threads.call(ran.append, "late")
        held.go.set()
        assert await first == "held"
        await threads.call(ran.append, "third")
        assert ran == ["third"]
        assert module.never_began(caught.value)

    async def test_a_call_that_began_is_told_from_one_that_did_not(self, held: Held) -> None:
        task = asyncio.create_task(Threads().call(held))
        await begun(held)
        assert not module.never_began(await gone(task))

    async def test_the_message_of_a_cancellation_is_kept(self, held: Held) -> None:
        threads = Threads(limit=1)
        first = asyncio.create_task(threads.call(held))
        await begun(held)
        second = asyncio.create_task(threads.call(held))
        await asyncio.sleep(0)
        second.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await second
        held.go.set()
        await first
        assert held.ran == 1


class TestSideBySide:
    async def test_calls_never_wait_for_each_other_below_the_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread that was just given one call is not taken to be free for the next."""
        monkeypatch.setattr(module, "Lock", SlowLock)
        threads = Threads()
        await threads.call(int)
        await asyncio.sleep(10 * SlowLock.DELAY)
        both = threading.Barrier(2, timeout=ENOUGH)
        one = asyncio.create_task(threads.call(both.wait))
        await asyncio.sleep(SlowLock.DELAY / 2)
        assert {await threads.call(both.wait), await one} == {0, 1}

    async def test_a_crowd_at_a_barrier(self) -> None:
        threads = Threads(limit=8)
        for _ in range(50):
            all_of_them = threading.Barrier(8, timeout=ENOUGH)
            await asyncio.gather(*(threads.call(all_of_them.wait) for _ in range(8)))

    async def test_no_more_at_once_than_the_limit(self) -> None:
        threads, lock, now, most = Threads(limit=3), threading.Lock(), 0, 0

        def count() -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= 1

        await asyncio.gather(*(threads.call(count) for _ in range(30)))
        assert most == 3

    async def test_one_after_another_share_a_thread(self) -> None:
        threads = Threads()
        names = {await threads.call(threading.get_ident) for _ in range(50)}
        assert len(names) == 1

    async def test_a_thread_without_work_ends_and_another_begins(self) -> None:
        threads = Threads(limit=1, idle=0.005)
        worker = await threads.call(threading.current_thread)
        async with asyncio.timeout(ENOUGH):
            while worker.is_alive():
                await asyncio.sleep(0.002)
        assert await threads.call(int) == 0


class TestGivenUp:
    async def test_calls_that_hang_do_not_use_up_the_limit(self, held: Held) -> None:
        threads = Threads(limit=2)
        for _ in range(4):
            held.begun.clear()
            task = asyncio.create_task(threads.call(held))
            await begun(held)
            await gone(task)
        async with asyncio.timeout(1):
            assert await threads.call(int) == 0

    async def test_what_was_queued_behind_one_goes_on(self, held: Held) -> None:
        threads = Threads(limit=1)
        hangs = asyncio.create_task(threads.call(held))
        await begun(held)
        queued = asyncio.create_task(threads.call(int))
        await asyncio.sleep(0)
        await gone(hangs)
        async with asyncio.timeout(1):
            assert await queued == 0

    async def test_the_limit_holds_after_they_ended(self, held: Held) -> None:
        threads = Threads(limit=1)
        for _ in range(3):
            held.begun.clear()
            task = asyncio.create_task(threads.call(held))
            await begun(held)
            await gone(task)
        held.go.set()
        names = [await threads.call(threading.get_ident) for _ in range(20)]
        both = threading.Barrier(2, timeout=0.02)
        met = await asyncio.gather(*(threads.call(both.wait) for _ in range(2)), return_exceptions=True)
        assert all(isinstance(one, threading.BrokenBarrierError) for one in met)
        assert len(set(names)) == 1

    async def test_one_that_ended_in_the_same_moment_counts_once(self) -> None:
        """Its thread is free already when its caller is cancelled: it is not taken off the count again."""
        threads = Threads(limit=1)
        for _ in range(3):
            held = Held()
            task = asyncio.create_task(threads.call(held))
            await begun(held)
            held.go.set()
            time.sleep(0.01)  # the loop is held up on purpose
            await gone(task)
        both = threading.Barrier(2, timeout=0.02)
        met = await asyncio.gather(*(threads.call(both.wait) for _ in range(2)), return_exceptions=True)
        assert all(isinstance(one, threading.BrokenBarrierError) for one in met)


async def test_a_thread_that_cannot_be_started_fails_its_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, ran = Threads(limit=1), list[str]()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            await threads.call(ran.append, "refused")
    await threads.call(ran.append, "made")
    assert ran == ["made"]
