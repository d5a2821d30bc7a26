"""All facts of one document, read by rules alone."""

from __future__ import annotations

from .amounts import find_amounts
from .dates import find_dates
from .document import Reading
from .facts import AmountFacts, DateFacts, Facts, LineFacts, LineItem, SupplierFacts
from .line_items import find_lines
from .paper import document_kind
from .supplier import find_supplier


def read_facts(reading: Reading) -> Facts:
    """Read everything that the rules can find; the four readers are independent of each other."""
    return gather(
        reading, find_supplier(reading), find_dates(reading), find_amounts(reading), find_lines(reading)
    )


def gather(
    reading: Reading, supplier: SupplierFacts, dates: DateFacts, amounts: AmountFacts, lines: LineFacts
) -> Facts:
    """Join what the four readers found; the amounts of a credit note become negative."""
    kind, reason = document_kind(reading)
    if kind == "credit_note":
        amounts, lines = _negative(amounts), _negative_lines(amounts, lines)
    return Facts(
        file=reading.file,
        kind=kind,
        reason=reason,
        supplier=supplier,
        dates=dates,
        amounts=amounts,
        lines=lines,
    )


def _negative(amounts: AmountFacts) -> AmountFacts:
    if amounts.gross.value is None or amounts.gross.value < 0:
        return amounts
    parts = {
        name: fact.model_copy(
            update={"value": -fact.value, "why": f"{fact.why}; negative, as it is a credit note"}
        )
        for name, fact in (("net", amounts.net), ("tax", amounts.tax), ("gross", amounts.gross))
        if fact.value is not None
    }
    taxes = tuple(one.model_copy(update={"tax": -one.tax}) for one in amounts.taxes)
    return amounts.model_copy(update={**parts, "taxes": taxes, "adjustments": -amounts.adjustments})


def _negative_lines(amounts: AmountFacts, lines: LineFacts) -> LineFacts:
    if amounts.gross.value is None or amounts.gross.value < 0:
        return lines
    items: tuple[LineItem, ...] = tuple(
        item.model_copy(update={"total": -item.total}) for item in lines.items
    )
    return lines.model_copy(update={"items": items})
