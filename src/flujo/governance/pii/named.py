"""The values that typed fields, and the keys of mappings, name as personal."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from operator import attrgetter
from pathlib import PurePath
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from pydantic import BaseModel

from flujo.governance.pii.fields import PII, marks_of


@runtime_checkable
class _NamedTuple(Protocol):
    _fields: tuple[str, ...]


Key = Callable[[str], str | None]
"""Tells what a key of a mapping, or the name of a field, says of its value."""


def untold(_: str) -> None:
    """Return what a key says where keys do not count: nothing."""


def named(value: Any, entity: str | None, key: Key, depth: int) -> Iterator[tuple[str, str]]:
    """Yield entity and text of each value that a marked field or a telling key names.

    Args:
        value: Where to look.
        entity: What is said of the value as a whole.
        key: Returns what a key, or the name of a field, says of its value.
        depth: How deep to look.
    """
    judged: object = value
    match judged:
        case str() | date() | int() if entity:
            if not isinstance(judged, bool):
                yield entity, judged.isoformat()[:10] if isinstance(judged, date) else str(judged)
        case UUID() | PurePath() if entity:
            yield entity, str(judged)
        case list() | tuple() | set() | frozenset() | deque():
            marks = dict(told_items(value, key))
            for at, inner in enumerate(value) if depth > 0 else ():
                mark = marks.get(at)
                if mark is None or mark.entity:
                    yield from named(inner, (mark.entity if mark else None) or entity, key, depth - 1)
        case _:
            for told, inner in _inside(value, key) if depth > 0 else ():
                yield from named(inner, told or entity, key, depth - 1)


def _inside(value: Any, key: Key) -> Iterator[tuple[str | None, Any]]:
    """Yield what a mapping, a model or a dataclass holds, with what is said of each."""
    judged: object = value
    if isinstance(judged, Mapping):
        for name, inner in value.items():
            yield key(name) if isinstance(name, str) else None, inner
    elif isinstance(judged, BaseModel) or (is_dataclass(judged) and not isinstance(judged, type)):
        for name, mark in told_fields(value, key):
            if mark is None or mark.entity:
                yield mark.entity if mark else None, field_of(value, name)


def told_fields(value: Any, key: Key) -> Iterator[tuple[str, PII | None]]:
    """Yield the fields of a model or a dataclass, with what is said of each."""
    judged: object = value
    marked = marks_of(type(judged))
    if isinstance(judged, BaseModel):
        listed = [*type(judged).model_fields, *(judged.model_extra or ())]
    else:
        listed = [field.name for field in fields(value)]
    for name in listed:
        mark = marked.get(name)
        told = key(name) if mark is None else None
        yield name, mark or (PII(told) if told else None)


def told_items(value: object, key: Key) -> Iterator[tuple[int, PII]]:
    """Yield the places in a named tuple of which something is said; nothing of other sequences."""
    if not isinstance(value, _NamedTuple) or not isinstance(value, tuple):
        return
    marked = marks_of(type(value))
    for at, name in enumerate(value._fields):
        mark, told = marked.get(name), key(name)
        if mark or told:
            yield at, mark or PII(told)


def field_of(value: object, name: str) -> Any:
    """Return what a field holds, where it may have slots instead of a dictionary."""
    return attrgetter(name)(value)
