"""The values that typed fields, and the keys of mappings, name as personal."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from flujo.governance.pii.fields import PII, marks_of, of_key


def named(value: Any, entity: str | None, keys: bool, depth: int) -> Iterator[tuple[str, str]]:
    """Yield entity and text of each value that a marked field or a telling key names.

    Args:
        value: Where to look.
        entity: What is said of the value as a whole.
        keys: Whether keys and names of fields tell.
        depth: How deep to look.
    """
    judged: object = value
    match judged:
        case str() | date() | int() if entity:
            if not isinstance(judged, bool):
                yield entity, judged.isoformat()[:10] if isinstance(judged, date) else str(judged)
        case list() | tuple() | set() | frozenset() | deque():
            for inner in value if depth > 0 else ():
                yield from named(inner, entity, keys, depth - 1)
        case _:
            for told, inner in _inside(value, keys) if depth > 0 else ():
                yield from named(inner, told or entity, keys, depth - 1)


def _inside(value: Any, keys: bool) -> Iterator[tuple[str | None, Any]]:
    """Yield what a mapping, a model or a dataclass holds, with what is said of each."""
    judged: object = value
    if isinstance(judged, Mapping):
        for key, inner in value.items():
            yield of_key(key) if keys and isinstance(key, str) else None, inner
    elif isinstance(judged, BaseModel) or (is_dataclass(judged) and not isinstance(judged, type)):
        for name, mark in told_fields(value, keys):
            if mark is None or mark.entity:
                yield mark.entity if mark else None, field_of(value, name)


def told_fields(value: Any, keys: bool) -> Iterator[tuple[str, PII | None]]:
    """Yield the fields of a model or a dataclass, with what is said of each."""
    judged: object = value
    marked = marks_of(type(judged))
    if isinstance(judged, BaseModel):
        listed = [*type(judged).model_fields, *(judged.model_extra or ())]
    else:
        listed = [field.name for field in fields(value)]
    for name in listed:
        mark = marked.get(name)
        told = of_key(name) if mark is None and keys else None
        yield name, mark or (PII(told) if told else None)


def field_of(value: object, name: str) -> Any:
    """Return what a field holds, where it may have slots instead of a dictionary."""
    return attrgetter(name)(value)
