"""The targets, held on the texts of the benchmark: what Flujo finds must not get worse."""

import pytest

from benchmarks.pii.corpus import corpus, negatives
from benchmarks.pii.measure import STRUCTURED, measure
from benchmarks.pii.systems import plain, rules, rules_and_known


@pytest.mark.parametrize("part", ["training", "heldout"])
def test_identifiers_and_known_values(part: str) -> None:
    texts = [*corpus(part, seed=7, copies=4), *negatives(seed=7, copies=3)]
    alone, known = measure(rules(), texts), measure(rules_and_known(), texts)
    structured, everything = sorted(STRUCTURED), sorted({*alone.hits, *alone.missed, *alone.invented})
    assert alone.precision(structured) >= 0.98
    assert alone.recall(structured) >= 0.98
    assert known.precision(everything) >= 0.98
    assert known.recall(everything) >= 0.98
    assert known.leak(everything) <= 0.02


def test_the_measure_tells_a_worse_system() -> None:
    score = measure(plain(), corpus("heldout", copies=2))
    assert score.precision(sorted(STRUCTURED)) < 0.8
    assert score.recall(sorted(STRUCTURED)) < 0.8
