"""Names: of runs, and of the processes that carry them on."""

from __future__ import annotations

import os
import platform
import time
from functools import lru_cache
from pathlib import Path
from random import SystemRandom
from uuid import UUID

_random = SystemRandom()


def new_run_id() -> str:
    """Return a UUID version 7 (RFC 9562): runs sort by the time they began."""
    milliseconds = time.time_ns() // 1_000_000
    bits = (
        milliseconds << 80 | 0x7 << 76 | _random.getrandbits(12) << 64 | 0b10 << 62 | _random.getrandbits(62)
    )
    return str(UUID(int=bits))


_at_work: set[str] = set()


def owner_of(token: str) -> str:
    """Return how a writer of this process is named as the owner of a run: host, process, start and token."""
    return f"{_process(os.getpid())}:{token}"


def begins(token: str) -> None:
    """Say that a writer of this process carries a run on from now."""
    _at_work.add(token)


def ends(token: str) -> None:
    """Say that a writer of this process carries its run on no more."""
    _at_work.discard(token)


def is_alive(owner: str) -> bool:
    """Say whether the writer that an owner's name stands for still carries its run on.

    A process on another host counts as alive: it cannot be seen from here.
    """
    process, _, token = owner.rpartition(":")
    if process == _process(os.getpid()):
        return token in _at_work
    host, _, rest = process.rpartition(":")[0].rpartition(":")
    if not host:
        return False
    if host != platform.node():
        return True
    return _started(int(rest)) == process.rpartition(":")[2]


@lru_cache(maxsize=4)
def _process(pid: int) -> str:
    return f"{platform.node()}:{pid}:{_started(pid)}"


def _started(pid: int) -> str | None:
    """Return when a process started, as its system tells it; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
