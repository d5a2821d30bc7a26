"""The report: one page that shows every file, its evidence, its proof and its run's timeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flujo.journal.verify import Report

from .desk import Outcome
from .evidence import evidence_of
from .screen import amount, cost, reuse, told
from .timeline import timeline

HERE = Path(__file__).parent


def report_html(outcomes: Sequence[Outcome], audit: Sequence[Report]) -> str:
    """Return the report as one HTML document that needs nothing else: no script, no font, no network.

    Args:
        outcomes: What became of each file.
        audit: The verdict on every run of the store.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        counts=Counter(told(outcome)[0] for outcome in outcomes),
        files=[_file(outcome) for outcome in outcomes],
        audit=audit,
        events=sum(one.events for one in audit),
        broken=[one for one in audit if not one.sound],
    )


def _file(outcome: Outcome) -> dict[str, object]:
    """Return what the template shows of one file."""
    case, row = outcome.case, outcome.row
    word, why = told(outcome)
    return {
        "name": outcome.item.name,
        "run_id": outcome.item.run_id,
        "word": word,
        "why": why,
        "row": row,
        "amount": "" if row is None else amount(row),
        "cost": cost(outcome),
        "reuse": reuse(outcome) if outcome.reused else "",
        "evidence": [] if case is None else evidence_of(case.facts),
        "lines": () if case is None else case.facts.lines.items,
        "checks": () if case is None else case.proof.checks,
        "kind": "" if case is None else case.facts.kind.replace("_", " "),
        "read_by": "" if case is None else case.facts.read_by,
        "bars": timeline(outcome.events),
        "head": outcome.events[-1].hash.hex() if outcome.events else "",
        "events": len(outcome.events),
    }
