"""Whether a value of one declared type may be given where another is asked for."""

import types
from collections.abc import Iterable, Mapping
from enum import Enum
from operator import getitem
from typing import (
    Annotated,
    Any,
    Literal,
    Never,
    NewType,
    NoReturn,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import typing_extensions
from pydantic import BaseModel
from typing_extensions import is_typeddict

Type = Any
"""A type as annotations give it: a class, a generic alias, a union, a literal, …"""

_UNION: Any = Union
_TOWER: Mapping[object, tuple[type, ...]] = {float: (int,), complex: (int, float)}


def plain(annotation: Type) -> Type:
    """Return a type without ``Annotated``, with ``None`` as its class and new types as what they hold."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif annotation is None:
            return types.NoneType
        else:
            return annotation


def members(annotation: Type) -> tuple[Type, ...]:
    """Return the types a union joins, or the type itself."""
    annotation = plain(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in members(part))
    return (annotation,)


def is_never(annotation: Type) -> bool:
    """Say whether nothing is of a type: what gives it only raises."""
    return plain(annotation) in (NoReturn, Never)


def union(one: Type, other: Type) -> Type:
    """Return the type of what is one or the other."""
    if is_never(one) or is_never(other):
        return other if is_never(one) else one
    return getitem(_UNION, (one, other))  # values here, and not every type has `|`


def assignable(source: Type, target: Type) -> bool:
    """Say whether every value of ``source`` may be given for ``target``.

    Errs on the side of yes: what cannot be known from the annotations alone (protocols, type
    variables, forward references) is allowed, so that a no is always worth reporting. An ``int`` may
    be given for a ``float`` (PEP 484); containers are compared by what they hold.
    """
    source, target = plain(source), plain(target)
    if source is target or Any in (source, target) or target is object or is_never(source):
        return True
    if is_never(target):
        return False
    if isinstance(source, TypeVar | str) or isinstance(target, TypeVar | str):
        return True
    sources, targets = members(source), members(target)
    if len(sources) > 1 or len(targets) > 1:
        return all(any(assignable(one, other) for other in targets) for one in sources)
    if get_origin(source) is Literal:
        return _literal_fits(get_args(source), target)
    if get_origin(target) is Literal:
        return False
    return _class_fits(source, target)


def recorded_input(annotation: Type) -> Type:
    """Return the type that a run's input is recorded as: a list, where anything with items is taken."""
    if get_origin(annotation) is Iterable:
        return list[get_args(annotation)[0]]
    return annotation


def type_name(annotation: Type) -> str:
    """Return a type as an author would write it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("NoneType", "None")


@runtime_checkable
class _Alias(Protocol):
    """A name for a type, made by the ``type`` statement."""

    @property
    def __value__(self) -> Type: ...


def type_text(annotation: Type) -> str:
    """Return a type as digests see it: the same text in every process, however its module was loaded.

    It is made of names alone: without modules (a script's is ``__main__``), and without the addresses
    that objects in annotations are shown with. Unions and literals are sorted, as ``typing`` may give
    back an equal one that was written in another order elsewhere.
    """
    return _text(annotation, ())


def _text(annotation: Type, inside: tuple[Type, ...]) -> str:
    annotation = plain(annotation)
    if isinstance(annotation, list):
        return f"[{_texts(cast('list[Type]', annotation), inside)}]"
    parts = members(annotation)
    if len(parts) > 1:
        return " | ".join(sorted({_text(part, inside) for part in parts}))
    origin, held = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        generic = annotation.__pydantic_generic_metadata__
        origin, held = generic["origin"], generic["args"]
    if origin is Literal:
        return f"Literal[{', '.join(sorted(map(_literal_text, held)))}]"
    if origin is not None:
        return f"{_text(origin, inside)}[{_texts(held, inside)}]" if held else _text(origin, inside)
    return _name(annotation) if annotation in inside else _opened(annotation, inside)


def _texts(annotations: Iterable[Type], inside: tuple[Type, ...]) -> str:
    return ", ".join(_text(annotation, inside) for annotation in annotations)


def _opened(annotation: Type, inside: tuple[Type, ...]) -> str:
    """Return the text of what has a name: of a typed dict and of an alias, what they stand for."""
    inside = (*inside, annotation)
    if is_typeddict(annotation):
        try:
            hints = typing_extensions.get_type_hints(annotation)
        except NameError:  # it names what only its own function knows
            return _name(annotation)
        items = (
            f"{key}{'' if key in annotation.__required_keys__ else '?'}: {_text(hints[key], inside)}"
            for key in sorted(hints)
        )
        return f"{{{', '.join(items)}}}"
    if isinstance(annotation, _Alias) and not isinstance(annotation, type):
        return _text(annotation.__value__, inside)
    return _name(annotation)


def _name(annotation: Type) -> str:
    match annotation:
        case str():
            return annotation
        case types.EllipsisType():
            return "..."
        case object(__forward_arg__=str(name)) | object(__qualname__=str(name)) | object(__name__=str(name)):
            return name
        case _:
            return type(annotation).__qualname__


def _literal_text(value: object) -> str:
    return f"{type(value).__qualname__}.{value.name}" if isinstance(value, Enum) else repr(value)


def _literal_fits(values: tuple[object, ...], target: Type) -> bool:
    if get_origin(target) is Literal:
        return set(values) <= set(get_args(target))
    return all(assignable(type(value), target) for value in values)


def _class_fits(source: Type, target: Type) -> bool:
    source_class, target_class = get_origin(source) or source, get_origin(target) or target
    if not isinstance(source_class, type) or not isinstance(target_class, type):
        return True
    if is_typeddict(source_class) or is_typeddict(target_class):
        return _mapping_fits(source, target)
    if source_class in _TOWER.get(target_class, ()):
        return True
    if getattr(target_class, "_is_protocol", False):
        return _items_fit(source, target)
    if not issubclass(source_class, target_class):
        return False
    if issubclass(source_class, tuple):
        return _tuple_fits(get_args(source), get_args(target))
    return _items_fit(source, target)


def _items_fit(source: Type, target: Type) -> bool:
    ours, theirs = get_args(source), get_args(target)
    if len(ours) == 2 and ours[1] is Ellipsis:
        ours = ours[:1]
    if len(ours) > 1 and len(theirs) == 1 and get_origin(source) is tuple:
        return all(assignable(one, theirs[0]) for one in ours)
    if len(ours) != len(theirs):
        return True
    return all(assignable(one, other) for one, other in zip(ours, theirs, strict=True))


def _tuple_fits(ours: tuple[Type, ...], theirs: tuple[Type, ...]) -> bool:
    if not ours or not theirs:
        return True
    if theirs[-1] is Ellipsis:
        return all(assignable(one, theirs[0]) for one in ours if one is not Ellipsis)
    if len(theirs) == 1 and len(ours) != 1:
        return all(assignable(one, theirs[0]) for one in ours if one is not Ellipsis)
    if ours[-1] is Ellipsis:
        return all(assignable(ours[0], other) for other in theirs)
    return len(ours) == len(theirs) and all(map(assignable, ours, theirs))


def _mapping_fits(source: Type, target: Type) -> bool:
    """Compare typed dicts with each other and with plain mappings."""
    if is_typeddict(source) and is_typeddict(target):
        ours, theirs = get_type_hints(source), get_type_hints(target)
        required = cast("frozenset[str]", target.__required_keys__)
        return required <= cast("frozenset[str]", source.__required_keys__) and all(
            assignable(ours[key], theirs[key]) for key in ours.keys() & theirs.keys()
        )
    if is_typeddict(source):
        target_class = get_origin(target) or target
        if not issubclass(dict, target_class):
            return False
        held = get_args(target)
        return len(held) != 2 or all(assignable(one, held[1]) for one in get_type_hints(source).values())
    source_class = get_origin(source) or source
    return isinstance(source_class, type) and issubclass(source_class, dict)
