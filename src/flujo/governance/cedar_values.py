"""Python values as Cedar knows them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel

DEPTH = 40
"""How deep values may be nested."""

_LONGEST = 2**63
_RESERVED = frozenset({"__entity", "__extn", "__expr"})
_QUANTUM = Decimal("0.0001")


class NotForCedar(ValueError):
    """A value that Cedar cannot hold: what cannot be judged is denied."""


def cedar_value(value: Any, depth: int = DEPTH) -> Any:
    """Return a value as the JSON that Cedar reads; None for a value that is not there.

    Texts, truth values and whole numbers are themselves; other numbers become ``decimal``, rounded to four
    places; times become ``datetime``, in UTC, and spans ``duration``; sequences and sets become sets;
    mappings, models and dataclasses become records, without what is None.

    Raises:
        NotForCedar: Cedar has nothing for it, or it would be read as something else than it is.
    """
    match value:
        case None | bool():
            return value
        case Enum():
            return cedar_value(value.value, depth)
        case str():
            return str(value)
        case int():
            if -_LONGEST <= value < _LONGEST:
                return int(value)
            raise NotForCedar("a number needs more than 64 bits")
        case float() | Decimal():
            return _decimal(value)
        case _:
            return _extended(value, depth)


def _extended(value: Any, depth: int) -> Any:
    match value:
        case datetime():
            return extension("datetime", moment(value))
        case date():
            return extension("datetime", value.isoformat())
        case timedelta():
            return extension("duration", f"{value // timedelta(milliseconds=1)}ms")
        case bytes() | bytearray():
            return b64encode(value).decode()
        case UUID() | PurePath():
            return str(value)
        case _:
            pass
    if not depth:
        raise NotForCedar(f"it is nested deeper than {DEPTH} levels")
    if isinstance(value, BaseModel):
        return _record(dict(value), depth)
    if is_dataclass(value) and not isinstance(value, type):
        return _record(asdict(value), depth)
    if isinstance(value, Mapping):
        return _record(cast("Mapping[Any, Any]", value), depth)
    if isinstance(value, list | tuple | Set):
        items = (cedar_value(item, depth - 1) for item in cast("Iterable[Any]", value))
        return [item for item in items if item is not None]
    raise NotForCedar(f"Cedar has nothing for {type(value).__name__}")


def _record(members: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for key, member in members.items():
        if isinstance(key, Enum):
            key = key.value
        if not isinstance(key, str | int) or key in _RESERVED:  # Cedar would read an entity, or a function
            named = repr(key) if key in _RESERVED else f"of type {type(key).__name__}"
            raise NotForCedar(f"a key {named} cannot name a member of a record")
        written = cedar_value(member, depth - 1)
        if written is not None:
            record[str(key)] = written
    return record


def _decimal(value: float | Decimal) -> Any:
    number = Decimal(repr(value)) if isinstance(value, float) and math.isfinite(value) else Decimal(value)
    if not number.is_finite() or abs(number) >= 922_337_203_685_477:
        raise NotForCedar("a number is no decimal of Cedar")
    return extension("decimal", f"{number.quantize(_QUANTUM, ROUND_HALF_EVEN):f}")


def extension(function: str, argument: str) -> Mapping[str, Any]:
    """Return a value of one of Cedar's own types."""
    return {"__extn": {"fn": function, "arg": argument}}


def moment(value: datetime) -> str:
    """Return a time as Cedar reads it, in UTC; one without a zone is taken for UTC."""
    at = value.astimezone(UTC) if value.tzinfo is not None else value
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
