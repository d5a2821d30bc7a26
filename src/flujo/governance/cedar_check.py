"""Checking policies against the pipeline that they are for, before anything runs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json

from flujo.governance.cedar_bundle import KNOWN_OBLIGATIONS, Bundle, cedar_module
from flujo.governance.cedar_schema import schema_of, tools_of
from flujo.plan.nodes import PlanStep
from flujo.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """What is wrong with a policy.

    Attributes:
        rule: The id of the rule.
        file: Where it stands.
        message: What is wrong.
        certain: Whether it is wrong for sure; otherwise it names what this pipeline does not have.
    """

    rule: str
    file: str
    message: str
    certain: bool = True


def check_policies(
    bundle: Bundle, plan: Plan, tools: Sequence[Callable[..., Any]] = ()
) -> list[PolicyProblem]:
    """Return what is wrong with policies, for a pipeline.

    Every rule is checked against the schema of the plan: names, types, and what may be missing.

    Args:
        bundle: The policies.
        plan: The pipeline's plan.
        tools: Functions that its steps call by ``info.do``, which the plan does not tell.
    """
    cedar = cedar_module()
    schema = cedar.Schema.from_str(schema_of(plan, tools))
    found = [_problem(bundle, error) for error in cedar.validate_policies(bundle.text, schema).errors]
    for name, rule in bundle.rules.items():
        unknown = sorted(set(rule.obligations) - KNOWN_OBLIGATIONS)
        found += [
            PolicyProblem(
                rule.id, rule.file, f"@obligation({one!r}) is known to nobody, which denies{_near(one)}"
            )
            for one in unknown
        ]
        found += _strangers(bundle, name, plan, tools)
    return found


def _problem(bundle: Bundle, error: Any) -> PolicyProblem:
    rule = bundle.rules.get(error.policy_id)
    said = re.sub(r"^for policy `policy\d+`, ", "", error.error)
    return PolicyProblem(rule.id if rule else "", rule.file if rule else "", said)


def _near(word: str) -> str:
    close = difflib.get_close_matches(word, sorted(KNOWN_OBLIGATIONS), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _strangers(
    bundle: Bundle, name: str, plan: Plan, tools: Sequence[Callable[..., Any]]
) -> Iterator[PolicyProblem]:
    """Yield the steps, pipelines and tools that a rule names and the pipeline does not have."""
    known = {
        "Step": {node.label for node in plan.nodes.values() if isinstance(node, PlanStep)},
        "Pipeline": {plan.name},
        "Tool": {tool.name for tool in tools_of(plan, tools)},
    }
    tree = from_json(cedar_module().policies_to_json_str(bundle.text))
    rule = bundle.rules[name]
    for kind, named in sorted(set(_entities(tree["staticPolicies"][name]))):
        if kind in known and named not in known[kind]:
            close = difflib.get_close_matches(named, sorted(known[kind]), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            message = f'{kind}::"{named}" is none that {plan.name!r} declares{hint}'
            yield PolicyProblem(rule.id, rule.file, message, certain=False)


def _entities(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for part in cast("list[Any]", node):
            yield from _entities(part)
    elif isinstance(node, dict):
        parts = cast("dict[str, Any]", node)
        if parts.keys() == {"type", "id"}:
            yield str(parts["type"]), str(parts["id"])
        for part in parts.values():
            yield from _entities(part)
