"""What parallel branches did to their views of a context, brought together where they join."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from flujo.engine.threads import text_of
from flujo.errors import ContextConflict
from flujo.pipeline.context import PipelineContext, clone, fork, touch, watch_of
from flujo.pipeline.reducers import Reducer
from flujo.plan.fields import ContextField, context_fields
from flujo.plan.same import alike

Labelled = Sequence[tuple[str, object]]
"""Values of one field with the labels of the branches that wrote them, in declared order."""

_MISSING = object()


def merge(parent: PipelineContext, branches: Sequence[tuple[str, PipelineContext]]) -> None:
    """Bring the changes of parallel branches into the context that their views were forked from.

    Fields are merged one by one, dicts key by key, in the order in which the branches are declared: the
    result does not depend on which branch finished first.

    Args:
        parent: The context that was forked; unchanged since.
        branches: Each branch's label and view, in declared order. A branch that failed may be left out.

    Raises:
        ContextConflict: If two branches wrote one field (or one key) differently and it has no reducer, or if
            its reducer refuses. The parent is unchanged then.
    """
    base = parent.__dict__
    fields = context_fields(type(parent))
    written: dict[str, list[tuple[str, object]]] = {}
    for label, view in branches:
        watch = watch_of(view)
        values = view.__dict__
        if watch is not None and not watch.owned and values == base:
            continue
        for name in fields:
            if values[name] is not base[name]:
                written.setdefault(name, []).append((label, values[name]))
    changes: list[Callable[[], None]] = []
    for name in [name for name in fields if name in written]:  # in declared order, so that errors do not vary
        change = _merged(parent, fields[name], written[name])
        if change is not None:
            changes.append(change)
    for change in changes:
        change()


def _merged(parent: PipelineContext, field: ContextField, values: Labelled) -> Callable[[], None] | None:
    """Return what gives one field of the parent what its branches made of it; None if nothing changed."""
    base: object = parent.__dict__[field.name]
    values = [(label, value) for label, value in values if not alike(base, value)]
    if not values:
        return None
    if field.reducer is not None:
        combined = _combined(parent, field.name, field.reducer, values)
        return lambda: _write(parent, field.name, combined)
    if field.kind == "dict" and type(base) is dict and all(type(value) is dict for _, value in values):
        named = cast("Sequence[tuple[str, Mapping[str, object]]]", values)
        keys, gone = _merged_keys(field.name, cast("Mapping[str, object]", base), named)
        return lambda: _write_keys(parent, field.name, keys, gone)
    label, value = values[0]
    for other, another in values[1:]:
        if not alike(value, another):
            raise _conflict(field.name, f"field {field.name!r}", label, other)
    return lambda: _write(parent, field.name, value)


def _combined(parent: PipelineContext, name: str, reducer: Reducer, values: Labelled) -> object:
    """Return what a field's reducer makes of it, validated as any assignment is."""
    probe = fork(parent)
    try:
        setattr(probe, name, reducer.combine(clone(parent.__dict__[name]), [value for _, value in values]))
    except Exception as error:  # the reducer is the user's
        labels = ", ".join([repr(label) for label, _ in values])
        raise ContextConflict(
            f"the reducer of context field {name!r} cannot combine the branches {labels}: {text_of(error)}",
            fix="let the branches change the field as its reducer expects, or give it another reducer",
        ) from error
    return probe.__dict__[name]


def _merged_keys(
    name: str, base: Mapping[str, object], values: Sequence[tuple[str, Mapping[str, object]]]
) -> tuple[dict[str, object], set[str]]:
    """Return the keys that the branches wrote, and those that they removed."""
    written: dict[str, object] = {}
    writer: dict[str, str] = {}
    for label, value in values:
        changes: dict[str, object] = {
            key: now
            for key, now in value.items()
            if (then := base.get(key, _MISSING)) is not now and not alike(then, now)
        }
        if len(value) - sum(key not in base for key in changes) != len(base):
            changes.update(dict.fromkeys([key for key in base if key not in value], _MISSING))
        for key, now in changes.items():
            if key in writer and not alike(written[key], now):
                raise _conflict(name, f"key {key!r} of field {name!r}", writer[key], label)
            written.setdefault(key, now)
            writer.setdefault(key, label)
    gone = {key for key, now in written.items() if now is _MISSING}
    return {key: now for key, now in written.items() if now is not _MISSING}, gone


def _conflict(name: str, what: str, first: str, second: str) -> ContextConflict:
    return ContextConflict(
        f"the parallel branches {first!r} and {second!r} wrote {what} of the context differently",
        fix=f"let one of them write it, or say on {name!r} how to combine them: "
        "Annotated[..., Last()], or Append, Merge, Add, Max, Min or a reducer of your own",
    )


def _write(parent: PipelineContext, name: str, value: object) -> None:
    watch = watch_of(parent)
    if watch is not None:
        touch(parent, name)  # so that its recorded state is known, and only the difference is recorded
        watch.touched.add(name)
        if watch.owned is not None:
            watch.owned.add(name)
    vars(parent)[name] = value
    parent.__pydantic_fields_set__.add(name)


def _write_keys(parent: PipelineContext, name: str, keys: Mapping[str, object], gone: set[str]) -> None:
    value = cast("dict[str, object]", touch(parent, name))
    for key in gone:
        value.pop(key, None)
    value.update(keys)
