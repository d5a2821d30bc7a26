"""The door of a run: what enters it, and what leaves it at last, is judged before anything of it is written.

The input is judged when a run begins (``agent_start``) and its output when it ends (``agent_end``), by the
policies whose ``points`` say so. What else comes from outside is judged by their ``check_entry``: the context
that a run begins with, answers, events, what a fork changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from flujo.engine.build import Build
from flujo.engine.entry import entry_of, same_class
from flujo.engine.failures import denial_of
from flujo.engine.governed import Flowing
from flujo.engine.guard import Guard
from flujo.engine.judge import Judge, digest_of
from flujo.engine.opened import Opened, blank
from flujo.engine.record import Note, Recall
from flujo.engine.requests import Asked
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.engine.seen import Seen
from flujo.errors import AnswerRejected, HookFailed, InputError, PolicyDenied, RunError
from flujo.journal.events import EventKind
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.policy import Point
from flujo.pipeline.waits import Approval, Decision
from flujo.plan.nodes import PlanNode, PlanSequence, PlanStep
from flujo.plan.types import Type, recorded_input

if TYPE_CHECKING:
    from flujo.engine.fork import Revision

Written = tuple[EventKind, str, dict[str, Any]]


class Door:
    """What judges where a run begins and ends.

    Args:
        build: What the runner's walks are compiled with.
        judges: The policies of the runner.
        asks: Whether they are asked; otherwise only what is recorded counts.
    """

    def __init__(self, build: Build, judges: tuple[Judge, ...], *, asks: bool) -> None:
        plan = build.plan
        self._name, self._model = plan.name, plan.context_model
        self._guard = Guard(plan.name, plan.name, judges, asks=asks, step="")
        self._entry = entry_of(self._guard)
        self._input = _Passing(recorded_input(plan.root.input_type), "agent_start", plan.name)
        self._output = _Passing(plan.root.output_type, "agent_end", plan.name)
        self._first = _first_with_a_way_on(plan.root)

    @property
    def judges_entries(self) -> bool:
        """Whether anything judges what enters a run besides its input."""
        return self._entry.judges

    # Where a run begins

    async def enter(self, opened: Opened, value: Any) -> None:
        """Judge what a run begins with, and leave it in its place as it may be written.

        What policies said is kept until the beginning is recorded. A denied run begins with nothing, unless
        its first step has `on_denied`: that goes on with the input.

        Raises:
            PolicyDenied: The run may not begin.
            Asked: A person must decide first.
        """
        run, frame = opened.run, opened.frame
        aside = self._aside(run)
        begins = Frame(aside, "", frame.context, None, {})
        opened.withheld = True
        try:
            if self._entry.judges:
                frame.context = await self._entry.passed(
                    begins, "#context", "", "agent_start", frame.context, fits=same_class
                )
            seen = Seen(self._input, "", value)
            try:
                opened.value = await self._guard.passed(begins, seen)
            except Asked:
                opened.value = _shown(aside, value)
                opened.withheld = False
                raise
            except PolicyDenied as denied:
                if not self._first:
                    raise
                opened.value = value
                aside.note(*_over(self._first, denied))
            opened.withheld = False
        finally:
            opened.said += _said(aside)
            if opened.withheld:
                opened.value, frame.context = None, blank(self._model)

    def write(self, opened: Opened) -> None:
        """Record what policies said of what a run begins with, right after its beginning."""
        run = opened.run
        for kind, address, body in opened.said:
            if run.recorder is not None and "live" in body:
                live = body.pop("live")
                if kind == "policies":
                    body["bundle_ref"] = run.recorder.keep(live)
            run.note(kind, address, body)
            if kind == "step.attempt":
                run.notes.setdefault(address, []).append(Note(kind, body))
        opened.said.clear()

    def around(self, walk: Walk) -> Walk:
        """Return the walk of a whole run with what it gives judged, and what a person decided obeyed."""
        guard, entry, leaving = self._guard, self._input, self._output

        async def through(frame: Frame, value: Any) -> Any:
            run = frame.run
            try:
                if any(_holds_back(note) for note in run.noted("")):
                    value = await self._let_in(frame, Seen(entry, "", value))
                output = await walk(frame, value)
                if isinstance(output, Suspended):
                    return output
                return await guard.passed(frame, Seen(leaving, "", output))
            except Asked as question:
                return question.suspended
            except RunError as error:
                told = await self._told(frame, error)
                if told is error:
                    raise
                raise told from None

        return through

    async def leave(self, frame: Frame, output: Any) -> Any:
        """Return what a hook put in the place of a run's output, as it may be written.

        Raises:
            PolicyDenied: It may not be.
        """
        return await self._guard.passed(frame, Seen(self._output, "", output, asked=False))

    async def words(self, frame: Frame, text: str) -> str:
        """Return what is said of a whole run, such as why it was cancelled, as it may be written."""
        return await self._entry.words(frame, "#words", "", text)

    async def _told(self, frame: Frame, error: RunError) -> RunError:
        """Return how a failure between steps may be told: it quotes what the code there raised.

        Errors that mean something to whoever carries the run on stay what they are, and steps tell their own.
        """
        if type(error) not in (RunError, HookFailed):
            return error
        clean = await self.words(frame, error.message)
        return error if clean == error.message else type(error)(clean, fix=error.fix)

    async def _let_in(self, frame: Frame, seen: Seen) -> Any:
        """Return the input as a person let it in."""
        try:
            return await self._guard.passed(frame, seen)
        except PolicyDenied as denied:
            if not self._first:
                raise
            note = _over(self._first, denied)
            frame.run.note(*note)
            frame.run.notes.setdefault(self._first, []).append(Note(note[0], note[2]))
            return seen.data

    # What enters later

    async def answered(self, frame: Frame, asked: Approval, decision: Decision) -> Decision:
        """Return a person's decision as it may be written.

        Args:
            frame: Where the run stands.
            asked: What it answers.
            decision: What was decided.

        Raises:
            AnswerRejected: It may not be.
        """
        label = asked.address.partition("#")[0].rpartition("/")[2]
        try:
            if decision.action == "edit":
                value = await self._entry.passed(
                    frame, f"{asked.address}#entry", label, "input", decision.value
                )
                decision = replace(decision, value=value)
            if decision.reason:
                reason = await self._entry.passed(
                    frame, f"{asked.address}#entry", label, "input", decision.reason, fits=same_class
                )
                decision = replace(decision, reason=reason)
        except PolicyDenied as denied:
            await frame.run.commit(sure=True)
            raise _rejected(asked.address, denied) from denied
        return decision

    async def brought(self, frame: Frame, address: str, data: Any) -> Any:
        """Return what is brought to an address of a run, as it may be written: an event, a fork's change.

        Raises:
            AnswerRejected: It may not be.
        """
        label = address.rpartition("/")[2]
        try:
            return await self._entry.passed(frame, f"{address}#entry", label, "input", data)
        except PolicyDenied as denied:
            raise _rejected(address, denied) from denied

    async def revised(self, frame: Frame, revision: Revision) -> tuple[Revision, Sequence[Written]]:
        """Return what a fork changes as it may be written, and what policies said of it.

        Raises:
            InputError: It may not be.
        """
        run, at = frame.run, revision.at
        aside = Frame(self._aside(run), "", frame.context, None, {})
        try:
            if revision.input is not ...:
                revision = replace(revision, input=await self.brought(aside, at, revision.input))
            if revision.context:
                changed = await self.brought(aside, at, dict(revision.context))
                revision = replace(revision, context=changed)
        except AnswerRejected as rejected:
            raise InputError(rejected.message, fix=rejected.fix) from rejected
        return revision, [one for one in _said(aside.run) if one[0] == "verdict"]

    async def screened(self, run: Run, context: PipelineContext, value: Any) -> Any:
        """Return an input as it may be kept for runs to come; nothing is recorded.

        Raises:
            InputError: It may not be.
        """
        aside = Frame(self._aside(run), "", context, None, {})
        try:
            return await self._guard.passed(aside, Seen(self._input, "", value))
        except PolicyDenied as denied:
            raise InputError(denied.message.partition("): ")[2], fix=denied.fix) from denied
        except Asked:  # each run asks for itself
            return _shown(aside.run, value)

    def _aside(self, run: Run) -> Run:
        """Return a run like one, of which nothing is written."""
        aside = Run(
            run.id, clock=run.clock, threads=run.threads, recall=Recall({}, {}), recorder=None, observe=None,
            cache=run.cache, tenant=run.tenant,
        )  # fmt: skip
        aside.principal, aside.kept, aside.labels = run.principal, run.kept, run.labels
        return aside


class _Passing(Flowing):
    """What a whole run takes or gives, as it is judged."""

    def __init__(self, annotation: Type, point: Point, name: str) -> None:
        super().__init__(annotation, point)
        self._name = name

    @override
    def what(self, address: str) -> str:
        return f"the {'input' if self.point == 'agent_start' else 'output'} of {self._name!r}"

    @override
    def asks(self, address: str) -> str:
        return f"#gate/{self.point}"


def _first_with_a_way_on(node: PlanNode) -> str:
    """Return the address of the step that takes the run's input, where it has a way on from a denial."""
    while isinstance(node, PlanSequence):
        node = node.nodes[0]
    return node.label if isinstance(node, PlanStep) and node.denied is not None else ""


def _over(address: str, denied: PolicyDenied) -> Written:
    """Return the event that a step is over before it began: what is there for a denial goes on."""
    text = denied.message.partition("): ")[2]
    body = {"attempt": 1, "kind": "denied", "text": text, "again": False, "denied": denial_of(denied)}
    return "step.attempt", address, body


def _shown(run: Run, value: Any) -> Any:
    """Return what a person was shown of an input, as policies redacted it; the verdict is about that then."""
    verdict = run.live_notes[""][-1].body
    if "live" not in verdict:
        return value
    digest = digest_of(run.id, verdict["live"])
    for note in (*run.live_notes[""][-1:], *run.live_notes["#gate/agent_start"][-1:]):
        note.body["digest" if note.kind == "verdict" else "judged"] = digest
    return verdict["live"]


def _said(run: Run) -> list[Written]:
    """Return what was noted aside, the policies that the run keeps and the verdicts first."""
    told: list[Written] = [
        (note.kind, address, note.body) for address, notes in run.live_notes.items() for note in notes
    ]
    return sorted(told, key=lambda one: one[0] not in ("policies", "verdict"))


def _holds_back(note: Note) -> bool:
    """Say whether a note tells that a person had to let a run's input in."""
    return (
        note.kind == "verdict" and note.body["point"] == "agent_start" and note.body["verdict"] == "escalate"
    )


def _rejected(address: str, denied: PolicyDenied) -> AnswerRejected:
    rule = f", rule {denied.rule!r}" if denied.rule else ""
    why = f": {denied.reason}" if denied.reason else ""
    return AnswerRejected(
        f"{address}: the policy {denied.policy!r}{rule} does not let that in{why}",
        fix="give what the policy allows; the run waits for it",
    )
