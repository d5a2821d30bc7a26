"""Arithmetic that confirms a total: net and tax make the gross, positions make the net, the rate fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import combinations

from .amounts import CENT, Sum, signed, sums
from .checks import Check
from .document import Document
from .facts import Facts, LineItem
from .labels import Labelled
from .roles import Role

ZERO = Decimal(0)


def sum_check(facts: Facts, labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """Net + tax = gross, three amounts under three labels; with zero tax the page must print the zero."""
    amounts = facts.amounts
    net, tax = amounts.net.value, amounts.tax.value
    if net is None or tax is None:
        missing = " and ".join(name for name, value in (("net", net), ("tax", tax)) if value is None)
        return Check(name="sum", outcome="unknown", sentence=f"The {missing} amount was not read.")
    if "not printed" in amounts.net.why:
        return Check(name="sum", outcome="unknown", sentence="The net amount is not printed.")
    terms = f"{net} + {tax}" + (f" {amounts.adjustments:+}" if amounts.adjustments else "")
    if abs(net + tax + amounts.adjustments - gross) > CENT * max(1, len(amounts.taxes)):
        return Check(name="sum", outcome="failed", sentence=f"{terms} is not {gross}.")
    larger = _larger_net(labelled, net, net + amounts.adjustments, gross)
    if larger is not None:
        sentence = f'{terms} = {gross}, but "{larger.label}" says {larger.value}, more than {net}.'
        return Check(name="sum", outcome="failed", sentence=sentence)
    found = [
        one for one in sums(labelled) if one.gross.value == gross and one.net.value == net and one.tax == tax
    ]
    strong = [one for one in found if _independent(one, labelled)]
    if not strong:
        return Check(
            name="sum", outcome="unknown", sentence=f"{terms} = {gross}, but the labels are not clear enough."
        )
    return Check(name="sum", outcome="passed", sentence=f"{terms} = {gross}, each under its own label.")


def _larger_net(labelled: Sequence[Labelled], *explained: Decimal) -> Labelled | None:
    """A net amount, clearly labelled, between the net and the gross amount of a sum that leaves it out."""
    low, high = min(map(abs, explained[:2])), abs(explained[-1])
    for one in labelled:
        clear = one.role == "net" and one.strength >= 2 and one.manner != "column"
        if clear and low < abs(one.value) < high and one.value not in explained:
            return one
    return None


def independent_sum(labelled: Sequence[Labelled]) -> Sum | None:
    """The clearest sum of amounts that stand in different places, each clearly labelled; None without."""
    found = [one for one in sums(labelled) if _independent(one, labelled)]
    return max(found, key=lambda one: one.score, default=None)


def _independent(one: Sum, labelled: Sequence[Labelled]) -> bool:
    """Whether the three amounts are three places on the page, each clearly labelled."""
    places = {
        (part.amount.line, part.amount.start) for part in (one.net, *one.taxes, *one.adjustments, one.gross)
    }
    apart = len(places) == 2 + len(one.taxes) + len(one.adjustments)
    if not apart or one.gross.strength < 2 or one.gross.manner == "column":
        return False
    if any(tax.strength < 2 or tax.manner == "column" for tax in one.taxes):
        return False
    if one.tax == 0:
        return one.net.role == "net" and one.net.strength >= 2 and one.net.manner != "column"
    rates = [tax.rate for tax in one.taxes if tax.rate is not None]
    named = one.net.role in ("net", "base") and one.net.strength >= 2 and one.net.manner != "column"
    return (
        named
        or _total_row(one, labelled)
        or (len(one.taxes) == 1 and bool(rates) and _fits(one.net.value, rates[0], one.tax))
    )


def _total_row(one: Sum, labelled: Sequence[Labelled]) -> bool:
    """Whether one row called *total* holds all three, the tax under the head of a tax column."""
    if (
        len(one.taxes) != 1
        or one.taxes[0].manner != "table"
        or one.net.amount.line != one.taxes[0].amount.line
    ):
        return False
    row = [
        other
        for other in labelled
        if other.amount.line == one.net.amount.line and other.role in ("total", "gross")
    ]
    return any(
        other.value == one.gross.value and other.amount.start > one.taxes[0].amount.start for other in row
    )


def _fits(net: Decimal, rate: Decimal, tax: Decimal) -> bool:
    """Whether a tax is its rate of the net amount; each position may have been rounded by itself."""
    return abs(net * rate / 100 - tax) <= max(CENT * 2, abs(tax) * Decimal("0.001"))


def lines_check(facts: Facts, labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """The positions add up to the gross amount, or to a net amount that the tax completes.

    Positions that were read and make no printed amount speak against the total, even if some are unread.
    """
    total = facts.lines.total
    if total is None:
        return Check(name="lines", outcome="unknown", sentence="The positions could not be read.")
    items = facts.lines.items
    several = len(items) > 1 or all(map(_multiplies, items))
    amounts = facts.amounts
    tax = amounts.tax.value if amounts.tax.value is not None else ZERO
    words = f"{len(items)} position(s) add up to {total}"
    slack = CENT * 2
    if tax and abs(total + tax + amounts.adjustments - gross) <= slack and _printed_tax(labelled, tax):
        return Check(name="lines", outcome="passed", sentence=f"{words}; with tax {tax} that is {gross}.")
    if abs(total - gross) <= slack or abs(total + amounts.adjustments - gross) <= slack:
        if tax == 0 and several:
            return Check(name="lines", outcome="passed", sentence=f"{words}, the total.")
        return Check(
            name="lines",
            outcome="unknown",
            sentence=f"{words}, the total, but that alone does not settle the tax.",
        )
    # Positions that were rounded one by one may miss the printed amount by half a cent each.
    near = max(slack, CENT * len(items) / 2)
    net = amounts.net.value
    if net is not None and abs(total - net) <= near:
        return Check(name="lines", outcome="unknown", sentence=f"{words}, the net amount.")
    wanted = [one for one in (net, gross - tax, gross) if one is not None]
    if any(_bridged(labelled, total, one, near) for one in wanted):
        return Check(
            name="lines", outcome="unknown", sentence=f"{words}; what is printed under them makes the rest."
        )
    if any(one.role == "carried" and abs(one.value - total) <= near for one in labelled):
        return Check(name="lines", outcome="unknown", sentence=f"{words}, which is carried forward.")
    amount = (
        f"the net amount {net} nor the total {gross}" if net is not None else f"net nor the total {gross}"
    )
    return Check(name="lines", outcome="failed", sentence=f"{words}, which is neither {amount}.")


#: What may stand between the sum of the positions and the net amount.
_BRIDGES: tuple[Role, ...] = ("discount", "shipping", "rounding")


def _bridged(labelled: Sequence[Labelled], total: Decimal, wanted: Decimal, slack: Decimal) -> bool:
    """Whether discount, shipping, rounding or subtotals, all printed, lead from one amount to another.

    Subtotals count only if the positions themselves make one: then they are one section of several.
    """
    if abs(total - wanted) <= slack:
        return True
    steps = {(one.amount.line, one.amount.start): signed(one) for one in labelled if one.role in _BRIDGES}
    subtotals = {
        (one.amount.line, one.amount.start): one.value
        for one in labelled
        if one.role in ("net", "total")
        and one.strength >= 2
        and one.manner != "column"
        and one.value != wanted
    }
    if any(abs(value - total) <= slack for value in subtotals.values()):
        own = next(place for place, value in subtotals.items() if abs(value - total) <= slack)
        steps |= {place: value for place, value in subtotals.items() if place != own}
    found = list(steps.values())[:10]
    return any(
        abs(total + sum(some, ZERO) - wanted) <= slack
        for size in (1, 2, 3, 4)
        for some in combinations(found, size)
    )


def _printed_tax(labelled: Sequence[Labelled], tax: Decimal) -> bool:
    explicit = [one for one in labelled if one.role == "tax" and one.strength >= 2 and one.manner != "column"]
    return any(one.value == tax for one in explicit)


def _multiplies(item: LineItem) -> bool:
    """Whether quantity, unit price and total of a position are all printed and agree."""
    if item.quantity is None or item.unit_price is None:
        return False
    return abs(item.quantity * item.unit_price - item.total) <= CENT


def rate_check(facts: Facts, labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """A printed rate fits the tax: of the net amount, or included in the gross amount."""
    amounts = facts.amounts
    tax = amounts.tax.value
    rated = [one for one in labelled if one.role == "tax" and one.rate is not None and one.strength >= 2]
    if tax is None or not tax or len(amounts.taxes) > 1:
        return Check(
            name="included tax", outcome="unknown", sentence="There is no single tax with a printed rate."
        )
    rates = {
        one.rate for one in rated if one.value == tax and one.rate is not None and one.manner != "column"
    }
    if len(rates) != 1:
        return Check(name="included tax", outcome="unknown", sentence="No rate is printed beside the tax.")
    rate = rates.pop()
    included = gross * rate / (100 + rate)
    clear = any(
        one.value == gross
        and one.role in ("gross", "due", "total")
        and one.strength >= 2
        and one.manner != "column"
        for one in labelled
    )
    if abs(included - tax) <= CENT and clear and rate > 0 and abs(tax) >= 1:
        return Check(
            name="included tax", outcome="passed", sentence=f"{tax} is the {rate} % included in {gross}."
        )
    net = amounts.net.value
    if (
        net is not None
        and not _fits(net, rate, tax)
        and abs(included - tax) > max(CENT * 3, abs(tax) * Decimal("0.01"))
    ):
        sentence = f"{tax} is not {rate} % of {net}; part of it may be taxed otherwise."
        return Check(name="rate", outcome="unknown", sentence=sentence)
    return Check(name="rate", outcome="passed", sentence=f"{tax} is {rate} % of the net amount.")


_TAX_WITH_RATE = re.compile(
    r"(?:vat|gst|tax|mwst|ust|mehrwertsteuer|umsatzsteuer|tva|iva|btw|moms|mva|dph"
    r"|alv)\.?[^\n\d]{0,18}(\d{1,2}(?:[.,]\d{1,2})?) ?%"
    r"|(\d{1,2}(?:[.,]\d{1,2})?) ?%[^\n\d]{0,14}(?:vat|gst|tax|mwst|ust|mehrwertsteuer|tva|iva|btw|moms"
    r"|mva|dph|alv)\b"
)
_PLUS_TAX = re.compile(
    r"(?:plus|zzgl\.?|zuzuglich|excl\.?|excluding|exkl\.?|exclusive of|hors|\+) ?(?:of )?(?:any )?(?:vat"
    r"|gst|tax|mwst|ust|tva|btw|iva|moms)"
)


def zero_tax_check(document: Document, facts: Facts, labelled: Sequence[Labelled]) -> Check:
    """Where no tax was read, nothing on the page may speak of one that is not zero."""
    name = "no tax"
    tax = facts.amounts.tax.value
    if tax:
        return Check(name=name, outcome="passed", sentence=f"The tax is {tax}.")
    taxes = [one for one in labelled if one.role == "tax" and one.value and one.strength >= 1]
    if taxes:
        sentence = f'A tax of {taxes[0].value} is printed ("{taxes[0].label}") that is not in the sum.'
        return Check(name=name, outcome="unknown", sentence=sentence)
    if tax == ZERO:
        return Check(name=name, outcome="passed", sentence="A tax of zero is printed.")
    words = speaks_of_tax(document.folded)
    if words is not None:
        return Check(name=name, outcome="unknown", sentence=f'"{words}" is printed, but no tax was read.')
    return Check(name=name, outcome="passed", sentence="No tax is printed.")


def speaks_of_tax(folded: str) -> str | None:
    """The words that name a rate above zero or say that tax is still to be added; None if there are none."""
    for match in _TAX_WITH_RATE.finditer(folded):
        rate = (match[1] or match[2]).replace(",", ".")
        if Decimal(rate) > 0:
            return match[0]
    plus = _PLUS_TAX.search(folded)
    return plus[0] if plus else None
