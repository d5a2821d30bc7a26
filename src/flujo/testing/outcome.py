"""What two runs are compared by: all that a caller can see of how a run came out."""

from __future__ import annotations

from typing import Any, NamedTuple

from flujo.engine.result import PipelineResult
from flujo.errors import FlujoError, StepFailed
from flujo.pipeline.info import Usage


class Outcome(NamedTuple):
    """All that a caller can see of how a run came out, except what depends on time or on the process."""

    status: str
    output: Any
    context: dict[str, Any]
    usage: Usage
    error: tuple[Any, ...] | None
    reason: str
    pending: tuple[str, ...]

    @staticmethod
    def of(result: PipelineResult[Any]) -> Outcome:
        """Return what a result shows."""
        return Outcome(
            result.status,
            result.output,
            result.context.model_dump(),
            result.usage,
            None if result.error is None else error_facts(result.error),
            result.reason,
            tuple(request.address for request in result.pending),
        )

    def differing(self, other: Outcome) -> dict[str, tuple[Any, Any]]:
        """Return the fields that differ, each with both values."""
        pairs = zip(self._fields, self, other, strict=True)
        return {name: (mine, theirs) for name, mine, theirs in pairs if mine != theirs}


def error_facts(error: FlujoError) -> tuple[Any, ...]:
    """Return what a caller may rely on in an error."""
    place = (error.step, error.address, error.attempt) if isinstance(error, StepFailed) else ()
    return (type(error).__name__, error.message, error.fix, *place, *vars(error).get("__notes__", ()))
