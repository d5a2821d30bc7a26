"""A place in a run that is told rather than lived: for test cases, and for runs that went by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flujo.pipeline.context import PipelineContext
from flujo.pipeline.policy import NOBODY, Deed, Principal


class ToldContext(PipelineContext, extra="allow"):
    """A context of which only the values are known."""


@dataclass(frozen=True, slots=True)
class ToldRun:
    """What a policy is told of a run.

    Attributes:
        run_id: Its name.
        pipeline: The pipeline's.
        principal: On whose behalf it goes.
        tenant: Likewise, the tenant.
        time: The time, in microseconds since the Unix epoch.
        context: The values of its context.
        deeds: What it did so far.
    """

    run_id: str = ""
    pipeline: str = ""
    principal: Principal = NOBODY
    tenant: str = ""
    time: int = 0
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    deeds: Sequence[Deed] = ()

    def now(self) -> int:
        """Return the time."""
        return self.time

    def view(self) -> PipelineContext:
        """Return the context."""
        return ToldContext.model_construct(None, **self.context)

    async def history(self) -> Sequence[Deed]:
        """Return what it did."""
        return self.deeds
