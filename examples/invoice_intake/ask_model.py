"""The step that lets a language model extract the facts, in the place of the rules."""

from __future__ import annotations

from flujo import Retry, Step, StepInfo, Usage

from .by_model import ModelAnswerError, ModelSettings, extract_by_model
from .document import Reading
from .facts import Facts
from .unknown import no_facts


def ask_model(settings: ModelSettings, *, backoff: float = 1.0) -> Step[Reading, Facts]:
    """Return the step that asks a model, three times at most.

    Whatever the model says has to pass the same proof as the rules; where it says nothing usable, nothing
    was read, and a person decides.

    Args:
        settings: Which model. They hold a key, so they stay out of input and context: nothing records them.
        backoff: Seconds before the second attempt; the third waits twice as long.
    """

    async def ask(reading: Reading, info: StepInfo) -> Facts:
        if reading.kind == "document":
            info.report(Usage(requests=1))
        return await extract_by_model(reading, settings)

    patient = Retry(attempts=3, backoff=backoff, on=(ModelAnswerError,))
    return Step(ask, name="ask_model", retry=patient, fallback=no_facts)
