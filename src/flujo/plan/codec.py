"""How a value of a declared type is written as JSON and read back.

`codec_for` decides once per type, when a plan is compiled; a `Codec` then dumps and loads values of it. The rule it
keeps: **what is loaded equals what was dumped, as its declared type, or dump raises** at the first record.

Three ways, the cheapest that keeps the rule:

- *plain* types (``str``, ``int``, lists and string-keyed dicts of them): the types of the members are checked, and
  the bytes are written without looking further;
- *exact* types (models, dataclasses, enums, … that `flujo.plan.exact` knows to survive): Pydantic writes them;
- everything else: Pydantic writes it, reads it back, and the two are compared.

A value without a declared type must be JSON through and through, because nothing would say how to restore it.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from types import NoneType
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from flujo.plan.exact import Survey, difference, survey

MAX_DEPTH = 120
"""How deep lists and dicts may nest: what is read back stands a few levels deeper inside an event."""

_SCALARS = frozenset({str, int, bool, NoneType})
_STRINGS = frozenset({str})
_BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class Unrecordable(TypeError):
    """A type or a value cannot be recorded and restored.

    Attributes:
        message: What cannot be recorded and where in the value it stands; never the value itself.
        fix: What to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message}\n  To fix: {fix}")


class Codec:
    """Writes and reads the values of one declared type.

    Attributes:
        annotation: The declared type.
        plain: Whether its values are JSON of their own kind, which ``==`` compares and a shallow walk copies.
        dump: Returns a value as the bytes of one JSON value; raises `Unrecordable`.
        load: Reads those bytes; raises ``ValueError`` when they do not fit the type.
        load_parsed: Reads the same value from JSON that was parsed already.
    """

    __slots__ = ("_schema", "annotation", "dump", "load", "load_parsed", "plain")

    def __init__(
        self,
        annotation: object,
        *,
        dump: Callable[[object], bytes],
        load: Callable[[bytes], object],
        load_parsed: Callable[[object], object],
        schema: Callable[[], dict[str, Any]],
        plain: bool,
    ) -> None:
        self.annotation = annotation
        self.dump = dump
        self.load = load
        self.load_parsed = load_parsed
        self.plain = plain
        self._schema = schema

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the type; it is empty where any JSON value will do."""
        return self._schema()

    def __repr__(self) -> str:
        return f"Codec({name_of(self.annotation)})"


def codec_for(annotation: object) -> Codec:
    """Return the codec of a declared type; the same type gives the same codec.

    Args:
        annotation: A type as it stands in a signature. Nothing declared (`inspect.Parameter.empty`), ``Any`` and
            ``object`` take exact JSON values only.

    Raises:
        Unrecordable: If values of the type cannot be written and restored.
    """
    try:
        return _cached(annotation)
    except TypeError as error:
        if isinstance(error, Unrecordable):
            raise
        return _compile(annotation)  # an unhashable annotation: compiled each time


def join(pieces: Mapping[str, bytes]) -> bytes:
    """Return the JSON object whose values are the given raw JSON pieces."""
    return b"{" + b",".join([to_json(key) + b":" + piece for key, piece in pieces.items()]) + b"}"


def split(body: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object as raw JSON pieces."""
    return {key: to_json(value) for key, value in from_json(body).items()}


def name_of(annotation: object) -> str:
    """Return a type's name as it is written in code."""
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def dump_json(value: object) -> bytes:
    """Return a value that is JSON through and through as bytes.

    Raises:
        Unrecordable: If some part of it is of another kind: reading it back would not give the same.
    """
    try:
        data = to_json(value)
    except ValueError as error:
        raise _not_json(value) from error
    if type(value) not in _SCALARS and not is_json(value):
        raise _not_json(value)
    return data


def is_json(value: object, depth: int = 0) -> bool:
    """Tell whether a value (without cycles) is made of JSON's own kinds only."""
    kind = type(value)
    if kind is dict:
        if not _STRINGS.issuperset(map(type, value)):  # pyright: ignore[reportUnknownArgumentType, reportArgumentType]
            return False
        members: list[object] = list(value.values())  # pyright: ignore
    elif kind is list:
        members = value  # pyright: ignore[reportAssignmentType]
    else:
        return kind in _SCALARS or (isinstance(value, float) and kind is float and isfinite(value))
    if depth >= MAX_DEPTH:
        return False
    if _SCALARS.issuperset(map(type, members)):
        return True
    return all([type(member) in _SCALARS or is_json(member, depth + 1) for member in members])


def _not_json(value: object) -> Unrecordable:
    place, reason = _first_odd(value, "", (), 0) or ("", "cannot be written as JSON")
    where = f" at {place}" if place else ""
    return Unrecordable(
        f"a value that has no declared type must be JSON, and{where} it {reason}",
        "annotate the type (a return type, a field), so that the value can be restored as what it was",
    )


def _first_odd(value: object, place: str, above: tuple[int, ...], depth: int) -> tuple[str, str] | None:
    """Return where a value stops being JSON, and why."""
    kind = type(value)
    if kind is float:
        return None if isfinite(value) else (place, "is not a finite number")  # pyright: ignore
    if kind in _SCALARS:
        return (place, "is text with an unpaired surrogate") if kind is str and not _encodes(value) else None  # pyright: ignore
    if kind is not dict and kind is not list:
        return place, f"is of type {kind.__qualname__!r}"
    if id(value) in above:
        return place, "contains itself"
    if depth >= MAX_DEPTH:
        return place[:80] + "…", f"nests deeper than {MAX_DEPTH} levels"
    members: list[tuple[object, object]] = list(value.items() if kind is dict else enumerate(value))  # pyright: ignore
    for key, member in members:
        if kind is dict and (type(key) is not str or not _encodes(key)):
            return place, f"has a key of type {type(key).__qualname__!r}"
        odd = _first_odd(member, f"{place}[{key!r}]", (*above, id(value)), depth + 1)
        if odd:
            return odd
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=2048)
def _cached(annotation: object) -> Codec:
    return _compile(annotation)


def _compile(annotation: object) -> Codec:
    if annotation is inspect.Parameter.empty or annotation is Any or annotation is object:
        return Codec(Any, dump=dump_json, load=from_json, load_parsed=_itself, schema=dict, plain=True)
    adapter = _adapter(annotation)
    found = survey(adapter.core_schema)
    if found.problem:
        raise Unrecordable(f"the type {name_of(annotation)} {found.problem}", found.fix)
    load = _loader(adapter)
    general = _general_dump(annotation, adapter, load, found)
    allowed = found.plain
    if allowed is None:
        return Codec(
            annotation,
            dump=general,
            load=load,
            load_parsed=lambda parsed: load(to_json(parsed)),
            schema=adapter.json_schema,
            plain=False,
        )
    return Codec(
        annotation,
        dump=_plain_dump(allowed.container, allowed.members, general),
        load=load,
        load_parsed=adapter.validator.validate_python,
        schema=adapter.json_schema,
        plain=True,
    )


def _adapter(annotation: object) -> TypeAdapter[Any]:
    try:
        try:
            return TypeAdapter(annotation, config=_BASE64)
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                raise
            return TypeAdapter(annotation)
    except (PydanticUserError, NameError, TypeError, ValueError, AttributeError) as error:
        # What Pydantic says after the first sentence is about its own settings.
        reason = str(error).splitlines()[0].split(". ")[0]
        raise Unrecordable(
            f"the type {name_of(annotation)} cannot be recorded: {reason}",
            "use a Pydantic model, a dataclass, a TypedDict or JSON types; "
            "keep connections, files, iterators and functions out of recorded values",
        ) from error


def _itself(parsed: object) -> object:
    return parsed


def _loader(adapter: TypeAdapter[Any]) -> Callable[[bytes], object]:
    """Read fields by their names whatever aliases a model has, as they were written."""
    validate = adapter.validator.validate_json

    def load(data: bytes) -> object:
        return validate(data, by_name=True, by_alias=False)

    return load


def _plain_dump(
    container: type | None, members: frozenset[type], general: Callable[[object], bytes]
) -> Callable[[object], bytes]:
    """Write what is plainly of the declared type at once, and give the rest to the general way."""
    accepts = members.issuperset

    def dump_scalar(value: object) -> bytes:
        return to_json(value) if type(value) in members else general(value)

    def dump_list(value: list[object]) -> bytes:
        return to_json(value) if type(value) is list and accepts(map(type, value)) else general(value)

    def dump_dict(value: dict[object, object]) -> bytes:
        if type(value) is dict and _STRINGS.issuperset(map(type, value)) and accepts(map(type, value.values())):
            return to_json(value)
        return general(value)

    quick: Callable[[Any], bytes] = (
        dump_scalar if container is None else dump_list if container is list else dump_dict
    )

    def dump(value: object) -> bytes:
        try:
            return quick(value)
        except ValueError:  # an unpaired surrogate: the general way names it
            return general(value)

    return dump


def _general_dump(
    annotation: object, adapter: TypeAdapter[Any], load: Callable[[bytes], object], found: Survey
) -> Callable[[object], bytes]:
    serialize = adapter.serializer.to_json
    exact, classes = found.exact, found.classes
    name = name_of(annotation)

    def dump(value: object) -> bytes:
        try:
            data = serialize(value, round_trip=True, warnings="error", by_alias=False)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _does_not_fit(name, value) from error
        # The instance of a subclass would lose its own fields without a word: only where no subclass exists is
        # there nothing to compare.
        if exact and not any([cls.__subclasses__() for cls in classes]):
            return data
        try:
            from_json(b"[" * 60 + data + b"]" * 60)
            restored = load(data)
        except ValueError as error:
            raise _does_not_come_back(name, value, "", "would not be accepted when it is read back") from error
        differs = difference(value, restored)
        if differs:
            raise _does_not_come_back(name, value, *differs)
        return data

    return dump


def _does_not_fit(name: str, value: object) -> Unrecordable:
    odd = _first_odd(value, "", (), 0)
    hint = f" (at {odd[0] or 'the top'} it {odd[1]})" if odd and odd[1].startswith(("contains", "nests", "is text")) else ""
    return Unrecordable(
        f"a value of type {type(value).__qualname__!r} cannot be recorded as the declared type {name}{hint}",
        f"return what is declared, or declare what is returned instead of {name}",
    )


def _does_not_come_back(name: str, value: object, place: str, reason: str) -> Unrecordable:
    where = f" at {place}" if place else ""
    return Unrecordable(
        f"a value of type {type(value).__qualname__!r}, recorded as {name}, would not be restored as it was:{where} it {reason}",
        "declare the type of the value precisely (a union member, the subclass itself), "
        "and keep excluded fields, secrets, NaN and infinities out of it",
    )
