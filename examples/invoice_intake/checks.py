"""Checks that need no arithmetic: kind, reading, occurrence, currency, date, identity."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from .currency import currencies_of, resolve
from .document import Document
from .facts import Facts, Frozen
from .printed import printed_numbers


class Check(Frozen):
    """One check: its name, its outcome, and a sentence for the person who reads it."""

    name: str
    outcome: Literal["passed", "failed", "unknown"]
    sentence: str


def kind_check(facts: Facts) -> Check:
    """Only an invoice may be posted unseen."""
    if facts.kind == "invoice":
        return Check(name="kind", outcome="passed", sentence=facts.reason or "It is an invoice.")
    if facts.kind == "credit_note":
        sentence = f"{facts.reason} It is a credit note: the money goes the other way, so a person decides."
        return Check(name="kind", outcome="unknown", sentence=sentence.strip())
    if facts.kind == "unclear":
        return Check(name="kind", outcome="unknown", sentence=facts.reason)
    return Check(name="kind", outcome="failed", sentence=f"This is no invoice. {facts.reason}".strip())


def reading_check(document: Document) -> Check:
    """All pages were read."""
    if document.complete:
        return Check(name="reading", outcome="passed", sentence=f"All {document.pages} page(s) were read.")
    return Check(
        name="reading", outcome="unknown", sentence=f"Not all of its {document.pages} pages were read."
    )


def printed_check(document: Document, facts: Facts) -> Check:
    """Every amount of the facts stands on the page; none is made up."""
    printed = {abs(one.value) for one in printed_numbers(document) if not one.percent and one.other is None}
    amounts = facts.amounts
    claimed = {"gross": amounts.gross, "net": amounts.net, "tax": amounts.tax}
    single_tax = len(amounts.taxes) <= 1
    for name, fact in claimed.items():
        derived = facts.read_by == "rules" and (
            "not printed" in fact.why or (name == "tax" and not single_tax)
        )
        if fact.value is not None and abs(fact.value) not in printed and not derived:
            return Check(
                name="printed",
                outcome="failed",
                sentence=f"The {name} amount {fact.value} is not printed anywhere.",
            )
    if facts.read_by != "rules":
        for item in facts.lines.items:
            if abs(item.total) not in printed:
                return Check(
                    name="printed",
                    outcome="failed",
                    sentence=f"The line amount {item.total} is not printed anywhere.",
                )
    return Check(name="printed", outcome="passed", sentence="Every amount stands on the page.")


def currency_check(document: Document, facts: Facts) -> Check:
    """One currency, and it is printed."""
    currency = facts.amounts.currency
    if currency.value is None:
        return Check(
            name="currency", outcome="unknown", sentence=f"The currency is not clear: {currency.why}."
        )
    if currency.confidence < 0.6:
        return Check(
            name="currency", outcome="unknown", sentence=f"{currency.value} is only likely: {currency.why}."
        )
    clues = document.clues
    if facts.read_by != "rules" and currency.value not in clues.currencies:
        signs = {one.sign for one in printed_numbers(document) if one.sign}
        if not any(currency.value in currencies_of(sign) for sign in signs):
            return Check(
                name="currency", outcome="failed", sentence=f"{currency.value} is not printed anywhere."
            )
    beside: set[str] = set()
    for one in printed_numbers(document):
        if one.sign and one.monetary:
            code = resolve(one.sign, clues.countries, clues.currencies)
            beside.add(code or one.sign)
    others = sorted(code for code in beside if code != currency.value)
    if others:
        sentence = f"Amounts are printed in {currency.value} and in {', '.join(others)}."
        return Check(name="currency", outcome="unknown", sentence=sentence)
    return Check(name="currency", outcome="passed", sentence=f"All amounts are in {currency.value}.")


def date_check(facts: Facts) -> Check:
    """The date has one reading, is labelled clearly enough and lies in no impossible year."""
    issued, due = facts.dates.issued, facts.dates.due
    if issued.value is None:
        return Check(name="date", outcome="unknown", sentence=f"The date is not clear: {issued.why}.")
    if not date(1990, 1, 1) <= issued.value <= date(2100, 1, 1):
        return Check(
            name="date", outcome="failed", sentence=f"{issued.value} cannot be the date of this invoice."
        )
    if issued.confidence < 0.5:
        return Check(name="date", outcome="unknown", sentence=f"{issued.value} is only likely: {issued.why}.")
    if due.value is not None and due.value < issued.value - timedelta(days=3):
        sentence = f"It is due on {due.value}, before its date {issued.value}."
        return Check(name="date", outcome="unknown", sentence=sentence)
    return Check(name="date", outcome="passed", sentence=f"Its date is {issued.value}, {issued.why}.")


def identity_check(facts: Facts) -> Check:
    """Without supplier and number nobody can tell whether it was posted before."""
    missing = [
        name
        for name, fact in (("supplier", facts.supplier.supplier), ("number", facts.supplier.number))
        if fact.value is None
    ]
    if missing:
        return Check(
            name="identity", outcome="unknown", sentence=f"Its {' and '.join(missing)} could not be read."
        )
    supplier, number = facts.supplier.supplier.value, facts.supplier.number.value
    return Check(name="identity", outcome="passed", sentence=f"It is number {number} of {supplier}.")
