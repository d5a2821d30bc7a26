"""The worst case of a plan, or of a part of it: the most that a run may spend, and what has no bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import add
from typing import TYPE_CHECKING

from flujo.pipeline.quota import METERS, NOTHING, STEPS, TIME, Amounts, amounts
from flujo.plan.nodes import (
    PlanBranch,
    PlanEvent,
    PlanHuman,
    PlanLoop,
    PlanMap,
    PlanNode,
    PlanScope,
    PlanStep,
)
from flujo.plan.plan import Plan

if TYPE_CHECKING:
    from flujo.pipeline.mutation import MayMutate


@dataclass(frozen=True, slots=True)
class Cost:
    """The most that something may cost.

    Attributes:
        counted: Of each meter, as far as there is a bound.
        unbounded: Why there is none, by the place of the meter.
    """

    counted: Amounts = NOTHING
    unbounded: Mapping[int, str] = field(default_factory=dict[int, str])

    @property
    def at_most(self) -> dict[str, int | None]:
        """By meter; None for what has no bound. What is certain to cost nothing is left out."""
        return {
            meter: None if place in self.unbounded else self.counted[place]
            for place, meter in enumerate(METERS)
            if place in self.unbounded or self.counted[place]
        }


def worst_cost(plan: Plan, scope: PlanScope | None = None) -> Cost:
    """Return the most that a run of a plan may cost; inside one part of it, where that is given.

    A map has no bound, for its items are not known; nor has a step that may report what it used and
    declares no ``bound``, and of time one without a ``timeout``.
    """
    return _cost(plan.root, plan, scope)


def cost_of(node: PlanNode, plan: Plan) -> Cost:
    """Return the most that one node of a plan may cost."""
    return _cost(node, plan, None)


def _cost(node: PlanNode, plan: Plan, scope: PlanScope | None) -> Cost:
    inside = [_cost(child, plan, scope) for child in node.children.values()]
    match node:
        case PlanStep():
            counts = scope is None or scope in plan.scopes.get(node.path, ())
            return _together([_step(node), *inside] if counts else inside)
        case PlanBranch() | PlanHuman() | PlanEvent():
            return _dearest(inside)
        case PlanLoop() if not _around(node, scope):
            return _times(_together(inside), node.node.max_turns)
        case PlanMap() if not _around(node, scope):
            each = _together(inside)
            why = f"{node.path} has as many items as it is given"
            unbounded = {place: why for place, amount in enumerate(each.counted) if amount}
            return Cost(NOTHING, {**unbounded, **each.unbounded})
        case _:
            return _together(inside)


def _around(node: PlanNode, scope: PlanScope | None) -> bool:
    """Tell whether a part counts anew in each turn, or for each item, of a node."""
    return scope is not None and scope.depth > 0 and scope.path.startswith(f"{node.path}[]/")


def _step(plan: PlanStep) -> Cost:
    node = plan.node
    one = list(NOTHING if node.bound is None else amounts(node.bound))
    one[STEPS], one[TIME] = 1, round((node.timeout or 0) * 1e6)
    unbounded: dict[int, str] = {}
    if node.timeout is None:
        unbounded[TIME] = f"{plan.path} has no timeout"
    if node.bound is None and plan.signature.info:
        why = f"{plan.path} may report what it used, and declares no bound"
        unbounded |= {place: why for place in range(len(METERS)) if place not in (STEPS, TIME)}
    own = _times(Cost(tuple(one), unbounded), node.retry.attempts)
    return own if node.may_mutate is None else _together([own, _brought_in(plan.path, node.may_mutate)])


def _brought_in(path: str, permission: MayMutate) -> Cost:
    """Return the most that what a step may bring in may cost."""
    if not permission.adds:
        return Cost()
    most = list(NOTHING if permission.bound is None else amounts(permission.bound))
    most[STEPS] = permission.steps or 0
    unbounded: dict[int, str] = {}
    if permission.steps is None:
        unbounded[STEPS] = f"{path} may bring in any number of steps"
    if permission.bound is None:
        why = f"{path} may bring in steps, and its may_mutate declares no bound"
        unbounded |= {place: why for place in range(len(METERS)) if place != STEPS}
    elif not permission.bound.microseconds:
        unbounded[TIME] = f"{path} may bring in steps, and its may_mutate bounds no time"
    return Cost(tuple(most), unbounded)


def _times(cost: Cost, times: int) -> Cost:
    return Cost(tuple(times * amount for amount in cost.counted), cost.unbounded)


def _together(costs: Iterable[Cost]) -> Cost:
    total, unbounded = NOTHING, dict[int, str]()
    for cost in costs:
        total = tuple(map(add, total, cost.counted))
        unbounded = {**cost.unbounded, **unbounded}
    return Cost(total, unbounded)


def _dearest(costs: Iterable[Cost]) -> Cost:
    most, unbounded = NOTHING, dict[int, str]()
    for cost in costs:
        most = tuple(map(max, most, cost.counted))
        unbounded = {**cost.unbounded, **unbounded}
    return Cost(most, unbounded)
