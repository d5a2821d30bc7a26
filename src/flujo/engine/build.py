"""What compiling a plan's nodes into walks needs to know of the runner."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_origin

from typing_extensions import is_typeddict

from flujo.engine.hooks import Hooks
from flujo.engine.threads import settled, text_of
from flujo.errors import ConfigError, RunError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.waits import StopPipeline
from flujo.plan.codec import Codec, codec_for
from flujo.plan.nodes import PlanNode, PlanStep
from flujo.plan.plan import Plan
from flujo.plan.signature import Signature
from flujo.plan.types import Type, members, plain

if TYPE_CHECKING:
    from flujo.engine.between import Between
    from flujo.engine.door import Door
    from flujo.engine.governed import GovernedStep
    from flujo.engine.guards import Guards
    from flujo.engine.quota import Quotas
    from flujo.engine.run import Frame, Run, Walk
    from flujo.pipeline.info import StepInfo
    from flujo.pipeline.policy import GovernancePolicy
    from flujo.pipeline.quota import Quota

Around = Callable[[PlanNode, Callable[[PlanNode], "Walk"]], "Walk"]
"""What stands around every node: it is given the node and how it is compiled, and returns its walk."""

Call = Callable[["Frame", PipelineContext, Any, "StepInfo | None"], Awaitable[Any]]
Judge = Callable[["Frame", Any], Awaitable[Any]]
Condition = Callable[["Frame", str, Any], Awaitable[Any]]
_NUMBERS: Mapping[type, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}


@dataclass(frozen=True, slots=True)
class Build:
    """A plan and the settings that its walks are compiled with.

    Attributes:
        plan: The plan.
        hooks: The runner's hooks.
        durable: Whether runs are recorded in a store.
        quotas: What runs may spend; None where nothing is limited.
        limited: Whether quotas hold that nodes bring along which join the plan while it runs.
        around: What stands around every node; None, as in all but replays and forks, costs nothing.
        guards: What policies judge; None where there are none.
        replays: Whether no step is carried out.
    """

    plan: Plan
    hooks: Hooks
    durable: bool
    around: Around | None = None
    quotas: Quotas | None = None
    limited: bool = True
    guards: Guards | None = None
    replays: bool = False

    @property
    def tracks(self) -> bool:
        """Whether it is known of values what they hold: policies may ask."""
        return self.guards is not None and not self.replays

    def codec(self, annotation: Type) -> Codec | None:
        """Return how values of a type are recorded; None where nothing is."""
        return codec_for(annotation) if self.durable else None


def quotas_of(plan: Plan, quota: Quota | Sequence[Quota] | None, *, durable: bool) -> Quotas | None:
    """Return what runs of a plan may spend, given what holds for whole runs; None without limits."""
    if quota is None and not plan.scopes:
        return None
    from flujo.engine.quota import Quotas
    from flujo.pipeline.quota import checked_quotas

    return Quotas(plan, checked_quotas(quota, "Flujo, quota"), durable=durable)


def guards_of(plan: Plan, policies: Sequence[GovernancePolicy]) -> Guards | None:
    """Return what policies judge of runs of a plan; None where there are none."""
    if not isinstance(cast("object", policies), Sequence) or isinstance(policies, str):
        raise ConfigError(f"policies={policies!r} is no list", fix="pass policies=[policy, …]")
    steps = (node for node in plan.nodes.values() if isinstance(node, PlanStep))
    if not policies and not any(step.denied or step.node.policies or step.node.declares for step in steps):
        return None
    from flujo.engine.guards import Guards

    return Guards(plan, policies)


def guards_over(build: Build, plan: Plan) -> Guards | None:
    """Return what policies judge of a plan that has changed while a run goes by it."""
    guards = guards_of(plan, ()) if build.guards is None else build.guards.over(plan)
    return guards.silent() if guards is not None and build.replays else guards


def governed_step(plan: PlanStep, build: Build, denied: Walk | None) -> GovernedStep | None:
    """Return what policies do around a step; None where none judges it."""
    guard = None if build.guards is None else build.guards.of(plan)
    if guard is None:
        return None
    from flujo.engine.governed import GovernedStep

    return GovernedStep(plan, guard, build, denied)


def door_for(build: Build) -> Door | None:
    """Return what judges where runs begin and end; None where no policy holds for whole runs."""
    judges = () if build.guards is None else build.guards.judges
    at_the_door = tuple(judge for judge in judges if judge.points & {"agent_start", "agent_end"})
    if build.guards is None or not at_the_door:
        return None
    from flujo.engine.door import Door

    return Door(build, at_the_door, asks=build.guards.asks)


def between_for(build: Build) -> Between | None:
    """Return what judges functions between steps; None where no policy judges what enters runs."""
    judges = () if build.guards is None else build.guards.judges
    asked = any("agent_start" in judge.points and "check_entry" in judge.checks for judge in judges)
    if build.guards is None or not asked:
        return None
    from flujo.engine.between import Between

    return Between(build.plan.name, build.guards)


async def refuse(quotas: Quotas | None, run: Run, asked: str | None) -> None:
    """Refuse to begin a run whose worst case could exceed a quota, if that is asked.

    Raises:
        QuotaExceeded: It could.
        ConfigError: Something else is asked.
    """
    if asked not in (None, "refuse"):
        raise ConfigError(f"quota={asked!r}", fix='pass quota="refuse", or leave it out')
    if asked is not None and quotas is not None:
        await quotas.check(run)


def is_context(model: object) -> bool:
    """Say whether something is a class of contexts."""
    return isinstance(model, type) and issubclass(model, PipelineContext)


def bind(signature: Signature, sources: Mapping[str, str]) -> Call:
    """Return how a step's agent is called: with its input, and all else that it asks for."""
    function, is_async = signature.call, signature.is_async
    by_position = signature.input if signature.first else ""
    by_name = "" if signature.first else signature.input
    context_name, info_name = signature.context, signature.info
    named = tuple(sources.items())

    async def call(frame: Frame, context: PipelineContext, value: Any, info: StepInfo | None) -> Any:
        more: dict[str, Any] = {parameter: frame.slots[path] for parameter, path in named}
        if by_name:
            more[by_name] = value
        if context_name:
            more[context_name] = context
        if info_name:
            more[info_name] = info
        given = (value,) if by_position else ()
        if is_async:
            return await function(*given, **more)
        return await settled(await frame.run.threads.call(function, *given, **more))

    return call


def judge(signature: Signature) -> Judge:
    """Return how a condition, a validator or another function beside a node is called.

    Such functions are meant to be short: one that is not ``async`` runs in the loop's own thread.
    """
    function, context = signature.call, signature.context
    by_name = "" if signature.first else signature.input

    async def call(frame: Frame, value: Any) -> Any:
        more: dict[str, Any] = {context: frame.context} if context else {}
        if by_name:
            more[by_name] = value
        verdict = function(value, **more) if signature.input and not by_name else function(**more)
        return await settled(verdict)

    return call


def condition(
    signature: Signature,
    role: str,
    made: Callable[[Any], Any] | None = None,
    between: Between | None = None,
) -> Condition:
    """Return how a function that decides something is called; what it raises fails the run with its place.

    Args:
        signature: The function.
        role: What it is to its node.
        made: What is made of the function's answer, by code of the answer's own.
        between: What judges what it changes in the context, and what it says by raising.
    """
    call = judge(signature)

    async def decide(frame: Frame, address: str, value: Any) -> Any:
        try:
            answer = await call(frame, value)
            return answer if made is None else made(answer)
        except (StopPipeline, RunError):
            raise
        except Exception as error:
            raised = f"{type(error).__name__}: {text_of(error)}"
            raise RunError(f"{address}: {role} raised {raised}") from error

    return decide if between is None else between.around(decide, sees=bool(signature.context))


def output_check(annotation: Type) -> tuple[type, ...] | None:
    """Return the classes that an output of a declared type is an instance of; None where that cannot tell."""
    classes: list[type] = []
    for member in members(annotation):
        kind = get_origin(member) or plain(member)
        if (
            not isinstance(kind, type)
            or kind in (object, Any)
            or is_typeddict(kind)
            or kind is types.GenericAlias
        ):
            return None
        if getattr(kind, "_is_protocol", False):
            return None
        classes += _NUMBERS.get(kind, (kind,))
    return tuple(classes)
