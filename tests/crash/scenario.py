"""A scenario: a pipeline, what goes in, and what people answer on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from flujo import Add, Append, Decision, Flujo, Hook, Merge, PipelineContext
from flujo.journal.store import JournalStore
from flujo.testing import Answer, VirtualClock

RUN = "run-1"
BEGIN = 1_800_000_000_000_000


def a_clock(begin: int = BEGIN) -> VirtualClock:
    """Return a clock on which no two moments are the same."""
    return VirtualClock(begin, chance=0.5, tick=1)


class Notes(PipelineContext):
    """The context of most scenarios."""

    title: str = ""
    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])
    total: Annotated[int, Add()] = 0
    facts: Annotated[dict[str, Any], Merge()] = Field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the harness needs to carry one pipeline to its end.

    Attributes:
        name: Its name.
        pipeline: The pipeline.
        input: What goes in.
        answers: What people and events answer, by the address of the request.
        ends: How it ends.
        in_doubt: What a person decides about at-most-once steps, by address; only a disturbed run asks.
        width: How many steps may be in flight at once: so many may run again after one death.
        exact: Whether the journal holds the same facts however tasks are timed.
        hooks: What looks on.
    """

    name: str
    pipeline: Any
    input: Any
    answers: Mapping[str, Answer] = field(default_factory=dict[str, Answer])
    ends: str = "completed"
    in_doubt: Mapping[str, Decision] = field(default_factory=dict[str, Decision])
    width: int = 1
    exact: bool = True
    hooks: Sequence[Hook] = ()

    def runner(
        self, store: JournalStore | None, clock: VirtualClock, durability: str = "sync"
    ) -> Flujo[Any, Any]:
        """Return a runner as a new process would make it."""
        return Flujo(
            self.pipeline,
            context_model=Notes,
            state=store,
            clock=clock,
            hooks=self.hooks,
            durability="sync" if durability == "sync" else "async",
        )
