"""What is known of labels when a run is opened; nothing is loaded where nothing is labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.engine.labels import RunLabels
    from flujo.engine.record import Recall
    from flujo.engine.run import Run
    from flujo.pipeline.context import PipelineContext


def begun_with(
    run: Run, holds: Iterable[str], context: PipelineContext | None, *, tracked: bool
) -> Mapping[str, Any]:
    """Note what a run's input holds, and a context that it is given; return that as it is recorded.

    Args:
        run: The run.
        holds: What they hold.
        context: The context.
        tracked: Whether labels are carried on in this run.
    """
    if not holds:
        return {}
    from flujo.engine.labels import RunLabels
    from flujo.pipeline.labels import labels_given

    given = labels_given(holds, "input_labels")
    run.labels = RunLabels(given, frozenset() if context is None else given)
    return run.labels.facts(tracked=tracked)


def known_labels(facts: Mapping[str, Any], recall: Recall) -> RunLabels | None:
    """Return what a recorded run is known to hold; None where nothing in it is labelled."""
    if "holds" not in facts and not recall.labelled:
        return None
    from flujo.engine.labels import RunLabels

    return RunLabels.of(facts)
