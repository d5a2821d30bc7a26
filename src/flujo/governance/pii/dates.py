"""Dates in figures and in words of many languages, as precise as a month; years alone are none."""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import REVISION, label_before
from flujo.governance.pii.words import words

_TIME = (
    r"(?:(?:[T ]|, | at | um | à | a las | alle )(?:[01]?\d|2[0-3])"
    r"(?:[:.h][0-5]\d){1,2}(?:[.,]\d{1,9})?(?:[ ]?(?:[AaPp]\.?[Mm]\b\.?"
    r"|Uhr|Z\b|UTC|[+-]\d\d:?\d\d))?)?"
)
_YEAR_FIRST = re.compile(
    r"[12](?<![\w.+/-]\d)\d{3}(?:(?P<s>[-/.])(?:0?[1-9]|1[0-2])(?P=s)"
r"(?:3[01]|[12]\d|0?[1-9])|\. ?(?:0?[1-9]|1[0-2])\. ?(?:3[01]|[12]\d"
r"|0?[1-9])\.?)"
    + _TIME + r"(?![\w]|[-/.:]\d)"
)  # fmt: skip
_YEAR_LAST = re.compile(
    r"\d(?<![\w+./-]\d)\d?(?P<s>[-/]|[.] ?)(?:\d\d?)(?P=s)(?:'?\d\d(?:\d\d)?)"
    + _TIME
    + r"(?![\w]|[-/:]\d|\.\d)"
)
_MONTH_YEAR = re.compile(r"[01](?<![\w+./-]\d)\d[/](?:19|20)\d\d(?![\w]|[-/.:]\d)")
_EAST_ASIAN = re.compile(
    r"(?:\d{4}|令和\d{1,2}|平成\d{1,2}|昭和\d{1,2}) ?[年년] ?\d{1,2} ?[月월](?: ?\d{1,2} ?[日일])?"
)
_SHORT = re.compile(r"(?:0[1-9]|1[0-2])/\d\d(?![\w]|[-/.:,]\d)")
_RUN = re.compile(r"\d(?<![\w+./-]\d)\d{5}(?:\d\d)?(?![\w]|[-/.:,]\d)")
_EXPIRY = re.compile(
    r"(?:exp|valid|gültig|ablauf|venc|scad|caduc|expir|geldig|válid|valide)[^\d\n]{0,24}\Z", re.IGNORECASE
)
_PARTS = re.compile(r"\d+")

_MONTHS = words("months", "any")
_ALSO_WORDS = words("months", "doubtful")
"""Months whose lower-case spelling is a word as well: a day and a year must speak for them."""
_WORD = re.compile(r"[^\W\d_](?<![^\W_].)[^\W\d_]{2,13}(?![^\W\d_])")
_DAY_BEFORE = re.compile(
    r"(?<![\w.,/:-])(?P<d>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th|er|º"
    r"|°|ª|\.|-án|\.e)?(?:[ ]?[-/][ ]?|[ ]{0,2})(?:(?:day )?of |de "
    r"|di |d'|do )?(?:the )?\Z"
)
_YEAR_BEFORE = re.compile(r"(?<![\w.,/-])(?:19|20)\d\d[.,]?(?:[ ]|-|/)\Z")
_AFTER_DAY = re.compile(
    r"\.?(?:(?:,? ?|[-/ ])(?:de |del |of )?(?P<y>(?:1[89]|20)\d\d|'\d\d|(?<=[-/])\d\d(?!\d)))?"
)
_DAY_AFTER = re.compile(
    r"\.?[ -]{1,2}(?:the )?(?P<d>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?\.?"
    r"(?![\d:%]|[.,]\d|-\d)(?:(?:,? ?|-)(?:of )?(?P<y>(?:1[89]|20)\d\d)"
    r"(?!\d))?"
)
_YEAR_AFTER = re.compile(r"\.?(?:,? ?|[-/])(?:de |del |of )?(?:19|20)\d\d(?![\d]|[.,]\d)")
_CLOCK = re.compile(_TIME)


def dates(text: str) -> Iterator[Finding]:
    """Find dates of a day or a month."""
    for match in _YEAR_FIRST.finditer(text):
        yield Finding(match.start(), match.end(), "date", 0.9, "date.year_first")
    for match in _YEAR_LAST.finditer(text):
        if _is_date(match[0]) and label_before(text, match.start(), 4) != REVISION:
            yield Finding(match.start(), match.end(), "date", 0.85, "date.year_last")
        elif _is_date(match[0]) and len(_PARTS.findall(match[0])[2]) == 4:
            yield Finding(match.start(), match.end(), "date", 0.8, "date.year_last")
    for match in _MONTH_YEAR.finditer(text):
        if 1 <= int(match[0][:2]) <= 12:
            yield Finding(match.start(), match.end(), "date", 0.6, "date.month_year")
    for match in _SHORT.finditer(text) if "/" in text else ():
        if _EXPIRY.search(text, max(0, match.start() - 40), match.start()):
            yield Finding(match.start(), match.end(), "date", 0.7, "date.expiry")
    yield from _runs(text)
    if not text.isascii():
        for match in _EAST_ASIAN.finditer(text):
            yield Finding(match.start(), match.end(), "date", 0.95, "date.east_asian")
    yield from _in_words(text)


def _is_date(found: str) -> bool:
    first, second, year = (int(part) for part in _PARTS.findall(found)[:3])
    plausible = (1 <= first <= 31 and 1 <= second <= 12) or (1 <= first <= 12 and 1 <= second <= 31)
    return plausible and (year < 100 or 1800 <= year <= 2199) and len(_PARTS.findall(found)[2]) in (2, 4)


def _runs(text: str) -> Iterator[Finding]:
    """Find dates in one run of figures, where a word before says that one follows."""
    for match in _RUN.finditer(text):
        if label_before(text, match.start()) != "birth":
            continue
        run = match[0]
        orders = ((run[4:6], run[6:]), (run[2:4], run[:2]), (run[:2], run[2:4])) if len(run) == 8 else (
            (run[2:4], run[4:]), (run[2:4], run[:2]), (run[:2], run[2:4]))  # fmt: skip
        if any(1 <= int(month) <= 12 and 1 <= int(day) <= 31 for month, day in orders):
            yield Finding(match.start(), match.end(), "date", 0.7, "date.run")


def _in_words(text: str) -> Iterator[Finding]:
    for match in _WORD.finditer(text):
        word = match[0]
        folded = word.casefold()
        if folded in _MONTHS:
            span = _around(
                text, match.start(), match.end(), doubtful=folded in _ALSO_WORDS and word.islower()
            )
            if span:
                yield Finding(*span, "date", 0.9, "date.words")


def _around(text: str, start: int, end: int, *, doubtful: bool) -> tuple[int, int] | None:
    """Return the span of the date that a month's name stands in, if it stands in one."""
    head = text[max(0, start - 24) : start]
    year_before = _YEAR_BEFORE.search(head)
    after = _DAY_AFTER.match(text, end)
    day_before = None if year_before else _DAY_BEFORE.search(head)
    if day_before:
        year = _AFTER_DAY.match(text, end)
        if (
            doubtful
            and not (year and year["y"])
            and "de " not in day_before[0]
            and "di " not in day_before[0]
        ):
            return None
        return start - len(head) + day_before.start(), _with_time(text, _end_of(year, "y", end))
    if year_before and after:
        return start - len(head) + year_before.start(), _with_time(text, after.end())
    if after and not (doubtful and not after["y"]):
        return start, _with_time(text, after.end() - (text[after.end() - 1] == "."))
    year = _YEAR_AFTER.match(text, end)
    return (start, year.end()) if year and not doubtful else None


def _end_of(match: re.Match[str] | None, group: str, otherwise: int) -> int:
    return match.end() if match and match[group] else otherwise


def _with_time(text: str, end: int) -> int:
    match = _CLOCK.match(text, end)
    return match.end() if match else end
