"""The cache of a step's outputs, beyond the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_json

from flujo.engine.build import condition
from flujo.engine.failures import Attempted, described
from flujo.engine.run import Frame
from flujo.errors import RunError
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanStep
from flujo.plan.signature import Signature, unwrapped
from flujo.plan.types import type_text
from flujo.plan.unrecordable import Unrecordable


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
        return to_json([value, named, self._held], inf_nan_mode="constants").decode()

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
