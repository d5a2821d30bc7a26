"""Matching: whether code that is replayed asks for the same that a recorded run was answered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

from flujo.engine.differences import Difference, Kind
from flujo.engine.flow import Flow, Origin
from flujo.engine.past import Past
from flujo.engine.patch import snapshot
from flujo.engine.run import Frame
from flujo.journal.store import JournalStore
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanHuman, PlanNode, PlanStep
from flujo.plan.plan import NUMBER, Plan
from flujo.plan.same import alike
from flujo.plan.types import recorded_input
from flujo.plan.unrecordable import Unrecordable


class Matching:
    """Knows what was recorded where, and tells whether an execution is given the same again.

    A value is the same if it is the very one that was read from the journal, in the place where the recorded
    run had it from; or else if it reads the same.

    Args:
        plan: The plan of the code.
        past: The recorded run.
        store: Holds its large values.
        digests: The digests of the plan that the run was made by.
    """

    def __init__(self, plan: Plan, past: Past, store: JournalStore, digests: Mapping[str, str]) -> None:
        self._plan = plan
        self._past = past
        self._digests = digests
        kinds = {path: node.kind for path, node in plan.nodes.items()}
        self._flow = Flow(past, store, digests, kinds)
        self._sound: dict[str, Any] = {}  # what was given here is what was recorded here
        self.moves: dict[str, str] = {}  # where steps that have moved were recorded

    def gave(self, address: str, output: Any) -> None:
        """Note that an execution gave what was recorded of it."""
        self._sound[address] = output

    def is_new(self, address: str) -> bool:
        """Say whether the plan that the run was made by had no such node."""
        return NUMBER.sub("[]", address) not in self._digests and not self.joined(address)

    def joined(self, address: str) -> bool:
        """Say whether a node stands there that joined the recorded run while it ran."""
        return self._flow.joined(address)

    async def difference(self, node: PlanNode, address: str, frame: Frame, value: Any) -> Difference | None:
        """Return how a recorded execution is asked for otherwise now; None where it is not."""
        if self.joined(address):  # what came in is what had come in, or the replay had not come here
            return await self._given_otherwise(node, address, address, frame, value)
        if self._digests.get(node.path) != self._plan.digests.get(node.path):
            message = "it is declared otherwise: its kind, types, effects or sources"
            return Difference(address, "declaration", message)
        return await self._given_otherwise(node, address, address, frame, value)

    async def moved(self, node: PlanStep, now_at: str, frame: Frame, value: Any) -> str | None:
        """Return where a step of the same name was recorded that is gone now, and was given the same."""
        for address in self._past.steps:
            path = NUMBER.sub("[]", address)
            if path.rpartition("/")[2] != node.label or path in self._plan.nodes or address in self.claimed:
                continue
            if self._digests.get(path) != self._plan.digests.get(node.path):
                continue
            if await self._given_otherwise(node, address, address, frame, value) is None:
                self.moves[now_at] = address
                return address
        return None

    @property
    def claimed(self) -> frozenset[str]:
        """Where the steps were recorded that have moved."""
        return frozenset(self.moves.values())

    async def _given_otherwise(
        self, node: PlanNode, recorded_at: str, address: str, frame: Frame, value: Any
    ) -> Difference | None:
        takes = not isinstance(node, PlanStep) or bool(node.signature.input)
        if takes:
            origin = self._flow.given(recorded_at)
            if origin is None or not await self._same(origin, node, value):
                before = None if origin is None else await self._flow.value(origin)
                return self._differs(address, "input", "it is given another input", before, value)
        if not isinstance(node, PlanStep):
            return None
        for parameter, path in node.sources.items():
            if not self._still(path, frame.slots[path]):
                message = f"{parameter!r} takes another value, of {path!r}"
                return self._differs(address, "input", message, None, frame.slots[path])
        if node.signature.context:
            before, now = self._flow.context(recorded_at), from_json(snapshot(frame.context))
            if any(now.get(name) != field for name, field in before.items()):
                return self._differs(address, "input", "it is given another context", dict(before), now)
        return None

    def _differs(self, address: str, kind: Kind, message: str, before: Any, now: Any) -> Difference:
        return Difference(address, kind, message, before, now)

    def _still(self, path: str, value: Any) -> bool:
        """Say whether a value that is named by the path of what gave it is what was recorded there."""
        return any(given is value for at, given in self._sound.items() if NUMBER.sub("[]", at) == path)

    async def _same(self, origin: Origin, node: PlanNode, value: Any) -> bool:
        if not origin.items and origin.address in self._sound and self._sound[origin.address] is value:
            return True
        recorded = await self._flow.value(origin)
        kind = recorded_input(node.input_type)
        if kind is not Any and kind is not object:
            with suppress(Unrecordable, ValueError):
                if alike(codec_for(kind).load_parsed(recorded), value):
                    return True
        with suppress(Unrecordable, ValueError, TypeError):
            return bool(from_json(codec_for(_kind(value)).dump(value)) == recorded)
        return False


def _kind(value: object) -> Any:
    return type(value)


def asks(node: PlanNode) -> bool:
    """Say whether what a node was answered depends on what it is given."""
    return isinstance(node, PlanStep | PlanHuman)
