"""What typed fields and the keys of mappings say about their values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel
from typing_extensions import override

from flujo.governance.pii.words import table
from flujo.pipeline.labels import DataLabel


@dataclass(frozen=True, slots=True)
class PII(DataLabel):
    """Marks a field as personal: `Annotated[str, PII("name")]`.

    The field is scrubbed whole, whatever it holds, and its value is found wherever it stands in other texts.
    Policies are told that values with such a field hold `pii.name`.

    Args:
        entity: What the field holds, of `ENTITIES` or a name of your own. None declares that it holds nothing
            personal: it is never looked at.
    """

    entity: str | None

    @property
    @override
    def label(self) -> str:
        return f"pii.{self.entity}" if self.entity else ""


_KEYS = {key: entity for entity, keys in table("keys").items() for key in keys}
_JOINTS = re.compile(r"[\s_.-]+")


def of_key(key: str) -> str | None:
    """Return what a key of a mapping says of its value: `patient_name`, `dateOfBirth`; None for most."""
    return _KEYS.get(_JOINTS.sub("", key).casefold()) if len(key) <= 40 else None


@lru_cache(maxsize=1024)
def marks_of(kind: type[object]) -> Mapping[str, PII]:
    """Return the marked fields of a model, a dataclass or a named tuple, by name."""
    if issubclass(kind, BaseModel):
        marked = {name: _mark((*info.metadata, info.annotation)) for name, info in kind.model_fields.items()}
    elif is_dataclass(kind) or issubclass(kind, tuple):
        marked = {name: _mark((hint,)) for name, hint in _hints(kind).items()}
    else:
        return {}
    return {name: mark for name, mark in marked.items() if mark}


def _hints(kind: Any) -> Mapping[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except (
        NameError
    ):  # a name that only a type checker sees: what is marked may not be read, nothing passes unread
        return {}


def _mark(parts: tuple[Any, ...], depth: int = 0) -> PII | None:
    """Return the first mark in an annotation, however deep: `list[Annotated[str, PII("name")]]`."""
    for part in parts:
        if isinstance(part, PII):
            return part
    for part in parts if depth < 6 else ():
        if found := _mark(get_args(part), depth + 1):
            return found
    return None
