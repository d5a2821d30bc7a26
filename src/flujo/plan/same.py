"""Whether a restored value is the one that was recorded."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import copysign
from types import NoneType
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel

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
    datetime: lambda before, after: before == after and before.utcoffset() == after.utcoffset(),
    time: lambda before, after: before == after and before.utcoffset() == after.utcoffset(),
}


def difference(
    recorded: object, restored: object, place: str = "", *, widened: bool = True
) -> tuple[str, str] | None:
    """Return where and how a restored value differs from the recorded one; None if it is the same.

    Stricter than ``==``: types count (a whole number may come back as the float it is declared to be), and so
    do the sign of a zero, the digits of a Decimal and the offset of a time. The values themselves are never
    named.
    """
    kind = type(restored)
    if type(recorded) is not kind:
        if widened and _widened(recorded, restored):
            return None
        return (
            place,
            f"is of type {type(recorded).__qualname__!r} and would come back as {kind.__qualname__!r}",
        )
    compare = _COMPARE.get(kind)
    if compare is not None:
        return None if compare(recorded, restored) else (place, "changes its value")
    pairs = _pairs(recorded, restored)
    for step, before, after in pairs:
        found = difference(before, after, place + step, widened=widened)
        if found is not None:
            return found
    return None if _equal(recorded, restored) else (place, f"is no longer the same {kind.__qualname__}")


def alike(one: Any, other: Any) -> bool:
    """Tell whether two values are the same by the rules of `difference`, soon where they plainly are not."""
    if one is other:
        return True
    return type(one) is type(other) and _equal(one, other) and difference(one, other, widened=False) is None


def _widened(recorded: Any, restored: Any) -> bool:
    """Whether a number came back as the plain type of number that is declared."""
    return type(recorded) in (int, bool, float) and type(restored) in (int, float) and recorded == restored


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


def _pairs(recorded: Any, restored: Any) -> list[tuple[str, Any, Any]]:
    """Return the members of two values of one type side by side with their places, where they may differ."""
    if isinstance(recorded, dict):
        return _in_both(cast("dict[Any, Any]", recorded), restored, "[{!r}]")
    if isinstance(recorded, (list, tuple)):
        return [
            (f"[{index}]", before, after)
            for index, (before, after) in enumerate(zip(cast("list[Any]", recorded), restored, strict=False))
            if before is not after or type(before) not in _COMPARE
        ]
    if isinstance(recorded, BaseModel):
        return _in_both(recorded.__dict__, restored.__dict__, ".{}")
    if is_dataclass(recorded):
        names = [member.name for member in fields(recorded)]
        return [(f".{name}", getattr(recorded, name), getattr(restored, name)) for name in names]
    return []


def _in_both(
    recorded: Mapping[Any, Any], restored: Mapping[Any, Any], step: str
) -> list[tuple[str, Any, Any]]:
    return [
        (step.format(key), before, restored[key])
        for key, before in recorded.items()
        if key in restored and (before is not restored[key] or type(before) not in _COMPARE)
    ]
