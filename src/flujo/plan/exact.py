"""Which types survive being written as JSON, read off Pydantic's schema of them.

`survey` is asked once per type, when a plan is compiled. It is a list of what is known to be exact: whatever
it does not know is compared after a round trip, so a new kind of schema costs time, never truth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, NoneType
from typing import Any, cast

from pydantic import SecretBytes, SecretStr

Schema = Mapping[str, Any]

_EXACT_LEAVES = frozenset({"str", "int", "bool", "none", "uuid", "date"})
_SCALARS: dict[str, type] = {"str": str, "int": int, "bool": bool, "none": NoneType, "float": float}
_NO_SETTINGS = frozenset({"type", "ref", "metadata", "strict"})
_NO_CONFIG = frozenset(
    {"title", "extra_fields_behavior", "from_attributes", "validate_by_name", "validate_by_alias"}
)
_LOST_FIELD = frozenset({"serialization_exclude", "serialization_exclude_if", "init_only"})
_UNRECORDABLE = {
    "callable": "is a function",
    "generator": "is an iterator, which is empty once it was read",
    "is-instance": "has no schema",
    "is-subclass": "is a class, not data",
}
FIX_DATA = (
    "use a Pydantic model, a dataclass, a TypedDict or JSON types; "
    "keep connections, files, iterators and functions out of recorded values"
)
_FIX_SECRET = "keep secrets out of recorded values: read them inside the step that needs them"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Plain:
    """A type whose values are JSON of their own kind.

    Attributes:
        container: ``list`` or string-keyed ``dict``; None for a scalar.
        members: The exact types of the scalars; None if any JSON value will do.
    """

    container: type | None
    members: frozenset[type] | None


@dataclass(slots=True)
class Survey:
    """What is known about a type.

    Attributes:
        plain: Set if the type is plain.
        exact: Whether its values survive as they are, as long as its classes have no subclasses.
        classes: The models and dataclasses in it.
        problem: Why it cannot be recorded; empty if it can.
        fix: What to do about the problem.
    """

    plain: Plain | None = None
    exact: bool = True
    classes: tuple[type, ...] = ()
    problem: str = ""
    fix: str = FIX_DATA
    _definitions: dict[str, Schema] = field(default_factory=dict[str, Schema])
    _visited: set[str] = field(default_factory=set[str])
    _open: list[str] = field(default_factory=list[str])

    def visit(self, node: Schema) -> None:
        """Walk a node of the schema, noting what is not exact and what cannot be recorded."""
        kind: str = node["type"]
        if kind == "definitions":
            self._definitions.update({definition["ref"]: definition for definition in node["definitions"]})
            self.visit(node["schema"])
        elif kind == "definition-ref":
            self._refer(node["schema_ref"])
        elif _is_secret(node):
            self.problem, self.fix = "holds a secret, which would be recorded in clear or lost", _FIX_SECRET
        elif kind in _UNRECORDABLE and "serialization" not in node:
            cls = node.get("cls")
            what = f": {cls.__qualname__}" if isinstance(cls, type) else ""
            self.problem = self.problem or f"cannot be recorded: it {_UNRECORDABLE[kind]}{what}"
        else:
            self.exact = self.exact and "serialization" not in node and _known_exact(kind, node)
            if kind in ("model", "dataclass"):
                self.classes += (node["cls"],)
            for child in _children(kind, node):
                self.visit(child)

    def _refer(self, ref: str) -> None:
        if ref in self._open or ref not in self._definitions:
            self.exact = (
                False  # a type that contains itself: how deep a value is shows only when it is read back
            )
        elif ref not in self._visited:
            self._visited.add(ref)
            self._open.append(ref)
            self.visit(self._definitions[ref])
            self._open.pop()


def survey(schema: Schema) -> Survey:
    """Return what Pydantic's core schema of a type says about recording it."""
    found = Survey()
    found.visit(schema)
    found.plain = None if found.problem else _plain(schema)
    return found


def _plain(node: Schema) -> Plain | None:
    if node["type"] == "definitions":
        node = node["schema"]
    settings = node.keys() - _NO_SETTINGS
    if node["type"] == "list" and settings <= {"items_schema"}:
        members = _members(node.get("items_schema"))
        return None if members == frozenset() else Plain(list, members)
    if node["type"] == "dict" and settings <= {"keys_schema", "values_schema"}:
        keys = _members(node.get("keys_schema"))
        members = _members(node.get("values_schema"))
        return None if members == frozenset() or keys not in (None, {str}) else Plain(dict, members)
    members = _members(node)
    return None if members == frozenset() else Plain(None, members)


def _members(node: Schema | None) -> frozenset[type] | None:
    """Return the types of a scalar's values; None if it is any JSON value; empty if it is no scalar."""
    if node is None or _is_any_json(node):
        return None
    kind = node["type"]
    settings = node.keys() - _NO_SETTINGS
    if kind in _SCALARS and not settings:
        return frozenset({_SCALARS[kind]})
    if kind == "nullable" and settings == {"schema"}:
        return _united([node["schema"], {"type": "none"}])
    if kind == "union" and settings == {"choices"}:
        return _united(node["choices"])
    return frozenset()


def _united(choices: list[Any]) -> frozenset[type] | None:
    found: frozenset[type] = frozenset()
    for choice in choices:
        labelled = isinstance(choice, tuple)
        members = _members(cast("Schema", choice[0] if labelled else choice))
        if not members:
            return members
        found |= members
    return found


def _is_any_json(node: Schema) -> bool:
    if node["type"] == "definition-ref":
        return str(node["schema_ref"]).startswith("pydantic.types.JsonValue:")
    return node["type"] == "any" and _NO_SETTINGS.issuperset(node)


def _known_exact(kind: str, node: Schema) -> bool:
    settings = node.keys() - _NO_SETTINGS
    match kind:
        case "list" | "set" | "frozenset":
            return settings == {"items_schema"}
        case "tuple":
            return settings <= {"items_schema", "variadic_item_index"}
        case "dict":
            return settings == {"keys_schema", "values_schema"} and node["keys_schema"]["type"] == "str"
        case "enum":
            return node.get("sub_type") in ("str", "int") and "missing" not in node
        case "model":
            special = [node.get(key) for key in ("custom_init", "root_model", "post_init")]
            plain = not any(special) and not node["cls"].__private_attributes__
            return plain and _is_plain_config(node) and node["schema"]["type"] == "model-fields"
        case "dataclass":
            plain = not node.get("post_init") and _is_plain_config(node)
            return plain and node["schema"]["type"] == "dataclass-args"
        case "model-fields":
            return not node.keys() & {"extras_schema", "extras_keys_schema", "extra_behavior"}
        case "dataclass-args":
            return all(member.get("init", True) for member in node["fields"])
        case "model-field" | "dataclass-field":
            return not node.keys() & _LOST_FIELD
        case "nullable" | "default" | "named-tuple" | "named-tuple-field":
            return True
        case _:
            return kind in _EXACT_LEAVES and not settings


def _is_plain_config(node: Schema) -> bool:
    """Whether a class has no setting that changes values when they are read."""
    config: Schema = node.get("config", {})
    return _NO_CONFIG.issuperset(config) and config.get("extra_fields_behavior") != "allow"


def _children(kind: str, node: Schema) -> Iterator[Schema]:
    """Yield the schemas by which the parts of a value are read back from JSON."""
    if kind == "json-or-python":
        yield node["json_schema"]
    elif kind == "lax-or-strict":
        yield node["lax_schema"]
    else:
        for key in ("schema", "keys_schema", "values_schema", "items_schema", "fields", "choices", "steps"):
            yield from _schemas(node.get(key))


def _schemas(found: Any) -> Iterator[Schema]:
    """Yield the schemas in a child: a schema, a list of them (perhaps with labels), or a mapping to them."""
    if isinstance(found, dict):
        child = cast("dict[str, Any]", found)
        if isinstance(child.get("type"), str):
            yield child
        else:
            for member in child.values():
                yield from _schemas(member)
    elif isinstance(found, (list, tuple)):
        for member in cast("list[Any]", found):
            yield from _schemas(member)


def _is_secret(node: Schema) -> bool:
    function: Any = node.get("function")
    if isinstance(function, dict):
        function = cast("Any", function["function"])
    for found in (node.get("cls"), function):
        if isinstance(found, type) and issubclass(found, (SecretStr, SecretBytes)):
            return True
    return isinstance(function, FunctionType) and function.__qualname__.startswith("Secret.__get_pydantic")
