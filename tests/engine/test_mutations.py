"""Pipelines that change while they run: what a step may ask for, and that it holds whatever happens after."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import invalidate_caches
from pathlib import Path
from typing import Annotated, Any

import pytest

from flujo import (
    Branch,
    Flujo,
    From,
    HumanInput,
    Loop,
    Map,
    MayMutate,
    MemoryStore,
    Parallel,
    Pipeline,
    PipelineContext,
    PipelineMutation,
    Quota,
    Reconfigure,
    Retry,
    Step,
    StepInfo,
    StreamingStep,
    SubPipeline,
    Usage,
    compare_runs,
    step,
)
from flujo.errors import (
    MutationRefused,
    PipelineError,
    PlanChanged,
    PlanError,
    PolicyDenied,
    QuotaExceeded,
)
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision

ALL = ("insert", "replace", "skip", "append", "reconfigure")
Asked = PipelineMutation[str]
IT = PipelineMutation("")
"""What a planner asks for, before it gives an output."""


def adds(name: str, **settings: Any) -> Step[str, str]:
    """Return a step that adds its name to the text it is given."""

    async def add(text: str) -> str:
        return f"{text} {name}"

    return Step(add, name=name, **settings)


NODES = {name: adds(name) for name in ("check", "review", "notify")}


def may(*operations: Any, **settings: Any) -> MayMutate:
    given: dict[str, Any] = {"steps": 9, "agents": ["*"], "parameters": ["*"], "nodes": NODES}
    return MayMutate(*(operations or ALL), **{**given, **settings})


def planner(
    asks: PipelineMutation[str], permission: MayMutate | None = None, **settings: Any
) -> Step[str, str]:
    """Return a step that gives what it is given, and asks for a mutation."""

    async def plan(text: str) -> PipelineMutation[str]:
        return PipelineMutation(f"{text} plan", asks.changes)

    return Step(plan, name="plan", may_mutate=permission or may(), **settings)


def row(
    asks: PipelineMutation[str], permission: MayMutate | None = None, **settings: Any
) -> Pipeline[str, str]:
    """Return a pipeline of a planner, a draft and a polish."""
    return planner(asks, permission, **settings) >> adds("draft") >> adds("polish")


@pytest.fixture(params=[False, True], ids=["in memory", "recorded"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


def the_case(text: str) -> str:
    return "a"


def letters(text: str) -> list[str]:
    return ["a", "b"]


def two_turns(text: str) -> bool:
    return text.count("turn") > 1


def two_plans(text: str) -> bool:
    return text.count("plan") > 1


def two_braces(text: str) -> bool:
    return text.count("{") > 1


def always(text: str) -> bool:
    return True


async def joined(parts: tuple[str, str]) -> str:
    return " ".join(parts)


async def listed(parts: list[str]) -> str:
    return "".join(parts)


class Other(PipelineContext):
    """A context that no run has."""

    more: int = 0


# The operations


@pytest.mark.parametrize(
    ("asks", "comes_out"),
    [
        (IT, "a plan draft polish"),
        (IT.insert("check"), "a plan check draft polish"),
        (IT.insert("check").insert("review"), "a plan check review draft polish"),
        (IT.insert("check", after="draft"), "a plan draft check polish"),
        (IT.insert("check").insert("review", after="check"), "a plan check review draft polish"),
        (IT.replace("draft", "check"), "a plan check polish"),
        (IT.skip("draft"), "a plan polish"),
        (IT.skip("draft", "polish"), "a plan"),
        (IT.append("notify"), "a plan draft polish notify"),
        (IT.append("draft", name="again"), "a plan draft polish draft"),
        (IT.insert("check").skip("check"), "a plan draft polish"),
        (IT.insert("check").skip("check").insert("review"), "a plan review draft polish"),
        (
            IT.insert("check").skip("check").append("check").insert("notify"),
            "a plan notify draft polish check",
        ),
        (IT.insert("check").replace("check", "review"), "a plan review draft polish"),
        (IT.skip("polish").append("notify").insert("check"), "a plan check draft notify"),
    ],
)  # fmt: skip
def test_operations(asks: PipelineMutation[str], comes_out: str, store: MemoryStore | None) -> None:
    result = Flujo(row(asks), state=store).run("a")
    assert result.unwrap() == comes_out
    assert next(step.address for step in result.steps) == "plan"


def test_what_comes_in_has_an_address_of_its_own() -> None:
    result = Flujo(row(IT.insert("check", name="look").replace("polish", "review"))).run("a")
    assert [step.address for step in result.steps] == ["plan", "look", "draft", "polish"]
    (told,) = result.mutations
    assert told.address == "plan"
    assert told.row == ("plan", "look", "draft", "polish")
    assert told.added == {"look": "check", "polish": "review"}
    assert told.operations[0] == {"operation": "insert", "node": "check", "name": "look"}


def test_a_plain_output_changes_nothing() -> None:
    @step(may_mutate=may())
    async def plan(text: str) -> str | PipelineMutation[str]:
        return text

    result = Flujo(plan >> adds("draft")).run("a")
    assert (result.output, result.mutations) == ("a draft", ())


def test_nodes_by_import_path() -> None:
    here = f"{__name__}:imported"
    asks = IT.insert(here).append(f"{__name__}:a_function", name="end")
    result = Flujo(row(asks), state=MemoryStore()).run("a")
    assert result.unwrap() == "a plan imported draft polish!"


imported = adds("imported")


def a_function(text: str) -> str:
    return f"{text}!"


def test_pipelines_come_in_as_one_node() -> None:
    both = may(nodes={"both": NODES["check"] >> NODES["review"]})
    result = Flujo(row(IT.insert("both"), both), state=MemoryStore()).run("a")
    assert result.unwrap() == "a plan check review draft polish"
    assert [step.address for step in result.steps][1:3] == ["both/check", "both/review"]


def test_every_kind_of_node_comes_in(store: MemoryStore | None) -> None:
    nodes = {
        "loop": Loop(adds("turn"), until=two_turns, max_turns=3),
        "branch": Branch(on=the_case, cases={"a": adds("case")}),
        "side": Parallel(adds("left"), adds("right")) >> Step(joined),
        "letters": Map(adds("x"), over=letters) >> Step(listed),
        "ask": HumanInput("ok?", schema=str),
    }

    asks = IT
    for name in nodes:
        asks = asks.insert(name)
    runner = Flujo(planner(asks, may(nodes=nodes, steps=None)), state=store)
    paused = runner.run("a")
    assert [one.address for one in paused.pending] == ["ask"]
    result = runner.resume(paused, "yes")
    assert result.unwrap() == "yes"
    assert [one.address for one in result.steps if "/" not in one.address] == ["plan"]
    ended = [one.address for one in paused.steps]
    assert {"loop[2]/turn", "branch/a/case", "side/parallel/1/right", "letters/map[1]/x"} <= set(ended)


# Where they hold


def test_a_loop_changes_the_row_of_that_turn_only(store: MemoryStore | None) -> None:
    @step(may_mutate=may())
    async def plan(text: str) -> str | PipelineMutation[str]:
        return PipelineMutation(f"{text} plan").insert("check") if "plan" not in text else f"{text} plan"

    body = plan >> adds("draft")
    result = Flujo(Loop(body, until=two_plans, max_turns=3), state=store).run("a")
    assert result.unwrap() == "a plan check draft plan draft"
    assert [one.address for one in result.mutations] == ["loop[1]/plan"]


def test_a_map_changes_the_row_of_that_item_only(store: MemoryStore | None) -> None:
    @step(may_mutate=may())
    async def plan(text: str) -> str | PipelineMutation[str]:
        return PipelineMutation(text).insert("check") if text == "b" else text

    result = Flujo(Map(plan >> adds("draft")), input_type=list[str], state=store).run(["a", "b", "c"])
    assert result.unwrap() == ["a draft", "b check draft", "c draft"]


def test_a_branch_of_a_parallel_changes_its_own_row() -> None:
    one, other = planner(IT.append("check")), adds("other")
    assert Flujo(Parallel(one, other >> adds("end"))).run("a").output == ("a plan check", "a other end")


def test_a_step_that_stands_alone_has_a_row_of_one() -> None:
    assert Flujo(planner(IT.append("check"))).run("a").output == "a plan check"
    inside = SubPipeline(planner(IT.append("check")), name="sub") >> adds("end")
    assert Flujo(inside).run("a").output == "a plan check end"


def test_what_came_in_may_change_the_row_further(store: MemoryStore | None) -> None:
    second = planner(IT.insert("check"), may(steps=1)).named("second")
    nodes = {"second": second}
    result = Flujo(row(IT.insert("second"), may(nodes=nodes, steps=2)), state=store).run("a")
    assert result.unwrap() == "a plan plan check draft polish"
    assert [one.row for one in result.mutations][-1] == ("plan", "second", "check", "draft", "polish")


def test_what_came_in_may_change_its_own_rows(store: MemoryStore | None) -> None:
    inner = planner(IT.insert("check"), may(steps=1)) >> adds("inner")
    asks = IT.insert("sub")
    result = Flujo(row(asks, may(nodes={"sub": SubPipeline(inner, name="sub")}, steps=3)), state=store).run(
        "a"
    )
    assert result.unwrap() == "a plan plan check inner draft polish"
    assert [one.address for one in result.mutations] == ["plan", "sub/plan"]


def test_what_comes_in_takes_earlier_outputs_by_name(store: MemoryStore | None) -> None:
    async def compare(text: str, first: Annotated[str, From("first")]) -> str:
        return f"{text} [{first}]"

    nodes = {"compare": Step(compare)}
    inside = SubPipeline(row(IT.insert("compare", after="draft"), may(nodes=nodes)), name="sub")
    assert Flujo(adds("first") >> inside, state=store).run("a").unwrap() == (
        "a first plan draft [a first] polish"
    )


# What is refused


def refused(pipeline: Any, store: MemoryStore | None = None) -> str:
    result = Flujo(pipeline, state=store).run("a")
    assert result.status == "failed"
    assert isinstance(result.error, MutationRefused)
    assert result.error.address.endswith("plan")
    assert [step.address for step in result.steps if step.address.endswith("plan")] == []
    return str(result.error)


@pytest.mark.parametrize(
    ("asks", "says"),
    [
        (IT.skip("plan"), "'plan' has been reached already"),
        (IT.skip("darft"), "did you mean 'draft'?"),
        (IT.insert("chekc"), "did you mean 'check'?"),
        (IT.insert("check").insert("check"), "called 'check' already"),
        (IT.insert("no.such:thing"), "'no.such:thing' gives no node"),
        (IT.insert("json:__name__"), "str is not callable"),
        (IT.skip("draft", "draft"), "no node after it is called 'draft'"),
        (IT.insert("count"), "it takes str, but is given int"),
        (IT.append("count"), "it would come last and gives int, but str is what comes out"),
        (IT.insert("asking"), "it takes the output of 'nobody', but no node has this name"),
        (IT.insert("other"), "it asks for the context Other"),
        (IT.reconfigure("draft", model="x"), "'draft' asks for no StepInfo"),
        (IT.reconfigure("nobody", model="x"), "no later step is called 'nobody'"),
    ],
)  # fmt: skip
def test_what_does_not_fit(asks: PipelineMutation[str], says: str) -> None:
    async def count(text: str) -> int:
        return len(text)

    async def asking(text: str, more: Annotated[str, From("nobody")]) -> str:
        return text + more

    async def other(text: str, context: Other) -> str:
        return text

    nodes = {**NODES, "count": Step(count), "asking": Step(asking), "other": Step(other)}
    assert says in refused(row(asks, may(nodes=nodes)), MemoryStore())


@pytest.mark.parametrize(
    ("asks", "permission", "says"),
    [
        (IT.skip("draft"), may("insert"), "it may not skip: it may insert"),
        (IT.insert("check"), may(agents=["re*"]), "it may not bring in 'check': it may re*"),
        (IT.insert("os:system"), may(agents=["check"]), "it may not bring in 'os:system'"),
        (IT.insert("check").append("review"), may(steps=1), "2 attempts of steps, 1 are permitted"),
        (IT.reconfigure("ask", top=1), may(parameters=["*.model"]), "it may not set ask.top"),
        (
            IT.insert("check"),
            may(bound=Usage(requests=1), nodes={"check": adds("check", bound=Usage(requests=2))}),
            "may spend more requests than its bound",
        ),
    ],
)  # fmt: skip
def test_what_is_not_permitted(asks: PipelineMutation[str], permission: MayMutate, says: str) -> None:
    assert says in refused(row(asks, permission))


def test_the_worst_case_counts_retries_and_turns() -> None:
    nodes = {
        "flaky": adds("flaky", retry=3),
        "loop": Loop(adds("turn"), until=always, max_turns=4),
        "map": Map(adds("each"), over=letters) >> Step(listed),
    }
    for name, many in (("flaky", 3), ("loop", 4)):
        asks = IT.insert(name)
        assert Flujo(row(asks, may(nodes=nodes, steps=many))).run("a").success
        assert f"{many} attempts" in refused(row(asks, may(nodes=nodes, steps=many - 1)))
    assert "has no bound" in refused(row(IT.insert("map"), may(nodes=nodes)))
    assert Flujo(row(IT.insert("flaky"), may(steps=5))).plan.worst_case.attempts == 8


def test_a_step_that_brings_itself_in_again_comes_to_an_end() -> None:
    itself = planner(IT.insert("plan", name="again"), may(steps=3))
    assert "4 attempts of steps, 3 are permitted" in refused(itself)


def test_all_problems_come_at_once() -> None:
    said = refused(row(IT.skip("plan").insert("nothing").insert("check", after="never")))
    assert "its mutation has 3 problems" in said
    assert "step 'plan' (attempt 1)" in said
    assert said.count("To fix:") == 3


def test_a_node_of_another_row_cannot_be_changed() -> None:
    inside = SubPipeline(planner(IT.skip("end")), name="sub")
    assert "'end' stands in another row" in refused(inside >> adds("end"))


def test_what_has_ended_inside_of_something_was_not_kept() -> None:
    async def compare(text: str, first: Annotated[str, From("deep")]) -> str:
        return text + first

    sub = SubPipeline(adds("deep"), name="sub")
    pipeline = sub >> row(IT.insert("compare"), may(nodes={"compare": Step(compare)}))
    assert "which is inside of what has ended" in refused(pipeline)


def test_a_later_step_that_names_what_is_skipped() -> None:
    async def last(text: str, draft: Annotated[str, From("draft")]) -> str:
        return text + draft

    assert "it takes the output of 'draft'" in refused(row(IT.skip("draft")) >> Step(last))


@pytest.mark.parametrize(
    ("code", "says"),
    [("raise RuntimeError('no')", "RuntimeError: no"), ("(", "SyntaxError"), ("exit(3)", "SystemExit: 3")],
)
def test_a_module_that_cannot_be_imported(
    code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text(code)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    told = refused(row(IT.insert("broken_module:check")), MemoryStore())
    assert f"'broken_module:check' gives no node: {says}" in told


def test_what_stands_at_an_import_path_and_is_no_node_is_not_told() -> None:
    told = refused(row(IT.insert("os:environ")))
    assert "'os:environ' gives no node: _Environ is not callable" in told
    assert "PATH" not in told


def test_what_is_named_from_outside_keeps_its_type() -> None:
    async def whole(text: str) -> int | str:
        return text

    async def half(text: str) -> float:
        return 0.5

    async def told(value: int | str | float) -> str:
        return str(value)

    async def last(text: str, value: Annotated[int | str | float, From("value")]) -> str:
        return f"{text} {value}"

    nodes = {"half": Step(half), "told": Step(told)}
    asks = planner(IT.replace("value", "half"), may(nodes=nodes))
    inside = SubPipeline(asks >> Step(whole, name="value") >> Step(told), name="sub")
    assert "it would give float, but a step outside its row names it" in refused(inside >> Step(last))


def test_a_refused_mutation_is_attempted_anew_with_what_was_wrong() -> None:
    seen: list[Sequence[str]] = []

    @step(may_mutate=may(), retry=Retry(2, 0.0))
    async def plan(text: str, info: StepInfo) -> PipelineMutation[str]:
        seen.append(info.feedback)
        return PipelineMutation(text).insert("check" if info.feedback else "nothing")

    result = Flujo(plan, state=MemoryStore()).run("a")
    assert result.unwrap() == "a check"
    assert "'nothing' refers to nothing" in seen[1][0]


def test_a_fallback_changes_nothing_for_the_step_that_failed() -> None:
    pipeline = row(IT.insert("nothing"), fallback=adds("instead"))
    result = Flujo(pipeline, state=MemoryStore()).run("a")
    assert result.unwrap() == "a instead draft polish"
    assert result.mutations == ()


def test_a_rejected_output_changes_nothing() -> None:
    def never(text: str) -> str | None:
        return "no"

    pipeline = row(IT.insert("check"), validators=[never], fallback=adds("instead"))
    assert Flujo(pipeline, state=MemoryStore()).run("a").unwrap() == "a instead draft polish"


def test_two_rows_at_one_address_of_which_one_may_change() -> None:
    class Denies(GovernancePolicy):
        def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            return PolicyDecision.DENY if context.step == "fails" else PolicyDecision.ALLOW

    async def fails(text: str) -> str:
        raise ValueError(text)

    asking = row(IT.append("notify"))
    for fallback, denied in ((asking, adds("other")), (adds("other"), asking)):
        with pytest.raises(PlanError, match="which has the addresses of another"):
            Flujo(Step(fails, fallback=fallback, on_denied=denied))
    apart = Step(fails, fallback=adds("other") >> adds("more"), on_denied=SubPipeline(asking, name="sub"))
    assert Flujo(apart).run("a").unwrap() == "a other more"
    assert Flujo(apart, policies=[Denies()]).run("a").unwrap() == "a plan draft polish notify"


def test_what_policies_do_not_let_run_there_is_refused() -> None:
    class Judges(GovernancePolicy):
        def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
            return PolicyDecision.ALLOW

    async def words(text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    async def loud(words: AsyncIterator[str]) -> AsyncIterator[str]:
        async for word in words:
            yield word.upper()

    seen: list[Sequence[str]] = []

    async def plan(text: str, info: StepInfo) -> str | PipelineMutation[str]:
        seen.append(info.feedback)
        return text if info.feedback else PipelineMutation(text).append("loud")

    permission = may(nodes={"loud": StreamingStep(loud)})
    pipeline = Step(plan, may_mutate=permission, retry=Retry(attempts=2)) >> StreamingStep(words)
    assert Flujo(pipeline, policies=[Judges()]).run("a b").unwrap() == "ab"
    assert "a policy judges what goes into 'words'" in seen[1][0]


def test_a_step_without_permission() -> None:
    async def plan(text: str) -> str | PipelineMutation[str]:
        return text

    with pytest.raises(PlanError, match="nothing permits it to change the pipeline"):
        Flujo(Step(plan))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MayMutate(), "permits no operation"),
        (lambda: MayMutate("delete"), r"MayMutate\('delete'\)"),  # pyright: ignore[reportArgumentType]
        (lambda: MayMutate("insert"), "names no agents"),
        (lambda: MayMutate("insert", agents=["*"]), "names no steps"),
        (lambda: MayMutate("insert", agents="*", steps=1), "pass a list of patterns"),
        (lambda: MayMutate("reconfigure"), "but no parameter"),
        (lambda: MayMutate("skip", steps=-1), "steps=-1"),
        (lambda: Step(a_function, may_mutate=3), "may_mutate=3"),  # pyright: ignore[reportCallIssue, reportArgumentType]
        (lambda: Step(a_function, may_mutate=MayMutate("skip"), cache=True), "its output is cached"),
        (lambda: PipelineMutation("a").insert(NODES["check"]), "nodes are recorded by reference"),  # pyright: ignore[reportArgumentType]
        (lambda: PipelineMutation("a").reconfigure("draft"), "gives no parameter"),
        (lambda: Reconfigure("a", step="draft", model={1, 2}), "is no JSON value"),
        (lambda: PipelineMutation("a").insert("check", name="a/b"), "which addresses are made with"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(make: Callable[[], object], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        make()


def test_mutations_are_immutable() -> None:
    first = PipelineMutation("a")
    assert first.insert("check") is not first
    assert first.changes == ()
    with pytest.raises(AttributeError, match="immutable"):
        first.changes = ()


# Parameters


async def ask(text: str, info: StepInfo) -> str:
    return f"{text} {json.dumps(dict(info.parameters), sort_keys=True)}"


def test_parameters_reach_later_steps(store: MemoryStore | None) -> None:
    async def plan(text: str) -> Reconfigure[str]:
        return Reconfigure(text, step="ask", model="m", temperature=0.2)

    permission = MayMutate("reconfigure", parameters=["ask.*"])
    pipeline = Step(plan, may_mutate=permission) >> adds("draft") >> Step(ask)
    assert Flujo(pipeline, state=store).run("a").unwrap() == 'a draft {"model": "m", "temperature": 0.2}'


def test_parameters_hold_for_that_row_only(store: MemoryStore | None) -> None:
    @step(may_mutate=may("reconfigure"))
    async def plan(text: str) -> str | Reconfigure[str]:
        return text if "{" in text else Reconfigure(text, step="ask", turn=1)

    loop = Loop(plan >> Step(ask), until=two_braces, max_turns=3)
    assert Flujo(loop >> Step(ask, name="after"), state=store).run("a").unwrap() == 'a {"turn": 1} {} {}'


def test_parameters_of_steps_inside_later_nodes() -> None:
    sub = SubPipeline(Loop(Step(ask), until=always, max_turns=1), name="sub")
    for name in ("ask", "sub/loop/ask", "sub/loop[]/ask"):
        asks = IT.reconfigure(name, n=1)
        assert Flujo(planner(asks) >> sub).run("a").unwrap() == 'a plan {"n": 1}'


# After a crash, a pause, a change of the code


def test_a_resumed_run_goes_on_in_the_row_that_it_had() -> None:
    calls: list[str] = []
    store = MemoryStore()

    def pipeline() -> Any:
        async def plan(text: str) -> PipelineMutation[str]:
            calls.append("plan")
            return PipelineMutation(text).insert("check").insert("ask").skip("draft").reconfigure("show", n=1)

        nodes = {**NODES, "ask": HumanInput("ok?", schema=str)}
        return Step(plan, may_mutate=may(nodes=nodes)) >> adds("draft") >> Step(ask, name="show")

    paused = Flujo(pipeline(), state=store).run("a", run_id="one")
    assert [one.address for one in paused.pending] == ["ask"]
    runner = Flujo(pipeline(), state=store)
    with pytest.raises(Exception, match="does not fit"):
        runner.resume("one", 5)
    result = runner.resume("one", "yes")
    assert result.unwrap() == 'yes {"n": 1}'
    assert calls == ["plan"]
    again = runner.resume("one")
    assert [one.address for one in again.steps] == ["plan", "check", "show"]
    assert again.mutations == result.mutations
    assert again.output == result.output


def test_the_mutation_is_recorded_in_the_commit_of_its_step() -> None:
    store = MemoryStore()
    Flujo(row(IT.insert("check")), state=store).run("a", run_id="one")
    events = asyncio.run(store.events("one"))
    at = [event.kind for event in events].index("mutated")
    assert [(event.kind, event.address) for event in events[at : at + 2]] == [
        ("mutated", "plan"), ("step.completed", "plan"),
    ]  # fmt: skip
    facts = json.loads(events[at].body)
    assert facts["operations"] == [{"operation": "insert", "node": "check"}]
    assert facts["added"]["check"]["node"] == "check"
    assert b"pickle" not in events[at].body


def paused_run(store: MemoryStore, nodes: dict[str, Any], permission: MayMutate | None = None) -> Any:
    pipeline = (
        planner(IT.insert("check"), permission or may(nodes=nodes))
        >> HumanInput("ok?", schema=str)
        >> adds("end")
    )
    return Flujo(pipeline, state=store)


def test_a_reference_that_stands_for_something_else_is_refused() -> None:
    store = MemoryStore()

    async def other(text: str) -> str:
        return text

    runner = paused_run(store, {"check": adds("check")})
    assert runner.run("a", run_id="one").status == "paused"
    for nodes in (
        {"check": Step(other)},
        {"review": adds("review")},
        {"check": adds("check") >> adds("more")},
    ):
        changed, before = paused_run(store, nodes), asyncio.run(store.events("one"))
        with pytest.raises(PlanChanged, match="check") as raised:
            changed.resume("one", "yes")
        assert raised.value.addresses == ("check",)
        assert asyncio.run(store.events("one")) == before
        record = asyncio.run(store.run("one"))
        assert record is not None
        assert record.status == "paused"
    assert paused_run(store, {"check": adds("check")}).resume("one", "yes").unwrap() == "yes end"


def test_a_fork_where_the_step_decides_anew_needs_nothing_that_it_brought_in() -> None:
    store = MemoryStore()
    paused_run(store, {"check": adds("check")}).run("a", run_id="one")
    changed = paused_run(store, {"check": adds("check") >> adds("more")})
    with pytest.raises(PlanChanged, match="check"):
        asyncio.run(changed.fork("one", at="check"))
    with pytest.raises(PlanChanged, match="check"):
        asyncio.run(changed.fork("one", at="human_input"))
    forked = asyncio.run(changed.fork("one", at="plan"))
    assert forked.status == "paused"
    assert changed.resume(forked.run_id, "yes").unwrap() == "yes end"


def test_a_run_whose_reference_cannot_be_imported_any_more_is_refused_and_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "moved_module.py"
    module.write_text("async def check(text: str) -> str:\n    return text")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    runner = Flujo(
        planner(IT.append("moved_module:check")) >> HumanInput("?", schema=str), state=MemoryStore()
    )
    assert runner.run("a", run_id="one").status == "paused"
    monkeypatch.delitem(sys.modules, "moved_module")
    module.write_text("raise RuntimeError('it moved')")
    invalidate_caches()
    with pytest.raises(PlanChanged, match="RuntimeError: it moved"):
        runner.resume("one", "yes")
    assert asyncio.run(runner.cancel("one")).status == "cancelled"


def test_nothing_runs_before_a_changed_reference_is_refused() -> None:
    store, ran = MemoryStore(), list[str]()

    def runner(name: str) -> Any:
        async def end(text: str) -> str:
            ran.append(text)
            return text

        first = HumanInput("b?", schema=str) >> Step(end)
        other = planner(IT.insert("check"), may(nodes={"check": adds(name)})) >> HumanInput("a?", schema=str)
        return Flujo(Parallel(b=first, a=other), state=store)

    async def something_else(text: str) -> str:
        return text

    nodes = {"check": Step(something_else)}
    runner("check").run("a", run_id="one")
    changed = planner(IT.insert("check"), may(nodes=nodes)) >> HumanInput("a?", schema=str)

    async def end(text: str) -> str:
        ran.append(text)
        return text

    lanes = Parallel(b=HumanInput("b?", schema=str) >> Step(end), a=changed)
    with pytest.raises(PlanChanged):
        Flujo(lanes, state=store).resume("one", "yes", request="parallel/b/human_input")
    assert ran == []


def test_permission_that_is_gone_is_another_plan() -> None:
    store = MemoryStore()
    paused_run(store, NODES).run("a", run_id="one")

    async def plan(text: str) -> str:
        return text

    without = Flujo(Step(plan) >> HumanInput("ok?", schema=str) >> adds("end"), state=store)
    assert without.plan.digests["plan"] != paused_run(store, NODES).plan.digests["plan"]
    with pytest.raises(PlanChanged):
        without.resume("one", "yes")
    report = asyncio.run(without.upgrade("one", check=True))
    assert report.verdict == "impossible"
    assert "changed the pipeline" in report.reason


def test_narrower_permission_does_not_undo_what_was_permitted() -> None:
    store = MemoryStore()
    paused_run(store, NODES).run("a", run_id="one")
    narrower = paused_run(store, NODES, MayMutate("insert", steps=1, agents=["other"], nodes=NODES))
    assert narrower.resume("one", "yes").unwrap() == "yes end"


def test_an_upgraded_run_keeps_its_mutation() -> None:
    store = MemoryStore()
    paused_run(store, NODES).run("a", run_id="one")
    pipeline = planner(IT.insert("check")) >> HumanInput("ok?", schema=str) >> adds("end") >> adds("new")
    longer = Flujo(pipeline, state=store)
    report = asyncio.run(longer.upgrade("one"))
    assert (report.verdict, report.upgraded) == ("safe", True)
    result = longer.resume("one", "yes")
    assert result.unwrap() == "yes end new"
    assert result.mutations[0].row == ("plan", "check", "human_input", "end", "new")
    assert asyncio.run(longer.replay("one")).differences == ()


def test_replays_forks_and_comparisons_know_the_mutation() -> None:
    async def main() -> None:
        store = MemoryStore()
        asks = iter(["check", "review"])

        async def plan(text: str) -> PipelineMutation[str]:
            return PipelineMutation(f"{text} plan").insert(next(asks)).append("notify")

        pipeline = Step(plan, may_mutate=may()) >> adds("draft") >> adds("polish")
        runner = Flujo(pipeline, state=store)
        first = await runner.run_async("a", run_id="one")
        assert first.unwrap() == "a plan check draft polish notify"
        report = await runner.replay("one")
        assert report.equal, str(report)
        assert report.steps == 5
        shared = await runner.fork("one", at="check", input="b")
        assert shared.unwrap() == "b check draft polish notify"
        assert (await runner.replay(shared.run_id)).equal
        anew = await runner.fork("one", at="plan")
        assert anew.unwrap() == "a plan review draft polish notify"
        compared = await compare_runs(store, "one", anew.run_id)
        assert {one.address: one.parts for one in compared.differing if one.state == "changed"}["plan"] == (
            "mutated",
        )
        assert {one.address: one.state for one in compared.executions}["check"] == "only_first"

    asyncio.run(main())


def test_what_came_in_is_undone() -> None:
    undone: list[str] = []

    async def fails(text: str) -> str:
        raise ValueError("no")

    for store in (None, MemoryStore()):
        nodes = {"check": adds("check", undo=undone.append)}
        pipeline = planner(IT.insert("check"), may(nodes=nodes)) >> Step(fails)
        assert Flujo(pipeline, state=store).run("a").status == "failed"
    assert undone == ["a plan check"] * 2


# Quotas


def spends(name: str) -> Step[str, str]:
    async def spend(text: str, info: StepInfo) -> str:
        info.report(Usage(requests=1))
        return f"{text} {name}"

    return Step(spend, name=name, bound=Usage(requests=1))


def test_what_comes_in_counts_where_the_step_counts() -> None:
    nodes = {"check": spends("check"), "review": spends("review")}
    inside = planner(IT.insert("check").insert("review"), may(nodes=nodes))
    result = Flujo(inside.within(Quota(requests=1)) >> spends("end")).run("a")
    assert isinstance(result.error, QuotaExceeded)
    assert result.error.address == "review"
    assert Flujo(inside.within(Quota(requests=2)) >> spends("end")).run("a").success


@pytest.mark.parametrize("limit", [2, 3])
def test_a_resumed_run_counts_what_came_in(limit: int) -> None:
    store = MemoryStore()
    nodes = {"check": spends("check"), "review": spends("review")}

    def runner() -> Any:
        first = planner(IT.insert("check").insert("review"), may(nodes=nodes))
        both = (first >> HumanInput("ok?", schema=str) >> spends("end")).within(Quota(requests=limit))
        return Flujo(both >> adds("after"), state=store)

    assert runner().run("a", run_id="one").status == "paused"
    result = runner().resume("one", "yes")
    assert (result.status, result.usage.requests) == (("failed", 2) if limit == 2 else ("completed", 3))


def test_what_came_in_counts_for_what_runs_beside_it() -> None:
    store = MemoryStore()
    nodes = {"check": spends("check"), "review": spends("review")}

    def runner() -> Any:
        one = planner(IT.insert("check").insert("review"), may(nodes=nodes)) >> HumanInput("a?", schema=str)
        other = HumanInput("b?", schema=str) >> spends("end")
        return Flujo(Parallel(a=one, b=other).within(Quota(requests=2)), state=store)

    paused = runner().run("a", run_id="one")
    asked = next(one for one in paused.pending if "/b/" in one.address)
    result = runner().resume("one", "yes", request=asked.address)
    assert (result.status, result.error.code) == ("failed", "quota_exceeded")
    assert result.usage.requests == 2


def test_a_quota_over_runs_that_comes_in_is_settled() -> None:
    async def main() -> None:
        store = MemoryStore()
        nodes = {"check": spends("check").within(Quota(requests=1, per="day"))}
        runner = Flujo(row(IT.insert("check"), may(nodes=nodes)), state=store)
        assert (await runner.run_async("a")).success
        second = await runner.run_async("a")
        assert isinstance(second.error, QuotaExceeded)
        assert not await store.reservations(second.run_id)

    asyncio.run(main())


class Redacts(GovernancePolicy):
    """Denies what a node called `secret` is given, and takes a word out of what steps give."""

    def check_input(self, context: PolicyContext, input_data: object) -> PolicyDecision:
        return PolicyDecision.DENY if context.step == "secret" else PolicyDecision.ALLOW

    def check_output(self, context: PolicyContext, output: object) -> PolicyDecision:
        return PolicyDecision.redact(str(output).replace("plan", "****"))


def test_policies_judge_what_comes_in_and_what_the_step_gives() -> None:
    asks = IT.insert("check").append("check", name="secret")
    result = Flujo(row(asks), policies=[Redacts()], state=MemoryStore()).run("a")
    assert isinstance(result.error, PolicyDenied)
    assert result.error.address == "secret"
    assert result.steps["plan"].output == "a ****"
    assert result.steps["polish"].output == "a **** check draft polish"


def test_a_quota_that_comes_in_holds() -> None:
    nodes = {"twice": (spends("check") >> spends("review")).within(Quota(requests=1))}
    result = Flujo(row(IT.insert("twice"), may(nodes=nodes)), state=MemoryStore()).run("a")
    assert isinstance(result.error, QuotaExceeded)
    assert result.error.address == "twice/review"


def test_the_worst_case_counts_what_may_come_in() -> None:
    plain = Flujo(row(IT, may(steps=2)), quota=Quota(steps=4))
    with pytest.raises(QuotaExceeded, match=r"1 steps? too much"):
        plain.run("a", quota="refuse")
    bounded = may(steps=2, bound=Usage(requests=3))
    assert Flujo(row(IT, bounded), quota=Quota(steps=5, requests=3)).run("a", quota="refuse").success
    with pytest.raises(QuotaExceeded, match="declares no bound"):
        Flujo(row(IT, may(steps=2)), quota=Quota(requests=3)).run("a", quota="refuse")
