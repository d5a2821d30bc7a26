"""Counts what was found, missed, invented and leaked."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import process_time

from benchmarks.pii.corpus import Labelled

Span = tuple[int, int, str]
Finder = Callable[[Labelled], Sequence[Span]]

STRUCTURED = frozenset(
    (
        "account",
        "age",
        "card",
        "date",
        "device",
        "email",
        "health_plan",
        "iban",
        "ip",
        "mac",
        "mrn",
        "national_id",
        "phone",
        "postcode",
        "secret",
        "ssn",
        "url",
        "vehicle",
    )
)
"""What has a form of its own; names and street addresses have not."""
ALIKE = {"ssn": "national_id"}
"""Entities that are one to measure by: whether a number is an SSN or another national number."""


@dataclass(slots=True)
class Score:
    """What a system found in some texts, by entity."""

    hits: Counter[str] = field(default_factory=Counter[str])
    missed: Counter[str] = field(default_factory=Counter[str])
    invented: Counter[str] = field(default_factory=Counter[str])
    leaked: Counter[str] = field(default_factory=Counter[str])
    characters: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    size: int = 0
    misses: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    inventions: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def precision(self, entities: Iterable[str]) -> float:
        """Return how much of what was said to be of these entities is."""
        hits, wrong = self._sum(self.hits, entities), self._sum(self.invented, entities)
        return hits / (hits + wrong) if hits + wrong else 1.0

    def recall(self, entities: Iterable[str]) -> float:
        """Return how much of what is of these entities was found."""
        hits, missed = self._sum(self.hits, entities), self._sum(self.missed, entities)
        return hits / (hits + missed) if hits + missed else 1.0

    def f1(self, entities: Iterable[str]) -> float:
        """Return the harmonic mean of precision and recall."""
        precision, recall = self.precision(entities), self.recall(entities)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def leak(self, entities: Iterable[str]) -> float:
        """Return which share of the characters of personal data no finding covers, of whatever entity."""
        all_of = self._sum(self.characters, entities)
        return self._sum(self.leaked, entities) / all_of if all_of else 0.0

    @property
    def speed(self) -> float:
        """Kilobytes of text a second, on one core."""
        return self.size / 1000 / self.seconds if self.seconds else 0.0

    def _sum(self, counter: Counter[str], entities: Iterable[str]) -> int:
        return sum(counter[entity] for entity in entities)


def measure(find: Finder, texts: Sequence[Labelled]) -> Score:
    """Run a system over texts: a value is found where findings of its entity cover half of it."""
    score = Score()
    for labelled in texts[:20]:
        find(labelled)  # what is loaded once is not what is measured
    for labelled in texts:
        started = process_time()
        found = list(find(labelled))
        score.seconds += process_time() - started
        score.size += len(labelled.text.encode())
        _count(score, labelled, found)
    return score


def _count(score: Score, labelled: Labelled, found: list[Span]) -> None:
    text = labelled.text
    used: set[int] = set()
    for start, end, entity in labelled.spans:
        kind = ALIKE.get(entity, entity)
        covered = bytearray(end - start)
        best = 0
        for at, (first, last, said) in enumerate(found):
            overlap = min(end, last) - max(start, first)
            if overlap <= 0:
                continue
            covered[max(start, first) - start : min(end, last) - start] = b"\x01" * overlap
            if ALIKE.get(said, said) == kind:
                used.add(at)
                best += overlap
        if 2 * best >= end - start:
            score.hits[kind] += 1
        else:
            score.missed[kind] += 1
            around = text[max(0, start - 25) : end + 10]
            score.misses.append((kind, text[start:end], around.replace("\n", "⏎")))
        score.characters[kind] += end - start
        score.leaked[kind] += covered.count(0)
    for at, (first, last, said) in enumerate(found):
        if at not in used:
            score.invented[ALIKE.get(said, said)] += 1
            around = text[max(0, first - 25) : last + 10]
            score.inventions.append((ALIKE.get(said, said), text[first:last], around.replace("\n", "⏎")))
