"""Carrying a run: from its first step to its end, its pause, or its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple, cast

from flujo.engine.build import Build, door_for
from flujo.engine.failures import denial_of, quota_of
from flujo.engine.history import reopened, reread, restored
from flujo.engine.hooks import shown
from flujo.engine.identity import begins, ends, owner_of
from flujo.engine.opened import Opened, Opener, Stored, record_start
from flujo.engine.record import Recorder, write_note
from flujo.engine.requests import Asked, moment
from flujo.engine.result import Paused, PipelineResult, RunStarted, Status, StepHistory
from flujo.engine.run import Suspended, Walk, microseconds
from flujo.engine.supervise import Live, Supervised
from flujo.engine.undo import Undo
from flujo.engine.walk import compile_walk
from flujo.errors import (
    FlujoError,
    HookFailed,
    PolicyDenied,
    QuotaExceeded,
    RecordError,
    RunBusy,
    RunCancelled,
    RunError,
    RunTaken,
    StepFailed,
)
from flujo.journal.store import StatusChange
from flujo.pipeline.info import NO_USAGE
from flujo.pipeline.waits import Approval, StopPipeline
from flujo.plan.codec import Unrecordable


class Ending(NamedTuple):
    """What a run came to."""

    status: Status
    output: Any = None
    pending: tuple[Approval, ...] = ()
    error: FlujoError | None = None
    reason: str = ""
    due: int | None = None


class Carrier:
    """Carries the runs of one runner, and knows which are under way."""

    def __init__(self, build: Build, opener: Opener) -> None:
        self._build = build
        self._opener = opener
        self.door = door_for(build)
        self._walk = self._whole(compile_walk(build.plan.root, build))
        self._undo = Undo(build)
        self._codec = build.codec(build.plan.root.output_type)
        self._active: dict[str, Supervised] = {}
        self._cancelled: dict[str, list[Future[PipelineResult[Any, Any] | None]]] = {}
        self._lock = Lock()  # a run may be cancelled from another thread than the one that carries it

    def _whole(self, walk: Walk) -> Walk:
        """Return the walk of whole runs, with what they give judged where policies hold for whole runs."""
        return walk if self.door is None else self.door.around(walk)

    def carries(self, run_id: str) -> bool:
        """Say whether this runner carries a run on at this moment."""
        return run_id in self._active

    async def carry(self, opened: Opened) -> PipelineResult[Any, Any]:
        """Carry a run until it ends or waits.

        Raises:
            asyncio.CancelledError: The caller was cancelled: the run stays as it is and can be resumed.
            StoreError: The store failed: likewise.
        """
        run_id, token = opened.run.id, opened.token
        if run_id in self._active:
            raise RunBusy(f"run {run_id} is being carried on in this process", fix="await it, or cancel it")
        supervised = Supervised(self._work(opened), opened.run.give_up)
        self._active[run_id] = supervised
        begins(token)
        cancelled: PipelineResult[Any, Any] | None = None
        try:
            return await supervised.outcome()
        except asyncio.CancelledError:
            if supervised.reason is None:
                await opened.interrupt()
                raise
            cancelled = await self.end_cancelled(opened.heir(), supervised.reason)
            return cancelled
        finally:
            ends(token)
            self._tell(run_id, cancelled)

    async def enqueue(self, opened: Opened) -> PipelineResult[Any, Any] | None:
        """Record that a run is to begin in the hands of a worker, with the job that asks for it.

        Returns:
            Its result, where a hook ended it before it began.
        """
        ending = await self._start(opened)
        recorder = opened.run.recorder
        assert recorder is not None
        if ending is not None:
            return await self._end(opened, ending)
        recorder.ask_for(opened.job)
        recorder.change(StatusChange("queued"))
        await recorder.commit(sure=True)
        return None

    async def cancel(self, run_id: str, reason: str) -> PipelineResult[Any, Any] | None:
        """Cancel a run that this runner carries and return its result; None if it carries no such run."""
        with self._lock:
            supervised = self._active.get(run_id)
            if supervised is None:
                return None
            told: Future[PipelineResult[Any, Any] | None] = Future()
            self._cancelled.setdefault(run_id, []).append(told)
        if not supervised.cancel(reason):
            return None
        return await asyncio.wrap_future(told)

    def _tell(self, run_id: str, result: PipelineResult[Any, Any] | None) -> None:
        """Tell those who cancelled a run its result; None where it ended by itself in the same moment."""
        with self._lock:
            del self._active[run_id]
            waiting = self._cancelled.pop(run_id, ())
        for told in waiting:
            if told.set_running_or_notify_cancel():
                told.set_result(result)

    async def end_cancelled(self, opened: Opened, reason: str) -> PipelineResult[Any, Any]:
        """End a run as cancelled, undoing what its steps declare."""
        if self.door is not None and reason:
            reason = await self.door.words(opened.frame, reason)
        return await self._end(opened, _cancelled(opened.run.id, reason))

    async def end_changed(self, known: Stored, reason: str) -> PipelineResult[Any, Any]:
        """End as cancelled a run that was made by another plan, undoing what this one still finds."""
        opened, readable = await reopened(self._build.plan, self._opener, known)
        if self.door is not None and reason:
            reason = await self.door.words(opened.frame, reason)
        ending = _cancelled(known.record.run_id, reason)
        await self._settle(opened)
        await self._undone(opened, ending, changed=True, blind=not readable)
        return await self._close(opened, ending)

    async def _work(self, opened: Opened) -> PipelineResult[Any, Any]:
        try:
            ending = await self._start(opened) or await self._walked(opened)
            if not opened.run.given_up:
                return await self._end(opened, ending)
        except RunTaken:
            if not opened.run.given_up:
                raise
        raise asyncio.CancelledError("given up")  # nobody listens any more

    async def _start(self, opened: Opened) -> Ending | None:
        """Record that the run begins or goes on; return how it ended where it does not go on."""
        run, ending = opened.run, None
        if not opened.resumed:
            ending = await self._let_in(opened, opened.value) or await self._shown(opened)
            record_start(opened, opened.value)
            if self.door is not None:
                self.door.write(opened)
        elif run.recorder is not None:
            if not run.recorder.pending:
                run.note("run.resumed", "", {"owner": owner_of(run.recorder.token)})
            run.recorder.change(StatusChange("running", owner_of(run.recorder.token)))
        if run.observe is not None:
            run.observe(RunStarted(run.id, opened.resumed))
        return ending or self._undoing(opened)

    async def _let_in(self, opened: Opened, value: Any) -> Ending | None:
        """Have policies judge what a run begins with, before anything of it is told or written."""
        if self.door is None:
            opened.value = value
            return None
        try:
            await self.door.enter(opened, value)
        except Asked as question:
            requests, due = question.suspended.requests, question.suspended.due
            return Ending("paused", pending=requests, due=due)
        except RunError as error:
            return Ending("failed", error=error)
        return None

    async def _shown(self, opened: Opened) -> Ending | None:
        """Show hooks what a run begins with; what one puts in its place is judged as it was."""
        try:
            value = await shown(self._build.hooks.on_start, opened.value, context=opened.frame.context)
        except StopPipeline as stop:
            return Ending("stopped", reason=stop.reason)
        except HookFailed as error:
            return Ending("failed", error=error)
        return None if value is opened.value else await self._let_in(opened, value)

    def _undoing(self, opened: Opened) -> Ending | None:
        """Return how a run had ended that is found in the middle of undoing its steps."""
        run = opened.run
        for note in run.noted(""):
            if note.kind == "undone" and run.recorder is not None:
                body = note.body
                return Ending(body["status"], error=restored(body["error"]), reason=body["reason"])
        return None

    async def _walked(self, opened: Opened) -> Ending:
        try:
            outcome = await self._walk_of(opened)(opened.frame, opened.value)
        except StopPipeline as stop:
            return Ending("stopped", reason=stop.reason)
        except RunError as error:
            return Ending("failed", error=error)
        if isinstance(outcome, Suspended):
            return Ending("paused", pending=outcome.requests, due=outcome.due)
        return Ending("completed", outcome)

    def _walk_of(self, opened: Opened) -> Walk:
        """Return the walk of a run: the plan's, unless it is a fork that changes something."""
        begun = opened.run.noted("")
        if not begun or "revised" not in begun[0].body:
            return self._walk
        from flujo.engine.fork import for_fork

        return self._whole(compile_walk(self._build.plan.root, for_fork(self._build)))

    async def _end(self, opened: Opened, ending: Ending) -> PipelineResult[Any, Any]:
        """Undo what must be undone, show the result to hooks, record it, and return it."""
        if ending.status != "paused":
            await self._settle(opened)
        if opened.resumed and opened.token and ending.status in ("failed", "cancelled", "stopped"):
            opened = await reread(self._build.plan, self._opener, opened)
        if not opened.resumed and opened.run.recorder is not None and opened.run.recorder.seq == 0:
            record_start(opened, opened.value)  # it was cancelled before it had begun
        if ending.status in ("failed", "cancelled"):
            await self._undone(opened, ending)
        return await self._close(opened, ending)

    async def _settle(self, opened: Opened) -> None:
        """Settle what steps have set aside that the run leaves without knowing their end."""
        run, quotas = opened.run, self._build.quotas
        if run.recorder is None or run.recorder.seq == 0:
            return
        shares = (quotas is not None and quotas.is_shared) or bool(run.holds)
        if shares or any(note.kind == "step.reserved" for notes in run.notes.values() for note in notes):
            from flujo.engine.quota import settle_unknown

            await settle_unknown(run, opened.frame)

    async def _close(self, opened: Opened, ending: Ending) -> PipelineResult[Any, Any]:
        """Show the result to hooks, record it, and return it."""
        run, frame = opened.run, opened.frame
        result: PipelineResult[Any, Any] = PipelineResult(
            run_id=run.id,
            status=ending.status,
            output=ending.output,
            steps=StepHistory(run.steps),
            context=frame.context,
            usage=frame.usage or NO_USAGE,
            pending=ending.pending,
            error=ending.error,
            reason=ending.reason,
            wakes_at=None if ending.due is None else moment(ending.due),
            mutations=() if run.rows is None else tuple(run.rows.applied),
            _live=_live(opened) if ending.status == "paused" and run.recorder is None else None,
        )
        try:
            result = _whole(await shown(self._build.hooks.on_end, result, context=frame.context))
            if self.door is not None and result.output is not ending.output:
                result = replace(result, output=await self.door.leave(frame, result.output))
        except (HookFailed, StopPipeline, PolicyDenied) as raised:
            result = _spoiled(result, raised)
            if result.status == "failed" and ending.status not in ("failed", "cancelled"):
                await self._undone(opened, Ending("failed", error=result.error))
        if run.recorder is not None:
            result = await self._record_end(opened, result)
        if run.observe is not None and result.status == "paused":
            run.observe(Paused(run.id, result.pending))
        if result.status != "paused":
            run.notes.clear()  # they lead back to the run: nothing is left to the garbage collector
        return result

    async def _undone(
        self, opened: Opened, ending: Ending, *, changed: bool = False, blind: bool = False
    ) -> None:
        """Undo what the run's steps declare; what could not be undone is noted on the error."""
        if not (changed or self._undo.concerns(opened.run)) or ending.error is None:
            return
        begun = {"status": ending.status, "error": facts_of(ending.error), "reason": ending.reason}
        for line in await self._undo.run(opened.frame, begun, blind=blind):
            ending.error.add_note(line)

    async def _record_end(self, opened: Opened, result: PipelineResult[Any, Any]) -> PipelineResult[Any, Any]:
        """Record how a run ended, and return its result: failed, where that cannot be recorded."""
        recorder = opened.run.recorder
        assert recorder is not None
        if result.status != "paused":
            try:
                body = self._ending(opened, recorder, result)
            except Unrecordable as error:
                name = self._build.plan.name
                failure = RecordError(error.message, step=name, address=name, fix=error.fix)
                result = replace(result, status="failed", output=None, error=result.error or failure)
                body = _told(result)
            recorder.append("run.ended", "", body)
        else:
            if not recorder.pending:
                recorder.append("run.paused", "", b"{}")
            if result.wakes_at is not None:
                recorder.ask_for(opened.job._replace(due=microseconds(result.wakes_at)))
        recorder.change(StatusChange(result.status))
        await recorder.commit(sure=True)
        return result

    def _ending(self, opened: Opened, recorder: Recorder, result: PipelineResult[Any, Any]) -> bytes:
        """Return the body of a run's last event.

        Raises:
            Unrecordable: Its output, or what was changed in the context outside of steps, cannot be.
        """
        body = _told(result)[:-1]
        if result.success and self._codec is not None:
            body += b"," + recorder.written(self._codec.dump(result.output))
        patch = None if opened.frame.tracker is None else opened.frame.tracker.diff(sweep=True)
        if patch is not None:
            body += b',"patch":' + patch
        return body + b"}"


def _cancelled(run_id: str, reason: str) -> Ending:
    error = RunCancelled(f"run {run_id} was cancelled" + (f": {reason}" if reason else ""))
    return Ending("cancelled", error=error, reason=reason)


def _told(result: PipelineResult[Any, Any]) -> bytes:
    facts: dict[str, Any] = {"status": result.status, "reason": result.reason}
    if result.error is not None:
        facts["error"] = facts_of(result.error)
    return write_note(facts)


def facts_of(error: FlujoError) -> dict[str, Any]:
    """Return an error as it is recorded."""
    facts: dict[str, Any] = {"code": error.code, "message": error.message, "fix": error.fix}
    if isinstance(error, StepFailed):
        facts |= {"step": error.step, "address": error.address, "attempt": error.attempt}
    if isinstance(error, QuotaExceeded):
        facts["quota"] = quota_of(error)
    if isinstance(error, PolicyDenied):
        facts["denied"] = denial_of(error)
    notes: Sequence[str] = vars(error).get("__notes__", ())
    return {**facts, "notes": list(notes)} if notes else facts


def _live(opened: Opened) -> Live:
    run = opened.run
    known, context = run.so_far(), opened.frame.context
    steps, views = run.all_steps(), dict(run.views)
    return Live(known, context, views, opened.value, steps, run.purse, run.principal, run.labels)


def _whole(shown_as: object) -> PipelineResult[Any, Any]:
    """Refuse what a hook put in the place of a run's result, if it is none."""
    if not isinstance(shown_as, PipelineResult):
        raise HookFailed(
            f"a hook replaced the run's result by {type(shown_as).__name__}",
            fix="replace it by another PipelineResult: Replace(dataclasses.replace(pipeline_result, …))",
        )
    return cast("PipelineResult[Any, Any]", shown_as)


def _spoiled(
    result: PipelineResult[Any, Any], raised: HookFailed | StopPipeline | PolicyDenied
) -> PipelineResult[Any, Any]:
    """Return the result of a run whose last hook raised, or gave what policies deny."""
    if isinstance(raised, StopPipeline):
        return replace(result, status="stopped", output=None, pending=(), wakes_at=None, reason=raised.reason)
    return replace(result, status="failed", output=None, pending=(), wakes_at=None, error=raised)
