# ruff: noqa: E501  the checker's own words stand here as they are
"""Checking: every problem that a pipeline can have is found before anything runs, with its place and remedy."""

import enum
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, NoReturn, cast

import pytest
from inline_snapshot import snapshot
from pydantic import ConfigDict

from flujo import (
    Branch,
    Flujo,
    From,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Node,
    Parallel,
    Pipeline,
    PipelineContext,
    Step,
    StepInfo,
    StopPipeline,
    SubPipeline,
    WaitForEvent,
    step,
)
from flujo.errors import PlanError
from flujo.plan.place import MAX_LEVELS


@step
async def number(x: int) -> int:
    return x


@step
async def text(x: int) -> str:
    return str(x)


@step
async def shout(words: str) -> str:
    return words.upper()


@step
async def numbers(x: int) -> list[int]:
    return [x]


def untyped(node: Any) -> Node[Any, Any]:
    """Return a node as a type checker that sees nothing would."""
    return node


def problems(node: Any, **settings: Any) -> str:
    """Return what the checker says of a pipeline."""
    with pytest.raises(PlanError) as caught:
        Flujo(node, **settings)
    assert all(problem.fix and problem.message for problem in caught.value.problems)
    return str(caught.value)


def even(x: int) -> bool:
    return x % 2 == 0


class TestTypes:
    def test_an_edge_that_does_not_fit(self) -> None:
        assert problems(untyped(number) >> shout) == snapshot("""\
the pipeline has 1 problem:
  1. shout: it takes str, but is given int
      To fix: put a step between that converts, or change one of the two annotations\
""")

    def test_the_first_step_takes_what_it_likes(self) -> None:
        Flujo(shout)

    def test_what_a_parallel_gives(self) -> None:
        async def join(both: dict[str, str]) -> str:
            return ""

        assert problems(Parallel(a=number, b=number) >> untyped(Step(join))) == snapshot("""\
the pipeline has 1 problem:
  1. join: it takes dict[str, str], but is given Parallel
      To fix: put a step between that converts, or change one of the two annotations\
""")

    def test_what_a_map_gives(self) -> None:
        assert problems(untyped(numbers) >> Map(shout)) == snapshot("""\
the pipeline has 1 problem:
  1. map[]/shout: it takes str, but is given int
      To fix: put a step between that converts, or change one of the two annotations\
""")

    def test_what_has_no_items(self) -> None:
        assert problems(untyped(number) >> Map(number)) == snapshot("""\
the pipeline has 1 problem:
  1. map: it maps over int, which has no items
      To fix: give it a list, or pass over=\
""")

    def test_a_loop_that_cannot_turn_again(self) -> None:
        assert problems(Loop(untyped(text), until=bool, max_turns=2)) == snapshot("""\
the pipeline has 1 problem:
  1. loop: its body gives str, but the next turn takes int
      To fix: let the body give what it takes\
""")

    def test_a_condition_of_another_type(self) -> None:
        def long(words: str) -> bool:
            return len(words) > 3

        assert problems(Loop(number, until=untyped_function(long), max_turns=2)) == snapshot("""\
the pipeline has 1 problem:
  1. loop: until takes str, but is given int
      To fix: change its annotation\
""")

    def test_a_fallback_that_gives_something_else(self) -> None:
        async def work(x: int) -> int:
            return x

        assert problems(Step(work, fallback=text)) == snapshot("""\
the pipeline has 1 problem:
  1. work/text: it gives str in the place of 'work', which gives int
      To fix: let both give one type\
""")

    def test_a_denial_that_gives_something_else(self) -> None:
        assert problems(number >> HumanInput("?", schema=int, on_deny=untyped(text))) == snapshot("""\
the pipeline has 1 problem:
  1. human_input/text: it gives str in the place of 'human_input', which gives int
      To fix: let both give one type\
""")

    def test_a_late_event_that_gives_something_else(self) -> None:
        event = WaitForEvent("paid", schema=int, timeout=timedelta(1), on_timeout=untyped(text))
        assert problems(number >> event) == snapshot("""\
the pipeline has 1 problem:
  1. paid/text: it gives str in the place of 'paid', which gives int
      To fix: let both give one type\
""")

    def test_the_mappings_of_a_sub_pipeline(self) -> None:
        def words(x: int) -> str:
            return str(x)

        assert problems(SubPipeline(untyped(number), input=words, name="inner")) == snapshot("""\
the pipeline has 1 problem:
  1. inner/number: it takes int, but is given str
      To fix: put a step between that converts, or change one of the two annotations\
""")

    def test_a_validator_of_another_type(self) -> None:
        async def work(x: int) -> int:
            return x

        def judge(output: str) -> bool:
            return True

        assert problems(Step(work, validators=[judge])) == snapshot("""\
the pipeline has 1 problem:
  1. work: a validator takes str, but is given int
      To fix: change its annotation\
""")

    def test_an_undo_of_another_type(self) -> None:
        async def work(x: int) -> int:
            return x

        def undo(output: str) -> None:
            return None

        assert problems(Step(work, undo=undo)) == snapshot("""\
the pipeline has 1 problem:
  1. work: undo takes str, but is given int
      To fix: change its annotation\
""")


def untyped_function(function: Any) -> Any:
    return function


class TestNames:
    def test_two_nodes_of_one_name(self) -> None:
        assert problems(number >> number) == snapshot("""\
the pipeline has 1 problem:
  1. number: 2 nodes in a row of steps are called 'number'
      To fix: give each its own name: `node.named("number_2")` or `Step(…, name="number_2")`\
""")

    def test_the_same_name_at_another_level_is_fine(self) -> None:
        Flujo(number >> SubPipeline(number, name="sub") >> Loop(number, until=even, max_turns=2))

    def test_unnamed_containers_are_counted(self) -> None:
        plan = Flujo(Loop(number, until=even, max_turns=2) >> Loop(number, until=even, max_turns=2)).plan
        assert list(plan.nodes) == ["loop", "loop[]/number", "loop-2", "loop-2[]/number"]


class TestNamedInputs:
    @staticmethod
    def taking(name: str) -> Step[int, int]:
        async def takes(x: int, early: Annotated[int, From(name)]) -> int:
            return x

        return Step(takes)

    def test_a_name_that_nobody_bears(self) -> None:
        assert problems(number >> self.taking("numbr")) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'numbr', but no node has this name
      To fix: did you mean 'number'?\
""")

    def test_a_later_step(self) -> None:
        assert problems(self.taking("number") >> number) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'number', which does not run before it on every path
      To fix: name something that has ended before it begins\
""")

    def test_a_step_of_another_type(self) -> None:
        node = text >> HumanInput("?", schema=int) >> self.taking("text")
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. takes: 'early' takes int, but 'text' gives str
      To fix: change one of the two annotations, or put a step between that converts\
""")

    def test_a_step_that_runs_in_one_case_only(self) -> None:
        branch = Branch(on=even, cases={True: number, False: number.named("other")}, name="route")
        assert problems(branch >> self.taking("number")) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'route/true/number', which may not have run: it runs only in case 'true' of 'route'
      To fix: name something that runs on every path, such as the container's own output\
""")

    def test_a_step_that_runs_for_each_item(self) -> None:
        node = numbers >> Map(number) >> Step(first) >> self.taking("number")
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'map[]/number', which may not have run: it runs once for each item of 'map': name the map's own output instead
      To fix: name something that runs on every path, such as the container's own output\
""")

    def test_a_fallback(self) -> None:
        async def work(x: int) -> int:
            return x

        assert problems(Step(work, fallback=number) >> self.taking("number")) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'work/number', which may not have run: it is only the fallback of 'work'
      To fix: name something that runs on every path, such as the container's own output\
""")

    def test_a_way_out_of_a_denial(self) -> None:
        node = HumanInput("?", schema=int, on_deny=number) >> self.taking("number")
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'human_input/number', which may not have run: it runs only when the person denies
      To fix: name something that runs on every path, such as the container's own output\
""")

    def test_a_branch_that_may_fail_and_is_collected(self) -> None:
        async def join(results: tuple[Any, ...]) -> int:
            return 0

        node = Parallel(number, on_failure="collect") >> Step(join) >> self.taking("number")
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'parallel/0/number', which may not have run: its branch of 'parallel' may fail, and is then collected
      To fix: name something that runs on every path, such as the container's own output\
""")

    def test_a_name_that_two_branches_bear(self) -> None:
        async def join(results: tuple[int, int]) -> int:
            return 0

        node = Parallel(number, number) >> Step(join) >> self.taking("number")
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. takes: it takes the output of 'parallel/1/number', which may not have run: two nodes bear this name: parallel/0/number and parallel/1/number
      To fix: name something that runs on every path, such as the container's own output\
""")

    def test_a_sibling_branch(self) -> None:
        assert problems(Parallel(number, self.taking("number"))) == snapshot("""\
the pipeline has 1 problem:
  1. parallel/1/takes: it takes the output of 'parallel/0/number', which does not run before it on every path
      To fix: name something that has ended before it begins\
""")

    def test_a_parameter_that_is_not_there(self) -> None:
        async def takes(x: int) -> int:
            return x

        assert problems(number >> Step(takes, inputs={"erly": number.output})) == snapshot("""\
the pipeline has 1 problem:
  1. takes: inputs names 'erly', which the function does not take
      To fix: choose from x\
""")

    @pytest.mark.parametrize(
        "held",
        [
            lambda: Loop(number, until=even, max_turns=2),
            lambda: SubPipeline(number, name="sub"),
            lambda: Parallel(number, name="both") >> Step(first),
            lambda: Parallel(name="both", a=number, b=number.named("b")) >> Step(of_labels),
            lambda: Loop(SubPipeline(number, name="sub"), until=even, max_turns=2),
        ],
    )
    def test_what_certainly_ran_may_be_named(self, held: Callable[[], Node[int, int]]) -> None:
        Flujo(held() >> self.taking("number"))
        Flujo(SubPipeline(held() >> self.taking("number"), name="outer"))

    def test_a_container_may_be_named(self) -> None:
        node = Branch(on=even, cases={True: number, False: number}, name="route")
        Flujo(node >> self.taking("route"))


async def first(items: tuple[int, ...] | list[int]) -> int:
    return items[0]


@step
async def of_anything(values: object) -> None: ...


async def of_labels(labels: dict[str, int]) -> int:
    return 0


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class TestCases:
    def test_a_key_without_a_case(self) -> None:
        def kind(x: int) -> Literal["invoice", "letter", "scan"]:
            return "scan"

        assert problems(Branch(on=kind, cases={"invoice": number}, name="kind")) == snapshot("""\
the pipeline has 1 problem:
  1. kind: nothing runs for 'letter', 'scan'
      To fix: add the case, or pass default=\
""")

    def test_a_case_that_is_never_reached(self) -> None:
        def kind(x: int) -> Literal["invoice", "letter"]:
            return "letter"

        node = Branch(
            on=untyped_function(kind),
            cases={"invoice": number, "letter": number, "scan": number},
            name="kind",
        )
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. kind: unreachable: 'scan'; `on` gives only 'invoice', 'letter'
      To fix: remove the case, or widen what `on` returns\
""")

    def test_a_default_that_is_never_reached(self) -> None:
        node = Branch(on=even, cases={True: number, False: number}, default=number, name="parity")
        assert problems(node) == snapshot("""\
the pipeline has 1 problem:
  1. parity: unreachable: default; `on` gives only True, False
      To fix: remove the case, or widen what `on` returns\
""")

    def test_a_bool_without_a_case(self) -> None:
        assert "nothing runs for False" in problems(Branch(on=even, cases={True: number}))


async def give_up(x: int) -> NoReturn:
    raise StopPipeline(f"{x} is too much")


gives_up = cast("Step[int, NoReturn]", Step(give_up, name="gives_up"))


class TestReach:
    def test_what_follows_a_step_that_never_returns(self) -> None:
        assert problems(number >> gives_up >> text >> shout) == snapshot("""\
the pipeline has 1 problem:
  1. text: unreachable: 'gives_up' before it is declared to give NoReturn, so nothing runs after it
      To fix: remove it, or annotate what 'gives_up' returns\
""")

    @pytest.mark.parametrize(
        "ends",
        [
            Parallel(a=number, b=gives_up),
            Loop(untyped(gives_up), until=even, max_turns=2),
            SubPipeline(number >> gives_up, output=even),
            Branch(on=even, cases={True: gives_up, False: number >> gives_up}),
        ],
        ids=lambda node: type(node).__name__,
    )
    def test_what_follows_a_container_that_never_returns(self, ends: Node[int, Any]) -> None:
        assert "unreachable" in problems(ends >> untyped(text))

    @pytest.mark.parametrize(
        ("goes_on", "output"),
        [
            (Branch(on=even, cases={True: gives_up, False: text}) >> shout, "1"),
            (Branch(on=even, cases={False: text, True: gives_up}) >> shout, "1"),
            (Step(gives_up.agent, fallback=text) >> untyped(shout), None),
            (Parallel(a=gives_up, on_failure="collect") >> untyped(of_anything), None),
            (numbers >> Map(gives_up, on_failure="collect") >> untyped(of_anything), None),
            (number >> gives_up, None),
        ],
        ids=["branch", "branch reversed", "fallback", "collected", "mapped", "last"],
    )
    def test_what_may_be_reached_is_fine(self, goes_on: Node[int, Any], output: str | None) -> None:
        assert Flujo(goes_on, state=MemoryStore()).run(1).output == output

    def test_a_case_that_gives_up_ends_the_run(self) -> None:
        runner = Flujo(Branch(on=even, cases={True: gives_up, False: text}) >> shout, state=MemoryStore())
        assert runner.run(2).reason == "2 is too much"


def nested(levels: int, around: Callable[[Any], Any]) -> Any:
    node: Any = number
    for _ in range(levels - 1):
        node = around(node)
    return node


NESTINGS: dict[str, Callable[[Any], Any]] = {
    "sub": SubPipeline,
    "parallel": lambda node: number >> Parallel(node) >> Step(first),
    "loop": lambda node: Loop(node, until=even, max_turns=1, on_exhausted="return"),
    "branch": lambda node: Branch(on=even, cases={True: number, False: node}),
    "map": lambda node: numbers >> Map(node) >> Step(first),
    "fallback": lambda node: Step(number.agent, fallback=node),
    "denied": lambda node: HumanInput("?", int, on_deny=node),
}


class TestDepth:
    @pytest.mark.parametrize("around", NESTINGS.values(), ids=NESTINGS)
    def test_the_deepest_nesting_checks_and_runs(self, around: Callable[[Any], Any]) -> None:
        runner = Flujo(nested(MAX_LEVELS, around), state=MemoryStore())
        assert runner.plan.worst_case.steps
        assert runner.run(1).status in ("completed", "paused")

    @pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 300, 5_000])
    @pytest.mark.parametrize("around", NESTINGS.values(), ids=NESTINGS)
    def test_a_deeper_one_is_refused(self, around: Callable[[Any], Any], levels: int) -> None:
        assert "more than 64 levels deep" in problems(nested(levels, around))

    def test_the_error_says_what_to_do(self) -> None:
        assert problems(nested(5_000, lambda node: SubPipeline(number.named("n") >> node))) == snapshot("""\
the pipeline has 1 problem:
  1. sub: its nodes lie in one another more than 64 levels deep
      To fix: join what runs in turn with >>, which nests nothing; let a Loop repeat what repeats\
""")

    def test_a_long_chain_is_not_deep(self) -> None:
        chain = Pipeline(*(number.named(f"s{index}") for index in range(5_000)))
        assert Flujo(chain).run(1).output == 1


class TestSignatures:
    def test_a_parameter_without_a_source(self) -> None:
        async def takes(x: int, y: int) -> int:
            return x

        assert problems(Step(takes)) == snapshot("""\
the pipeline has 1 problem:
  1. takes: parameter 'y' has no source
      To fix: name one: inputs={"y": step.output}, or annotate it: From("step"), PipelineContext, StepInfo\
""")

    def test_one_with_a_default_needs_none(self) -> None:
        async def takes(x: int, y: int = 3) -> int:
            return x + y

        assert Flujo(Step(takes)).run(1).output == 4

    def test_a_generator(self) -> None:
        def pieces(x: int):
            yield x

        assert problems(Step(untyped_function(pieces))) == snapshot("""\
the pipeline has 1 problem:
  1. pieces: the function is a generator: it would give its output piece by piece
      To fix: return the whole value\
""")

    def test_an_annotation_that_cannot_be_resolved(self) -> None:
        async def takes(x: "Missing") -> int:  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]
            return 1

        assert problems(Step(untyped_function(takes))) == snapshot("""\
the pipeline has 1 problem:
  1. takes: its annotations cannot be resolved: name 'Missing' is not defined
      To fix: define the type at the top of a module\
""")

    def test_two_context_classes_that_exclude_each_other(self) -> None:
        class One(PipelineContext):
            one: int = 0

        class Two(PipelineContext):
            two: int = 0

        async def first(x: int, context: One) -> int:
            return x

        async def second(x: int, context: Two) -> int:
            return x

        assert problems(Step(first) >> Step(second)) == snapshot("""\
the pipeline has 1 problem:
  1. second: it asks for the context Two, but runs have One
      To fix: pass Flujo(…, context_model=Two), or ask for a class that One derives from\
""")

    def test_a_context_model_that_lacks_what_a_step_asks_for(self) -> None:
        class One(PipelineContext):
            one: int = 0

        async def uses(x: int, context: One) -> int:
            return x

        assert problems(Step(uses), context_model=PipelineContext) == snapshot("""\
the pipeline has 1 problem:
  1. uses: it asks for the context One, but runs have PipelineContext
      To fix: pass Flujo(…, context_model=One), or ask for a class that PipelineContext derives from\
""")

    def test_the_most_derived_context_is_chosen(self) -> None:
        class One(PipelineContext):
            one: int = 0

        class Two(One):
            two: int = 0

        async def first(x: int, context: One) -> int:
            return x

        async def second(x: int, context: Two) -> int:
            return x

        assert Flujo(Step(second) >> Step(first)).plan.context_model is Two

    def test_what_is_asked_by_annotation_may_stand_anywhere(self) -> None:
        async def takes(info: StepInfo, context: PipelineContext, x: int) -> str:
            return f"{info.address} {x} {context.scratchpad}"

        assert Flujo(untyped(Step(untyped_function(takes)))).run(1).output == "takes 1 {}"


class Handle:
    pass


class TestRecording:
    @pytest.mark.parametrize(
        "settings", [{"cache": True}, {"cache": str}, {"effects": "at_most_once"}], ids=str
    )
    def test_what_is_cached_or_asked_of_a_person_without_a_store(self, settings: Any) -> None:
        async def opens(x: int) -> Handle:
            return Handle()

        assert "opens: its output type Handle cannot be recorded" in problems(Step(opens, **settings))
        assert Flujo(Step(opens)).run(1).success

    def test_an_output_that_cannot_be_recorded(self) -> None:
        async def opens(x: int) -> Handle:
            return Handle()

        said = problems(Step(opens), state=MemoryStore())
        assert "1. opens: its output type Handle cannot be recorded" in said
        assert Flujo(Step(opens)).run(1).success

    def test_an_input_that_cannot_be_recorded(self) -> None:
        async def reads(handle: Handle) -> int:
            return 1

        said = problems(Step(reads), state=MemoryStore())
        assert "Handle" in said
        assert "reads" in said

    def test_an_answer_that_cannot_be_recorded(self) -> None:
        assert "human_input" in problems(HumanInput("?", schema=Handle), state=MemoryStore())

    def test_a_context_that_cannot_be_recorded(self) -> None:
        class Odd(PipelineContext):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            handle: Handle | None = None

        async def uses(x: int, odd: Odd) -> int:
            return x

        said = problems(Step(uses), state=MemoryStore())
        assert "context.handle" in said

    def test_a_lock(self) -> None:
        async def opens(x: int) -> threading.Event:
            return threading.Event()

        assert "opens" in problems(Step(opens), state=MemoryStore())


def test_all_problems_stand_in_one_error_in_the_order_of_the_pipeline() -> None:
    async def takes(x: int, early: Annotated[int, From("nobody")]) -> Handle:
        return Handle()

    node = (
        untyped(untyped(number) >> shout)
        >> untyped(Parallel(Step(takes), Loop(untyped(text), until=bool, max_turns=2)))
        >> untyped(Branch(on=even, cases={True: number}))
        >> number
    )
    with pytest.raises(PlanError) as caught:
        Flujo(node, state=MemoryStore())
    assert [problem.address for problem in caught.value.problems] == snapshot(
        [
            "number",
            "shout",
            "parallel/0/takes",
            "parallel/0/takes",
            "parallel/0/takes",
            "parallel/1/loop",
            "parallel/1/loop",
            "parallel/1/loop[]/text",
            "branch",
            "branch",
            "branch/true/number",
        ]
    )
    assert str(caught.value).startswith(f"the pipeline has {len(caught.value.problems)} problems:\n  1. ")


def test_nothing_ran_and_nothing_was_written(tmp_path: Any) -> None:
    path = tmp_path / "flujo_ops.db"
    problems(number >> number, state=path)
    assert not path.exists()
