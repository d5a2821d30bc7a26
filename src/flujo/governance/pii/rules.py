"""The engine of rules: patterns, checksums and context, in passes that are linear in the text."""

from collections.abc import Callable, Iterator, Sequence

from flujo.governance.pii.credentials import secrets
from flujo.governance.pii.dates import dates
from flujo.governance.pii.encoded import decoded
from flujo.governance.pii.finding import Finding, settle
from flujo.governance.pii.labelled import ages, devices, health, labelled, vehicles
from flujo.governance.pii.names import again, names
from flujo.governance.pii.national import national_ids
from flujo.governance.pii.network import emails, ips, macs, urls
from flujo.governance.pii.numbers import cards, ibans
from flujo.governance.pii.opaque import opaque
from flujo.governance.pii.phones import phones
from flujo.governance.pii.places import addresses
from flujo.governance.pii.postcodes import near_streets, postcodes
from flujo.governance.pii.view import View, view_of

Rule = Callable[[str], Iterator[Finding]]

SURE: tuple[Rule, ...] = (secrets, emails, urls, ips, macs, cards, ibans, vehicles, devices, health, dates)
"""What shape and checksum alone tell. What they find is covered before the rest looks."""
LIKELY: tuple[Rule, ...] = (national_ids, phones, labelled, ages)
"""What needs a word beside it, or a numbering plan."""

SURE_ENOUGH = 0.5
"""How sure a finding is that nothing else is looked for in its place."""

_COVER = "\x00"


class RuleEngine:
    """Finds personal data without a model and without a download.

    The time it takes grows with the text and no faster, whatever the text. Spans are those of the text given,
    also where an identifier was written with invisible characters, in look-alike letters or encoded.

    Args:
        entities: What to look for, of `ENTITIES`; everything where it is left out.
        threshold: How sure a finding must be, from 0 to 1.
        depth: How often something encoded may be encoded again.
    """

    def __init__(
        self, *, entities: Sequence[str] | None = None, threshold: float = 0.5, depth: int = 3
    ) -> None:
        self._entities = None if entities is None else frozenset(entities)
        self._threshold = threshold
        self._depth = depth

    def find(self, text: str) -> list[Finding]:
        """Return the personal data of a text, in order of place, without overlaps."""
        found = [
            finding
            for finding in settle(self._all(text, self._depth))
            if self._entities is None or finding.entity in self._entities
        ]
        return [finding for finding in found if finding.score >= self._threshold]

    def _all(self, text: str, depth: int) -> list[Finding]:
        view = view_of(text)
        found = [_original(view, finding) for finding in look(view.text)]
        if depth > 0:
            for start, end, inner, whole in decoded(text):
                inside = self._all(inner.text, depth - 1)
                if whole:  # nothing in it has a place of its own: once is enough, however much it holds
                    inside = list(
                        {one.entity: one for one in inside if one.score >= self._threshold}.values()
                    )
                for finding in inside:
                    first, last = (start, end) if whole else inner.span(finding.start, finding.end)
                    found.append(
                        Finding(first, last, finding.entity, finding.score, f"{finding.rule}.encoded")
                    )
        return found


def look(text: str) -> list[Finding]:
    """Return what all rules find in a text that is read as it stands, overlaps included."""
    found = [finding for rule in SURE for finding in rule(text)]
    covered = _covered(text, [*((one.start, one.end) for one in settle(found)), *opaque(text)])
    numbers = [finding for rule in LIKELY for finding in rule(covered)]
    covered = _covered(covered, [(one.start, one.end) for one in numbers if one.score >= SURE_ENOUGH])
    streets = [*addresses(covered)]
    places = [*streets, *postcodes(covered), *near_streets(covered, streets)]
    covered = _covered(covered, [(one.start, one.end) for one in places])
    people = list(names(covered))
    return [*found, *numbers, *places, *people, *again(covered, people)]


def _covered(text: str, spans: list[tuple[int, int]]) -> str:
    """Return the text with what was found already written over, so that nothing else begins inside it."""
    if not spans:
        return text
    parts: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if end > at:
            start = max(start, at)
            parts += (text[at:start], _COVER * (end - start))
            at = end
    parts.append(text[at:])
    return "".join(parts)


def _original(view: View, finding: Finding) -> Finding:
    if not view.starts:
        return finding
    start, end = view.span(finding.start, finding.end)
    return Finding(start, end, finding.entity, finding.score, finding.rule)
