"""Do all totals of the page agree? What differs must be explained: a part, another month."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from .amounts import CENT
from .checks import Check
from .document import Document
from .facts import Facts
from .labels import Labelled
from .printed import Printed, printed_numbers


def totals_check(labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """Every amount that is called the total is the gross amount, or its difference is explained."""
    name = "totals"
    called = [
        one
        for one in labelled
        if one.role in ("gross", "due")
        and one.strength >= 2
        and one.manner in ("row", "table", "over", "behind")
    ]
    same = [one for one in called if one.value == gross]
    if not same and not any(
        one.role == "total" and one.strength >= 2 and one.value == gross for one in labelled
    ):
        return Check(name=name, outcome="unknown", sentence=f"No clear label says that {gross} is the total.")
    others = [one for one in called if one.value != gross and one.value != 0]
    for one in others:
        if abs(one.value) > abs(gross) + CENT:
            return Check(
                name=name, outcome="failed", sentence=f'"{one.label}" says {one.value}, more than {gross}.'
            )
        if one.role == "due":
            sentence = f'"{one.label}" says {one.value}, the total says {gross}.'
            return Check(name=name, outcome="unknown", sentence=sentence)
    parts = [one.value for one in others]
    if parts and sum(set(parts)) != gross and sum(parts) != gross:
        return Check(
            name=name,
            outcome="unknown",
            sentence=f'"{others[0].label}" says {others[0].value}, the total says {gross}.',
        )
    if any(one.role == "previous" and one.value for one in labelled):
        return Check(name=name, outcome="unknown", sentence="A balance of an earlier bill is part of it.")
    times = f" in {len(same)} places" if len(same) > 1 else ""
    return Check(
        name=name,
        outcome="passed",
        sentence=f"The total {gross} is printed{times} and no other total differs.",
    )


def larger_check(document: Document, facts: Facts, labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """No amount of money on the page is larger than the gross amount without a reason."""
    name = "larger amounts"
    explained = {
        (one.amount.line, one.amount.start)
        for one in labelled
        if one.role in ("noise", "saved", "previous")
        or (one.role in ("net", "base") and facts.amounts.adjustments < 0)
    }
    reduced = facts.amounts.adjustments < 0 or any(item.total < 0 for item in facts.lines.items)
    positions = {abs(item.total) for item in facts.lines.items} | {
        abs(item.unit_price) for item in facts.lines.items if item.unit_price is not None
    }
    for one in printed_numbers(document):
        if not one.monetary or abs(one.value) <= abs(gross) + CENT or (one.line, one.start) in explained:
            continue
        if _is_aside(document, one) or (reduced and abs(one.value) in positions):
            continue
        return Check(
            name=name,
            outcome="unknown",
            sentence=f"{one.text.strip()} is printed, more than the total {gross}.",
        )
    return Check(name=name, outcome="passed", sentence=f"No larger amount than {gross} is printed.")


def _is_aside(document: Document, one: Printed) -> bool:
    """Whether an amount stands in words about the company or the small print, not about this invoice."""
    line = document.lines[one.line].folded
    return (
        re.search(r"capital|kapital|register|\brcs\b|insur|versicher|limit|turnover|umsatz(?!steuer)", line)
        is not None
    )
