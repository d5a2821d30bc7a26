"""What a runner does with the runs that its store holds: answer, signal, fork, replay, upgrade, cancel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flujo.engine.answers import choose, decision_of, note_answer
from flujo.engine.build import Build
from flujo.engine.carry import Carrier
from flujo.engine.clock import Clock
from flujo.engine.dispatch import Woken, deliver, due_of
from flujo.engine.history import read_into, stored_result
from flujo.engine.identity import checked_id
from flujo.engine.opened import Opened, Opener, Stored
from flujo.engine.requests import pending as pending_requests
from flujo.engine.result import Context, Observer, PipelineResult
from flujo.engine.run import Frame
from flujo.engine.supervise import live_of
from flujo.errors import PlanChanged, ResumeError, RunBusy, UnknownRequest
from flujo.journal.rules import refuse_pruned
from flujo.journal.store import ENDED, JournalStore, StatusChange
from flujo.pipeline.waits import Approval, Decision
from flujo.plan.plan import Plan

if TYPE_CHECKING:
    from flujo.engine.differences import ReplayReport
    from flujo.engine.door import Written
    from flujo.engine.upgrade import UpgradeReport

Out = TypeVar("Out", covariant=True)

NO_CHANGES: Mapping[str, Any] = MappingProxyType({})
Value = Any
"""An answer as a person gives it: JSON, or a value of the type that is asked for."""


class RecordedRuns(Generic[Out, Context]):
    """The part of a runner that works on recorded runs; see :class:`flujo.Flujo`, which makes it whole."""

    plan: Plan
    store: JournalStore | None
    _clock: Clock
    _build: Build
    _opener: Opener
    _carrier: Carrier

    # Going on

    async def answer(self, run_id: str, decision: Value, *, request: str | None = None) -> Approval:
        """Record a decision, or a plain answer, and do not go on; return the request that it answers.

        The run is queued for a worker; where there is none, whoever resumes it goes on.

        Raises:
            UnknownRun: No run of the store has this id.
            UnknownRequest: It waits for no such request.
            AnswerRejected: The decision does not fit; the request stays open.
        """
        known = await self._opener.find(run_id)
        await self._opener.check(known)
        self._opener.check_policies(known)
        opened = await self._opener.stored(known, None)
        decision = await self._answered(opened, known, decision_of(decision), request)
        asked = note_answer(self.plan, opened.run, known.recall, decision, request)
        assert opened.run.recorder is not None
        opened.run.recorder.change(StatusChange("queued"))
        opened.run.recorder.ask_for(opened.job)
        await opened.run.recorder.commit(sure=True)
        return asked

    async def screened(self, value: Value, *, tenant: str = "") -> Value:
        """Return an input as policies let it be kept for runs to come, as that of a schedule; nothing runs.

        Raises:
            InputError: They do not let it in, or it does not fit the pipeline.
        """
        door = self._carrier.door
        if door is None:
            return value
        opened = self._opener.new(value, None, None, {}, None, tenant=tenant)
        return await door.screened(opened.run, opened.frame.context, opened.value)

    async def signal(self, run_id: str, event: str, payload: Value = None) -> None:
        """Deliver an event to a run; it is kept until the run comes to where it waits for it.

        A worker then goes on with the run; where there is none, whoever resumes it. Of several events of
        one name, each :class:`WaitForEvent` takes the earliest that is left and came before its deadline.

        Raises:
            UnknownRun: No run of the store has this id.
            ResumeError: It has ended.
            UnknownRequest: The pipeline waits for no such event.
            AnswerRejected: The payload does not fit what is awaited.
        """
        known = await self._opener.find(run_id)
        self._opener.check_policies(known)
        assert self.store is not None
        door = self._carrier.door
        if door is not None and door.judges_entries:
            await self._opener.check(known, take_over=True)
            frame = await self._standing(await self._opener.stored(known, None), known)
            payload = await door.brought(frame, event, payload)
        await deliver(self.store, self.plan, known, event, payload, clock=self._clock)

    async def carry_on(self, run_id: str, *, take_over: bool = False) -> Woken:
        """Go on with a run as a worker does: if there is something to go on with, and as long as that lasts.

        Unlike :meth:`resume_async`, it does not wait for a :class:`Sleep` to end: the run is paused, and a
        job is left for when it is due.

        Args:
            run_id: The run.
            take_over: See :meth:`resume_async`.

        Raises:
            FlujoError: As :meth:`resume_async`.
        """
        known = await self._opener.find(run_id)
        assert self.store is not None
        due = due_of(known, await self.store.signals(run_id))
        if due is None or due > self._clock.now():
            return Woken(None, due)
        if self._carrier.carries(run_id):
            raise RunBusy(f"run {run_id} is being carried on in this process", fix="await it, or cancel it")
        await self._opener.check(known, take_over=take_over)
        opened = await self._opener.stored(known, None)
        opened.run.parks = True
        return Woken(await self._carrier.carry(opened))

    async def pending(self, run_id: str) -> tuple[Approval, ...]:
        """Return what a run of the store waits for, in the order it was asked."""
        return tuple(pending_requests((await self._opener.find(run_id)).recall.notes, run_id))

    async def result(self, run_id: str) -> PipelineResult[Out, Context]:
        """Return how a run of the store stands, from its journal alone; nothing runs."""
        known = await self._opener.find(run_id)
        await self._opener.check(known, take_over=True)
        return await stored_result(self.plan, self._opener, known)

    async def replay(self, run_id: str, *, live_after_divergence: bool = False) -> ReplayReport:
        """Let a recorded run go by again, answered from its journal alone; compare what comes out.

        No step and no hook is called, nobody waits, nothing is written. What decides is called again. Of
        changed code, a step is answered that is declared as it was and is given what it was given.

        Args:
            run_id: A run of the store.
            live_after_divergence: Go on from where it differs, in a new run, the report's ``live``.

        Raises:
            UnknownRun, ChainBroken: There is no such run, or its journal was changed.
            PlanChanged: To go on: this pipeline cannot read the run's input or context.
        """
        from flujo.engine.replay import replay

        go_on = self._resumed if live_after_divergence else None
        return await replay(self._build, self._opener, run_id, go_on)

    async def upgrade(self, run_id: str, *, check: bool = False, allow: bool = False) -> UpgradeReport:
        """Carry an open run over to this runner's plan, where it was made by another.

        With ``check``, only say whether it may be. With ``allow``, do so also where that needs a decision:
        something that it did would be done otherwise now.

        Raises:
            PlanChanged: It cannot be carried over, or not without a decision; ResumeError: it has ended.
        """
        from flujo.engine.upgrade import upgrade

        return await upgrade(self._build, self._opener, run_id, check=check, allow=allow)

    async def fork(
        self,
        origin: str,
        *,
        at: str,
        input: Value = ...,
        context: Mapping[str, Value] = NO_CHANGES,
        run_id: str | None = None,
    ) -> PipelineResult[Out, Context]:
        """Begin a run that shares a recorded run's past before an address, and carry it on from there.

        The execution at the address and everything after it runs anew; what had ended beside it by then is
        shared. The first run stays as it is.

        Args:
            origin: The run that is forked.
            at: The address; of a composite, a turn (``loop[2]``) or an item (``map[0]``), all of it.
            input: What the execution at the address is given instead.
            context: New values of fields of the context, from there on.
            run_id: The new run's name.

        Raises:
            UnknownAddress, UnknownRun: The run never came to this address, or there is no such run.
            PlanChanged: The run was made by another plan.
            InputError: The new input or context does not fit; RunConflict: the new run's name is taken.
        """
        name = await self.start_fork(origin, at=at, input=input, context=context, run_id=run_id)
        return await self._resumed(name)

    async def start_fork(
        self,
        origin: str,
        *,
        at: str,
        input: Value = ...,
        context: Mapping[str, Value] = NO_CHANGES,
        run_id: str | None = None,
    ) -> str:
        """Record a fork, and return its id: whoever resumes it carries it on. See :meth:`fork`."""
        from flujo.engine.fork import Revision, fork

        revision, door = Revision(at, input, context), self._carrier.door
        said: Sequence[Written] = ()
        if door is not None and door.judges_entries and revision.changes:
            known = await self._opener.find(origin)
            await self._opener.check(known, take_over=True)
            frame = await self._standing(await self._opener.stored(known, None), known)
            revision, said = await door.revised(frame, revision)
        return await fork(self._build, self._opener, origin, revision, run_id=run_id, said=said)

    # Ending

    async def cancel(
        self, run_id: str, reason: str = "", *, take_over: bool = False
    ) -> PipelineResult[Out, Context]:
        """Cancel a run for good, undo what its steps declare to be undone, and return its result.

        Steps in progress are cancelled; those that do not end within a moment are given up: what they
        still do is not recorded. A paused run, or one whose process died, is ended where it stands.

        A run that was made by another plan can be ended as well. What this one still finds by its address
        is undone; what it does not find, or cannot read, is told in the notes of the result's error, and
        in the journal.

        Raises:
            UnknownRun: No run has this id.
            ResumeError: The run has ended already.
            RunBusy: Another process carries the run on.
        """
        ended = await self._carrier.cancel(run_id, reason)
        if ended is not None:
            return ended
        known = await self._opener.find(run_id)
        if known.record.status in ENDED:
            raise ResumeError(
                f"run {run_id} has ended already: {known.record.status}", fix="nothing is left to cancel"
            )
        try:
            await self._opener.check(known, take_over=take_over)
            return await self._carrier.end_cancelled(await self._opener.stored(known, None), reason)
        except PlanChanged:
            return await self._carrier.end_changed(known, reason)

    # How it is done

    async def _resumed(self, run_id: str) -> PipelineResult[Out, Context]:
        return await self._go_on_stored(await self._opener.find(run_id), ..., None, False, None)

    async def _named(self, run_id: str) -> Stored | None:
        if self.store is None:
            return None
        if await self.store.run(checked_id(run_id)) is None:
            await refuse_pruned(self.store, run_id)
            return None
        return await self._opener.find(run_id)

    async def _go_on_stored(
        self,
        known: Stored,
        human_input: Value,
        request: str | None,
        take_over: bool,
        observe: Observer | None,
    ) -> PipelineResult[Any, Any]:
        run_id = known.record.run_id
        if self._carrier.carries(run_id):
            raise RunBusy(f"run {run_id} is being carried on in this process", fix="await it, or cancel it")
        await self._opener.check(known, take_over=take_over)
        if known.record.status in ENDED:
            if human_input is not ...:
                raise UnknownRequest(f"run {run_id} waits for no answer: it is {known.record.status}")
            return await stored_result(self.plan, self._opener, known)
        self._opener.check_policies(known)
        opened = await self._opener.stored(known, observe)
        if human_input is not ...:
            decision = await self._answered(opened, known, decision_of(human_input), request)
            note_answer(self.plan, opened.run, known.recall, decision, request)
        return await self._carrier.carry(opened)

    async def _answered(
        self, opened: Opened, known: Stored, decision: Decision, request: str | None
    ) -> Decision:
        """Return a decision as policies let it be written.

        Raises:
            AnswerRejected: They do not.
        """
        door = self._carrier.door
        if door is None or not door.judges_entries:
            return decision
        asked = choose(known.recall, opened.run.id, request)
        return await door.answered(await self._standing(opened, known), asked, decision)

    async def _standing(self, opened: Opened, known: Stored) -> Frame:
        """Return where a run stands, for policies to look at."""
        seen = await self._opener.stored(known, None)
        await read_into(self.plan, seen, known.events)
        return Frame(opened.run, "", seen.frame.context, None, {})

    async def _go_on_live(
        self,
        run: str | PipelineResult[Any],
        human_input: Value,
        request: str | None,
        observe: Observer | None,
    ) -> PipelineResult[Any, Any]:
        run_id, live = live_of(run)
        opened = self._opener.live(run_id, live.again(), observe)
        if human_input is not ...:
            decision = decision_of(human_input)
            door = self._carrier.door
            if door is not None:
                decision = await door.answered(opened.frame, choose(live.recall, run_id, request), decision)
            note_answer(self.plan, opened.run, live.recall, decision, request)
        return await self._carrier.carry(opened)
