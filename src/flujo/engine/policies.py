"""Policies as users write them: which methods they have, what those take, how they are set."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from hashlib import sha256
from typing import Any, Protocol, cast, final, runtime_checkable

from flujo.engine.judge import Check, Judge
from flujo.errors import ConfigError
from flujo.pipeline.checks import is_amount
from flujo.pipeline.policy import EVERYWHERE, WITHIN, GovernancePolicy, Mode, Point, PolicyContext

TIMEOUT = 5.0
"""Seconds within which a policy decides, where it does not say otherwise."""

_CHECKS = ("check_input", "check_tool", "check_output", "check_entry")
Called = Callable[[PolicyContext, Any], Any]


@final
@dataclass(frozen=True, slots=True)
class Named:
    """A policy with a name, and perhaps a mode, that others give it: a settings file does.

    Attributes:
        policy: The policy.
        id: Its name in the journal, whatever it calls itself.
        mode: Its mode, whatever it says itself; None: as it says.
    """

    policy: object
    id: str
    mode: Mode | None = None


@runtime_checkable
class _Input(Protocol):
    check_input: Callable[..., Any]


@runtime_checkable
class _Tool(Protocol):
    check_tool: Callable[..., Any]


@runtime_checkable
class _Output(Protocol):
    check_output: Callable[..., Any]


@runtime_checkable
class _Entry(Protocol):
    check_entry: Callable[..., Any]


@runtime_checkable
class _Named(Protocol):
    id: Any


@runtime_checkable
class _Versioned(Protocol):
    version: Any


@runtime_checkable
class _Timed(Protocol):
    timeout: Any


@runtime_checkable
class _Moded(Protocol):
    mode: Any


@runtime_checkable
class _Pointed(Protocol):
    points: Any


@runtime_checkable
class _Blocking(Protocol):
    blocking: Any


@runtime_checkable
class _LooksBack(Protocol):
    looks_back: Any


def judge_of(policy: object, place: str) -> Judge:
    """Return a policy as it is asked.

    Args:
        policy: An object with some of the methods of :class:`GovernancePolicy`.
        place: Where it was handed in.

    Raises:
        ConfigError: It is no policy, or one of its settings cannot work.
    """
    if isinstance(policy, Named):
        judge = judge_of(policy.policy, place)
        observes = judge.observes if policy.mode is None else policy.mode == "observe"
        return replace(judge, id=policy.id, observes=observes)
    if isinstance(policy, type):
        raise ConfigError(
            f"{place}: {policy.__qualname__} is a class", fix=f"pass an object: {policy.__qualname__}()"
        )
    stays = isinstance(policy, _Blocking) and bool(policy.blocking)
    checks = {name: _check(method, name, place, stays=stays) for name, method in _methods(policy)}
    if not checks:
        raise ConfigError(
            f"{place}: {policy!r} judges nothing: it has none of the methods {', '.join(_CHECKS)}",
            fix="derive from flujo.governance.GovernancePolicy, and override one of them",
        )
    timeout = policy.timeout if isinstance(policy, _Timed) else TIMEOUT
    if not is_amount(timeout) or not timeout:
        raise ConfigError(f"{place}: timeout={timeout!r} of {policy!r}", fix="use a number of seconds")
    mode = policy.mode if isinstance(policy, _Moded) else "enforce"
    if mode not in ("enforce", "observe"):
        raise ConfigError(f"{place}: mode={mode!r} of {policy!r}", fix='use "enforce" or "observe"')
    name = policy.id if isinstance(policy, _Named) else ""
    looks_back = isinstance(policy, _LooksBack) and bool(policy.looks_back)
    name = str(name or type(policy).__qualname__)
    observes = mode == "observe"
    points = _points(policy, place)
    return Judge(name, _version(policy), observes, float(timeout), checks, policy, looks_back, points)


def _points(policy: object, place: str) -> frozenset[Point]:
    """Return where a policy judges.

    Raises:
        ConfigError: It names a point that there is not.
    """
    if not isinstance(policy, _Pointed):
        return WITHIN
    given: Any = [policy.points] if isinstance(policy.points, str) else policy.points
    if not isinstance(given, Iterable) or not given:
        raise ConfigError(
            f"{place}: points={given!r} of {policy!r}", fix=f"use some of {', '.join(sorted(EVERYWHERE))}"
        )
    for point in cast("Iterable[object]", given):
        if not isinstance(point, str) or point not in EVERYWHERE:
            close = difflib.get_close_matches(str(point), EVERYWHERE, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"use some of {', '.join(sorted(EVERYWHERE))}"
            raise ConfigError(f"{place}: points of {policy!r} holds {point!r}", fix=fix)
    return frozenset(cast("Iterable[Point]", given))


def _methods(policy: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield a policy's methods by name, but for those that allow everything."""
    found: dict[str, Callable[..., Any]] = {}
    if isinstance(policy, _Input):
        found["check_input"] = policy.check_input
    if isinstance(policy, _Tool):
        found["check_tool"] = policy.check_tool
    if isinstance(policy, _Output):
        found["check_output"] = policy.check_output
    if isinstance(policy, _Entry):
        found["check_entry"] = policy.check_entry
    for name, method in found.items():
        if callable(method) and not _inherits(method, name):
            yield name, method


def _inherits(method: Callable[..., Any], name: str) -> bool:
    """Say whether a method is the one of GovernancePolicy, which allows everything."""
    return inspect.ismethod(method) and method.__func__ is vars(GovernancePolicy)[name]


def _check(method: Callable[..., Any], name: str, place: str, *, stays: bool) -> Check:
    """Return a method so that it is called with the context and what is judged.

    Raises:
        ConfigError: It takes something else.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(method).parameters.values()
    names = [one.name for one in parameters if one.kind in kinds]
    many = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    call = _called(method, name, ["", "", ""] if many else names)
    last = names[1:] if name != "check_tool" else ["context"] if names[:1] == ["context"] else []
    if call is None or last == ["context"]:  # in another order, each would be taken for the other
        takes = "tool_name, arguments, context" if name == "check_tool" else "context, data"
        raise ConfigError(f"{place}: {name} takes ({', '.join(names)})", fix=f"take ({takes})")
    return Check(call, is_async=inspect.iscoroutinefunction(method), stays=stays)


def _called(method: Callable[..., Any], name: str, names: Sequence[str]) -> Called | None:
    """Return how a method is called that may leave out parameters from the end; None where that cannot be."""

    def with_name(context: PolicyContext, data: Any) -> Any:
        return method(context.tool)

    def with_context(context: PolicyContext, data: Any) -> Any:
        return method(context.tool, context)

    def with_arguments(context: PolicyContext, data: Any) -> Any:
        return method(context.tool, data)

    def with_all(context: PolicyContext, data: Any) -> Any:
        return method(context.tool, data, context)

    if name == "check_tool":
        second = with_context if names[1:2] == ["context"] else with_arguments
        return {1: with_name, 2: second, 3: with_all}.get(len(names))
    return method if len(names) == 2 or (len(names) == 3 and not names[0]) else None


def _version(policy: object) -> str:
    """Return what tells a policy from what it was: its own word, or a digest of its source and settings."""
    if isinstance(policy, _Versioned) and policy.version:
        return str(policy.version)
    kind = type(policy)
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # typed in at a prompt
        source = f"{kind.__module__}.{kind.__qualname__}"
    settings = repr(policy) if is_dataclass(policy) else ""
    return sha256(f"{source}\n{settings}".encode()).hexdigest()[:16]
