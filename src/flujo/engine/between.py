"""Functions between steps: what they give, and change in the context, is judged before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from flujo.engine.entry import entry_of
from flujo.engine.governed import Flowing
from flujo.engine.guard import Guard
from flujo.engine.patch import restore, snapshot
from flujo.engine.run import Frame
from flujo.engine.seen import Seen
from flujo.errors import RunError
from flujo.pipeline.context import PipelineContext, adopt, fork
from flujo.plan.types import Type

if TYPE_CHECKING:
    from flujo.engine.build import Condition
    from flujo.engine.guards import Guards


class Between:
    """Judges functions that stand between steps: they give items, inputs, outputs or prompts, or choose.

    What takes the place of something is recorded with the verdict, as elsewhere: a replay asks nobody.

    Args:
        name: The pipeline.
        guards: The policies.
    """

    def __init__(self, name: str, guards: Guards) -> None:
        self._guard = Guard(name, name, guards.judges, asks=guards.asks, step="", method="check_entry")
        self._entry = entry_of(self._guard)

    def around(self, call: Condition, *, sees: bool) -> Condition:
        """Return how a function is called, with what it changes in the context and says by raising judged.

        Args:
            call: How it is called.
            sees: Whether it sees the context.
        """

        async def told(frame: Frame, address: str, value: Any) -> Any:
            try:
                return await call(frame, address, value)
            except RunError as error:
                if type(error) is not RunError:  # it means something to whoever carries the run on
                    raise
                clean = await self.words(frame, address, error.message)
                if clean == error.message:
                    raise
                raise RunError(clean, fix=error.fix) from None

        async def judged(frame: Frame, address: str, value: Any) -> Any:
            view = fork(frame.context)
            answer = await told(Frame(frame.run, frame.prefix, view, None, frame.slots), address, value)

            async def passed(part: PipelineContext) -> PipelineContext:
                kind = _Changed(type(view))
                return await self._guard.passed(frame, Seen(kind, f"{address}#context", part, asked=False))

            await self._entry.changed(frame, view, address, passed)
            adopt(frame.context, view)
            return answer

        return judged if sees else told

    async def words(self, frame: Frame, address: str, text: str) -> str:
        """Return why a node failed, as it may be told and written: a lane's failure may be collected."""
        return await self._entry.words(frame, f"{address}#error", address.rpartition("/")[2], text)

    async def given(self, frame: Frame, address: str, annotation: Type, data: Any) -> Any:
        """Return what a function gave, as it may be written and go on.

        Args:
            frame: Where the run stands.
            address: The node.
            annotation: The type of what it gave.
            data: What it gave.

        Raises:
            PolicyDenied: It may not go on.
        """
        return await self._guard.passed(
            frame, Seen(_Given(annotation), f"{address}#entry", data, asked=False)
        )


class _Given(Flowing):
    """What a function between steps gives, as it is judged."""

    def __init__(self, annotation: Type) -> None:
        super().__init__(annotation, "output")

    @override
    def what(self, address: str) -> str:
        return f"what a function gave at {address.partition('#')[0]!r}"


class _Changed(Flowing):
    """What a function between steps changed in the context, as it is judged."""

    def __init__(self, model: type[PipelineContext]) -> None:
        super().__init__(model, "output")
        self._model = model

    @override
    def what(self, address: str) -> str:
        return f"what a function at {address.partition('#')[0]!r} changed in the context"

    @override
    def dump(self, data: PipelineContext) -> bytes:
        return snapshot(data)

    @override
    def load(self, written: Mapping[str, Any]) -> PipelineContext:
        return restore(self._model, written)
