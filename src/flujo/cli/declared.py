"""The policies that the settings file declares: made for what runs, and listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flujo.cli.config import Config
from flujo.cli.output import DONE, emit, emit_json, user_code
from flujo.cli.targets import Target, code_of, load_object, load_target
from flujo.cli.text import table
from flujo.engine.policies import judge_of

if TYPE_CHECKING:
    from flujo.pipeline.policy import GovernancePolicy


def declared(config: Config) -> list[GovernancePolicy]:
    """Return the policies of the settings file, in its order; all that the command runs is judged by them.

    Raises:
        ConfigError: One of them cannot be had.
        TargetBroken: The code of one of them raised.
    """
    if not config.policies or config.file is None:
        return []
    from flujo.governance.declared import declared_policy

    found: list[GovernancePolicy] = []
    with user_code():
        for name, table in config.policies.items():
            with code_of(f"{config.file}: policies.{name}"):
                found.append(
                    declared_policy(name, table, config.file, lambda text: load_object(text, config.folder))
                )
    return found


@dataclass(frozen=True, slots=True)
class Listed:
    """A policy as it is listed: its id, kind and mode, what it judges, its version, and who declares it."""

    policy: str
    kind: str
    mode: str
    judges: Sequence[str]
    version: str
    source: str


def list_policies(config: Config, target: str | None, *, as_json: bool) -> int:
    """Print the policies that hold, in the order of asking, and return what the command exits with.

    Raises:
        ConfigError: One of them cannot be had, or the target names nothing.
    """
    found = [_listed(one, str(config.file)) for one in declared(config)]
    if target is not None:
        with user_code():
            found += _own(load_target(target, names=config.targets, folder=config.folder))
    if as_json:
        emit_json({"file": config.file, "policies": [asdict(one) for one in found]})
        return DONE
    rows = [
        (one.policy, one.kind, one.mode, " ".join(one.judges), one.version[:16], one.source) for one in found
    ]
    emit(table(("POLICY", "KIND", "MODE", "JUDGES", "VERSION", "SOURCE"), rows) if rows else "no policies")
    return DONE


def _own(target: Target) -> Iterator[Listed]:
    """Yield what the runner of a target, and its steps, are judged by."""
    from flujo.engine.runner import Flujo
    from flujo.plan.nodes import PlanStep

    if isinstance(target.found, Flujo):
        for policy in target.found.policies:
            yield _listed(policy, "the runner")
    for path, node in target.plan().nodes.items():
        if isinstance(node, PlanStep):
            for policy in node.node.policies:
                yield _listed(policy, f"step {path}")


def _listed(policy: GovernancePolicy, source: str) -> Listed:
    judge = judge_of(policy, source)
    judges = [name.removeprefix("check_") for name in judge.checks]
    return Listed(judge.id, type(judge.policy).__qualname__, judge.mode, judges, judge.version, source)
