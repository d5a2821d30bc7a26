"""Is it one invoice? Two that were joined in one file have two numbers, two titles or two totals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from .checks import Check
from .document import Document
from .facts import Facts
from .invoice_number import explicit_numbers
from .labels import Labelled
from .paper import titles_on
from .sums import independent_sum

_NAME = "one invoice"


def single_check(document: Document, facts: Facts, labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """All number labels name one number, and no other page is an invoice of its own by title and total."""
    numbers = _distinct(explicit_numbers(document))
    if len(numbers) > 1:
        sentence = f"It has several invoice numbers: {', '.join(numbers[:5])}."
        return Check(name=_NAME, outcome="failed", sentence=sentence)
    totals = _totals_by_page(document, labelled)
    for page, total in totals.items():
        if total != gross:
            sentence = f"Net and tax make a total of {total} on page {page}, but {gross} on the whole."
            return Check(name=_NAME, outcome="failed", sentence=sentence)
    other = _page_of_another(document, facts, labelled)
    if other is not None:
        sentence = f"Page {other} has a title and a total of its own, but not the number of this invoice."
        return Check(name=_NAME, outcome="failed", sentence=sentence)
    return Check(name=_NAME, outcome="passed", sentence="It is a single invoice.")


def _distinct(numbers: Sequence[str]) -> list[str]:
    """The numbers that differ by more than their punctuation and the letters before them."""
    different: list[str] = []
    for number in numbers:
        if not any(_same(number, other) for other in different):
            different.append(number)
    return different


def _same(one: str, other: str) -> bool:
    shorter, longer = sorted((_plain(one), _plain(other)), key=len)
    return longer.endswith(shorter) and re.search(r"\d", longer[: len(longer) - len(shorter)]) is None


def _plain(number: str) -> str:
    return re.sub(r"[\W_]", "", number).casefold()


def _totals_by_page(document: Document, labelled: Sequence[Labelled]) -> dict[int, Decimal]:
    """The total of each page on which net, tax and total add up by themselves, each clearly labelled."""
    found: dict[int, Decimal] = {}
    for page in range(1, document.pages + 1):
        whole = independent_sum([one for one in labelled if document.lines[one.amount.line].page == page])
        if whole is not None:
            found[page] = whole.gross.value
    return found


def _page_of_another(document: Document, facts: Facts, labelled: Sequence[Labelled]) -> int | None:
    """A later page with a title and a total, but not the number, where an earlier page has a total."""
    totaled = sorted(
        {
            document.lines[one.amount.line].page
            for one in labelled
            if one.role in ("gross", "due", "total") and one.strength >= 2 and one.manner != "column"
        }
    )
    number = _plain(facts.supplier.number.value or "")
    for page in totaled[1:]:
        text = _plain("".join(line.text for line in document.lines if line.page == page))
        if "invoice" in titles_on(document, page) and (not number or number not in text):
            return page
    return None
