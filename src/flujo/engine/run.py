"""The state of one run, and of each place it is at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from flujo.engine.clock import Clock
from flujo.engine.patch import Summary, Tracker
from flujo.engine.record import Memo, Note, Recall, Recorder, write_note
from flujo.engine.result import Observer, StepHistory, StepResult, Unread
from flujo.engine.threads import Threads
from flujo.errors import PlanChanged, RecordError
from flujo.journal.events import EventKind
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import NO_USAGE, Usage
from flujo.pipeline.waits import Approval
from flujo.plan.plan import NUMBER, Plan
from flujo.plan.unrecordable import Unrecordable

if TYPE_CHECKING:
    from flujo.engine.accounts import Purse
    from flujo.engine.deeds import Deeds
    from flujo.engine.hold import Hold
    from flujo.engine.judge import Judge
    from flujo.engine.labels import Held, RunLabels
    from flujo.engine.rows import Rows
    from flujo.pipeline.policy import Principal
    from flujo.plan.nodes import PlanNode

Walk = Callable[["Frame", Any], Awaitable[Any]]
"""What a node is compiled to: it is given a place and an input, and gives an output or Suspended."""


NodeAt = Callable[[str], "PlanNode | None"]
"""Tells which node stands at an address of a run."""


def mutations(notes: Mapping[str, Sequence[Note]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what steps changed of a run's pipeline, as it was recorded: the step's address, the body."""
    return [
        (address, note.body) for address, known in notes.items() for note in known if note.kind == "mutated"
    ]


def node_at(plan: Plan, run_id: str, notes: Mapping[str, Sequence[Note]], *, lenient: bool = False) -> NodeAt:
    """Return what tells the node at an address of a run, those included that joined it on the way.

    Args:
        plan: The plan.
        run_id: The run.
        notes: What is recorded of it.
        lenient: Whether those that joined it are left out where they are not what they were.

    Raises:
        PlanChanged: What joined it is gone, or something else now.
    """
    recorded = mutations(notes)
    if recorded:
        from flujo.engine.rows import Grown

        try:
            return Grown(plan, run_id, recorded).at
        except PlanChanged:
            if not lenient:
                raise
    return lambda address: plan.nodes.get(NUMBER.sub("[]", address))


def microseconds(at: datetime) -> int:
    """Return a time as the journal writes it: in microseconds since the Unix epoch."""
    return round(at.timestamp() * 1e6)


class Suspended:
    """The outcome of a node that waits: it travels up as a value, so that siblings may go on.

    Attributes:
        requests: What it waits for.
        due: When it goes on by itself, in microseconds since the Unix epoch; None if it does not.
    """

    __slots__ = ("due", "requests")

    def __init__(self, *requests: Approval, due: int | None = None) -> None:
        self.requests = requests
        dues = [microseconds(one.deadline) for one in requests if one.deadline is not None]
        self.due = min(dues if due is None else [due, *dues], default=None)

    @staticmethod
    def together(waits: Sequence[Suspended]) -> Suspended:
        """Return several waits as one."""
        due = min((one.due for one in waits if one.due is not None), default=None)
        return Suspended(*(request for one in waits for request in one.requests), due=due)


class Run:
    """What one run knows, has done and may use, for as long as a process carries it on.

    Attributes:
        id: Its name.
        recall: What its journal knew when this process took it on; falsy parts cost nothing.
        parks: Whether a wait for time ends this process's part, for a worker to go on later.
        received: The ids of the kept events that it has taken in.
        recorder: The writer of its journal; None without a store.
        observe: Takes what happens, for streams; None when nobody looks.
        steps: The steps that ended, in order.
        earlier: For a run without a store that goes on after a pause, those that ended before it.
        waiting_inside: The requests that steps wait for from inside, by the steps' addresses.
        tenant: On whose behalf it runs.
        principal: Likewise, who; None where nobody said.
        kept: The policies that it keeps, by their ids.
        deeds: What it did so far; None where no policy looks back.
        labels: What is labelled in it; None where nothing is.
        purse: The accounts that it keeps; None before a step under a quota begins.
        holds: What attempts under way have set aside, by their steps' addresses.
        rows: The rows of nodes that may change while it runs; None before the first begins.
        given_up: Whether steps that still run are cut off from the run.
        yielded: When the run last let other tasks of the loop go on, by ``perf_counter``.
    """

    __slots__ = (
        "cache", "choices", "clock", "deeds", "done", "earlier", "given_up", "holds", "id", "kept",
        "labels", "live_notes", "notes", "observe", "parks", "principal", "purse", "received", "recorder",
        "rows", "steps", "tenant", "threads", "views", "waiting_inside", "yielded",
    )  # fmt: skip

    def __init__(
        self,
        run_id: str,
        *,
        clock: Clock,
        threads: Threads,
        recall: Recall,
        recorder: Recorder | None,
        observe: Observer | None,
        cache: dict[str, Any],
        tenant: str = "",
    ) -> None:
        self.id = run_id
        self.clock = clock
        self.threads = threads
        self.done = recall.done
        self.notes = recall.notes
        self.recorder = recorder
        self.observe = observe
        self.cache = cache
        self.steps: list[StepResult | Unread] = []
        self.choices: dict[str, Memo] = {}
        self.live_notes: dict[str, list[Note]] = {}
        self.views: dict[str, PipelineContext] = {}
        self.tenant = tenant
        self.principal: Principal | None = None
        self.kept: dict[str, Judge] = {}
        self.deeds: Deeds | None = None
        self.labels: RunLabels | None = None
        self.purse: Purse | None = None
        self.rows: Rows | None = None
        self.holds: dict[str, Hold] = {}
        self.yielded = 0.0
        self.given_up = False
        self.parks = False
        self.received: set[str] = set()
        self.waiting_inside: dict[str, list[str]] = {}
        for address, known in recall.notes.items():
            if "#" in address and known[-1].kind in ("request", "approval"):
                self.waiting_inside.setdefault(address.partition("#")[0], []).append(address)
        self.earlier: Sequence[StepResult] = ()

    def note(self, kind: EventKind, address: str, body: dict[str, Any]) -> None:
        """Write down something that happened on the way."""
        if self.recorder is not None:
            self.recorder.append(kind, address, write_note(body))
        else:
            self.live_notes.setdefault(address, []).append(Note(kind, body))

    async def commit(self, *, sure: bool = False) -> None:
        """Return when everything written down so far is in the store, if there is one."""
        if self.recorder is not None:
            await self.recorder.commit(sure=sure)

    def noted(self, address: str) -> list[Note]:
        """Return what is known to have happened here before this process took the run on."""
        return self.notes.get(address, [])

    def give_up(self) -> None:
        """Let no further step or effect begin: the run is cancelled, or its caller is."""
        self.given_up = True

    def heir(self) -> Run:
        """Return the same run for its end, cut off from steps that were given up and may still be running."""
        run = Run(
            self.id,
            clock=self.clock,
            threads=self.threads,
            recall=Recall(self.done, self.notes),
            recorder=None if self.recorder is None else self.recorder.detach(),
            observe=self.observe,
            cache=self.cache,
            tenant=self.tenant,
        )
        run.principal, run.rows, run.kept = self.principal, self.rows, self.kept
        run.purse, run.holds, run.labels = self.purse, dict(self.holds), self.labels
        run.steps, run.choices = list(self.steps), dict(self.choices)
        run.earlier = self.earlier
        run.received = self.received
        self.given_up = True
        return run

    def all_steps(self) -> list[StepResult]:
        """Return the steps that ended, before a pause or since, in the order they first did."""
        known = {step.address: step for step in self.earlier}
        return [*self.earlier, *(step for step in StepHistory(self.steps) if step.address not in known)]

    def so_far(self) -> Recall:
        """Return what a run without a store knows, to go on from after a pause."""
        done: dict[str, Memo | bytes] = dict(self.done)
        for step in StepHistory(self.steps):
            done.setdefault(step.address, Memo(step.output, step.usage, step.attempts, step.duration))
        done.update(self.choices)
        notes = {address: list(known) for address, known in self.notes.items()}
        for address, added in self.live_notes.items():
            notes.setdefault(address, []).extend(added)
        return Recall(done, notes)


class Frame:
    """A place in a run: where its addresses begin, and what its steps share.

    Attributes:
        run: The run.
        prefix: What the addresses here begin with.
        context: The context that steps here see.
        tracker: What is recorded of that context; None without a store.
        slots: The outputs that later steps name, by the path of their node.
        held: What the values here are labelled with; None where nobody asked yet.
        parent: The place that this one adds its usage, and its patch, to.
        shares: Whether it has its parent's context rather than a view of its own.
        usage: What was used here.
        summary: What changed here; None where nothing did, or nothing is recorded.
    """

    __slots__ = (
        "context",
        "held",
        "parent",
        "prefix",
        "run",
        "shares",
        "slots",
        "summary",
        "tracker",
        "usage",
    )

    def __init__(
        self,
        run: Run,
        prefix: str,
        context: PipelineContext,
        tracker: Tracker | None,
        slots: dict[str, Any],
        parent: Frame | None = None,
        shares: bool = True,
    ) -> None:
        self.run = run
        self.prefix = prefix
        self.context = context
        self.tracker = tracker
        self.slots = slots
        self.parent = parent
        self.shares = shares
        self.held: Held | None = None
        self.usage: Usage | None = None
        self.summary: Summary | None = None

    def inner(self, prefix: str) -> Frame:
        """Return a place inside this one that shares its context."""
        return Frame(self.run, prefix, self.context, self.tracker, self.slots, self)

    def used(self, usage: Usage) -> None:
        """Add a usage here and to every place around."""
        if usage is NO_USAGE or not usage:
            return
        self.usage = usage if self.usage is None else self.usage + usage
        if self.parent is not None:
            self.parent.used(usage)

    @property
    def patch(self) -> bytes | None:
        """What changed here, in one patch; None where nothing did."""
        return None if self.summary is None else self.summary.patch()

    def diff(self, address: str) -> bytes | None:
        """Return what changed in the context since this was last asked, and add it here.

        Raises:
            RecordError: A value cannot be recorded.
        """
        if self.tracker is None:
            return None
        try:
            patch = self.tracker.diff()
        except Unrecordable as error:
            raise RecordError(error.message, step=address, address=address, fix=error.fix) from error
        if patch is not None:
            self.changed(patch)
        return patch

    def replay(self, patch: Mapping[str, Any]) -> None:
        """Bring the context to where a recorded patch brought it."""
        if self.tracker is not None:
            self.tracker.apply(patch)
            self.changed(patch)

    def changed(self, patch: bytes | Mapping[str, Any]) -> None:
        """Add a patch here and to every place around that shares the context."""
        if self.parent is None:
            return
        parsed: Mapping[str, Any] = from_json(patch) if isinstance(patch, bytes) else patch
        if self.summary is None:
            self.summary = Summary()
        self.summary.add(parsed)
        if self.shares:
            self.parent.changed(parsed)
