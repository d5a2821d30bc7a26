"""The invented papers that the reading is held to: `layouts/*.page`, each with the facts that it states."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from examples.invoice_intake.drawing import Sheet, draw_sheet, read_sheet
from examples.invoice_intake.facts import Facts
from examples.invoice_intake.gather import read_facts
from examples.invoice_intake.proof import Proof, prove
from examples.invoice_intake.reading import read_pdf

LAYOUTS = [read_sheet(path) for path in sorted((Path(__file__).parent / "layouts").glob("*.page"))]


def judge(sheet: Sheet, folder: Path) -> tuple[Facts, Proof]:
    """Draw a sheet, read it and prove it."""
    path = folder / f"{sheet.name}.pdf"
    path.write_bytes(draw_sheet(sheet))
    reading = read_pdf(path)
    facts = read_facts(reading)
    return facts, prove(reading, facts)


def as_stated(facts: Facts) -> dict[str, str | None]:
    """The facts in the words of a page file."""
    values: dict[str, str | date | Decimal | int | None] = {
        "kind": facts.kind,
        "supplier": facts.supplier.supplier.value,
        "number": facts.supplier.number.value,
        "date": facts.dates.issued.value,
        "due": facts.dates.due.value,
        "currency": facts.amounts.currency.value,
        "net": facts.amounts.net.value,
        "tax": facts.amounts.tax.value,
        "gross": facts.amounts.gross.value,
        "lines": len(facts.lines.items),
    }
    return {name: None if value is None else str(value) for name, value in values.items()}
