"""Where a step stands: the run, the tenant or the subject within which equal values are treated equally."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import BaseModel

from flujo import PipelineContext
from flujo.errors import PipelineError, RunError
from flujo_deidentifier.treat import Place
from flujo_deidentifier.vault import scope_of

Scope = Literal["run", "subject", "tenant"]
"""Within what equal values are treated equally."""
Subject = str | Callable[[Any, Any], object]
"""Whom a value is about: the path of a field of the input, or of the context; or a function of both."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a step finds out where it stands.

    Attributes:
        scope: Within what equal values are treated equally.
        subject: Whom a value is about; None where nobody asks.
        today: The day that ages count from; the day that the run began when left out.
    """

    scope: Scope
    subject: Subject | None
    today: date | None = None

    def __post_init__(self) -> None:
        if self.scope not in ("run", "subject", "tenant"):
            raise PipelineError(f"scope={self.scope!r}", fix="choose from 'run', 'subject', 'tenant'")
        if self.scope == "subject" and self.subject is None:
            raise PipelineError(
                "scope='subject' needs to know whom a value is about", fix="pass subject='patient_id'"
            )

    def place(self, input: object, context: PipelineContext, *, run_id: str, tenant: str) -> Place:
        """Return where a value stands.

        Args:
            input: The value.
            context: The context of the run.
            run_id: The run.
            tenant: On whose behalf it goes.

        Raises:
            RunError: Whom the value is about is not told.
        """
        who = "" if self.subject is None else self._who(input, context)
        scope = scope_of(self.scope, tenant=tenant, subject=who, run_id=run_id)
        subject = scope if self.subject is None else scope_of("subject", tenant=tenant, subject=who)
        return Place(scope, subject, self.today or begun(run_id))

    def _who(self, input: object, context: PipelineContext) -> str:
        if callable(self.subject):
            who = self.subject(input, context)
        else:
            path = cast("str", self.subject).split(".")
            who = _at(input, path)
            who = _at(context, path) if who is None else who
        if who is None or not str(who):
            raise RunError(
                "nothing tells whom the value is about",
                fix="have subject= name a field of the input or of the context that does",
            )
        return str(who)


def begun(run_id: str) -> date:
    """Return the day that a run began, so that whoever carries it on takes the same; else today."""
    try:
        named = UUID(run_id)
    except ValueError:
        return datetime.now(UTC).date()
    if named.version != 7:
        return datetime.now(UTC).date()
    return datetime.fromtimestamp((named.int >> 80) / 1000, UTC).date()


def _at(value: object, path: list[str]) -> object:
    """Return what stands in a value at a path of fields and keys; None where nothing does."""
    for name in path:
        match value:
            case Mapping():
                value = cast("Mapping[str, object]", value).get(name)
            case BaseModel():
                value = dict(value).get(name)
            case _ if is_dataclass(value) and name in value.__dataclass_fields__:
                value = attrgetter(name)(value)
            case _:
                return None
    return value
