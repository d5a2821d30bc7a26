"""Attempts: how often an agent is tried, for how long, and who judges what it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from flujo.engine.build import bind, judge, output_check
from flujo.engine.caching import StepCache
from flujo.engine.effects import StepEffects
from flujo.engine.failures import (
    KINDS,
    PASSES,
    Attempted,
    CutOff,
    Exited,
    RecordedFailure,
    Rejected,
    TimeLimit,
    Tried,
    accept,
    described,
    note_failure,
    quota_of,
    raise_if_cancelled,
    told,
)
from flujo.engine.record import read_usage, usage_parts
from flujo.engine.requests import (
    Asked,
    accepted,
    answer_codec,
    answer_to,
    approval,
    ask,
    asked,
    importable,
    questions,
)
from flujo.engine.result import StepGaveUp, StepRetrying
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.engine.threads import never_began
from flujo.errors import ConfigError, QuotaExceeded, StepFailed
from flujo.pipeline.context import adopt, fork
from flujo.pipeline.info import NO_USAGE, StepInfo
from flujo.pipeline.node import Changed
from flujo.pipeline.waits import PauseForHumanInput
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanStep
from flujo.plan.types import type_name

if TYPE_CHECKING:
    from flujo.engine.governed import GovernedStep

Direct = Callable[[Frame, Any], Awaitable[Any]]


_SETTLES = ("step.started", "step.attempt", "step.discarded", "request")


class Attempts:
    """The attempts of one step, compiled.

    Attributes:
        call: How the agent is called; ``direct``: how, where calling it once is all there is to do.
        classes: What an output must be an instance of; None where that cannot tell.
        cache: Where its outputs are remembered, if they are.
        once: What calling it so comes to, but for the output.
        governed: What policies do around the step.
        settle: Called right before its result is recorded, where quotas hold.
    """

    GIVEN_UP, NEVER_BEGAN = "it was given up", "it never began"

    def __init__(self, plan: PlanStep, fallback: Walk | None) -> None:
        node, signature = plan.node, plan.signature
        self._plan = plan
        self._node = node
        self.call = bind(signature, plan.sources)
        self._validators = tuple(judge(one) for one in plan.validators)
        self._changes_context = any(one.context for one in (signature, *plan.validators))
        self._fallback = fallback
        self.cache = StepCache(plan) if node.cache else None
        self._once = node.effects == "at_most_once"
        self.classes = output_check(plan.output_type)
        self.governed: GovernedStep | None = None
        self.settle: Callable[[Run, str], None] | None = None
        self.once = Attempted(None)
        special = node.timeout or node.validators or fallback or node.cache or self._once
        special = special or node.retry.attempts > 1 or node.may_mutate is not None
        self.direct = self._directly() if signature.is_async and not (special or signature.info) else None

    @property
    def is_shared(self) -> bool:
        """Whether an attempt asks the store, which commits all that was recorded before it."""
        return False

    def govern(self, governed: GovernedStep) -> None:
        """Have policies judge what comes out, and once more what goes in where hooks may have changed it."""
        self.governed, self.call = governed, governed.saying(self.call)
        if self.direct is not None:
            self.direct = governed.direct(self.direct, self.check_type, views=self._changes_context)

    async def run(self, frame: Frame, address: str, value: Any) -> Attempted | Suspended:
        """Try until an output is accepted, a person must be asked, or there is nothing left to try.

        Raises:
            StepFailed: The last attempt failed.
        """
        run = frame.run
        if self.governed is not None:
            value = await self.governed.readmit(frame, address, value)
        before = self._asked_before(run, address)
        if isinstance(before, Attempted):
            tried = await self._tried_before(run, address)
            frame.used(tried.usage)
            return before._replace(
                attempts=tried.failed + 1, usage=tried.usage + before.usage, paid=tried.usage
            )
        if before is not None:
            return before
        if self.cache is None:
            return await self._tries(frame, address, value)
        key = await self.cache.key(address, value, frame)
        known = await self.cache.find(frame, address, key)
        if known is not None:
            return Attempted(await self._left(frame, address, 1, known.output), cached=True)
        outcome = await self._tries(frame, address, value)
        if isinstance(outcome, Attempted) and outcome.fallback is None:
            self.cache.remember(frame, address, key, outcome)
        return outcome

    async def _tries(self, frame: Frame, address: str, value: Any) -> Attempted | Suspended:
        run, retry = frame.run, self._node.retry
        tried = await self._tried_before(run, address)
        frame.used(tried.usage)
        while not tried.over and tried.failed < retry.attempts:
            effects = StepEffects(run) if self.governed is None else self.governed.effects(frame)
            info = StepInfo(run.id, address, tried.failed + 1, tried.feedback, effects)
            if run.rows is not None:
                info.parameters = run.rows.parameters_at(address)
            if self._once:
                run.note("step.started", address, {"attempt": info.attempt})
                await run.commit(sure=True)
            try:
                output = await self._attempt(frame, value, info)
                return Attempted(output, info.attempt, tried.usage + info.usage, paid=tried.usage)
            except Asked as question:
                self._discard(frame, info, "it asked a person")
                return question.suspended
            except PauseForHumanInput as pause:
                self._discard(frame, info, "it asked a person")
                return self.pause(run, address, pause)
            except PASSES:
                self._discard(frame, info, "it ended the run")
                raise
            except asyncio.CancelledError as error:
                self._discard(frame, info, self.NEVER_BEGAN if self._never_began(error) else self.GIVEN_UP)
                raise
            except Exception as error:  # noqa: BLE001  # the step's own code
                said = error if self.governed is None else await self.governed.failing(frame, info, error)
                failed = self._failed(frame, info, error, said)
                if isinstance(failed, Suspended):
                    return failed
                tried, wait = tried.after(info, said), failed
                if wait < 0:
                    break
            await self._rest(run, address, tried, wait)
        return await self._exhausted(frame, address, value, tried)

    async def _attempt(self, frame: Frame, value: Any, info: StepInfo) -> Any:
        """Call the agent once, within its time, and have its output judged.

        It works on a view of the context, which is taken over with its output: what an attempt changed
        that failed, paused or was cancelled is forgotten.
        """
        if not self._changes_context:
            return await self._call_and_judge(frame, value, info)
        view = fork(frame.context)
        place = Frame(frame.run, frame.prefix, view, None, frame.slots)
        output = await self._call_and_judge(place, value, info)
        if self.governed is not None:
            await self.governed.changed(frame, view, info.address)
        adopt(frame.context, view)
        return output

    async def _call_and_judge(self, frame: Frame, value: Any, info: StepInfo) -> Any:
        limit = asyncio.timeout(self._node.timeout)
        try:
            async with limit:
                output = await self.call(frame, frame.context, value, info)
        except BaseExceptionGroup as group:
            raise questions(group) from None
        except SystemExit as exit_:
            raise Exited(exit_) from exit_
        except asyncio.CancelledError as error:
            raise_if_cancelled(error)
            raise CutOff(error) from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeLimit(f"no output within {self._node.timeout:g} seconds") from error
        changes = self._node.may_mutate is not None and issubclass(type(output), Changed)
        given = output.output if changes else output
        self.check_type(given)
        for validator in self._validators:
            await accept(validator, frame, given)
        left = await self._left(frame, info.address, info.attempt, given)
        if changes and self.governed is not None:
            output = await self.governed.mutating(frame, info.address, output)
        rows = frame.run.rows
        return left if rows is None or not changes else rows.open[frame.prefix].checked(output, left)

    async def _left(self, frame: Frame, address: str, attempt: int, output: Any) -> Any:
        """Return an output as policies let it out."""
        governed = self.governed
        return output if governed is None else await governed.leaving(frame, address, attempt, output)

    def _directly(self) -> Direct:
        """Return how the agent is called once, where it asks for no StepInfo and nothing else is set."""
        signature, call = self._plan.signature, self.call
        if signature.is_plain:
            function = signature.call
            return lambda frame, value: function(value)
        if not self._changes_context:
            return lambda frame, value: call(frame, frame.context, value, None)

        async def on_view(frame: Frame, value: Any) -> Any:
            view = fork(frame.context)
            output = await call(frame, view, value, None)
            self.check_type(output)
            adopt(frame.context, view)
            return output

        return on_view

    def check_type(self, output: Any) -> None:
        """Refuse an output that is not of the declared type."""
        if self.classes is not None and not isinstance(output, self.classes):
            raise self.mistyped(output)

    async def _tried_before(self, run: Run, address: str) -> Tried:
        """Return what the journal knows of earlier attempts, after what is left of the last wait."""
        tried, due = Tried(), 0
        for note in run.noted(address):
            if note.kind == "step.discarded":
                tried = tried._replace(usage=tried.usage + read_usage(note.body.get("usage")))
            elif note.kind == "step.attempt":
                tried = Tried(
                    note.body["attempt"],
                    tried.usage + read_usage(note.body.get("usage")),
                    (*tried.feedback, *note.body.get("feedback", ())),
                    RecordedFailure(note.body["kind"], note.body["text"], note.body.get("quota")),
                    not note.body["again"],
                )
                due = note.body.get("due", 0)
        left = (due - run.clock.now()) / 1e6
        if left > 0:
            # Never longer than it was to be, should the clock have been set back meanwhile.
            await run.clock.sleep(min(left, self._node.retry.wait(tried.failed, 0.0)))
        return tried

    def _failed(self, frame: Frame, info: StepInfo, error: Exception, said: Exception) -> float | Suspended:
        """Record a failed attempt as it may be told; return the seconds until another, less than 0 for none.

        Whether an attempt took effect that was broken off is not known: where that matters, a person
        is asked.
        """
        run, address = frame.run, info.address
        frame.used(info.usage)
        if isinstance(error, TimeLimit | CutOff) and not self._never_began(error):
            if not self._plan.signature.is_async:
                run.note("step.discarded", address, {"attempt": info.attempt, "why": self.GIVEN_UP})
            if self._once:
                return self._doubt(run, address)
        wait = self._wait(run, info.attempt, error)
        note_failure(run, info, said, wait)
        return -1.0 if wait is None else wait

    def _wait(self, run: Run, attempt: int, error: Exception) -> float | None:
        """Return the seconds until another attempt; None when there is none."""
        retry = self._node.retry
        again = isinstance(error, (*retry.on, Rejected)) and not isinstance(error, ConfigError)
        return retry.wait(attempt, run.clock.chance()) if again and attempt < retry.attempts else None

    async def _rest(self, run: Run, address: str, tried: Tried, wait: float) -> None:
        if run.observe is not None:
            run.observe(StepRetrying(run.id, address, tried.failed, described(tried.error), wait))
        await run.commit()
        if wait:
            await run.clock.sleep(wait)

    async def _exhausted(self, frame: Frame, address: str, value: Any, tried: Tried) -> Attempted | Suspended:
        """Run the fallback, or fail the step."""
        if self._fallback is not None:
            inner = frame.inner(f"{address}/")
            output = await self._fallback(inner, value)
            if isinstance(output, Suspended):
                return output
            output = await self._left(frame, address, tried.failed, output)
            return Attempted(output, tried.failed, tried.usage, fallback=inner, paid=tried.usage)
        raise self.failure(frame.run, address, tried.failed, tried.error)

    def failure(self, run: Run, address: str, attempt: int, error: BaseException | None) -> StepFailed:
        """Return how a step's failure reaches the caller: with its place, and the original as its cause."""
        kind, text = told(error)
        place = {"step": self._plan.label, "address": address, "attempt": attempt}
        failed = KINDS[kind](text, **place, **quota_of(error))
        failed.__cause__ = error
        if run.observe is not None:
            run.observe(StepGaveUp(run.id, address, failed))
        return failed

    def fail_direct(
        self, run: Run, address: str, error: asyncio.CancelledError | SystemExit | Exception
    ) -> Suspended:
        """Say what the failure of an agent's only attempt means: a question, or the step's failure."""
        if isinstance(error, asyncio.CancelledError):
            raise_if_cancelled(error)
            error = CutOff(error)
        elif isinstance(error, SystemExit):
            error = Exited(error)
        if isinstance(error, PauseForHumanInput):
            return self.pause(run, address, error)
        if isinstance(error, PASSES):
            raise error
        info = StepInfo(run.id, address, 1, (), StepEffects(run))
        info.usage = NO_USAGE if isinstance(error, QuotaExceeded) else self.once.usage
        note_failure(run, info, error, None)
        raise self.failure(run, address, 1, error)

    def mistyped(self, output: Any) -> Rejected:
        """Return the complaint that an output is not of the declared type."""
        return Rejected(
            f"it gave {type_name(type(output))}, but is declared to give {type_name(self._plan.output_type)}"
        )

    def pause(self, run: Run, address: str, pause: PauseForHumanInput) -> Suspended:
        """Ask what a step asked by raising; the answer will be its output."""
        schema = self._plan.output_type if pause.schema is None else pause.schema
        return ask(
            run,
            address,
            "pause",
            pause.prompt,
            subject=pause.subject,
            schema=answer_codec(schema, address).schema(),
            type_name=importable(schema),
            actions=("edit", "deny") if pause.subject is None else ("approve", "edit", "deny"),
        )

    def _asked_before(self, run: Run, address: str) -> Attempted | Suspended | None:
        """Return what an earlier pause, or a doubt about an earlier start, means for this step."""
        inside = [asked(run, one) for one in run.waiting_inside.get(address, ()) if not answer_to(run, one)]
        if inside:
            return Suspended.together([one for one in inside if one is not None])
        notes = [note for note in run.noted(address) if note.kind in _SETTLES]
        if not notes:
            return None
        answer, last = answer_to(run, address), notes[-1]
        if last.kind == "request" and answer is None:
            return Suspended(approval(run.id, address, last.body))
        if last.kind == "request" and answer is not None:
            if last.body["kind"] == "in_doubt" and answer["action"] == "approve":
                return None
            return Attempted(accepted(answer, codec_for(self._plan.output_type), address))
        given_up = last.kind == "step.discarded" and last.body["why"] == self.GIVEN_UP
        if self._once and (last.kind == "step.started" or given_up):
            return self._doubt(run, address)
        return None

    def _doubt(self, run: Run, address: str) -> Suspended:
        """Ask a person whether a step took effect that may run at most once."""
        return ask(
            run,
            address,
            "in_doubt",
            f"{address} was started, and whether it took effect is not known: approve runs it (again); "
            "edit gives its output, if it did take effect; deny fails the run",
            schema=codec_for(self._plan.output_type).schema(),
        )

    def _never_began(self, error: BaseException) -> bool:
        """Say whether an attempt was broken off while it still waited for a thread."""
        return not self._plan.signature.is_async and never_began(error)

    def _discard(self, frame: Frame, info: StepInfo, why: str) -> None:
        """Note that an attempt was broken off, where that matters: what it cost, and that it may go on.

        A call in a thread cannot be stopped: it may still end, and its result is discarded.
        """
        in_thread = why == self.GIVEN_UP and not self._plan.signature.is_async
        if not (info.usage or self._once or in_thread):
            return
        body: dict[str, Any] = {"attempt": info.attempt, "why": why}
        if info.usage:
            frame.used(info.usage)
            body["usage"] = usage_parts(info.usage)
        frame.run.note("step.discarded", info.address, body)
