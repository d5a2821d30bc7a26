"""What Pydantic's schema says of a type when a plan is compiled: can it be recorded, does it hide parts?"""

from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, cast

from pydantic import SecretBytes, SecretStr

Schema = Mapping[str, Any]

FIX_DATA = (
    "use a Pydantic model, a dataclass, a TypedDict or JSON types; "
    "keep connections, files, iterators and functions out of recorded values"
)
_FIX_HIDDEN = "keep secrets out of recorded values: read them inside the step that needs them"
_LEFT_OUT = frozenset({"serialization_exclude", "serialization_exclude_if"})
_UNRECORDABLE = {
    "callable": "is a function",
    "generator": "is an iterator, which is empty once it was read",
    "is-instance": "has no schema",
    "is-subclass": "is a class, not data",
}


def obstacle(node: Schema) -> tuple[str, str] | None:
    """Return why values of a type cannot be recorded, and what to do; None if they can."""
    if _is_secret(node):
        return "holds a secret, which would be recorded in clear or lost", _FIX_HIDDEN
    kind: str = node["type"]
    if kind in _UNRECORDABLE and "serialization" not in node:
        cls = node.get("cls")
        what = f": {cls.__qualname__}" if isinstance(cls, type) else ""
        return f"cannot be recorded: it {_UNRECORDABLE[kind]}{what}", FIX_DATA
    for part in _parts(kind, node):
        found = obstacle(part)
        if found is not None:
            return found
    return None


def hides(node: Schema) -> bool:
    """Tell whether values of a type may hold more than is written of them: what a serializer leaves out."""
    kind: str = node["type"]
    if "serialization" in node or kind == "typed-dict" or node.keys() & _LEFT_OUT:
        return True
    if kind == "model" and node["cls"].__private_attributes__:
        return True
    return any(hides(part) for part in _parts(kind, node))


def _parts(kind: str, node: Schema) -> Iterator[Schema]:
    """Yield the schemas by which the parts of a value are read back from JSON."""
    if kind == "json-or-python":
        yield node["json_schema"]
    elif kind == "lax-or-strict":
        yield node["lax_schema"]
    else:
        children = (
            "definitions",
            "schema",
            "keys_schema",
            "values_schema",
            "items_schema",
            "fields",
            "choices",
            "steps",
        )
        for key in children:
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
