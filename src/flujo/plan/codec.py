"""How a value of a declared type is written as JSON and read back.

`codec_for` decides once per type, when a plan is compiled; a `Codec` then dumps and loads values of it. The
rule it keeps: **what is loaded equals what was dumped, as its declared type, or dump raises** at the first
record.

Two ways, the cheaper one where it keeps the rule:

- a value that is exactly of its type, in parts that are known to survive (`flujo.plan.exact`), is written;
- any other is written, read back, and the two are compared (`flujo.plan.same`).

A value without a declared type must be JSON through and through, because nothing would say how to restore it.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Never, NoReturn

from pydantic import ConfigDict, JsonValue, PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from flujo.plan.exact import exact_check, is_plain, scalar_types
from flujo.plan.jsonvalues import MAX_DEPTH, SCALARS, first_odd, is_json
from flujo.plan.same import difference
from flujo.plan.survey import FIX_DATA, hides, obstacle
from flujo.plan.unrecordable import Unrecordable, does_not_come_back, does_not_fit, name_of, not_json

_BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_SPARE_DEPTH = 200 - MAX_DEPTH
"""How many levels the parser must have left: it reads 200."""


class Codec:
    """Writes and reads the values of one declared type.

    Attributes:
        annotation: The declared type.
        plain: Whether its values are JSON of their own kind, which ``==`` compares.
        dump: Returns a value as the bytes of one JSON value; raises `Unrecordable`.
        mark: Returns bytes that differ where two recorded values differ, mostly unchecked and cheaper than
            ``dump``; may raise ``ValueError`` or ``TypeError``.
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
        """Return the JSON Schema of what ``load`` reads; it is empty where any JSON value will do."""
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


@lru_cache(maxsize=2048)
def _cached(annotation: object) -> Codec:
    return _compile(annotation)


def _compile(annotation: object) -> Codec:
    if annotation in (inspect.Parameter.empty, Any, object, JsonValue, NoReturn, Never):
        return Codec(
            annotation,
            plain=True,
            dump=_dump_undeclared,
            mark=to_json,
            load=from_json,
            load_parsed=_itself,
            schema=dict,
        )
    adapter = _adapter(annotation)
    plain = is_plain(adapter.core_schema)
    load = adapter.validator.validate_json if plain else _loader(adapter)
    write = _writer(adapter)
    dump = _dump(name_of(annotation), adapter, write, load)
    scalars = scalar_types(adapter.core_schema)
    if scalars is not None:
        dump = _scalar_dump(scalars, dump)
    return Codec(
        annotation,
        plain=plain,
        dump=dump,
        mark=dump if hides(adapter.core_schema) else write,
        load=load,
        load_parsed=adapter.validator.validate_python if plain else _parsed_loader(load),
        schema=partial(adapter.json_schema, by_alias=False),
    )


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        try:
            adapter = TypeAdapter[Any](annotation, config=_BASE64)
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":  # a model says itself how its bytes are written
                raise
            adapter = TypeAdapter[Any](annotation)
        found = obstacle(adapter.core_schema)
    except (PydanticUserError, NameError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]  # the rest is about Pydantic's own settings
        raise Unrecordable(
            f"the type {name_of(annotation)} cannot be recorded: {reason}", FIX_DATA
        ) from error
    if found is not None:
        raise Unrecordable(f"the type {name_of(annotation)} {found[0]}", found[1])
    return adapter


def _itself(parsed: Any) -> Any:
    return parsed


def _loader(adapter: TypeAdapter[Any]) -> Callable[[bytes], Any]:
    """Read fields by their names, as they are written, whatever aliases a model has."""
    validate = adapter.validator.validate_json

    def load(data: bytes) -> Any:
        return validate(data, by_name=True, by_alias=False)

    return load


def _parsed_loader(load: Callable[[bytes], Any]) -> Callable[[Any], Any]:
    """Read by the rules for JSON, which are other than those for Python values."""

    def load_parsed(parsed: Any) -> Any:
        return load(to_json(parsed))

    return load_parsed


def _writer(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    serialize = adapter.serializer.to_json

    def write(value: Any) -> bytes:
        return serialize(value, round_trip=True, warnings=False, by_alias=False)

    return write


def _dump_undeclared(value: Any) -> bytes:
    try:
        if type(value) in SCALARS:
            return to_json(value)
        data = to_json(value)  # before anything walks the value: this notices one that contains itself
        if is_json(value):
            return data
    except ValueError:
        pass  # what is wrong is said below, without the value
    raise not_json(value)


def _scalar_dump(types: frozenset[type], general: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def dump(value: Any) -> bytes:
        if type(value) in types:
            try:
                return to_json(value)
            except ValueError:  # text with an unpaired surrogate: the general way says so
                return general(value)
        return general(value)

    return dump


def _dump(
    name: str, adapter: TypeAdapter[Any], write: Callable[[Any], bytes], load: Callable[[bytes], Any]
) -> Callable[[Any], bytes]:
    fits = exact_check(adapter.core_schema)
    serialize = adapter.serializer.to_json

    def dump(value: Any) -> bytes:
        try:
            if fits is not None:
                data = write(value)  # before the check walks the value: this notices one that contains itself
                if fits(value):
                    return data
            data = serialize(value, round_trip=True, warnings="error", by_alias=False)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise does_not_fit(name, value, str(error)) from error
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
    except RecursionError:
        return "", f"nests deeper than {MAX_DEPTH} levels"
    except ValueError:
        odd = first_odd(value)
        if odd is not None and "finite" in odd[1]:
            return odd
        return "", "breaks the rules of that type, so that reading it back is refused"
