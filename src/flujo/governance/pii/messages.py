"""Messages of models as policies see them: what they say is looked at, what ties them together stays.

At a request policies are given messages as JSON. A moment, an id or a signature that stands where the
protocol has it is nobody's datum, and without it the conversation could not be read back. Only the messages
themselves and their parts are meant: what a part says, whatever its keys are called, is looked at as ever.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from flujo.governance.pii.words import words

KEPT = frozenset(word.replace(" ", "_") for word in words("messages", "kept"))
"""What ties the messages of a conversation together, and would break it where it is replaced."""


def said(value: Any) -> Any:
    """Return what is said in messages, as JSON, without what ties them together; other values as they are."""
    return _each(value, _bare, value)


def tied(clean: Any, value: Any) -> Any:
    """Return what was `said` in messages with what ties them together, as the messages have it."""
    return _each(clean, _whole, value)


def _each(found: Any, change: Callable[[Any, Any], Any], value: Any) -> Any:
    """Change each message of a conversation, or a single one."""
    if isinstance(value, list):
        pairs = zip(cast("list[Any]", found), cast("list[Any]", value), strict=True)
        return [change(one, message) if _is_message(message) else one for one, message in pairs]
    return change(found, value) if _is_message(value) else found


def _is_message(value: Any) -> bool:
    match value:
        case {"kind": "request" | "response", "parts": list()}:
            return True
        case _:
            return False


def _is_part(value: Any) -> bool:
    match value:
        case {"part_kind": str()}:
            return True
        case _:
            return False


def _bare(_: Any, message: Mapping[str, Any]) -> dict[str, Any]:
    parts = [_untied(part) if _is_part(part) else part for part in message["parts"]]
    return {**_untied(message), "parts": parts}


def _untied(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in KEPT}


def _whole(clean: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    parts = [
        _retied(part, before) if _is_part(before) else part
        for part, before in zip(clean["parts"], message["parts"], strict=True)
    ]
    return _retied({**clean, "parts": parts}, message)


def _retied(clean: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as it was, with what took the place of its values: they stand in the same order."""
    values = iter(clean.values())
    return {key: before[key] if key in KEPT else next(values) for key in before}
