"""What types say of their values: the labels that fields, items and members are marked with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

from flujo.pipeline.labels import DataLabel
from flujo.pipeline.policy import NO_LABELS
from flujo.plan.types import Type, plain


def labels_in(annotation: Type) -> frozenset[str]:
    """Return the labels of all that values of a type may hold, however deep."""
    try:
        return _labels_in(annotation)
    except TypeError:  # it cannot be told from others
        return _found(annotation)


@lru_cache(maxsize=1024)
def _labels_in(annotation: Type) -> frozenset[str]:
    return _found(annotation)


def _found(annotation: Type) -> frozenset[str]:
    return frozenset(_labels(annotation, set[int]())) or NO_LABELS


def _labels(annotation: Type, seen: set[int]) -> Iterator[str]:
    if get_origin(annotation) is Annotated:
        yield from _marks(get_args(annotation)[1:])
    annotation = plain(annotation)
    if id(annotation) in seen:
        return
    seen.add(id(annotation))
    for argument in get_args(annotation):
        yield from _labels(argument, seen)
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type):
        yield from _of_fields(kind, seen)


def _of_fields(kind: type[Any], seen: set[int]) -> Iterator[str]:
    if issubclass(kind, BaseModel):
        for info in kind.model_fields.values():
            yield from _marks(tuple(info.metadata))
            yield from _labels(info.annotation, seen)
    elif is_dataclass(kind) or is_typeddict(kind) or tuple in kind.__mro__:
        for hint in _hints(kind).values():
            yield from _labels(hint, seen)


def _marks(metadata: tuple[Any, ...]) -> Iterator[str]:
    for mark in metadata:
        if isinstance(mark, DataLabel) and mark.label:
            yield mark.label


def _hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # names that only a type checker sees: they cannot be read here
        return {}
