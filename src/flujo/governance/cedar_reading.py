"""What policies were shown in a run that went by, as far as its journal tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import from_json

from flujo.engine.flow import Flow, changed
from flujo.engine.identity import principal_of
from flujo.engine.past import Past
from flujo.errors import ConfigError
from flujo.governance.cedar import CedarPolicy
from flujo.governance.cedar_place import ToldRun
from flujo.journal.events import Event
from flujo.journal.store import JournalStore
from flujo.pipeline.labels import tenant_label
from flujo.pipeline.policy import NOBODY, PolicyContext, PolicyDecision
from flujo.plan.codec import codec_for
from flujo.plan.plan import NUMBER, Plan
from flujo.plan.types import recorded_input
from flujo.plan.unrecordable import Unrecordable

_ENTERING = ("agent_start", "input", "output")
_WHERE_RUNS_END = ("agent_start", "agent_end")


class Missing(NamedTuple):
    """Stands for what a journal does not hold.

    Attributes:
        what: What that is, in words.
    """

    what: str


def is_of_entry(address: str, body: Mapping[str, Any]) -> bool:
    """Say whether a verdict is about what entered a run besides its input, or its context by a step."""
    return (
        body["point"] in _ENTERING and address.rpartition("#")[2] in ("entry", "context") and "#" in address
    )


class Reading:
    """Finds what policies were shown in a run.

    Args:
        store: Holds the run.
        past: The run.
        plan: Its pipeline, where that is known: values are of their declared types then.
        digests: The digests of the plan that it was made by.
    """

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

    def observing(self, policy: CedarPolicy, event: Event) -> PolicyDecision:
        """Return whether policies would allow that they lose their force where a run asked for that."""
        begun = self.past.facts
        at = datetime.fromtimestamp(event.at / 1e6, UTC)
        return policy.may_observe(
            principal_of(begun) or NOBODY, self.past.record.pipeline, begun.get("tenant", ""), at
        )

    async def place(self, event: Event, body: Mapping[str, Any], *, with_context: bool) -> PolicyContext:
        """Return where a verdict stands."""
        begun, point = self.past.facts, body["point"]
        step = event.address.partition("#")[0]
        context: Mapping[str, Any] = {}
        if with_context:
            context = await self._left() if point == "agent_end" else self._flow.context(step)
        run = ToldRun(
            self.past.record.run_id,
            self.past.record.pipeline,
            principal_of(begun) or NOBODY,
            begun.get("tenant", ""),
            event.at,
            context,
        )
        facts = {"labels": body.get("labels", ())}
        label = NUMBER.sub("", step).rpartition("/")[2]
        holds = frozenset[str]((*body.get("holds", ()), *([tenant_label(run.tenant)] if run.tenant else ())))
        tool = body.get("tool", "")
        return PolicyContext(point, label, event.address, run, tool, facts, holds)

    async def _left(self) -> Mapping[str, Any]:
        """Return the context that the run ended with."""
        bodies = [from_json(event.body) for event in await self._store.live_events(self.past.record.run_id)]
        return changed(self.past.facts["context"], [body["patch"] for body in bodies if body.get("patch")])

    async def data(self, event: Event, body: Mapping[str, Any]) -> Any:
        """Return what was judged, or what the journal does not hold of it."""
        try:
            found = await self._data(event, body)
            point = body["point"]
            if isinstance(found, Missing) or point in ("before_tool", "after_tool"):
                return found
            return self._typed(event.address, point, found)
        except (KeyError, ConfigError, Unrecordable, ValueError):
            return Missing("values of the types of the pipeline, which is another by now")

    async def _data(self, event: Event, body: Mapping[str, Any]) -> Any:
        point = body["point"]
        if point.endswith("_model"):
            return Missing("what is said to models, and by them")
        if point == "before_tool":
            return await self._arguments(body)
        if "output" in body or "output_ref" in body or self._replaced_first(body):
            return Missing("what was redacted")
        edited = self._edited(event, point)
        if edited is not None:
            return edited["value"]
        if point in _WHERE_RUNS_END:
            return await self._whole(point, body)
        if point == "input":
            origin = self._flow.given(event.address)
            return Missing("what was given") if origin is None else await self._flow.value(origin)
        if event.address not in self._gave or body["verdict"] == "deny":
            return Missing("what was denied")
        return await self._output(from_json(self._gave[event.address].body))

    async def _arguments(self, body: Mapping[str, Any]) -> Any:
        if "judged" in body:
            return body["judged"]
        if "judged_ref" in body:
            return from_json(await self._store.payload(bytes.fromhex(body["judged_ref"])))
        return Missing("the arguments of calls that were denied or redacted, or simply allowed")

    def _replaced_first(self, body: Mapping[str, Any]) -> bool:
        """Say whether a run began with something else than was judged: its beginning holds that alone."""
        redacted = body["verdict"] == "redact" or any(said["verdict"] == "redact" for said in body["by"])
        return body["point"] == "agent_start" and redacted

    def _edited(self, event: Event, point: str) -> Mapping[str, Any] | None:
        """Return the answer by which a person put something else there before it was judged; None if none."""
        asked = f"{event.address}#gate/{point}"
        for answer in reversed(self.past.events[: event.seq - 1]):
            if answer.kind == "answer" and answer.address == asked:
                body = from_json(answer.body)
                return body if body["action"] == "edit" else None
        return None

    async def _whole(self, point: str, body: Mapping[str, Any]) -> Any:
        """Return what the run was given, or gave."""
        if point == "agent_start":
            withheld = self.past.facts.get("withheld")
            return Missing("what was denied") if withheld else await self._output(self.past.facts)
        if body["verdict"] == "deny" or self.past.record.status != "completed":
            return Missing("what was denied, or is not recorded yet")
        return await self._output(self.past.ending)

    async def _output(self, facts: Mapping[str, Any]) -> Any:
        if "output_ref" in facts:
            return from_json(await self._store.payload(bytes.fromhex(facts["output_ref"])))
        return facts["output"]

    def _typed(self, address: str, point: str, value: Any) -> Any:
        """Return a value of JSON as what the step, or the run, took or gave."""
        if self._plan is None:
            return value
        node = self._plan.nodes[NUMBER.sub("[]", address)] if address else self._plan.root
        takes = point in ("input", "agent_start")
        return codec_for(recorded_input(node.input_type) if takes else node.output_type).load_parsed(value)
