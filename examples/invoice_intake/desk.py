"""The desk where the files of a job are worked off, one durable run each."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from flujo import Flujo, Hook, PipelineContext, PipelineResult, StepResult
from flujo.engine.result import Finished, RunEvent, StepCompleted, StepStarted
from flujo.journal.events import Event
from flujo.journal.store import JournalStore
from flujo.journal.verify import Report, verify_all

from .inbox import Item
from .pipeline import IntakeContext
from .posting import ResultRow
from .review import Case
from .reviewers import Reviewer


class Watcher(Protocol):
    """Somebody who is told how the work goes on."""

    def step(self, item: Item, address: str) -> None:
        """A step begins."""
        ...

    def stop(self) -> None:
        """Somebody is about to be asked: leave the terminal in order."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        item: The file.
        result: How its run ended, or where it waits.
        case: What was read and proved; None if the run did not come so far.
        events: The journal of the run.
        reused: How many steps were in the journal before and did not run again.
        ran: How many steps ran now.
    """

    item: Item
    result: PipelineResult[ResultRow]
    case: Case | None
    events: list[Event]
    reused: int
    ran: int

    @property
    def row(self) -> ResultRow | None:
        """The row of results; None while nobody decided."""
        return self.result.output


class Countdown(Hook):
    """Kills this process, as a power cut would, after so many recorded steps.

    It watches from two sides. A step begins only when all before it is committed: there the count is exact.
    Of steps that run side by side one may be recorded while others still run: there it is what was told.

    Args:
        steps: How many.
        last_words: Called just before.
    """

    def __init__(self, steps: int, last_words: Callable[[], None]) -> None:
        self.steps = steps
        self.last_words = last_words
        self.ended = 0
        self.recorded = 0

    def pre_step_execution(self, step_name: str, step_input: object, context: PipelineContext) -> None:
        """Die before a step, if enough were recorded."""
        self.die_after(self.ended)

    def post_step_execution(self, step_result: StepResult, context: PipelineContext) -> None:
        """Count a step that is about to be recorded."""
        self.ended += 1

    def told(self) -> None:
        """Count a step that is in the journal."""
        self.recorded += 1
        self.die_after(self.recorded)

    def die_after(self, steps: int) -> None:
        """Die if these were enough."""
        if steps >= self.steps:
            self.last_words()
            os.kill(os.getpid(), signal.SIGKILL)


class Desk:
    """Works off files with one runner.

    Args:
        runner: Runs the pipeline.
        store: The runner's journal.
        context: What every run begins with.
        reviewer: Who decides what a run asks.
        watcher: Who is told.
        countdown: What is told of every recorded step, if this is to end badly.
        labels: Where other commands find the pipeline of a run of this desk.
    """

    def __init__(
        self,
        runner: Flujo[str, ResultRow],
        store: JournalStore,
        *,
        context: IntakeContext,
        reviewer: Reviewer,
        watcher: Watcher,
        countdown: Countdown | None,
        labels: Mapping[str, str],
    ) -> None:
        self.runner = runner
        self.store = store
        self.context = context
        self.reviewer = reviewer
        self.watcher = watcher
        self.countdown = countdown
        self.labels = labels

    def work_off(self, item: Item) -> Outcome:
        """Run the pipeline on a file, and answer what it asks; a run that was begun before goes on."""
        before = steps_in(asyncio.run(self._events(item)))
        runner, name = self.runner, item.run_id
        result = asyncio.run(
            self._watch(
                item, runner.stream_async(item.path, run_id=name, context=self.context, labels=self.labels)
            )
        )
        while result.status == "paused":
            case, asked = case_of(result), result.pending[0]
            self.watcher.stop()
            decided = None if case is None else self.reviewer.decide(item, case, asked)
            if decided is None:
                break
            result = asyncio.run(
                self._watch(item, runner.stream_resume_async(name, decided, request=asked.id))
            )
        events = asyncio.run(self._events(item))
        return Outcome(item, result, case_of(result), events, before, steps_in(events) - before)

    def audit(self) -> list[Report]:
        """Recompute the chains of all runs of the store."""

        async def reports() -> list[Report]:
            return [report async for report in verify_all(self.store)]

        return asyncio.run(reports())

    async def _watch(self, item: Item, happenings: AsyncIterator[RunEvent]) -> PipelineResult[ResultRow]:
        async for event in happenings:
            match event:
                case StepStarted():
                    self.watcher.step(item, event.address)
                case StepCompleted() if self.countdown is not None:
                    self.countdown.told()
                case Finished():
                    return event.result
                case _:
                    pass
        raise AssertionError("a run's last event is its end")

    async def _events(self, item: Item) -> list[Event]:
        return await self.store.events(item.run_id)


def steps_in(events: list[Event]) -> int:
    """Return how many steps a journal holds the results of."""
    return sum(event.kind == "step.completed" for event in events)


def case_of(result: PipelineResult[ResultRow]) -> Case | None:
    """Return what a run found out about its file."""
    for step in result.steps:
        if step.address == "duplicate" and isinstance(step.output, Case):
            return step.output
    return None
