"""The port of the small job table: who may take which run, where no queue's own server hands them out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from flujo.journal.store import Job


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs may be carried on at once, over all workers.

    Attributes:
        pipelines: By pipeline, of whatever plan; one that is not named has no limit.
        tenants: By tenant; a tenant that is not named has the limit of all.
        each_tenant: Of every tenant that is not named; None for no limit. Runs without a tenant have none.
    """

    pipelines: Mapping[str, int] = field(default_factory=dict[str, int])
    tenants: Mapping[str, int] = field(default_factory=dict[str, int])
    each_tenant: int | None = None

    def of_tenant(self, tenant: str) -> int | None:
        """Return how many runs of a tenant may be carried on at once; None for any number."""
        return self.tenants.get(tenant, self.each_tenant if tenant else None)

    def __bool__(self) -> bool:
        return bool(self.pipelines or self.tenants or self.each_tenant is not None)


class Taken(NamedTuple):
    """A job in a worker's hand."""

    id: int
    job: Job


class Postponed(NamedTuple):
    """A job that is handed back, to be done at another time (in microseconds; 0 for as soon as possible)."""

    id: int
    due: int


class QueueCount(NamedTuple):
    """How a queue stands: jobs due now, due later, and in hand."""

    queue: str
    due: int
    later: int
    in_hand: int


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

    async def move_schedule(self, row: ScheduleRow, seen: ScheduleRow) -> bool:
        """Change a schedule, if it is as it was seen; return whether it was."""
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


def pipeline_of(queue: str) -> str:
    """Return the pipeline whose runs, of one plan, a queue holds."""
    return queue.rpartition("@")[0]


class InHand:
    """How many jobs workers hold, by pipeline and by tenant, against the limits.

    Args:
        held: How many jobs are in hand, by queue and tenant.
        limits: The limits.
    """

    def __init__(self, held: Iterable[tuple[str, str, int]], limits: Limits) -> None:
        self._limits = limits
        self._pipelines: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        for queue, tenant, count in held:
            self._pipelines[pipeline_of(queue)] += count
            self._tenants[tenant] += count

    def has_room(self, queue: str) -> bool:
        """Say whether another run of a queue's pipeline may be taken."""
        most = self._limits.pipelines.get(pipeline_of(queue))
        return most is None or self._pipelines[pipeline_of(queue)] < most

    def is_full(self, tenant: str) -> bool:
        """Say whether no other run of a tenant may be taken."""
        most = self._limits.of_tenant(tenant)
        return most is not None and self._tenants[tenant] >= most

    @property
    def full_tenants(self) -> list[str]:
        """The tenants of which no other run may be taken."""
        return [tenant for tenant in self._tenants if self.is_full(tenant)]

    def choose(self, due: Iterable[Taken], wanted: int) -> list[Taken]:
        """Return those of the due jobs, in order, that may be taken; they count as in hand then."""
        found: list[Taken] = []
        runs: set[str] = set()
        for taken in due:
            job = taken.job
            if len(found) == wanted:
                break
            if job.run_id in runs or not self.has_room(job.queue) or self.is_full(job.tenant):
                continue
            self._pipelines[pipeline_of(job.queue)] += 1
            self._tenants[job.tenant] += 1
            runs.add(job.run_id)
            found.append(taken)
        return found
