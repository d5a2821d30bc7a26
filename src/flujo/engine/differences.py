"""What a replay found: whether a run's pipeline, given what was recorded, gives the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from flujo.engine.result import PipelineResult

Kind = Literal[
    "choice", "turn", "output", "context", "usage", "status", "pending", "new", "removed", "input",
    "declaration", "type",
]  # fmt: skip
"""How a replay differs: the engine decided otherwise (a choice, a turn, an output, the context, the usage,
how the run ended, what it waits for), or the code did not ask for what was recorded: it has a new step,
left one out, gave one another input, declared one otherwise, or gives values of another type."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between what was recorded and what a replay gives.

    Its text and its repr name no value; the values are in its attributes.

    Attributes:
        address: Where; empty for the run as a whole.
        kind: How it differs.
        message: The same in words.
        recorded: What the journal holds, as JSON.
        now: What the replay gives, likewise.
    """

    address: str
    kind: Kind
    message: str
    recorded: Any = field(default=None, repr=False)
    now: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.address or 'the run'}: {self.message}"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of a replay.

    Attributes:
        run_id: The run.
        pipeline: The name of its pipeline.
        status: How the run stands in its journal.
        same_plan: Whether the replaying code has the plan that the run was made by.
        differences: What differs, in the order the replay met it.
        unanswered: The steps that the replay came to and that the journal has no answer for: where a run
            that did not complete ends, or where something differs.
        unreached: What was recorded and stands behind a difference, so that nothing can be said of it.
        steps: How many steps were answered from the journal.
        effects: How many effects inside those steps stand in the journal.
        decisions: How many choices, turns and composites were made again.
        live: How the new run came out that went on after the differences, where one was asked for.
    """

    run_id: str
    pipeline: str
    status: str
    same_plan: bool
    differences: tuple[Difference, ...]
    unanswered: tuple[str, ...]
    unreached: tuple[str, ...]
    steps: int
    effects: int
    decisions: int
    live: PipelineResult[Any, Any] | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def first(self) -> Difference | None:
        """The first difference."""
        return self.differences[0] if self.differences else None

    def __str__(self) -> str:
        if self.equal:
            return f"run {self.run_id} replays equal: {self.steps} steps, {self.decisions} decisions"
        listed = "".join(f"\n  {one}" for one in self.differences)
        return f"run {self.run_id} replays differently:{listed}"


def compared(
    address: str, kind: str, recorded: Mapping[str, Any], now: Mapping[str, Any]
) -> Difference | None:
    """Return how what the engine decided anew differs from what was recorded; None where it does not.

    Args:
        address: Where it was decided.
        kind: The kind of the event.
        recorded: The body of the recorded event.
        now: The body of the event as it would be recorded now.
    """
    if bool(recorded.get("last")) != bool(now.get("last")):
        turn = "ended the loop" if recorded.get("last") else "went on"
        then = "it ends the loop" if now.get("last") else "it goes on"
        return Difference(address, "turn", f"the recorded turn {turn}, now {then}", recorded, now)
    for member in ("output", "output_ref"):
        if recorded.get(member) != now.get(member):
            what: Kind = "choice" if kind == "choice" else "output"
            said = "another choice is made" if what == "choice" else "another output comes out"
            return Difference(
                address, what, f"{said} than was recorded", recorded.get(member), now.get(member)
            )
    if recorded.get("patch") != now.get("patch"):
        changes = (recorded.get("patch"), now.get("patch"))
        return Difference(address, "context", "the context is changed otherwise", *changes)
    if recorded.get("usage") != now.get("usage"):
        used = (recorded.get("usage"), now.get("usage"))
        return Difference(address, "usage", "another usage is added up", *used)
    if recorded.get("slots") != now.get("slots"):
        named = (recorded.get("slots"), now.get("slots"))
        return Difference(address, "output", "other outputs inside it are named by later steps", *named)
    return None
