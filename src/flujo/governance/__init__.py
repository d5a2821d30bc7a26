"""Governance: what runs are allowed to be given, to do and to give, and the rules to say so."""

from flujo.pipeline.policy import (
    GovernancePolicy,
    PolicyContext,
    PolicyDecision,
    Principal,
    Verdict,
)

__all__ = ["GovernancePolicy", "PolicyContext", "PolicyDecision", "Principal", "Verdict"]
