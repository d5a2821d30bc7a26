"""The typed context that the steps of one run share.

Users subclass `PipelineContext` and change it like any object; the engine finds out what changed. So that finding out
does not cost the context's weight, a context notes which of its mutable values were handed out (*touched*), and only
those are looked at. Fields of immutable types need no note: a new value is another object, which is seen at once.

How it is noted: each field whose type may be mutable gets a data descriptor (`_Watched`) on the class. Reading such a
field passes through it; everything else runs at Pydantic's own speed, and a context that no run uses notes nothing.

A list that a step keeps, and changes later without reading it from the context again, is not seen at once: the engine
looks at all that was ever handed out where a run pauses or ends, so such a change is recorded late, not lost. Values
taken from ``vars(context)`` are not watched.
"""

import copy
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

IMMUTABLE: frozenset[type] = frozenset(
    {str, int, float, bool, NoneType, bytes, complex, Decimal, date, datetime, time, timedelta, UUID}
)
"""The exact types of values that cannot change in place."""

ContextT = TypeVar("ContextT", bound="PipelineContext")


class PipelineContext(BaseModel):
    """What the steps of one run share: subclass it and declare fields.

    Changes are found by the engine and recorded with the step that made them; each parallel branch works on a view
    of its own, and the changes are merged when the branches join. Assignments are validated. Private attributes work
    as in any Pydantic model and are not recorded.

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

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            watch = watch_of(self)
            if watch is not None:
                watch.touched.add(name)
                if watch.owned is not None:
                    watch.owned.add(name)

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yield the fields' names and values, as Pydantic does."""
        touch_all(self)
        yield from super().__iter__()

    def __copy__(self) -> "PipelineContext":
        """Return a shallow copy; it shares its mutable values with this one, so all count as touched."""
        touch_all(self)
        return super().__copy__()


class Watch:
    """What one context that takes part in a run has handed out.

    Attributes:
        touched: The fields that were read (if mutable) or assigned since it was last cleared.
        owned: None for a context of its own; for a view, the fields whose values it no longer shares.
        remember: Called with name and value before a mutable value is handed out, so that a tracker may note its
            state before the first change.
    """

    __slots__ = ("owned", "remember", "touched")

    def __init__(self, owned: set[str] | None = None) -> None:
        self.touched: set[str] = set()
        self.owned = owned
        self.remember: Callable[[str, object], None] | None = None

    def hand_out(self, context: PipelineContext, name: str, value: object) -> object:
        """Note a field's first touch and return what may be handed out: for a view, a copy of its own."""
        if self.owned is not None and name not in self.owned:
            value = context.__dict__[name] = clone(value)
            self.owned.add(name)
        if self.remember is not None:
            self.remember(name, value)
        self.touched.add(name)
        return value


class _Watched:
    """The descriptor of a field whose value may be mutable; the value itself stays in the instance's ``__dict__``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, context: PipelineContext | None, owner: type) -> object:
        if context is None:  # a field is no attribute of its class: Pydantic relies on that for subclasses
            raise AttributeError(self.name)
        try:
            value = context.__dict__[self.name]
        except KeyError:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}") from None
        if type(value) in IMMUTABLE:
            return value
        try:
            watch = _slot(context)
        except AttributeError:
            return value
        if watch is None or self.name in watch.touched:
            return value
        return watch.hand_out(context, self.name, value)

    def __set__(self, context: PipelineContext, value: object) -> None:
        context.__dict__[self.name] = value

    def __delete__(self, context: PipelineContext) -> None:
        try:
            del context.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None


_slot: Callable[[PipelineContext], Watch | None] = PipelineContext.__dict__["_flujo_watch"].__get__
_set_slot: Callable[[PipelineContext, Watch | None], None] = PipelineContext.__dict__["_flujo_watch"].__set__


def watch_of(context: PipelineContext) -> Watch | None:
    """Return a context's watch; None if no run uses it."""
    try:
        return _slot(context)
    except AttributeError:
        _set_slot(context, None)
        return None


def watch(context: PipelineContext) -> Watch:
    """Return a context's watch, and begin to watch it if no run used it yet."""
    found = watch_of(context)
    if found is None:
        found = Watch()
        _set_slot(context, found)
    return found


def touched(context: PipelineContext) -> set[str]:
    """Return the names of the fields that were touched since `clear_touched`; empty if no run uses the context."""
    found = watch_of(context)
    return set(found.touched) if found else set()


def clear_touched(context: PipelineContext) -> None:
    """Forget what was touched."""
    found = watch_of(context)
    if found:
        found.touched.clear()


def touch_all(context: PipelineContext) -> None:
    """Count every mutable value as handed out."""
    if watch_of(context) is not None:
        for name in watched_fields(type(context)):
            if name in context.__dict__:
                getattr(context, name)


def fork(context: ContextT) -> ContextT:
    """Return a view for one parallel branch: equal to the context, and independent of it.

    Costs the number of fields, not their weight: a mutable value is copied when the view first hands it out. The
    context itself must not change while views of it are in use.
    """
    cls = type(context)
    view = cls.__new__(cls)
    names = cls.__pydantic_fields__
    values = context.__dict__
    # A cached property would go stale in the view: it is computed again there.
    shared = dict(values) if len(values) == len(names) else {name: values[name] for name in names if name in values}
    private = context.__pydantic_private__
    object.__setattr__(view, "__dict__", shared)
    object.__setattr__(view, "__pydantic_fields_set__", set(context.__pydantic_fields_set__))
    object.__setattr__(view, "__pydantic_extra__", None)
    object.__setattr__(view, "__pydantic_private__", None if private is None else dict(private))
    _set_slot(view, Watch(set()))
    return view


def own(context: PipelineContext, name: str) -> object:
    """Return a field's value for changing it in place, without counting it as touched."""
    value = context.__dict__[name]
    found = watch_of(context)
    if found is not None and found.owned is not None and name not in found.owned:
        value = context.__dict__[name] = clone(value)
        found.owned.add(name)
    return value


def clone(value: object) -> Any:
    """Return a deep copy; plain lists and dicts are copied much faster than by `copy.deepcopy`."""
    try:
        return _clone(value)
    except RecursionError:  # it contains itself, which only deepcopy can follow
        return copy.deepcopy(value)


def _clone(value: Any) -> Any:
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    if kind is list:
        return value.copy() if IMMUTABLE.issuperset(map(type, value)) else [_clone(member) for member in value]
    if kind is dict:
        if IMMUTABLE.issuperset(map(type, value.values())):
            return value.copy()
        return {key: _clone(member) for key, member in value.items()}
    return copy.deepcopy(value)


def watched_fields(cls: type[PipelineContext]) -> frozenset[str]:
    """Return the fields of a context class whose values may be mutable, and see that they are watched."""
    found = cls.__dict__.get("_flujo_watched")
    if found is None:
        found = frozenset(
            name for name, info in cls.__pydantic_fields__.items() if not _is_immutable(info.annotation)
        )
        for name in found:
            setattr(cls, name, _Watched(name))
        type.__setattr__(cls, "_flujo_watched", found)
    return found


def _is_immutable(annotation: object) -> bool:
    """Whether values of a type surely cannot change in place."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation in IMMUTABLE or issubclass(annotation, Enum)
    if annotation is None:
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return True
    if origin is Annotated:
        return _is_immutable(arguments[0])
    if origin in (Union, UnionType):
        return all(_is_immutable(argument) for argument in arguments)
    if origin in (tuple, frozenset):
        return bool(arguments) and all(argument is ... or _is_immutable(argument) for argument in arguments)
    return False


watched_fields(PipelineContext)
