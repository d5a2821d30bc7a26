"""How a value of a declared type is written as JSON and read back.

`codec_for` decides once per type, when a plan is compiled; a `Codec` then dumps and loads values of it. The
rule it keeps: **what is loaded equals what was dumped, as its declared type, or dump raises** at the first
record.

Three ways, the cheapest that keeps the rule:

- *plain* types (scalars, lists and string-keyed dicts of scalars or of any JSON): the types of the members
  are checked, and the bytes are written without looking further;
- *exact* types (models, dataclasses, enums, … that `flujo.plan.exact` knows to survive): Pydantic writes
  them;
- everything else: Pydantic writes it, reads it back, and the two are compared.

A value without a declared type must be JSON through and through, because nothing would say how to restore it.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

from pydantic import ConfigDict, JsonValue, PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from flujo.plan.exact import FIX_DATA, Plain, Survey, survey
from flujo.plan.jsonvalues import MAX_DEPTH, SCALARS, STRINGS, first_odd, is_json
from flujo.plan.same import difference
from flujo.plan.unrecordable import (
    FIX_NOT_JSON,
    FIX_UNDECLARED,
    Unrecordable,
    does_not_come_back,
    does_not_fit,
    name_of,
    not_json,
)

_BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_SPARE_DEPTH = 200 - MAX_DEPTH
"""How many levels the parser must have left: it reads 200."""


class Codec:
    """Writes and reads the values of one declared type.

    Attributes:
        annotation: The declared type.
        plain: Whether its values are JSON of their own kind, which ``==`` compares.
        dump: Returns a value as the bytes of one JSON value; raises `Unrecordable`.
        mark: Returns bytes that differ where two values differ, unchecked and cheaper than ``dump``.
        load: Reads what ``dump`` wrote; raises ``ValueError`` if it does not fit the type.
        load_parsed: Reads the same from JSON that was parsed already; raises likewise.
    """

    __slots__ = ("_schema", "annotation", "dump", "load", "load_parsed", "mark", "plain")

    def __init__(
        self,
        annotation: object,
        *,
        plain: bool,
        dump: Callable[[Any], bytes],
        mark: Callable[[Any], bytes],
        load: Callable[[bytes], Any],
        load_parsed: Callable[[Any], Any],
        schema: Callable[[], dict[str, Any]],
    ) -> None:
        self.annotation = annotation
        self.plain = plain
        self.dump = dump
        self.mark = mark
        self.load = load
        self.load_parsed = load_parsed
        self._schema = schema

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the type; it is empty where any JSON value will do."""
        return self._schema()

    def __repr__(self) -> str:
        return f"Codec({name_of(self.annotation)})"


def codec_for(annotation: object) -> Codec:
    """Return the codec of a declared type.

    Args:
        annotation: A type as it stands in a signature. Nothing declared (`inspect.Parameter.empty`), ``Any``
            and ``object`` take exact JSON values only.

    Raises:
        Unrecordable: If values of the type cannot be written and restored.
    """
    try:
        hash(annotation)
    except TypeError:
        return _compile(annotation)
    return _cached(annotation)


def join(pieces: Mapping[str, bytes]) -> bytes:
    """Return the JSON object whose members are the given raw JSON pieces."""
    return b"{%b}" % b",".join([to_json(key) + b":" + piece for key, piece in pieces.items()])


def split(body: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object as raw JSON pieces."""
    return {key: to_json(value) for key, value in from_json(body).items()}


@lru_cache(maxsize=2048)
def _cached(annotation: object) -> Codec:
    return _compile(annotation)


def _compile(annotation: object) -> Codec:
    if annotation in (inspect.Parameter.empty, Any, object, JsonValue):
        return Codec(
            annotation,
            plain=True,
            dump=_dump_undeclared,
            mark=to_json,
            load=from_json,
            load_parsed=_itself,
            schema=dict,
        )
    adapter, found = _adapter(annotation)
    if found.problem:
        raise Unrecordable(f"the type {name_of(annotation)} {found.problem}", found.fix)
    load = _loader(adapter, found)
    dump = _general_dump(name_of(annotation), adapter, load, found)
    return Codec(
        annotation,
        plain=found.plain is not None,
        dump=dump if found.plain is None else _plain_dump(found.plain, dump),
        mark=_marker(adapter),
        load=load,
        load_parsed=adapter.validator.validate_python if found.plain else _parsed_loader(load),
        schema=adapter.json_schema,
    )


def _adapter(annotation: Any) -> tuple[TypeAdapter[Any], Survey]:
    try:
        try:
            adapter = TypeAdapter[Any](annotation, config=_BASE64)
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":  # a model says itself how its bytes are written
                raise
            adapter = TypeAdapter[Any](annotation)
        return adapter, survey(adapter.core_schema)
    except (PydanticUserError, NameError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]  # the rest is about Pydantic's own settings
        raise Unrecordable(
            f"the type {name_of(annotation)} cannot be recorded: {reason}", FIX_DATA
        ) from error


def _itself(parsed: Any) -> Any:
    return parsed


def _loader(adapter: TypeAdapter[Any], found: Survey) -> Callable[[bytes], Any]:
    """Read fields by their names, as they are written, whatever aliases a model has."""
    validate = adapter.validator.validate_json
    if found.plain is not None:
        return validate

    def load(data: bytes) -> Any:
        return validate(data, by_name=True, by_alias=False)

    return load


def _parsed_loader(load: Callable[[bytes], Any]) -> Callable[[Any], Any]:
    """Read by the rules for JSON, which are other than those for Python values."""

    def load_parsed(parsed: Any) -> Any:
        return load(to_json(parsed))

    return load_parsed


def _marker(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    serialize = adapter.serializer.to_json

    def mark(value: Any) -> bytes:
        return serialize(value, round_trip=True, warnings=False, by_alias=False)

    return mark


def _dump_undeclared(value: Any) -> bytes:
    try:
        if type(value) in SCALARS:
            return to_json(value)
        data = to_json(value)  # before anything walks the value: this notices one that contains itself
        if is_json(value):
            return data
    except ValueError:
        pass  # what is wrong is said below, without the value
    raise not_json(value, FIX_UNDECLARED)


def _plain_dump(plain: Plain, general: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Write at once what plainly is of the declared type; give everything else to the general way."""
    container, members = plain.container, plain.members
    if members is None:
        return _json_container_dump(container, general)
    accepts = members.issuperset
    any_float = float in members

    def fits(value: Any) -> bool:
        if container is None:
            return type(value) in members and (type(value) is not float or isfinite(value))
        if type(value) is not container:
            return False
        if container is dict:
            if not STRINGS.issuperset(map(type, value)):
                return False
            value = value.values()
        if not accepts(map(type, value)):
            return False
        return not any_float or all(type(member) is not float or isfinite(member) for member in value)

    def dump(value: Any) -> bytes:
        try:
            return to_json(value) if fits(value) else general(value)
        except ValueError:  # text with an unpaired surrogate: the general way says so
            return general(value)

    return dump


def _json_container_dump(container: type | None, general: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def dump(value: Any) -> bytes:
        if container is not None and type(value) is not container:
            return general(value)
        try:
            data = to_json(value)
            if is_json(value):
                return data
        except ValueError:
            pass  # what is wrong is said below, without the value
        raise not_json(value, FIX_NOT_JSON)

    return dump


def _general_dump(
    name: str, adapter: TypeAdapter[Any], load: Callable[[bytes], Any], found: Survey
) -> Callable[[Any], bytes]:
    serialize = adapter.serializer.to_json
    exact, classes = found.exact, found.classes

    def dump(value: Any) -> bytes:
        try:
            data = serialize(value, round_trip=True, warnings="error", by_alias=False)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise does_not_fit(name, value, str(error)) from error
        # An instance of a subclass would lose its own fields without a word; where no subclass exists, none
        # can.
        if exact and not any(cls.__subclasses__() for cls in classes):
            return data
        differs = _too_deep(data) or _not_restored(value, data, load)
        if differs is not None:
            raise does_not_come_back(name, value, *differs)
        return data

    return dump


def _too_deep(data: bytes) -> tuple[str, str] | None:
    try:
        from_json(b"[" * _SPARE_DEPTH + data + b"]" * _SPARE_DEPTH)
    except ValueError:
        return "", f"nests deeper than {MAX_DEPTH} levels"
    return None


def _not_restored(value: Any, data: bytes, load: Callable[[bytes], Any]) -> tuple[str, str] | None:
    """Return where and why a value does not come back as it was."""
    try:
        return difference(value, load(data))
    except ValueError:
        odd = first_odd(value)
        if odd is not None and "finite" in odd[1]:
            return odd
        return "", "breaks the rules of that type, so that reading it back is refused"
