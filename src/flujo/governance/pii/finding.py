"""What an engine finds: spans of a text, what they are, how sure that is, and which rule says so."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

ENTITIES = (
    "account", "address", "age", "card", "date", "device", "email", "health_plan", "iban", "ip", "license",
    "mac", "mrn", "name", "national_id", "phone", "postcode", "secret", "ssn", "url", "vehicle",
)  # fmt: skip
"""The kinds of personal data that the rules know. Other engines and known values may add to them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of personal data: where it stands and what it is, never what it says.

    Attributes:
        start: Where it begins, in characters of the original text.
        end: Where it ends, exclusive.
        entity: What it is: one of `ENTITIES`, or a name of an engine's own.
        score: How sure the engine is, from 0 to 1.
        rule: The rule that found it, such as ``card.luhn``.
        path: Where its text stands in a scrubbed value, such as ``visits[2].note``; empty for a text.
    """

    start: int
    end: int
    entity: str
    score: float
    rule: str
    path: str = ""


class PIIEngine(Protocol):
    """Finds personal data in a text. It must neither keep nor log what it is given."""

    def find(self, text: str) -> Sequence[Finding]:
        """Return what it finds, in order of place, without overlaps."""
        ...


def settle(findings: Iterable[Finding]) -> list[Finding]:
    """Choose among findings that overlap: the surer, the longer, the earlier, then by entity and rule.

    What loses against one of the same entity lends it what it covers beyond, so that nothing of it shows.

    Returns:
        What remains, in order of place. The order in which findings are given never matters.
    """
    kept: list[Finding] = []
    cluster: list[Finding] = []
    reach = 0
    for finding in sorted(findings, key=lambda one: one.start):
        if cluster and finding.start >= reach:
            kept += _chosen(cluster)
            cluster = []
        cluster.append(finding)
        reach = finding.end if len(cluster) == 1 else max(reach, finding.end)
    return kept + _chosen(cluster)


def _chosen(cluster: list[Finding]) -> list[Finding]:
    """Choose among findings of which each overlaps another."""
    if len(cluster) < 2:
        return cluster
    ranked = sorted(
        set(cluster), key=lambda one: (-one.score, one.start - one.end, one.start, one.entity, one.rule)
    )
    starts: list[int] = []
    kept: list[Finding] = []
    for finding in ranked:
        at = bisect_left(starts, finding.start)
        before = kept[at - 1] if at and kept[at - 1].end > finding.start else None
        after = kept[at] if at < len(kept) and kept[at].start < finding.end else None
        if before is None and after is None:
            starts.insert(at, finding.start)
            kept.insert(at, finding)
        if before and before.entity == finding.entity:
            end = min(max(before.end, finding.end), after.start if after else finding.end)
            kept[at - 1] = replace(before, end=max(end, before.end))
        elif after and after.entity == finding.entity:
            starts[at] = min(after.start, max(finding.start, before.end if before else 0))
            kept[at] = replace(after, start=starts[at], end=_free_end(kept, at, finding.end))
    return kept


def _free_end(kept: list[Finding], at: int, end: int) -> int:
    """Return how far a kept finding may grow before the next begins."""
    limit = kept[at + 1].start if at + 1 < len(kept) else end
    return max(kept[at].end, min(end, limit))
