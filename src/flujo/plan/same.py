"""Whether a restored value is the one that was recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import copysign
from types import NoneType
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel


def difference(
    recorded: object, restored: object, place: str = "", *, widened: bool = True
) -> tuple[str, str] | None:
    """Return where and how a restored value differs from the recorded one; None if it is the same.

    Stricter than ``==``: types count (a whole number may come back as the float it is declared to be), and so
    do the sign of a zero, the digits of a Decimal and the offset of a time. Times are the same if clock and
    offset are, though the names of their zones are not recorded. The values themselves are never named.

    Args:
        recorded: The value as it was.
        restored: The value as it came back.
        place: Where they stand, as in ``['a'][0]``.
        widened: Whether a number may come back as the wider kind of number that is declared.
    """
    kind = type(restored)
    if type(recorded) is not kind:
        if widened and _widened(recorded, restored):
            return None
        before = type(recorded).__qualname__
        return place, f"is of type {before!r} and would come back as {kind.__qualname__!r}"
    compare = _COMPARE.get(kind)
    if compare is not None:
        return None if compare(recorded, restored) else (place, "changes its value")
    parts = _parts(recorded, restored)
    if parts is None:
        return place, f"is no longer the same {kind.__qualname__}"
    for step, before, after in parts:
        found = difference(before, after, place + step, widened=widened)
        if found is not None:
            return found
    return None


def alike(one: object, other: object) -> bool:
    """Tell whether two values are the same by the rules of `difference`."""
    try:
        return one is other or difference(one, other, widened=False) is None
    except RecursionError:  # a value that contains itself
        return False


def _widened(recorded: Any, restored: Any) -> bool:
    """Tell whether a number came back as the plain type of number that is declared."""
    return type(recorded) in (int, bool, float) and type(restored) in (int, float) and recorded == restored


Parts = list[tuple[str, Any, Any]]


def _parts(recorded: Any, restored: Any) -> Parts | None:
    """Return the parts of two values of one type, side by side with their places; None if these differ."""
    if isinstance(recorded, dict):
        return _members(cast("dict[Any, Any]", recorded), restored, "[{!r}]")
    if isinstance(recorded, (list, tuple)):
        return _items(cast("Sequence[Any]", recorded), restored)
    if isinstance(recorded, BaseModel):
        hidden = (recorded.__pydantic_private__, recorded.__pydantic_extra__)
        same = hidden == (restored.__pydantic_private__, restored.__pydantic_extra__)
        return attributes(list(type(recorded).__pydantic_fields__), recorded, restored) if same else None
    if is_dataclass(recorded):
        return attributes([member.name for member in fields(recorded)], recorded, restored)
    kind = type(cast("object", recorded))
    if recorded is restored:  # the member of an enum, say
        return []
    if kind.__eq__ is object.__eq__ and kind.__dictoffset__:
        return _members(recorded.__dict__, restored.__dict__, ".{}")
    return [] if _equal(recorded, restored) else None


def _items(recorded: Sequence[Any], restored: Sequence[Any]) -> Parts | None:
    if len(recorded) != len(restored):
        return None
    return [
        (f"[{index}]", before, after)
        for index, (before, after) in enumerate(zip(recorded, restored, strict=True))
        if before is not after or type(before) not in _COMPARE
    ]


def _members(recorded: Mapping[Any, Any], restored: Mapping[Any, Any], step: str) -> Parts | None:
    if recorded.keys() != restored.keys():
        return None
    return [
        (step.format(key), before, restored[key])
        for key, before in recorded.items()
        if before is not restored[key] or type(before) not in _COMPARE
    ]


def attributes(names: Sequence[str], recorded: Any, restored: Any) -> Parts:
    """Return the attributes of these names of two values of one type, side by side with their places."""
    return [(f".{name}", getattr(recorded, name, None), getattr(restored, name, None)) for name in names]


def _equal(recorded: Any, restored: Any) -> bool:
    try:
        return bool(recorded == restored)
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
    ):  # values that cannot be compared, as arrays
        return False


def _same_clock(before: Any, after: Any) -> bool:
    """Tell whether two times show the same on the clock and are as far from UTC.

    ``==`` would not do: it holds a time in the hour that is repeated when summer ends unequal to any other.
    """
    same = before.replace(tzinfo=None, fold=0) == after.replace(tzinfo=None, fold=0)
    return same and before.utcoffset() == after.utcoffset()


_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    str: str.__eq__,
    int: int.__eq__,
    bool: bool.__eq__,
    bytes: bytes.__eq__,
    date: date.__eq__,
    timedelta: timedelta.__eq__,
    UUID: UUID.__eq__,
    NoneType: lambda _before, _after: True,
    float: lambda before, after: before == after and copysign(1, before) == copysign(1, after),
    Decimal: lambda before, after: before.as_tuple() == after.as_tuple(),
    datetime: _same_clock,
    time: _same_clock,
}
