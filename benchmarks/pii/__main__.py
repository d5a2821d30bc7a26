"""`python -m benchmarks.pii`: precision, recall, F1, leaked characters and speed, per entity and in all.

A value counts as found where findings of its entity cover half of it; a finding that meets no value of its
entity counts as invented. Leaked is the share of a value's characters that no finding covers at all.
"""

import argparse
import json
from collections.abc import Iterable

from benchmarks.pii.corpus import corpus, negatives
from benchmarks.pii.measure import STRUCTURED, Score, measure
from benchmarks.pii.systems import SYSTEMS


def main() -> None:
    """Measure, and print a table and, with `--json`, the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pii", description=__doc__)
    parser.add_argument("--part", default="heldout", choices=["training", "heldout"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--copies", type=int, default=12, help="how often each template is filled")
    parser.add_argument("--only", default=",".join(SYSTEMS), help="systems, separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts = [*corpus(options.part, options.seed, options.copies), *negatives(options.seed)]
    scores = {name: measure(SYSTEMS[name](), texts) for name in options.only.split(",")}
    if options.json:
        print(json.dumps({name: _numbers(score) for name, score in scores.items()}, indent=2))
        return
    for name, score in scores.items():
        print(f"\n{name}: {score.size / 1000:.0f} KB, {score.speed:.0f} KB/s")
        print(f"  {'entity':<12}{'precision':>10}{'recall':>8}{'F1':>7}{'leaked':>8}{'values':>8}")
        for kind, entities in _groups(score):
            count = sum(score.hits[entity] + score.missed[entity] for entity in entities)
            print(
                f"  {kind:<12}{score.precision(entities):>10.3f}{score.recall(entities):>8.3f}"
                f"{score.f1(entities):>7.3f}{score.leak(entities):>8.3f}{count:>8}"
            )


def _groups(score: Score) -> Iterable[tuple[str, list[str]]]:
    entities = sorted({*score.hits, *score.missed})
    yield from ((entity, [entity]) for entity in entities)
    invented = sorted({*entities, *score.invented})
    yield "structured", [entity for entity in invented if entity in STRUCTURED]
    yield "all", invented


def _numbers(score: Score) -> dict[str, object]:
    groups = {
        kind: {
            "precision": round(score.precision(entities), 4),
            "recall": round(score.recall(entities), 4),
            "f1": round(score.f1(entities), 4),
            "leaked": round(score.leak(entities), 4),
        }
        for kind, entities in _groups(score)
    }
    return {"kb_per_second": round(score.speed), "groups": groups}


if __name__ == "__main__":
    main()
