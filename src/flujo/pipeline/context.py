"""The typed context that the steps of one run share.

Users subclass `PipelineContext` and change it like any object; the engine finds out what changed. So that
finding out does not cost the context's weight, a context that takes part in a run notes which of its mutable
values were handed out (*touched*), and only those are looked at. A field of an immutable type needs no note:
a new value is another object, which is seen at once.

Each field whose type may be mutable has a data descriptor (`_Watched`) on the class, and reading the field
passes through it. Everything else runs at Pydantic's own speed.

A list that a step keeps, and changes later without reading it from the context again, is not seen at once:
where a run pauses or ends, the engine looks at all that was ever handed out, so such a change is recorded
late, not lost. Values taken from ``vars(context)`` are not watched.
"""

import copy
from collections.abc import Callable, Generator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

IMMUTABLE: frozenset[type] = frozenset(
    {str, int, float, bool, NoneType, bytes, complex, Decimal, date, datetime, time, timedelta, UUID}
)
"""The exact types of values that cannot change in place."""

ContextT = TypeVar("ContextT", bound="PipelineContext")


class PipelineContext(BaseModel):
    """What the steps of one run share: subclass it and declare fields.

    Changes are found by the engine and recorded with the step that made them. Each parallel branch works on
    a view of its own, and what the branches changed is merged where they join. Assignments are validated;
    fields cannot be deleted. Private attributes work as in any Pydantic model; they are not recorded.

        class Review(PipelineContext):
            verdict: str = ""
            findings: Annotated[list[str], Append()] = []

    Attributes:
        scratchpad: Room for notes that deserve no field: any JSON value by name.
    """

    __slots__ = ("_flujo_watch",)

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    scratchpad: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Put the watch on the fields of a subclass."""
        super().__pydantic_init_subclass__(**kwargs)
        watched_fields(cls)

    if not TYPE_CHECKING:  # type checkers know assignment from the fields

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            watch = watch_of(self)
            if watch is not None:
                watch.touched.add(name)
                if watch.owned is not None:
                    watch.owned.add(name)

        def __delattr__(self, name: str) -> None:
            if name in type(self).__pydantic_fields__:
                raise AttributeError(f"{name!r} is a field of the context: set it to None or an empty value")
            super().__delattr__(name)

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        """Yield the fields' names and values, as Pydantic does."""
        touch_all(self)
        yield from super().__iter__()

    def __copy__(self) -> Self:
        """Return a shallow copy. It shares its mutable values with this one, so they count as touched."""
        touch_all(self)
        return super().__copy__()


class Watch:
    """What one context that takes part in a run has handed out.

    Attributes:
        touched: The fields that were read (if mutable) or assigned since this was last cleared.
        owned: For a view, the fields whose values it no longer shares with what it was forked from; None for
            a context of its own.
        remember: Called with name and value before a mutable value is handed out, so that a tracker can note
            its state before the first change.
    """

    __slots__ = ("owned", "remember", "touched")

    def __init__(self, owned: set[str] | None) -> None:
        self.touched: set[str] = set()
        self.owned = owned
        self.remember: Callable[[str, object], None] | None = None

    def hand_out(self, context: PipelineContext, name: str) -> object:
        """Note a field's first touch and return what may be handed out: for a view, a copy of its own."""
        value = own(context, name)
        if self.remember is not None:
            self.remember(name, value)
        self.touched.add(name)
        return value


class _Watched:
    """The descriptor of a field that may be mutable; its value stays in the instance's ``__dict__``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, context: PipelineContext | None, owner: type) -> object:
        if context is None:  # a field is no attribute of its class; Pydantic relies on that for subclasses
            raise AttributeError(self.name)
        try:
            value: object = context.__dict__[self.name]
        except KeyError:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}") from None
        if type(value) in IMMUTABLE:
            return value
        try:
            watch = _slot(context)
        except AttributeError:  # no run uses this context
            return value
        if watch is None or self.name in watch.touched:
            return value
        return watch.hand_out(context, self.name)

    def __set__(self, context: PipelineContext, value: object) -> None:
        vars(context)[self.name] = value


_slot: Callable[[PipelineContext], Watch | None] = PipelineContext.__dict__["_flujo_watch"].__get__
_set_slot: Callable[[PipelineContext, Watch | None], None] = PipelineContext.__dict__["_flujo_watch"].__set__


def watch_of(context: PipelineContext) -> Watch | None:
    """Return a context's watch; None if no run uses it."""
    try:
        return _slot(context)
    except AttributeError:
        _set_slot(context, None)
        return None


def begin_watch(context: PipelineContext) -> Watch:
    """Return a context's watch, with nothing touched; begin to watch the context if no run used it yet."""
    watch = watch_of(context)
    if watch is None:
        watch = Watch(None)
        _set_slot(context, watch)
    watch.touched.clear()
    return watch


def touch(context: PipelineContext, name: str) -> object:
    """Return a field's value as reading it does: a mutable one counts as handed out."""
    value: object = context.__dict__[name]
    watch = watch_of(context)
    if watch is None or name in watch.touched or type(value) in IMMUTABLE:
        return value
    return watch.hand_out(context, name)


def touch_all(context: PipelineContext) -> None:
    """Count every mutable value of a context as handed out."""
    for name in watched_fields(type(context)) & vars(context).keys():
        touch(context, name)


def fork(context: ContextT) -> ContextT:
    """Return a view for one parallel branch: equal to the context and independent of it.

    Costs the number of fields, not their weight: a value is copied when the view first hands it out. What
    cannot be copied (a connection, a lock) is shared. The context itself must not change while views of it
    are in use.
    """
    cls = type(context)
    view = cls.__new__(cls)
    values, fields, private = context.__dict__, cls.__pydantic_fields__, context.__pydantic_private__
    # A cached property is left out: it would go stale in the view, which computes its own.
    shared = dict(values) if len(values) == len(fields) else {name: values[name] for name in fields}
    object.__setattr__(view, "__dict__", shared)
    object.__setattr__(view, "__pydantic_fields_set__", set(context.__pydantic_fields_set__))
    object.__setattr__(view, "__pydantic_extra__", context.__pydantic_extra__)
    object.__setattr__(view, "__pydantic_private__", None if private is None else dict(private))
    _set_slot(view, Watch(set()))
    return view


def adopt(context: PipelineContext, view: PipelineContext) -> None:
    """Take over what a view of a context changed, when the view is not used any more.

    Costs the number of fields: what the view did not touch is the same object in both.
    """
    watch, values = watch_of(context), vars(context)
    for name, value in vars(view).items():
        before = values.get(name)
        if value is before:
            continue
        if watch is not None:
            if watch.remember is not None and type(before) not in IMMUTABLE:
                watch.remember(name, before)
            watch.touched.add(name)
            if watch.owned is not None:
                watch.owned.add(name)
        values[name] = value
    object.__setattr__(context, "__pydantic_fields_set__", view.__pydantic_fields_set__)
    if view.__pydantic_private__ is not None:
        object.__setattr__(context, "__pydantic_private__", view.__pydantic_private__)


def own(context: PipelineContext, name: str) -> object:
    """Return a field's value for changing it in place: a view stops sharing it. Nothing counts as touched."""
    value: object = context.__dict__[name]
    watch = watch_of(context)
    if watch is not None and watch.owned is not None and name not in watch.owned:
        value = vars(context)[name] = clone(value)
        watch.owned.add(name)
    return value


def clone(value: object) -> object:
    """Return a deep copy; plain lists and dicts are copied much faster than by `copy.deepcopy`."""
    try:
        return _clone(value)
    except RecursionError:  # it contains itself, which only deepcopy can follow
        return copy.deepcopy(value)


def _clone(value: object) -> object:
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    if kind is list:
        items = cast("list[object]", value)
        return items.copy() if IMMUTABLE.issuperset(map(type, items)) else [_clone(item) for item in items]
    if kind is dict:
        named = cast("dict[object, object]", value)
        if IMMUTABLE.issuperset(map(type, named.values())):
            return named.copy()
        return {key: _clone(member) for key, member in named.items()}
    try:
        return copy.deepcopy(value)
    except TypeError:  # a lock, a connection: branches share it, as steps do
        return value


def watched_fields(cls: type[PipelineContext]) -> frozenset[str]:
    """Return the fields of a context class that may be mutable, and see that they are watched."""
    found: frozenset[str] | None = cls.__dict__.get("_flujo_watched")
    if found is None:
        fields = cls.__pydantic_fields__
        found = frozenset([name for name, info in fields.items() if not _is_immutable(info.annotation)])
        for name in found:
            type.__setattr__(cls, name, _Watched(name))
        type.__setattr__(cls, "_flujo_watched", found)
    return found


def _is_immutable(annotation: object) -> bool:
    """Tell whether values of a type surely cannot change in place."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
        return annotation is None or annotation in IMMUTABLE or is_enum
    if origin is Literal:
        return True
    if origin is Annotated:
        return _is_immutable(arguments[0])
    if origin in (Union, UnionType, tuple, frozenset):
        return all(argument is ... or _is_immutable(argument) for argument in arguments)
    return False


watched_fields(PipelineContext)
