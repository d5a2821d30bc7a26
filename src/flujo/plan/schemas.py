"""Whether a value fits a JSON Schema, where the schema is all that is known of a type.

What is checked is what is told clearly: kinds, members, choices, bounds. What a schema says beyond that
(patterns, formats, conditions) is left to whoever made it, so that nothing that fits is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import CoreSchema, SchemaError, SchemaValidator, core_schema

_NUMBERS = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}
_TEXTS = {"minLength": "min_length", "maxLength": "max_length"}
_LISTS = {"minItems": "min_length", "maxItems": "max_length"}
_DEFINED = "#/$defs/"


def check_schema(schema: Mapping[str, Any], value: Any) -> None:
    """Check that a JSON value fits a JSON Schema; a number or a truth value may be written as a text.

    Raises:
        ValidationError: It does not.
    """
    validator = _validator(schema)
    if validator is not None:
        validator.validate_python(value)


def _validator(schema: Mapping[str, Any]) -> SchemaValidator | None:
    """Return what checks it; None for a schema that is none."""
    defined = [
        cast("CoreSchema", {**_core(one), "ref": _DEFINED + name})
        for name, one in _members(schema, "$defs").items()
    ]
    try:
        return SchemaValidator(core_schema.definitions_schema(_core(schema), defined))
    except SchemaError:  # it refers to what it does not define, say
        return None


def _core(schema: Any) -> CoreSchema:
    told = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
    match told:
        case {"$ref": str(place)} if place.startswith(_DEFINED):
            return core_schema.definition_reference_schema(place)
        case {"const": only}:
            return core_schema.literal_schema([only])
        case {"enum": list()}:
            return core_schema.literal_schema(told["enum"])
        case {"anyOf": list()}:
            return _one_of(told["anyOf"])
        case {"oneOf": list()}:
            return _one_of(told["oneOf"])
        case {"type": list()}:
            return _one_of([{**told, "type": kind} for kind in told["type"]])
        case {"type": str(kind)}:
            return _of_kind(kind, told)
        case _:
            return core_schema.any_schema()


def _one_of(schemas: list[Any]) -> CoreSchema:
    some = [_core(one) for one in schemas if one != {"type": "null"}]
    whole = some[0] if len(some) == 1 else core_schema.union_schema([*some])
    return whole if len(some) == len(schemas) else core_schema.nullable_schema(whole)


def _of_kind(kind: str, schema: Mapping[str, Any]) -> CoreSchema:
    match kind:
        case "object":
            return _object(schema)
        case "array":
            items = _core(schema.get("items", {}))
            return core_schema.list_schema(items, **_bounds(schema, _LISTS))
        case "string":
            return core_schema.str_schema(**_bounds(schema, _TEXTS))
        case "integer":
            return core_schema.int_schema(**_bounds(schema, _NUMBERS))
        case "number":
            return core_schema.float_schema(**_bounds(schema, _NUMBERS))
        case "boolean":
            return core_schema.bool_schema()
        case "null":
            return core_schema.none_schema()
        case _:
            return core_schema.any_schema()


def _object(schema: Mapping[str, Any]) -> CoreSchema:
    more, required = schema.get("additionalProperties", True), schema.get("required")
    needed = cast("list[Any]", required) if isinstance(required, list) else []
    members = {
        name: core_schema.typed_dict_field(_core(one), required=name in needed)
        for name, one in _members(schema, "properties").items()
    }
    return core_schema.typed_dict_schema(
        members,
        extra_behavior="forbid" if more is False else "allow",
        extras_schema=_core(more) if isinstance(more, dict) else None,
    )


def _members(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    given = schema.get(name)
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def _bounds(schema: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the bounds of a schema by the names that the checking knows them by."""
    return {
        ours: schema[theirs] for theirs, ours in names.items() if isinstance(schema.get(theirs), int | float)
    }
