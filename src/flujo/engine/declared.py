"""What steps and tools declare of labels, as it is judged and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flujo.engine.judge import Asking
from flujo.engine.policies import judge_of
from flujo.engine.seen import Seen
from flujo.pipeline.labels import DeclaredClearance, tenant_label

if TYPE_CHECKING:
    from flujo.engine.run import Frame, Run
    from flujo.pipeline.step import Step


def labelled(frame: Frame, seen: Seen, declared: Mapping[str, Any]) -> Seen:
    """Return what is judged with what it is known to hold, and what its step declares about that."""
    if declared and not seen.tool and seen.kind.point not in ("before_model", "after_model"):
        seen = seen._replace(facts={**seen.facts, **declared})
    if frame.run.labels is None:
        return seen
    from flujo.engine.labels import labels_seen

    return seen._replace(labels=labels_seen(frame, frame.run.labels, seen))


def holds_of(run: Run, seen: Seen) -> frozenset[str]:
    """Return what policies are told that something holds: all data is the tenant's for whom the run goes."""
    return seen.labels | {tenant_label(run.tenant)} if run.tenant else seen.labels


def clearing(method: str) -> Asking:
    """Return who is asked whether something may be given what it is not cleared for."""
    judge = judge_of(DeclaredClearance(), "")
    return [(judge, judge.checks[method])]


def declared(node: Step[Any, Any]) -> Mapping[str, Any]:
    """Return what policies are told of what a step declares."""
    facts: dict[str, Any] = {} if node.cleared_for is None else {"cleared_for": node.cleared_for}
    if node.declassifies is not None:
        facts |= {"declassifies": node.declassifies.labels, "reason": node.declassifies.reason}
    return facts


def of_data(run: Run, seen: Seen) -> dict[str, Any]:
    """Return what is recorded of what is judged; of a call without a store, its time as well."""
    facts: dict[str, Any] = {"holds": sorted(seen.labels)} if seen.labels else {}
    if seen.among:
        facts["model"] = seen.among
    if not seen.tool:
        return facts
    facts["tool"] = seen.tool
    if seen.facts.get("labels"):
        facts["labels"] = seen.facts["labels"]
    if run.recorder is None:
        facts["now"] = run.clock.now()
    return facts
