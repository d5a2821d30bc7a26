"""Waiting: for a person, for time, for an event; and how a person answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, Literal, TypeVar, final, overload

from flujo.errors import PipelineError
from flujo.pipeline.checks import Kind, check_function, check_schema, check_time
from flujo.pipeline.node import In, Node, Out, check_name, check_node

A = TypeVar("A")
B = TypeVar("B")

Action = Literal["approve", "edit", "deny"]
RequestKind = Literal["input", "pause", "event", "in_doubt", "tool", "policy"]


@final
@dataclass(frozen=True, slots=True)
class Approval:
    """One thing a run waits for.

    Attributes:
        id: Its name among all requests: the run's id and the address.
        run_id: The run that waits.
        address: Where in the run.
        kind: ``input`` (a HumanInput node), ``pause`` (asked from inside a step), ``event`` (a
            WaitForEvent node), ``in_doubt`` (an at-most-once step whose end is unknown), ``tool`` (a call of
            a tool that an agent wants to make) or ``policy`` (a policy wants a person to look at what a step
            is given, does or gives).
        prompt: Why it is asked, in words.
        subject: What it is about, as JSON.
        schema: The JSON Schema of the answer.
        actions: What a person may decide.
        asked_at: When.
        deadline: Until when, if there is a limit.
        digest: SHA-256, in hex, over what is shown: a decision is about exactly this.
        approvals: How many people must approve, each under a name of their own.
        approved_by: Who has approved so far, where that is not enough yet.
    """

    id: str
    run_id: str
    address: str
    kind: RequestKind
    prompt: str
    subject: Any
    schema: Mapping[str, Any]
    actions: tuple[Action, ...]
    asked_at: datetime
    deadline: datetime | None
    digest: str
    approvals: int = 1
    approved_by: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Decision(metaclass=Kind):
    """What a person decided about an :class:`Approval`.

    Attributes:
        action: ``approve`` (as shown), ``edit`` (``value`` instead) or ``deny``.
        value: The answer, where the action is ``edit``; it must fit the request's schema.
        reason: Why, in words.
        actor: Who decided.
        channel: By which way it came: ``python``, ``cli``, ….
        at: When.
        digest: The digest of what was shown; when given, it must be the request's.
    """

    action: Action
    value: Any = None
    reason: str = ""
    actor: str = ""
    channel: str = "python"
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    digest: str = ""

    def __post_init__(self) -> None:
        if self.action not in ("approve", "edit", "deny"):
            raise PipelineError(f"Decision(action={self.action!r})", fix='use "approve", "edit" or "deny"')
        if self.action != "edit" and self.value is not None:
            raise PipelineError(
                f"Decision({self.action!r}, value=…): only an edit gives a value",
                fix='use Decision("edit", value) to answer with it, or leave it out',
            )


@final
@dataclass(frozen=True, slots=True, init=False)
class HumanInput(Node[In, Out]):
    """A place where the run waits for a person; the answer is the output.

    The run ends as ``paused`` and goes on, maybe days later and in another process, when the request
    is answered. ``approve`` passes what was shown, where it fits the schema; ``edit`` gives a value of
    its own; ``deny`` goes to ``on_deny``, or fails the run.

    Args:
        prompt: Why it is asked: a text, or a function of the input (and the context, if it asks).
        schema: The type of the answer.
        subject: Gives what is shown from the input, likewise; the input itself when left out.
        on_deny: What runs, on the same input, when the person denies.
        timeout: How long an answer is taken; after it the node fails with ``WaitTimedOut``, or goes to
            ``on_timeout``, as soon as the run is resumed.
        on_timeout: What runs, on the same input, when nobody answered in time.
        name: Its name in addresses; ``human_input`` when left out.
    """

    prompt: str | Callable[Concatenate[Any, ...], str | Awaitable[str]]
    schema: Any
    subject: Callable[Concatenate[Any, ...], Any] | None
    on_deny: Node[Any, Any] | None
    timeout: timedelta | None
    on_timeout: Node[Any, Any] | None
    _name: str

    @overload
    def __init__(
        self: HumanInput[Any, str],
        prompt: str | Callable[Concatenate[Any, ...], str | Awaitable[str]],
        *,
        subject: Callable[Concatenate[Any, ...], Any] | None = None,
        on_deny: Node[Any, str] | None = None,
        timeout: timedelta | None = None,
        on_timeout: Node[Any, str] | None = None,
        name: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: HumanInput[Any, B],
        prompt: str | Callable[Concatenate[Any, ...], str | Awaitable[str]],
        schema: type[B],
        *,
        subject: Callable[Concatenate[Any, ...], Any] | None = None,
        on_deny: Node[Any, B] | None = None,
        timeout: timedelta | None = None,
        on_timeout: Node[Any, B] | None = None,
        name: str = "",
    ) -> None: ...
    def __init__(
        self,
        prompt: str | Callable[Concatenate[Any, ...], str | Awaitable[str]],
        schema: Any = str,
        *,
        subject: Callable[Concatenate[Any, ...], Any] | None = None,
        on_deny: Node[Any, Any] | None = None,
        timeout: timedelta | None = None,
        on_timeout: Node[Any, Any] | None = None,
        name: str = "",
    ) -> None:
        if not prompt or not (isinstance(prompt, str) or callable(prompt)):
            raise PipelineError(
                f"HumanInput({prompt!r}): no prompt", fix="pass a text, or a function of the input"
            )
        check_schema(schema, "HumanInput, schema")
        if subject is not None:
            check_function(subject, "HumanInput, subject")
        if on_deny is not None:
            check_node(on_deny, "HumanInput, on_deny")
        _check_timeout("HumanInput", timeout, on_timeout)
        object.__setattr__(self, "prompt", prompt)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "subject", subject)
        object.__setattr__(self, "on_deny", on_deny)
        object.__setattr__(self, "timeout", timeout)
        object.__setattr__(self, "on_timeout", on_timeout)
        object.__setattr__(self, "_name", check_name(name, "HumanInput, "))


@final
@dataclass(frozen=True, slots=True, init=False)
class Sleep(Node[In, Out]):
    """A wait of a given time; its input is its output.

    The due time is recorded when the wait begins: a resumed run waits only for what is left.

    Args:
        duration: How long.
        name: Its name in addresses; ``sleep`` when left out.
    """

    duration: timedelta
    _name: str

    def __init__(self: Sleep[A, A], duration: timedelta, *, name: str = "") -> None:
        check_time(duration, "Sleep, duration")
        object.__setattr__(self, "duration", duration)
        object.__setattr__(self, "_name", check_name(name, "Sleep, "))


@final
@dataclass(frozen=True, slots=True, init=False)
class WaitForEvent(Node[In, Out]):
    """A place where the run waits for an event from outside; the event's payload is the output.

    The run ends as ``paused`` and goes on when ``Flujo.signal(run_id, event, payload)`` delivers it.

    Args:
        event: The event's name.
        schema: The type of its payload.
        timeout: How long the run waits; after it the node fails with ``WaitTimedOut``, or goes to
            ``on_timeout``.
        on_timeout: What runs, on the same input, when the event did not come in time.
        name: Its name in addresses; the event's when left out.
    """

    event: str
    schema: Any
    timeout: timedelta | None
    on_timeout: Node[Any, Any] | None
    _name: str

    @overload
    def __init__(
        self: WaitForEvent[Any, Any],
        event: str,
        *,
        timeout: timedelta | None = None,
        on_timeout: Node[Any, Any] | None = None,
        name: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: WaitForEvent[Any, B],
        event: str,
        schema: type[B],
        *,
        timeout: timedelta | None = None,
        on_timeout: Node[Any, B] | None = None,
        name: str = "",
    ) -> None: ...
    def __init__(
        self,
        event: str,
        schema: Any = Any,
        *,
        timeout: timedelta | None = None,
        on_timeout: Node[Any, Any] | None = None,
        name: str = "",
    ) -> None:
        if not check_name(event, "WaitForEvent, event "):
            raise PipelineError("WaitForEvent(''): no event", fix="pass the event's name")
        check_schema(schema, "WaitForEvent, schema")
        _check_timeout("WaitForEvent", timeout, on_timeout)
        object.__setattr__(self, "event", event)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "timeout", timeout)
        object.__setattr__(self, "on_timeout", on_timeout)
        object.__setattr__(self, "_name", check_name(name or event, "WaitForEvent, "))


def _check_timeout(kind: str, timeout: timedelta | None, on_timeout: Node[Any, Any] | None) -> None:
    if timeout is not None:
        check_time(timeout, f"{kind}, timeout")
        if not timeout:
            raise PipelineError(f"{kind}(timeout={timeout!r})", fix="give a time greater than 0")
    if on_timeout is not None:
        check_node(on_timeout, f"{kind}, on_timeout")
        if timeout is None:
            raise PipelineError(f"{kind}(on_timeout=…) without a timeout", fix="pass timeout=timedelta(…)")


class PauseForHumanInput(Exception):
    """Raise it inside a step to ask a person: the answer becomes the step's output.

    To ask and then go on within the step, use ``await info.ask(prompt, schema)`` instead.

    Args:
        prompt: Why it is asked.
        schema: The type of the answer; the step's own output type when left out.
        subject: What is shown; any JSON value.
    """

    def __init__(self, prompt: str, schema: Any = None, *, subject: Any = None) -> None:
        super().__init__(prompt)
        self.prompt = prompt
        self.schema = schema
        self.subject = subject


class StopPipeline(Exception):
    """Raise it in a step or a hook to end the run with status ``stopped``.

    Args:
        reason: Why, in words; the result's ``reason``.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
