"""The cache of a step's outputs where it is known of values what they hold."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import Any

from pydantic_core import from_json, to_json
from typing_extensions import override

from flujo.engine.caching import Cached, StepCache
from flujo.engine.failures import Attempted
from flujo.engine.labels import gained
from flujo.engine.run import Frame
from flujo.pipeline.policy import NO_LABELS
from flujo.plan.nodes import PlanStep
from flujo.plan.unrecordable import Unrecordable


class LabelledCache(StepCache):
    """Remembers with an output what went into it, so that it holds as much whenever it is found.

    Its keys are its own: what was remembered where nobody looked at labels tells nothing, and is not found.
    What its step declassifies is taken away anew each time, as the step declares it by then.
    """

    def __init__(self, plan: PlanStep) -> None:
        super().__init__(plan)
        self._declassifies = plan.node.declassifies

    @override
    async def key(self, address: str, value: Any, frame: Frame) -> str:
        return f"{await super().key(address, value, frame)}+held"

    @override
    async def find(self, frame: Frame, address: str, key: str) -> Cached | None:
        run = frame.run
        if run.recorder is None:
            if key not in run.cache:
                return None
            labels, output = run.cache[key]
            found = Cached(deepcopy(output))
        else:
            written = await run.recorder.store.cached(key)
            if written is None:
                return None
            head, _, body = written.partition(b"\n")
            labels = frozenset[str](from_json(head)["labels"])
            found = Cached(self._codec.load(body))
        if labels:
            gained(frame, address, self._declassifies, labels)
        return found

    @override
    def remember(self, frame: Frame, address: str, key: str, outcome: Attempted) -> None:
        run = frame.run
        entry = None if run.labels is None else run.labels.steps.get(address)
        labels = NO_LABELS if entry is None else entry.whole
        if run.recorder is None:
            run.cache[key] = (labels, deepcopy(outcome.output))
            return
        head = to_json({"labels": sorted(labels)})
        with suppress(Unrecordable):
            run.recorder.remember(key, head + b"\n" + self._codec.dump(outcome.output))
