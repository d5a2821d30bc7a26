"""Streaming steps in a plan: types of chunks, final values, names, refusals; and their pictures."""

import operator
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import NoneType
from typing import Annotated, Any

import pytest
from inline_snapshot import snapshot

from flujo import Fold, From, Node, Pipeline, Retry, Step, StreamingStep, Usage, step
from flujo.agents import StreamingAgentProtocol
from flujo.cli.draw import draw, mermaid, tree
from flujo.cli.svg import svg
from flujo.errors import PipelineError, PlanError
from flujo.plan.compile import compile_plan
from flujo.plan.nodes import PlanStream
from flujo.plan.plan import Plan


async def tokens(topic: str) -> AsyncIterator[str]:
    yield topic


async def shout(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        yield word.upper()


async def numbers(words: AsyncIterable[str]) -> AsyncIterator[int]:
    async for word in words:
        yield len(word)


async def anything(chunks: Any) -> AsyncIterator[Any]:
    async for chunk in chunks:
        yield chunk


loose: Any = StreamingStep
"""The class for what a type checker would refuse."""
loose_fold: Any = Fold


def add_length(total: int, chunk: str) -> int:
    return total + len(chunk)


def anything_of(chunks: list[str]) -> Any:
    return chunks


@step
async def listed(text: str) -> list[str]:
    return text.split()


def plan_of(*nodes: Node[Any, Any]) -> Plan:
    return compile_plan(Pipeline(*nodes))


def problems(*nodes: Node[Any, Any]) -> list[str]:
    with pytest.raises(PlanError) as caught:
        plan_of(*nodes)
    return [str(problem) for problem in caught.value.problems]


def streams(plan: Plan) -> dict[str, tuple[Any, Any, bool, bool, tuple[str, ...]]]:
    return {
        node.label: (node.input_type, node.output_type, node.joined, node.goes_on, node.segment)
        for node in plan.nodes.values()
        if isinstance(node, PlanStream)
    }


def test_a_segment_knows_its_steps_and_what_they_keep() -> None:
    plan = plan_of(StreamingStep(tokens), StreamingStep(shout), StreamingStep(numbers))
    segment = ("tokens", "shout", "numbers")
    assert streams(plan) == {
        "tokens": (str, NoneType, False, True, segment),
        "shout": (str, NoneType, True, True, segment),
        "numbers": (str, list[int], True, False, segment),
    }


def test_a_step_that_takes_a_value_begins_a_new_segment() -> None:
    plan = plan_of(StreamingStep(shout), StreamingStep(tokens), StreamingStep(numbers))
    assert [segment for *_, segment in streams(plan).values()] == [
        ("shout",),
        ("tokens", "numbers"),
        ("tokens", "numbers"),
    ]


def test_a_nested_pipeline_and_quotas_are_no_border() -> None:
    from flujo import Quota

    inner = StreamingStep(shout) >> StreamingStep(numbers)
    plan = plan_of(StreamingStep(tokens), inner.within(Quota(requests=1)))
    assert {segment for *_, segment in streams(plan).values()} == {("tokens", "shout", "numbers")}


@pytest.mark.parametrize(
    ("collect", "wanted"),
    [
        (None, str),
        (list, list[str]),
        ("".join, str),
        (len, Any),
        (anything_of, Any),
        (loose_fold(0, add_length), int),
        (loose_fold(Counter[str], operator.add), Counter[str]),
    ],
)
def test_what_is_made_of_text(collect: Any, wanted: Any) -> None:
    (one,) = streams(plan_of(StreamingStep(shout, collect=collect))).values()
    assert one[1] == wanted


def test_chunks_without_a_type_make_a_list() -> None:
    (one,) = streams(plan_of(StreamingStep(anything))).values()
    assert one[:2] == (Any, list[Any])


def test_items_of_the_input() -> None:
    (one,) = streams(plan_of(listed, StreamingStep(shout, items=True))).values()
    assert one[0] == Iterable[str]


def test_edges_are_checked_by_chunk() -> None:
    assert problems(StreamingStep(shout), StreamingStep(numbers), StreamingStep(shout, name="again")) == [
        snapshot("""\
again: it takes str, but is given int
      To fix: put a step between that converts, or change one of the two annotations\
""")
    ]


def test_a_list_for_one_chunk_is_told_how_to_be_fed() -> None:
    assert problems(listed, StreamingStep(shout)) == [
        snapshot("""\
shout: it takes str, but is given list[str]
      To fix: pass items=True, for its items to be fed one by one\
""")
    ]


def test_the_final_value_is_checked_where_a_plain_step_takes_it() -> None:
    @step
    async def doubled(number: int) -> int:
        return 2 * number

    (problem,) = problems(StreamingStep(shout), doubled)
    assert problem.startswith("doubled: it takes int, but is given str")


def add_number(total: int, number: int) -> int:
    return total + number


def count_words(words: list[bytes]) -> int:
    return len(words)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (loose(shout, collect=loose_fold(0, add_number)), "collect takes int, but the chunks are str"),
        (
            loose(shout, collect=loose_fold("", add_number)),
            "collect begins with str, but adds",
        ),
        (loose(shout, collect=count_words), "collect takes list[bytes], but is given list[str]"),
        (loose(numbers, collect="".join), "collect takes str, but the chunks are int"),
        (loose(shout, items=True), "items=True: it is given str, which has no items"),
        (loose(tokens, items=True), "items=True: it takes no chunks"),
    ],
)
def test_what_cannot_be_made_or_fed(node: Node[Any, Any], says: str) -> None:
    @step
    async def text(x: str) -> str:
        return x

    assert any(says in problem for problem in problems(text, node))


def test_items_of_a_stream() -> None:
    (problem,) = problems(StreamingStep(tokens), StreamingStep(shout, items=True))
    assert "items=True: it follows a streaming step, whose chunks come one by one as they are" in problem


def test_a_function_that_does_not_stream() -> None:
    async def whole(words: AsyncIterator[str]) -> str:
        return ""

    (problem,) = problems(loose(whole))
    assert problem == snapshot("""\
whole: it streams, but is annotated to give str
      To fix: annotate it to give AsyncIterator[str], and let it yield\
""")


def test_generators_in_the_wrong_place() -> None:
    def plain(text: str) -> Iterable[str]:
        yield text

    (problem,) = problems(Step(shout))
    assert "return the whole value, or make it a StreamingStep" in problem
    (problem, *_) = problems(loose(plain))
    assert "make it an async generator" in problem


def test_names_of_a_segment() -> None:
    @step
    async def late(text: str, early: Annotated[str, From("tokens")]) -> str:
        return text + early

    async def inside(words: AsyncIterator[str], early: Annotated[str, From("tokens")]) -> AsyncIterator[str]:
        async for word in words:
            yield word + early

    (problem,) = problems(StreamingStep(tokens), StreamingStep(shout), late)
    assert "its chunks went on, and nothing was kept: pass it collect=" in problem
    (problem,) = problems(StreamingStep(tokens), StreamingStep(inside))
    assert "it is still streaming when this begins" in problem
    plan_of(StreamingStep(tokens, collect="".join), StreamingStep(shout), late)


def test_final_values_must_be_recordable_and_chunks_need_not_be() -> None:
    class Odd:
        pass

    async def odd(topic: str) -> AsyncIterator[Odd]:
        yield Odd()

    async def even(chunks: AsyncIterator[Odd]) -> AsyncIterator[str]:
        async for _ in chunks:
            yield ""

    plan_of(StreamingStep(odd), StreamingStep(even))
    (problem,) = problems(StreamingStep(odd))
    assert "its output type list[" in problem


def test_fingerprints_tell_what_flows() -> None:
    alone = plan_of(StreamingStep(tokens), StreamingStep(shout))
    again = plan_of(StreamingStep(tokens), StreamingStep(shout))
    kept = plan_of(StreamingStep(tokens, collect=list), StreamingStep(shout))
    longer = plan_of(StreamingStep(tokens), StreamingStep(shout), StreamingStep(numbers))
    assert alone.fingerprint == again.fingerprint
    assert alone.digests["tokens"] != kept.digests["tokens"]
    assert alone.digests["shout"] != longer.digests["shout"]


@pytest.mark.parametrize(
    "setting",
    [
        {"retry": Retry(2)},
        {"fallback": listed},
        {"validators": [len]},
        {"cache": True},
        {"effects": "at_most_once"},
        {"undo": len},
        {"on_denied": listed},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_that_make_no_sense_for_a_stream(setting: dict[str, Any]) -> None:
    name = next(iter(setting))
    with pytest.raises(PipelineError, match=f"streaming step 'streaming' cannot have {name}=") as caught:
        StreamingStep(shout, **setting)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bufer": 3}, "no setting bufer"),
        ({"buffer": 0}, "buffer=0"),
        ({"items": "yes"}, "items='yes'"),
        ({"collect": 3}, "collect=3 is no function"),
        ({"timeout": -1}, "timeout=-1"),
        ({"bound": 3}, "bound"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        StreamingStep(shout, **given)


def test_agents_that_cannot_be() -> None:
    class Agent:
        async def stream(self, chunks: AsyncIterator[str]) -> AsyncIterator[str]:
            async for chunk in chunks:
                yield chunk

    async def adds(total: int, chunk: int) -> int:
        return total + chunk

    assert isinstance(Agent(), StreamingAgentProtocol)
    with pytest.raises(PipelineError, match="is a class"):
        loose(Agent)
    with pytest.raises(PipelineError, match="3 cannot be a step's agent"):
        loose(3)
    with pytest.raises(PipelineError, match="Fold, add: it is async"):
        loose_fold(0, adds)
    with pytest.raises(PipelineError, match="Fold, add=3 is no function"):
        loose_fold(0, 3)


def test_streaming_steps_are_immutable_and_can_be_renamed() -> None:
    one = StreamingStep(shout, buffer=3, bound=Usage(requests=1))
    other = one.named("other")
    assert (one.name, other.name, other.buffer, other.step.bound) == ("shout", "other", 3, Usage(requests=1))
    with pytest.raises(AttributeError, match="immutable"):
        one.buffer = 4
    with pytest.raises(AttributeError, match="immutable"):
        Fold(0, add_number).start = 1
    assert repr(one) == "StreamingStep('shout')"


def test_pictures() -> None:
    box = draw(plan_of(StreamingStep(tokens), StreamingStep(numbers, timeout=3)))
    assert tree(box) == snapshot("""\
pipeline  str → list[int]
├─ tokens  (streams str)
└─ numbers  (streams int, 3 s each)\
""")
    assert 'n2>"numbers<br/><small>streams int, 3 s each</small>"]' in mermaid(box)
    assert "streams int" in svg(box)
