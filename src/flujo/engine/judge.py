"""Asking policies: each in its order, within its time, on a copy. What fails denies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

from flujo.engine.failures import raise_if_cancelled
from flujo.engine.threads import Rest, Threads, begun
from flujo.pipeline.checks import is_count
from flujo.pipeline.context import IMMUTABLE, clone
from flujo.pipeline.policy import (
    OBLIGATIONS,
    WITHIN,
    Mode,
    Nothing,
    Point,
    PolicyContext,
    PolicyDecision,
    Verdict,
)
from flujo.plan.jsonvalues import canonical

TRUSTED, QUICK = 16, 1e-3
"""How many answers in a row, and how quick (seconds), take a function out of the worker thread."""

_RANK = {Verdict.ALLOW: 0, Verdict.WARN: 1, Verdict.REDACT: 2, Verdict.ESCALATE: 3, Verdict.DENY: 4}


class _Late(Exception):
    """A policy's answer came too late."""


Begun = tuple[Any, BaseException | None, Any]


class Judgement(NamedTuple):
    """What several policies came to.

    Attributes:
        verdict: The strictest verdict that has force.
        data: What was judged, as they redacted it.
        by: What each decided, as it is recorded.
        policy: Who decided it; empty where all allowed.
        rule: By which rule.
        reason: Why.
        approvals: For an escalation: how many people must approve.
    """

    verdict: Verdict
    data: Any
    by: Sequence[Mapping[str, Any]] = ()
    policy: str = ""
    rule: str = ""
    reason: str = ""
    approvals: int = 1


class Check:
    """One method of a policy, called the same way whatever it takes.

    A function that is not ``async`` is called in a worker thread, where it can be given up, until it has
    shown that it answers at once; one that was slow goes back there.

    Args:
        call: Takes the context and what is judged.
        is_async: Whether it gives its answer only to those who await it.
        stays: Whether it always stays in a thread, however quick it is.
    """

    __slots__ = ("_call", "_quick", "_stays", "is_async")

    def __init__(self, call: Callable[[PolicyContext, Any], Any], *, is_async: bool, stays: bool) -> None:
        self._call = call
        self.is_async = is_async
        self._stays = stays
        self._quick = 0

    def begin(self, context: PolicyContext, data: Any, threads: Threads) -> Begun:
        """Ask, as far as that goes without waiting: see :func:`flujo.engine.threads.begun`."""
        if self.is_async or self._quick >= TRUSTED:
            return begun(self._call, context, data)
        return begun(threads.call, self._call, context, data)

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._quick = self._quick + 1 if seconds < QUICK and not self._stays else 0


@dataclass(frozen=True, slots=True)
class Judge:
    """One policy, ready to be asked.

    Attributes:
        id: Its name in the journal.
        version: What tells it from what it was before.
        observes: Whether its decisions have no force.
        timeout: Seconds that it may take.
        checks: What it judges, by the name of its method.
        policy: The policy itself.
        looks_back: Whether it judges by what the run did, so that it is asked about one thing at a time.
        points: Where it judges.
        allowed: How it is recorded that it simply allowed.
    """

    id: str
    version: str
    observes: bool
    timeout: float
    checks: Mapping[str, Check]
    policy: object
    looks_back: bool = False
    points: frozenset[Point] = WITHIN
    allowed: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", facts_of(self, PolicyDecision.ALLOW, force=not self.observes))

    @property
    def mode(self) -> Mode:
        """Whether its decisions have force."""
        return "observe" if self.observes else "enforce"

    async def decide(
        self, check: Check, context: PolicyContext, data: Any, threads: Threads, begun: Begun | None = None
    ) -> PolicyDecision:
        """Return what the policy decides about a copy of the data; what is no decision is one: it denies.

        Args:
            check: Which of its methods is asked.
            context: What it may know.
            data: What is judged.
            threads: Where functions are called that may block.
            begun: How the asking has begun, where it has.
        """
        plain = data.__class__ in IMMUTABLE
        given = data if plain else clone(data)
        before = b"" if plain else _written(given)
        began = perf_counter()
        answer, error, waits_for = begun or check.begin(context, given, threads)
        if waits_for is not None:
            answer, error = await _within(self.timeout, answer, waits_for)
        if isinstance(answer, Awaitable):  # of a function that is not async itself, around one that is
            answer, error, waits_for = _gone_on(cast("Awaitable[Any]", answer))
            if waits_for is not None:
                answer, error = await _within(self.timeout, answer, waits_for)
        took = perf_counter() - began
        check.took(took)
        if took > self.timeout or isinstance(error, _Late):
            return _failed(f"it gave no decision within {self.timeout:g} seconds")
        if isinstance(error, asyncio.CancelledError):
            return _failed("its own work was cancelled from inside")
        if error is not None:
            return _failed(f"it raised {_raised(error)}")
        redacts = answer.__class__ is PolicyDecision and answer.data is given
        if not (plain or redacts) and _written(given) != before:
            return _failed("it changed what it was to judge")
        if answer is PolicyDecision.ALLOW or answer is Verdict.ALLOW:
            return PolicyDecision.ALLOW
        return _understood(answer)


def _gone_on(answer: Awaitable[Any]) -> Begun:
    return begun(lambda: answer)


async def _within(limit: float, answer: Any, waits_for: Any) -> tuple[Any, BaseException | None]:
    try:
        async with asyncio.timeout(limit):
            return await Rest(answer, waits_for)
    except TimeoutError as late:
        return None, late
    except asyncio.CancelledError as cancelled:
        raise_if_cancelled(cancelled)
        return None, cancelled


Asking = Sequence[tuple[Judge, Check]]
"""Whom to ask, in order."""


Allowed = tuple[int, Begun | None]
NONE_YET: Allowed = (0, None)
"""How many policies have simply allowed, and how the asking of the next has begun."""


def allowing(asked: Asking, context: PolicyContext, data: Any, threads: Threads) -> Allowed:
    """Ask policies in order about what cannot be changed, for as long as they simply allow, at once.

    Returns:
        How many did; and, unless all did, how the asking of the next has begun.
    """
    if data.__class__ not in IMMUTABLE:
        return 0, None
    for index, (judge, check) in enumerate(asked):
        began = perf_counter()
        begun = check.begin(context, data, threads)
        took = perf_counter() - began
        if not check.is_async:
            check.took(took)
        answer = begun[0]
        allows = answer is PolicyDecision.ALLOW or answer is Verdict.ALLOW
        if not allows or took > judge.timeout:
            return index, begun if took <= judge.timeout else (None, _Late(), None)
    return len(asked), None


async def judged(
    asked: Asking,
    context: PolicyContext,
    data: Any,
    threads: Threads,
    *,
    after: Allowed = NONE_YET,
) -> Judgement | None:
    """Ask policies in order, each about the data as those before it redacted it; None where all simply allow.

    Args:
        asked: Whom to ask.
        context: What they may know.
        data: What is judged.
        threads: Where functions are called that may block.
        after: How many have simply allowed already, and how the asking of the next has begun.

    A denial ends the asking. Of the others the strictest counts: to ask a person before to redact, and that
    before to allow.
    """
    worst, decisive, whose, approvals = Verdict.ALLOW, PolicyDecision.ALLOW, "", 1
    by: list[Mapping[str, Any]] = []
    passed, begun = after
    by += [judge.allowed for judge, _ in asked[:passed]]
    for judge, check in asked[passed:]:
        decision = await judge.decide(check, context, data, threads, begun)
        begun = None
        if decision is PolicyDecision.ALLOW:
            by.append(judge.allowed)
            continue
        force = not (judge.observes if decision.mode is None else decision.mode == "observe")
        by.append(facts_of(judge, decision, force=force))
        if not force:
            continue
        verdict, asks = _obliged(decision)
        if verdict is Verdict.ESCALATE:
            approvals = max(approvals, asks)
        if decision.verdict is Verdict.REDACT:
            data = decision.data
        if _RANK[verdict] > _RANK[worst]:
            worst, decisive, whose = verdict, decision, judge.id
        if worst is Verdict.DENY:
            break
    if len(by) == len(asked) and all(one is judge.allowed for one, (judge, _) in zip(by, asked, strict=True)):
        return None
    return Judgement(worst, data, by, whose, decisive.rule, decisive.reason, approvals)


def digest_of(run_id: str, data: Any, labels: Collection[str] = ()) -> str:
    """Return what tells judged data, labelled so, from other data, in this run only: SHA-256, in hex."""
    written = b"%b\n%b" % (run_id.encode(), _written(data))
    return sha256(b"%b\n%b" % (written, _written(sorted(labels))) if labels else written).hexdigest()


def _written(data: Any) -> bytes:
    if data.__class__ is int:
        return b"%d" % data
    text = json.dumps(canonical(data), sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _understood(answer: object) -> PolicyDecision:
    """Return an answer as a decision: one that cannot be understood, or went wrong, denies."""
    match answer:
        case Verdict():
            decision = PolicyDecision(answer)
        case PolicyDecision():
            decision = answer
        case _:
            return _failed(f"it gave {type(answer).__name__}, which is no decision")
    if decision.errors:
        failed = _failed(f"it could not decide: {'; '.join(map(str, decision.errors))}")
        return replace(failed, rule=decision.rule, version=decision.version, inputs=decision.inputs)
    if decision.verdict is Verdict.REDACT and decision.data is Nothing.NOTHING:
        return _failed("it redacts, and gives nothing in the place of what it judged")
    unknown = sorted({*decision.obligations} - OBLIGATIONS)
    if unknown:
        return _failed(f"it obliges to {', '.join(map(repr, unknown))}, which nobody here knows")
    if not is_count(decision.approvals):
        return _failed(f"it asks for {decision.approvals!r} approvals")
    return decision


def _failed(what: str) -> PolicyDecision:
    return PolicyDecision(Verdict.DENY, "the policy failed, which denies", "", errors=(what,))


def _raised(error: BaseException) -> str:
    """Return what a policy raised and where; what that says may quote what the policy judged."""
    at, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        at, trace = (
            f" in {code.co_name}, line {trace.tb_lineno} of {Path(code.co_filename).name}",
            trace.tb_next,
        )
    return type(error).__name__ + at


def _obliged(decision: PolicyDecision) -> tuple[Verdict, int]:
    """Return a decision's verdict with what it obliges to, and how many approvals that asks for."""
    asks = {"approve": 1, "approve_by_two": 2}
    most = max((asks.get(one, 0) for one in decision.obligations), default=0)
    if not most:
        return decision.verdict, decision.approvals
    stricter = max(decision.verdict, Verdict.ESCALATE, key=_RANK.__getitem__)
    return stricter, max(most, decision.approvals)


def facts_of(judge: Judge, decision: PolicyDecision, *, force: bool) -> Mapping[str, Any]:
    """Return a decision as it is recorded."""
    facts: dict[str, Any] = {
        "policy": judge.id,
        "version": decision.version or judge.version,
        "verdict": decision.verdict.value,
    }
    said = {
        "rule": decision.rule,
        "reason": decision.reason,
        "errors": list(decision.errors),
        "obligations": list(decision.obligations),
        "mode": "" if force else "observe",
        "inputs": decision.inputs,
    }
    return facts | {name: what for name, what in said.items() if what}
