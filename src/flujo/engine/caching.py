"""The cache of a step's outputs, beyond the run."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic_core import to_json

from flujo.engine.failures import described
from flujo.engine.run import Run
from flujo.errors import RunError
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanStep
from flujo.plan.types import type_name
from flujo.plan.unrecordable import Unrecordable


class Cached(NamedTuple):
    """An output that was remembered."""

    output: Any


class StepCache:
    """What one step remembers: its outputs by step, output type and input, or by a key of the user's.

    It is kept in the store; without one, as long as the runner lives.
    """

    def __init__(self, plan: PlanStep) -> None:
        self._chosen = plan.node.cache
        self._codec = codec_for(plan.output_type)
        call = plan.signature.call
        self._step = [plan.label, call.__module__, call.__qualname__, type_name(plan.output_type)]

    def key(self, address: str, value: Any) -> str:
        """Return the key of an input.

        Raises:
            RunError: There is none: the input is no JSON, or the user's function raised.
        """
        chosen = self._chosen
        try:
            key = chosen(value) if callable(chosen) else to_json(value).decode()
        except Exception as error:
            raise RunError(
                f"{address}: no cache key for its input: {described(error)}",
                fix="pass cache= a function of the input",
            ) from error
        return sha256(to_json([*self._step, key])).hexdigest()

    async def find(self, run: Run, key: str) -> Cached | None:
        """Return what is remembered under a key."""
        if run.recorder is None:
            return Cached(deepcopy(run.cache[key])) if key in run.cache else None
        written = await run.recorder.store.cached(key)
        return None if written is None else Cached(self._codec.load(written))

    def remember(self, run: Run, key: str, output: Any) -> None:
        """Remember an output; one that cannot be recorded is told when the step is."""
        if run.recorder is None:
            run.cache[key] = deepcopy(output)
            return
        with suppress(Unrecordable):
            run.recorder.remember(key, self._codec.dump(output))
