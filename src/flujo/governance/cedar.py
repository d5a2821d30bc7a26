"""Policies as code: what is allowed, written in Cedar.

Cedar itself fails open: a ``forbid`` that cannot be evaluated beside a ``permit`` allows. Here only an
explicit Allow without any error allows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from flujo.errors import ConfigError
from flujo.governance.cedar_bundle import Bundle, cedar_module
from flujo.governance.cedar_request import Request, observing, request_of
from flujo.governance.cedar_switch import KillSwitch
from flujo.governance.cedar_values import NotForCedar
from flujo.pipeline.policy import (
    EVERYWHERE,
    WITHIN,
    GovernancePolicy,
    Mode,
    PolicyContext,
    PolicyDecision,
    Principal,
    Verdict,
)

Redact = Callable[[Any, PolicyContext], Any]

_FAILED = re.compile(r"error while evaluating policy `(policy\d+)`: (.*)", re.DOTALL)
_WHY = re.compile(
    r"record does not have the attribute `\w+`|type error: expected [\w ,()`:]+|integer overflow"
    r"|error while evaluating `\w+` extension function"
)
"""What Cedar's errors say that stands in the policy, and is of no data."""


class Ruling(NamedTuple):
    """What the policies of a bundle say of one request.

    Attributes:
        allows: Whether they explicitly allow it, without any error.
        rules: The ids of the rules that decided; none where nothing matched.
        reasons: What those give as reasons.
        obligations: What the permits among them oblige to.
        errors: What went wrong: anything denies.
    """

    allows: bool
    rules: Sequence[str] = ()
    reasons: Sequence[str] = ()
    obligations: Sequence[str] = ()
    errors: Sequence[str] = ()


class CedarPolicy(GovernancePolicy):
    """Judges by policies written in Cedar (https://www.cedarpolicy.com).

    The principal is ``Principal``, in its ``Role``; the action is one of the eight points
    (``Action::"input"``, ``"before_tool"``, …), each in the group of its method (``"check_input"``,
    ``"check_tool"``, ``"check_output"``); the resource is a ``Tool`` in its ``Step``, or a ``Step``, each in
    its ``Pipeline``; all else is in ``context``.
    Only an explicit Allow allows: what no permit matches is denied, and so is what any policy fails on.
    A permit may oblige to more by ``@obligation``: ``approve``, ``approve_by_two``, ``no_cache``, ``warn``,
    ``redact``; one that nobody knows denies.

    A run keeps the policies that it began with, whatever the files say later.

    Args:
        source: A folder with ``.cedar`` files, one file, a text, or texts by name.
        name: Its name in the journal: a run knows by it which policies are its own.
        mode: ``"observe"`` records what it decides and gives it no force.
        kill_switch: A file of policies that is read anew whenever it changes, and holds for every run at
            once. It can only tighten: what it forbids, or fails on, is denied. While there is no such file
            it forbids nothing.
        redact: What ``@obligation("redact")`` does to data; takes out personal data when left out.
        timeout: How many seconds one judgement may take before it denies.

    Raises:
        ConfigError: The policies cannot be read, or the extra `cedar` is not installed.

    Example:
        >>> from flujo.governance import CedarPolicy
        >>> policy = CedarPolicy('permit (principal, action, resource);')
        >>> len(policy.version)
        64
    """

    def __init__(
        self,
        source: str | Path | Mapping[str, str] | Bundle,
        *,
        name: str = "cedar",
        mode: Mode = "enforce",
        kill_switch: str | Path | None = None,
        redact: Redact | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.bundle = source if isinstance(source, Bundle) else Bundle.read(source)
        self.id = name
        self.mode: Mode = mode
        self.timeout = timeout
        self.version = self.bundle.version
        self._named = WITHIN | self.bundle.named_points
        self.points = self._named if kill_switch is None else EVERYWHERE
        self._kill_switch = None if kill_switch is None else KillSwitch(Path(kill_switch))
        self._redact = redact
        if redact is None and any("redact" in rule.obligations for rule in self.bundle.rules.values()):
            self._redact = _scrubbing()

    @property
    def recorded(self) -> bytes:
        """What a run keeps of it: its policies."""
        return self.bundle.content

    def as_recorded(self, content: bytes) -> CedarPolicy:
        """Return it with the policies that a run kept, everything else as it is.

        Raises:
            ConfigError: They cannot be read.
        """
        bundle = Bundle.recorded(content)
        switch = None if self._kill_switch is None else self._kill_switch.path
        return CedarPolicy(
            bundle,
            name=self.id,
            mode=self.mode,
            kill_switch=switch,
            redact=self._redact,
            timeout=self.timeout,
        )

    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        """Judge what a step, or a model, is given."""
        return await self._judged(context, input_data)

    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        """Judge a call of a tool."""
        return await self._judged(context, arguments)

    async def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        """Judge what a step, a tool or a model gives."""
        return await self._judged(context, output)

    def judge(self, context: PolicyContext, data: Any) -> PolicyDecision:
        """Return what the policies say of data at a point of a run, the kill switch included."""
        return self._redacted(self._decided(context, data), context, data)

    async def _judged(self, context: PolicyContext, data: Any) -> PolicyDecision:
        """Return the same; what takes long, as to redact may, does not hold the event loop up."""
        decision = self._decided(context, data)
        if "redact" not in decision.obligations:
            return decision
        return await asyncio.to_thread(self._redacted, decision, context, data)

    def _redacted(self, decision: PolicyDecision, context: PolicyContext, data: Any) -> PolicyDecision:
        """Return a decision that obliges to redact with the data redacted."""
        if "redact" not in decision.obligations or self._redact is None:
            return decision
        left = tuple(one for one in decision.obligations if one != "redact")
        return replace(decision, verdict=Verdict.REDACT, data=self._redact(data, context), obligations=left)

    def _decided(self, context: PolicyContext, data: Any) -> PolicyDecision:
        version = self.bundle.version
        bundles = [self.bundle] if context.point in self._named else []
        mentions = self.bundle.mentions if bundles else frozenset[str]()
        try:
            switch = None if self._kill_switch is None else self._kill_switch.bundle()
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            return failed(f"the kill switch cannot be read: {error}", version)
        if switch is not None:
            bundles, version = [*bundles, switch], f"{version}+{switch.version}"
            mentions = None if mentions is None or switch.mentions is None else mentions | switch.mentions
        if not bundles:
            return PolicyDecision(Verdict.ALLOW, version=version)
        try:
            request = request_of(context, data, mentions)
        except NotForCedar as error:
            return failed(f"what is judged cannot be told to Cedar: {error}", version)
        ruling = together([ruled(bundle, request) for bundle in bundles])
        return _decision(ruling, version, request.digest)

    def may_observe(self, principal: Principal, pipeline: str, tenant: str, at: datetime) -> PolicyDecision:
        """Return whether these policies allow that they lose their force in a run: ``Action::"observe"``."""
        request = observing(principal, pipeline, tenant, at)
        ruling = ruled(self.bundle, request)
        rule, reason = ", ".join(ruling.rules), "; ".join((*ruling.reasons, *ruling.errors))
        allows = ruling.allows and not ruling.obligations
        verdict = Verdict.ALLOW if allows else Verdict.DENY
        return PolicyDecision(
            verdict,
            reason or ("" if allows else "no policy permits it"),
            rule,
            version=self.version,
            inputs=request.digest,
        )


def _decision(ruling: Ruling, version: str, inputs: str) -> PolicyDecision:
    rule, reason = ", ".join(ruling.rules), "; ".join(ruling.reasons)
    if ruling.errors:
        return failed("; ".join(ruling.errors), version, rule, inputs)
    if not ruling.allows:
        reason = reason or ("it is forbidden" if rule else "no policy permits it")
        return PolicyDecision(Verdict.DENY, reason, rule, version=version, inputs=inputs)
    verdict = Verdict.WARN if "warn" in ruling.obligations else Verdict.ALLOW
    left = tuple(sorted({*ruling.obligations} - {"warn"}))
    return PolicyDecision(verdict, reason, rule, obligations=left, version=version, inputs=inputs)


def failed(what: str, version: str, rule: str = "", inputs: str = "") -> PolicyDecision:
    """Return the denial of what could not be judged."""
    return PolicyDecision(Verdict.DENY, what, rule, version=version, inputs=inputs, errors=(what,))


def together(rulings: Sequence[Ruling]) -> Ruling:
    """Return what several bundles come to: all must allow, and all that any obliges to holds."""
    against = [ruling for ruling in rulings if not ruling.allows]
    rulings = against or rulings
    return Ruling(
        not against,
        [rule for ruling in rulings for rule in ruling.rules],
        [reason for ruling in rulings for reason in ruling.reasons],
        [one for ruling in rulings for one in ruling.obligations],
        [error for ruling in rulings for error in ruling.errors],
    )


def ruled(bundle: Bundle, request: Request) -> Ruling:
    """Return what the policies of a bundle say of a request: Allow without any error, or a denial.

    For a denial the rules that forbid count; those that permit beside them have decided nothing.
    """
    answer = cedar_module().is_authorized(dict(request.facts), bundle.parsed, request.entities)
    errors = [_told(bundle, text) for text in answer.diagnostics.errors]
    decided = [bundle.rules[name] for name in answer.diagnostics.reasons]
    permitted = any(rule.permits for rule in decided)
    allows = answer.allowed and not errors and permitted
    if not allows and not errors and answer.decision.value != "Deny":
        errors = [f"Cedar decided {answer.decision.value}"]
    return Ruling(
        allows,
        [rule.id for rule in decided],
        [rule.reason for rule in decided if rule.reason],
        [one for rule in decided for one in rule.obligations],
        errors,
    )


def _told(bundle: Bundle, text: str) -> str:
    """Return an error of Cedar's with the rule by its own id, and without the values that it may quote."""
    found = _FAILED.match(text)
    if found is None:
        return "a policy cannot be evaluated"
    why = _WHY.match(found[2])
    return f"the rule {_id(bundle, found[1])!r} cannot be evaluated" + (f": {why[0]}" if why else "")


def _id(bundle: Bundle, name: str) -> str:
    return bundle.rules[name].id if name in bundle.rules else name


def _scrubbing() -> Redact:
    """Return what takes out personal data."""
    from flujo.governance.pii import PIIScrubbingPolicy

    policy = PIIScrubbingPolicy()
    return lambda data, context: policy.redacted(data, context)[0]
