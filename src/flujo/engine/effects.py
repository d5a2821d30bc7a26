"""What a step may do while it runs: recorded effects and questions."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from flujo.engine.record import Note, read_output, read_usage, usage_parts
from flujo.engine.requests import (
    Asked,
    accepted,
    answer_codec,
    answer_to,
    ask,
    asked,
    importable,
    misfit,
    moment,
    showed,
)
from flujo.engine.result import Chunk, RunEvent, ToolCalled
from flujo.engine.run import Run
from flujo.engine.threads import settled
from flujo.errors import EffectDiverged, PlanChanged, PolicyDenied, RecordError, RunError, RunTaken
from flujo.pipeline.info import Spending, StepInfo, Usage
from flujo.pipeline.node import check_name
from flujo.pipeline.waits import Decision
from flujo.plan.codec import Codec, Unrecordable, codec_for
from flujo.plan.jsonvalues import canonical
from flujo.plan.signature import SignatureProblem, returned_type

if TYPE_CHECKING:
    from flujo.engine.calls import EffectGuard
    from flujo.pipeline.effect import Effect, Question
    from flujo.pipeline.policy import Principal

_NO_LIMITS = frozenset[str]()
_NUMBERED = re.compile(r"-\d+$")


class StepEffects:
    """Answers what a step asks of its :class:`StepInfo`.

    Args:
        run: The run.
        asks: Whether it may ask a person.
        guard: What policies do around its effects: where its output is judged, nobody sees what it emits.
    """

    __slots__ = ("_asks", "_guard", "_run")

    def __init__(self, run: Run, *, asks: bool = True, guard: EffectGuard | None = None) -> None:
        self._run = run
        self._asks = asks
        self._guard = guard

    async def do(
        self, info: StepInfo, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a function once in the life of the run; see :meth:`StepInfo.do`."""
        address = _next_address(info, name)
        call = _call_facts(self._run.id, fn, args, kwargs)
        codec = _result_codec(fn, info, address)

        async def act(_: StepInfo) -> Any:
            threads = self._run.threads
            return await settled(
                fn(*args, **kwargs) if is_async(fn) else await threads.call(fn, *args, **kwargs)
            )

        def load(written: Any) -> Any:
            return read_output(codec, written, address)

        judged = None
        if self._guard is not None:
            from flujo.engine.calls import judged_call

            judged = judged_call(self._run, name, fn, args, kwargs)
        from flujo.pipeline.effect import Effect

        effect = Effect(name, 0, lambda keep: call, act, codec.dump, load, judged=judged)
        return await self._once(info, address, effect)

    async def perform(self, info: StepInfo, effect: Effect) -> Any:
        """Do work once in the life of the run; see :meth:`StepInfo.perform`."""
        return await self._once(info, _next_address(info, effect.kind, effect.number), effect)

    async def _once(self, info: StepInfo, address: str, effect: Effect) -> Any:
        """Return what an effect gave when it was done, or do it and record that."""
        run = self._run
        for note in run.noted(address):
            if note.kind == "effect":
                return await self._known(info, address, note.body, effect)
        if self._guard is not None:
            effect = await self._guard.before(info, address, effect, asks=self._asks)
        elif effect.judged is not None and "cleared_for" in effect.judged.facts:
            from flujo.pipeline.labels import unjudged

            raise unjudged(effect.judged.tool)
        if run.given_up:
            raise RunTaken(f"run {run.id} has ended; {info.address} was given up")
        recorder = run.recorder
        # Where nothing is recorded, what tells it from other work is looked at only if it is asked for again.
        told = {"describe": effect.describe} if recorder is None else effect.describe(recorder.keep)
        came: dict[str, Any] = {}
        part = info.inside(address)
        settled_by = self._settled(address) if effect.once else None
        if settled_by is not None and settled_by["action"] == "edit":
            output = effect.load(settled_by["value"])
        else:
            if effect.once:
                run.note("effect.started", address, {"attempt": info.attempt})
            await run.commit(sure=effect.once)
            output = await self._acted(address, effect, part)
        if part.usage:
            came = {"usage": usage_parts(part.usage), "within": self._attempt(info)}
        problem = None
        if self._guard is not None:
            output, problem, held = await self._guard.after(info, address, effect, output, asks=self._asks)
            came |= {} if problem is None else {"held": held}
        if recorder is not None:
            denied = isinstance(problem, PolicyDenied)
            written = b'"output":null' if denied else self._written(output, info, address, effect)
            recorder.append("effect", address, to_json({**told, **came})[:-1] + b"," + written + b"}")
            await recorder.commit(later=not (effect.awaited or effect.once))
            told = {"call": told["call"], "arguments": told["arguments"]}  # the rest is in the journal
        run.notes.setdefault(address, []).append(Note("effect", {**told, **came, "live": output}))
        if problem is not None:
            raise problem
        return output

    async def _acted(self, address: str, effect: Effect, part: StepInfo) -> Any:
        """Do the work of an effect; note where its own code does not know whether it was done."""
        try:
            return await effect.act(part)
        except RunError as error:
            from flujo.pipeline.tools import ToolInDoubt

            if effect.once and isinstance(error, ToolInDoubt):
                note = Note("effect.started", {"attempt": part.attempt})
                self._run.notes.setdefault(address, []).append(note)
            raise

    def _settled(self, address: str) -> Mapping[str, Any] | None:
        """Return what a person settled of an effect that began and whose end is unknown; None if none did.

        Raises:
            RequestDenied: The person denied.
        """
        run, doubted, unknown, answer = self._run, False, False, None
        for note in run.noted(address):
            if note.kind == "effect.started":
                unknown, answer = True, None
            elif note.kind == "request":  # others than this doubt may be asked here, before it begins
                doubted = note.body["kind"] == "in_doubt"
            elif note.kind == "answer" and doubted:
                unknown, answer = False, note.body
        if not unknown:
            if answer is not None and answer["action"] == "deny":
                accepted(answer, codec_for(Any), address)
            return answer
        raise Asked(
            asked(run, address)
            or ask(
                run,
                address,
                "in_doubt",
                f"{address} was started, and whether it took effect is not known: approve does it (again); "
                "edit gives its result, if it did take effect; deny fails the run",
                schema={},
            )
        )

    def _written(self, output: Any, info: StepInfo, address: str, effect: Effect) -> bytes:
        assert self._run.recorder is not None
        try:
            return self._run.recorder.written(effect.dump(output))
        except Unrecordable as error:
            raise RecordError(
                f"the result of {effect.kind!r} cannot be recorded: {error.message}",
                step=info.address,
                address=address,
                attempt=info.attempt,
                fix=error.fix,
            ) from error

    def _attempt(self, info: StepInfo) -> list[int]:
        """Return what tells an attempt, as its usage is recorded, from others of the step."""
        step = info.address.partition("#")[0]
        return [info.attempt, sum(note.kind == "step.discarded" for note in self._run.noted(step))]

    async def sleep(self, seconds: float) -> None:
        """Wait by the run's clock; see :meth:`StepInfo.sleep`."""
        await self._run.clock.sleep(seconds)

    def limits(self, info: StepInfo) -> frozenset[str]:
        """Say what quotas limit in a step; see :attr:`StepInfo.limits`."""
        if not self._run.holds:
            return _NO_LIMITS
        hold = self._run.holds.get(info.address.partition("#")[0])
        return frozenset() if hold is None else hold.limits

    async def _known(self, info: StepInfo, address: str, body: Mapping[str, Any], effect: Effect) -> Any:
        """Return what an effect gave; what it used counts again if its attempt ended without telling."""
        before = body["describe"](_hashed) if "describe" in body else body
        _check_same(address, before, effect.describe(_hashed))
        if body.get("within") == self._attempt(info):
            info.report(read_usage(body["usage"]))
        if self._guard is not None:
            self._guard.gave(address, effect)
        if "held" not in body:
            return await self._given(address, body, effect)
        if self._guard is None:
            raise PolicyDenied("a policy held it back", step=info.address, address=info.address)
        self._guard.check(info, address)
        output = await self._given(address, body, effect)
        gave = await self._guard.after(info, address, effect, output, asks=self._asks, held=body["held"])
        return gave.let_go()

    async def _given(self, address: str, body: Mapping[str, Any], effect: Effect) -> Any:
        """Return what a recorded effect gave."""
        recorder = self._run.recorder
        if "live" in body or recorder is None:
            return body["live"]
        written = await recorder.parsed(body)
        try:
            return effect.load(written)
        except ValueError:  # its text may hold what was recorded
            raise PlanChanged(
                f"what {address!r} gave was recorded in a form that cannot be read here",
                addresses=(address,),
                fix="resume the run with the versions of packages that it began with, or cancel it",
            ) from None

    async def ask(self, info: StepInfo, prompt: str, schema: Any, subject: Any) -> Any:
        """Return a person's answer, or unwind the step until there is one; see :meth:`StepInfo.ask`."""
        if not self._asks:
            raise RunError(f"{info.address}: nobody can be asked here", fix="ask in a step of its own")
        run, address = self._run, _next_address(info, "ask")
        codec = answer_codec(schema, address)
        answer = answer_to(run, address)
        if answer is not None:
            wrong = misfit(answer, codec)
            if not wrong:
                return accepted(answer, codec, address)
            prompt = f"{prompt} (the last answer does not fit: {wrong})"  # its type was not known then
        known = asked(run, address)
        if known is None and self._guard is not None:
            prompt, subject = await self._guard.asked(address, prompt, subject)
        raise Asked(
            known
            or ask(
                run,
                address,
                "pause",
                prompt,
                subject=subject,
                schema=codec.schema(),
                type_name=importable(schema),
                actions=("edit", "deny") if subject is None else ("approve", "edit", "deny"),
            )
        )

    async def decide(self, info: StepInfo, question: Question) -> Decision:
        """Return what a person decided, or unwind the step until then; see :meth:`StepInfo.decide`."""
        if not self._asks:
            raise RunError(f"{info.address}: nobody can be asked here", fix="ask in a step of its own")
        run, address = self._run, _next_address(info, question.kind, question.number)
        told = _digest(run.id, question.subject)
        same, prompt, subject = showed(run, address, told), question.prompt, question.subject
        answer = answer_to(run, address) if same else None
        if answer is not None:
            wrong = question.misfit(answer["value"]) if answer["action"] == "edit" else ""
            if not wrong:
                at = moment(answer["at"])
                said = (answer["reason"], answer["actor"], answer["channel"], at, answer["digest"])
                value = answer["value"] if answer["action"] == "edit" else None
                return Decision(answer["action"], value, *said)
            prompt = f"{prompt} (the last answer does not fit: {wrong})"
        known = asked(run, address) if same else None
        if known is None and self._guard is not None:
            prompt, subject = await self._guard.asked(address, prompt, subject)
        schema, more = question.schema, {"about": told}
        raise Asked(known or ask(run, address, "tool", prompt, subject=subject, schema=schema, more=more))

    def reserve(self, info: StepInfo, bound: Usage) -> AbstractAsyncContextManager[Spending]:
        """Set the upper bound of a part of a step aside; see :meth:`StepInfo.reserve`."""
        hold, spending = self._run.holds.get(info.address.partition("#")[0]), Spending(info, bound)
        if hold is None:
            return nullcontext(spending)
        from flujo.engine.hold import Part

        return Part(hold, spending)

    @property
    def principal(self) -> Principal:
        """On whose behalf the run goes; see :attr:`StepInfo.principal`."""
        from flujo.pipeline.policy import NOBODY, Principal

        # One that names only a tenant is enough for what belongs to tenants.
        return self._run.principal or (Principal("", tenant=self._run.tenant) if self._run.tenant else NOBODY)

    @property
    def watched(self) -> bool:
        """Whether somebody streams the run, and may see what the step emits."""
        return self._run.observe is not None and not self.judged_whole

    @property
    def judged_whole(self) -> bool:
        """Whether what the step gives is judged; see :attr:`StepInfo.judged_whole`."""
        return self._guard is not None and self._guard.judges_output

    async def emit(self, info: StepInfo, chunk: object) -> None:
        """Show a chunk to whoever streams the run; see :meth:`StepInfo.emit`."""
        await self._tell(Chunk(self._run.id, info.address, chunk))

    async def emit_tool_call(self, info: StepInfo, tool: str, arguments: Mapping[str, Any]) -> None:
        """Show a tool call to whoever streams the run; see :meth:`StepInfo.emit_tool_call`."""
        await self._tell(ToolCalled(self._run.id, info.address, tool, arguments))

    async def _tell(self, event: RunEvent) -> None:
        observe = self._run.observe
        if observe is not None and self.watched and not self._run.given_up:
            await observe.room()
            observe(event)


def _hashed(payload: bytes) -> str:
    return sha256(payload).hexdigest()


def _next_address(info: StepInfo, name: str, number: int = 0) -> str:
    """Return the address of a step's effect, the next of its name or by number: ``#card``, ``#card-2``."""
    if not number and (not name or _NUMBERED.search(check_name(name))):
        raise RunError(
            f"{info.address}: {name!r} cannot name an effect",
            fix="use a name that is not empty and does not end in '-' and a number",
        )
    count = info.counts[name] = number or info.counts.get(name, 0) + 1
    return f"{info.address}#{name}" if count == 1 else f"{info.address}#{name}-{count}"


def _call_facts(
    run_id: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what identifies a call, without its arguments' values."""
    given = {**{str(index): value for index, value in enumerate(args, 1)}, **kwargs}
    return {
        "call": getattr(fn, "__qualname__", "") or type(fn).__qualname__,
        "arguments": {key: _digest(run_id, value) for key, value in given.items()},
    }


def _digest(run_id: str, value: Any) -> str:
    """Return what tells an argument from another, in this run only."""
    written = json.dumps(canonical(value), sort_keys=True, ensure_ascii=False)
    return sha256(f"{run_id}\n{written}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _check_same(address: str, recorded: Mapping[str, Any], call: Mapping[str, Any]) -> None:
    if recorded["call"] == call["call"] and recorded["arguments"] == call["arguments"]:
        return
    before, now = recorded["arguments"], call["arguments"]
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    what = (
        f"{recorded['call']} was recorded, {call['call']} is asked for now"
        if recorded["call"] != call["call"]
        else f"{call['call']} is asked for with another argument {', '.join(map(repr, differing))}"
    )
    raise EffectDiverged(
        f"{address}: {what}",
        fix="let a step ask for the same effects in the same order on every attempt: decide only on its "
        "input, its context or another recorded effect",
    )


def is_async(fn: Callable[..., Any]) -> bool:
    """Say whether calling something gives what is to be awaited."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def _result_codec(fn: Callable[..., Any], info: StepInfo, address: str) -> Codec:
    try:
        return codec_for(returned_type(fn))
    except (SignatureProblem, Unrecordable) as error:
        raise RecordError(
            f"the result of {address!r} cannot be recorded: {error}",
            step=info.address,
            address=address,
            attempt=info.attempt,
            fix=error.fix,
        ) from error
