"""Steps: an agent and the settings it runs with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Literal,
    TypedDict,
    TypeVar,
    cast,
    final,
    overload,
)

from typing_extensions import Unpack

from flujo.errors import PipelineError
from flujo.pipeline import node as nodes
from flujo.pipeline.agent import (
    Agent,
    BlockingAgent,
    Conversation,
    Instructed,
    Invocable,
    Work,
    adapted,
)
from flujo.pipeline.checks import (
    Kind,
    check_choice,
    check_function,
    check_functions,
    check_mapping,
    exceptions_of,
    is_amount,
    is_count,
    seconds,
)
from flujo.pipeline.node import Changed, In, Node, Out, Output, check_name, check_node

if TYPE_CHECKING:
    from flujo.pipeline.info import Usage
    from flujo.pipeline.labels import Declassify
    from flujo.pipeline.mutation import MayMutate
    from flujo.pipeline.policy import GovernancePolicy
    from flujo.pipeline.quota import Quota

A = TypeVar("A")
B = TypeVar("B")
Gives = B | Changed[B]
Effects = Literal["idempotent", "at_most_once"]


@final
@dataclass(frozen=True, slots=True)
class From:
    """Marks a parameter that takes an earlier node's output: ``Annotated[str, From("summarize")]``."""

    node: str

    def __post_init__(self) -> None:
        if not check_name(self.node):
            raise PipelineError("From('') names no node", fix="pass an earlier node's name")


@final
@dataclass(frozen=True, slots=True, init=False)
class Retry(metaclass=Kind):
    """How often a step is attempted, and how long it waits between attempts.

    The wait before attempt ``n + 1`` is ``backoff * factor ** (n - 1)`` seconds, at most ``longest``,
    of which a share of up to ``jitter`` is taken away by chance. The due time is recorded, so that a
    resumed run neither waits again nor gets its attempts back.

    Args:
        attempts: How often in all, the first included.
        backoff: The first wait, in seconds.
        factor: What each further wait is multiplied by.
        longest: The longest wait, in seconds.
        jitter: The share of a wait left to chance, 0 to 1.
        on: The exceptions, or the one, worth another attempt; others fail the step at once.

    Raises:
        PipelineError: A setting cannot work.
    """

    attempts: int
    backoff: float
    factor: float
    longest: float
    jitter: float
    on: tuple[type[BaseException], ...]

    def __init__(
        self,
        attempts: int = 3,
        backoff: float = 0.5,
        jitter: float = 0.1,
        *,
        factor: float = 2.0,
        longest: float = 60.0,
        on: type[BaseException] | Iterable[type[BaseException]] = (Exception,),
    ) -> None:
        if not is_count(attempts):
            raise PipelineError(f"Retry(attempts={attempts!r})", fix="use a whole number from 1 up")
        waits = (backoff, factor, longest, jitter)
        if not all(is_amount(number) for number in waits) or jitter > 1:
            raise PipelineError(
                f"Retry(backoff={backoff!r}, factor={factor!r}, longest={longest!r}, "
                f"jitter={jitter!r}) cannot work",
                fix="use waits from 0 up, and a jitter from 0 to 1",
            )
        object.__setattr__(self, "attempts", attempts)
        for key, number in zip(("backoff", "factor", "longest", "jitter"), waits, strict=True):
            object.__setattr__(self, key, number)
        object.__setattr__(self, "on", exceptions_of(on))

    def wait(self, failed: int, chance: float) -> float:
        """Return the seconds to wait after the given number of failed attempts; ``chance`` is 0 to 1."""
        try:
            wait = min(self.longest, self.backoff * float(self.factor) ** (failed - 1))
        except OverflowError:
            wait = self.longest if self.backoff else 0.0
        return wait * (1 - self.jitter * chance)


@final
@dataclass(frozen=True, slots=True)
class ResourceHints(metaclass=Kind):
    """What a step needs of the machine it runs on, for backends that place steps.

    Running locally, every step shares the one machine and the hints only travel with the plan.

    Args:
        cpus: Processors; a fraction is allowed.
        gpus: Graphics processors; a fraction is allowed.
        memory: Bytes.
        custom: Amounts of resources that the backend names.
        priority: Higher goes first where there is a queue.
    """

    cpus: float | None = None
    gpus: float | None = None
    memory: int | None = None
    custom: Mapping[str, float] = field(default_factory=lambda: MappingProxyType[str, float]({}))
    priority: int = 0

    def __post_init__(self) -> None:
        check_mapping(self.custom, "ResourceHints, custom", 'custom={"name": amount}')
        amounts = {"cpus": self.cpus, "gpus": self.gpus, "memory": self.memory, **self.custom}
        for name, amount in amounts.items():
            if amount is not None and not is_amount(amount):
                raise PipelineError(f"ResourceHints({name}={amount!r})", fix="use a number from 0 up")
        if not isinstance(cast("object", self.priority), int):
            raise PipelineError(f"ResourceHints(priority={self.priority!r})", fix="use a whole number")


class StepSettings(TypedDict, total=False):
    """The settings of a step: see :class:`Step`."""

    name: str
    retry: Retry | int | None
    timeout: float | timedelta | None
    fallback: Node[Any, Any] | None
    validators: Sequence[Callable[..., object]]
    cache: bool | Callable[..., str]
    effects: Effects
    undo: Callable[..., object] | None
    inputs: Mapping[str, Output[Any]]
    resources: ResourceHints | None
    quota: Quota | Sequence[Quota] | None
    bound: Usage | None
    policies: Sequence[GovernancePolicy]
    on_denied: Node[Any, Any] | None
    may_mutate: MayMutate | None
    labels: Iterable[str]
    cleared_for: Iterable[str] | None
    declassifies: Declassify | None


@final
class Step(Node[In, Out]):
    """The smallest unit of work: an agent with its settings.

    The agent is a function, ``async`` or not (one that is not runs in a worker thread), or an object
    with ``run(input, …)``. Its first parameter takes the output of the node before. Others ask, by
    annotation, for the context (:class:`PipelineContext` or the runner's subclass), for a
    :class:`StepInfo`, or for an earlier node's output (:class:`From`).

    Args:
        agent: What does the work.
        name: Its name in addresses; the function's or the class's when left out.
        retry: Attempts and waits, or just the number of attempts. When left out: one attempt, or three
            where validators reject an output.
        timeout: The time limit of each attempt, in seconds.
        fallback: What runs, with the same input, when every attempt failed.
        validators: Each judges the output (and the context, if it asks): None or True accepts; False,
            a text or a ValueError rejects. A rejected output is attempted anew, with the text in
            ``StepInfo.feedback``.
        cache: True remembers results in the store by step and input; a function of the input gives
            the key itself.
        effects: ``"idempotent"`` (a step whose end is unknown runs again with the same idempotency
            key) or ``"at_most_once"`` (it waits, in doubt, for a person).
        undo: Takes the output (and context and info, if it asks) and undoes what the step did, when
            the run fails or is cancelled later.
        inputs: Parameters by name that take the outputs of earlier nodes.
        resources: Hints for backends.
        quota: What all its attempts together may spend, or several quotas.
        bound: The most that one attempt spends: reserved before it begins.
        policies: What judges the step's input, its tools and its output, after the runner's policies.
        on_denied: What runs, with the same input, when a policy denied; without it the run fails.
        may_mutate: What it may change of the nodes after it, by returning a :class:`PipelineMutation`.
        labels: What its output holds besides what it was given: ``"phi"``, ``"pii.email"``.
        cleared_for: What it may be given, where data leaves by it: anything labelled otherwise is denied.
            Patterns are allowed; an empty list clears it for nothing labelled.
        declassifies: Which labels its output no longer holds, and why.

    Raises:
        PipelineError: A setting cannot work.
    """

    __slots__ = (
        "_name", "agent", "bound", "cache", "cleared_for", "declassifies", "effects", "fallback", "inputs",
        "labels", "may_mutate", "on_denied", "policies", "quotas", "resources", "retry", "timeout", "undo",
        "validators",
    )  # fmt: skip

    _name: str
    agent: Work
    retry: Retry
    timeout: float | None
    fallback: Node[Any, Any] | None
    validators: tuple[Callable[..., object], ...]
    cache: bool | Callable[..., str]
    effects: Effects
    undo: Callable[..., object] | None
    inputs: Mapping[str, Output[Any]]
    resources: ResourceHints | None
    quotas: tuple[Quota, ...]
    bound: Usage | None
    policies: tuple[GovernancePolicy, ...]
    on_denied: Node[Any, Any] | None
    may_mutate: MayMutate | None
    labels: frozenset[str]
    cleared_for: tuple[str, ...] | None
    declassifies: Declassify | None

    @overload
    def __init__(
        self: Step[A, B], agent: Agent[A, Conversation[B]], **settings: Unpack[StepSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: Step[A, B],
        agent: Callable[Concatenate[A, ...], Coroutine[Any, Any, Gives[B]]],
        **settings: Unpack[StepSettings],
    ) -> None: ...
    @overload
    def __init__(self: Step[A, B], agent: Agent[A, Gives[B]], **settings: Unpack[StepSettings]) -> None: ...
    @overload
    def __init__(
        self: Step[A, B], agent: BlockingAgent[A, Gives[B]], **settings: Unpack[StepSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: Step[A, B],
        agent: Callable[Concatenate[A, ...], Gives[B]],
        **settings: Unpack[StepSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: Step[object, B],
        agent: Callable[[], Coroutine[Any, Any, Gives[B]]],
        **settings: Unpack[StepSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: Step[object, B], agent: Callable[[], Gives[B]], **settings: Unpack[StepSettings]
    ) -> None: ...
    @overload
    def __init__(self: Step[A, Any], agent: Invocable[A], **settings: Unpack[StepSettings]) -> None: ...
    @overload
    def __init__(self: Step[Any, Any], agent: Instructed, **settings: Unpack[StepSettings]) -> None: ...
    def __init__(self, agent: Work, **settings: Unpack[StepSettings]) -> None:
        given = _checked(agent, settings)
        for key, value in given.items():
            object.__setattr__(self, key, value)

    @property
    def declares(self) -> bool:
        """Whether it says anything of labels."""
        return bool(self.labels or self.cleared_for is not None or self.declassifies)

    def named(self, name: str) -> Step[In, Out]:
        """Return the same step under another name."""
        copy = cast("Step[In, Out]", object.__new__(Step))
        for key in Step.__slots__:
            object.__setattr__(copy, key, object.__getattribute__(self, key))
        object.__setattr__(copy, "_name", nodes.step_name(self.agent, name))
        return copy

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a step is immutable: {name!r} cannot be set; make another with Step(…)")

    def __repr__(self) -> str:
        return f"Step({self.name!r})"


def _checked(agent: Work, settings: StepSettings) -> dict[str, object]:
    """Return every field of a step, checked."""
    unknown = sorted(set(settings) - set(StepSettings.__annotations__))
    if unknown:
        raise PipelineError(
            f"Step(…) has no setting {', '.join(unknown)}",
            fix=f"choose from {', '.join(StepSettings.__annotations__)}",
        )
    agent = adapted(agent)
    name = nodes.step_name(agent, settings.get("name", ""))
    effects = settings.get("effects", "idempotent")
    check_choice(effects, f"step {name!r}, effects", ("idempotent", "at_most_once"))
    fallback, undo, timeout = settings.get("fallback"), settings.get("undo"), settings.get("timeout")
    if fallback is not None:
        check_node(fallback, f"step {name!r}, fallback")
    on_denied = settings.get("on_denied")
    if on_denied is not None:
        check_node(on_denied, f"step {name!r}, on_denied")
    if undo is not None:
        check_function(undo, f"step {name!r}, undo")
    validators, cache = settings.get("validators", ()), settings.get("cache", False)
    inputs = settings.get("inputs", {})
    check_functions(validators, f"step {name!r}, validators")
    check_mapping(inputs, f"step {name!r}, inputs", 'inputs={"parameter": step.output}')
    if not (isinstance(cast("object", cache), bool) or callable(cache)):
        raise PipelineError(
            f"step {name!r}, cache={cache!r}", fix="pass True, or a function of the input that gives the key"
        )
    resources = settings.get("resources")
    if not isinstance(cast("object", resources), ResourceHints | None):
        raise PipelineError(f"step {name!r}, resources={resources!r}", fix="pass ResourceHints(cpus=…, …)")
    return {
        "agent": agent,
        "_name": name,
        "retry": _retry(name, settings.get("retry"), judged=bool(validators)),
        "timeout": None if timeout is None else seconds(timeout, f"step {name!r}, timeout"),
        "fallback": fallback,
        "validators": tuple(validators),
        "cache": cache,
        "effects": effects,
        "undo": undo,
        "inputs": MappingProxyType({key: nodes.output_of(name, key, value) for key, value in inputs.items()}),
        "resources": resources,
        "policies": _policies(name, settings.get("policies", ())),
        "on_denied": on_denied,
        **_labels(name, settings),
        **nodes.limits_of(name, settings),
    }


def _labels(name: str, settings: StepSettings) -> dict[str, object]:
    labels, cleared_for = settings.get("labels", ()), settings.get("cleared_for")
    declassifies = settings.get("declassifies")
    if not labels and cleared_for is None and declassifies is None:
        return {"labels": frozenset[str](), "cleared_for": None, "declassifies": None}
    from flujo.pipeline.labels import clearance_given, declassify_given, labels_given

    return {
        "labels": labels_given(labels, f"step {name!r}, labels"),
        "cleared_for": clearance_given(cleared_for, f"step {name!r}, cleared_for"),
        "declassifies": declassify_given(declassifies, f"step {name!r}, declassifies"),
    }


def _policies(name: str, policies: object) -> tuple[GovernancePolicy, ...]:
    if isinstance(policies, str | bytes) or not isinstance(policies, Sequence):
        raise PipelineError(
            f"step {name!r}, policies={policies!r} is no list", fix="pass policies=[policy, …]"
        )
    return tuple(cast("Sequence[GovernancePolicy]", policies))


def _retry(name: str, retry: object, *, judged: bool) -> Retry:
    match retry:
        case None:
            return Retry(3, 0.0, on=()) if judged else Retry(attempts=1)
        case Retry():
            return retry
        case int() if is_count(retry):
            return Retry(attempts=retry)
        case _:
            raise PipelineError(
                f"step {name!r}: retry={retry!r}", fix="pass a number of attempts from 1 up, or Retry(…)"
            )
