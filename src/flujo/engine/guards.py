"""The policies of a plan and of its runner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flujo.engine.guard import Guard
from flujo.engine.judge import Judge
from flujo.engine.kept import check_names
from flujo.engine.policies import judge_of
from flujo.pipeline.policy import GovernancePolicy
from flujo.plan.nodes import PlanNode, PlanStep
from flujo.plan.plan import Plan


class Guards:
    """The policies of a plan and of its runner.

    Args:
        plan: The plan.
        policies: What holds everywhere.
        asks: Whether they are asked; otherwise only what is recorded counts, as for a replay.

    Raises:
        ConfigError: One of them is no policy.
    """

    def __init__(self, plan: Plan, policies: Sequence[GovernancePolicy], *, asks: bool = True) -> None:
        self._plan = plan
        self._policies = policies
        self._asks = asks
        self._whole = tuple(judge_of(policy, "Flujo, policies") for policy in policies)
        self._own: dict[str, tuple[Judge, ...]] = {}
        for node in plan.root.walk():
            if isinstance(node, PlanStep):
                own = tuple(
                    judge_of(policy, f"step {node.path!r}, policies") for policy in node.node.policies
                )
                for inside in _covered(node):
                    self._own[inside.path] = (*self._own.get(inside.path, ()), *own)
        check_names(self.all)

    @property
    def judges(self) -> tuple[Judge, ...]:
        """What holds everywhere, ready to be asked."""
        return self._whole

    @property
    def asks(self) -> bool:
        """Whether anybody is asked."""
        return self._asks

    @property
    def whole(self) -> Sequence[GovernancePolicy]:
        """What holds everywhere."""
        return self._policies

    @property
    def all(self) -> Sequence[Judge]:
        """What holds everywhere, and what steps have of their own."""
        return [*self._whole, *(judge for own in self._own.values() for judge in own)]

    @property
    def in_force(self) -> tuple[str, ...]:
        """The names of those whose decisions count, each once."""
        return tuple(dict.fromkeys(judge.id for judge in self.all if not judge.observes))

    def missing(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Return the names of policies that are not among these; one that only observes now is."""
        present = {judge.id for judge in self.all}
        return tuple(name for name in needed if name not in present)

    def silent(self) -> Guards:
        """Return the same for a replay: nobody is asked, and what is recorded counts."""
        return Guards(self._plan, self._policies, asks=False)

    def over(self, plan: Plan) -> Guards:
        """Return the same for a plan that has changed while a run goes by it."""
        return Guards(plan, self._policies, asks=self._asks)

    def of(self, plan: PlanStep) -> Guard | None:
        """Return what guards a step; None where nothing does."""
        judges = (*self._whole, *self._own.get(plan.path, ()))
        if not (judges or plan.denied is not None or plan.node.declares or plan.signature.info):
            return None  # what has no tools gives nothing by which its output would be labelled
        return Guard(plan.label, self._plan.name, judges, asks=self._asks, plan=plan)


def _covered(node: PlanStep) -> Sequence[PlanNode]:
    """Return the step that has policies, and all that may run in its place."""
    return [node, *(() if node.fallback is None else node.fallback.walk())]
