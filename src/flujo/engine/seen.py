"""What policies are shown: the thing that they judge, and the run that it stands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flujo.pipeline.policy import NO_ATTRIBUTES, NO_LABELS, NOBODY, Deed, Point, Principal

if TYPE_CHECKING:
    from flujo.engine.deeds import Deeds
    from flujo.engine.run import Frame, Run
    from flujo.pipeline.context import PipelineContext


class Kind(Protocol):
    """What sort of thing is judged: how it is told, written and read."""

    point: Point

    def what(self, address: str) -> str:
        """Return what it is, in words."""
        ...

    def asks(self, address: str) -> str:
        """Return where a person is asked about it."""
        ...

    def dump(self, data: Any) -> bytes:
        """Return data of this kind as JSON."""
        ...

    def load(self, written: Any) -> Any:
        """Return data of this kind of its parsed JSON."""
        ...

    def wrong(self, data: Any) -> str:
        """Return what is wrong with data that would take the place of what is judged; empty where it fits."""
        ...

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of what a person may put in its place."""
        ...


class Seen(NamedTuple):
    """Something that is judged.

    Attributes:
        kind: Its kind.
        address: Where its verdict is recorded.
        data: What is judged.
        attempt: The attempt of the step.
        tool: The tool that is to be called.
        facts: What else policies may know.
        asked: Whether a person may be asked about it.
        labels: What it is known to hold.
        among: Whom it may go to, where that is one of several who are judged one by one.
        digest: What tells it from other data, where the data is known only as policies redacted it.
    """

    kind: Kind
    address: str
    data: Any
    attempt: int = 1
    tool: str = ""
    facts: Mapping[str, Any] = NO_ATTRIBUTES
    asked: bool = True
    labels: frozenset[str] = NO_LABELS
    among: str = ""
    digest: str = ""


class RunDesk:
    """Tells a policy of a run, at one place of it."""

    __slots__ = ("_frame", "pipeline")

    def __init__(self, frame: Frame, pipeline: str) -> None:
        self._frame = frame
        self.pipeline = pipeline

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self._frame.run.id

    @property
    def principal(self) -> Principal:
        """On whose behalf the run goes."""
        return self._frame.run.principal or NOBODY

    @property
    def tenant(self) -> str:
        """Likewise, the tenant."""
        return self._frame.run.tenant

    def now(self) -> int:
        """Return the time by the run's clock."""
        return self._frame.run.clock.now()

    def view(self) -> PipelineContext:
        """Return a copy of the run's context."""
        return self._frame.context.model_copy(deep=True)

    async def history(self) -> Sequence[Deed]:
        """Return what the run did so far."""
        return await deeds_of(self._frame.run).so_far()


def deeds_of(run: Run) -> Deeds:
    """Return what a run did so far, for policies that look back."""
    if run.deeds is None:
        from flujo.engine.deeds import Deeds

        run.deeds = Deeds(run)
    return run.deeds
