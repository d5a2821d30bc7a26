"""The port of upkeep: what an operator asks of a store, and what is kept of runs that were pruned."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from flujo.journal.store import ENDED, RunStatus, Tombstone
from flujo.journal.verify import references, tombstone_hash

PRUNED_AT_ONCE = 100
"""How many runs are pruned in one transaction, so that writers are not held up."""


class EndedRun(NamedTuple):
    """A run that may be pruned; ``size`` is the bytes that its events hold."""

    run_id: str
    pipeline: str
    status: str
    created_at: int
    ended_at: int
    events: int
    last_hash: bytes
    size: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """Which runs may go: ended ones, by how they ended, and how long ago.

    Attributes:
        before: Those that ended before this time, in microseconds since the Unix epoch.
        statuses: How they ended.
        pipeline: Only of this pipeline; of all when empty.
    """

    before: int
    statuses: Sequence[RunStatus] = field(default_factory=lambda: tuple(sorted(ENDED)))
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """What pruning removed: runs, events, and payloads with their bytes."""

    runs: int = 0
    events: int = 0
    payloads: int = 0
    payload_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How a store stands.

    Attributes:
        place: The file, or the database without its password.
        backend: The database's kind and version.
        schema: The version of its tables.
        newest: The newest version that this Flujo knows.
        size: Bytes on the disk.
        log_size: Bytes in SQLite's write-ahead log; None elsewhere.
        runs: How many runs there are, by status.
        events: How many events.
        payloads: How many payloads.
        pruned: How many runs were pruned.
        oldest: When the first run began, in microseconds since the Unix epoch; None without runs.
        latest: When the last one began.
    """

    place: str
    backend: str
    schema: int
    newest: int
    size: int
    log_size: int | None
    runs: Mapping[str, int]
    events: int
    payloads: int
    pruned: int
    oldest: int | None
    latest: int | None


class Upkeep(Protocol):
    """Looks after one store."""

    async def status(self) -> StoreStatus:
        """Return how the store stands; changes nothing, not even an older schema.

        Raises:
            StoreError: It cannot be read.
        """
        ...

    async def migrate(self) -> tuple[int, int]:
        """Bring the tables to the newest version; return the version before and after.

        Raises:
            StoreError: It cannot be changed, or a newer Flujo made it.
        """
        ...

    async def copy_to(self, file: Path) -> None:
        """Write a consistent copy to a new SQLite file, while others go on writing.

        Raises:
            StoreError: The store cannot be read, or the file cannot be written.
        """
        ...

    def prunable(self, retention: Retention) -> AsyncIterator[EndedRun]:
        """Yield the runs that may go, those that ended first first."""
        ...

    async def prune(self, run_ids: Sequence[str], now: int) -> Removed:
        """Remove the journals of those that have ended, in one transaction, and leave tombstones."""
        ...

    async def sweep(self) -> Removed:
        """Remove payloads that no event stands on, whatever is written meanwhile."""
        ...

    async def close(self) -> None:
        """Release what is held open."""
        ...


def buried(previous: tuple[int, bytes], run: EndedRun, now: int) -> Tombstone:
    """Return the tombstone of a run, after the one with this number and hash (0 and zeros for none)."""
    number, before = previous
    bare = Tombstone(number + 1, *run[:7], now, b"")
    return bare._replace(hash=tombstone_hash(before, bare))


def referred(bodies: Iterable[bytes]) -> set[bytes]:
    """Return the digests of the payloads that events stand on."""
    return {bytes.fromhex(digest) for body in bodies for digest in references(body)}
