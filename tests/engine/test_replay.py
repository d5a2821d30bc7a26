"""Replaying: a recorded run goes by again, answered from its journal alone."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic_core import from_json, to_json

from flujo import (
    Add,
    Branch,
    Decision,
    Flujo,
    From,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Parallel,
    PipelineContext,
    SQLiteStore,
    Step,
    StepInfo,
    StepResult,
    StopPipeline,
    SubPipeline,
    Usage,
    step,
)
from flujo.errors import ChainBroken, PlanChanged, UnknownRun
from flujo.journal.events import GENESIS, Event, link
from flujo.journal.store import Batch, JournalStore, RunQuery, RunStatus, StatusChange
from flujo.journal.verify import verify
from tests.crash.harness import Mortal, carry
from tests.crash.scenario import RUN, a_clock
from tests.crash.scenarios import SCENARIOS
from tests.crash.witness import WITNESS
from tests.golden.pipelines import GOLDEN
from tests.golden.record import fixed_clock, payloads, record, runner


async def rewritten(
    source: JournalStore,
    run_id: str,
    change: Any = None,
    upto: int | None = None,
    status: RunStatus = "running",
) -> MemoryStore:
    """Return a store with a part of a run, its bodies changed where `change` gives another, and sound."""
    record = await source.run(run_id)
    assert record is not None
    store, head, events = MemoryStore(), GENESIS, list[Event]()
    for event in (await source.events(run_id))[:upto]:
        facts = from_json(event.body)
        body = to_json(change(event.kind, event.address, facts)) if change else event.body
        head = link(head, run_id, event.seq, event.kind, event.address, event.at, body)
        events.append(event._replace(body=body, hash=head))
    now = StatusChange(status, "", record.pipeline, record.fingerprint)
    await store.submit(Batch(run_id, "1", events, now, await payloads(source, events)))
    return store


@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_kind_of_run_replays_equal_and_so_does_each_beginning_of_it(name: str) -> None:
    scenario, store = SCENARIOS[name], MemoryStore()
    await carry(scenario, [Mortal(store)])
    WITNESS.reset()
    before = await store.events(RUN)
    report = await scenario.runner(store, a_clock()).replay(RUN)
    assert report.equal, report
    assert report.status == scenario.ends
    for upto in range(1, len(before)):
        begun = await rewritten(store, RUN, upto=upto)
        report = await scenario.runner(begun, a_clock()).replay(RUN)
        assert report.equal, (upto, str(report))
    assert {deed.what for deed in WITNESS.deeds} <= {"predicate", "prompt"}
    assert await store.events(RUN) == before


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("name", GOLDEN)
async def test_every_kept_journal_replays_equal(name: str, kind: str, tmp_path: Path) -> None:
    store: JournalStore = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")
    await record(name, store)
    before = await store.events(name)
    report = await runner(GOLDEN[name], store, fixed_clock()).replay(name)
    assert report.equal, report
    assert await store.events(name) == before
    await store.close()


class Score(PipelineContext):
    points: Annotated[int, Add()] = 0


CALLS: list[str] = []


@step
async def count(text: str, info: StepInfo) -> int:
    CALLS.append(info.address)
    info.report(Usage(1, 10, 5, Decimal("0.01")))
    return await info.do("measure", measure, text)


async def measure(text: str) -> int:
    CALLS.append("measure")
    return len(text)


@step
async def add(number: int, context: Score) -> int:
    CALLS.append("add")
    context.points += number
    return number + 1


@step
async def spread(number: int) -> list[int]:
    return [number, number * 2]


DECIDES: dict[str, Any] = {"limit": 6, "case": "small", "scale": 1}
"""What the functions beside the nodes decide by: changed between a run and its replay."""


def enough(number: int) -> bool:
    return bool(number >= DECIDES["limit"])


def case(number: int) -> str:
    return DECIDES["case"]


def scaled(numbers: list[int]) -> list[int]:
    return [number * DECIDES["scale"] for number in numbers]


def noted(number: int, context: Score) -> int:
    context.points += DECIDES["scale"]
    return number


pipeline = (
    count
    >> Loop(add, until=enough, max_turns=9)
    >> Branch(on=case, cases={"small": add.named("little"), "large": add.named("much")}, name="route")
    >> SubPipeline(add.named("inside") >> spread, input=noted, name="sub")
    >> Map(add.named("each"), over=scaled, name="items")
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    for name, value in {"limit": 6, "case": "small", "scale": 1}.items():
        monkeypatch.setitem(DECIDES, name, value)


async def test_no_step_no_effect_and_no_hook_runs_and_what_was_answered_is_counted() -> None:
    store, seen = MemoryStore(), list[StepResult]()

    def look(result: StepResult, context: PipelineContext) -> None:
        seen.append(result)

    scored = Flujo(pipeline, state=store, context_model=Score, post_step_execution=look)
    result = await scored.run_async("four", run_id="a")
    assert result.success
    CALLS.clear()
    seen.clear()
    report = await scored.replay("a")
    assert (CALLS, seen) == ([], [])
    assert report.equal
    assert (report.steps, report.effects) == (len(result.steps), 1)
    assert report.decisions == 8  # two turns, the loop, a case, the sub's input, the sub, the items, the map
    assert str(report) == f"run a replays equal: {len(result.steps)} steps, 8 decisions"


@pytest.mark.parametrize(
    ("name", "value", "address", "kind"),
    [
        ("limit", 5, "loop[1]", "turn"),
        ("limit", 7, "loop[2]", "turn"),
        ("case", "large", "route", "choice"),
        ("scale", 2, "sub[]", "context"),
    ],
)
async def test_what_is_decided_otherwise_now_is_named(name: str, value: Any, address: str, kind: str) -> None:
    scored = Flujo(pipeline, state=MemoryStore(), context_model=Score)
    assert (await scored.run_async("four", run_id="a")).success
    DECIDES[name] = value
    report = await scored.replay("a")
    assert report.first is not None
    assert (report.first.address, report.first.kind) == (address, kind)
    assert not report.equal
    assert f"{address}: " in str(report)


async def test_the_items_of_a_map_are_chosen_again() -> None:
    scored = Flujo(spread >> Map(add, over=scaled, name="items"), state=MemoryStore())
    await scored.run_async(3, run_id="a")
    DECIDES["scale"] = 5
    first = (await scored.replay("a")).first
    assert first is not None
    assert (first.address, first.kind, first.recorded, first.now) == ("items[]", "choice", [3, 6], [15, 30])
    assert "15" not in str(first) + repr(first)


CHANGES: Sequence[tuple[str, str, str, Any, str]] = [
    ("node.completed", "loop", "output", 99, "output"),
    ("turn", "loop[1]", "patch", {"points": {"set": 1}}, "context"),
    ("node.completed", "sub", "usage", [9, 9, 9, "9"], "usage"),
    ("run.ended", "", "output", [0], "output"),
    ("run.ended", "", "status", "failed", "status"),
    ("step.completed", "route/small/little", "output", 99, "choice"),
    ("step.completed", "count", "usage", [7, 0, 0, "0"], "usage"),
]


@pytest.mark.parametrize(("kind", "address", "member", "value", "found"), CHANGES)
async def test_what_was_recorded_otherwise_is_found(
    kind: str, address: str, member: str, value: Any, found: str
) -> None:
    store = MemoryStore()
    await Flujo(pipeline, state=store, context_model=Score).run_async("four", run_id="a")

    def change(of: str, at: str, facts: dict[str, Any]) -> dict[str, Any]:
        return {**facts, member: value} if (of, at) == (kind, address) else facts

    status: RunStatus = "failed" if value == "failed" else "completed"
    spoilt = await rewritten(store, "a", change, status=status)
    first = (await Flujo(pipeline, state=spoilt, context_model=Score).replay("a")).first
    if (kind, member) == ("step.completed", "usage"):  # nothing around it repeats it
        assert first is None
    else:
        assert first is not None
        assert first.kind == found


async def test_a_recorded_decision_that_is_not_come_by_again_is_found() -> None:
    store = MemoryStore()
    await Flujo(pipeline, state=store, context_model=Score).run_async("four", run_id="a")

    def change(of: str, at: str, facts: dict[str, Any]) -> dict[str, Any]:
        return facts

    spoilt = await rewritten(store, "a", change, status="completed")
    events = await spoilt.events("a")
    assert events
    moved = MemoryStore()
    head = GENESIS
    kept: list[Event] = []
    for event in events:
        address = "loop[7]" if event.address == "loop[2]" else event.address
        head = link(head, "a", event.seq, event.kind, address, event.at, event.body)
        kept.append(event._replace(address=address, hash=head))
    run = await store.run("a")
    assert run is not None
    now = StatusChange("completed", "", run.pipeline, run.fingerprint)
    await moved.submit(Batch("a", "1", kept, now, await payloads(store, events)))
    report = await Flujo(pipeline, state=moved, context_model=Score).replay("a")
    assert [(one.address, one.kind) for one in report.differences] == [("loop[2]", "new")]
    assert report.unreached == ("loop[7]",)


@step
async def stops(number: int) -> int:
    raise StopPipeline("enough for today")


@step
async def denied_inside(number: int, info: StepInfo) -> int:
    return await info.ask("may I?", int)


@step
async def asks_at_work(number: int, info: StepInfo) -> int:
    info.report(Usage(1, 10, 5, Decimal("0.01")))
    return await info.ask("may I?", int)


async def test_a_run_that_waits_in_the_middle_of_a_step_that_used_something_replays_equal() -> None:
    runner = Flujo(add >> asks_at_work, state=MemoryStore())
    assert (await runner.run_async(1, run_id="a")).status == "paused"
    report = await runner.replay("a")
    assert (report.equal, report.differences) == (True, ())
    assert (await runner.upgrade("a")).verdict == "safe"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_runs_that_did_not_complete_replay_as_far_as_they_went(kind: str, tmp_path: Path) -> None:
    store: JournalStore = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")
    stopped = Flujo(add >> stops, state=store)
    assert (await stopped.run_async(1, run_id="stopped")).status == "stopped"
    report = await stopped.replay("stopped")
    assert (report.equal, report.unanswered, report.steps) == (True, ("stops",), 1)

    waiting = Flujo(
        Parallel(a=add >> HumanInput("ok?", schema=int, name="ask"), b=add.named("b")), state=store
    )
    assert (await waiting.run_async(1, run_id="paused")).status == "paused"
    report = await waiting.replay("paused")
    assert (report.equal, report.status, report.unanswered, report.steps) == (True, "paused", (), 2)

    cancelled = await waiting.cancel("paused", "enough")
    assert cancelled.status == "cancelled"
    assert (await waiting.replay("paused")).equal

    asking = Flujo(Parallel(a=denied_inside, b=add, on_failure="collect") >> tell, state=store)
    await asking.run_async(1, run_id="denied")
    assert (await asking.resume_async("denied", Decision("deny"))).success
    assert (await asking.replay("denied")).equal
    await store.close()


@step
async def tell(parts: dict[str, Any]) -> str:
    return str(len(parts))


async def test_what_cannot_be_replayed_is_refused() -> None:
    store = MemoryStore()
    scored = Flujo(pipeline, state=store, context_model=Score)
    with pytest.raises(UnknownRun):
        await scored.replay("a")
    await scored.run_async("four", run_id="a")
    store._events["a"][2] = store._events["a"][2]._replace(body=b"{}")  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ChainBroken):
        await scored.replay("a")


# Changed code


@step
async def one(number: int) -> int:
    CALLS.append("one")
    return number + 1


@step
async def text(number: int) -> str:
    return str(number)


@step
async def wider(number: int | str) -> int | str:
    return number


@step
async def both_of(parts: tuple[int, int]) -> int:
    return sum(parts)


@step
async def scored(number: int, context: Score) -> int:
    return number + context.points


def named(name: str) -> Step[int, int]:
    return one.named(name)


async def takes_agent(number: int, first: Annotated[int, From("a")]) -> int:
    return number + first


takes = Step(takes_agent, name="takes")


@step
async def zero() -> int:
    return 0


@step
async def named_loop(number: int, rounds: Annotated[int, From("loop")]) -> int:
    return number + rounds


def same(number: int, context: Score) -> int:
    return number


def at_once(number: int) -> bool:
    return True


def never(number: int) -> bool:
    return number > 5


def pair(number: int) -> list[int]:
    return [number, number]


PARALLEL = Parallel(named("b") >> named("c"), named("x") >> named("y"), name="both") >> both_of >> named("z")
Found = tuple[list[tuple[str, str]], list[str]]

CHANGED: dict[str, tuple[Any, Any, Found]] = {
    "the same": (named("a") >> named("b"), named("a") >> named("b"), ([], [])),
    "a step at the end": (named("a"), named("a") >> named("b"), ([("b", "new")], [])),
    "a step at the beginning": (
        named("b") >> named("c"),
        named("a") >> named("b") >> named("c"),
        ([("a", "new")], ["b", "c"]),
    ),
    "a step in between": (
        named("a") >> named("c"),
        named("a") >> named("b") >> named("c"),
        ([("b", "new")], ["c"]),
    ),
    "a step less": (
        named("a") >> named("b") >> named("c") >> named("d"),
        named("a") >> named("c") >> named("d"),
        ([("c", "input"), ("b", "removed")], ["d"]),
    ),
    "the last step less": (named("a") >> named("b"), named("a"), ([("b", "removed")], [])),
    "another declaration": (
        named("a") >> named("b") >> named("c"),
        named("a") >> wider.named("b") >> wider.named("c"),
        ([("b", "declaration")], ["c"]),
    ),
    "another name": (
        named("a") >> named("b"),
        named("a") >> named("e"),
        ([("e", "new"), ("b", "removed")], []),
    ),
    "a step into a sub-pipeline": (
        named("a") >> named("b") >> named("c"),
        named("a") >> SubPipeline(named("b"), name="sub") >> named("c"),
        ([("sub", "new")], []),
    ),
    "one branch": (
        PARALLEL,
        Parallel(named("b") >> named("new") >> named("c"), named("x") >> named("y"), name="both")
        >> both_of
        >> named("z"),
        ([("both/0/new", "new")], ["both/0/c", "both", "both_of", "z"]),
    ),
    "a loop that ends otherwise": (
        Loop(named("a") >> named("b"), until=never, max_turns=9) >> named("c"),
        Loop(named("a") >> named("b"), until=at_once, max_turns=9) >> named("c"),
        (
            [("loop[1]", "turn"), ("loop", "output"), ("c", "input")],
            ["loop[2]/a", "loop[2]/b", "loop[2]", "loop[3]/a", "loop[3]/b", "loop[3]"],
        ),
    ),
    "a map into which something else goes": (
        named("a") >> spread >> Map(named("each"), name="items"),
        named("a") >> named("b") >> spread >> Map(named("each"), name="items"),
        ([("b", "new")], ["spread", "items[0]/each", "items[1]/each", "items"]),
    ),
    "a person who is shown something else": (
        named("a") >> named("b") >> HumanInput("ok?", schema=int, name="ask") >> named("c"),
        named("a") >> HumanInput("ok?", schema=int, name="ask") >> named("c"),
        ([("ask", "input"), ("b", "removed")], ["c"]),
    ),
    "a value that is named": (
        named("a") >> named("b") >> takes.named("sum"),
        named("a") >> named("b") >> named("c") >> takes.named("sum"),
        ([("c", "new")], ["sum"]),
    ),
    "a value that is named, and nothing else": (
        Loop(named("a"), until=never, max_turns=9) >> zero >> named_loop.named("sum"),
        Loop(named("a"), until=at_once, max_turns=9) >> zero >> named_loop.named("sum"),
        (
            [("loop[1]", "turn"), ("loop", "output"), ("sum", "input")],
            [f"loop[{turn}]{inside}" for turn in (2, 3, 4, 5) for inside in ("/a", "")],
        ),
    ),
    "what a function changes in the context": (
        SubPipeline(named("a"), input=noted, name="sub") >> named("b") >> scored,
        SubPipeline(named("a"), input=same, name="sub") >> named("b") >> scored,
        ([("sub[]", "context"), ("scored", "input")], []),
    ),
}


@pytest.mark.parametrize("case", CHANGED)
async def test_changed_code(case: str) -> None:
    before, now, (differences, unreached) = CHANGED[case]
    store = MemoryStore()
    run = Flujo(before, state=store, context_model=Score)
    if (await run.run_async(1, run_id="a")).status == "paused":
        await run.resume_async("a", 5)
    assert (await run.result("a")).success
    CALLS.clear()
    recorded = await store.events("a")
    report = await Flujo(now, state=store, context_model=Score).replay("a")
    assert [(one.address, one.kind) for one in report.differences if one.address] == differences
    assert list(report.unreached) == unreached
    assert not CALLS
    assert await store.events("a") == recorded


LIVE: dict[str, list[str]] = {
    "the same": [],
    "a step at the end": ["b"],
    "a step at the beginning": ["a", "b", "c"],
    "a step in between": ["b", "c"],
    "a step less": ["c", "d"],
    "another declaration": ["b", "c"],
    "another name": ["e"],
    "a step into a sub-pipeline": [],
    "one branch": ["both/0/new", "both/0/c", "both_of", "z"],
    "a loop that ends otherwise": ["c"],
}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("case", LIVE)
async def test_a_new_run_goes_on_from_where_it_differs(case: str, kind: str, tmp_path: Path) -> None:
    before, now, _ = CHANGED[case]
    store: JournalStore = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")
    await Flujo(before, state=store).run_async(1, run_id="a")
    recorded, seen = await store.events("a"), list[str]()

    def look(result: StepResult, context: PipelineContext) -> None:
        seen.append(result.address)

    changed = Flujo(now, state=store, post_step_execution=look)
    report = await changed.replay("a", live_after_divergence=True)
    assert seen == LIVE[case]
    assert await store.events("a") == recorded
    if report.live is None:
        assert report.equal
        return
    afresh = await Flujo(now, state=MemoryStore()).run_async(1)
    assert (report.live.status, report.live.output) == ("completed", afresh.output)
    assert report.live.run_id != "a"
    assert (await verify(store, report.live.run_id)).sound
    assert (await changed.replay(report.live.run_id)).equal
    begun = from_json((await store.events(report.live.run_id, limit=1))[0].body)
    assert report.first is not None
    assert begun["forked_from"]["run_id"] == "a"
    assert begun["forked_from"]["address"] == report.first.address
    await store.close()


async def test_answers_are_kept_where_the_same_is_asked() -> None:
    store, ask = MemoryStore(), HumanInput("ok?", schema=int, name="ask")
    await Flujo(named("a") >> ask >> named("b"), state=store).run_async(1, run_id="a")
    await Flujo(named("a") >> ask >> named("b"), state=store).resume_async("a", 7)
    later = Flujo(named("a") >> ask >> named("n") >> named("b"), state=store)
    kept = (await later.replay("a", live_after_divergence=True)).live
    assert kept is not None
    assert (kept.status, kept.output) == ("completed", 9)
    earlier = Flujo(named("a") >> named("n") >> ask >> named("b"), state=store)
    anew = (await earlier.replay("a", live_after_divergence=True)).live
    assert anew is not None
    assert [one.subject for one in anew.pending] == [3]


@step
async def other_input(value: str) -> str:
    return value


async def test_a_pipeline_that_cannot_read_the_run_says_so() -> None:
    store = MemoryStore()
    await Flujo(named("a"), state=store).run_async(1, run_id="a")
    changed = Flujo(other_input, state=store)
    report = await changed.replay("a")
    assert report.first is not None
    assert (report.first.address, report.first.kind) == ("", "type")
    with pytest.raises(PlanChanged):
        await changed.replay("a", live_after_divergence=True)
    assert len((await store.runs(RunQuery())).runs) == 1
