"""Amounts of money as they stand on the page: value, sign, currency, place, and how sure the reading is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from .currency import SIGN
from .document import Clues, Document, Line
from .number_formats import parse_number

_DIGITS = r"\d+(?:(?:[.,]|[ '’\u00a0\u202f](?=\d{3}(?!\d)))\d+)*"
_TOKEN = re.compile(
    rf"""(?<![\w./:#@°*\\-])(?<!\d[,'’])
    (?P<open>\()?
    (?P<minus>[-–−][ ]?)?
    (?:(?P<before>{SIGN})\.?[ \t]{{0,2}})?
    (?P<minus2>[-–−])?
    (?P<number>(?>{_DIGITS}|[.,]\d\d(?!\d)))
    (?P<dash>[.,][-–—=]{{1,2}}(?!\d))?
    (?P<trailing>[-–−](?![\w-]))?
    (?:[ ]{{0,2}}(?P<after>{SIGN})(?![A-Za-z]))?
    (?P<close>\))?
    (?P<percent>[ ]{{0,2}}%)?
    (?:[ ]?(?P<credit>CR)\b)?
    (?![\w/:@])(?![.,'’-]\w)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed number.

    Attributes:
        value: what it means; the likelier reading if it has two.
        other: its second reading, where the document does not decide between them.
        text: as printed, with sign and currency.
        sign: the currency sign or code beside it, or "".
        decimals: digits behind the decimal mark.
        line: the number of its line in the document.
        start, end: its place in the line's text.
        x0, x1: its left and right edge on the page.
        percent: whether a percent sign follows.
    """

    value: Decimal
    other: Decimal | None
    text: str
    sign: str
    decimals: int
    line: int
    start: int
    end: int
    x0: float
    x1: float
    percent: bool

    @property
    def monetary(self) -> bool:
        """Whether it looks like money by itself: it carries a currency or two decimals."""
        return not self.percent and (self.sign != "" or self.decimals == 2)


def printed_numbers(document: Document) -> list[Printed]:
    """All numbers of a document that could be amounts or rates, in reading order."""
    return [
        found
        for index, line in enumerate(document.lines)
        for found in numbers_of(line, index, document.clues)
    ]


def numbers_of(line: Line, index: int, clues: Clues) -> Iterator[Printed]:
    """The numbers of one line; parts of dates, telephone numbers and codes are left out."""
    text = line.text
    for match in _TOKEN.finditer(text):
        found = _printed(line, index, match, clues)
        if found is not None:
            yield found


def _printed(line: Line, index: int, match: re.Match[str], clues: Clues) -> Printed | None:
    number, dash = match["number"], match["dash"] or ""
    readings = parse_number(number, clues.decimal_mark)
    if not readings or len(re.sub(r"\D", "", number)) > 13:
        return None
    value, other = readings[0], readings[1] if len(readings) > 1 else None
    spaced = re.match(r"\d{1,3} \d{3}", number) is not None
    if spaced and clues.decimal_mark != ",":
        # "1 278.61" may be one number or a quantity and a price.
        alone = parse_number(number.split(" ", 1)[1], clues.decimal_mark)
        other = other or (alone[0] if alone else None)
    negative = _negative(line.text, match)
    decimals = 2 if dash else max(0, -_exponent(value))
    x0, x1 = line.extent(match.start(), match.end())
    return Printed(
        value=-value if negative else value,
        other=None if other is None else (-other if negative else other),
        text=match[0].strip(),
        sign=match["before"] or match["after"] or "",
        decimals=decimals,
        line=index,
        start=match.start(),
        end=match.end(),
        x0=x0,
        x1=x1,
        percent=match["percent"] is not None,
    )


def _negative(text: str, match: re.Match[str]) -> bool:
    if match["minus2"] or match["trailing"] or match["credit"]:
        return True
    if (
        match["open"]
        and match["close"]
        and (match["before"] or match["after"] or re.search(r"[.,]\d\d$", match["number"]))
    ):
        return True
    if not match["minus"]:
        return False
    before = text[: match.start("minus")].rstrip()
    # "10 - 20" is a range and "Total - 20.00" a dash; a minus belongs to the number or begins its column.
    detached = match["minus"].endswith(" ")
    return not (
        detached and before and (before[-1].isalnum() and not text[: match.start("minus")].endswith("\t"))
    )


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
