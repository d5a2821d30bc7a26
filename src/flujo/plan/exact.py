"""Which values survive being written as JSON: checks built once from Pydantic's schema of a type.

A check tells whether a value is exactly what its type declares, part by part, in parts that are known to come
back from JSON as they were. It is built for the kinds of schema listed here; for any other kind there is no
check, and values are compared after a round trip: a new kind of schema costs time, never truth.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from types import NoneType
from typing import Any, cast
from uuid import UUID

from flujo.plan.jsonvalues import STRINGS, is_json

Schema = Mapping[str, Any]
Check = Callable[[Any], bool]

_SCALARS: dict[str, type] = {"str": str, "int": int, "bool": bool, "none": NoneType}
_NO_SETTINGS = frozenset({"type", "ref", "metadata", "strict", "microseconds_precision"})
_NO_CONFIG = frozenset(
    {"title", "extra_fields_behavior", "from_attributes", "validate_by_name", "validate_by_alias"}
)
_LOST_FIELD = frozenset({"serialization_exclude", "serialization_exclude_if", "init_only"})


def exact_check(schema: Schema) -> Check | None:
    """Return the check of a type; None if its values must be compared after a round trip."""
    return _Builder().build(schema)


def is_plain(node: Schema | None) -> bool:
    """Tell whether a type's values are JSON of their own kind, through and through."""
    if node is None or _is_json_value(node):
        return True
    kind, settings = node["type"], node.keys() - _NO_SETTINGS
    if kind == "definitions":
        return is_plain(node["schema"])
    if kind == "list" and settings <= {"items_schema"}:
        return is_plain(node.get("items_schema"))
    if kind == "dict" and settings <= {"keys_schema", "values_schema"}:
        keys: Schema = node.get("keys_schema", {"type": "any"})
        return keys["type"] in ("str", "any") and is_plain(node.get("values_schema"))
    if kind == "nullable" and settings == {"schema"}:
        return is_plain(node["schema"])
    return scalar_types(node) is not None or (kind in ("float", "any") and not settings)


def _is_json_value(node: Schema) -> bool:
    return node["type"] == "definition-ref" and node["schema_ref"].startswith("pydantic.types.JsonValue:")


def scalar_types(node: Schema) -> frozenset[type] | None:
    """Return the types of the values if they are scalars that JSON tells apart; None if not."""
    kind, settings = node["type"], node.keys() - _NO_SETTINGS
    if kind in _SCALARS and not settings:
        return frozenset({_SCALARS[kind]})
    parts: list[Any] = []
    if kind == "union" and settings == {"choices"}:
        parts = node["choices"]
    elif kind == "nullable" and settings == {"schema"}:
        parts = [node["schema"], {"type": "none"}]
    found = [scalar_types(cast("Schema", part)) if isinstance(part, dict) else None for part in parts]
    members = [types for types in found if types is not None]
    return frozenset[type]().union(*members) if members and len(members) == len(parts) else None


class _Builder:
    """Builds the checks of one schema, following the references between its parts."""

    def __init__(self) -> None:
        self._definitions: dict[str, Schema] = {}
        self._open: list[str] = []

    def build(self, node: Schema | None) -> Check | None:
        if node is None:
            return is_json
        kind: str = node["type"]
        if kind == "definitions":
            self._definitions.update({part["ref"]: part for part in node["definitions"]})
            return self.build(node["schema"])
        if kind == "definition-ref":
            return is_json if _is_json_value(node) else self._referred(node["schema_ref"])
        types = scalar_types(node)
        if types is not None:
            return _of_types(types)
        if "serialization" in node:
            return None
        settings = node.keys() - _NO_SETTINGS
        return self._by_kind(kind, node) if settings <= _SETTINGS.get(kind, frozenset()) else None

    def _by_kind(self, kind: str, node: Schema) -> Check | None:
        match kind:
            case "list" | "set" | "frozenset":
                items = node.get("items_schema")
                return _each(
                    _CONTAINERS[kind], self.build(items), None if items is None else scalar_types(items)
                )
            case "dict":
                return self._dict(node)
            case "tuple":
                return self._tuple(node)
            case "nullable":
                return _or_none(self.build(node["schema"]))
            case "default":
                return self.build(node["schema"])
            case "enum":
                return _of_types(frozenset({node["cls"]})) if node.get("sub_type") in ("str", "int") else None
            case "model":
                return self._model(node)
            case "dataclass":
                return self._dataclass(node)
            case _:
                return _SINGLES.get(kind)

    def _referred(self, ref: str) -> Check | None:
        if ref in self._open or ref not in self._definitions:
            return None  # a type that contains itself: only reading it back shows whether it is too deep
        self._open.append(ref)
        check = self.build(self._definitions[ref])
        self._open.pop()
        return check

    def _dict(self, node: Schema) -> Check | None:
        values = node.get("values_schema")
        check, types = self.build(values), None if values is None else scalar_types(values)
        keys: Schema = node.get("keys_schema", {"type": "any"})
        if check is None or keys["type"] not in ("str", "any") or not _NO_SETTINGS.issuperset(keys):
            return None
        members = _members_check(check, types)

        def fits(value: Mapping[object, object]) -> bool:
            kind = type(value)
            return kind is dict and STRINGS.issuperset(map(type, value)) and members(value.values())

        return fits

    def _tuple(self, node: Schema) -> Check | None:
        parts: list[Schema] = node["items_schema"]
        checks = [check for part in parts if (check := self.build(part)) is not None]
        if len(checks) != len(parts):
            return None
        if "variadic_item_index" in node:
            return _each(tuple, checks[0], None) if len(checks) == 1 else None

        def fits(value: Sequence[object]) -> bool:
            kind = type(value)
            if kind is not tuple or len(value) != len(checks):
                return False
            return all(check(part) for check, part in zip(checks, value, strict=True))

        return fits

    def _model(self, node: Schema) -> Check | None:
        cls, fields = node["cls"], node["schema"]
        special = [node.get(key) for key in ("custom_init", "root_model", "post_init")]
        if any(special) or cls.__private_attributes__ or not _is_plain_config(node):
            return None
        if fields["type"] != "model-fields" or fields.keys() & {"extras_schema", "extra_behavior"}:
            return None
        checks = self._fields(fields["fields"])
        return (
            None if checks is None else lambda value: type(value) is cls and _all_fit(checks, value.__dict__)
        )

    def _dataclass(self, node: Schema) -> Check | None:
        cls, arguments = node["cls"], node["schema"]
        if node.get("post_init") or not _is_plain_config(node) or arguments["type"] != "dataclass-args":
            return None
        members: list[Schema] = arguments["fields"]
        checks = self._fields({member["name"]: member for member in members})
        if checks is None or node.get("slots") or not all(member.get("init", True) for member in members):
            return None
        return lambda value: type(value) is cls and _all_fit(checks, value.__dict__)

    def _fields(self, fields: Mapping[str, Schema]) -> list[tuple[str, Check]] | None:
        checks: list[tuple[str, Check]] = []
        for name, field in fields.items():
            check = self.build(field["schema"])
            if check is None or field.keys() & _LOST_FIELD:
                return None
            checks.append((name, check))
        return checks


def _is_plain_config(node: Schema) -> bool:
    """Tell whether a class has no setting that changes values when they are read."""
    config: Schema = node.get("config", {})
    return _NO_CONFIG.issuperset(config) and config.get("extra_fields_behavior") != "allow"


def _all_fit(checks: list[tuple[str, Check]], values: Mapping[str, object]) -> bool:
    return all(name in values and check(values[name]) for name, check in checks)


def _of_types(types: frozenset[type]) -> Check:
    if len(types) == 1:
        (only,) = types
        return lambda value: type(value) is only
    return lambda value: type(value) in types


def _or_none(check: Check | None) -> Check | None:
    return None if check is None else lambda value: value is None or check(value)


def _each(container: type, check: Check | None, types: frozenset[type] | None) -> Check | None:
    if check is None:
        return None
    members = _members_check(check, types)
    return lambda value: type(value) is container and members(value)


def _members_check(check: Check, types: frozenset[type] | None) -> Check:
    if types is None:
        return lambda members: all(map(check, members))
    accepts = types.issuperset
    return lambda members: accepts(map(type, members))


def _in_minutes(value: datetime) -> bool:
    """Tell whether a time's offset is of whole minutes, as its text is; those of historic zones are not."""
    offset = value.utcoffset()
    return offset is None or (offset.microseconds == 0 and offset.seconds % 60 == 0)


_CONTAINERS: dict[str, type] = {"list": list, "set": set, "frozenset": frozenset}
_SINGLES: dict[str, Check] = {
    "any": is_json,
    "float": lambda value: type(value) is float and isfinite(value),
    "decimal": lambda value: type(value) is Decimal and value.is_finite(),
    "uuid": lambda value: type(value) is UUID,
    "date": lambda value: type(value) is date,
    "datetime": lambda value: type(value) is datetime and _in_minutes(value),
}
_SETTINGS: dict[str, frozenset[str]] = {
    "list": frozenset({"items_schema"}),
    "set": frozenset({"items_schema"}),
    "frozenset": frozenset({"items_schema"}),
    "tuple": frozenset({"items_schema", "variadic_item_index"}),
    "dict": frozenset({"keys_schema", "values_schema"}),
    "nullable": frozenset({"schema"}),
    "default": frozenset(
        {"schema", "default", "default_factory", "default_factory_takes_data", "copy_default"}
    ),
    "enum": frozenset({"cls", "members", "sub_type"}),
    "model": frozenset(
        {"cls", "schema", "config", "custom_init", "root_model", "post_init", "generic_origin"}
    ),
    "dataclass": frozenset(
        {"cls", "schema", "config", "fields", "frozen", "post_init", "slots", "generic_origin"}
    ),
}
"""The settings that each kind may have; one that is not listed may change values."""
