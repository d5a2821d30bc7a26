"""Dying everywhere: a test is run again and again, and each time its runs die at another append."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, cast

from pydantic_core import from_json
from typing_extensions import Unpack

from flujo.engine.hooks import Hook
from flujo.engine.result import PipelineResult
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError, StoreUnavailable
from flujo.journal.events import Event
from flujo.journal.memory import MemoryStore
from flujo.journal.store import JournalStore
from flujo.journal.verify import verify
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Node
from flujo.pipeline.waits import Approval, Decision
from flujo.testing.carrying import Answer, carry_on
from flujo.testing.clock import VirtualClock
from flujo.testing.mortal import Died, died
from flujo.testing.outcome import Outcome
from flujo.testing.passage import Came, CrashError, Passage

In = TypeVar("In")
Out = TypeVar("Out")

NOBODY: Mapping[str, Any] = {}
HINT = (
    "Something that decides the result is kept outside of the journal: a counter, a file, the time, chance.\n"
    "Keep it in the context, or record it with info.do."
)


class LivesSettings(TypedDict, total=False):
    """The settings of a run: see :meth:`Lives.run_async`."""

    answers: Mapping[str, Answer]
    in_doubt: Mapping[str, Decision]
    context: PipelineContext | None
    context_model: type[PipelineContext] | None
    hooks: Sequence[Hook]
    clock: VirtualClock | None
    run_id: str


class Lives:
    """Carries the runs of a test to their end, over as many lives as it takes.

    Args:
        store: Makes an empty store for a run; in memory when left out.
    """

    def __init__(self, store: Callable[[], JournalStore] = MemoryStore) -> None:
        self._store = store
        self.passage = Passage()

    def everywhere(self, test: Callable[[], object]) -> None:
        """Pass through a test undisturbed, and then once for each death, before and after every append.

        Raises:
            CrashError: A run came out differently, ran again what was recorded, or no run was carried.
        """
        __tracebackhide__ = True
        self.passage = whole = Passage()
        test()
        if not whole.appends:
            raise CrashError(
                "nothing could die: the test carried no run. Carry it with the fixture flujo_lives: "
                "`result = await flujo_lives.run_async(pipeline, input)`, or flujo_lives.run(…)"
            )
        for at in range(1, whole.appends + 1):
            for death in ("before", "after"):
                with Passage(at, death, whole) as self.passage:
                    test()

    def run(
        self,
        pipeline: Node[In, Out] | Callable[[], Node[In, Out]],
        input: In,
        **settings: Unpack[LivesSettings],
    ) -> PipelineResult[Out]:
        """Carry a run to its end; for a test that is not ``async``. See :meth:`run_async`.

        Raises:
            ConfigError: An event loop is running: await :meth:`run_async` there.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise ConfigError(
                "run() was called while an event loop is running", fix="await run_async() there"
            )
        return asyncio.run(self.run_async(pipeline, input, **settings))

    async def run_async(
        self,
        pipeline: Node[In, Out] | Callable[[], Node[In, Out]],
        input: In,
        *,
        answers: Mapping[str, Answer] = NOBODY,
        in_doubt: Mapping[str, Decision] = NOBODY,
        context: PipelineContext | None = None,
        context_model: type[PipelineContext] | None = None,
        hooks: Sequence[Hook] = (),
        clock: VirtualClock | None = None,
        run_id: str = "run-1",
    ) -> PipelineResult[Out]:
        """Carry a run to its end, or to a request that nobody answers, and return its result.

        Where the test is passed to :meth:`everywhere`, the process of the run dies on the way: another
        runner goes on with what the journal has, and the result is compared with the undisturbed one.

        Args:
            pipeline: The pipeline, or what makes it: called anew for each life, as by a new process.
            input: What the run begins with.
            answers: What people and events answer, by the address of the request.
            in_doubt: What a person decides about at-most-once steps and effects whose end is unknown, by
                address.
                When left out: that it runs, where it never began; else that it gave what the
                undisturbed one gave.
            context: The context that the run begins with.
            context_model: See :class:`flujo.Flujo`.
            hooks: Likewise.
            clock: The clock; a virtual one of its own when left out.
            run_id: The run's name, the same in every life: idempotency keys are made of it.

        Raises:
            CrashError: The run came out differently than undisturbed, or ran again what was recorded.
        """
        __tracebackhide__ = True
        life = _Run(self.passage, self._store(), run_id, answers, in_doubt, clock or VirtualClock())

        def runner(store: JournalStore) -> Flujo[Any, Any]:
            node = _made(pipeline)
            return Flujo(node, context_model=context_model, state=store, hooks=hooks, clock=life.clock)

        try:
            return await life.carry(runner, input, context)
        finally:
            await life.inner.close()


def _made(pipeline: Node[In, Out] | Callable[[], Node[In, Out]]) -> Node[In, Out]:
    if isinstance(pipeline, Node):
        return cast("Node[In, Out]", pipeline)
    return pipeline()


class _Run:
    """One run of a passage: its lives one after another, and the judgment."""

    def __init__(
        self,
        passage: Passage,
        inner: JournalStore,
        run_id: str,
        answers: Mapping[str, Answer],
        in_doubt: Mapping[str, Decision],
        clock: VirtualClock,
    ) -> None:
        self.inner = inner
        self.clock = clock
        self._passage = passage
        self._run_id = run_id
        self._answers = answers
        self._in_doubt = in_doubt
        self._asked: set[str] = set()
        self._approved = Counter[str]()
        self._told = False
        self._begun = Counter[tuple[str, int]]()
        self._left: Sequence[Event] = ()
        self._outputs: dict[str, Any] = {}
        self._whole = passage.undisturbed()

    async def carry(
        self, runner: Callable[[JournalStore], Flujo[Any, Any]], input: Any, context: PipelineContext | None
    ) -> PipelineResult[Any]:
        """Carry the run through its lives, and judge what came of it."""
        __tracebackhide__ = True
        result = None
        while result is None:
            store = self._passage.store(self.inner)
            try:
                result = await carry_on(
                    runner(store),
                    self._run_id,
                    input,
                    self._answer,
                    clock=self.clock,
                    context=context,
                    seen=self._see,
                )
            except (Died, StoreUnavailable, BaseExceptionGroup) as error:
                if not (store.dead and died(error)):
                    raise
                self._passage.died_at = store.last
            await store.settled()
            self._passage.appends += store.commits
            self._note_begun(store.acknowledged)
            self._left = await self.inner.events(self._run_id) if result is None else self._left
        outcome = Outcome.of(result)
        self._passage.runs.append(Came(outcome, self._outputs))
        if self._whole is None:
            self._check_answers()
        else:
            self._judge(self._whole.outcome, outcome)
        await self._check_journal(runner(self.inner), outcome)
        return result

    def _answer(self, request: Approval) -> Answer | None:
        self._asked.add(request.address)
        if request.kind != "in_doubt":
            return self._answers.get(request.address)
        decision = self._in_doubt.get(request.address) or self._looked(request.address)
        if decision is not None and decision.action == "approve":
            self._approved[request.address] += 1
        self._told |= decision is not None and decision.action == "edit"
        return decision

    def _looked(self, address: str) -> Decision | None:
        """Decide as a person who looked whether the step took effect."""
        if self._whole is None:
            return None
        if not any(began == address for began, _ in self._begun):
            return Decision("approve", actor="flujo.testing", reason="it never began")
        if address not in self._whole.outputs:
            raise CrashError(
                f"{address!r} is in doubt, and the undisturbed run does not tell what it gave: say what a "
                f"person decides, in_doubt={{{address!r}: Decision(…)}}"
            )
        return Decision("edit", self._whole.outputs[address], actor="flujo.testing", reason="it took effect")

    def _see(self, result: PipelineResult[Any]) -> None:
        """Note what steps gave, and check that none ran whose result the dead process had recorded."""
        over = {event.address for event in self._left if event.kind in ("step.completed", "node.completed")}
        for step in result.steps:
            self._outputs[step.address] = step.output
            if step.address in over and not step.reused:
                raise CrashError(f"{step.address!r} ran again, although its result was recorded")

    def _note_begun(self, acknowledged: Sequence[Event]) -> None:
        for event in acknowledged:
            if event.kind in ("step.started", "effect.started"):
                self._begun[event.address, from_json(event.body)["attempt"]] += 1
            elif event.kind == "effect":
                facts = from_json(event.body)
                if "output" in facts:  # a large one stands apart
                    self._outputs[event.address] = facts["output"]

    def _check_answers(self) -> None:
        unasked = sorted(set(self._answers) - self._asked)
        if unasked:
            raise CrashError(
                f"answers has {', '.join(map(repr, unasked))}, which the run never asked; it asked at "
                f"{', '.join(map(repr, sorted(self._asked))) or 'no address'}"
            )

    def _judge(self, whole: Outcome, outcome: Outcome) -> None:
        """Compare the run with the undisturbed one."""
        __tracebackhide__ = True
        twice = [
            address for (address, _), times in self._begun.items() if times > 1 + self._approved[address]
        ]
        if twice:
            raise CrashError(f"the at-most-once step {twice[0]!r} was begun again without a person's word")
        if self._told:  # a person says what was given, and nobody what it had used
            outcome = outcome._replace(usage=whole.usage)
        if outcome != whole:
            lines = [
                f"  {name}: undisturbed {left!r}, after the crash {right!r}"
                for name, (left, right) in whole.differing(outcome).items()
            ]
            raise CrashError("\n".join(["the run came out differently:", *lines, HINT]))

    async def _check_journal(self, runner: Flujo[Any, Any], outcome: Outcome) -> None:
        """Check that the journal is sound, and tells what the caller was told."""
        stored = Outcome.of(await runner.result(self._run_id))
        if stored != outcome:
            raise CrashError(f"what is recorded is not what was told: {stored.differing(outcome)}")
        report = await verify(self.inner, self._run_id)
        if not report.sound:
            raise CrashError(f"the journal is not sound: {report.finding}")
