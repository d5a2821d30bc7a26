"""Definitions: immutable data that is joined, renamed and compared by what it holds."""

import copy
import dataclasses
import math
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import (
    Flujo,
    Loop,
    Map,
    Node,
    Parallel,
    Pipeline,
    Retry,
    Step,
    SubPipeline,
    Usage,
    step,
)
from flujo.errors import PipelineError


@step
async def add(x: int) -> int:
    return x + 1


@step
async def double(x: int) -> int:
    return 2 * x


class TestJoining:
    def test_pipelines_are_flat(self) -> None:
        left, right = (add >> double) >> add.named("c"), add >> (double >> add.named("c"))
        assert [node.name for node in left] == [node.name for node in right] == ["add", "double", "c"]
        assert len(left) == 3

    def test_joining_changes_neither_side(self) -> None:
        one = add >> double
        two = one >> add.named("c")
        assert (len(one), len(two)) == (2, 3)

    def test_a_pipeline_may_have_a_name(self) -> None:
        named = Pipeline(add, double, name="intake")
        assert named.name == "intake"
        assert named.named("other").name == "other"
        assert named.name == "intake"
        assert Flujo(named).plan.name == "intake"

    def test_a_node_may_stand_in_many_places(self) -> None:
        node = add >> Parallel(add, add >> double) >> Step(first, name="first")
        assert Flujo(node).run(1).output == 3

    def test_what_is_no_node_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(PipelineError, match="@step"):
            add >> len  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


async def first(pair: tuple[int, int]) -> int:
    return pair[0]


class TestNaming:
    def test_a_copy_under_another_name(self) -> None:
        again = add.named("again")
        assert (add.name, again.name) == ("add", "again")
        assert again.agent is add.agent

    def test_names_come_from_functions_and_classes(self) -> None:
        class Reader:
            def run(self, x: int, /) -> int:
                return x

        assert Step(Reader()).name == "Reader"
        assert Step(lambda x: x).name == "lambda"  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType]
        assert Step(len).name == "len"

    @pytest.mark.parametrize("name", ["a/b", "a[1]", "a#b", "a\nb"])
    def test_characters_of_addresses_are_refused(self, name: str) -> None:
        with pytest.raises(PipelineError, match="addresses"):
            add.named(name)

    @pytest.mark.parametrize("name", ["größe", "with space", "a-b.c_d", "1"])
    def test_others_are_fine(self, name: str) -> None:
        result = Flujo(add.named(name)).run(1)
        assert result.steps[name].address == name


def one(x: int) -> list[int]:
    return [x]


class TestImmutability:
    nodes: tuple[Node[int, object], ...] = (
        add,
        add >> double,
        Parallel(add, double),
        Map(add, over=one),
        Loop(add, until=bool, max_turns=1),
        SubPipeline(add),
    )

    @pytest.mark.parametrize("node", nodes, ids=lambda node: type(node).__name__)
    def test_nothing_can_be_set(self, node: Node[int, object]) -> None:
        for name in ("name", "agent", "nodes", "branches", "body", "pipeline"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(node, name, None)

    def test_what_was_passed_may_change_afterwards(self) -> None:
        inputs, parallel = {"x": add.output}, Parallel(a=add)
        taking = Step(add.agent, name="taking", inputs=inputs)
        inputs["y"] = double.output
        assert list(taking.inputs) == ["x"]
        with pytest.raises(TypeError):
            parallel.branches["b"] = double  # pyright: ignore[reportIndexIssue]

    def test_a_shallow_and_a_deep_copy_run_alike(self) -> None:
        node = add >> Parallel(add, double) >> Step(first)
        for made in (copy.copy(node), copy.deepcopy(node)):
            assert Flujo(made).run(1).output == Flujo(node).run(1).output


class TestUsage:
    amounts = st.builds(
        Usage,
        st.integers(0, 10**12),
        st.integers(0, 10**12),
        st.integers(0, 10**12),
        st.decimals(0, 10**6, places=6),
    )

    @given(amounts, amounts, amounts)
    def test_sums_do_not_depend_on_order(self, a: Usage, b: Usage, c: Usage) -> None:
        assert (a + b) + c == a + (b + c) == c + b + a
        assert a + Usage() == a

    def test_nothing_is_falsy(self) -> None:
        assert not Usage()
        assert Usage(cost=Decimal("0.000001"))

    def test_it_is_data(self) -> None:
        assert pickle.loads(pickle.dumps(Usage(1, 2, 3, Decimal("0.1")))) == Usage(1, 2, 3, Decimal("0.1"))


class TestRetry:
    @given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
    def test_waits_stay_within_their_limits(self, failed: int, chance: float, jitter: float) -> None:
        retry = Retry(attempts=300, backoff=0.5, factor=2, longest=60, jitter=jitter)
        assert 0 <= retry.wait(failed, chance) <= 60

    def test_the_first_wait_is_the_backoff(self) -> None:
        assert Retry(backoff=3, jitter=0).wait(1, 0.5) == 3

    @pytest.mark.parametrize("factor", [2, 2.0, 0.0, 1e308])
    def test_the_longest_wait_holds_for_ever(self, factor: float) -> None:
        retry = Retry(attempts=10**9, backoff=1, factor=factor, longest=60, jitter=0)
        assert 0 <= retry.wait(10**8, 0) <= 60
        assert Retry(attempts=10**9, backoff=0, factor=factor).wait(10**8, 0) == 0

    def test_one_exception_stands_for_a_tuple_of_it(self) -> None:
        assert Retry(on=ValueError).on == (ValueError,)
        assert Retry(on=ValueError) == Retry(on=(ValueError,)) == Retry(on=[ValueError])
        assert dataclasses.replace(Retry(on=ValueError), attempts=7) == Retry(attempts=7, on=ValueError)

    async def test_one_exception_is_retried(self) -> None:
        ran: list[int] = []

        async def work(x: int) -> int:
            ran.append(x)
            raise (ValueError if len(ran) == 1 else KeyError)

        await Flujo(Step(work, retry=Retry(5, backoff=0, on=ValueError))).run_async(1)
        assert ran == [1, 1]

    @pytest.mark.parametrize(
        "settings",
        [
            {"attempts": 0},
            {"attempts": "3"},
            {"attempts": True},
            {"attempts": 2.0},
            {"backoff": -1},
            {"backoff": "1"},
            {"backoff": math.nan},
            {"longest": math.inf},
            {"factor": None},
            {"jitter": 2},
            {"on": "ValueError"},
            {"on": ValueError("one")},
            {"on": (ValueError, 3)},
            {"on": int},
        ],
    )
    def test_what_cannot_work_is_refused(self, settings: Any) -> None:
        with pytest.raises(PipelineError, match=rf"Retry\(.*{next(iter(settings))}="):
            Retry(**settings)

    @pytest.mark.parametrize("retry", ["3", True, False, 0, -1, 1.5, ValueError])
    def test_what_is_no_number_of_attempts_is_refused(self, retry: Any) -> None:
        with pytest.raises(PipelineError, match="retry="):
            Step(add.agent, retry=retry)


class TestParallelSettings:
    @pytest.mark.parametrize("label", ["name", "on_failure"])
    def test_a_branch_cannot_have_the_name_of_a_setting(self, label: str) -> None:
        branches: Any = {label: add, "total": double}
        with pytest.raises(PipelineError, match=f"{label!r}.*setting"):
            Parallel(**branches)

    def test_a_name_is_a_text(self) -> None:
        wrong: Any = 3
        with pytest.raises(PipelineError, match="name"):
            Parallel(a=add, name=wrong)
