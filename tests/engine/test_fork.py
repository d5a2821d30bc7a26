"""Forking: a new run shares a recorded run's past up to an address, and the rest runs anew."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from pydantic_core import from_json

from flujo import (
    Append,
    Branch,
    Decision,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Parallel,
    PipelineContext,
    Retry,
    SQLiteStore,
    Step,
    StepInfo,
    SubPipeline,
    step,
)
from flujo.errors import InputError, PlanChanged, ResumeError, RunConflict, UnknownAddress, UnknownRun
from flujo.journal.store import JournalStore, RunQuery
from flujo.journal.verify import verify
from flujo.testing import Mortal, died

CALLS: list[str] = []
FAILS: set[str] = set()


class Log(PipelineContext):
    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])
    tone: str = "plain"


async def work(text: str, context: Log, info: StepInfo) -> str:
    CALLS.append(info.address)
    if info.address in FAILS:
        raise ValueError("not now")
    context.lines.append(info.address)
    return f"{text}{context.tone[0]}"


async def bare(text: str, info: StepInfo) -> str:
    CALLS.append(info.address)
    return text + "."


@step
async def join(parts: tuple[str, str]) -> str:
    CALLS.append("join")
    return "+".join(parts)


def of(name: str, **settings: Any) -> Step[str, str]:
    return Step(work, name=name, **settings)


def long_enough(text: str) -> bool:
    return len(text) >= 6


def letters(text: str) -> list[str]:
    return list(text[:3])


@step
async def listed(parts: list[str]) -> str:
    CALLS.append("listed")
    return "".join(parts)


pipeline = (
    of("first")
    >> Loop(of("turn") >> of("again"), until=long_enough, max_turns=9)
    >> Parallel(of("a") >> of("a2"), of("b"), name="both")
    >> join
    >> SubPipeline(of("inner") >> of("deep"), name="sub")
    >> Map(of("each"), over=letters, name="items")
    >> listed
    >> Branch(on=lambda text: "x" if text else "y", cases={"x": of("last"), "y": of("other")}, name="route")
)


@pytest.fixture(autouse=True)
def fresh() -> None:
    CALLS.clear()
    FAILS.clear()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")


def runner(store: JournalStore, pipeline: Any = pipeline) -> Flujo[Any, Any, Log]:
    return Flujo(pipeline, state=store, context_model=Log)


TAIL = [
    "join", "sub/inner", "sub/deep", "items[0]/each", "items[1]/each", "items[2]/each", "listed",
    "route/x/last",
]  # fmt: skip
LANES = ["both/0/a", "both/0/a2", "both/1/b"]
"""In the order of a store in memory, where no commit lets another branch go first."""


@pytest.mark.parametrize(
    ("at", "anew"),
    [
        ("first", ["first", "loop[1]/turn", "loop[1]/again", "loop[2]/turn", "loop[2]/again", *LANES, *TAIL]),
        ("loop", ["loop[1]/turn", "loop[1]/again", "loop[2]/turn", "loop[2]/again", *LANES, *TAIL]),
        ("loop[2]", ["loop[2]/turn", "loop[2]/again", *LANES, *TAIL]),
        ("loop[1]/again", ["loop[1]/again", "loop[2]/turn", "loop[2]/again", *LANES, *TAIL]),
        ("both", [*LANES, *TAIL]),
        ("both/0/a", [*LANES, *TAIL]),
        ("both/0/a2", [*LANES[1:], *TAIL]),  # the other branch had not ended by then
        ("both/1/b", ["both/1/b", *TAIL]),  # here it had, and is kept
        ("sub", TAIL[1:]),
        ("sub/deep", TAIL[2:]),
        ("items", TAIL[3:]),
        ("items[1]", TAIL[4:]),
        ("items[2]/each", TAIL[5:]),
        ("listed", TAIL[6:]),
        ("route", TAIL[7:]),
        ("route/x/last", TAIL[7:]),
    ],
)
async def test_what_runs_anew(at: str, anew: list[str], store: JournalStore) -> None:
    run = runner(store)
    whole = await run.run_async("i", run_id="whole")
    before = await store.events("whole")
    CALLS.clear()
    forked = await run.fork("whole", at=at, run_id="fork")
    below = tuple(f"{at}{mark}" for mark in "/[#")
    cut = next(one.seq for one in before if one.address == at or one.address.startswith(below))
    ended_since = [one.address for one in before if one.kind == "step.completed" and one.seq >= cut]
    assert sorted(CALLS) == sorted(ended_since)
    if isinstance(store, MemoryStore):
        assert anew == CALLS
    assert (forked.output, forked.context) == (whole.output, whole.context)
    assert forked.run_id == "fork"
    assert await store.events("whole") == before
    for one in ("whole", "fork"):
        report = await verify(store, one)
        assert report.sound, report.finding
    assert (await run.replay("fork")).equal
    await store.close()


async def test_the_fork_names_its_origin_and_marks_what_it_shares(store: JournalStore) -> None:
    run = runner(store)
    await run.run_async("i", run_id="whole", labels={"who": "ann"})
    before = await store.events("whole")
    await run.fork("whole", at="join", run_id="fork")
    events = await store.events("fork")
    cut = next(event for event in before if event.address == "join")
    begun = from_json(events[0].body)
    assert begun["forked_from"] == {
        "run_id": "whole",
        "seq": cut.seq - 1,
        "hash": before[cut.seq - 2].hash.hex(),
        "address": "join",
    }
    assert (begun["labels"], begun["output"], "revised" in begun) == ({"who": "ann"}, "i", False)
    shared = [event for event in events if b'"copied":' in event.body]
    assert [from_json(event.body)["copied"] for event in shared] == list(range(2, cut.seq))
    again = await run.fork("fork", at="sub", run_id="again")
    twice = [
        from_json(event.body)["copied"] for event in await store.events("again") if b"copied" in event.body
    ]
    assert twice == sorted(twice)
    assert all(event.body.count(b"copied") <= 1 for event in await store.events("again"))
    assert again.success
    await store.close()


async def test_another_input_and_another_context_from_there_on(store: JournalStore) -> None:
    run = runner(store)
    whole = await run.run_async("i", run_id="whole")
    forked = await run.fork("whole", at="sub/deep", input="XYZ", context={"tone": "quiet"}, run_id="fork")
    assert forked.steps["sub/deep"].output == "XYZq"
    assert forked.steps["items[0]/each"].output == "Xq"
    assert forked.context.tone == "quiet"
    assert forked.context.lines == whole.context.lines
    assert (await run.result("fork")).context == forked.context
    assert (await run.replay("fork")).equal
    other = await run.fork("whole", at="both/1/b", input="B", context={"tone": "new"})
    assert other.steps["both/1/b"].output == "Bn"
    assert other.context.tone == "new"
    assert (await run.replay(other.run_id)).equal
    first = await run.fork("whole", at="first", input="new")
    assert first.output == (await run.run_async("new")).output
    await store.close()


@pytest.mark.parametrize("death", ["before", "after"])
@pytest.mark.parametrize("at", ["loop[2]/turn", "both/1/b", "sub", "route"])
async def test_a_fork_that_dies_goes_on_with_what_it_changes(at: str, death: Any) -> None:
    inner = MemoryStore()
    await runner(inner).run_async("i", run_id="whole")
    whole = await runner(inner).fork(
        "whole", at=at, input="XX" if at != "route" else "Z", context={"tone": "quiet"}
    )
    for append in range(1, 40):
        store = MemoryStore()
        await runner(store).run_async("i", run_id="whole")
        mortal = Mortal(store, append, death)
        try:
            await runner(mortal).fork(
                "whole", at=at, input="XX" if at != "route" else "Z", context={"tone": "quiet"}, run_id="fork"
            )
        except BaseException as error:
            if not died(error):
                raise
        else:
            assert append > 2
            return
        if await store.run("fork") is None:
            assert (append, death) == (1, "before")
            continue
        result = await runner(store).resume_async("fork", take_over=True)
        assert (result.output, result.context) == (whole.output, whole.context), append
        assert (await runner(store).replay("fork")).equal


async def test_a_question_is_kept_or_asked_anew(store: JournalStore) -> None:
    run = runner(store, of("draft") >> HumanInput("ok?", schema=str, name="ask") >> of("send"))
    await run.run_async("i", run_id="whole")
    await run.resume_async("whole", Decision("edit", "yes"))
    kept = await run.fork("whole", at="send")
    assert (kept.status, kept.output) == ("completed", "yesp")
    asked = await run.fork("whole", at="ask", input="other", run_id="asked")
    assert [one.id for one in asked.pending] == ["asked:ask"]
    assert asked.pending[0].subject == "other"
    assert (await run.resume_async("asked", "no")).output == "nop"
    await store.close()


async def test_a_failed_run_is_tried_again_from_where_it_failed(store: JournalStore) -> None:
    run = runner(store, of("first") >> of("second", retry=Retry(attempts=2, backoff=0)) >> of("third"))
    FAILS.add("second")
    assert (await run.run_async("i", run_id="whole")).status == "failed"
    FAILS.clear()
    CALLS.clear()
    forked = await run.fork("whole", at="second")
    assert (forked.status, CALLS) == ("completed", ["second", "third"])
    assert (await run.result("whole")).status == "failed"
    later = await run.fork("whole", at="third", input="3", run_id="later")  # it never came there
    assert (later.output, CALLS[2:]) == ("3p", ["second", "third"])  # what had not ended begins anew
    await store.close()


async def test_a_fallback_is_carried_out_anew(store: JournalStore) -> None:
    FAILS.add("risky")
    run = runner(store, of("first") >> Step(work, name="risky", fallback=of("backup") >> of("more")))
    assert (await run.run_async("i", run_id="whole")).success
    CALLS.clear()
    assert (await run.fork("whole", at="risky/more", run_id="a")).success
    assert CALLS == ["risky/more"]
    CALLS.clear()
    FAILS.clear()
    assert (await run.fork("whole", at="risky", run_id="b")).success
    assert CALLS == ["risky"]
    await store.close()


async def pays(text: str, info: StepInfo) -> str:
    paid = await info.do("pay", pay, text)
    await info.ask("right?", bool)
    return paid


async def pay(text: str) -> str:
    CALLS.append("pay")
    return f"paid {text}"


async def test_a_step_that_had_not_ended_beside_it_begins_anew_with_effects_of_its_own() -> None:
    store = MemoryStore()
    both = Parallel(Step(pays, name="pays"), of("b") >> of("b2"), name="both")
    run = runner(store, both)
    assert (await run.run_async("i", run_id="whole")).status == "paused"
    CALLS.clear()
    forked = await run.fork("whole", at="both/1/b2", run_id="fork")
    assert forked.status == "paused"
    assert CALLS.count("pay") == 1
    assert [one.id for one in forked.pending] == ["fork:both/0/pays#ask"]


async def test_a_past_that_was_undone_is_not_shared() -> None:
    store = MemoryStore()

    async def undo(text: str) -> None:
        CALLS.append("undo")

    run = runner(store, of("book", undo=undo) >> of("pay") >> of("send"))
    FAILS.add("send")
    assert (await run.run_async("i", run_id="whole")).status == "failed"
    FAILS.clear()
    with pytest.raises(ResumeError, match="what 'book' did was undone"):
        await run.fork("whole", at="send")
    assert (await run.fork("whole", at="book")).success


async def test_what_cannot_be_forked() -> None:
    store = MemoryStore()
    run = runner(store)
    await run.run_async("i", run_id="whole")
    for at, fix in [
        ("sub/depe", "did you mean 'sub/deep'?"),
        ("first#pay", "fork it at 'first'"),
        ("", "choose from"),
        ("loop[]", "did you mean"),
        ("route/y/other", "did you mean"),
    ]:
        with pytest.raises(UnknownAddress) as error:
            await run.fork("whole", at=at)
        assert fix in error.value.fix
    with pytest.raises(UnknownRun):
        await run.fork("nobody", at="first")
    with pytest.raises(RunConflict):
        await run.fork("whole", at="first", run_id="whole")
    with pytest.raises(InputError, match=r"the input of 'first'"):
        await run.fork("whole", at="first", input=7)
    with pytest.raises(InputError) as wrong:
        await run.fork("whole", at="first", context={"tune": "x"})
    assert wrong.value.fix == "did you mean 'tone'?"
    with pytest.raises(InputError):
        await run.fork("whole", at="first", context={"tone": 7})
    with pytest.raises(InputError, match="a turn or an item"):
        await run.fork("whole", at="loop[2]", input="x")
    with pytest.raises(PlanChanged):
        await runner(store, of("first") >> of("second")).fork("whole", at="first")
    with pytest.raises(ResumeError, match="no run"):
        await Flujo(pipeline, context_model=Log).fork("whole", at="first")
    assert [one.run_id for one in (await store.runs(RunQuery())).runs] == ["whole"]


async def test_a_change_of_the_context_that_nobody_would_see_is_refused() -> None:
    store = MemoryStore()
    both = Parallel(Step(bare, name="x") >> Step(bare, name="x2"), Step(bare, name="y"), name="both")
    run = runner(store, of("first") >> both)
    assert (await run.run_async("i", run_id="whole")).success
    with pytest.raises(InputError, match="nothing inside 'both' takes the context"):
        await run.fork("whole", at="both/0/x2", context={"tone": "loud"})
    assert (await run.fork("whole", at="both", context={"tone": "loud"})).context.tone == "loud"
