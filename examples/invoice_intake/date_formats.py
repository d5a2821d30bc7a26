"""Dates as they are printed, in any of fifteen languages, with every reading that they can have.

03/04/2020 is two dates until something decides. What decides, in this order: another date of the document
that only one order can read, the terms of payment, the day the file was made, the language, the country.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from itertools import combinations
from typing import Literal

from babel import Locale

from .document import Document, Line, fold

Order = Literal["day first", "month first"]
LANGUAGES = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "nl",
    "pt",
    "sv",
    "da",
    "nb",
    "pl",
    "cs",
    "fi",
    "hu",
    "ro",
    "de_AT",
)
_EXTRA = {
    "sept": 9,
    "mrz": 3,
    "maerz": 3,
    "marz": 3,
    "janv": 1,
    "fevr": 2,
    "juil": 7,
    "juill": 7,
    "gen": 1,
    "set": 9,
    "mrt": 3,
}


@dataclass(frozen=True, slots=True)
class PrintedDate:
    """A printed date: its readings (one, or two if the order of day and month is open) and its place.

    Attributes:
        readings: the days it can mean, day first before month first.
        text: as printed.
        line: the number of its line in the document.
        start, end: its place in the line's text.
        separator: what stands between its numbers, "" if the month is a word.
    """

    readings: tuple[date, ...]
    text: str
    line: int
    start: int
    end: int
    x0: float
    x1: float
    separator: str = ""

    @property
    def sure(self) -> bool:
        """Whether it has one reading."""
        return len(self.readings) == 1


@lru_cache(maxsize=1)
def month_names() -> dict[str, int]:
    """Month names and their abbreviations, folded, from the Unicode CLDR."""
    names: dict[str, int] = dict(_EXTRA)
    for language in LANGUAGES:
        months = Locale.parse(language).months
        for form in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for number, name in months[form][width].items():
                    folded = fold(str(name)).strip(". ")
                    if folded.isalpha() and len(folded) > 2:
                        names.setdefault(folded, int(number))
    return names


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], ...]:
    month = "|".join(sorted(map(re.escape, month_names()), key=len, reverse=True))
    gap = r"(?:[ \t]{0,3}[ .,/'-][ \t]{0,3})"
    day = r"(?P<d>3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th|er|e|\.?°|a)?"
    year = r"(?P<y>(?:19|20)\d\d|'?\d\d(?![\d:]))"
    return (
        re.compile(
            rf"(?<![\w.,/-]){day}{gap}{{1,2}}(?:of |de |di |d')?(?P<m>{month})\.?"
            rf"{gap}{{1,2}}(?:de |del |of )?{year}(?!\w)"
        ),
        re.compile(rf"(?<!\w)(?P<m>{month})\.?{gap}{{1,2}}{day}[ \t]{{0,2}}[,. ]?[ \t]{{1,3}}{year}(?!\w)"),
        re.compile(rf"(?<!\w){day}(?P<m>{month}){year}(?!\w)"),
        re.compile(rf"(?<!\w)(?P<y>(?:19|20)\d\d){gap}(?P<m>{month})\.?{gap}{day}(?!\w)"),
    )


_ISO = re.compile(
    r"(?<![\w/.-])((?:19|20)\d\d)([-/.])(0?[1-9]|1[0-2])\2[ ]?(0?[1-9]|[12]\d|3[01])(?![\d/-])(?!\.\d)"
)
_NUMERIC = re.compile(
    r"(?<![\w/.,-])(0?[1-9]|[12]\d|3[01])[ ]?([-/.])[ ]?(0?[1-9]|[12]\d|3[01])"
    r"[ ]?\2[ ]?((?:19|20)\d\d|\d\d)(?![\d/])(?!\.\d)"
)
_COMPACT = re.compile(r"(?<![\w/.,-])(20[0-3]\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?![\w/.,-])")


def printed_dates(document: Document) -> list[PrintedDate]:
    """Every date of the document in reading order, day and month told apart where they can be."""
    dates = [found for index, line in enumerate(document.lines) for found in dates_of(line, index)]
    return [replace(found, readings=_settle(found, dates, document)) for found in dates]


def dates_of(line: Line, index: int) -> Iterator[PrintedDate]:
    """The dates of one line, each with all its readings."""
    folded = line.folded
    taken: list[tuple[int, int]] = []
    for match, readings, separator in _matches(folded):
        if readings and not any(match.start() < end and match.end() > start for start, end in taken):
            taken.append((match.start(), match.end()))
            x0, x1 = line.extent(match.start(), match.end())
            yield PrintedDate(
                readings,
                line.text[match.start() : match.end()],
                index,
                match.start(),
                match.end(),
                x0,
                x1,
                separator,
            )


def _matches(folded: str) -> Iterator[tuple[re.Match[str], tuple[date, ...], str]]:
    for match in _ISO.finditer(folded):
        yield match, _days((int(match[1]), int(match[3]), int(match[4]))), ""
    for pattern in _patterns():
        for match in pattern.finditer(folded):
            year = _year(match["y"].lstrip("'"))
            yield match, _days((year, month_names()[match["m"]], int(match["d"]))), ""
    for match in _NUMERIC.finditer(folded):
        first, second, year = int(match[1]), int(match[3]), _year(match[4])
        yield match, _days((year, second, first), (year, first, second)), match[2]
    for match in _COMPACT.finditer(folded):
        yield match, _days((int(match[1]), int(match[2]), int(match[3]))), ""


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text) if int(text) < 70 else 1900 + int(text)


def _days(*candidates: tuple[int, int, int]) -> tuple[date, ...]:
    days: list[date] = []
    for year, month, day in candidates:
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found not in days:
            days.append(found)
    return tuple(days)


def _settle(found: PrintedDate, dates: list[PrintedDate], document: Document) -> tuple[date, ...]:
    if found.sure:
        return found.readings
    order = order_of(found.separator, dates, document)
    if order is None:
        return found.readings
    return (found.readings[0] if order == "day first" else found.readings[1],)


def order_of(separator: str, dates: list[PrintedDate], document: Document) -> Order | None:
    """Whether day or month comes first in the document's numeric dates; None if nothing decides it."""
    if separator == ".":
        return "day first"
    votes: set[Order] = {vote for one in dates if (vote := _vote(one))}
    if len(votes) == 1:
        return votes.pop()
    if len(votes) == 2:
        return None
    return (
        _by_other_dates(dates)
        or _by_terms(dates, document)
        or _by_file(dates, document)
        or _by_place(document)
    )


def _vote(one: PrintedDate) -> Order | None:
    """What a date with one possible reading says: 25/03/2020 can only be day first."""
    if one.separator not in ("/", "-") or not one.sure:
        return None
    numbers = [int(part) for part in re.findall(r"\d+", one.text)[:2]]
    if numbers[0] == numbers[1]:
        return None
    return "day first" if numbers[0] > 12 else "month first"


def _by_other_dates(dates: list[PrintedDate]) -> Order | None:
    """An ambiguous date that is printed in words as well."""
    worded = {one.readings[0] for one in dates if one.sure and one.separator == ""}
    hits: set[Order] = set()
    for one in dates:
        if not one.sure:
            first, second = one.readings[0] in worded, one.readings[1] in worded
            if first != second:
                hits.add("day first" if first else "month first")
    return hits.pop() if len(hits) == 1 else None


def _by_terms(dates: list[PrintedDate], document: Document) -> Order | None:
    """Terms of payment ("net 30") that fit two of the dates in one order only."""
    terms = re.search(r"\b(?:net|within|due in|terms?:?)[ \t]{1,3}(\d{1,3})\b(?:[ \t]days)?", document.folded)
    if terms is None or not 5 <= int(terms[1]) <= 120:
        return None
    fits: list[Order] = []
    for position, order in enumerate[Order](("day first", "month first")):
        days = [one.readings[min(position, len(one.readings) - 1)] for one in dates]
        # The day of payment is printed behind the day of issue.
        if any((later - earlier).days == int(terms[1]) for earlier, later in combinations(days, 2)):
            fits.append(order)
    return fits[0] if len(fits) == 1 else None


def _by_file(dates: list[PrintedDate], document: Document) -> Order | None:
    """The day the file was made, if exactly one reading is within two days of it and the other far off."""
    if document.created is None:
        return None
    hits: set[Order] = set()
    for one in dates:
        if not one.sure:
            near = [abs((reading - document.created).days) <= 2 for reading in one.readings]
            far = [abs((reading - document.created).days) >= 20 for reading in one.readings]
            if near[0] and far[1]:
                hits.add("day first")
            elif near[1] and far[0]:
                hits.add("month first")
    return hits.pop() if len(hits) == 1 else None


def _by_place(document: Document) -> Order | None:
    """Language and country: only American English puts the month first."""
    clues = document.clues
    if "en" not in clues.languages:
        return "day first"
    american = "US" in clues.countries
    elsewhere = [country for country in clues.countries if country not in ("US", "CA")]
    if american and not elsewhere:
        return "month first"
    if elsewhere and not american and "USD" not in clues.currencies and "CA" not in clues.countries:
        return "day first"
    return None
