"""The cache of a step's outputs, beyond the run."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from copy import deepcopy
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_json

from flujo.engine.build import condition
from flujo.engine.failures import Attempted, described
from flujo.engine.run import Frame
from flujo.errors import RunError
from flujo.plan.codec import codec_for
from flujo.plan.jsonvalues import SCALARS, STRINGS
from flujo.plan.nodes import PlanStep
from flujo.plan.same import attributes
from flujo.plan.signature import Signature, unwrapped
from flujo.plan.types import type_text
from flujo.plan.unrecordable import Unrecordable

_TYPE = "\0type"


class Cached(NamedTuple):
    """An output that was remembered."""

    output: Any


class StepCache:
    """What one step remembers: its outputs by step, output type and inputs, or by a key of the user's.

    It is kept in the store; without one, as long as the runner lives.
    """

    def __init__(self, plan: PlanStep) -> None:
        chosen = plan.node.cache
        asked = Signature(chosen, is_async=False, input="value") if callable(chosen) else None
        self._chosen = None if asked is None else condition(asked, "cache")
        self._codec = codec_for(plan.output_type)
        self._sources = tuple(plan.sources.items())
        call = plan.signature.call
        self._step = [plan.label, *place_of(unwrapped(call)), type_text(plan.output_type)]
        self._held = _held(call)

    async def key(self, address: str, value: Any, frame: Frame) -> str:
        """Return the key of an input, and of the earlier outputs that the step takes.

        Raises:
            RunError: There is none: an input is no JSON, or the user's function raised.
        """
        chosen = self._chosen
        try:
            key = self._given(value, frame) if chosen is None else await chosen(frame, address, value)
            return sha256(to_json([*self._step, key])).hexdigest()
        except (ValueError, TypeError, RecursionError) as error:
            raise RunError(
                f"{address}: no cache key for its input: {described(error)}",
                fix="pass cache= a function of the input that gives a text",
            ) from error

    def _given(self, value: Any, frame: Frame) -> str:
        """Return as JSON all that the agent is given."""
        named = {parameter: frame.slots[path] for parameter, path in self._sources}
        return to_json(told_apart([value, named, self._held]), inf_nan_mode="constants").decode()

    async def find(self, frame: Frame, address: str, key: str) -> Cached | None:
        """Return what is remembered under a key, for the step at an address."""
        run = frame.run
        if run.recorder is None:
            return Cached(deepcopy(run.cache[key])) if key in run.cache else None
        written = await run.recorder.store.cached(key)
        return None if written is None else Cached(self._codec.load(written))

    def remember(self, frame: Frame, address: str, key: str, outcome: Attempted) -> None:
        """Remember what a step gave; an output that cannot be recorded is told when the step is."""
        run, output = frame.run, outcome.output
        if run.recorder is None:
            run.cache[key] = deepcopy(output)
            return
        with suppress(Unrecordable):
            run.recorder.remember(key, self._codec.dump(output))


def told_apart(value: Any) -> Any:
    """Return a value as JSON that no other value has.

    What is JSON of its own kind stays as it is. Anything else goes with its type and all that it holds, what
    it would not record included: the plain JSON of ``A(x=1)`` is that of ``B(x=1)``, too.

    Raises:
        ValueError: A part of it has no JSON.
    """
    kind = cast("type[Any]", type(value))
    if kind in SCALARS or kind is float:
        return value
    if kind is list:
        return [told_apart(member) for member in value]
    if kind is dict and STRINGS.issuperset(map(type, value)) and _TYPE not in value:
        return {key: told_apart(member) for key, member in value.items()}
    return {_TYPE: [_imported(kind.__module__), kind.__qualname__], "is": _held_by(value)}


def _members(names: Iterable[str], value: Any) -> list[Any]:
    return [[place, held] for place, held, _ in attributes(list(names), value, value)]


def _held_by(value: Any) -> Any:
    parts: list[Any]
    match value:
        case Enum():
            return value.name
        case SecretStr() | SecretBytes():
            return told_apart(value.get_secret_value())
        case BaseModel():
            parts = [*_members(type(value).__pydantic_fields__, value)]
            parts += [value.__pydantic_extra__, value.__pydantic_private__]
        case Mapping():
            parts = [list(pair) for pair in cast("Mapping[Any, Any]", value).items()]
        case Set():  # whose order is another in each process
            return sorted(to_json(told_apart(member)).decode() for member in cast("Set[Any]", value))
        case tuple() | list() | deque():
            parts = list(cast("Sequence[Any]", value))
        case _ if is_dataclass(value):
            parts = _members([field.name for field in fields(value)], value)
        case _:
            return to_json(value, inf_nan_mode="constants").decode()
    try:
        return told_apart(parts)
    except ValueError:  # a part without JSON of its own may have it as the whole says
        return to_json(value, inf_nan_mode="constants").decode()


def place_of(function: object) -> tuple[str, str]:
    """Return the module and the name of a function; a script is named as it is when imported."""
    match function:
        case object(__module__=str(module), __qualname__=str(name)):
            return _imported(module), name
        case object(__objclass__=type() as owner, __qualname__=str(name)):
            return owner.__module__, name
        case _:
            return "", type(function).__qualname__


def _imported(module: str) -> str:
    if module != "__main__":
        return module
    main = sys.modules[module]
    if main.__spec__ is not None:
        return main.__spec__.name
    return module if main.__file__ is None else Path(main.__file__).stem


def _held(call: Callable[..., Any]) -> list[Any]:
    """Return the arguments that partials hold."""
    held: list[Any] = []
    while isinstance(call, partial):
        held.append([call.args, call.keywords])
        call = call.func
    return held
