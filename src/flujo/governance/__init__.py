"""Governance: what runs are allowed to be given, to do and to give, and the rules to say so.

What finds personal data is loaded when it is first used: its rules and packages take a moment.
"""

from typing import TYPE_CHECKING, Any

from flujo.pipeline.labels import DataLabel, Declassify, Label
from flujo.pipeline.policy import (
    EVERYWHERE,
    Deed,
    GovernancePolicy,
    PolicyContext,
    PolicyDecision,
    Principal,
    Verdict,
)

if TYPE_CHECKING:
    from flujo.governance.cedar import CedarPolicy
    from flujo.governance.clearance import Clearance
    from flujo.governance.declared import policies_from
    from flujo.governance.pii import (
        ENTITIES,
        PII,
        Finding,
        KnownValues,
        PIIEngine,
        PIIScrubbingPolicy,
        PresidioEngine,
        RuleEngine,
    )
    from flujo.governance.rules import AtMost, Hours, NoEgressAfter, Regions, Requires, Rule, Tools

__all__ = [
    "ENTITIES",
    "EVERYWHERE",
    "PII",
    "AtMost",
    "CedarPolicy",
    "Clearance",
    "DataLabel",
    "Declassify",
    "Deed",
    "Finding",
    "GovernancePolicy",
    "Hours",
    "KnownValues",
    "Label",
    "NoEgressAfter",
    "PIIEngine",
    "PIIScrubbingPolicy",
    "PolicyContext",
    "PolicyDecision",
    "PresidioEngine",
    "Principal",
    "Regions",
    "Requires",
    "Rule",
    "RuleEngine",
    "Tools",
    "Verdict",
    "policies_from",
]

_RULES = frozenset({"AtMost", "Hours", "NoEgressAfter", "Regions", "Requires", "Rule", "Tools"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flujo.governance' has no attribute {name!r}")
    if name == "CedarPolicy":
        from flujo.governance import cedar

        value: Any = cedar.CedarPolicy
    elif name == "Clearance":
        from flujo.governance import clearance

        value = clearance.Clearance
    elif name == "policies_from":
        from flujo.governance import declared

        value = declared.policies_from
    elif name in _RULES:
        from flujo.governance import rules

        value = vars(rules)[name]
    else:
        from flujo.governance import pii

        value = pii.__getattr__(name)
    globals()[name] = value
    return value
