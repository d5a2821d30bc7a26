"""Policies: what a step may be given, what it may do, what it may give; and on whose behalf.

The core declares what a policy is and asks it; the policies themselves stand in ``flujo.governance``, or in
users' code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, cast, final, get_args

from flujo.errors import PipelineError

if TYPE_CHECKING:
    from flujo.pipeline.context import PipelineContext

Point = Literal[
    "agent_start", "input", "before_model", "after_model", "before_tool", "after_tool", "output", "agent_end"
]
"""Where a policy judges: the eight points of the Agent Control Specification."""

EVERYWHERE: frozenset[Point] = frozenset(get_args(Point))
WITHIN = EVERYWHERE - {"agent_start", "agent_end"}
"""Where a policy judges that does not say otherwise: within a run, and not where runs begin and end."""

Mode = Literal["enforce", "observe"]

OBLIGATIONS = frozenset({"approve", "approve_by_two", "no_cache"})
"""What a decision may oblige the engine to: to ask a person first, or two; not to remember the output."""


@final
class Verdict(StrEnum):
    """What a policy may say, from the mildest to the strictest."""

    ALLOW = "allow"
    WARN = "warn"
    REDACT = "redact"
    ESCALATE = "escalate"
    DENY = "deny"


@final
class Nothing(Enum):
    """Stands where no data is given, since None may be data."""

    NOTHING = "nothing"


@final
@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """What a policy decided.

    ``PolicyDecision.ALLOW`` and its kin are decisions that say nothing more; ``deny("…")``, ``redact(data)``
    and the others make one that does. A bare :class:`Verdict` is understood as well.

    Attributes:
        verdict: What it decided; a text such as ``"deny"`` is taken, too.
        reason: Why, in words: it is told to whoever is denied, so it should quote no personal data.
        rule: The id of the rule that decided.
        data: For ``REDACT``: what takes the place of what was judged.
        obligations: What the engine must do besides; one that it does not know denies.
        approvals: For ``ESCALATE``: how many people must approve.
        version: The hash of the policies that decided; the policy's own when left out.
        mode: ``"observe"``: it is recorded and has no force; None: as the policy is set.
        errors: What went wrong while it was decided: where there is anything, it denies.
        inputs: The hash of all that was looked at, where that is more than what was judged.
    """

    ALLOW: ClassVar[PolicyDecision]
    WARN: ClassVar[PolicyDecision]
    REDACT: ClassVar[PolicyDecision]
    ESCALATE: ClassVar[PolicyDecision]
    DENY: ClassVar[PolicyDecision]

    verdict: Verdict
    reason: str = ""
    rule: str = ""
    data: Any = Nothing.NOTHING
    obligations: tuple[str, ...] = ()
    approvals: int = 1
    version: str = ""
    mode: Mode | None = None
    errors: tuple[str, ...] = ()
    inputs: str = ""

    def __post_init__(self) -> None:
        verdict = cast("object", self.verdict)
        if isinstance(verdict, Verdict):
            return
        named = verdict.lower() if isinstance(verdict, str) else verdict
        try:
            object.__setattr__(self, "verdict", Verdict(named))
        except ValueError:
            words = ", ".join(repr(one.value) for one in Verdict)
            raise PipelineError(f"PolicyDecision({verdict!r})", fix=f"use one of {words}") from None

    @staticmethod
    def warn(reason: str, *, rule: str = "") -> PolicyDecision:
        """Let it go on, and record why somebody should look at it."""
        return PolicyDecision(Verdict.WARN, reason, rule)

    @staticmethod
    def redact(data: Any, reason: str = "", *, rule: str = "") -> PolicyDecision:
        """Go on with other data in the place of what was judged."""
        return PolicyDecision(Verdict.REDACT, reason, rule, data)

    @staticmethod
    def escalate(reason: str, *, rule: str = "", approvals: int = 1) -> PolicyDecision:
        """Ask a person, or several, who may approve it, edit it or deny it."""
        return PolicyDecision(Verdict.ESCALATE, reason, rule, approvals=approvals)

    @staticmethod
    def deny(reason: str, *, rule: str = "") -> PolicyDecision:
        """Refuse it."""
        return PolicyDecision(Verdict.DENY, reason, rule)


PolicyDecision.ALLOW = PolicyDecision(Verdict.ALLOW)
PolicyDecision.WARN = PolicyDecision(Verdict.WARN)
PolicyDecision.REDACT = PolicyDecision(Verdict.REDACT)
PolicyDecision.ESCALATE = PolicyDecision(Verdict.ESCALATE)
PolicyDecision.DENY = PolicyDecision(Verdict.DENY)

NO_ATTRIBUTES: Mapping[str, Any] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf a run goes: it is recorded with the run, and policies judge it.

    Attributes:
        id: Who: an account's name, a service.
        roles: What they are.
        tenant: Which customer or department they belong to.
        attributes: What else is known of them, as JSON values.
    """

    id: str
    roles: tuple[str, ...] = ()
    tenant: str = ""
    attributes: Mapping[str, Any] = field(default_factory=lambda: NO_ATTRIBUTES)

    def __post_init__(self) -> None:
        if not isinstance(cast("object", self.id), str):
            raise PipelineError(f"Principal(id={self.id!r}) is no text", fix="pass a name")
        if isinstance(self.roles, str):
            raise PipelineError(f"Principal(roles={self.roles!r})", fix=f"pass roles=({self.roles!r},)")
        object.__setattr__(self, "roles", tuple(self.roles))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def facts(self) -> dict[str, Any]:
        """Return it as it is recorded."""
        return {
            "id": self.id,
            "roles": self.roles,
            "tenant": self.tenant,
            "attributes": dict(self.attributes),
        }


NO_LABELS: frozenset[str] = frozenset()
NOBODY = Principal("")
"""The principal of a run that was given none."""


@final
class Deed(NamedTuple):
    """Something that a run did, or was allowed to do, before what is judged now.

    Attributes:
        kind: ``step`` (it ended), ``tool`` (a call that was made), ``allowed`` (one that may be under way),
            ``answer`` (a person approved or answered), or ``input`` (what the run began with was labelled).
        name: Of the step, the tool or the node.
        address: Where in the run.
        at: When, in microseconds since the Unix epoch; 0 where a run without a store does not tell.
        labels: What a tool is or touches; what the output of a step, or the run's input, is known to hold.
    """

    kind: Literal["step", "tool", "allowed", "answer", "input"]
    name: str
    address: str
    at: int
    labels: frozenset[str]


class Desk(Protocol):
    """Tells a policy of the run that it judges."""

    @property
    def run_id(self) -> str:
        """The run's name."""
        ...

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        ...

    @property
    def principal(self) -> Principal:
        """On whose behalf the run goes."""
        ...

    @property
    def tenant(self) -> str:
        """Likewise, the tenant."""
        ...

    def now(self) -> int:
        """Return the time by the run's clock, in microseconds since the Unix epoch."""
        ...

    def view(self) -> PipelineContext:
        """Return a copy of the run's context."""
        ...

    async def history(self) -> Sequence[Deed]:
        """Return what the run did so far."""
        ...


@final
class PolicyContext:
    """What a policy may know of what it judges.

    Attributes:
        point: Where in the course of an agent.
        step: The step's name.
        address: Where in the run: of the step, or of the tool's call.
        tool: The tool that is called; empty where none is.
        labels: What the data is known to hold: ``pii.email``, ``phi``, ``untrusted``.
        facts: What else is known: of a model's request, ``model`` and ``region``.
    """

    __slots__ = ("_desk", "address", "facts", "labels", "point", "step", "tool")

    def __init__(
        self,
        point: Point,
        step: str,
        address: str,
        desk: Desk,
        tool: str = "",
        facts: Mapping[str, Any] = NO_ATTRIBUTES,
        labels: frozenset[str] = NO_LABELS,
    ) -> None:
        self.point = point
        self.step = step
        self.address = address
        self.tool = tool
        self.facts = facts
        self.labels = labels
        self._desk = desk

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self._desk.run_id

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._desk.pipeline

    @property
    def principal(self) -> Principal:
        """On whose behalf the run goes; one without an id where nobody said so."""
        return self._desk.principal

    @property
    def tenant(self) -> str:
        """The tenant on whose behalf the run goes."""
        return self._desk.tenant

    @property
    def at(self) -> datetime:
        """The time by the run's clock, in UTC."""
        return datetime.fromtimestamp(self._desk.now() / 1e6, UTC)

    @property
    def context(self) -> PipelineContext:
        """A copy of the run's context as it stands: what a policy changes there is lost."""
        return self._desk.view()

    async def history(self) -> Sequence[Deed]:
        """Return what the run did so far, in order, from its journal.

        A policy with ``looks_back = True`` is asked about one thing at a time in each run, so that what it
        allows side by side is never more than it would allow one after another.
        """
        return await self._desk.history()


Answer = PolicyDecision | Verdict
"""What a check gives: a decision, or only its verdict."""


class GovernancePolicy(Protocol):
    """Judges what goes into steps, the tools that they call, and what comes out of them.

    Derive from it and override what it judges, or write a class of your own with any of these methods; each
    may be ``async`` or not, and may leave out parameters from the end. What a policy is given is a copy:
    one that changes it has failed. **A policy that fails denies:** that raises, gives something else than a
    decision, or takes longer than its ``timeout`` (seconds, 5 when left out).

    A policy may have an ``id`` and a ``version`` (else its class's name, and a digest of its source), a
    ``timeout``, and a ``mode``: with ``"observe"`` its decisions are recorded and have no force. Its
    ``points`` say where it judges; when left out, everywhere but where runs begin and end.
    """

    def check_input(self, context: PolicyContext, input_data: Any) -> Answer | Awaitable[Answer]:
        """Judge what a step is given, before it runs; and what a model is asked."""
        return PolicyDecision.ALLOW

    def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> Answer | Awaitable[Answer]:
        """Judge a call of a tool, or an effect of a step (``info.do``), before it begins."""
        return PolicyDecision.ALLOW

    def check_output(self, context: PolicyContext, output: Any) -> Answer | Awaitable[Answer]:
        """Judge what a step gives, before anything is recorded or told; and what tools and models give."""
        return PolicyDecision.ALLOW

    def check_entry(self, context: PolicyContext, data: Any) -> Answer | Awaitable[Answer]:
        """Judge what enters a run besides its input, before anything of it is written.

        That is the context that it begins with, the answers of people and their reasons, events, and what a
        fork changes. Only policies are asked whose ``points`` hold ``agent_start``. Nobody can be asked
        there: to escalate denies.
        """
        return PolicyDecision.ALLOW
