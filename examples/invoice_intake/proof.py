"""Proving an invoice: does independent arithmetic confirm the amount, and does nothing speak against it?

An amount that is wrong must never be proved, so everything here fails towards asking a person: a check that
cannot be made is `unknown`, and one unknown where it matters is enough for *not proved*. The checks work on
the printed page again, not on how the facts were found: facts read by a model must pass the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from .checks import (
    Check,
    currency_check,
    date_check,
    identity_check,
    kind_check,
    printed_check,
    reading_check,
)
from .document import Document, Reading
from .facts import Facts, Frozen
from .labels import Labelled, labelled_amounts
from .single import single_check
from .standing import standing_check
from .sums import lines_check, rate_check, sum_check, zero_tax_check
from .totals import larger_check, totals_check


class Proof(Frozen):
    """What was checked, and whether it proves the amount.

    Attributes:
        proved: whether arithmetic confirms the gross amount and nothing contradicts it.
        checks: every check with its outcome and a sentence, in the order made.
        reason: the sentence that decided.
    """

    proved: bool
    checks: tuple[Check, ...] = ()
    reason: str = ""


def prove(reading: Reading, facts: Facts) -> Proof:
    """Check the facts against the document they were read from.

    Proved means: at least one arithmetic check (`sum`, `lines` or `included tax`) passed, no check failed,
    and none of the required checks is unknown.
    """
    if reading.kind == "unreadable":
        check = Check(name="reading", outcome="failed", sentence=reading.reason)
        return Proof(proved=False, checks=(check,), reason=check.sentence)
    gross = facts.amounts.gross.value
    first = (kind_check(facts), reading_check(reading))
    if gross is None:
        check = Check(
            name="gross", outcome="unknown", sentence=f"No total was read: {facts.amounts.gross.why}."
        )
        return _conclude((*first, check))
    labelled = _same_sign(labelled_amounts(reading), gross)
    return _conclude(
        (
            *first,
            single_check(reading, facts, labelled, gross),
            standing_check(reading, labelled, gross),
            *_arithmetic(reading, facts, labelled, gross),
            *_surroundings(reading, facts, labelled, gross),
        )
    )


def _arithmetic(
    document: Document, facts: Facts, labelled: Sequence[Labelled], gross: Decimal
) -> tuple[Check, ...]:
    return (
        sum_check(facts, labelled, gross),
        lines_check(facts, labelled, gross),
        rate_check(facts, labelled, gross),
        zero_tax_check(document, facts, labelled),
    )


def _surroundings(
    document: Document, facts: Facts, labelled: Sequence[Labelled], gross: Decimal
) -> tuple[Check, ...]:
    return (
        printed_check(document, facts),
        totals_check(labelled, gross),
        larger_check(document, facts, labelled, gross),
        currency_check(document, facts),
        date_check(facts),
        identity_check(facts),
    )


#: Arithmetic that confirms the amount by itself.
CONFIRMING: tuple[str, ...] = ("sum", "lines", "included tax")
#: What must have passed besides; an unknown outcome here means that a person decides.
REQUIRED: tuple[str, ...] = (
    "kind", "reading", "one invoice", "standing", "gross", "no tax", "printed", "totals", "larger amounts",
    "currency", "date", "identity",
)  # fmt: skip


def _conclude(checks: tuple[Check, ...]) -> Proof:
    failed = [check for check in checks if check.outcome == "failed"]
    if failed:
        return Proof(proved=False, checks=checks, reason=failed[0].sentence)
    open_ones = [check for check in checks if check.outcome == "unknown" and check.name in REQUIRED]
    if open_ones:
        return Proof(proved=False, checks=checks, reason=open_ones[0].sentence)
    confirmed = [check for check in checks if check.outcome == "passed" and check.name in CONFIRMING]
    if not confirmed:
        reason = (
            "Only one amount was found that says what is to be paid; nothing else on the page confirms it."
        )
        return Proof(proved=False, checks=checks, reason=reason)
    return Proof(proved=True, checks=checks, reason=confirmed[0].sentence)


def _same_sign(labelled: Sequence[Labelled], gross: Decimal) -> list[Labelled]:
    """The labelled amounts with the sign of the facts: a credit note may print no minus."""
    values = [one.value for one in labelled if one.role in ("gross", "due", "total")]
    if gross >= 0 or gross in values:
        return list(labelled)
    return [replace(one, amount=replace(one.amount, value=-one.amount.value)) for one in labelled]
