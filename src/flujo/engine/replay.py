"""Replaying: a recorded run goes by again, and every effect is answered from its journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from pydantic_core import from_json

from flujo.engine.build import Build
from flujo.engine.carry import facts_of
from flujo.engine.differences import Difference, ReplayReport, compared
from flujo.engine.fork import revising
from flujo.engine.hooks import Hooks
from flujo.engine.opened import Opener
from flujo.engine.past import Past, PastClock, Remake
from flujo.engine.patch import Tracker, restore
from flujo.engine.requests import Asked, accepted, pending
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.engine.threads import Threads
from flujo.engine.walk import compile_walk
from flujo.errors import PlanChanged, RecordError, RunError
from flujo.journal.store import JournalStore
from flujo.pipeline.info import StepInfo
from flujo.pipeline.waits import StopPipeline
from flujo.plan.codec import Codec, Unrecordable, codec_for
from flujo.plan.nodes import PlanNode, PlanStep
from flujo.plan.types import recorded_input

_CUT_OFF = frozenset({"failed", "stopped", "cancelled"})


async def replay(build: Build, opener: Opener, store: JournalStore | None, run_id: str) -> ReplayReport:
    """Let a recorded run go by again; see :meth:`flujo.Flujo.replay`."""
    known = await opener.find(run_id)
    await opener.check(known, take_over=True)
    assert store is not None  # or the run would not have been found
    return await Replay(build, store, await Past.of(store, run_id)).report()


class Replay:
    """One replay of one run.

    The walk is that of a run. But steps do not run: what the journal has no answer for is as good as
    waiting, so that what stands beside it still goes by. What the engine decides is made again and
    compared with what was recorded. Nothing is written.

    Args:
        build: What the runner's walks are compiled with.
        store: Where the run is recorded.
        past: The run.
    """

    def __init__(self, build: Build, store: JournalStore, past: Past) -> None:
        self._plan = build.plan
        self._build = build
        self._past = past
        self._remake = Remake(store, past.record.run_id)
        self._differences: list[Difference] = []
        self._unanswered: list[str] = []
        self._answered: set[str] = set()
        quiet = Hooks(*((_look_away,) if one else () for one in _moments(build.hooks)))
        self._walk = compile_walk(build.plan.root, replace(build, hooks=quiet, around=self._around))
        self._run = Run(
            past.record.run_id,
            clock=PastClock(past),
            threads=Threads(),
            recall=past.recall(),
            recorder=self._remake,
            observe=None,
            cache={},
        )
        self._run.parks = True

    async def report(self) -> ReplayReport:
        """Let the run go by, and return what came of it."""
        came, cut_off = await self._walked()
        await self._compare_decisions()
        if came is not None:
            if not cut_off and not self._differences:
                self._find_left_out()
            await self._compare_ending(came)
        past = self._past
        effects = sum(1 for event in past.events if event.kind == "effect" and self._inside(event.address))
        return ReplayReport(
            run_id=past.record.run_id,
            pipeline=past.record.pipeline,
            status=past.record.status,
            same_plan=past.record.fingerprint == self._plan.fingerprint,
            differences=tuple(self._differences),
            unanswered=tuple(self._unanswered),
            steps=len(self._answered),
            effects=effects,
            decisions=len(self._remake.made),
        )

    def _inside(self, address: str) -> bool:
        return address.partition("#")[0] in self._answered

    async def _walked(self) -> tuple[dict[str, Any] | None, bool]:
        """Return how the run would end (None where it cannot be told), and whether something broke it off."""
        plan, facts = self._plan, self._past.facts
        try:
            context = restore(plan.context_model, facts["context"])
            codec = codec_for(recorded_input(plan.root.input_type))
            value = await self._remake.value(facts, codec, "")
            self._frame = Frame(self._run, "", context, Tracker(context), {})
            outcome = await self._walk(self._frame, value)
        except StopPipeline as stop:
            return {"status": "stopped", "reason": stop.reason}, True
        except PlanChanged as changed:
            for address in changed.addresses:
                self._differ(address, "type", changed.message)
            return None, True
        except RunError as error:
            return {"status": "failed", "error": facts_of(error)}, True
        if isinstance(outcome, Suspended):
            waits = sorted(request.address for request in outcome.requests)
            return {"status": "paused", "pending": waits}, False
        return self._completed(outcome), False

    def _completed(self, output: Any) -> dict[str, Any]:
        codec = codec_for(self._plan.root.output_type)
        try:
            written = from_json(b"{" + self._remake.written(codec.dump(output)) + b"}")
        except Unrecordable as error:
            name = self._plan.name
            return {
                "status": "failed",
                "error": facts_of(RecordError(error.message, step=name, address=name, fix=error.fix)),
            }
        return {"status": "completed", **written}

    # What stands around each node

    def _around(self, node: PlanNode, compiled: Callable[[PlanNode], Walk]) -> Walk:
        if not node.path:
            return compiled(node)
        stands_in = self._standing_in(node) if isinstance(node, PlanStep) else node
        walk, label = revising(node, compiled(stands_in)), node.label
        if not isinstance(node, PlanStep):
            return walk

        async def answered(frame: Frame, value: Any) -> Any:
            address = frame.prefix + label
            output = await walk(frame, value)
            if output.__class__ is not Suspended and address in self._past.steps:
                self._answered.add(address)
            return output

        return answered

    def _standing_in(self, node: PlanStep) -> PlanStep:
        """Return a step whose agent is never called: what stands in its place tells that nothing answers."""
        signature = node.signature
        info = signature.info or "info"

        async def absent(*args: Any, **more: Any) -> Any:
            told: StepInfo = more[info]
            self._denied(told.address)
            if told.address not in self._unanswered:
                self._unanswered.append(told.address)
            raise Asked(Suspended())

        return replace(node, signature=replace(signature, call=absent, is_async=True, info=info))

    def _denied(self, address: str) -> None:
        """Raise what a step raised that asked a person who denied: that leaves no event of its own."""
        for asked, notes in self._run.notes.items():
            if asked.startswith(f"{address}#") and notes[-1].kind == "answer":
                answer = notes[-1].body
                if answer["action"] == "deny":
                    accepted(answer, _ANYTHING, asked)

    # What is compared

    async def _compare_decisions(self) -> None:
        complete = self._past.record.status == "completed"
        for kind, address, body in self._remake.made:
            recorded = self._past.decided.get(address)
            if recorded is not None:
                found = compared(address, kind, from_json(recorded.body), from_json(body))
                if found is not None:
                    self._differences.append(found)
            elif complete:
                self._differ(address, "new", "nothing was recorded here", None, from_json(body))
        if complete:
            for address in self._unanswered:
                self._differ(address, "new", "the recorded run did not come here")

    def _find_left_out(self) -> None:
        """Note what was recorded and was not come by."""
        made = {address for _, address, _ in self._remake.made}
        for event in self._past.events:
            known = made if event.address in self._past.decided else self._answered
            if event.address in known:
                continue
            if event.address in self._past.decided or event.address in self._past.steps:
                self._differ(event.address, "removed", "it was recorded, and the replay does not come here")

    async def _compare_ending(self, came: dict[str, Any]) -> None:
        """Compare how the run came out; what a hook put in the place of its result is not made again."""
        past = self._past
        recorded: dict[str, Any] = {"status": past.record.status, "reason": "", **past.ending}
        came = {"reason": "", **came}
        status = recorded["status"]
        if status == "paused":
            waits = sorted(one.address for one in pending(past.recall().notes, past.record.run_id))
            recorded["pending"] = waits
        if status in ("running", "queued", "cancelled") or self._build.hooks.on_end:
            return
        if status in _CUT_OFF and came["status"] == "paused" and self._unanswered:
            return  # it ended in the middle of a step, which recorded nothing
        if came["status"] != status:
            message = f"it is {status}, and comes out as {came['status']} now"
            self._differ("", "status", message, recorded, came)
            return
        for member, kind in _ENDING:
            before, now = _told(recorded.get(member)), _told(came.get(member))
            if before != now:
                self._differ("", kind, f"its {member} differs", before, now)
                return
        await self._compare_usage(status)

    async def _compare_usage(self, status: str) -> None:
        """Compare what was used with what the journal says that each part used."""
        if status not in ("completed", "paused"):
            return
        recorded, now = self._past.used(), self._frame.usage
        if recorded != (now or recorded.__class__()):
            self._differ("", "usage", "another usage is added up", str(recorded), str(now))

    def _differ(self, address: str, kind: Any, message: str, recorded: Any = None, now: Any = None) -> None:
        self._differences.append(Difference(address, kind, message, recorded, now))


_ENDING = (("output", "output"), ("output_ref", "output"), ("error", "status"), ("reason", "status"),
           ("pending", "pending"))  # fmt: skip
_ANYTHING: Codec = codec_for(Any)


def _told(facts: Any) -> Any:
    """Return an error as it was told, without what was noted on it later."""
    match facts:
        case {"notes": _, **told}:
            return cast("dict[str, Any]", told)
        case _:
            return facts


def _look_away(*shown: Any) -> None:
    """Stand in for a hook: whether there is one matters to what is recorded, and none is called."""


def _moments(hooks: Hooks) -> tuple[tuple[Any, ...], ...]:
    return hooks.on_start, hooks.before_step, hooks.after_step, hooks.on_end
