"""What is said when a type or a value cannot be recorded: its type and its place, never the value."""

from typing import Annotated, Any, get_args, get_origin

from flujo.plan.jsonvalues import first_odd

_FIX_UNDECLARED = "annotate its type (a return type, a field), so that it can be restored as what it was"
_FIX_BYTES = 'give the model ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")'
_FIXES = {
    "is of type": "declare the type that the value has (the subclass itself, or a union with it)",
    "changes": "leave no part out: what an excluded field or a serializer does not write is lost",
    "is no longer": "keep what is not a field (private attributes, undeclared keys) out of recorded values",
    "breaks": "let the value keep the rules that its type declares, or loosen them",
    "nests": "record it in a flatter shape",
    "is not a finite": "use None where there is no number",
}


class Unrecordable(TypeError):
    """A type or a value cannot be recorded and restored.

    A signal inside Flujo, which knows no place yet: users get it as a ``PlanError``, a ``RecordError`` or an
    ``InputError`` that names one.

    Attributes:
        message: What cannot be recorded and where in the value it stands; never the value itself.
        fix: What to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message}\n  To fix: {fix}")


def name_of(annotation: object) -> str:
    """Return a type's name as it is written in code."""
    if get_origin(annotation) is Annotated:
        return name_of(get_args(annotation)[0])
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def not_json(value: Any) -> Unrecordable:
    """Say why a value is not JSON through and through."""
    place, reason = first_odd(value) or ("", "cannot be written")
    return Unrecordable(
        f"a value without a declared type must be JSON, and {_at(place)} {reason}", _FIX_UNDECLARED
    )


def does_not_fit(name: str, value: Any, error: str) -> Unrecordable:
    """Say that a value is not of the declared type.

    Args:
        name: The declared type.
        value: The value.
        error: What the serializer said; it may quote the value and is not passed on.
    """
    hint, fix = "", f"return what is declared, or declare what is returned instead of {name}"
    odd = first_odd(value)
    if "invalid utf-8" in error:
        hint, fix = ": it holds bytes that are no text", _FIX_BYTES
    elif odd is not None and odd[1].startswith(("contains", "nests", "is text")):
        hint = f": {_at(odd[0])} {odd[1]}"
    return Unrecordable(f"a {_kind(value)} cannot be recorded as the declared type {name}{hint}", fix)


def does_not_come_back(name: str, value: Any, place: str, reason: str) -> Unrecordable:
    """Say that a value would be restored as something else."""
    fixes = [fix for start, fix in _FIXES.items() if reason.startswith(start)]
    return Unrecordable(
        f"a {_kind(value)} recorded as {name} would not be restored as it was: {_at(place)} {reason}",
        fixes[0],
    )


def _at(place: str) -> str:
    return f"at {place} it" if place else "it"


def _kind(value: object) -> str:
    return f"value of type {type(value).__qualname__!r}"
