"""Which types survive being written as JSON, read off Pydantic's schema of them.

`survey` is asked once per type, when a plan is compiled. It is a list of what is known to be exact: whatever it does
not know is compared after a round trip, so a new kind of schema costs time, never truth.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime, time
from decimal import Decimal
from math import copysign
from types import NoneType
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

_EXACT_LEAVES = frozenset({"str", "int", "bool", "none", "uuid", "date"})
_PLAIN_LEAVES: dict[str, type] = {"str": str, "int": int, "bool": bool, "none": NoneType}
_NO_SETTINGS = frozenset({"type", "ref", "metadata", "strict"})
_UNRECORDABLE = {
    "callable": "is a function",
    "generator": "is an iterator, which is empty once it was read",
    "is-instance": "has no schema",
    "is-subclass": "is a class, not data",
}
_FIX_DATA = (
    "use a Pydantic model, a dataclass, a TypedDict or JSON types; "
    "keep connections, files, iterators and functions out of recorded values"
)
_FIX_SECRET = "keep secrets out of recorded values: read them inside the step that needs them"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Plain:
    """A type whose values are JSON of its own kind: a scalar, or a list or string-keyed dict of scalars.

    Attributes:
        container: ``list``, ``dict``, or None for a scalar.
        members: The exact types of the scalars.
    """

    container: type | None
    members: frozenset[type]


@dataclass(slots=True)
class Survey:
    """What is known about a type.

    Attributes:
        exact: Whether its values survive as they are, if no class of theirs has subclasses.
        classes: The models and dataclasses in it.
        plain: Set if the type is plain.
        problem: Why it cannot be recorded; empty if it can.
        fix: What to do about the problem.
    """

    exact: bool = True
    classes: tuple[type, ...] = ()
    plain: Plain | None = None
    problem: str = ""
    fix: str = _FIX_DATA
    seen: set[str] = field(default_factory=set[str])
    open: list[str] = field(default_factory=list[str])


def survey(schema: Mapping[str, Any]) -> Survey:
    """Return what Pydantic's core schema of a type says about recording it."""
    found = Survey()
    definitions: dict[str, Mapping[str, Any]] = {}
    _visit(schema, found, definitions)
    found.plain = _plain(schema)
    return found


def _plain(schema: Mapping[str, Any]) -> Plain | None:
    if not _NO_SETTINGS.issuperset(schema.keys() - {"items_schema", "keys_schema", "values_schema"}):
        return None
    container: type | None = None
    inner = schema
    if schema["type"] == "list":
        container, inner = list, schema.get("items_schema", {"type": "any"})
    elif schema["type"] == "dict":
        if schema.get("keys_schema") != {"type": "str"}:
            return None
        container, inner = dict, schema.get("values_schema", {"type": "any"})
    leaf = _PLAIN_LEAVES.get(inner["type"])
    if leaf is None or not _NO_SETTINGS.issuperset(inner):
        return None
    return Plain(container, frozenset({leaf}))


def _visit(node: Mapping[str, Any], found: Survey, definitions: dict[str, Mapping[str, Any]]) -> None:
    """Walk one node of the schema, noting what is not exact and what cannot be recorded."""
    kind: str = node["type"]
    if kind == "definitions":
        definitions.update({definition["ref"]: definition for definition in node["definitions"]})
        return _visit(node["schema"], found, definitions)
    if kind == "definition-ref":
        return _visit_reference(node["schema_ref"], found, definitions)
    if _is_secret(node):
        found.problem, found.fix = "holds a secret, which would be recorded in clear or lost", _FIX_SECRET
        return None
    if "serialization" in node:
        found.exact = False
    elif kind in _UNRECORDABLE:
        cls = node.get("cls")
        what = f" ({cls.__qualname__})" if isinstance(cls, type) else ""
        found.problem = found.problem or f"cannot be recorded: it {_UNRECORDABLE[kind]}{what}"
        return None
    if not _known_exact(kind, node):
        found.exact = False
    if kind in ("model", "dataclass"):
        found.classes += (node["cls"],)
    for child in _children(kind, node):
        _visit(child, found, definitions)
    return None


def _visit_reference(ref: str, found: Survey, definitions: dict[str, Mapping[str, Any]]) -> None:
    if ref in found.open or ref not in definitions:
        found.exact = False  # a type that contains itself: its depth is known only by reading it back
    elif ref not in found.seen:
        found.seen.add(ref)
        found.open.append(ref)
        _visit(definitions[ref], found, definitions)
        found.open.pop()


def _known_exact(kind: str, node: Mapping[str, Any]) -> bool:
    settings = node.keys() - _NO_SETTINGS
    match kind:
        case "list" | "set" | "frozenset":
            return settings == {"items_schema"}
        case "tuple":
            return settings <= {"items_schema", "variadic_item_index"}
        case "dict":
            return settings == {"keys_schema", "values_schema"} and node["keys_schema"]["type"] == "str"
        case "nullable" | "default":
            return True
        case "enum":
            return node.get("sub_type") in ("str", "int") and "missing" not in node
        case "model":
            private: Mapping[str, object] = node["cls"].__private_attributes__
            special = any(node.get(key) for key in ("custom_init", "root_model", "post_init"))
            allows_extra = node.get("config", {}).get("extra_fields_behavior") == "allow"
            return not private and not special and not allows_extra and node["schema"]["type"] == "model-fields"
        case "dataclass":
            return not node.get("post_init") and node["schema"]["type"] == "dataclass-args"
        case "model-fields":
            return "extras_schema" not in node and node.get("extra_behavior") != "allow"
        case "dataclass-args":
            return all(member.get("init", True) for member in node["fields"])
        case "model-field" | "dataclass-field":
            return not (node.keys() & {"serialization_exclude", "serialization_exclude_if", "init_only"})
        case "named-tuple" | "named-tuple-field":
            return True
        case _:
            return kind in _EXACT_LEAVES and not settings


def _children(kind: str, node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas by which values are read back from JSON."""
    if kind == "json-or-python":
        yield node["json_schema"]
        return
    if kind == "lax-or-strict":
        yield node["lax_schema"]
        return
    for key in ("schema", "keys_schema", "values_schema"):
        if key in node:
            yield node[key]
    for key in ("items_schema", "fields", "choices", "steps"):
        yield from _members(node.get(key))


def _members(found: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas in a child that is a schema, a list of them (with labels, names) or a mapping to them."""
    if isinstance(found, Mapping) and "type" in found and isinstance(found["type"], str):
        yield found
    elif isinstance(found, Mapping):
        for child in found.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _members(child)
    elif isinstance(found, (list, tuple)):
        for child in found:  # pyright: ignore[reportUnknownVariableType]
            yield from _members(child)


def _is_secret(node: Mapping[str, Any]) -> bool:
    cls = node.get("cls")
    if isinstance(cls, type) and issubclass(cls, (SecretStr, SecretBytes)):
        return True
    function: object = node.get("function")
    if isinstance(function, Mapping):
        function = function.get("function")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if isinstance(function, type):
        return issubclass(function, (SecretStr, SecretBytes))
    return callable(function) and function.__qualname__.startswith("Secret.__get_pydantic")  # pyright: ignore


def difference(recorded: object, restored: object, place: str = "") -> tuple[str, str] | None:
    """Return where and how a restored value differs from the recorded one; None if it is the same.

    Stricter than ``==``: types count (an integer may come back as the float it is declared to be), and so do the sign
    of a zero, the digits of a Decimal and the offset of a time.
    """
    kind = type(restored)
    if type(recorded) is not kind:
        return None if _widened(recorded, restored) else (place, _came_back_as(recorded, restored))
    compare = _COMPARE.get(kind)
    if compare is not None:
        return None if compare(recorded, restored) else (place, "changes its value")
    for step, before, after in _pairs(recorded, restored) or ():
        found = difference(before, after, f"{place}{step}")
        if found:
            return found
    return None if _equal(recorded, restored) else (place, f"is no longer the same {kind.__qualname__}")


def _came_back_as(recorded: object, restored: object) -> str:
    return f"is of type {type(recorded).__qualname__!r} and would come back as {type(restored).__qualname__!r}"


def _widened(recorded: object, restored: object) -> bool:
    """Whether a number came back as the plain number type that is declared."""
    numeric = (float, int, bool)
    return type(recorded) in numeric and type(restored) in (float, int) and recorded == restored


def _equal(recorded: object, restored: object) -> bool:
    try:
        return bool(recorded == restored)
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def _pairs(recorded: Any, restored: Any) -> list[tuple[str, object, object]] | None:
    """Return the members of two values of one type side by side, each with its place; None if they have none."""
    if isinstance(recorded, dict):
        if recorded.keys() != restored.keys():  # pyright: ignore[reportUnknownMemberType]
            return None
        return [(f"[{key!r}]", recorded[key], restored[key]) for key in recorded]  # pyright: ignore
    if isinstance(recorded, (list, tuple)):
        if len(recorded) != len(restored):  # pyright: ignore[reportUnknownArgumentType]
            return None
        return [(f"[{index}]", *pair) for index, pair in enumerate(zip(recorded, restored, strict=True))]  # pyright: ignore
    if isinstance(recorded, BaseModel):
        after = restored.__dict__
        return [(f".{name}", value, after.get(name)) for name, value in recorded.__dict__.items() if name in after]
    if is_dataclass(recorded):
        names = [member.name for member in fields(recorded)]
        return [(f".{name}", getattr(recorded, name), getattr(restored, name)) for name in names]
    return None


_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    str: str.__eq__,
    int: int.__eq__,
    bool: bool.__eq__,
    NoneType: lambda _before, _after: True,
    float: lambda before, after: before == after and copysign(1, before) == copysign(1, after),
    Decimal: lambda before, after: before.as_tuple() == after.as_tuple(),
    datetime: lambda before, after: before == after and before.utcoffset() == after.utcoffset(),
    time: lambda before, after: before == after and before.utcoffset() == after.utcoffset(),
}
