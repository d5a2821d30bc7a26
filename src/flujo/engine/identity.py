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


def this_process() -> str:
    """Return the name of this process as an owner of runs: host, process id and when it started."""
    return _process(os.getpid())


def is_alive(owner: str) -> bool:
    """Say whether the process that an owner's name stands for still runs.

    A process on another host counts as alive: it cannot be seen from here.
    """
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    started = owner.rpartition(":")[2]
    if not host:
        return False
    if host != platform.node():
        return True
    return _started(int(rest)) == started


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
