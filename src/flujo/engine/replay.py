"""Replaying: a recorded run goes by again, and every effect is answered from its journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, cast

from pydantic_core import from_json

from flujo.engine.build import Around, Build, door_for
from flujo.engine.carry import facts_of
from flujo.engine.differences import Difference, ReplayReport, compared
from flujo.engine.fork import record_anew, revising
from flujo.engine.hooks import Hooks
from flujo.engine.matching import Matching, asks
from flujo.engine.opened import Opener
from flujo.engine.past import DECIDED, Past, PastClock, Remake
from flujo.engine.patch import Tracker, restore
from flujo.engine.requests import Asked, accepted, pending
from flujo.engine.run import Frame, Run, Suspended, Walk, node_at
from flujo.engine.threads import Threads
from flujo.engine.walk import compile_walk
from flujo.errors import PlanChanged, RecordError, RunError
from flujo.journal.events import Event, EventKind
from flujo.journal.store import JournalStore
from flujo.pipeline.info import StepInfo
from flujo.pipeline.waits import StopPipeline
from flujo.plan.codec import Codec, Unrecordable, codec_for
from flujo.plan.nodes import PlanNode, PlanStep
from flujo.plan.plan import NUMBER, segment_of
from flujo.plan.types import recorded_input

GoOn = Callable[[str], Awaitable[Any]]
_CUT_OFF = frozenset({"failed", "stopped", "cancelled"})


async def replay(build: Build, opener: Opener, run_id: str, go_on: GoOn | None = None) -> ReplayReport:
    """Let a recorded run go by again; see :meth:`flujo.Flujo.replay`.

    Args:
        build: What the runner's walks are compiled with.
        opener: Finds the run.
        run_id: The run.
        go_on: Carries a new run on from where something differs; None where none is asked for.
    """
    await opener.find(run_id)
    store = opener.store
    assert store is not None  # or the run would not have been found
    past = await Past.of(store, run_id)
    replaying = Replay(build, store, past)
    report = await replaying.report()
    if go_on is None or report.first is None:
        return report
    first = report.first
    if replaying.lost:
        raise PlanChanged(first.message, addresses=(first.address,), fix="begin a new run")
    name = await record_anew(build.plan, store, past, replaying.kept(), first.address, now=opener.now)
    return replace(report, live=await go_on(name))


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
        self._store = store
        self._remake = Remake(store, past.record.run_id, self._see)
        self._differences: list[Difference] = []
        self._unanswered: list[str] = []
        self._answered: set[str] = set()
        self._unreached: list[str] = []
        self._gone_by: set[str] = set()  # nodes that came to an end
        self._entered: set[str] = set()
        self.lost = False
        self._equal: set[str] = set()  # what was decided anew as it was recorded
        self._walk = whole_walk(quiet(build, self._around))
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
        self._at = node_at(build.plan, past.record.run_id, self._run.notes, lenient=True)

    async def report(self) -> ReplayReport:
        """Let the run go by, and return what came of it."""
        before = from_json(await self._store.payload(bytes.fromhex(self._past.made_by["plan_ref"])))
        self._matching = Matching(self._plan, self._past, self._store, before)
        came, cut_off = await self._walked()
        left = [] if cut_off else self._left_out()
        self._tell_new(bool(left))
        self._tell_left_out(left)
        if came is not None and not self._differences:
            self._compare_ending(came)
        past = self._past
        effects = sum(1 for event in past.events if event.kind == "effect" and self._inside(event.address))
        return ReplayReport(
            run_id=past.record.run_id,
            pipeline=past.record.pipeline,
            status=past.record.status,
            same_plan=past.made_by["fingerprint"] == self._plan.fingerprint,
            differences=tuple(self._differences),
            unanswered=tuple(self._unanswered),
            unreached=tuple(self._unreached),
            steps=len(self._answered),
            effects=effects,
            decisions=len(self._remake.made),
        )

    def _inside(self, address: str) -> bool:
        return address.partition("#")[0] in self._answered

    async def _walked(self) -> tuple[dict[str, Any] | None, bool]:
        """Return how the run would end (None where it cannot be told), and whether something broke it off."""
        plan, facts = self._plan, self._past.facts
        if facts.get("withheld"):  # it ended before it began
            return {"status": self._past.record.status, **self._past.ending}, True
        self._entered.add("")
        try:
            context = restore(plan.context_model, facts["context"])
            codec = codec_for(recorded_input(plan.root.input_type))
            value = await self._remake.value(facts, codec, "")
            self._frame = Frame(self._run, "", context, Tracker(context), {})
            self._matching.gave("", value)
            outcome = await self._walk(self._frame, value)
        except StopPipeline as stop:
            return {"status": "stopped", "reason": stop.reason}, True
        except PlanChanged as changed:
            self.lost = True
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
        stands_in = standing_in(node, self._reached) if isinstance(node, PlanStep) else node
        walk, label = compiled(stands_in), node.label

        async def answered(frame: Frame, value: Any) -> Any:
            address = frame.prefix + label
            self._entered.add(address)
            if asks(node) and not await self._answers(node, address, frame, value):
                return Suspended()
            try:
                output = await walk(frame, value)
            except PlanChanged as changed:
                self._diverge(Difference(address, "type", changed.message))
                return Suspended()
            if output.__class__ is not Suspended:
                self._came_by(node, address, output)
            return output

        return revising(node, answered)

    async def _answers(self, node: PlanNode, address: str, frame: Frame, value: Any) -> bool:
        """Say whether what was recorded here answers what is asked for now; note why not."""
        run, past = self._run, self._past
        if address in past.steps or address in past.decided or self._run.noted(address):
            found = await self._matching.difference(node, address, frame, value)
            if found is not None:
                self._diverge(found)
            return found is None
        if isinstance(node, PlanStep) and self._matching.is_new(address):
            moved = await self._matching.moved(node, address, frame, value)
            if moved is not None:
                run.done[address] = past.steps[moved].body
        return True

    def kept(self) -> Iterator[tuple[str, Event]]:
        """Yield what was answered from the journal, for a new run to go on from, and where it stands there.

        What the engine decides is made again, and what still waits is asked anew.
        """
        moved = {then: now for now, then in self._matching.moves.items()}
        for event in self._past.events:
            at = moved.get(event.address, event.address)
            whole = at.partition("#")[0]
            last = self._together(at)[-1]  # what streamed together goes on together, or begins anew
            if (event.kind == "step.completed" and {at, last} <= self._answered) or (
                event.kind in _ON_THE_WAY and whole in self._gone_by and event.address == at
            ):
                yield at, event

    def _together(self, address: str) -> tuple[str, ...]:
        """Return the addresses of what is carried out together with the step that something belongs to."""
        whole = address.partition("#")[0]
        return segment_of(self._at(whole), whole)

    def _came_by(self, node: PlanNode, address: str, output: Any) -> None:
        self._gone_by.add(address)
        decided = address in self._past.decided
        if isinstance(node, PlanStep) and address in self._run.done:
            self._answered.add(address)
            self._matching.gave(address, output)
        elif address in self._equal or not decided:
            self._matching.gave(address, output)

    def _diverge(self, difference: Difference) -> None:
        """Note a difference that nothing after it can be answered for."""
        self._differences.append(difference)
        self._unanswered.append(difference.address)

    def _reached(self, address: str) -> None:
        """Note that a step would run now."""
        self._denied(address)
        if address not in self._unanswered:
            self._unanswered.append(address)

    def _denied(self, address: str) -> None:
        """Raise what a step raised that asked a person who denied: that leaves no event of its own."""
        for asked, notes in self._run.notes.items():
            if asked.startswith(f"{address}#") and notes[-1].kind == "answer":
                answer = notes[-1].body
                if answer["action"] == "deny":
                    accepted(answer, _ANYTHING, asked)

    # What is compared

    def _see(self, kind: EventKind, address: str, body: bytes) -> None:
        """Compare what the engine decides anew with what was recorded."""
        recorded, now = self._past.decided.get(address), from_json(body)
        if recorded is not None:
            found = compared(address, kind, from_json(recorded.body), now)
            if found is None:
                self._equal.add(address)
            else:
                self._differences.append(found)
        elif self._past.record.status == "completed":
            self._differ(address, "new", "nothing was recorded here", None, now)

    def _tell_new(self, left_out: bool) -> None:
        """Note the steps that nothing was recorded for, unless the run had not come so far."""
        told = {one.address for one in self._differences}
        for address in self._unanswered:
            late = self._past.record.status != "completed"
            if address in told or (late and not (left_out and self._matching.is_new(address))):
                continue
            self._differ(address, "new", "the recorded run did not come here")

    def _left_out(self) -> list[str]:
        """Return what was recorded and was not come by."""
        made = {address for _, address, _ in self._remake.made}
        come_by = self._answered | self._matching.claimed
        past = self._past
        return [
            event.address
            for event in past.events
            if (event.kind in DECIDED and event.address not in made)
            or (event.kind == "step.completed" and event.address not in come_by)
            or (event.kind == "request" and self._entered.isdisjoint(self._together(event.address)))
        ]

    def _tell_left_out(self, left: list[str]) -> None:
        """Note what is gone; what stands behind a difference cannot be told."""
        told = {one.address for one in self._differences}
        behind = bool(told)
        for address in left:
            if address in told:
                continue
            if behind and not self._gone(address):
                self._unreached.append(address)
            else:
                self._differ(address, "removed", "it was recorded, and the replay does not come here")

    def _gone(self, address: str) -> bool:
        if self._matching.joined(address):
            return False
        return NUMBER.sub("[]", address).removesuffix("[]") not in self._plan.nodes

    def _compare_ending(self, came: dict[str, Any]) -> None:
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
        self._compare_usage(status)

    def _compare_usage(self, status: str) -> None:
        """Compare what was used with what the journal says of each part that is not in the middle."""
        if status not in ("completed", "paused"):
            return
        middle = {*self._unanswered, *self._past.waiting()}  # not called here, so nothing is added up
        recorded, now = self._past.used(middle), self._frame.usage
        if recorded != (now or recorded.__class__()):
            self._differ("", "usage", "another usage is added up", str(recorded), str(now))

    def _differ(self, address: str, kind: Any, message: str, recorded: Any = None, now: Any = None) -> None:
        self._differences.append(Difference(address, kind, message, recorded, now))


def standing_in(node: PlanStep, reached: Callable[[str], None]) -> PlanStep:
    """Return a step whose agent is never called: where it would be, the step is as good as waiting.

    Args:
        node: The step.
        reached: Is told the address.
    """
    signature = node.signature
    info = signature.info or "info"

    async def absent(*args: Any, **more: Any) -> Any:
        told: StepInfo = more[info]
        reached(told.address)
        raise Asked(Suspended())

    return replace(node, signature=replace(signature, call=absent, is_async=True, info=info))


_ON_THE_WAY = frozenset(
    {"step.started", "step.attempt", "step.discarded", "request", "answer", "timer", "revised", "mutated"}
)
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


def quiet(build: Build, around: Around) -> Build:
    """Return what a walk is compiled with that asks no hook and no policy, and counts on no quota."""
    hooks = Hooks(*((_look_away,) if one else () for one in _moments(build.hooks)))
    guards = None if build.guards is None else build.guards.silent()
    return replace(build, hooks=hooks, quotas=None, limited=False, guards=guards, around=around, replays=True)


def whole_walk(build: Build) -> Walk:
    """Return the walk of whole runs, with what was said of where they begin and end."""
    walk, door = compile_walk(build.plan.root, build), door_for(build)
    return walk if door is None else door.around(walk)


def _look_away(*shown: Any) -> None:
    """Stand in for a hook: whether there is one matters to what is recorded, and none is called."""


def _moments(hooks: Hooks) -> tuple[tuple[Any, ...], ...]:
    return hooks.on_start, hooks.before_step, hooks.after_step, hooks.on_end
