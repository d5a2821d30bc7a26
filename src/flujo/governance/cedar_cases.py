"""Test cases of policies: what is given, and what is expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flujo.errors import ConfigError
from flujo.governance.cedar import CedarPolicy
from flujo.governance.cedar_place import ToldRun
from flujo.governance.cedar_request import DATA
from flujo.pipeline.policy import Point, PolicyContext, PolicyDecision, Principal, Verdict

_STRICT = ConfigDict(extra="forbid")


class GivenPrincipal(BaseModel):
    """On whose behalf."""

    model_config = _STRICT
    id: str = ""
    roles: tuple[str, ...] = ()
    tenant: str = ""
    attributes: Mapping[str, Any] = Field(default_factory=dict)


class Given(BaseModel):
    """What policies are asked about."""

    model_config = _STRICT
    point: Point
    principal: GivenPrincipal | str = GivenPrincipal()
    pipeline: str = ""
    step: str = ""
    tool: str = ""
    tool_labels: tuple[str, ...] = ()
    tenant: str = ""
    address: str = ""
    run_id: str = ""
    at: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    labels: frozenset[str] = frozenset()
    model: str | None = None
    region: str | None = None
    context: Mapping[str, Any] = Field(default_factory=dict)
    input: Any = None
    arguments: Any = None
    output: Any = None


class Expected(BaseModel):
    """What they should say."""

    model_config = _STRICT
    verdict: Verdict
    rule: str | None = None
    reason: str | None = None


class Case(BaseModel):
    """One case."""

    model_config = _STRICT
    name: str
    given: Given
    expect: Verdict | Expected


class Cases(BaseModel):
    """A file of cases.

    Attributes:
        policies: The policies, beside the file.
        cases: The cases.
    """

    model_config = _STRICT
    policies: str
    cases: list[Case]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of a case.

    Attributes:
        name: Its name.
        wrong: What was expected and did not come; empty where it passed.
        verdict: What the policies said, obligations included.
        rule: The rules that decided.
        reason: Why.
        errors: What went wrong.
    """

    name: str
    wrong: str
    verdict: Verdict
    rule: str
    reason: str
    errors: tuple[str, ...]


def read_cases(path: Path) -> Cases:
    """Return the cases of a YAML file.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(
            "test cases of policies need the package pyyaml", fix="install it: pip install 'flujo[cedar]'"
        ) from error
    try:
        return Cases.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", fix="name a YAML file of cases") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path}: {place}: {first['msg']}", fix="see docs/guide/policies-as-code.md for what a case holds"
        ) from error


def run_cases(cases: Cases, policy: CedarPolicy) -> list[CaseResult]:
    """Return what became of cases under a policy."""
    return [_result(case, policy.judge(*_question(case.given))) for case in cases.cases]


def stricter(decision: PolicyDecision) -> Verdict:
    """Return a decision's verdict with what it obliges to: the engine asks a person."""
    asks = {"approve", "approve_by_two"} & set(decision.obligations)
    return Verdict.ESCALATE if asks and decision.verdict is not Verdict.DENY else decision.verdict


def _question(given: Given) -> tuple[PolicyContext, Any]:
    who = given.principal
    principal = (
        Principal(who) if isinstance(who, str) else Principal(who.id, who.roles, who.tenant, who.attributes)
    )
    at = given.at if given.at.tzinfo is not None else given.at.replace(tzinfo=UTC)
    run = ToldRun(
        given.run_id,
        given.pipeline,
        principal,
        given.tenant or principal.tenant,
        int(at.timestamp() * 1e6),
        given.context,
    )
    facts = {"model": given.model, "region": given.region, "labels": given.tool_labels}
    place = PolicyContext(
        given.point, given.step, given.address or given.step, run, given.tool, facts, given.labels
    )
    data = {"input": given.input, "arguments": given.arguments, "output": given.output}
    return place, data[DATA[given.point]]


def _result(case: Case, decision: PolicyDecision) -> CaseResult:
    expected = case.expect if isinstance(case.expect, Expected) else Expected(verdict=case.expect)
    verdict = stricter(decision)
    wrong: list[str] = []
    if verdict is not expected.verdict:
        wrong.append(f"{expected.verdict.value} was expected, and it is {verdict.value}")
    if expected.rule is not None and expected.rule not in decision.rule.split(", "):
        wrong.append(f"rule {expected.rule!r} was expected, and {decision.rule or 'no rule'} decided")
    if expected.reason is not None and expected.reason != decision.reason:
        wrong.append(f"the reason {expected.reason!r} was expected, and it is {decision.reason!r}")
    return CaseResult(case.name, "; ".join(wrong), verdict, decision.rule, decision.reason, decision.errors)
