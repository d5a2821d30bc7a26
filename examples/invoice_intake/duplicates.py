"""Telling whether an invoice was seen before: one supplier, one number, one amount."""

from __future__ import annotations

import re
from decimal import Decimal

from .document import fold
from .facts import Facts
from .supplier import supplier_key

CENT = Decimal("0.01")


def duplicate_key(facts: Facts) -> str | None:
    """The key under which an invoice is known; None if supplier, number or amount were not read.

    The same invoice gives the same key however it is written: "Müller GmbH" and "MUELLER"-like differences
    of case, accents, punctuation and legal form do not count, nor do blanks and signs in the number.
    """
    supplier, number, gross = (
        facts.supplier.supplier.value,
        facts.supplier.number.value,
        facts.amounts.gross.value,
    )
    if supplier is None or number is None or gross is None:
        return None
    return entry_key(supplier, number, gross)


def entry_key(supplier: str, number: str, gross: Decimal) -> str:
    """The key of a supplier, a number and an amount that are all known."""
    return "|".join((supplier_key(supplier), number_key(number), str(gross.quantize(CENT))))


def number_key(number: str) -> str:
    """An invoice number without case, blanks, punctuation and leading zeros."""
    return re.sub(r"[^a-z0-9]", "", fold(number)).lstrip("0") or "0"
