"""What a callable asks for: its input, the context, the step's info, earlier outputs."""

import functools
import inspect
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, NoneType
from typing import Annotated, Any, cast, get_args, get_origin

from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.step import From
from flujo.plan.types import Type, members


class SignatureProblem(Exception):
    """A callable asks for something that a pipeline cannot give.

    A signal inside Flujo, which knows no place yet: users get it as a problem of a ``PlanError``, or as a
    ``RecordError``.

    Attributes:
        fix: What its author may do.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Signature:
    """How a callable is called, and what it gives.

    Attributes:
        call: The callable: the function, or the agent's ``run``.
        is_async: Whether calling it gives an awaitable rather than blocking.
        input: The parameter that takes the input; empty when it takes none.
        first: Whether the input is passed by position.
        input_type: The type it asks for.
        context: The parameter that takes the context; empty when it asks for none.
        context_type: The context class it asks for.
        info: The parameter that takes the StepInfo; empty when it asks for none.
        named: Parameters that take the output of an earlier node: the node's name by parameter.
        named_types: The types that those ask for.
        output_type: What it gives.
    """

    call: Callable[..., Any]
    is_async: bool
    input: str = ""
    first: bool = True
    input_type: Type = Any
    context: str = ""
    context_type: type[PipelineContext] = PipelineContext
    info: str = ""
    named: Mapping[str, str] = field(default_factory=lambda: MappingProxyType[str, str]({}))
    named_types: Mapping[str, Type] = field(default_factory=lambda: MappingProxyType[str, Type]({}))
    output_type: Type = Any

    @property
    def is_plain(self) -> bool:
        """Whether it takes the input by position and nothing else."""
        return bool(self.input and self.first and not (self.context or self.info or self.named))


def read_signature(
    agent: Any, inputs: Mapping[str, str] = MappingProxyType({}), *, streams: bool = False
) -> Signature:
    """Return how an agent, a predicate or another of a pipeline's callables is called.

    Args:
        agent: A callable, or an object with ``run``.
        inputs: Parameters that take the output of the node named.
        streams: Whether it may give its output piece by piece.

    Raises:
        SignatureProblem: A parameter has no source, or an annotation cannot be resolved.
    """
    call = _callable(agent)
    inner = unwrapped(call)
    if inspect.isgeneratorfunction(inner) or (inspect.isasyncgenfunction(inner) and not streams):
        raise SignatureProblem(
            "the function is a generator: it would give its output piece by piece",
            fix="return the whole value"
            if inspect.isgeneratorfunction(inner) and not streams
            else "make it an async generator, `async def` with `yield`"
            if streams
            else "return the whole value, or make it a StreamingStep",
        )
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):  # builtins that do not tell
        return Signature(call, is_async=False, input="value")
    hints = _hints(inner)
    found: dict[str, Any] = {
        "named": dict(inputs),
        "named_types": {key: hints.get(key, Any) for key in inputs},
    }
    missing = sorted(set(inputs) - {parameter.name for parameter in parameters})
    if missing and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        raise SignatureProblem(
            f"inputs names {', '.join(map(repr, missing))}, which the function does not take",
            fix=f"choose from {', '.join(parameter.name for parameter in parameters) or 'nothing'}",
        )
    for index, parameter in enumerate(parameters):
        _assign(parameter, index, hints.get(parameter.name, Any), found)
    return Signature(
        call,
        is_async=inspect.iscoroutinefunction(inner),
        input=found.get("input", ""),
        first=found.get("first", True),
        input_type=found.get("input_type", Any),
        context=found.get("context", ""),
        context_type=found.get("context_type", PipelineContext),
        info=found.get("info", ""),
        named=MappingProxyType(found["named"]),
        named_types=MappingProxyType(found["named_types"]),
        output_type=_awaited(hints.get("return", Any)),
    )


def returned_type(function: Callable[..., Any]) -> Type:
    """Return what a function is annotated to give; Any where it does not tell.

    Raises:
        SignatureProblem: An annotation cannot be resolved.
    """
    return _awaited(_hints(unwrapped(function)).get("return", Any))


def asked_types(function: Callable[..., Any]) -> Mapping[str, Type]:
    """Return what a function's parameters are annotated with, by name.

    Raises:
        SignatureProblem: An annotation cannot be resolved.
    """
    return _hints(unwrapped(function))


def _assign(parameter: inspect.Parameter, index: int, hint: Type, found: dict[str, Any]) -> None:
    """Decide where one parameter's value comes from."""
    name = parameter.name
    source = (
        next((mark for mark in get_args(hint)[1:] if isinstance(mark, From)), None)
        if _annotated(hint)
        else None
    )
    bare = get_args(hint)[0] if _annotated(hint) else hint
    present = [member for member in members(bare) if member is not NoneType]
    wanted = present[0] if len(present) == 1 else bare  # `StepInfo | None` asks for it as well
    if name in found["named"] or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return
    if source is not None:
        found["named"][name] = source.node
        found["named_types"][name] = bare
    elif _is_class(wanted, PipelineContext):
        found["context"], found["context_type"] = name, wanted
    elif _is_class(wanted, StepInfo):
        found["info"] = name
    elif "input" not in found and (parameter.default is parameter.empty or index == 0):
        found["input"], found["input_type"], found["first"] = name, hint, index == 0
    elif parameter.default is parameter.empty:
        raise SignatureProblem(
            f"parameter {name!r} has no source",
            fix=f'name one: inputs={{"{name}": step.output}}, or annotate it: From("step"), PipelineContext, '
            "StepInfo",
        )


def _callable(agent: Any) -> Callable[..., Any]:
    run = getattr(agent, "run", None)
    if callable(agent) and not (
        run is not None and not inspect.isroutine(agent) and not inspect.isclass(agent)
    ):
        return cast("Callable[..., Any]", agent)
    return cast("Callable[..., Any]", run)


def unwrapped(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that annotations are read from: inside partials, decorators and objects."""
    while isinstance(call, functools.partial):
        call = call.func
    call = inspect.unwrap(call)
    if not (inspect.isroutine(call) or inspect.isclass(call)):
        return type(call).__call__
    return call


def _hints(call: Callable[..., Any]) -> dict[str, Type]:
    if inspect.isclass(call):
        return {**_hints(call.__init__), "return": call}
    local: dict[str, Any] = dict(inspect.getclosurevars(call).nonlocals) if inspect.isfunction(call) else {}
    try:
        return typing.get_type_hints(call, localns=local or None, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        if isinstance(error, TypeError) and not inspect.isfunction(call):
            return {}  # builtins carry no annotations
        raise SignatureProblem(
            f"its annotations cannot be resolved: {error}", fix="define the type at the top of a module"
        ) from None


def _annotated(hint: Type) -> bool:
    return get_origin(hint) is Annotated


def _is_class(hint: Type, kind: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, kind)


def _awaited(hint: Type) -> Type:
    """Return what awaiting gives, where a plain function is annotated to return an awaitable."""
    origin = get_origin(hint)
    if origin is not None and isinstance(origin, type) and origin is not AsyncGenerator:
        if issubclass(origin, Coroutine):
            return get_args(hint)[2]
        if origin is Awaitable:
            return get_args(hint)[0]
    return hint
