"""What a checked plan tells: addresses, types, the most that may happen, and whether two plans are one."""

from typing import Any

import pytest
from inline_snapshot import snapshot

from flujo import (
    Branch,
    Flujo,
    HumanInput,
    Loop,
    Map,
    Node,
    Parallel,
    Pipeline,
    Retry,
    Step,
    SubPipeline,
)


async def work(x: int) -> int:
    return x


async def other(x: int) -> int:
    return x


async def words(x: int) -> str:
    return str(x)


def even(x: int) -> bool:
    return x % 2 == 0


def one(x: int) -> list[int]:
    return [x]


async def first(items: list[int]) -> int:
    return items[0]


a, b = Step(work, name="a"), Step(work, name="b")


def everything() -> Node[int, Any]:
    return (
        a
        >> Parallel(left=a, right=a >> b, name="both")
        >> Step(join)
        >> Map(SubPipeline(a, name="inner"), over=one, name="each")
        >> Step(first)
        >> Branch(on=even, cases={True: a, False: Loop(b, until=even, max_turns=3)}, name="route")
        >> HumanInput("?", schema=int, on_deny=a, name="person")
        >> Step(work, fallback=b, retry=Retry(attempts=2), name="last")
    )


async def join(both: dict[str, int]) -> int:
    return 0


def test_every_node_has_its_address() -> None:
    assert list(Flujo(everything()).plan.nodes) == snapshot(
        [
            "a",
            "both",
            "both/left/a",
            "both/right/a",
            "both/right/b",
            "join",
            "each",
            "each[]/inner",
            "each[]/inner/a",
            "first",
            "route",
            "route/true/a",
            "route/false/loop",
            "route/false/loop[]/b",
            "person",
            "person/a",
            "last",
            "last/b",
        ]
    )


class TestWorstCase:
    @pytest.mark.parametrize(
        ("node", "steps", "attempts"),
        [
            (a, 1, 1),
            (a >> b, 2, 2),
            (Step(work, retry=Retry(attempts=4)), 1, 4),
            (Step(work, retry=Retry(attempts=4), fallback=b), 2, 5),
            (Parallel(a, a >> b), 3, 3),
            (Branch(on=even, cases={True: a, False: a >> b}), 2, 2),
            (Loop(a >> b, until=even, max_turns=5), 10, 10),
            (Loop(Loop(a, until=even, max_turns=3), until=even, max_turns=5), 15, 15),
            (Loop(Step(work, retry=2), until=even, max_turns=5), 5, 10),
            (SubPipeline(a >> b), 2, 2),
            (HumanInput("?", schema=int), 0, 0),
            (HumanInput("?", schema=int, on_deny=a >> b), 2, 2),
        ],
    )
    def test_steps_and_attempts(self, node: Node[int, Any], steps: int, attempts: int) -> None:
        worst = Flujo(node).plan.worst_case
        assert (worst.steps, worst.attempts, worst.per_item) == (steps, attempts, ())

    def test_a_map_counts_for_one_item_and_says_so(self) -> None:
        worst = Flujo(
            Loop(Map(a >> b, over=one, name="each") >> Step(first), until=even, max_turns=2)
        ).plan.worst_case
        assert (worst.steps, worst.per_item) == (6, ("loop[]/each",))

    async def test_no_run_does_more(self) -> None:
        def never(x: int) -> bool:
            return False

        node = Loop(a >> b, until=never, max_turns=4, on_exhausted="return")
        runner = Flujo(node)
        assert len((await runner.run_async(1)).steps) == runner.plan.worst_case.steps


class TestFingerprint:
    @staticmethod
    def of(node: Node[Any, Any]) -> str:
        return Flujo(node).plan.fingerprint

    def test_it_is_the_same_each_time(self) -> None:
        assert self.of(everything()) == self.of(everything())

    def test_it_is_the_same_in_every_process(self) -> None:
        assert self.of(a >> b) == snapshot("e863dce500b256d2c1c73164855a456b5c9ea9c63f2d6fcd9a5d71787be58bef")

    def test_how_a_pipeline_was_joined_does_not_matter(self) -> None:
        c = Step(work, name="c")
        assert self.of((a >> b) >> c) == self.of(a >> (b >> c)) == self.of(Pipeline(a, b, c))

    @pytest.mark.parametrize(
        "node",
        [
            Step(other, name="a") >> b,
            Step(work, name="a", retry=9, timeout=3) >> b,
            Step(work, name="a", cache=True) >> b,
            Pipeline(a, b, name="renamed"),
        ],
        ids=["another function", "retries", "cache", "the pipeline's name"],
    )
    def test_what_a_recorded_run_does_not_depend_on(self, node: Node[int, Any]) -> None:
        assert self.of(node) == self.of(a >> b)

    @pytest.mark.parametrize(
        "node",
        [
            b >> a,
            a >> b >> Step(work, name="c"),
            Step(work, name="z") >> b,
            a >> Step(words, name="b"),
            a >> SubPipeline(b, name="b"),
            a >> Step(work, name="b", effects="at_most_once"),
            a >> Step(work, name="b", inputs={}) >> Parallel(a),
        ],
    )
    def test_what_it_depends_on(self, node: Node[int, Any]) -> None:
        assert self.of(node) != self.of(a >> b)
