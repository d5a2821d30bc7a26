"""Who commits to an SQLite store, and when: what queues during one commit shares the next."""

import atexit
import os
import sqlite3
import sys
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter

from flujo.errors import StoreUnavailable
from flujo.journal.rules import Answers, Submission, settle, tell
from flujo.journal.sqlite_group import Committer
from flujo.journal.store import Committed

# How long a commit may hold up an event loop, and how many in turn must have been as quick, and have had
# nobody beside them, before the next one is made without the thread.
QUICK_SECONDS = 0.001
CALM_COMMITS = 16
# How long the end of the interpreter waits for a commit, should its store not have been closed.
EXIT_SECONDS = 10.0


class Writer:
    """Commits submissions in their order, from any thread and event loop, on a thread of its own.

    To wake a thread and to be woken by it costs more than a quick disk does. So where commits have come one
    by one and have been quick, the caller makes the next one itself, while the thread is idle. A slow one,
    others that want to commit meanwhile, or another process that writes, and it is the thread's work again.

    The thread is a daemon: a process that forgets to close its store still ends.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._committer = Committer(path, connect)
        self._writing = Lock()  # whoever holds it takes from the queue and commits
        self._queue: deque[Submission] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()  # whether more may come
        self._finished = False
        self._calm = CALM_COMMITS - 2  # nobody has been in the way yet
        self._untold: Committed | None = None
        _at_work.add(self)
        self._thread = Thread(target=self._work, name=f"flujo-writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Commit a batch, or queue it."""
        if self._calm >= CALM_COMMITS and self._commit_here(submission):
            return
        if self._queue:
            self._calm = 0
        self._queue.append(submission)
        self._wake.put(True)
        if self._finished:
            self._abandon([])

    def finish(self) -> None:
        """Let the thread commit what is queued, release the file, and end."""
        self._wake.put(False)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def _commit_here(self, submission: Submission) -> bool:
        """Commit a batch in the calling thread unless others want to; it is told in the loop's next turn."""
        future = submission[1]
        loop = future.get_loop()
        if self._is_shared(loop):
            self._calm = 0
            return False
        if not self._writing.acquire(blocking=False):
            return False
        try:
            if self._queue or self._finished:
                return False
            began = perf_counter()
            answers = self._committer.commit_at_once([submission])
            if answers is None:
                self._calm = 0
                return False
            self._note(1, began)
        finally:
            self._writing.release()
        self._untold = future
        loop.call_soon(settle, [future], answers)
        if self._committer.wants_care:
            self._wake.put(True)
        return True

    def _is_shared(self, loop: AbstractEventLoop) -> bool:
        """Tell whether others have committed in the same turn of a loop."""
        untold = self._untold
        return untold is not None and not untold.done() and untold.get_loop() is loop

    def _note(self, batches: int, began: float) -> None:
        quick = batches == 1 and perf_counter() - began <= QUICK_SECONDS
        self._calm = self._calm + 1 if quick else 0

    def _work(self) -> None:
        group: list[Submission] = []
        try:
            while self._wake.get():
                with self._writing:
                    group = [self._queue.popleft() for _ in range(len(self._queue))]
                    began = perf_counter()
                    answers: Answers = self._committer.commit(group) if group else {}
                    if group:
                        self._note(len(group), began)
                tell([future for _, future in group], answers)
                group = []  # they are told: an idle writer holds on to nothing
                if self._committer.wants_care:
                    with self._writing:
                        self._committer.care()
        finally:
            with self._writing:
                self._finished = True
                self._abandon(group)
                self._committer.release()
            _at_work.discard(self)

    def _abandon(self, group: list[Submission]) -> None:
        """Refuse what will not be written: the group in hand, and what was queued too late."""
        with suppress(IndexError):  # a late submitter and the ending thread may both be here
            while True:
                group.append(self._queue.popleft())
        tell([future for _, future in group], {future: closed(self._path) for _, future in group})


# Writers whose thread has not ended.
_at_work: set[Writer] = set()


@atexit.register
def _finish_all() -> None:
    """Commit what is queued when the interpreter ends before its stores were closed."""
    writers = list(_at_work)
    for writer in writers:
        writer.finish()
    for writer in writers:
        writer.join(EXIT_SECONDS)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_at_work.clear)  # the threads stay with the parent


def closed(path: Path) -> StoreUnavailable:
    """Return what the user of a closed store is told."""
    return StoreUnavailable(f"the store at {path} is closed", fix="use a new store, or close it later")
