"""Labels: what data is known to hold, who may be given it, and who takes a label away.

A label is a text such as ``pii.email``, ``phi`` or ``untrusted``. What declares labels also gives them to
what comes of it; the engine carries them on from value to value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast, final

from typing_extensions import override

from flujo.errors import ConfigError, PipelineError
from flujo.pipeline.policy import NO_LABELS, GovernancePolicy, PolicyContext, PolicyDecision

UNTRUSTED = "untrusted"
"""What the world outside may have written, such as the payload of an event."""

EGRESS = "egress"
"""What tools are labelled that carry data out: it says what they do, and nothing of what they give."""


class DataLabel(ABC):
    """Marks a type as holding something: ``Annotated[str, Label("phi")]``."""

    __slots__ = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """The label of its values; empty for none."""


@final
@dataclass(frozen=True, slots=True)
class Label(DataLabel):
    """Says of a field, an input or an output what its values hold: ``Annotated[str, Label("phi")]``.

    Args:
        name: The label.
    """

    name: str

    def __post_init__(self) -> None:
        labels_given([self.name], "Label")

    @property
    @override
    def label(self) -> str:
        return self.name


@final
@dataclass(frozen=True, slots=True, init=False)
class Declassify:
    """Takes labels from what a step gives: an act that policies judge, and that the journal records.

    Args:
        labels: The labels; patterns (``pii.*``) are allowed.
        reason: Why what the step gives no longer holds them.

    Raises:
        PipelineError: There is no label, or no reason.
    """

    labels: tuple[str, ...]
    reason: str

    def __init__(self, *labels: str, reason: str) -> None:
        if not isinstance(cast("object", reason), str) or not reason.strip():
            raise PipelineError(f"Declassify(reason={reason!r})", fix="say why the labels no longer hold")
        if not labels:
            raise PipelineError("Declassify() names no label", fix='name some: Declassify("pii.*", reason=…)')
        object.__setattr__(self, "labels", tuple(sorted(labels_given(labels, "Declassify"))))
        object.__setattr__(self, "reason", reason)

    def taken_from(self, labels: frozenset[str]) -> frozenset[str]:
        """Return those of some labels that it takes away."""
        return frozenset(label for label in labels if fits(label, self.labels))


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Say whether a name fits one of several patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def labels_given(given: Iterable[str], place: str) -> frozenset[str]:
    """Return labels that were given somewhere, checked.

    Raises:
        PipelineError: They are none.
    """
    if isinstance(given, str | bytes):
        raise PipelineError(f"{place}: {given!r} is no list of labels", fix=f"pass [{given!r}]")
    found = list(cast("Iterable[object]", given))
    wrong = [label for label in found if not isinstance(label, str) or not label or label != label.strip()]
    if wrong:
        raise PipelineError(f"{place}: {wrong[0]!r} is no label", fix='use texts such as "pii.email"')
    return frozenset(cast("list[str]", found))


def clearance_given(given: Iterable[str] | None, place: str) -> tuple[str, ...] | None:
    """Return what a sink is cleared for, checked; None where it is none."""
    return None if given is None else tuple(sorted(labels_given(given, place)))


def declassify_given(given: object, place: str) -> Declassify | None:
    """Return what a step declassifies, checked."""
    if not isinstance(given, Declassify | None):
        raise PipelineError(f"{place}={given!r}", fix='pass Declassify("pii.*", reason="…")')
    return given


def uncleared(labels: Iterable[str], cleared_for: Iterable[str], tenant: str) -> list[str]:
    """Return the labels that a sink is not cleared for, in order. A run's own tenant is always cleared."""
    own = tenant_label(tenant)
    cleared = tuple(cleared_for)
    return sorted(label for label in labels if label != own and not fits(label, cleared))


def tenant_label(tenant: str) -> str:
    """Return the label of all data of a tenant."""
    return f"tenant:{tenant}"


@final
class DeclaredClearance(GovernancePolicy):
    """Denies a step or a tool what it is not cleared for by its own declaration. It needs no declaring."""

    id = "clearance"
    version = "1"

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        return (
            _judged(context, f"step {context.step!r}") if context.point == "input" else PolicyDecision.ALLOW
        )

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        return _judged(context, f"tool {tool_name!r}")


def _judged(context: PolicyContext, sink: str) -> PolicyDecision:
    cleared_for: Iterable[str] | None = context.facts.get("cleared_for")
    return PolicyDecision.ALLOW if cleared_for is None else clear(context, cleared_for, sink)


def clear(context: PolicyContext, cleared_for: Iterable[str], sink: str) -> PolicyDecision:
    """Return whether a sink may be given data that is labelled so."""
    missing = uncleared(context.labels, cleared_for, context.tenant)
    if not missing:
        return PolicyDecision.ALLOW
    return PolicyDecision.deny(
        f"the {sink} is not cleared for {', '.join(map(repr, missing))}", rule=", ".join(missing)
    )


def unjudged(tool: str) -> ConfigError:
    """Return the refusal of a call of a tool that declares a clearance, where nothing judges."""
    return ConfigError(
        f"the tool {tool!r} declares a clearance, and nothing judges that here",
        fix="pass policies=[…] to the runner, such as a Clearance",
    )


def held_by_results(labels: Iterable[str]) -> frozenset[str]:
    """Return what the results of a tool hold that is labelled so, where it does not say."""
    return frozenset(labels) - {EGRESS} or NO_LABELS
