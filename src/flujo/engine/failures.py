"""How attempts fail: what went wrong, how it is told, and how it is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from pydantic_core import to_jsonable_python

from flujo.engine.record import usage_parts
from flujo.engine.run import Frame, Run
from flujo.engine.threads import text_of
from flujo.errors import (
    EffectDiverged,
    MutationRefused,
    OutputRejected,
    PolicyDenied,
    QuotaExceeded,
    RecordError,
    RequestDenied,
    ResumeError,
    StepFailed,
    StepTimedOut,
    StoreError,
)
from flujo.pipeline.info import NO_USAGE, StepInfo, Usage
from flujo.pipeline.waits import StopPipeline

Kind = Literal["error", "timeout", "rejected", "mutation", "quota", "denied"]
KINDS: dict[Kind, type[StepFailed]] = {
    "error": StepFailed,
    "timeout": StepTimedOut,
    "rejected": OutputRejected,
    "mutation": MutationRefused,
    "quota": QuotaExceeded,
    "denied": PolicyDenied,
}
"""What the failure of a step is raised as."""

PASSES = (StopPipeline, EffectDiverged, PolicyDenied, RecordError, RequestDenied, ResumeError, StoreError)
"""What no further attempt can mend: it goes to the caller as it is."""


class Rejected(Exception):
    """A validator, or the declared type, did not accept an output."""


class Refused(Rejected):
    """A step may not change its pipeline as it asked to."""


class Attempted(NamedTuple):
    """What attempts came to: an output.

    Attributes:
        output: The output.
        attempts: How many attempts there were.
        usage: What they used.
        cached: Whether the output came from the cache instead.
        fallback: The place of the fallback, where the output is the fallback's.
        paid: What of the usage was added to the run's already: that of failed attempts.
    """

    output: Any
    attempts: int = 1
    usage: Usage = NO_USAGE
    cached: bool = False
    fallback: Frame | None = None
    paid: Usage = NO_USAGE


class Tried(NamedTuple):
    """What failed attempts came to."""

    failed: int = 0
    usage: Usage = NO_USAGE
    feedback: tuple[str, ...] = ()
    error: Exception | None = None
    over: bool = False

    def after(self, info: StepInfo, error: Exception) -> Tried:
        """Return this with one more failed attempt."""
        feedback = (*self.feedback, str(error)) if isinstance(error, Rejected) else self.feedback
        return Tried(info.attempt, self.usage + info.usage, feedback, error)


class RecordedFailure(Exception):
    """What the journal keeps of an exception: of another process, or one that may not be told as it is."""

    def __init__(self, kind: Kind, text: str, quota: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.kind: Kind = kind
        self.quota = quota


class CutOff(Exception):
    """An attempt's work was cancelled by something else than the run."""

    def __init__(self, cancellation: asyncio.CancelledError) -> None:
        super().__init__("its own work was cancelled from inside")
        self.__cause__ = cancellation


class Exited(Exception):
    """An attempt's code asked for the end of the whole process, which is not a step's to decide."""

    def __init__(self, exit_: SystemExit) -> None:
        super().__init__(f"it called sys.exit({exit_.code!r})")
        self.__cause__ = exit_


class TimeLimit(Exception):
    """An attempt took longer than its step allows."""


class OutOfTime(TimeLimit):
    """An attempt was stopped because the time of a quota ran out.

    Attributes:
        quota: How the account stands, as :func:`quota_of` gives it.
    """

    def __init__(self, text: str, quota: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.quota = quota


_ACCOUNTED = ("meter", "account", "limit", "spent", "reserved", "asked")


def quota_of(error: BaseException | None) -> dict[str, Any]:
    """Return which quota an attempt failed on, and how it stands; nothing where it failed otherwise."""
    match error:
        case QuotaExceeded():
            return {name: vars(error)[name] for name in _ACCOUNTED}
        case OutOfTime(quota=quota) | RecordedFailure(quota=Mapping() as quota):
            exact = quota["meter"] in ("usd", "seconds")
            amounts = {name: Decimal(quota[name]) if exact else quota[name] for name in _ACCOUNTED[2:]}
            return {**{name: quota[name] for name in _ACCOUNTED[:2]}, **amounts}
        case _:
            return {}


_DENIED = ("policy", "rule", "reason", "point", "tool")


def denial_of(error: PolicyDenied) -> dict[str, str]:
    """Return what a denial tells besides its message."""
    said = (error.policy, error.rule, error.reason, error.point, error.tool)
    return {name: text for name, text in zip(_DENIED, said, strict=True) if text}


def told(error: BaseException | None) -> tuple[Kind, str]:
    """Return what kind of failure an exception is, and how it is told."""
    match error:
        case RecordedFailure():
            return error.kind, text_of(error)
        case QuotaExceeded(address=address, attempt=attempt):
            return "quota", error.message.removeprefix(f"step {address!r} (attempt {attempt}): ")
        case PolicyDenied(address=address, attempt=attempt):
            return "denied", error.message.removeprefix(f"step {address!r} (attempt {attempt}): ")
        case OutOfTime():
            return "quota", text_of(error)
        case TimeLimit():
            return "timeout", text_of(error)
        case Refused():
            return "mutation", text_of(error)
        case Rejected():
            return "rejected", text_of(error)
        case _:
            return "error", described(error)


def described(error: BaseException | None) -> str:
    """Return an exception in one line: its type and what it says."""
    text = text_of(error)
    if isinstance(error, RecordedFailure):  # it tells its type itself
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def raise_if_cancelled(error: asyncio.CancelledError) -> None:
    """Raise a cancellation again, if it is this task that is cancelled."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error


def note_failure(run: Run, info: StepInfo, error: Exception, wait: float | None) -> None:
    """Record a failed attempt, and when the next one is due."""
    kind, text = told(error)
    body: dict[str, Any] = {"attempt": info.attempt, "kind": kind, "text": text, "again": wait is not None}
    if wait:
        body["due"] = run.clock.now() + int(wait * 1e6)
    if info.usage:
        body["usage"] = usage_parts(info.usage)
    if isinstance(error, Rejected):
        body["feedback"] = [str(error)]
    if kind == "quota":
        body["quota"] = to_jsonable_python(quota_of(error))
    if isinstance(error, PolicyDenied):
        body["denied"] = denial_of(error)
    run.note("step.attempt", info.address, body)


async def accept(validator: Callable[[Frame, Any], Awaitable[Any]], frame: Frame, output: Any) -> None:
    """Let a validator judge an output: None and True accept it; all else rejects it, with a reason."""
    try:
        verdict = await validator(frame, output)
    except ValueError as error:
        raise Rejected(str(error) or "a validator rejected it") from error
    if verdict is None or verdict is True:
        return
    raise Rejected(str(verdict) if verdict else "a validator rejected it")
