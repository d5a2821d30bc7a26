"""What enters a run besides its input, or its context by its steps: judged by ``check_entry``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from flujo.engine.declared import holds_of, labelled
from flujo.engine.judge import Asking, Judgement, digest_of, judged
from flujo.engine.kept import as_begun
from flujo.engine.seen import RunDesk, Seen
from flujo.errors import PolicyDenied
from flujo.pipeline.policy import Point, PolicyContext, Verdict

if TYPE_CHECKING:
    from flujo.engine.guard import Guard
    from flujo.engine.run import Frame
    from flujo.pipeline.context import PipelineContext

Fits = Callable[[Any, Any], bool]
Changes = Callable[[Any], Awaitable[Any]]


class Entry:
    """Judges what enters, before anything of it is written; nobody can be asked about it.

    Args:
        guard: What guards the step, or the whole run.
        asking: Whom to ask.
    """

    def __init__(self, guard: Guard, asking: Asking) -> None:
        self._guard = guard
        self._asking = asking

    @property
    def judges(self) -> bool:
        """Whether anything judges what enters."""
        return bool(self._asking)

    async def passed(
        self, frame: Frame, address: str, step: str, point: Point, data: Any, *, fits: Fits | None = None
    ) -> Any:
        """Return data as it may be written; what was said is noted, the data is not.

        Args:
            frame: Where the run stands.
            address: Where the verdict is recorded.
            step: What policies are told of the step.
            point: What they are told of the point.
            data: What is judged.
            fits: Says whether something may take its place.

        Raises:
            PolicyDenied: It may not be.
        """
        run, asking, pipeline = frame.run, self._asking, self._guard.pipeline
        if not asking:
            return data
        digest = digest_of(run.id, data)
        if self._guard.keeps:
            asking = await as_begun(run, pipeline, asking, "check_entry")
        holds = holds_of(run, labelled(frame, Seen(_Entering(point), address, data), {}))
        context = PolicyContext(point, step, address, RunDesk(frame, pipeline), labels=holds)
        found = await judged(asking, context, data, run.threads)
        if found is None:
            found = Judgement(Verdict.ALLOW, data, [judge.allowed for judge, _ in asking])
        elif found.verdict is not Verdict.DENY and fits is not None and not fits(data, found.data):
            wrong = f"it gave {type(found.data).__name__} in the place of {type(data).__name__}"
            found = found._replace(verdict=Verdict.DENY, reason=f"the policy failed, which denies: {wrong}")
        body: dict[str, Any] = {
            "point": point, "verdict": found.verdict.value, "digest": digest, "by": found.by
        }  # fmt: skip
        said = {"policy": found.policy, "rule": found.rule, "reason": found.reason}
        run.note("verdict", address, body | {name: text for name, text in said.items() if text})
        if found.verdict in (Verdict.DENY, Verdict.ESCALATE):
            raise self._guard.denial(Seen(_Entering(point), address, data), found)
        return found.data

    async def words(self, frame: Frame, address: str, step: str, text: str) -> str:
        """Return what code says of itself, as it may be written: why it failed, or why the run stops.

        Args:
            frame: Where the run stands.
            address: Where the verdict is recorded.
            step: What policies are told of the step.
            text: What it says.
        """
        try:
            return await self.passed(frame, address, step, "output", text, fits=same_class)
        except PolicyDenied as denied:
            return f"what it says is withheld, since the policy {denied.policy!r} does not let it be written"

    async def asked(self, frame: Frame, address: str, prompt: str, subject: Any) -> tuple[str, Any]:
        """Return what a step asks a person, and what it shows them, as it may be written.

        Raises:
            PolicyDenied: It may not be.
        """
        place, step = f"{address}#entry", address.partition("#")[0].rpartition("/")[2]
        prompt = await self.passed(frame, place, step, "output", prompt, fits=same_class)
        if subject is not None:
            subject = await self.passed(frame, place, step, "output", subject, fits=same_class)
        return prompt, subject

    async def changed(
        self, frame: Frame, view: PipelineContext, address: str, judge: Changes | None = None
    ) -> None:
        """Leave in a view of a run's context what a step may have changed there.

        Args:
            frame: Where the run stands, with the context as it was.
            view: The view.
            address: Who changed it.
            judge: Returns of what was changed what may stay; the policies are asked when left out.

        Raises:
            PolicyDenied: It may not have.
        """
        before, after = vars(frame.context), vars(view)
        touched = {name: value for name, value in after.items() if value is not before.get(name)}
        if not touched:
            return
        part = type(view).model_construct(None, **touched)
        step = address.rpartition("/")[2]
        place = f"{address}#context"
        left: PipelineContext = await (
            self.passed(frame, place, step, "output", part, fits=same_class) if judge is None else judge(part)
        )
        clean, values = vars(left), vars(view)
        for name, value in touched.items():
            if clean[name] is not value:
                values[name] = clean[name]


class _Entering:
    """What enters a run, in words."""

    def __init__(self, point: Point) -> None:
        self.point: Point = point

    def what(self, address: str) -> str:
        """Return what it is, in words."""
        place, _, kind = address.rpartition("#")
        if kind == "context":
            return f"what {place!r} changed in the context" if place else "the context"
        return f"what enters at {place!r}"

    def asks(self, address: str) -> str:
        """Return where nobody is asked about it."""
        return address

    def dump(self, data: Any) -> bytes:
        """Return nothing: it is written where it belongs."""
        return b"null"

    def load(self, written: Any) -> Any:
        """Return it as it is."""
        return written

    def wrong(self, data: Any) -> str:
        """Return nothing: what fits is said elsewhere."""
        return ""

    def schema(self) -> Mapping[str, Any]:
        """Return that anything fits."""
        return {}


def entry_of(guard: Guard) -> Entry:
    """Return what judges what enters, by the policies that a guard has."""
    return Entry(
        guard,
        [
            (judge, judge.checks["check_entry"])
            for judge in guard.judges_all
            if "check_entry" in judge.checks and "agent_start" in judge.points
        ],
    )


def same_class(before: Any, after: Any) -> bool:
    """Say whether something is of the class of what it takes the place of."""
    return isinstance(after, type(before))
