"""The guard of a step: what policies say of its input, its effects and its output, recorded and obeyed.

A verdict is an event at the address of what was judged. One that is recorded is not asked for again: it holds
for what has the same digest. So an approval is good for exactly what was shown, and what a person edited is
judged anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from flujo.engine.declared import clearing, declared, holds_of, labelled, of_data
from flujo.engine.failures import described
from flujo.engine.judge import NONE_YET, Allowed, Asking, Judge, Judgement, allowing, digest_of, judged
from flujo.engine.kept import KeptPolicy, as_begun
from flujo.engine.requests import Asked, answer_about, approved_at, ask, asked
from flujo.engine.seen import RunDesk, Seen, deeds_of
from flujo.errors import PolicyDenied, RecordError
from flujo.pipeline.policy import (
    NO_ATTRIBUTES,
    WITHIN,
    Point,
    PolicyContext,
    Verdict,
)
from flujo.plan.nodes import PlanStep
from flujo.plan.unrecordable import Unrecordable

if TYPE_CHECKING:
    from flujo.engine.run import Frame, Run

_METHODS: Mapping[Point, str] = {
    "agent_start": "check_input",
    "input": "check_input",
    "before_model": "check_input",
    "after_model": "check_output",
    "before_tool": "check_tool",
    "after_tool": "check_output",
    "output": "check_output",
    "agent_end": "check_output",
}
# What a run is given goes into a step, and what a step gives is what the run gives.
_OTHER_END: Mapping[Point, Point] = {"input": "agent_start", "agent_end": "output"}
_TOLD = ("policy", "rule", "reason", "approvals")


class Guard:
    """What guards one step, or where whole runs begin and end.

    Args:
        label: The step, or the pipeline.
        pipeline: The pipeline.
        judges: The policies.
        asks: Whether they are asked; otherwise only what is recorded counts.
        step: What policies are told of the step, where that is something else.
        plan: The step, if it is one.
        method: What they are asked by at every point, where that is `check_entry`.

    Attributes:
        label: The step, or the pipeline.
        pipeline: The pipeline.
        judges_all: The policies that are asked.
        keeps: Whether runs keep any of the policies.
        judges_input: Whether anything judges what goes in.
        judges_output: Whether anything judges what comes out.
        clears: Whether the step declares what it may be given.
        declassifies: What it takes away.
    """

    def __init__(
        self,
        label: str,
        pipeline: str,
        judges: Sequence[Judge],
        *,
        asks: bool,
        step: str | None = None,
        plan: PlanStep | None = None,
        method: str = "",
    ) -> None:
        self.label = label
        self._step = label if step is None else step
        self.judges_all = judges if asks else ()
        self.pipeline = pipeline
        self._methods = dict.fromkeys(_METHODS, method) if method else _METHODS
        self._asking: dict[Point, Asking] = {
            point: [
                (judge, judge.checks[name])
                for judge in judges
                if asks and name in judge.checks and ("agent_start" if method else point) in judge.points
            ]
            for point, name in self._methods.items()
        }
        self._asks = asks
        self._declared: Mapping[str, Any] = {} if plan is None else declared(plan.node)
        self.declassifies = None if plan is None else plan.node.declassifies
        self.clears = asks and "cleared_for" in self._declared
        if plan is not None and self.clears:
            more = self._asking["input"] if plan.signature.input else ()
            self._asking["input"] = [*clearing("check_input"), *more]
        self.keeps = any(isinstance(judge.policy, KeptPolicy) for judge in judges)
        self._looks_back = any(judge.looks_back for judge in judges)
        self.judges_input = self.clears or _judges(judges, "check_input")
        self.judges_output = _judges(judges, "check_output")

    def judges(self, point: Point, run: Run, address: str, facts: Mapping[str, Any] = NO_ATTRIBUTES) -> bool:
        """Say whether anything judges at a point, or did so here before."""
        return bool(self._asking[point]) or address in run.notes or facts.get("cleared_for") is not None

    def _asking_about(self, seen: Seen) -> Asking:
        """Return whom to ask: of a tool that declares what it is cleared for, that first."""
        asking = self._asking[seen.kind.point]
        cleared = seen.tool and seen.kind.point == "before_tool" and seen.facts.get("cleared_for") is not None
        return [*clearing("check_tool"), *asking] if cleared and self._asks else asking

    async def passed(self, frame: Frame, seen: Seen) -> Any:
        """Return data as it may go on: as it is, redacted, or as a person edited it.

        Raises:
            PolicyDenied: It may not.
            Asked: A person must decide.
        """
        run, seen = frame.run, labelled(frame, seen, self._declared)
        while True:
            digest = _told_by(run, seen)
            judgement = await self._recorded(run, seen, digest) if seen.address in run.notes else None
            if judgement is None:
                asking = self._asking_about(seen)
                if not asking:
                    return seen.data
                if self._looks_back:
                    async with deeds_of(run).turn:
                        judgement = await self._judged(frame, seen, digest, asking)
                elif self.keeps:
                    judgement = await self._judged(frame, seen, digest, asking)
                else:
                    context = self._context(frame, seen)
                    allowed = allowing(asking, context, seen.data, run.threads)
                    if allowed[0] == len(asking):
                        self._note_allowed(run, seen, digest, [judge.allowed for judge, _ in asking])
                        return seen.data
                    judgement = await self._judged(frame, seen, digest, asking, context, allowed)
                if judgement is None:
                    return seen.data
            match judgement.verdict:
                case Verdict.DENY:
                    raise self.denial(seen, judgement)
                case Verdict.ESCALATE:
                    answer = self._decided(run, seen, judgement, digest)
                    if answer["action"] == "approve":
                        return judgement.data
                    edited, wrong = self._edited(seen, answer)
                    if wrong:
                        raise self._question(run, seen, judgement, digest, wrong)
                    seen = seen._replace(data=edited, digest="")
                case _:
                    return judgement.data

    async def _recorded(self, run: Run, seen: Seen, digest: str) -> Judgement | None:
        """Return what policies said before of exactly this; None where they were not asked."""
        for note in reversed(run.noted(seen.address)):
            body = note.body
            if note.kind == "verdict" and body["point"] == seen.kind.point and body["digest"] == digest:
                data = seen.data
                if "live" in body:
                    data = body["live"]
                elif run.recorder is not None and ("output" in body or "output_ref" in body):
                    data = seen.kind.load(await run.recorder.parsed(body))
                told = {
                    name: body[name] for name in ("policy", "rule", "reason", "approvals") if name in body
                }
                return Judgement(Verdict(body["verdict"]), data, body["by"], **told)
        return None

    def _context(self, frame: Frame, seen: Seen) -> PolicyContext:
        desk, point = RunDesk(frame, self.pipeline), seen.kind.point
        holds = holds_of(frame.run, seen)
        return PolicyContext(point, self._step, seen.address, desk, seen.tool, seen.facts, holds)

    async def _judged(
        self,
        frame: Frame,
        seen: Seen,
        digest: str,
        asking: Asking,
        context: PolicyContext | None = None,
        allowed: Allowed = NONE_YET,
    ) -> Judgement | None:
        """Ask the policies, and record what they said; None where all simply allow."""
        run, kind = frame.run, seen.kind
        if self.keeps:
            asking = await as_begun(run, self.pipeline, asking, self._methods[kind.point])
        context = context or self._context(frame, seen)
        judgement = await judged(asking, context, seen.data, run.threads, after=allowed)
        if judgement is None:
            self._note_allowed(run, seen, digest, [judge.allowed for judge, _ in asking])
            return None
        if judgement.data is not seen.data and (wrong := kind.wrong(judgement.data)):
            reason = f"the policy failed, which denies: it gave {wrong}"
            judgement = judgement._replace(verdict=Verdict.DENY, reason=reason)
        self._note(run, seen, digest, judgement)
        return judgement

    def _note_allowed(self, run: Run, seen: Seen, digest: str, by: Sequence[Mapping[str, Any]]) -> None:
        body = {"point": seen.kind.point, "verdict": "allow", "digest": digest, "by": by}
        run.note("verdict", seen.address, body | of_data(run, seen))

    def _note(self, run: Run, seen: Seen, digest: str, judgement: Judgement) -> None:
        """Record a verdict, with what takes the place of what was judged."""
        point, verdict = seen.kind.point, judgement.verdict
        body: dict[str, Any] = {
            "point": point,
            "verdict": verdict.value,
            "digest": digest,
            "by": judgement.by,
        }
        body |= of_data(run, seen)
        if judgement.policy:
            told = {"policy": judgement.policy, "rule": judgement.rule, "reason": judgement.reason}
            body |= {name: text for name, text in told.items() if text}
        if judgement.approvals != 1:
            body["approvals"] = judgement.approvals
        replaced = judgement.data is not seen.data and judgement.verdict is not Verdict.DENY
        if run.recorder is None:
            run.note("verdict", seen.address, {**body, "live": judgement.data} if replaced else body)
            return
        written = to_json(body)
        if replaced:
            written = written[:-1] + b"," + run.recorder.written(self._dumped(seen, judgement.data)) + b"}"
        elif self.keeps and point == "before_tool" and verdict is not Verdict.DENY:
            # What was called is in the journal as a digest only; other policies may be tried on it later.
            member = run.recorder.written(self._dumped(seen, seen.data)).replace(b'"output', b'"judged', 1)
            written = written[:-1] + b"," + member + b"}"
        run.recorder.append("verdict", seen.address, written)

    def _dumped(self, seen: Seen, data: Any) -> bytes:
        try:
            return seen.kind.dump(data)
        except Unrecordable as error:
            raise RecordError(
                f"what takes the place of {seen.kind.what(seen.address)} cannot be recorded: {error.message}",
                step=self.label,
                address=seen.address,
                attempt=seen.attempt,
                fix=error.fix,
            ) from error

    def _question(
        self, run: Run, seen: Seen, judgement: Judgement, digest: str, wrong: str = ""
    ) -> BaseException:
        """Return what unwinds the step until a person has decided; a denial where nobody can be asked.

        Args:
            run: The run.
            seen: What is judged.
            judgement: What policies said.
            digest: What tells it.
            wrong: What is wrong with what was put in its place, where they are asked again.
        """
        if not seen.asked:
            return self.denial(seen, judgement)
        asks = seen.kind.asks(seen.address)
        waiting = [note for note in run.noted(asks) if note.kind in ("request", "answer")]
        if waiting and waiting[-1].kind == "request" and waiting[-1].body.get("judged") == digest:
            known = asked(run, asks)
            assert known is not None
            return Asked(known, (judgement.data, digest))
        why = f": {judgement.reason}" if judgement.reason else ""
        why += f" (what was put in its place does not fit: {wrong})" if wrong else ""
        return Asked(
            ask(
                run,
                asks,
                "policy",
                f"{judgement.policy} asks for approval of {seen.kind.what(seen.address)}{why}",
                subject=from_json(self._dumped(seen, judgement.data)),
                schema=seen.kind.schema(),
                more={"judged": digest, "approvals": judgement.approvals, "policy": judgement.policy},
            ),
            (judgement.data, digest),
        )

    def _decided(self, run: Run, seen: Seen, judgement: Judgement, digest: str) -> Mapping[str, Any]:
        """Return what a person decided, other than to deny.

        Raises:
            PolicyDenied: They denied, or nobody can be asked.
            Asked: They have not decided yet.
        """
        answer = answer_about(run, seen.kind.asks(seen.address), digest)
        if answer is None and (other := _OTHER_END.get(seen.kind.point)) is not None:
            answer = approved_at(run, f"#gate/{other}", digest, judgement.policy, judgement.approvals)
        if answer is None:
            raise self._question(run, seen, judgement, digest)
        if answer["action"] == "deny":
            raise self.denial(seen, judgement, answer)
        return answer

    def _edited(self, seen: Seen, answer: Mapping[str, Any]) -> tuple[Any, str]:
        """Return what a person put in the place of what was judged, or what is wrong with that."""
        try:
            data = seen.kind.load(answer["value"])
            return data, seen.kind.wrong(data)
        except (Unrecordable, ValueError) as error:
            return None, described(error)

    def denial(
        self, seen: Seen, judgement: Judgement, answer: Mapping[str, Any] | None = None
    ) -> PolicyDenied:
        """Return the error that says who denied what, by which rule and why."""
        address = seen.address.partition("#")[0] or self.label
        by = f"the policy {judgement.policy!r}" + (f", rule {judgement.rule!r}" if judgement.rule else "")
        reason = judgement.reason
        if answer is not None:
            by, reason = f"{answer['actor'] or 'somebody'}, whom {by} had asked", answer["reason"]
        elif judgement.verdict is Verdict.ESCALATE:
            by = f"{by}, since nobody can be asked here"
        return PolicyDenied(
            f"{seen.kind.what(seen.address)} was denied by {by}" + (f": {reason}" if reason else ""),
            step=self.label,
            address=address,
            attempt=seen.attempt,
            policy=judgement.policy,
            rule=judgement.rule,
            reason=reason,
            point=seen.kind.point,
            tool=seen.tool,
        )


def _told_by(run: Run, seen: Seen) -> str:
    """Return what tells what is judged from what else is judged in a run."""
    return seen.digest or digest_of(run.id, [seen.among, seen.data] if seen.among else seen.data, seen.labels)


def _judges(judges: Sequence[Judge], method: str) -> bool:
    """Say whether any policy judges within a run by a method."""
    points = {point for point, name in _METHODS.items() if name == method and point in WITHIN}
    return any(method in judge.checks and judge.points & points for judge in judges)
