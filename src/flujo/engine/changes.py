"""How the change of one field is found and written.

What is recorded of a mutable value is kept as its *state*, and the next value is compared with it:

- plain JSON: a copy, which ``==`` compares in C (for a dict, the values of its keys one by one);
- anything else: its bytes, unchecked. The bytes of a list that was appended to begin with those it had.
"""

from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import from_json, to_json

from flujo.pipeline.context import IMMUTABLE, clone
from flujo.plan.codec import Codec
from flujo.plan.fields import FieldCodec
from flujo.plan.unrecordable import Unrecordable

_BY_VALUE = frozenset({str, int, bool, type(None)})
_MISSING = object()
_ELSEWHERE = b""
_MANY = 50
"""From how many keys on a dict is compared as a whole first."""


def changed(codec: FieldCodec, value: object, before: object, closely: bool) -> tuple[bytes | None, object]:
    """Return the change of a field that may be mutable, and its new state.

    Args:
        codec: How the field is written.
        value: Its value now.
        before: Its last state, which this may bring up to date; None if it is not known.
        closely: Whether equal numbers of another kind count as a change wherever they stand.

    Raises:
        Unrecordable: If the value cannot be recorded; ``before`` must not be used then.
    """
    kind, was = type(value), type(before)
    if kind is dict and was is dict:
        members, known = cast("dict[str, object]", value), cast("dict[str, object]", before)
        return _keys_changed(codec.member, members, known, closely), known
    if kind is list and was is list:
        change = _appended(codec, cast("list[object]", value), cast("list[object]", before), closely)
        if change != _ELSEWHERE:
            return change, before
    after = _dumpable_state(codec, value)
    if isinstance(before, bytes) and isinstance(after, bytes):
        if before == after:
            return None, after
        if codec.field.kind == "list" and kind is list:
            change = _appended_bytes(codec.member, cast("list[object]", value), before, after)
            if change is not None:
                return change, after
    return b'"set":%b' % dump(codec, value), after


def assigned(codec: FieldCodec, value: object, before: object) -> bytes | None:
    """Return the change of a field of an immutable type."""
    kind = type(value)
    if value is before or (kind is type(before) and kind in _BY_VALUE and value == before):
        return None
    data = codec.whole.dump(value)
    return None if kind is type(before) and codec.whole.mark(before) == data else b'"set":%b' % data


def state(codec: FieldCodec, value: object) -> object:
    """Return what the next value of a field that may be mutable is compared with."""
    kind = type(value)
    shape = codec.field.kind
    if codec.member.plain and ((shape == "dict" and kind is dict) or (shape == "list" and kind is list)):
        return clone(value)
    if shape == "dict" and kind is dict:
        members = cast("dict[str, object]", value)
        return {key: _member_state(codec.member, member) for key, member in members.items()}
    return codec.whole.mark(value)


def _dumpable_state(codec: FieldCodec, value: object) -> object:
    """Return a value's state, or what is wrong with it."""
    try:
        return state(codec, value)
    except (ValueError, TypeError):
        dump(codec, value)
        raise


def _keys_changed(
    codec: Codec, value: dict[str, object], before: dict[str, object], closely: bool
) -> bytes | None:
    """Return the change of a dict by its keys, and bring ``before`` up to date."""
    if codec.plain and not closely and len(value) > _MANY and value == before:
        return None
    changed = [
        key
        for key, now in value.items()
        if (then := before.get(key, _MISSING)) is not now and not _is_recorded(codec, now, then, closely)
    ]
    gone: list[str] = []
    if len(before) + sum([key not in before for key in changed]) != len(value):
        gone = [key for key in before if key not in value]
    if not changed and not gone:
        return None
    if len(gone) > len(value):
        data = _dump_members(codec, value)
        before.clear()
        before.update({key: _member_state(codec, now) for key, now in value.items()})
        return b'"set":%b' % data
    parts: list[bytes] = []
    if changed:
        parts.append(b'"keys":%b' % _dump_members(codec, {key: value[key] for key in changed}))
    if gone:
        parts.append(b'"gone":%b' % to_json(gone))
    for key in gone:
        del before[key]
    for key in changed:
        before[key] = _member_state(codec, value[key])
    return b",".join(parts)


def _is_recorded(codec: Codec, now: object, then: object, closely: bool) -> bool:
    """Tell whether a member of a dict is what was recorded of it."""
    if type(now) in IMMUTABLE:
        if type(now) is not type(then):
            return False
        return now == then if type(now) in _BY_VALUE else codec.mark(now) == codec.mark(then)
    if then is _MISSING:
        return False
    if codec.plain:
        return now == then and (not closely or codec.mark(now) == codec.mark(then))
    return codec.mark(now) == then


def _appended(codec: FieldCodec, value: list[object], before: list[object], closely: bool) -> bytes | None:
    """Return the change of a list of plain JSON by its end, and bring ``before`` up to date.

    None says that nothing changed, and `_ELSEWHERE` that more than the end did.
    """
    count = len(before)
    if len(value) < count:
        return _ELSEWHERE
    same = value if len(value) == count else value[:count]
    if same != before or (closely and codec.whole.mark(same) != codec.whole.mark(before)):
        return _ELSEWHERE
    if same is value:
        return None
    added = value[count:]
    dump = codec.member.dump
    data = b'"append":[%b]' % b",".join([dump(item) for item in added])
    before.extend(cast("list[object]", clone(added)))
    return data


def _appended_bytes(codec: Codec, value: list[object], before: bytes, after: bytes) -> bytes | None:
    """Return the change of a list by its end, found by the bytes of the whole; None if it changed elsewhere.

    The bytes of a list that was appended to begin with those it had before, up to the closing bracket.
    """
    if before == b"[]":
        added = value
    elif after.startswith(before[:-1]) and after[len(before) - 1 : len(before)] == b",":
        added = value[-_count(after[len(before) :]) :]
    else:
        return None
    return b'"append":[%b]' % b",".join([codec.dump(item) for item in added])


def _count(tail: bytes) -> int:
    """Return how many items there are in the end of a JSON list."""
    items: list[Any] = from_json(b"[" + tail)
    return len(items)


def _member_state(codec: Codec, value: object) -> object:
    """Return what a member of a dict is compared with: itself if immutable, a copy, or its bytes."""
    if type(value) in IMMUTABLE:
        return value
    return clone(value) if codec.plain else codec.mark(value)


def dump(codec: FieldCodec, value: object) -> bytes:
    """Return a value's bytes; a dict is written key by key, so that an error can name the key."""
    if codec.field.kind == "dict" and type(value) is dict:
        return _dump_members(codec.member, cast("dict[str, object]", value))
    return codec.whole.dump(value)


def _dump_members(codec: Codec, members: Mapping[str, object]) -> bytes:
    dump = codec.dump
    pieces: list[bytes] = []
    for key, value in members.items():
        if type(key) is not str:
            raise Unrecordable(f"it has a key of type {type(key).__qualname__!r}", "use text for its keys")
        try:
            pieces.append(b"%b:%b" % (to_json(key), dump(value)))
        except Unrecordable as error:
            fix = (
                "declare a field of that type in the context model" if codec.annotation is Any else error.fix
            )
            raise Unrecordable(f"key {key!r}: {error.message}", fix) from error
        except ValueError as error:
            raise Unrecordable("it has a key with an unpaired surrogate", "clean the text") from error
    return b"{%b}" % b",".join(pieces)
