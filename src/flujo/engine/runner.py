"""The runner: what users call to run, resume, cancel and watch pipelines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from flujo.engine.build import Build, guards_of, is_context, output_check, quotas_of, refuse
from flujo.engine.carry import Carrier
from flujo.engine.clock import Clock, SystemClock
from flujo.engine.dispatch import ask_for
from flujo.engine.hooks import Hook, Hooks
from flujo.engine.identity import store_of
from flujo.engine.opened import Opener
from flujo.engine.recorded import Out, RecordedRuns, Value
from flujo.engine.result import Context, Observer, PipelineResult, RunEvent
from flujo.engine.supervise import blocking, streamed
from flujo.errors import ConfigError, InputError, RunTaken
from flujo.journal.store import JournalStore
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Node
from flujo.plan.compile import compile_plan
from flujo.plan.plan import Plan
from flujo.plan.types import type_name

if TYPE_CHECKING:
    from flujo.pipeline.policy import GovernancePolicy, Principal
    from flujo.pipeline.quota import Quota

In = TypeVar("In", contravariant=True)

NO_LABELS: Mapping[str, str] = MappingProxyType({})
Durability = Literal["sync", "async"]


class Flujo(RecordedRuns[Out, Context], Generic[In, Out, Context]):
    """Runs a pipeline.

    The pipeline is checked when the runner is made; a runner may then carry on any number of runs at
    once, from any event loop.

    Example:
        >>> from flujo import Flujo, step
        >>> @step
        ... async def double(number: int) -> int:
        ...     return 2 * number
        >>> Flujo(double >> double.named("again")).run(3).output
        12

    Args:
        pipeline: A pipeline, or a single node.
        context_model: The class of the runs' context, which type checkers then know of the results'; when
            left out, what the steps ask for.
        input_type: What the pipeline takes, where its first node does not tell.
        state: Where runs are recorded: the path of an SQLite file, the URL of a PostgreSQL
            database (``postgresql://…``), or a store. Without it nothing is
            written: a paused run lives in its result, and a crash loses the run.
        hooks: What looks on; see :class:`Hook`.
        on_pipeline_start: A single callback, as the method of a Hook; likewise the next three.
        pre_step_execution: See :class:`Hook`.
        post_step_execution: See :class:`Hook`.
        on_pipeline_end: See :class:`Hook`.
        quota: What each run may spend, or all runs together; a :class:`Quota`, or several.
        policies: What judges every step's input, tools and output; see ``flujo.governance``.
        durability: ``"sync"`` commits what a step did before the next effect begins; ``"async"``
            commits in the background, and a crash may lose the last moments.
        clock: Where time and chance come from.

    Raises:
        PlanError: The pipeline does not fit together.
    """

    def __init__(
        self,
        pipeline: Node[In, Out],
        *,
        context_model: type[Context] | None = None,
        input_type: Any = Any,
        state: JournalStore | str | Path | None = None,
        hooks: Sequence[Hook] = (),
        on_pipeline_start: Callable[..., Any] | None = None,
        pre_step_execution: Callable[..., Any] | None = None,
        post_step_execution: Callable[..., Any] | None = None,
        on_pipeline_end: Callable[..., Any] | None = None,
        quota: Quota | Sequence[Quota] | None = None,
        policies: Sequence[GovernancePolicy] = (),
        durability: Durability = "sync",
        clock: Clock | None = None,
    ) -> None:
        if durability not in ("sync", "async"):
            raise ConfigError(f"durability={durability!r}", fix='use "sync" or "async"')
        if context_model is not None and not is_context(context_model):
            raise ConfigError(
                f"context_model={context_model!r}", fix="pass a class derived from PipelineContext"
            )
        self.plan: Plan = compile_plan(
            pipeline, context_model=context_model, input_type=input_type, recorded=state is not None
        )
        self.store: JournalStore | None = store_of(state)
        self._clock = clock or SystemClock()
        callbacks = (on_pipeline_start, pre_step_execution, post_step_execution, on_pipeline_end)
        durable = self.store is not None
        self._quotas = quotas_of(self.plan, quota, durable=durable)
        guards = guards_of(self.plan, policies)
        build = Build(
            self.plan, Hooks.of(hooks, callbacks), durable=durable, quotas=self._quotas, guards=guards
        )
        self._opener = Opener(self.plan, self.store, clock=self._clock, durability=durability, guards=guards)
        self._build, self._carrier = build, Carrier(build, self._opener)
        self._input_check = output_check(self.plan.root.input_type)

    # Running

    def run(
        self,
        input: In,
        *,
        context: PipelineContext | None = None,
        run_id: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        tenant: str = "",
        principal: Principal | None = None,
        quota: Literal["refuse"] | None = None,
        input_labels: Iterable[str] = (),
    ) -> PipelineResult[Out, Context]:
        """Run the pipeline and return when it has ended or waits; for code that is not ``async``.

        Raises:
            ConfigError: An event loop is running: await :meth:`run_async` there.
        """
        given = (input, context, run_id, labels, None, tenant, quota, principal, input_labels)
        return blocking("run", lambda: self._begin(*given))

    async def run_async(
        self,
        input: In,
        *,
        context: PipelineContext | None = None,
        run_id: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        tenant: str = "",
        principal: Principal | None = None,
        quota: Literal["refuse"] | None = None,
        input_labels: Iterable[str] = (),
    ) -> PipelineResult[Out, Context]:
        """Run the pipeline and return when it has ended or waits for something.

        A run that fails is a result with status ``failed``, not an exception.

        Args:
            input: What the first node takes.
            context: The context that the run begins with; the run works on a copy.
            run_id: The run's name. A run of this name that exists already is one and the same: it goes
                on, or its result is returned.
            labels: Recorded with the run's beginning, for whoever looks for it later.
            tenant: On whose behalf it runs: the principal's when left out. Quotas may be set by it.
            principal: Likewise, who: policies judge it. It is recorded with the run's beginning.
            quota: ``"refuse"`` begins no run whose worst case could exceed a quota.
            input_labels: What the input, and a context that is passed, are known to hold: ``"phi"``.

        Raises:
            InputError: The input or the context does not fit the pipeline.
            RunConflict: The name stands for a run with another input.
            QuotaExceeded: The run was refused, for its worst case.
            RunBusy: The run is being carried on elsewhere.
            StoreError: The store failed; what was committed is kept, and the run can be resumed.
        """
        given = (input, context, run_id, labels, None, tenant, quota, principal, input_labels)
        return await self._begin(*given)

    async def start_async(
        self,
        input: In,
        *,
        context: PipelineContext | None = None,
        run_id: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        tenant: str = "",
        principal: Principal | None = None,
        priority: int = 0,
        input_labels: Iterable[str] = (),
    ) -> str:
        """Record a run for a worker to carry it out, and return its id at once.

        The run and the job that asks for it are committed together. A run of this name that exists already
        is one and the same.

        Args:
            input: What the first node takes.
            context: The context that the run begins with.
            run_id: The run's name.
            labels: Recorded with the run's beginning, for whoever looks for it later.
            tenant: On whose behalf it runs; limits may be set by it.
            principal: Likewise, who; see :meth:`run_async`.
            priority: Runs with a higher one are taken first.
            input_labels: What the input holds; see :meth:`run_async`.

        Raises:
            ConfigError: The runner has no store that workers could reach.
            InputError: The input or the context does not fit the pipeline.
            RunConflict: The name stands for a run with another input.
            StoreError: The store failed; whether the run was recorded can be asked by its name.
        """
        from flujo.journal.memory import MemoryStore

        if self.store is None or isinstance(self.store, MemoryStore):
            raise ConfigError(
                "start_async() leaves the run to a worker, which cannot reach this runner's memory",
                fix='make the runner with state="flujo_ops.db", or the URL of a PostgreSQL database',
            )
        self._check_input(input)
        if run_id is not None and await self._is_same(run_id, input):
            return run_id
        more: dict[str, Any] = {"tenant": tenant, "principal": principal, "holds": input_labels}
        opened = self._opener.new(input, context, run_id, labels, None, priority=priority, **more)
        try:
            await self._carrier.enqueue(opened)
        except RunTaken:  # somebody else began a run of this name in the same moment
            if not await self._is_same(opened.run.id, input):
                raise
        return opened.run.id

    async def stream_async(
        self,
        input: In,
        *,
        context: PipelineContext | None = None,
        run_id: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        tenant: str = "",
        principal: Principal | None = None,
        quota: Literal["refuse"] | None = None,
        input_labels: Iterable[str] = (),
    ) -> AsyncGenerator[RunEvent]:
        """Run the pipeline and yield what happens; the last event is :class:`Finished`, with the result.

        A step is told as completed when it is committed. Closing the iterator interrupts the run, which
        can then be resumed.

        Raises:
            FlujoError: As :meth:`run_async`.
        """
        carried = streamed(
            lambda observe: self._begin(
                input, context, run_id, labels, observe, tenant, quota, principal, input_labels
            )
        )
        async with aclosing(carried) as events:
            async for event in events:
                yield event

    @property
    def policies(self) -> Sequence[GovernancePolicy]:
        """What judges all steps of its runs."""
        return () if self._build.guards is None else self._build.guards.whole

    def under(self, policies: Sequence[GovernancePolicy]) -> Self:
        """Return a runner like this one, on the same store; these policies judge its runs before its own."""
        runner = copy(self)
        runner._build = replace(self._build, guards=guards_of(self.plan, [*policies, *self.policies]))
        runner._opener = self._opener.under(runner._build.guards)
        runner._carrier = Carrier(runner._build, runner._opener)
        return runner

    # Going on

    def resume(
        self,
        pipeline_state: str | PipelineResult[Any],
        human_input: Value = ...,
        *,
        request: str | None = None,
        take_over: bool = False,
    ) -> PipelineResult[Out, Context]:
        """Go on with a run; for code that is not ``async``. See :meth:`resume_async`."""
        return blocking(
            "resume",
            lambda: self.resume_async(pipeline_state, human_input, request=request, take_over=take_over),
        )

    async def resume_async(
        self,
        pipeline_state: str | PipelineResult[Any],
        human_input: Value = ...,
        *,
        request: str | None = None,
        take_over: bool = False,
    ) -> PipelineResult[Out, Context]:
        """Go on with a run that is paused, or whose process died.

        Args:
            pipeline_state: The run's id, or the result it paused with.
            human_input: The answer to what it waits for: a value, or a :class:`Decision`.
            request: The id or address of the request that is answered, where there are several.
            take_over: Go on although the run's owner cannot be seen to have ended, as on another host.
                It is safe: should the owner live, it is refused at its next write, and stops.

        Returns:
            How the run ended, or where it waits next. The result of a run that has ended already.

        Raises:
            UnknownRun: No run has this id.
            UnknownRequest: It waits for no such request.
            AnswerRejected: The answer does not fit; the run stays paused.
            PlanChanged: The run was made by another plan.
            RunBusy: The run is being carried on elsewhere.
        """
        return await self._go_on(pipeline_state, human_input, request, take_over, None)

    async def stream_resume_async(
        self,
        pipeline_state: str | PipelineResult[Any],
        human_input: Value = ...,
        *,
        request: str | None = None,
        take_over: bool = False,
    ) -> AsyncGenerator[RunEvent]:
        """Go on with a run and yield what happens; see :meth:`resume_async` and :meth:`stream_async`."""
        carried = streamed(
            lambda observe: self._go_on(pipeline_state, human_input, request, take_over, observe)
        )
        async with aclosing(carried) as events:
            async for event in events:
                yield event

    # Ending

    async def close(self) -> None:
        """Commit what is queued and release the store; the runner cannot be used afterwards."""
        if self.store is not None:
            await self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # How it is done

    async def _begin(
        self,
        value: Any,
        context: PipelineContext | None,
        run_id: str | None,
        labels: Mapping[str, str],
        observe: Observer | None,
        tenant: str,
        quota: str | None,
        principal: Principal | None,
        holds: Iterable[str],
    ) -> PipelineResult[Any, Any]:
        self._check_input(value)
        if run_id is not None:
            known = await self._named(run_id)
            if known is not None:
                self._opener.check_same_input(known, value)
                return await self._go_on_stored(known, ..., None, False, observe)
        more: dict[str, Any] = {"tenant": tenant, "principal": principal, "holds": holds}
        opened = self._opener.new(value, context, run_id, labels, observe, **more)
        await refuse(self._quotas, opened.run, quota)
        return await self._carrier.carry(opened)

    def _check_input(self, value: Any) -> None:
        if self._input_check is not None and not isinstance(value, self._input_check):
            raise InputError(
                f"the input is {type_name(type(value))}, but the pipeline takes "
                f"{type_name(self.plan.root.input_type)}",
                fix="convert it first, or change the annotation of the first step",
            )

    async def _is_same(self, run_id: str, value: Any) -> bool:
        """Say whether a run of this name exists; raise RunConflict where it began with another input."""
        known = await self._named(run_id)
        if known is not None and self.store is not None:
            self._opener.check_same_input(known, value)
            await ask_for(self.store, known)
        return known is not None

    async def _go_on(
        self,
        run: str | PipelineResult[Any],
        human_input: Value,
        request: str | None,
        take_over: bool,
        observe: Observer | None,
    ) -> PipelineResult[Any, Any]:
        if self.store is None:
            return await self._go_on_live(run, human_input, request, observe)
        known = await self._opener.find(run if isinstance(run, str) else run.run_id)
        return await self._go_on_stored(known, human_input, request, take_over, observe)
