"""What other policies would have said of runs that went by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import from_json

from flujo.engine.past import Past
from flujo.governance.cedar import CedarPolicy
from flujo.governance.cedar_cases import stricter
from flujo.governance.cedar_reading import Missing, Reading, is_of_entry
from flujo.governance.cedar_request import DATA, OBSERVE
from flujo.journal.events import Event
from flujo.journal.store import JournalStore, RunQuery
from flujo.pipeline.policy import PolicyDecision, Verdict
from flujo.plan.plan import Plan

Change = Literal["newly denied", "newly asked", "newly allowed"]
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One place where other policies decide otherwise.

    Attributes:
        run_id: The run.
        address: Where in it.
        point: Where in the course of an agent.
        before: What was decided.
        now: What would be.
        rule: By which rules.
        reason: Why.
    """

    run_id: str
    address: str
    point: str
    before: str
    now: str
    rule: str
    reason: str


@dataclass(slots=True)
class Simulation:
    """What became of recorded verdicts under other policies.

    Attributes:
        runs: How many runs were looked at.
        judged: How many verdicts were judged anew.
        unknown: How many could not be, since the journal does not hold what policies look at.
        why: The same by what it does not hold.
        entered: How many were about what entered a run besides its input, or its context: policies in Cedar
            are not asked about that.
        changes: How many are otherwise, by what changed.
        examples: Some of them, the newest runs first.
        unmatched: The ids of the rules that decided nothing.
    """

    runs: int = 0
    judged: int = 0
    unknown: int = 0
    why: dict[str, int] = field(default_factory=dict[str, int])
    entered: int = 0
    changes: dict[Change, int] = field(default_factory=dict[Change, int])
    examples: dict[Change, list[Example]] = field(default_factory=dict[Change, list[Example]])
    unmatched: Sequence[str] = ()

    def add(self, change: Change, example: Example) -> None:
        """Count a verdict that is otherwise."""
        self.changes[change] = self.changes.get(change, 0) + 1
        examples = self.examples.setdefault(change, [])
        if len(examples) < _EXAMPLES:
            examples.append(example)


async def simulate(
    store: JournalStore, policy: CedarPolicy, *, since: int | None = None, plan: Plan | None = None
) -> Simulation:
    """Judge recorded runs anew by other policies; nothing runs, and nothing is written.

    What the policy of the same name decided in a run is compared; where the run had none, what was decided in
    all.

    Args:
        store: Holds the runs.
        policy: The other policies.
        since: Only runs begun since, in microseconds since the Unix epoch.
        plan: The pipeline: only its runs are judged, and their values are of their declared types again.
    """
    found, decided = Simulation(), set[str]()
    async for run_id in _runs(store, since, "" if plan is None else plan.name):
        past = await Past.of(store, run_id)
        found.runs += 1
        reading = Reading(store, past, plan, await _digests(store, past))
        for event in past.events:
            if event.kind == "verdict":
                decided.update(await _judge(reading, policy, event, found))
    found.unmatched = [rule.id for rule in policy.bundle.rules.values() if rule.id not in decided]
    return found


async def _runs(store: JournalStore, since: int | None, pipeline: str) -> AsyncIterator[str]:
    after = ""
    while True:
        page = await store.runs(RunQuery(since=since, pipeline=pipeline, limit=200, after=after))
        for record in page.runs:
            yield record.run_id
        if not page.next:
            return
        after = page.next


async def _digests(store: JournalStore, past: Past) -> Mapping[str, str]:
    return from_json(await store.payload(bytes.fromhex(past.made_by["plan_ref"])))


async def _judge(reading: Reading, policy: CedarPolicy, event: Event, found: Simulation) -> Sequence[str]:
    """Judge one verdict anew; return the rules that decided."""
    body: dict[str, Any] = from_json(event.body)
    if is_of_entry(event.address, body):
        found.entered += 1
        return ()
    decision = await _anew(reading, policy, event, body)
    if isinstance(decision, Missing):
        found.unknown += 1
        found.why[decision.what] = found.why.get(decision.what, 0) + 1
        return ()
    if decision is None:
        return ()
    found.judged += 1
    before, now = _before(body, policy.id), stricter(decision)
    change = _change(before, now)
    if change is not None:
        run_id = reading.past.record.run_id
        found.add(
            change,
            Example(
                run_id, event.address, body["point"], before.value, now.value, decision.rule, decision.reason
            ),
        )
    return decision.rule.split(", ")


async def _anew(
    reading: Reading, policy: CedarPolicy, event: Event, body: Mapping[str, Any]
) -> PolicyDecision | Missing | None:
    """Return what the policies decide now; None where others were asked."""
    mentions = policy.bundle.mentions
    if body["point"] == OBSERVE:  # it is about the policies of one name alone
        return reading.observing(policy, event) if body["by"][0]["policy"] == policy.id else None
    looks = mentions is None or DATA[body["point"]] in mentions
    data = await reading.data(event, body) if looks else None
    if isinstance(data, Missing):
        return data
    if body["point"].endswith("_model") and (mentions is None or mentions & {"model", "region"}):
        return Missing("which model was asked")
    context = await reading.place(event, body, with_context=mentions is None or "context" in mentions)
    return policy.judge(context, data)


def _before(body: Mapping[str, Any], policy: str) -> Verdict:
    """Return what the policy of this name decided; what all came to, where there was none."""
    for said in body["by"]:
        if said["policy"] == policy:
            asks = {"approve", "approve_by_two"} & set(said.get("obligations", ()))
            verdict = Verdict(said["verdict"])
            return Verdict.ESCALATE if asks and verdict is not Verdict.DENY else verdict
    return Verdict(body["verdict"])


def _change(before: Verdict, now: Verdict) -> Change | None:
    if (before is Verdict.DENY) != (now is Verdict.DENY):
        return "newly denied" if now is Verdict.DENY else "newly allowed"
    if (before is Verdict.ESCALATE) != (now is Verdict.ESCALATE):
        return "newly asked" if now is Verdict.ESCALATE else "newly allowed"
    return None
