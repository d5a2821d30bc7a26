"""Dates in texts: reduced to their year, or moved by a number of days and written as they were."""

import re
from datetime import date, timedelta

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_MONTH = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?)"
_YEAR = re.compile(r"(?<!\d)(?:1[6-9]|2[01])\d\d(?!\d)")
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d\d?)(?P=s)(?P<d>\d\d?)")
_YEAR_LAST = re.compile(r"(?P<a>\d\d?)(?P<s>[-/]|\. ?)(?P<b>\d\d?)(?P=s)(?P<y>\d{4}|\d\d)(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?P<d>\d\d?)(?P<o>st|nd|rd|th|\.)?(?: of)?[ -]{_MONTH},?[ -](?P<y>\d{{4}})", re.IGNORECASE
)
_MONTH_DAY = re.compile(rf"{_MONTH} (?P<d>\d\d?)(?P<o>st|nd|rd|th)?,? (?P<y>\d{{4}})", re.IGNORECASE)
OLD = 90
"""Years that tell of an age beyond: whoever was born so many years ago may be older than 89."""


def year_of(text: str, today: date) -> str | None:
    """Return the year of a date; None where it names none, or one that tells of an age over 89."""
    match = _YEAR.search(text)
    if match:
        year = int(match[0])
    elif (last := _YEAR_LAST.match(text)) is not None:
        year = _in_full(int(last["y"]), today)
    else:
        return None
    return None if year <= today.year - OLD else str(year)


def shifted(text: str, days: int, today: date, *, day_first: bool) -> str | None:
    """Return a date moved by days, written as it was; None where it cannot be read, or tells no day.

    Args:
        text: The date: in figures, or with an English month; what follows it (a time) stays.
        days: By how many days.
        today: Tells which century two figures of a year mean.
        day_first: Whether ``03/04/2025`` is the third of April.
    """
    for read in (_of_figures, _of_words):
        found = read(text, today, day_first)
        if found is not None:
            match, when = found
            try:
                moved = when + timedelta(days=days)
            except OverflowError:
                return None
            return text[: match.start()] + _written(match, moved, day_first) + text[match.end() :]
    return None


def _of_figures(text: str, today: date, day_first: bool) -> tuple[re.Match[str], date] | None:
    match = _YEAR_FIRST.match(text)
    if match:
        return _read(match, int(match["y"]), int(match["m"]), int(match["d"]))
    match = _YEAR_LAST.match(text)
    if match is None:
        return None
    day, month = _day_and_month(match, day_first)
    year = int(match["y"]) if len(match["y"]) == 4 else _in_full(int(match["y"]), today)
    return _read(match, year, month, day)


def _of_words(text: str, today: date, day_first: bool) -> tuple[re.Match[str], date] | None:
    match = _DAY_MONTH.match(text) or _MONTH_DAY.match(text)
    if match is None:
        return None
    said = match["month"].lower().rstrip(".")
    months = [at for at, name in enumerate(_MONTHS, 1) if name.startswith(said) or (said, at) == ("sept", 9)]
    return _read(match, int(match["y"]), months[0], int(match["d"])) if months else None


def _read(match: re.Match[str], year: int, month: int, day: int) -> tuple[re.Match[str], date] | None:
    try:
        return match, date(year, month, day)
    except ValueError:
        return None


def _is_day_first(match: re.Match[str], day_first: bool) -> bool:
    """Say what comes first: what the figures allow, then what the mark between them tells."""
    if int(match["a"]) > 12 or int(match["b"]) > 12:
        return int(match["a"]) > 12
    return day_first or match["s"] != "/"


def _day_and_month(match: re.Match[str], day_first: bool) -> tuple[int, int]:
    one, other = int(match["a"]), int(match["b"])
    return (one, other) if _is_day_first(match, day_first) else (other, one)


def _written(match: re.Match[str], moved: date, day_first: bool) -> str:
    """Return a date as another was written."""
    if match.re is _YEAR_FIRST:
        values = {"y": str(moved.year), "m": str(moved.month), "d": str(moved.day)}
    elif match.re is _YEAR_LAST:
        first, second = (
            (moved.day, moved.month) if _is_day_first(match, day_first) else (moved.month, moved.day)
        )
        values = {"a": str(first), "b": str(second), "y": str(moved.year)[-len(match["y"]) :]}
    else:
        values = {"d": str(moved.day), "y": str(moved.year), "month": _month_as(match["month"], moved.month)}
        if match["o"] and match["o"] != ".":
            values["o"] = _ordinal(moved.day)
    text, at = "", match.start()
    for group in sorted(values, key=match.start):
        value = values[group]
        if value.isdecimal() and ("month" not in values or match[group].startswith("0")):
            value = value.zfill(len(match[group]))
        text += match.string[at : match.start(group)] + value
        at = match.end(group)
    return text + match.string[at : match.end()]


def _month_as(written: str, month: int) -> str:
    """Return a month's name, in full or as its first letters, in the same letters' case."""
    name = _MONTHS[month - 1]
    if written.endswith(".") or (len(written) == 3 and written.lower() != "may") or written.lower() == "sept":
        name = name[:3] + ("." if written.endswith(".") else "")
    return name.upper() if written.isupper() else name.title() if written[0].isupper() else name


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _in_full(year: int, today: date) -> int:
    """Return the year that two figures mean: one that is no more than a year ahead."""
    century = today.year // 100 * 100
    return century + year if century + year <= today.year + 1 else century - 100 + year
