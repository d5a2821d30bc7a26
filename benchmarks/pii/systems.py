"""What is measured: Flujo's rules, alone and with known values; Presidio without a model; plain patterns."""

import re
from collections.abc import Callable, Sequence

from benchmarks.pii.corpus import Labelled
from benchmarks.pii.measure import Finder, Span
from flujo.governance import Finding, KnownValues, PresidioEngine, RuleEngine
from flujo.governance.pii.finding import settle

PLAIN = {
    "email": r"[\w.+-]+@[\w-]+\.[\w.-]+",
    "phone": r"\+?\d[\d\s().-]{7,}\d",
    "card": r"\b(?:\d[ -]?){13,16}\b",
    "iban": r"\b[A-Z]{2}\d{2}[A-Z0-9 ]{11,30}\b",
    "ssn": r"\b\d{3}-\d{2}-\d{4}\b",
    "ip": r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    "mac": r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b",
    "url": r"https?://\S+",
    "date": r"\b\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}\b",
    "postcode": r"\b\d{5}\b",
    "name": r"\b(?:Mr|Mrs|Ms|Dr)\.? [A-Z]\w+(?: [A-Z]\w+)?",
}
"""What one writes in an afternoon."""


def _spans(found: Sequence[Finding]) -> list[Span]:
    return [(one.start, one.end, one.entity) for one in found]


def rules() -> Finder:
    """Return the engine of rules."""
    engine = RuleEngine()
    return lambda labelled: _spans(engine.find(labelled.text))


def rules_and_known() -> Finder:
    """Return the rules with what a record's typed fields hold; making that ready is measured, too."""
    engine = RuleEngine()

    def find(labelled: Labelled) -> list[Span]:
        known = KnownValues(labelled.record)
        return _spans(settle([*engine.find(labelled.text), *known.find(labelled.text)]))

    return find


def presidio() -> Finder:
    """Return Presidio for English, without a language model and offline."""
    engine = PresidioEngine()
    return lambda labelled: _spans(engine.find(labelled.text))


def plain() -> Finder:
    """Return plain regular expressions."""
    patterns = [(entity, re.compile(pattern)) for entity, pattern in PLAIN.items()]

    def find(labelled: Labelled) -> list[Span]:
        return [
            (*match.span(), entity)
            for entity, pattern in patterns
            for match in pattern.finditer(labelled.text)
        ]

    return find


SYSTEMS: dict[str, Callable[[], Finder]] = {
    "flujo": rules,
    "flujo+known": rules_and_known,
    "presidio": presidio,
    "plain": plain,
}
