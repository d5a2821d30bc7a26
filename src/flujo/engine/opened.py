"""Opening runs: a new one, or one that goes on from its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, get_origin

from pydantic_core import from_json, to_json

from flujo.engine.clock import Clock
from flujo.engine.identity import (
    begun_with,
    checked_id,
    context_of,
    digest_in,
    is_alive,
    is_input,
    known_as,
    new_run_id,
    new_token,
    owner_of,
)
from flujo.engine.patch import Tracker, restore, snapshot
from flujo.engine.record import Recall, Recorder
from flujo.engine.result import Observer
from flujo.engine.run import Frame, Run, node_at
from flujo.engine.threads import Threads
from flujo.errors import ChainBroken, InputError, PlanChanged, ResumeError, RunBusy, RunConflict, UnknownRun
from flujo.journal.events import Event
from flujo.journal.store import Job, JournalStore, RunRecord, StatusChange, queue_of
from flujo.pipeline.context import PipelineContext
from flujo.plan.codec import Unrecordable, codec_for
from flujo.plan.plan import Plan, differing_paths
from flujo.plan.types import recorded_input

if TYPE_CHECKING:
    from flujo.engine.door import Written
    from flujo.engine.guards import Guards
    from flujo.engine.supervise import Live
    from flujo.pipeline.policy import Principal

Observe = Observer | None


@dataclass(slots=True)
class Opened:
    """A run that is ready to be walked.

    Attributes:
        run: Its state.
        frame: Its outermost place.
        value: Its input.
        resumed: Whether it goes on rather than begins.
        job: What workers are asked, should it have to go on later.
        withheld: Whether nothing of what it begins with may be written: policies did not let it in.
        said: What policies said of what it begins with, to be recorded after its beginning.
    """

    run: Run
    frame: Frame
    value: Any
    resumed: bool
    job: Job
    started: Callable[[Recorder, Any, PipelineContext, bool], bytes] | None = None
    withheld: bool = False
    said: list[Written] = field(default_factory=list["Written"])

    @property
    def token(self) -> str:
        """The token of the run's writer; empty without a store."""
        return "" if self.run.recorder is None else self.run.recorder.token

    async def interrupt(self) -> None:
        """Keep what was done so far, and cut the run off from steps that may still be running."""
        self.run.given_up = True
        if self.run.recorder is not None:
            rest = self.run.recorder.detach()
            if self.run.parks:  # a worker hands it back: any other may go on with it, wherever it is
                rest.append("run.paused", "", b'{"handed_back":true}')
                rest.change(StatusChange("queued"))
            await rest.landed()

    def heir(self) -> Opened:
        """Return the same run for its end, cut off from steps that may still be running."""
        run, frame = self.run.heir(), self.frame
        ended = Frame(run, "", frame.context, frame.tracker, frame.slots)
        ended.usage = frame.usage
        return Opened(run, ended, self.value, self.resumed, self.job, self.started, self.withheld, self.said)


def record_start(opened: Opened, value: Any) -> None:
    """Record that a run begins, with the input that it works on."""
    run, frame = opened.run, opened.frame
    opened.value = value
    if run.recorder is None or opened.started is None:
        return
    begun = opened.started(run.recorder, value, frame.context, opened.withheld)
    run.recorder.append("run.started", "", begun)
    frame.tracker = Tracker(frame.context)


@dataclass(frozen=True, slots=True)
class Stored:
    """A run as its store knows it: its record, the live part of its journal, and its last event."""

    record: RunRecord
    events: list[Event]
    recall: Recall

    @property
    def facts(self) -> dict[str, Any]:
        """The body of the event the run began with."""
        return self.recall.notes[""][0].body

    @property
    def made_by(self) -> Mapping[str, Any]:
        """The event that names the plan it goes by: how it began, or when it was carried over to another."""
        return [note.body for note in self.recall.notes[""] if "plan_ref" in note.body][-1]

    @property
    def job(self) -> Job:
        """What workers are asked for this run to go on now."""
        record, facts = self.record, self.facts
        queue = queue_of(record.pipeline, self.made_by["fingerprint"])
        return Job(record.run_id, queue, 0, facts.get("priority", 0), facts.get("tenant", ""))


def blank(model: type[PipelineContext]) -> PipelineContext:
    """Return a context that holds nothing, where what it held cannot be read or may not be shown."""
    return model.model_construct()


class Opener:
    """Opens the runs of one runner."""

    def __init__(
        self,
        plan: Plan,
        store: JournalStore | None,
        *,
        clock: Clock,
        durability: str,
        guards: Guards | None = None,
    ) -> None:
        self._plan = plan
        self.store = store
        self._clock = clock
        self._waits = durability == "sync"
        self._guards = guards
        self._threads = Threads()
        self._cache: dict[str, Any] = {}
        self._items = get_origin(plan.root.input_type) is Iterable
        self._input = None if store is None else codec_for(recorded_input(plan.root.input_type))
        self._digests = to_json(plan.digests) if store is not None else b""
        self._fingerprint = plan.fingerprint if store is not None else ""

    def new(
        self,
        value: Any,
        context: PipelineContext | None,
        run_id: str | None,
        labels: Mapping[str, str],
        observe: Observe,
        *,
        tenant: str = "",
        priority: int = 0,
        principal: Principal | None = None,
        holds: Iterable[str] = (),
    ) -> Opened:
        """Open a run that begins now.

        Raises:
            InputError: The input or the context does not fit the pipeline.
        """
        run_id = new_run_id() if run_id is None else checked_id(run_id)
        value = self.given(value)
        started = context_of(self._plan.context_model, context)
        recorder = None
        if self.store is not None:
            recorder = Recorder(self.store, run_id, new_token(), self._clock.now, wait=self._waits)
        tenant = tenant or ("" if principal is None else principal.tenant)
        run = self._run(run_id, Recall({}, {}), recorder, observe, tenant)
        run.principal = principal
        held = begun_with(run, holds, context, tracked=self._guards is not None)
        if recorder is not None:
            self._dumped(value)
            recorder.change(
                StatusChange("running", owner_of(recorder.token), self._plan.name, self._fingerprint)
            )
        job = Job(run_id, queue_of(self._plan.name, self._fingerprint), 0, priority, tenant)
        return Opened(
            run,
            Frame(run, "", started, None, {}),
            value,
            resumed=False,
            job=job,
            started=partial(self._started, labels, job, value, principal, held),
        )

    def under(self, guards: Guards | None) -> Opener:
        """Return what opens runs under other policies, in the same store."""
        opener = copy(self)
        opener._guards = guards
        return opener

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the policies that its runs begin under."""
        return () if self._guards is None else self._guards.in_force

    def now(self) -> int:
        """Return the time, in microseconds since the Unix epoch."""
        return self._clock.now()

    def given(self, value: Any) -> Any:
        """Return an input as the run works on it: a list, where anything with items is taken."""
        return list(value) if self._items else value

    def live(self, run_id: str, live: Live, observe: Observe) -> Opened:
        """Open a paused run that has no store."""
        run = self._run(run_id, live.recall, None, observe)
        run.views.update(live.views)
        run.earlier = live.steps
        run.purse, run.principal, run.labels = live.purse, live.principal, live.labels
        return Opened(run, Frame(run, "", live.context, None, {}), live.value, True, Job(run_id, ""))

    async def stored(self, known: Stored, observe: Observe) -> Opened:
        """Open a run that is in the store."""
        recorder = self.writer(known)
        run = self._run(known.record.run_id, known.recall, recorder, observe, known.job.tenant)
        known_as(run, known.facts, known.recall)
        if known.facts.get("withheld"):
            return Opened(
                run, Frame(run, "", blank(self._plan.context_model), None, {}), None, True, known.job
            )
        context = restore(self._plan.context_model, known.facts["context"])
        value = await self._value(recorder, known.facts)
        return Opened(run, Frame(run, "", context, Tracker(context), {}), value, True, known.job)

    def blind(self, known: Stored) -> Opened:
        """Open a run whose input and context this plan cannot read, only for it to be ended."""
        run = self._run(known.record.run_id, known.recall, self.writer(known), None)
        return Opened(run, Frame(run, "", blank(self._plan.context_model), None, {}), None, True, known.job)

    async def find(self, run_id: str) -> Stored:
        """Return a run of the store.

        Raises:
            UnknownRun: The store has none of this id.
            ChainBroken: Its journal was changed.
        """
        store = self.store
        events = [] if store is None else await store.live_events(run_id)
        found = None if store is None else await store.run(run_id)  # it tells whose the events are
        if found is None or store is None:
            raise UnknownRun(f"no run has the id {run_id!r}")
        if not events or events[-1].seq < found.seq:  # it went on meanwhile
            events = await store.live_events(run_id)
        return Stored(found, events, Recall.of(events))

    async def check(self, known: Stored, *, take_over: bool = False) -> None:
        """Check that a run may go on here; ``take_over`` where somebody says that its owner is gone.

        Raises:
            RunBusy: Another process carries it on.
            ChainBroken: Its record names another plan than the one that its journal began with.
            PlanChanged: It was made by another plan, or what joined it on the way is something else now; the
            error lists the addresses that differ.
        """
        if not take_over:
            self.check_owner(known)
        named = known.record.fingerprint
        if named != known.facts["fingerprint"]:
            raise ChainBroken(
                f"run {known.record.run_id}: its record names a plan {named!r}, its journal another"
            )
        if known.made_by["fingerprint"] != self._fingerprint:
            raise await self._changed(known)
        node_at(self._plan, known.record.run_id, known.recall.notes)

    def check_policies(self, known: Stored) -> None:
        """Raise ResumeError where a run would go on without policies that it began under."""
        missing = self.missing_policies(known)
        if missing:
            raise ResumeError(
                f"run {known.record.run_id} began under policies that are not here: {', '.join(missing)}",
                fix="give the runner policies of these names, in the flujo.toml that it is found by or as "
                "policies=[…]; or let the run do without them: `flujo runs upgrade --allow`",
            )

    def missing_policies(self, known: Stored) -> tuple[str, ...]:
        """Return the policies that a run began under and would go on without."""
        needed: Sequence[str] = known.made_by.get("policies", ())
        return tuple(needed) if self._guards is None else self._guards.missing(needed)

    def check_owner(self, known: Stored) -> None:
        """Raise RunBusy where another process carries a run on."""
        record, owner = known.record, known.record.owner
        if record.status == "running" and is_alive(owner):
            raise RunBusy(
                f"run {record.run_id} is being carried on elsewhere (by {owner.rpartition(':')[0]})",
                fix="wait for it to end, or stop that process; if it is gone, pass take_over=True",
            )

    def check_same_input(self, known: Stored, value: Any) -> None:
        """Check that a run that is named again is given the input that it began with.

        Raises:
            RunConflict: It is given another.
        """
        if not is_input(known.facts, self._dumped(self.given(value)), known.record.run_id):
            raise RunConflict(f"run {known.record.run_id} began with another input")

    def writer(self, known: Stored) -> Recorder:
        """Return the next writer of a run's journal."""
        assert self.store is not None
        last, name, now = known.events[-1], known.record.run_id, self._clock.now
        return Recorder(self.store, name, new_token(), now, seq=last.seq, head=last.hash, wait=self._waits)

    def _run(
        self, run_id: str, recall: Recall, recorder: Recorder | None, observe: Observe, tenant: str = ""
    ) -> Run:
        return Run(
            run_id,
            clock=self._clock,
            threads=self._threads,
            recall=recall,
            recorder=recorder,
            observe=observe,
            cache=self._cache,
            tenant=tenant,
        )

    def _started(
        self,
        labels: Mapping[str, str],
        job: Job,
        given: Any,
        principal: Principal | None,
        held: Mapping[str, Any],
        recorder: Recorder,
        value: Any,
        context: PipelineContext,
        withheld: bool,
    ) -> bytes:
        try:
            known_as = b"{}" if withheld else snapshot(context)
        except Unrecordable as error:
            raise InputError(f"the context cannot be recorded: {error.message}", fix=error.fix) from error
        body = to_json({"pipeline": self._plan.name, "fingerprint": self._fingerprint})[
            :-1
        ] + b',"context":%b,"plan_ref":"%b",' % (
            known_as,
            recorder.keep(self._digests).encode(),
        )
        if given is not value:  # it may be personal: what stands for it tells nothing outside this run
            body += b'"entered":"%b",' % digest_in(job.run_id, self._dumped(given)).encode()
        more: dict[str, Any] = {"labels": dict(labels), "tenant": job.tenant, "priority": job.priority}
        more |= {} if principal is None else {"principal": principal.facts()}
        more |= {**held, "policies": self.policies}
        body += b"".join(b'"%b":%b,' % (name.encode(), to_json(fact)) for name, fact in more.items() if fact)
        if withheld:
            return body + b'"output":null,"withheld":true}'
        return body + recorder.written(self._dumped(value)) + b"}"

    def _dumped(self, value: Any) -> bytes:
        assert self._input is not None
        try:
            return self._input.dump(value)
        except Unrecordable as error:
            raise InputError(
                f"the input does not fit the pipeline: {error.message}", fix=error.fix
            ) from error

    async def _value(self, recorder: Recorder, facts: Mapping[str, Any]) -> Any:
        assert self._input is not None
        return await recorder.value(facts, self._input, "")

    async def _changed(self, known: Stored) -> PlanChanged:
        assert self.store is not None
        facts = await self.store.payload(bytes.fromhex(known.made_by["plan_ref"]))
        before, now = from_json(facts), self._plan.digests
        differing = differing_paths(before, now)
        what = {True: "changed", False: "removed"}
        listed = ", ".join(
            f"{path} ({'added' if path not in before else what[path in now]})" for path in differing
        )
        return PlanChanged(
            f"run {known.record.run_id} was made by another plan of {known.record.pipeline!r}: "
            f"{listed or 'their order'}",
            addresses=differing,
            fix="resume it with the code that it began with, ask `flujo runs upgrade --check`, or cancel it",
        )
