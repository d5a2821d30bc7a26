"""The step that lets a language model extract the facts, in the place of the rules."""

from __future__ import annotations

from flujo import Retry, Step, StepInfo, Usage

from .by_model import ModelAnswerError, ModelError, ModelSettings, ModelUnavailable, extract_by_model
from .document import Reading
from .facts import Facts
from .unknown import no_facts

ATTEMPTS = 3
BACKOFF = 1.0
NO_ANSWER = "The model gave no usable answer"


def ask_model(settings: ModelSettings, *, backoff: float | None = None) -> Step[Reading, Facts]:
    """Return the step that asks a model, three times at most.

    Whatever the model says has to pass the same proof as the rules. Where it says nothing usable, nothing
    was read, and a person decides. Where its server is not reached or refuses, that says nothing about the
    invoice: the run waits, and asks again once somebody says that it was mended.

    Args:
        settings: Which model. They hold a key, so they stay out of input and context: nothing records them.
        backoff: Seconds before the second attempt, `BACKOFF` if none; the third waits twice as long.
    """

    async def ask(reading: Reading, info: StepInfo) -> Facts:
        while True:
            if reading.kind == "document":
                info.report(Usage(requests=1))
            try:
                return await extract_by_model(reading, settings)
            except ModelAnswerError as error:
                if info.attempt < ATTEMPTS:
                    raise
                return Facts(file=reading.file, kind="unclear", reason=f"{NO_ANSWER}: {error}")
            except ModelUnavailable as error:
                if info.attempt < ATTEMPTS:
                    raise
                prompt = f"The model could not be asked: {error} Ask again, once that is mended?"
                if not await info.ask(prompt, bool):
                    return Facts(file=reading.file, kind="unclear", reason=f"{NO_ANSWER}: {error}")

    wait = BACKOFF if backoff is None else backoff
    patient = Retry(attempts=ATTEMPTS, backoff=wait, on=(ModelError,))
    return Step(ask, name="ask_model", retry=patient, fallback=no_facts)
