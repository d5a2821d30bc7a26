"""The walk through a value that replaces personal data and keeps every type."""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import is_dataclass
from dataclasses import replace as changed
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from math import isfinite
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr

from flujo.errors import ScrubError
from flujo.governance.pii.fields import PII
from flujo.governance.pii.finding import Finding
from flujo.governance.pii.messages import KEPT
from flujo.governance.pii.named import field_of, told_fields, told_items

_PLAIN = (
    bool,
    complex,
    time,
    timedelta,
    Enum,
    SecretStr,
    SecretBytes,
    type(None),
    type,
    type(...),
)
_LONG_NUMBER, _ENDLESS = 10**7, 10**40
"""Whole numbers from the first on may be somebody's; where they are no integers, below the second."""
T = TypeVar("T")
Number = TypeVar("Number", int, float, Decimal)
Date = TypeVar("Date", bound=date)


def replaced(text: str, findings: Iterable[Finding], instead: Callable[[str], str]) -> str:
    """Return the text with each finding replaced; findings in order of place, without overlaps."""
    parts: list[str] = []
    at = 0
    for finding in findings:
        parts += (text[at : finding.start], instead(finding.entity))
        at = finding.end
    return "".join((*parts, text[at:])) if parts else text


class Rewriter(Protocol):
    """What a walk asks: what is personal in a text, and what takes its place.

    Attributes:
        json: Whether JSON in strings is looked into; where anything in it is replaced, it is written anew.
    """

    json: bool

    def key(self, name: str) -> str | None:
        """Return what a key, or the name of a field, says of its value; None for most."""
        ...

    def find(self, text: str) -> Sequence[Finding]:
        """Return what is personal in a text of which nothing is known, in order of place."""
        ...

    def text(self, text: str, found: Sequence[Finding]) -> str:
        """Return a text without what was found in it; also asked where nothing was."""
        ...

    def whole(self, text: str, entity: str) -> str:
        """Return what stands for a text that is personal as a whole."""
        ...

    def number(self, value: Number, entity: str, path: str) -> Number:
        """Return what stands for a number, as a number of its type: a text would not fit where it stands."""
        ...

    def date(self, value: Date, entity: str | None, path: str) -> Date:
        """Return what stands for a date, as a date; of one that nothing marks as personal, often itself."""
        ...

    def binary(self, value: bytes, entity: str | None) -> tuple[bytes, Sequence[Finding]]:
        """Return what stands for bytes that are no UTF-8, of which an entity is told or not; and findings."""
        ...


def rewritten(value: T, rewriter: Rewriter, *, depth: int = 100) -> tuple[T, list[Finding]]:
    """Return a value of the same types as a rewriter leaves it, and what was found in it.

    Args:
        value: A string, bytes, a number, a date, a model, a dataclass, a mapping or a sequence of such.
        rewriter: What is asked.
        depth: How deep values may be nested.

    Raises:
        ScrubError: It is nested too deep, or holds an object that cannot be looked into.
    """
    walk = Walk(rewriter, depth=depth)
    return walk.whole(value), walk.findings


class Walk:
    """One walk: what it finds is told by path."""

    def __init__(self, by: Rewriter, *, depth: int) -> None:
        self._by = by
        self._depth = depth
        self.findings: list[Finding] = []

    def whole(self, value: Any) -> Any:
        """Return the value without personal data; itself where there was none."""
        return self._value(value, "", None, 0)

    def _value(self, value: Any, path: str, entity: str | None, depth: int) -> Any:
        if depth > self._depth:
            raise ScrubError(
                f"the value is nested deeper than {self._depth} levels at {_short(path)!r}",
                fix="pass flatter data, or allow more with depth=",
            )
        judged: object = value  # what is known of it is not known of `value`, which keeps its type
        match judged:
            case _ if isinstance(judged, _PLAIN):
                return value
            case str():
                clean = self._text(value, path, entity, depth)
                return clean if clean is value or type(value) is str else type(value)(clean)
            case PurePath() | UUID():
                return self._written(judged, path, entity, depth)
            case int() | float() | Decimal():
                return self._number(value, path, entity)
            case datetime() | date():
                return self._date(value, path, entity)
            case bytes() | bytearray():
                return self._bytes(value, path, entity, depth)
            case BaseModel():
                return self._model(value, path, entity, depth)
            case Mapping():
                return self._mapping(value, path, entity, depth)
            case list() | tuple() | set() | frozenset() | deque():
                return self._several(value, path, entity, depth)
            case _ if is_dataclass(judged):
                return self._dataclass(value, path, entity, depth)
            case _:
                kind = type(judged)
                raise ScrubError(
                    f"a {kind.__module__}.{kind.__qualname__} at {_short(path)!r} cannot be looked into",
                    fix="hold its data in a Pydantic model, a dataclass, a mapping or a sequence",
                )

    def _text(self, text: str, path: str, entity: str | None, depth: int) -> str:
        if entity:
            return self._all_of(text, path, entity) if text.strip() else text
        if self._by.json and text[:1] in "{[ \n\t" and text.lstrip()[:1] in ("{", "["):
            shadowed: list[tuple[str, Any]] = []
            inner = _parsed(text, shadowed)
            if inner is not None:
                before = len(self.findings)
                for pair in shadowed:  # nobody who reads JSON sees these, and whoever prints the text does
                    self._value(dict([pair]), path, None, depth + 1)
                clean = self._value(inner, path, None, depth + 1)
                return text if len(self.findings) == before else json.dumps(clean, ensure_ascii=False)
        found = self._by.find(text)
        self.findings += [changed(finding, path=path) for finding in found] if path else found
        return self._by.text(text, found)

    def _all_of(self, text: str, path: str, entity: str) -> str:
        self.findings.append(Finding(0, len(text), entity, 1.0, "field", path))
        return self._by.whole(text, entity)

    def _number(self, value: Any, path: str, entity: str | None) -> Any:
        written = str(value) if entity else _figures(value)
        if not written:
            return value
        found = [Finding(0, len(written), entity, 1.0, "field")] if entity else self._by.find(written)
        self.findings += [changed(finding, path=path) for finding in found]
        return self._by.number(value, found[0].entity, path) if found else value

    def _written(self, value: PurePath | UUID, path: str, entity: str | None, depth: int) -> PurePath | UUID:
        """Return what stands for a path; or for a UUID, which is personal only where something says so."""
        if isinstance(value, PurePath):
            clean = self._text(str(value), path, entity, depth)
            return value if clean == str(value) else type(value)(clean)
        if not entity:
            return value
        self.findings.append(Finding(0, len(str(value)), entity, 1.0, "field", path))
        number = self._by.number(value.int, entity, path)
        return value if number == value.int else UUID(int=number % (1 << 128))

    def _date(self, value: Any, path: str, entity: str | None) -> Any:
        clean = self._by.date(value, entity, path)
        if entity or clean != value:
            self.findings.append(Finding(0, len(str(value)), entity or "date", 1.0, "field", path))
        return value if clean == value else clean

    def _bytes(self, value: Any, path: str, entity: str | None, depth: int) -> Any:
        try:
            text = value.decode()
        except UnicodeDecodeError:  # pictures and the like: their insides are not text
            clean, found = self._by.binary(bytes(value), entity)
            self.findings += [changed(finding, path=path) for finding in found]
            return value if clean == value else type(value)(clean)
        fresh = self._text(text, path, entity, depth)
        return value if fresh is text else type(value)(fresh.encode())

    def _model(self, value: BaseModel, path: str, entity: str | None, depth: int) -> BaseModel:
        update: dict[str, Any] = {}
        held = {**vars(value), **(value.model_extra or {})}
        for name, mark in told_fields(value, self._by.key):
            if mark and mark.entity is None:
                continue
            place = path if name == "root" else _joined(path, name)
            clean = self._value(held[name], place, entity or (mark.entity if mark else None), depth + 1)
            if clean is not held[name]:
                update[name] = clean
        if not update:
            return value
        fresh = value.model_copy(update=update)
        _forget_derived(fresh)
        return fresh

    def _mapping(
        self, value: Mapping[Any, Any], path: str, entity: str | None, depth: int
    ) -> Mapping[Any, Any]:
        clean: dict[Any, Any] = {}
        same = True
        for key, inner in value.items():
            fresh = self._key(key, path, depth, clean)
            told = self._by.key(key) if isinstance(key, str) else None
            place = _joined(path, fresh if isinstance(fresh, str) else type(key).__name__)
            clean[fresh] = self._value(inner, place, entity or told, depth + 1)
            same = same and fresh is key and clean[fresh] is inner
        return value if same else _like(value, clean)

    def _key(self, key: Any, path: str, depth: int, taken: Mapping[Any, Any]) -> Any:
        """Return a mapping's key without personal data, other than those that are taken."""
        place = _joined(path, "(key)")
        if not isinstance(key, str):
            fresh = self._value(key, place, None, depth + 1)
            if fresh in taken:
                raise ScrubError(
                    f"two keys of a mapping at {_short(place)!r} are one without personal data",
                    fix="key it by texts, or pass a list of pairs",
                )
            return fresh
        named = fresh = self._text(key, place, None, depth + 1)
        count = 2
        while fresh in taken:
            fresh, count = f"{named} {count}", count + 1
        return fresh

    def _several(self, value: Any, path: str, entity: str | None, depth: int) -> Any:
        marks = dict(told_items(value, self._by.key))
        clean = [
            self._item(inner, f"{path}[{at}]", entity, depth, marks.get(at)) for at, inner in enumerate(value)
        ]
        if all(one is other for one, other in zip(clean, value, strict=True)):
            return value
        kind = cast("Callable[..., Any]", type(cast("object", value)))
        match cast("object", value):
            case deque(maxlen=longest):
                return kind(clean, longest)
            case tuple() if kind is not tuple:
                return kind(*clean)  # a named tuple
            case _:
                return kind(clean)

    def _item(self, value: Any, path: str, entity: str | None, depth: int, mark: PII | None) -> Any:
        """Return an item of a sequence without personal data, with what is said of its place in that."""
        if mark is None:
            return self._value(value, path, entity, depth + 1)
        return value if mark.entity is None else self._value(value, path, entity or mark.entity, depth + 1)

    def _dataclass(self, value: Any, path: str, entity: str | None, depth: int) -> Any:
        skipped = KEPT if type(value).__module__.startswith("pydantic_ai.") else frozenset[str]()
        update: dict[str, Any] = {}
        for name, mark in told_fields(value, self._by.key):
            if name in skipped or (mark and mark.entity is None):
                continue
            held = field_of(value, name)
            told = entity or (mark.entity if mark else None)
            clean = self._value(held, _joined(path, name), told, depth + 1)
            if clean is not held:
                update[name] = clean
        if not update:
            return value
        fresh = copy(value)
        for name, clean in update.items():
            object.__setattr__(fresh, name, clean)  # also where the class is frozen
        _forget_derived(fresh)
        return fresh


def _figures(value: int | float | Decimal) -> str:
    """Return the figures of a number that may be somebody's: a whole one, and long; else nothing."""
    if isinstance(value, int):
        return str(value) if abs(value) >= _LONG_NUMBER else ""
    may_be = isfinite(value) and _LONG_NUMBER <= abs(value) < _ENDLESS and value == int(value)
    return str(int(value)) if may_be else ""


def _forget_derived(value: object) -> None:
    """Have an object derive anew what it remembers by cached properties: that was of what was replaced."""
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, cached_property):
                vars(value).pop(name, None)


def _parsed(text: str, shadowed: list[tuple[str, Any]]) -> Any:
    """Return what JSON in a string holds; None where it is no JSON.

    Args:
        text: The string.
        shadowed: Is given the members that later ones of the same name hide.
    """

    def last_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        last = dict(pairs)
        if len(last) < len(pairs):
            at_end = {name: at for at, (name, _) in enumerate(pairs)}
            shadowed.extend(pair for at, pair in enumerate(pairs) if at_end[pair[0]] != at)
        return last

    try:
        return json.loads(text, object_pairs_hook=last_of_each)
    except RecursionError:
        raise ScrubError(
            "JSON in a string is nested deeper than can be read",
            fix="pass flatter data; no one reads so deep",
        ) from None
    except ValueError:
        return None


def _like(value: Mapping[Any, Any], clean: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of the same type as another, with other contents."""
    match value:
        case MappingProxyType():
            return MappingProxyType(clean)
        case defaultdict():
            return defaultdict(value.default_factory, clean)
        case dict() if type(value) is dict:
            return clean
        case dict():
            fresh = copy(value)
            fresh.clear()
            fresh.update(clean)
            return fresh
        case _:
            kind: Any = type(value)
            return kind(clean)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _short(path: str) -> str:
    return path if len(path) <= 60 else f"{path[:30]}...{path[-27:]}"
