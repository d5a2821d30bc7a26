"""What stands in the place of one value, by each strategy that needs nothing but keys."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import assert_never

from flujo.errors import ScrubError
from flujo.governance.pii import Date, Number
from flujo_deidentifier.dates import OLD, shifted, year_of
from flujo_deidentifier.keys import Keys, Purpose
from flujo_deidentifier.profiles import REVERSIBLE, Profile, Strategy
from flujo_deidentifier.surrogates import Draw, surrogate
from flujo_deidentifier.tokens import NAMES

MASK = "*" * 8
SPARSE = frozenset({
    "036", "059", "063", "102", "203", "205", "369", "556", "692", "753", "772", "790",
    "821", "823", "830", "831", "878", "879", "884", "890", "893",
})  # fmt: skip
"""The first three figures of ZIP codes of 20,000 people or fewer, by the censuses of 2000 and of 2010."""
LONGEST_SHIFT = 365
_ZIP = re.compile(r"(\d{3})\d\d(?:-?\d{4})?")
_ODD = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: what it has in common with which others.

    Attributes:
        scope: Within it, equal values are treated equally: what `scope_of` returns.
        subject: Whose dates are moved together.
        today: The day that ages count from.
    """

    scope: str
    subject: str
    today: date


class Treatment:
    """Treats values one by one, by a profile.

    Args:
        profile: What is done with which kind.
        keys: The keys.
        place: Where the values stand.
        day_first: Whether ``03/04/2025`` is the third of April.
    """

    def __init__(self, profile: Profile, keys: Keys, place: Place, *, day_first: bool = False) -> None:
        self.profile = profile
        self.keys = keys
        self.place = place
        self._day_first = day_first

    def text(self, entity: str, value: str, rule: str = "") -> str:
        """Return what stands for a text; that of a reversible strategy is not made here.

        Args:
            entity: What it is.
            value: The text.
            rule: What found it.
        """
        strategy = self.profile.of(entity)
        match strategy:
            case "keep":
                return value
            case "mask":
                return MASK
            case "hash":
                return f"[{entity.upper()}#{self.digest('hash', entity, value.strip()).hex()[:16]}]"
            case "generalise":
                return self._general(entity, value, rule) or label(entity)
            case "shift":
                moved = None if entity != "date" else self._moved(value)
                return moved or label(entity)
            case "surrogate":
                return self._surrogate(entity, value) or label(entity)
            case "label" | "token" | "encrypt":
                return label(entity)
            case _:
                assert_never(strategy)

    def number(self, value: Number, entity: str, path: str) -> Number:
        """Return what stands for a number, of its type.

        Raises:
            ScrubError: It is to come back, and a number holds no token.
        """
        strategy = self.profile.of(entity)
        if strategy in REVERSIBLE:
            raise no_token(entity, path, strategy, "a number")
        if strategy == "keep" or (strategy == "generalise" and entity == "age" and value < OLD):
            return value
        if strategy == "generalise" and entity == "age":
            return type(value)(OLD)
        return type(value)(self._figures(strategy, entity, str(value)))

    def _figures(self, strategy: Strategy, entity: str, written: str) -> int:
        """Return what stands for a number of which only its figures matter."""
        figures = "".join(filter(str.isdecimal, written))
        if strategy == "generalise" and entity == "postcode" and len(figures) in (4, 5, 8, 9):
            whole = figures.zfill(5 if len(figures) < 6 else 9)
            return 0 if whole[:3] in SPARSE else int(whole[:3])
        if strategy == "surrogate":
            draw = Draw(self.digest("surrogate", entity, figures))
            return int(str(draw.below(9) + 1) + draw.figures(len(figures) - 1))
        return 0

    def day(self, value: Date, entity: str, path: str) -> Date:
        """Return what stands for a date.

        Raises:
            ScrubError: It is to come back, and a date holds no token.
        """
        strategy = self.profile.of(entity)
        nothing = _begin_of(value, 1)
        match strategy:
            case "token" | "encrypt":
                raise no_token(entity, path, strategy, "a date")
            case "shift" | "surrogate":
                try:
                    return value + timedelta(days=self.days)
                except OverflowError:
                    return nothing
            case "generalise":
                old = value.year <= self.place.today.year - OLD
                return nothing if old else _begin_of(value, value.year)
            case "keep":
                return value
            case "mask" | "label" | "hash":
                return nothing
            case _:
                assert_never(strategy)

    @property
    def days(self) -> int:
        """By how many days the dates of the subject are moved: a year at most, and not by none."""
        draw = Draw(self.digest("shift", "date", self.place.subject))
        days = draw.below(LONGEST_SHIFT) + 1
        return days if draw.below(2) else -days

    def digest(self, purpose: Purpose, entity: str, value: str) -> bytes:
        """Return what stands for a value in this scope, and tells nothing of it without the keys."""
        scope = "" if purpose == "shift" else self.place.scope
        return self.keys.mac(purpose, scope.encode(), entity.encode(), value.encode("utf-8", "surrogatepass"))

    def _moved(self, value: str) -> str | None:
        return shifted(value, self.days, self.place.today, day_first=self._day_first)

    def _surrogate(self, entity: str, value: str) -> str | None:
        if entity == "date":
            return self._moved(value)
        return surrogate(entity, value, lambda text: self.digest("surrogate", entity, text))

    def _general(self, entity: str, value: str, rule: str) -> str | None:
        match entity:
            case "date":
                return year_of(value, self.place.today)
            case "age":
                ages = re.findall(r"\d+", value)
                return ("90+" if int(ages[0]) >= OLD else value) if len(ages) == 1 else None
            case "postcode":
                zip_code = _ZIP.fullmatch(value.strip())
                if (
                    zip_code is None or rule == "postcode.before_place"
                ):  # there it is none of the United States
                    return None
                return "000" if zip_code[1] in SPARSE else zip_code[1]
            case _:
                return None


def _begin_of(value: Date, year: int) -> Date:
    """Return the begin of a year, as a date of the same type."""
    begin = value.replace(year=year, month=1, day=1)
    return begin.replace(hour=0, minute=0, second=0, microsecond=0) if isinstance(begin, datetime) else begin


def label(entity: str) -> str:
    """Return what says no more than what stood there."""
    return f"[{entity.upper()}]"


def named(entity: str) -> str:
    """Return the name of an entity as tokens and keys know it, whatever an engine calls it."""
    if NAMES.fullmatch(entity):
        return entity
    plain = _ODD.sub("_", entity.lower()).strip("_")[:40]
    return plain if NAMES.fullmatch(plain) else "other"


def no_token(entity: str, path: str, strategy: Strategy, what: str) -> ScrubError:
    """Return the error that says that a typed value cannot be replaced by a token."""
    return ScrubError(
        f"{what} at {path!r} ({entity}) cannot hold what the strategy {strategy!r} puts there",
        fix=f"declare it as text (str), or treat it otherwise: profile.but({entity}='generalise')",
    )
