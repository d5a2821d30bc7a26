"""What was read of an invoice, field by field, with where it stands and why it was believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from .facts import Fact, Facts
from .posting import Entry


@dataclass(frozen=True, slots=True)
class Evidence:
    """One field: its value, and the line it was read from.

    Attributes:
        name: The field.
        value: What was read; None where nothing was.
        printed: The line, with its page.
        why: Why it was believed, or why not.
        considered: Other readings that were possible.
    """

    name: str
    value: str | None
    printed: str
    why: str
    considered: tuple[str, ...]


def evidence_of(facts: Facts) -> list[Evidence]:
    """Return the evidence of all fields that are posted, and of the due date."""
    amounts = facts.amounts
    return [
        _evidence("supplier", facts.supplier.supplier),
        _evidence("number", facts.supplier.number),
        _evidence("date", facts.dates.issued),
        _evidence("due", facts.dates.due),
        _evidence("currency", amounts.currency),
        _evidence("net", amounts.net),
        _evidence("tax", amounts.tax),
        _evidence("gross", amounts.gross),
    ]


def values_of(entry: Entry) -> dict[str, str | None]:
    """Return the fields of an entry as text."""
    fields: dict[str, str | date | Decimal | None] = dict(entry)
    return {name: None if value is None else str(value) for name, value in fields.items()}


def _evidence(name: str, fact: Fact[str] | Fact[date] | Fact[Decimal]) -> Evidence:
    value = None if fact.value is None else str(fact.value)
    printed = " ".join(fact.printed.split())
    if printed and fact.page is not None:
        printed = f"p. {fact.page}: {printed}"
    return Evidence(name, value, printed, fact.why, fact.considered)
