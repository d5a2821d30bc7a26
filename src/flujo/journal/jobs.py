"""The port of the small job table: who may take which run, where no queue's own server hands them out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from flujo.journal.store import Job


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs may be carried on at once, over all workers.

    Attributes:
        queues: By queue; a queue that is not named has no limit.
        tenants: By tenant; a tenant that is not named has the limit of all.
        each_tenant: Of every tenant that is not named; None for no limit. Runs without a tenant have none.
    """

    queues: Mapping[str, int] = field(default_factory=dict[str, int])
    tenants: Mapping[str, int] = field(default_factory=dict[str, int])
    each_tenant: int | None = None

    def of_tenant(self, tenant: str) -> int | None:
        """Return how many runs of a tenant may be carried on at once; None for any number."""
        return self.tenants.get(tenant, self.each_tenant if tenant else None)

    def __bool__(self) -> bool:
        return bool(self.queues or self.tenants or self.each_tenant is not None)


class Taken(NamedTuple):
    """A job in a worker's hand."""

    id: int
    job: Job


class Postponed(NamedTuple):
    """A job that is handed back, to be done at another time (in microseconds; 0 for as soon as possible)."""

    id: int
    due: int


class QueueCount(NamedTuple):
    """How a queue stands: jobs due now, due later, in hand; and when the first was due, if known."""

    queue: str
    due: int
    later: int
    in_hand: int
    oldest: int | None


class WorkerRecord(NamedTuple):
    """A worker that said it looks for jobs.

    Attributes:
        name: Its name, which tells whether it lives.
        queues: What it serves.
        concurrency: How many runs it carries at once; 0 where that is not known.
        in_hand: How many jobs it holds.
        silent_for: Seconds since it was last heard of; None where that is not recorded.
    """

    name: str
    queues: Sequence[str]
    concurrency: int
    in_hand: int
    silent_for: float | None


class ScheduleRow(NamedTuple):
    """What is to begin at set times.

    Attributes:
        name: Its name among all.
        pipeline: The pipeline whose runs it begins.
        next: The first time that was not seen to yet, in microseconds since the Unix epoch.
        spec: The rest, as JSON.
    """

    name: str
    pipeline: str
    next: int
    spec: str


class Board(Protocol):
    """What a store knows of its queues, its workers and its schedules."""

    async def counts(self, now: int) -> list[QueueCount]:
        """Return how each queue stands."""
        ...

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers that look for jobs, or died without saying that they do no more."""
        ...

    async def put_schedule(self, row: ScheduleRow) -> bool:
        """Add a schedule; return whether its name was free."""
        ...

    async def schedules(self, due: int | None = None) -> list[ScheduleRow]:
        """Return the schedules by name, or those whose next time is not after ``due``."""
        ...

    async def move_schedule(self, row: ScheduleRow, seen: int) -> bool:
        """Change a schedule's next time and the rest, if its next time is ``seen``; return whether it was."""
        ...

    async def drop_schedule(self, name: str) -> bool:
        """Remove a schedule; return whether there was one."""
        ...

    async def close(self) -> None:
        """Release what is held open."""
        ...


class JobTable(Board, Protocol):
    """Hands the jobs of a store out, each to one worker, in one step with what the worker is done with."""

    async def exchange(
        self,
        worker: str,
        *,
        queues: Sequence[str],
        finished: Sequence[int],
        postponed: Sequence[Postponed],
        wanted: int,
        limits: Limits,
        now: int,
    ) -> list[Taken]:
        """Give up what is finished or postponed, and take what is due: the highest priority, the longest due.

        Raises:
            StoreError: The store failed; nothing was exchanged.
        """
        ...

    async def next_due(self, queues: Sequence[str], now: int) -> int | None:
        """Return when the next job that is not due yet will be; None when there is none."""
        ...

    async def begin(self, worker: str, queues: Sequence[str], concurrency: int, now: int) -> None:
        """Say that a worker looks for jobs of these queues."""
        ...

    async def end(self, worker: str) -> None:
        """Say that a worker looks no more; what it holds is handed back."""
        ...

    async def recover(self, is_alive: Callable[[str], bool]) -> int:
        """Hand back what dead workers hold; return how many jobs that were."""
        ...


def chosen(
    due: Sequence[Taken], in_hand: Sequence[tuple[str, str, int]], wanted: int, limits: Limits
) -> list[Taken]:
    """Return those of the due jobs, in order, that may be taken within the limits.

    Args:
        due: What is due, in the order it is to be taken.
        in_hand: How many jobs are in hand, by queue and tenant.
        wanted: How many to take at most.
        limits: The limits.
    """
    queues: dict[str, int] = {}
    tenants: dict[str, int] = {}
    for queue, tenant, count in in_hand:
        queues[queue] = queues.get(queue, 0) + count
        tenants[tenant] = tenants.get(tenant, 0) + count
    found: list[Taken] = []
    runs: set[str] = set()
    for taken in due:
        job = taken.job
        if len(found) == wanted:
            break
        most, of_tenant = limits.queues.get(job.queue), limits.of_tenant(job.tenant)
        if job.run_id in runs or (most is not None and queues.get(job.queue, 0) >= most):
            continue
        if of_tenant is not None and tenants.get(job.tenant, 0) >= of_tenant:
            continue
        queues[job.queue] = queues.get(job.queue, 0) + 1
        tenants[job.tenant] = tenants.get(job.tenant, 0) + 1
        runs.add(job.run_id)
        found.append(taken)
    return found
