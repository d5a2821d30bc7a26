"""How far a run has come: the state of every place in it, as events tell it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from flujo.engine.result import (
    Chunk,
    Finished,
    Paused,
    RunEvent,
    RunStarted,
    StepCompleted,
    StepGaveUp,
    StepRetrying,
    StepStarted,
    ToolCalled,
)
from flujo.plan.nodes import PlanBranch, PlanNode, PlanParallel, PlanSequence, PlanSub
from flujo.plan.plan import Plan

State = Literal["ahead", "running", "waiting", "done", "failed", "stopped"]

# What a container is said to be as soon as one place in it is.
_TELLING: tuple[State, ...] = ("failed", "stopped", "running", "waiting")
_PART = re.compile(r"[^/\[\]]+|\[\d+\]")


@dataclass(slots=True)
class Place:
    """One place of a run: a step, or what holds steps.

    Attributes:
        label: The last part of its address.
        kind: The word for its node; empty where none stands here itself.
        state: Where it stands.
        note: What is worth telling: an attempt, a reuse.
        begun: When it began, by the monotonic clock; 0 before.
        took: How many seconds it took; None before its end.
        inside: The places in it, by label.
    """

    label: str
    kind: str = ""
    state: State = "ahead"
    note: str = ""
    begun: float = 0.0
    took: float | None = None
    inside: dict[str, Place] = field(default_factory=dict[str, "Place"])

    def shown(self) -> list[Place]:
        """Return the places in it that may still matter: of a choice, the one that was made."""
        parts = list(self.inside.values())
        if self.kind == "branch" and any(part.standing != "ahead" for part in parts):
            return [part for part in parts if part.standing != "ahead"]
        return parts

    @property
    def standing(self) -> State:
        """Its state, or what the places in it come to."""
        if not self.inside or self.state != "ahead":
            return self.state
        states: set[State] = {part.standing for part in self.inside.values()}
        if self.kind == "branch" and len(states) > 1:
            states.discard("ahead")
        for state in _TELLING:
            if state in states:
                return state
        return states.pop() if len(states) == 1 else "running"

    def walk(self) -> Iterator[Place]:
        """Yield this place and all inside it."""
        yield self
        for part in self.inside.values():
            yield from part.walk()


class Progress:
    """The places of one run, and how many of them are over.

    Args:
        plan: The run's plan: what lies ahead is shown before it begins.
        known: Steps that the journal knows already, by address.
    """

    def __init__(self, plan: Plan, known: Iterable[str] = ()) -> None:
        self.root = Place(plan.name)
        self.begun = monotonic()
        self.done = 0
        self.running = 0
        self._lay(plan.root)
        for address in known:
            place = self.at(address)
            place.state, place.note = "done", "reused"

    def at(self, address: str) -> Place:
        """Return the place of an address, made where it was not foreseen."""
        place = self.root
        for part in _PART.findall(address.partition("#")[0]):
            place = place.inside.setdefault(part, Place(part))
        return place

    def see(self, event: RunEvent) -> None:
        """Take in what happened."""
        match event:
            case StepStarted():
                place = self.at(event.address)
                place.state, place.begun, place.note = "running", monotonic(), ""
                self.running += 1
            case StepRetrying():
                self.at(event.address).note = f"attempt {event.attempt} failed: {event.error}"
            case StepCompleted(result=result):
                place = self.at(result.address)
                self._end(place, "done")
                place.took = result.duration
                place.note = (
                    "cached"
                    if result.cached
                    else f"{result.attempts} attempts"
                    if result.attempts > 1
                    else ""
                )
            case StepGaveUp():
                self._end(self.at(event.address), "failed")
            case Paused():
                for request in event.pending:
                    place = self.at(request.address)
                    self._end(place, "waiting")
                    place.note = request.prompt
            case Finished(result=result):
                self.stop(completed=result.status == "completed")
            case RunStarted() | Chunk() | ToolCalled():
                return

    def _end(self, place: Place, state: State) -> None:
        self.running -= place.state == "running"
        self.done += state == "done"
        place.took = monotonic() - place.begun if place.begun else None
        place.state = state

    def stop(self, *, completed: bool) -> None:
        """Take in that nothing runs any more: what was cut off is said to be, what was passed by is over."""
        for place in self.root.walk():
            if place.state == "running":
                self._end(place, "stopped")
            elif completed and not place.inside and place.kind in ("human", "event", "sleep"):
                place.state = "done"

    def _lay(self, node: PlanNode) -> None:
        """Lay out what lies ahead; turns, items and what runs only aside come when they come."""
        if not isinstance(node, PlanSequence):
            self.at(node.path).kind = node.kind
        if isinstance(node, PlanSequence | PlanParallel | PlanBranch | PlanSub):
            for child in node.children.values():
                self._lay(child)
