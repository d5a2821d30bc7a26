"""Effects under policies: a call of a tool, or a request to a model, is judged before it begins and after."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from pydantic_core import PydanticSerializationError, from_json, to_json

from flujo.engine.effects import is_async
from flujo.engine.entry import entry_of
from flujo.engine.guard import Guard
from flujo.engine.requests import Asked
from flujo.engine.run import Frame, Run
from flujo.engine.seen import Seen
from flujo.engine.threads import settled
from flujo.errors import PolicyDenied
from flujo.pipeline.effect import Effect, Judged
from flujo.pipeline.info import NO_FACTS, StepInfo
from flujo.pipeline.policy import Point
from flujo.plan.codec import codec_for
from flujo.plan.jsonvalues import canonical
from flujo.plan.signature import SignatureProblem, asked_types
from flujo.plan.unrecordable import Unrecordable


class Gave(NamedTuple):
    """What an effect gave, judged.

    Attributes:
        output: What it gave, as policies let it go on; where they ask a person, as they redacted it before.
        problem: What to raise as soon as it is recorded as done.
        held: What told it from other data before that, where they ask a person.
    """

    output: Any
    problem: Asked | PolicyDenied | None = None
    held: str = ""

    def let_go(self) -> Any:
        """Return the output, unless there is a problem."""
        if self.problem is not None:
            raise self.problem
        return self.output


class EffectGuard:
    """What guards the effects of one attempt.

    Args:
        guard: The guard of its step.
        frame: Where the step stands.
    """

    __slots__ = ("_frame", "_guard")

    def __init__(self, guard: Guard, frame: Frame) -> None:
        self._guard = guard
        self._frame = frame

    @property
    def judges_output(self) -> bool:
        """Whether any policy judges what the step gives, or what its effects do."""
        return self._guard.judges_output

    async def before(self, info: StepInfo, address: str, effect: Effect, *, asks: bool) -> Effect:
        """Return an effect as it may be done: as it is, or on other data.

        Raises:
            PolicyDenied: It may not be.
            Asked: A person must decide.
        """
        point: Point = "before_model" if _is_request(effect) else "before_tool"
        judged = effect.judged
        if judged is None:
            nothing = Seen(
                Given(effect.kind, point, NO_FACTS), address, {}, info.attempt, effect.kind, asked=asks
            )
            await self._guard.passed(self._frame, nothing)
            return effect
        if not self._guard.judges(point, self._frame.run, address, judged.facts):
            return effect
        given = passed = judged.given()
        for among in judged.facts.get("models", ("",)):
            facts = {**judged.facts, "model": among} if among else judged.facts
            kind = Given(judged.tool, point, passed, judged.load)
            seen = Seen(kind, address, passed, info.attempt, judged.tool, facts, asks, among=among)
            passed = await self._guard.passed(self._frame, seen)
        if passed is given:
            return effect
        passed = Given(judged.tool, point, given, judged.load).read(passed)  # as it is when the run goes on

        async def act(part: StepInfo) -> Any:
            return await judged.act(part, passed)

        describe = effect.describe if judged.described is None else judged.described(passed)
        return replace(effect, act=act, describe=describe)

    async def after(
        self, info: StepInfo, address: str, effect: Effect, output: Any, *, asks: bool, held: str = ""
    ) -> Gave:
        """Return what an effect gave as it may go on, and what to raise as soon as it is recorded as done.

        Args:
            info: The attempt.
            address: Of the effect.
            effect: The effect.
            output: What it gave; where that was held back, as it was recorded.
            asks: Whether a person may be asked about it.
            held: What tells what was held back from other data.
        """
        point: Point = "after_model" if _is_request(effect) else "after_tool"
        self.gave(address, effect)
        if not self._guard.judges(point, self._frame.run, address):
            return Gave(output)
        judged = effect.judged
        tool, facts = (effect.kind, NO_FACTS) if judged is None else (judged.tool, judged.facts)
        shown = output if judged is None else judged.shown(output)

        def replaced(data: Any) -> Any:
            return data if judged is None else judged.replaced(output, data)

        kind = Given(tool, point, shown, taken=lambda data: effect.dump(replaced(data)))
        problem, digest = None, ""
        seen = Seen(kind, address, shown, info.attempt, tool, facts, asks, digest=held)
        try:
            passed = await self._guard.passed(self._frame, seen)
        except PolicyDenied as denied:
            return Gave(output, denied)
        except Asked as question:
            problem = question
            passed, digest = question.judged or (shown, "")
        if passed is not shown:
            output = replaced(passed)
        return Gave(output, problem, digest)

    async def asked(self, address: str, prompt: str, subject: Any) -> tuple[str, Any]:
        """Return what is asked and shown as it may be written: see `Entry.asked`."""
        return await entry_of(self._guard).asked(self._frame, address, prompt, subject)

    def gave(self, address: str, effect: Effect) -> None:
        """Note what an effect gave, now or when it was recorded, for what comes of it."""
        gives: Iterable[str] = () if effect.judged is None else effect.judged.facts.get("gives", ())
        if gives:
            from flujo.engine.labels import gained

            gained(self._frame, address, self._guard.declassifies, gives)

    def check(self, info: StepInfo, address: str) -> None:
        """Raise the denial of what an effect gave, if that was denied."""
        denial = _denied(self._frame.run, address, self._guard.label, info.attempt)
        if denial is not None:
            raise denial


def _is_request(effect: Effect) -> bool:
    return effect.kind == "model" if effect.judged is None else not effect.judged.tool


class Given:
    """What an effect is given or gives, as it is judged.

    Args:
        tool: The tool; empty for a request to a model.
        point: Before it, or after it.
        given: What is judged.
        load: Returns of its parsed JSON what may take its place; as it is when left out.
        taken: Does with what would take its place what will be done, and raises where that cannot be; it is
            written and read when left out.
    """

    def __init__(
        self,
        tool: str,
        point: Point,
        given: Any,
        load: Callable[[Any], Any] | None = None,
        taken: Callable[[Any], object] | None = None,
    ) -> None:
        self.point: Point = point
        self._tool = tool
        self._given = given
        self._load = load
        self._taken = taken or self.read

    def read(self, data: Any) -> Any:
        """Return data as it is read where it was written.

        Raises:
            Unrecordable: It cannot be written.
            ValueError: It does not fit.
        """
        return self.load(from_json(self.dump(data)))

    def what(self, address: str) -> str:
        """Return what it is, in words."""
        if self.point in ("before_tool", "after_tool"):
            of = f"of {self._tool!r}, {address!r}"
            return f"the call {of}" if self.point == "before_tool" else f"what came of the call {of}"
        return f"the {'request' if self.point == 'before_model' else 'response'} {address!r}"

    def asks(self, address: str) -> str:
        """Return where a person is asked about it."""
        return f"{address}#gate/{self.point}"

    def dump(self, data: Any) -> bytes:
        """Return it as JSON.

        Raises:
            Unrecordable: It is none.
        """
        try:
            return to_json(canonical(data)) if self.point == "before_tool" else to_json(data)
        except (PydanticSerializationError, ValueError) as error:
            raise Unrecordable("it is no JSON", fix="give JSON, or judge it where it is") from error

    def load(self, written: Any) -> Any:
        """Return it of its parsed JSON.

        Raises:
            ValueError: It is none of arguments.
        """
        if self.point == "before_tool" and not isinstance(cast("object", written), Mapping):
            raise ValueError(f"{type(written).__name__} in the place of arguments by name")
        return written if self._load is None else self._load(written)

    def wrong(self, data: Any) -> str:
        """Return what is wrong with data that would take its place."""
        if isinstance(self._given, Mapping):
            if not isinstance(data, Mapping):
                return f"{type(data).__name__} in the place of {self._words()}"
            known = cast("Mapping[Any, Any]", self._given)
            unknown = sorted(map(str, cast("Mapping[Any, Any]", data).keys() - known.keys()))
            if self.point == "before_tool" and unknown:
                return f"the arguments {', '.join(unknown)}, which the call does not have"
        try:
            self._taken(data)
        except (Unrecordable, ValueError) as error:  # its text may quote the data
            kind, why = type(cast("object", data)).__name__, type(error).__name__
            return f"{kind} in the place of {self._words()}, which does not fit ({why})"
        return ""

    def _words(self) -> str:
        return "arguments by name" if self.point == "before_tool" else "what was judged"

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of what may take its place."""
        return {}


def judged_call(
    run: Run, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Judged:
    """Return what policies judge of a function that a step calls as an effect."""
    try:
        bound = inspect.signature(fn).bind(*args, **kwargs)
        given: dict[str, Any] = dict(bound.arguments)
    except (TypeError, ValueError):  # builtins that do not tell, or a call that will fail by itself
        bound, given = None, {**{str(at): value for at, value in enumerate(args, 1)}, **kwargs}

    def load(written: Any) -> Any:
        """Return arguments of their JSON: those that are the same as they were, the others by their types."""
        known = inspect.signature(fn).parameters if bound is not None else dict[str, inspect.Parameter]()
        if unknown := [name for name in written if known and name not in known]:
            raise ValueError(f"there is no argument {unknown[0]!r}")
        for one in known.values():
            needed = one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            if needed and one.name not in written:
                raise ValueError(f"the argument {one.name!r} is missing")
        kinds = _types(fn)
        return {
            key: given[key]
            if key in given and from_json(to_json(canonical(given[key]))) == value
            else codec_for(kinds.get(key, Any)).load_parsed(value)
            for key, value in written.items()
        }

    async def act(part: StepInfo, data: Mapping[str, Any]) -> Any:
        now_args, now_kwargs = args, dict(kwargs)
        if bound is None:
            now_args = tuple(data.get(str(at), value) for at, value in enumerate(args, 1))
            now_kwargs = {key: data.get(key, value) for key, value in kwargs.items()}
        else:
            bound.arguments.clear()
            bound.arguments.update(data)
            now_args, now_kwargs = bound.args, bound.kwargs
        if is_async(fn):
            return await fn(*now_args, **now_kwargs)
        return await settled(await run.threads.call(fn, *now_args, **now_kwargs))

    return Judged(name, lambda: given, load, act)


def _denied(run: Run, address: str, step: str, attempt: int) -> PolicyDenied | None:
    """Return the denial of what an effect gave, as it is recorded; None where that was not denied."""
    for note in run.noted(address):
        body = note.body
        if (
            note.kind == "verdict"
            and body["point"] in ("after_tool", "after_model")
            and body["verdict"] == "deny"
        ):
            told = {name: body.get(name, "") for name in ("policy", "rule", "reason", "point", "tool")}
            said = f"what came of {address!r} was denied by the policy {told['policy']!r}"
            if told["reason"]:
                said += f": {told['reason']}"
            return PolicyDenied(said, step=step, address=address.partition("#")[0], attempt=attempt, **told)
    return None


def _types(fn: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return asked_types(fn)
    except SignatureProblem:
        return {}
