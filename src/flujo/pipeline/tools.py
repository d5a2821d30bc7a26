"""Tools: what agents may call, described once for every agent layer and for whoever governs them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, final

from flujo.errors import PipelineError, RunError
from flujo.pipeline.checks import Kind, check_choice, check_function, is_amount, is_count
from flujo.pipeline.info import Usage
from flujo.pipeline.labels import clearance_given, held_by_results, labels_given
from flujo.pipeline.step import ResourceHints

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
Effects = Literal["idempotent", "at_most_once"]


class ToolError(RunError):
    """A tool failed in a way that its agent is told: it may try otherwise, and its step goes on."""

    code = "tool_failed"


class ToolInDoubt(RunError):
    """A tool was called, and whether it took effect is not known.

    Where the tool is declared as at most once, a person settles it before it is called again.
    """

    code = "tool_in_doubt"


@final
@dataclass(frozen=True, slots=True)
class FlujoTool(metaclass=Kind):
    """A tool: a function that an agent may call, and what there is to know of it.

    The function's parameters are what a model fills in, by their annotations; one annotated as
    :class:`StepInfo` or :class:`PipelineContext` is given by the run instead, and no model sees it. What a
    tool does to the context is forgotten. A function that is not ``async`` runs in a worker thread.

    Args:
        function: What is called, with named arguments.
        name: Its name for models: letters, digits, ``_`` and ``-``; the function's when left out.
        description: What it does, for models; the function's docstring when left out.
        needs_approval: Whether a person must agree to each call; or a function of the arguments, by name,
            that says so.
        bound: The most that a call spends, reserved before it begins.
        labels: What it is or touches (``egress``, ``phi``), for policies.
        gives: What its results hold; what it is labelled, but for ``egress``, when left out.
        cleared_for: What it may be given, where data leaves by it: anything labelled otherwise is denied.
            Patterns are allowed; an empty list clears it for nothing labelled.
        resources: What it needs of the machine it runs on.
        effects: ``"idempotent"`` (a call whose end is unknown is made again, with the same idempotency key)
            or ``"at_most_once"`` (a person settles it first).
        retries: How often a model may try again after wrong arguments or a result that it is told to mend;
            the agent's own number when left out.
        timeout: The time limit of a call, in seconds.
        parameters: The JSON Schema of the arguments, where the function's annotations do not tell.

    Raises:
        PipelineError: A setting cannot work.
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    needs_approval: bool | Callable[[Mapping[str, Any]], bool] = False
    bound: Usage | None = None
    labels: frozenset[str] = frozenset()
    resources: ResourceHints | None = None
    effects: Effects = "idempotent"
    retries: int | None = None
    timeout: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType[str, Any]({}))
    gives: Iterable[str] | None = None
    cleared_for: Iterable[str] | None = None

    def __post_init__(self) -> None:
        check_function(self.function, "FlujoTool, function")
        function = self.function
        name = self.name or (function if inspect.isroutine(function) else type(function)).__name__
        if not _NAME.fullmatch(name):
            raise PipelineError(
                f"FlujoTool(name={name!r}) cannot name a tool",
                fix="use 1 to 64 letters, digits, '_' and '-', beginning with a letter",
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", self.description or inspect.getdoc(self.function) or "")
        self._check_labels(f"tool {name!r}")
        self._check(f"tool {name!r}")

    def _check(self, place: str) -> None:
        approval, bound = cast("object", self.needs_approval), cast("object", self.bound)
        if not (isinstance(approval, bool) or callable(approval)):
            raise PipelineError(
                f"{place}, needs_approval={approval!r}", fix="pass True, or a function of the arguments"
            )
        if not isinstance(bound, Usage | None):
            raise PipelineError(f"{place}, bound={bound!r}", fix="pass Usage(cost=…, …)")
        if not isinstance(cast("object", self.resources), ResourceHints | None):
            raise PipelineError(f"{place}, resources={self.resources!r}", fix="pass ResourceHints(cpus=…, …)")
        check_choice(self.effects, f"{place}, effects", ("idempotent", "at_most_once"))
        if self.retries is not None and self.retries != 0 and not is_count(self.retries):
            raise PipelineError(f"{place}, retries={self.retries!r}", fix="use a whole number from 0 up")
        if self.timeout is not None and not is_amount(self.timeout):
            raise PipelineError(f"{place}, timeout={self.timeout!r}", fix="use a number of seconds")

    def _check_labels(self, place: str) -> None:
        labels = labels_given(self.labels, f"{place}, labels")
        gives = held_by_results(labels) if self.gives is None else labels_given(self.gives, f"{place}, gives")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "gives", gives)
        object.__setattr__(self, "cleared_for", clearance_given(self.cleared_for, f"{place}, cleared_for"))

    @property
    def facts(self) -> Mapping[str, Any]:
        """What policies are told of it."""
        if not self.labels and not self.gives and self.cleared_for is None:
            return {}
        told = {"labels": sorted(self.labels), "gives": sorted(self.gives or ())}
        facts: dict[str, Any] = {name: labels for name, labels in told.items() if labels}
        return facts if self.cleared_for is None else {**facts, "cleared_for": self.cleared_for}

    def asks(self, arguments: Mapping[str, Any]) -> bool:
        """Say whether a person must agree to a call with these arguments."""
        if isinstance(self.needs_approval, bool):
            return self.needs_approval
        return bool(self.needs_approval(arguments))
