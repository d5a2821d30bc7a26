"""Personal data: found by rules, checksums, context and known values, and taken out of any value.

The names are loaded when they are first used: the rules and their packages take a moment.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.governance.pii.fields import PII, of_key
    from flujo.governance.pii.finding import ENTITIES, Finding, PIIEngine
    from flujo.governance.pii.known import KnownValues
    from flujo.governance.pii.legacy import bytes_of, text_of
    from flujo.governance.pii.policy import PIIScrubbingPolicy
    from flujo.governance.pii.presidio import PresidioEngine
    from flujo.governance.pii.rules import RuleEngine
    from flujo.governance.pii.scrub import Scrubber
    from flujo.governance.pii.walk import Date, Number, Rewriter, rewritten

__all__ = [
    "ENTITIES",
    "PII",
    "Date",
    "Finding",
    "KnownValues",
    "Number",
    "PIIEngine",
    "PIIScrubbingPolicy",
    "PresidioEngine",
    "Rewriter",
    "RuleEngine",
    "Scrubber",
    "bytes_of",
    "of_key",
    "rewritten",
    "text_of",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flujo.governance.pii' has no attribute {name!r}")
    from flujo.governance.pii import fields, finding, known, legacy, policy, presidio, rules, scrub, walk

    modules = (fields, finding, known, legacy, policy, presidio, rules, scrub, walk)
    return next(vars(module)[name] for module in modules if name in vars(module))
