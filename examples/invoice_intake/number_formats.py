"""Printed numbers: 1.234,56 and 1,234.56 and 1 234,56 and 1'234.56 and 12,34,567.00, and what they may mean.

A number with one separator and three digits behind it ("1.234") has two readings. It keeps both until the
document decides, for arithmetic cannot: 1.000 + 0.200 = 1.200 adds up either way.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

DecimalMark = Literal[".", ","]

_BLANKS = re.compile(r"[\s\u00a0\u202f\u2009'’]")
_WESTERN = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_LAKH = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")


def parse_number(text: str, mark: DecimalMark | None = None) -> tuple[Decimal, ...]:
    """Every value that a printed number without sign or currency can mean; empty if it is none.

    Args:
        text: digits with `.`, `,`, `'` or blanks between them.
        mark: the decimal mark of the document, if known; it settles "1.234".
    """
    digits = _BLANKS.sub("", text)
    if _BLANKS.search(text.strip()) and not _grouped(text.strip()):
        return ()
    if re.fullmatch(r"\d+", digits):
        return (Decimal(digits),)
    if not re.fullmatch(r"\d*(?:[.,]\d+)+", digits):
        return ()
    if "." in digits and "," in digits:
        return _two_marks(digits)
    separator = "." if "." in digits else ","
    if digits.count(separator) > 1:
        grouped = _WESTERN.fullmatch(digits) or (separator == "," and _LAKH.fullmatch(digits))
        return (Decimal(digits.replace(separator, "")),) if grouped else ()
    whole, fraction = digits.split(separator)
    as_decimal = Decimal(f"{whole or '0'}.{fraction}")
    spaced = _BLANKS.search(text.strip()) is not None
    if len(fraction) != 3 or len(whole) > 3 or whole in ("", "0") or whole.startswith("0") or spaced:
        return (as_decimal,)
    as_thousands = Decimal(whole + fraction)
    if mark is None:
        return (as_thousands, as_decimal)
    return (as_decimal,) if mark == separator else (as_thousands,)


def _grouped(text: str) -> bool:
    """Whether blanks or apostrophes stand only where thousands are parted."""
    whole = re.split(r"[.,]", text)[0]
    parts = _BLANKS.split(whole)
    if len(parts) == 1:
        return False
    return 1 <= len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:])


def _two_marks(digits: str) -> tuple[Decimal, ...]:
    decimal_at = max(digits.rfind("."), digits.rfind(","))
    whole, fraction = digits[:decimal_at], digits[decimal_at + 1 :]
    grouping = "," if digits[decimal_at] == "." else "."
    if digits[decimal_at] in whole:
        return ()
    if not (_WESTERN.fullmatch(whole) or (grouping == "," and _LAKH.fullmatch(whole))):
        return ()
    return (Decimal(f"{whole.replace(grouping, '')}.{fraction}"),)


def decimal_mark(texts: list[str]) -> DecimalMark | None:
    """The decimal mark that a document's numbers agree on; None if they disagree or do not tell.

    Args:
        texts: the printed numbers; only those with one possible reading count.
    """
    votes: dict[DecimalMark, int] = {".": 0, ",": 0}
    for text in texts:
        found = _vote(_BLANKS.sub("", text))
        if found is not None:
            votes[found[0]] += found[1]
    most: DecimalMark = "." if votes["."] >= votes[","] else ","
    least = votes["," if most == "." else "."]
    # A stray number of the other kind (a percentage, a version) does not unsettle a page full of prices.
    return most if votes[most] >= 3 and least * 3 <= votes[most] else None


def _vote(digits: str) -> tuple[DecimalMark, int] | None:
    """What one number says about the decimal mark, and how loudly: two decimals look most like money."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})*\.\d\d", digits) or re.fullmatch(
        r"\d{1,2}(?:,\d\d)+,\d{3}(?:\.\d+)?", digits
    ):
        return (".", 3)
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})*,\d\d|\d+,\d\d", digits):
        return (",", 3)
    if re.fullmatch(r"\d+\.\d\d", digits):
        return (".", 3)
    if re.fullmatch(r"\d+\.\d", digits) or re.fullmatch(r"\d{1,3}(?:,\d{3}){2,}", digits):
        return (".", 1)
    if re.fullmatch(r"\d+,\d", digits) or re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}", digits):
        return (",", 1)
    return None
