"""How each field of a context model is recorded: its codec, and what counts as a part of it.

`check_context` finds at plan time what could not be recorded; the engine's patches work by `field_codecs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import to_json

from flujo.errors import Problem
from flujo.pipeline.context import PipelineContext, watched_fields
from flujo.pipeline.reducers import Reducer
from flujo.plan.codec import Codec, codec_for
from flujo.plan.unrecordable import Unrecordable

Kind = Literal["dict", "list", "whole"]
"""What a patch may change of a value: keys of a dict, the end of a list, or only the whole."""


@dataclass(frozen=True, slots=True)
class ContextField:
    """One field of a context model, as merging sees it.

    Attributes:
        name: Its name.
        kind: What a patch may change of it.
        annotation: Its declared type, with what is annotated on it.
        inner: The declared type of a dict's values or a list's items.
        reducer: How parallel branches' values are combined; None if only one branch may write it.
        watched: Whether its values may change in place.
    """

    name: str
    kind: Kind
    annotation: object
    inner: object
    reducer: Reducer | None
    watched: bool


@dataclass(frozen=True, slots=True)
class FieldCodec:
    """How one field's values are written: the whole, and its members one by one.

    Attributes:
        key: What stands before the field's value in a JSON object.
    """

    key: bytes
    field: ContextField
    whole: Codec
    member: Codec


@lru_cache(maxsize=256)
def context_fields(model: type[PipelineContext]) -> dict[str, ContextField]:
    """Return the fields of a context model by name, in declared order."""
    watched = watched_fields(model)
    return {
        name: _field(name, info.annotation, info.metadata, name in watched)
        for name, info in model.__pydantic_fields__.items()
    }


@lru_cache(maxsize=256)
def field_codecs(model: type[PipelineContext]) -> dict[str, FieldCodec]:
    """Return how each field of a context model is written.

    Raises:
        Unrecordable: If a field's type cannot be recorded; `check_context` lists all such fields.
    """
    found: dict[str, FieldCodec] = {}
    for name, field in context_fields(model).items():
        try:
            whole = codec_for(field.annotation)
            member = whole if field.kind == "whole" else codec_for(field.inner)
        except Unrecordable as error:
            raise Unrecordable(
                f"context field {model.__name__}.{name}: {error.message}", error.fix
            ) from error
        found[name] = FieldCodec(to_json(name) + b":", field, whole, member)
    return found


def check_context(model: type[PipelineContext]) -> list[Problem]:
    """Return what keeps contexts of this model from being recorded and restored; empty if nothing does."""
    problems: list[Problem] = []
    for name, field in context_fields(model).items():
        try:
            codec_for(field.annotation)
            codec_for(field.inner)
        except Unrecordable as error:
            problems.append(Problem(f"context.{name}", error.message, error.fix))
    if model.model_config.get("extra") == "allow":
        problems.append(
            Problem(
                "context",
                f"{model.__name__} allows undeclared fields, which would not be recorded",
                "declare them as fields, or keep them in scratchpad",
            )
        )
    return problems


def _field(name: str, annotation: object, metadata: Sequence[Any], watched: bool) -> ContextField:
    reducers = [item for item in metadata if isinstance(item, Reducer)]
    rest = tuple([item for item in metadata if not isinstance(item, Reducer)])
    kind, inner = _shape(annotation)
    if rest:
        annotation = Annotated[annotation, *rest]
    return ContextField(name, kind, annotation, inner, reducers[0] if reducers else None, watched)


def _shape(annotation: object) -> tuple[Kind, object]:
    """Return what may change in values of a type, and the type of their members."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(arguments[0])
    if origin in (Union, UnionType):
        others = [argument for argument in arguments if argument is not NoneType]
        return _shape(others[0]) if len(others) == 1 else ("whole", annotation)
    if annotation is list:
        return "list", Any
    if origin is list:
        return "list", arguments[0]
    if origin is dict and arguments[0] is str:
        return "dict", arguments[1]
    return "whole", annotation
