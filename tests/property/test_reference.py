"""Random pipelines, run by Flujo and by a plain interpreter: both must come to the same."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from flujo import Approval, Decision, Flujo, MemoryStore, PipelineResult, SQLiteStore, Usage
from flujo.journal.store import JournalStore
from flujo.testing import VirtualClock
from tests.engine.stores import CutStore
from tests.property.build import Builder
from tests.property.memory import Memory
from tests.property.reference import Failed, Reference
from tests.property.specs import Spec, pipelines

_ids = count(1)
MOST_PAUSES = 500


def answer(spec: Spec, request: Approval) -> Any:
    """Return what the interpreter takes for granted that people say."""
    name = request.address.rpartition("/")[2].partition("#")[0]
    node = next(one for one in spec.walk() if one.name == name)
    if node.kind == "event":
        return node.k
    assert request.prompt == f"add {node.k}"
    if node.kind == "human" and node.parts and node.k % 2:
        return Decision("deny", reason="no")
    if node.k == 0:
        return Decision("approve", actor="ann")
    return Decision("edit", request.subject + node.k) if node.k % 2 else request.subject + node.k


class Dying(CutStore):
    """A store whose process dies at the given commits, one after another.

    Args:
        gaps: How many commits succeed before each death.
    """

    def __init__(self, gaps: list[int]) -> None:
        super().__init__(None)
        self._gaps = list(gaps)
        self.revive()

    def revive(self) -> None:
        """Let a new process go on: until the next death, if there is one."""
        self.after = self.batches + self._gaps.pop(0) if self._gaps else None

    @property
    def dead(self) -> bool:
        return self.after is not None and self.batches > self.after


class Runs:
    """Runs a pipeline until it ends, answering what it asks.

    Args:
        store: Where runs are recorded.
        fresh: Whether each resume is done by a runner of its own, as after a restart.
        told: Whether the journal alone must tell the same in the end.
    """

    def __init__(self, store: JournalStore | None, *, fresh: bool = False, told: bool = False) -> None:
        self.told = told
        self.builder = Builder()
        self.clock = VirtualClock()
        self.store = store
        self._fresh = fresh

    def runner(self, spec: Spec) -> Flujo[int, int]:
        return Flujo(
            self.builder.build(spec), context_model=Memory, input_type=int, state=self.store, clock=self.clock
        )

    async def run(self, spec: Spec, x: int, chance: int) -> PipelineResult[int]:
        runner = self.runner(spec)
        result = await runner.run_async(x, run_id=f"run-{next(_ids)}")
        for _ in range(MOST_PAUSES):
            if result.status != "paused":
                break
            if self._fresh:
                runner = self.runner(spec)
            request = result.pending[chance % len(result.pending)]
            back = result if self.store is None else result.run_id
            result = await runner.resume_async(back, answer(spec, request), request=request.address)
        if self.told:
            await self.check_journal(runner, result)
        await self.check_once(result.run_id)
        return result

    async def check_once(self, run_id: str) -> None:
        """Check that nothing was recorded twice, and so nothing ran that was recorded."""
        events = [] if self.store is None else await self.store.events(run_id)
        ended = [
            one.address
            for one in events
            if one.kind in ("step.completed", "node.completed", "turn", "choice")
        ]
        steps = [one.address for one in events if one.kind == "effect"]
        assert len(set(ended)) == len(ended)
        assert len(set(steps)) == len(steps)

    async def check_journal(self, runner: Flujo[int, int], result: PipelineResult[int]) -> None:
        """Check that the journal alone tells the same as the run told."""
        told = await runner.result(result.run_id)
        assert (told.status, told.output, told.usage) == (result.status, result.output, result.usage)
        assert told.context == result.context
        assert str(told.error) == str(result.error)


def check(spec: Spec, x: int, chance: int, runs: Runs) -> None:
    """Compare a run with its interpretation."""
    reference = Reference()
    failure: Failed | None = None
    output = None
    try:
        output = reference.run(spec, x)
    except Failed as failed:
        failure = failed
    result = asyncio.run(runs.run(spec, x, chance))
    note(f"{result.status}: {result.error}")
    if failure is None:
        assert result.status == "completed", str(result.error)
        assert result.output == output
        assert result.context.model_dump() == reference.memory
    else:
        assert result.status == "failed"
        assert result.error is not None
    if reference.races:
        return
    if failure is not None:
        assert type(result.error).__name__ == failure.kind
        assert failure.address in str(result.error)
        assert result.context.model_dump() == reference.memory
    assert result.usage == Usage(*reference.usage)
    # A step that asks runs again from its start at each resume, also when another request was answered.
    again = {one.name for one in spec.walk() if one.kind == "ask"}
    for name in {*runs.builder.calls, *reference.calls} - again:
        assert runs.builder.calls[name] == reference.calls[name], name
    steps = [(step.address, step.output, step.attempts) for step in result.steps]
    if any(one.kind in ("human", "pause", "ask", "event") for one in spec.walk()):
        assert set(steps) <= set(reference.steps)
        assert len(set(steps)) == len(steps)
    else:
        assert sorted(steps) == sorted(reference.steps)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], JournalStore]]:
    path: Path = tmp_path_factory.mktemp("property") / "flujo_ops.db"
    stores: list[SQLiteStore] = []

    def open_store() -> JournalStore:
        stores.append(SQLiteStore(path))
        return stores[-1]

    yield open_store
    for store in stores:
        asyncio.run(store.close())


numbers = st.integers(0, 996)
chances = st.integers(0, 11)


@given(pipelines(waits=False), numbers)
def test_without_a_store(spec: Spec, x: int) -> None:
    check(spec, x, 0, Runs(None))


@given(pipelines(waits=False), numbers)
def test_recorded_in_memory(spec: Spec, x: int) -> None:
    check(spec, x, 0, Runs(MemoryStore()))


@given(pipelines(waits=True), numbers, chances)
def test_paused_and_answered_without_a_store(spec: Spec, x: int, chance: int) -> None:
    check(spec, x, chance, Runs(None))


@given(pipelines(waits=True), numbers, chances)
def test_paused_and_answered_in_memory(spec: Spec, x: int, chance: int) -> None:
    check(spec, x, chance, Runs(MemoryStore()))


@given(pipelines(waits=True), numbers, chances)
def test_paused_and_answered_by_another_runner_each_time(spec: Spec, x: int, chance: int) -> None:
    check(spec, x, chance, Runs(MemoryStore(), fresh=True))


@given(pipelines(waits=True), numbers, chances)
def test_the_journal_alone_tells_the_same(spec: Spec, x: int, chance: int) -> None:
    check(spec, x, chance, Runs(MemoryStore(), fresh=True, told=True))


@given(pipelines(waits=False), numbers, st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_died_and_resumed(spec: Spec, x: int, gaps: list[int]) -> None:
    """Whatever dies, whenever: the run comes to the same, and nothing that is recorded runs again."""
    reference, failure, output = Reference(), None, None
    try:
        output = reference.run(spec, x)
    except Failed as failed:
        failure = failed
    store = Dying(gaps)
    runs = Runs(store)

    async def live() -> PipelineResult[int]:
        run_id = f"run-{next(_ids)}"
        for _ in range(len(gaps) + 1):
            try:
                result = await runs.runner(spec).run_async(x, run_id=run_id)
                await runs.check_once(run_id)
                return result
            except BaseException:
                if not store.dead:
                    raise
                store.revive()
        raise AssertionError("it died more often than it could")

    result = asyncio.run(live())
    note(f"{result.status}: {result.error}")
    assert result.status == ("completed" if failure is None else "failed"), str(result.error)
    if failure is None:
        assert result.output == output
        assert result.context.model_dump() == reference.memory
    if not reference.races:
        assert result.usage == Usage(*reference.usage)
        assert all(runs.builder.calls[name] >= calls for name, calls in reference.calls.items())
        again = sum((runs.builder.calls - reference.calls).values())
        lanes = 6 ** sum(one.kind in ("tuple", "mapping", "collect", "map", "gather") for one in spec.walk())
        assert again <= 3 * len(gaps) * lanes, "more ran again than was under way"


@pytest.mark.soak
@pytest.mark.timeout(1800)
@settings(max_examples=20_000, derandomize=False)
@given(pipelines(waits=True, size=40), numbers, chances)
def test_many_large_ones(spec: Spec, x: int, chance: int) -> None:
    check(spec, x, chance, Runs(MemoryStore(), fresh=True, told=True))


def test_recorded_in_sqlite(sqlite: Callable[[], JournalStore]) -> None:
    store = sqlite()

    @settings(max_examples=settings().max_examples // 2)
    @given(pipelines(waits=True), numbers, chances)
    def compare(spec: Spec, x: int, chance: int) -> None:
        check(spec, x, chance, Runs(store, fresh=True))

    compare()


def test_costs_add_up_without_rounding() -> None:
    assert sum([Usage(cost=Decimal("0.1"))] * 10, Usage()).cost == Decimal(1)
