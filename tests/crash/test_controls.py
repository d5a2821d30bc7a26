"""The controls: each guarantee is broken on purpose, and the harness must notice."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from flujo import MemoryStore
from flujo.engine.record import Recall, Recorder
from flujo.journal.events import Event
from flujo.journal.store import Batch, Committed
from tests.crash.harness import Mortal, carry, dying, judge, undisturbed
from tests.crash.scenario import Scenario
from tests.crash.scenarios import SCENARIOS

Break = Callable[[pytest.MonkeyPatch], None]


async def all_deaths(scenario: Scenario) -> None:
    whole = await undisturbed(scenario)
    for at in range(1, whole.commits + 1):
        for death in ("before", "after"):
            judge(scenario, whole, await dying(scenario, at, death))


class Forgetful(MemoryStore):
    """Acknowledges what it does not keep: after a while, nothing."""

    def __init__(self, keeps: int) -> None:
        super().__init__()
        self.keeps = keeps

    def submit(self, batch: Batch) -> Committed:
        self.keeps -= 1
        if self.keeps >= 0:
            return super().submit(batch)
        told: Committed = asyncio.get_running_loop().create_future()
        told.set_result(())
        return told


@pytest.mark.parametrize("name", ["chain", "loop", "parallel", "effects", "approve", "retry"])
async def test_a_store_that_acknowledges_without_keeping_is_noticed(name: str) -> None:
    scenario, inner = SCENARIOS[name], Forgetful(2)
    whole = await undisturbed(scenario)
    first = Mortal(inner, 4, "before")
    second = Mortal(inner)
    second.submit = lambda batch: MemoryStore.submit(inner, batch)  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=r"ran again|refunded|differently"):
        judge(scenario, whole, await carry(scenario, [first, second]))


def forgetting(*kinds: str) -> Break:
    """Break the reading of a journal: some kinds of events are not recalled."""

    def broken(patch: pytest.MonkeyPatch) -> None:
        honest = Recall.of

        def forget(events: Iterable[Event]) -> Recall:
            return honest([event for event in events if event.kind not in kinds])

        patch.setattr(Recall, "of", staticmethod(forget))

    return broken


def patches_are_lost(patch: pytest.MonkeyPatch) -> None:
    honest = Recall.of

    def losing(events: Iterable[Event]) -> Recall:
        return honest([event._replace(body=event.body.replace(b'"patch":', b'"lost":')) for event in events])

    patch.setattr(Recall, "of", staticmethod(losing))


def usages_are_lost(patch: pytest.MonkeyPatch) -> None:
    honest = Recall.of

    def losing(events: Iterable[Event]) -> Recall:
        return honest([event._replace(body=event.body.replace(b'"usage":', b'"lost":')) for event in events])

    patch.setattr(Recall, "of", staticmethod(losing))


def nothing_waits_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    honest = Recorder.commit

    async def later(self: Recorder, *, sure: bool = False) -> None:
        if len(self.pending) > 5 or (
            self.pending and self.pending[-1].kind in ("run.ended", "run.paused", "request")
        ):
            await honest(self, sure=sure)

    patch.setattr(Recorder, "commit", later)


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (forgetting("step.attempt"), "retry"),
        (forgetting("effect"), "effects"),
        (forgetting("step.started"), "doubt_settled"),
        (forgetting("choice"), "branch"),
        (forgetting("turn"), "loop_on_context"),
        (forgetting("step.completed"), "chain"),
        (forgetting("node.completed"), "sub"),
        (forgetting("timer"), "sleep"),
        (forgetting("undone"), "undo"),
        (patches_are_lost, "chain"),
        (patches_are_lost, "loop_on_context"),
        (usages_are_lost, "chain"),
        (nothing_waits_for_the_disk, "chain"),
        (nothing_waits_for_the_disk, "doubt_settled"),
    ],
)
async def test_a_broken_guarantee_is_noticed(
    broken: Break, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        await all_deaths(SCENARIOS[name])


@pytest.mark.parametrize(
    "name",
    ["retry", "effects", "doubt_settled", "branch", "loop_on_context", "chain", "sub", "sleep", "undo"],
)
async def test_the_same_deaths_are_sound_when_nothing_is_broken(name: str) -> None:
    await all_deaths(SCENARIOS[name])
