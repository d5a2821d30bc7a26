"""What other policies would have said of runs that went by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import from_json

from flujo.engine.flow import Flow
from flujo.engine.identity import principal_of
from flujo.engine.past import Past
from flujo.errors import ConfigError
from flujo.governance.cedar import CedarPolicy
from flujo.governance.cedar_cases import stricter
from flujo.governance.cedar_place import ToldRun
from flujo.governance.cedar_request import DATA
from flujo.journal.events import Event
from flujo.journal.store import JournalStore, RunQuery
from flujo.pipeline.labels import tenant_label
from flujo.pipeline.policy import NOBODY, PolicyContext, Verdict
from flujo.plan.codec import codec_for
from flujo.plan.plan import NUMBER, Plan
from flujo.plan.types import recorded_input
from flujo.plan.unrecordable import Unrecordable

Change = Literal["newly denied", "newly asked", "newly allowed"]
_UNKNOWN = object()
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
        changes: How many are otherwise, by what changed.
        examples: Some of them, the newest runs first.
        unmatched: The ids of the rules that decided nothing.
    """

    runs: int = 0
    judged: int = 0
    unknown: int = 0
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
        reading = _Reading(store, past, plan, await _digests(store, past))
        for event in past.events:
            if event.kind == "verdict" and event.address:
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


async def _judge(reading: _Reading, policy: CedarPolicy, event: Event, found: Simulation) -> Sequence[str]:
    """Judge one verdict anew; return the rules that decided."""
    body: dict[str, Any] = from_json(event.body)
    mentions = policy.bundle.mentions
    looks = mentions is None or DATA[body["point"]] in mentions
    data = await reading.data(event, body) if looks else None
    told_otherwise = mentions is None or mentions & {"model", "region"}
    if data is _UNKNOWN or (told_otherwise and body["point"].endswith("_model")):
        found.unknown += 1
        return ()
    context = reading.place(event, body, with_context=mentions is None or "context" in mentions)
    decision = policy.judge(context, data)
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


class _Reading:
    """Finds what policies were shown in a run, as far as its journal tells."""

    def __init__(
        self, store: JournalStore, past: Past, plan: Plan | None, digests: Mapping[str, str]
    ) -> None:
        self.past = past
        self._store = store
        self._plan = plan
        kinds = {} if plan is None else {path: node.kind for path, node in plan.nodes.items()}
        self._flow = Flow(past, store, digests, kinds)
        self._gave = {
            event.address: event for event in past.events if event.kind in ("effect", "step.completed")
        }

    def place(self, event: Event, body: Mapping[str, Any], *, with_context: bool) -> PolicyContext:
        """Return where a verdict stands."""
        begun = self.past.facts
        step = event.address.partition("#")[0]
        run = ToldRun(
            self.past.record.run_id,
            self.past.record.pipeline,
            principal_of(begun) or NOBODY,
            begun.get("tenant", ""),
            event.at,
            self._flow.context(step) if with_context else {},
        )
        facts = {"labels": body.get("labels", ())}
        label = NUMBER.sub("", step).rpartition("/")[2]
        holds = frozenset[str]((*body.get("holds", ()), *([tenant_label(run.tenant)] if run.tenant else ())))
        tool = body.get("tool", "")
        return PolicyContext(body["point"], label, event.address, run, tool, facts, holds)

    async def data(self, event: Event, body: Mapping[str, Any]) -> Any:
        """Return what was judged; ``_UNKNOWN`` where the journal does not hold it."""
        try:
            return await self._data(event, body)
        except (KeyError, ConfigError, Unrecordable, ValueError):  # of a plan that is another by now
            return _UNKNOWN

    async def _data(self, event: Event, body: Mapping[str, Any]) -> Any:
        point = body["point"]
        if point == "before_tool" and "judged" in body:
            return body["judged"]
        if point == "before_tool" and "judged_ref" in body:
            return from_json(await self._store.payload(bytes.fromhex(body["judged_ref"])))
        replaced = "output" in body or "output_ref" in body
        if replaced or point in ("before_model", "after_model", "before_tool"):
            return _UNKNOWN
        if point == "input":
            origin = self._flow.given(event.address)
            value = _UNKNOWN if origin is None else await self._flow.value(origin)
        elif event.address in self._gave and body["verdict"] != "deny":
            value = await self._output(from_json(self._gave[event.address].body))
        else:
            value = _UNKNOWN
        return (
            value if value is _UNKNOWN or point == "after_tool" else self._typed(event.address, point, value)
        )

    async def _output(self, facts: Mapping[str, Any]) -> Any:
        if "output_ref" in facts:
            return from_json(await self._store.payload(bytes.fromhex(facts["output_ref"])))
        return facts["output"]

    def _typed(self, address: str, point: str, value: Any) -> Any:
        """Return a value of JSON as what the step took or gave."""
        if self._plan is None:
            return value
        node = self._plan.nodes[NUMBER.sub("[]", address)]
        kind = recorded_input(node.input_type) if point == "input" else node.output_type
        return codec_for(kind).load_parsed(value)
