"""Carrying open runs over to changed code, where what they did holds there, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import from_json, to_json

from flujo.engine.build import Build
from flujo.engine.differences import ReplayReport
from flujo.engine.opened import Opener, Stored
from flujo.engine.past import Past, PastClock, Remake
from flujo.engine.patch import Tracker, restore
from flujo.engine.record import Recall
from flujo.engine.replay import Replay, quiet, standing_in, whole_walk
from flujo.engine.requests import pending
from flujo.engine.run import Frame, NodeAt, Run, Suspended, Walk, node_at
from flujo.engine.threads import Threads
from flujo.errors import PlanChanged, ResumeError, RunError
from flujo.journal.store import ENDED, JournalStore, StatusChange, queue_of
from flujo.pipeline.waits import StopPipeline
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanBranch, PlanNode, PlanStep
from flujo.plan.plan import Plan, differing_paths
from flujo.plan.types import recorded_input

Verdict = Literal["safe", "needs a decision", "impossible"]


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """Whether an open run may go on with changed code.

    Attributes:
        run_id: The run.
        verdict: ``safe``: what it did, the code would have done. ``needs a decision``: it can go on, but
            something that it did would be done otherwise now. ``impossible``: it cannot be carried on.
        reason: Why it is impossible; empty where it is not.
        addresses: The addresses at which the two plans differ.
        policies: The policies that it went under and would go on without.
        replay: What a replay on the code found.
        upgraded: Whether the run was carried over.
    """

    run_id: str
    verdict: Verdict
    reason: str
    addresses: tuple[str, ...]
    replay: ReplayReport
    policies: tuple[str, ...] = ()
    upgraded: bool = False

    @property
    def told(self) -> list[str]:
        """What somebody has to decide about, in words."""
        without = [f"it would go on without the policies {', '.join(self.policies)}"] if self.policies else []
        return without + [str(one) for one in self.replay.differences]


async def upgrade(build: Build, opener: Opener, run_id: str, *, check: bool, allow: bool) -> UpgradeReport:
    """Say whether a run may go on with changed code, and carry it over; see :meth:`flujo.Flujo.upgrade`."""
    known = await opener.find(run_id)
    store = opener.store
    assert store is not None  # or the run would not have been found
    if known.record.status in ENDED:
        raise ResumeError(
            f"run {run_id} has ended already: {known.record.status}", fix="nothing is left to go on"
        )
    past = await Past.of(store, run_id)
    report = await Replay(build, store, past).report()
    reason = await _obstacle(build, store, past, known)
    missing = opener.missing_policies(known)
    holds = report.equal and not missing
    verdict: Verdict = "impossible" if reason else "safe" if holds else "needs a decision"
    before: dict[str, str] = from_json(await store.payload(bytes.fromhex(known.made_by["plan_ref"])))
    addresses = tuple(differing_paths(before, build.plan.digests))
    found = UpgradeReport(run_id, verdict, reason, addresses, report, missing)
    if check or (report.same_plan and not missing):
        return found
    if verdict == "impossible" or (verdict != "safe" and not allow):
        raise _refused(found)
    opener.check_owner(known)
    await _record(build.plan, opener, known, found)
    return replace(found, upgraded=True)


def _refused(found: UpgradeReport) -> PlanChanged:
    if found.verdict == "impossible":
        return PlanChanged(
            f"run {found.run_id} cannot be carried over: {found.reason}",
            addresses=found.addresses,
            fix="resume it with the code that it began with, or cancel it",
        )
    listed = "; ".join(found.told)
    return PlanChanged(
        f"whether run {found.run_id} may be carried over needs a decision: {listed}",
        addresses=found.addresses,
        fix="if what it did may stand, allow it: allow=True, or --allow",
    )


async def _record(plan: Plan, opener: Opener, known: Stored, found: UpgradeReport) -> None:
    """Record that the run goes by another plan from here on, and ask that plan's workers to carry it on."""
    recorder = opener.writer(known)
    body = {
        "from": known.made_by["fingerprint"],
        "fingerprint": plan.fingerprint,
        "plan_ref": recorder.keep(to_json(plan.digests)),
        "verdict": found.verdict,
        "addresses": list(found.addresses),
        "policies": opener.policies,
    }
    recorder.append("run.upgraded", "", to_json(body))
    recorder.change(StatusChange("paused" if known.record.status == "paused" else "queued"))
    recorder.ask_for(known.job._replace(queue=queue_of(known.record.pipeline, plan.fingerprint)))
    await recorder.commit(sure=True)


async def _obstacle(build: Build, store: JournalStore, past: Past, known: Stored) -> str:
    """Return why a run cannot be carried on by a plan; empty where it can.

    It is walked as a resume would walk it, from the live part of its journal, with no step called.
    """
    try:
        at = node_at(build.plan, past.record.run_id, known.recall.notes)
    except PlanChanged as changed:
        return changed.message
    lost = _lost_case(at, known)
    if lost:
        return lost
    reached: list[str] = []
    try:
        outcome = await _walked(build, store, past, known, reached)
    except PlanChanged as changed:
        return changed.message
    except (RunError, StopPipeline):
        return ""  # it would end there; the replay tells whether it should
    still = {one.address for one in outcome.requests} if isinstance(outcome, Suspended) else set[str]()
    for one in pending(known.recall.notes, past.record.run_id):
        gone = at(one.address.partition("#")[0]) is None
        if gone or not (one.address in still or reached):  # a step that would run first may lead there
            return f"it waits for an answer at {one.address!r}, where the code does not come"
    return ""


def _lost_case(at: NodeAt, known: Stored) -> str:
    for event in known.events:
        node = at(event.address)
        if event.kind == "choice" and isinstance(node, PlanBranch):
            case = from_json(event.body)["output"]
            if case not in node.cases:
                return f"it chose the case {case!r} at {event.address!r}, which is gone"
    return ""


async def _walked(build: Build, store: JournalStore, past: Past, known: Stored, reached: list[str]) -> Any:
    """Walk a run as a resume would, noting the steps that would run; return what the walk gives."""

    def around(node: PlanNode, compiled: Callable[[PlanNode], Walk]) -> Walk:
        return compiled(standing_in(node, reached.append) if isinstance(node, PlanStep) else node)

    remake = Remake(store, past.record.run_id, lambda kind, address, body: None)
    plan, events = build.plan, known.events
    run = Run(
        past.record.run_id,
        clock=PastClock(past),
        threads=Threads(),
        recall=Recall.of(events),
        recorder=remake,
        observe=None,
        cache={},
    )
    run.parks = True
    context = restore(plan.context_model, past.facts["context"])
    value = await remake.value(past.facts, codec_for(recorded_input(plan.root.input_type)), "")
    walk = whole_walk(quiet(build, around))
    return await walk(Frame(run, "", context, Tracker(context), {}), value)
