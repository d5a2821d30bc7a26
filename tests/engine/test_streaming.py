"""Streaming steps: chunks flow as they are made, hold each other back, and leave nothing open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import pytest

from flujo import (
    Flujo,
    Fold,
    From,
    Hook,
    Loop,
    Map,
    MemoryStore,
    Node,
    Parallel,
    PauseForHumanInput,
    Pipeline,
    PipelineContext,
    Quota,
    Replace,
    Step,
    StepInfo,
    StopPipeline,
    StreamingStep,
    Usage,
    step,
)
from flujo.engine import Chunk, Finished, RunEvent, StepCompleted, StepStarted, ToolCalled
from flujo.engine.supervise import Told
from flujo.errors import ConfigError, ContextConflict, PolicyDenied, QuotaExceeded, StepFailed, StepTimedOut
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"state": MemoryStore()} if request.param else {}


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert others == []


async def count_up(until: int) -> AsyncIterator[int]:
    for number in range(until):
        yield number


async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield 2 * number


async def words(numbers: AsyncIterator[int]) -> AsyncIterator[str]:
    async for number in numbers:
        yield f"{number} "


async def same(chunks: AsyncIterator[int]) -> AsyncIterator[int]:
    async for chunk in chunks:
        yield chunk


counting = StreamingStep(count_up)
doubling = StreamingStep(double)
saying = StreamingStep(words)


def plus(so_far: int, number: int) -> int:
    return so_far + number


def before(had: list[int], number: int) -> list[int]:
    return [number, *had]


total = Fold(0, plus)
backwards: Fold[int, list[int]] = Fold(list[int], before)


@step
async def length(text: str) -> int:
    return len(text)


async def output(node: Node[Any, Any], given: Any, **settings: Any) -> Any:
    result = await Flujo(node, **settings).run_async(given)
    return result.unwrap()


# What comes out


async def test_chunks_flow_through_adjacent_steps_and_are_joined_after_the_last(
    settings: dict[str, Any],
) -> None:
    result = await Flujo(counting >> doubling >> saying >> length, **settings).run_async(3)
    assert (result.output, result.steps["words"].output) == (6, "0 2 4 ")
    assert [(one.address, one.output) for one in result.steps] == [
        ("count_up", None),
        ("double", None),
        ("words", "0 2 4 "),
        ("length", 6),
    ]


async def test_the_value_of_a_plain_step_is_one_chunk(settings: dict[str, Any]) -> None:
    @step
    async def seven(x: int) -> int:
        return 7

    assert await output(seven >> doubling, 1, **settings) == [14]


async def test_items_are_fed_one_by_one(settings: dict[str, Any]) -> None:
    @step
    async def listed(x: int) -> list[int]:
        return [x, x + 1]

    fed = StreamingStep(double, items=True)
    assert await output(listed >> fed >> saying, 1, **settings) == "2 4 "
    assert await output(StreamingStep(double, items=True), [3, 4], **settings) == [6, 8]


async def test_what_is_made_of_chunks() -> None:
    async def raw(x: int) -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    def last(numbers: list[int]) -> int:
        return numbers[-1]

    assert await output(StreamingStep(raw), 1) == b"ab"
    assert await output(counting, 3) == [0, 1, 2]
    assert await output(StreamingStep(count_up, collect=last), 3) == 2
    assert await output(StreamingStep(count_up, collect=total), 4) == 6
    assert await output(StreamingStep(words, collect=list), 4) == ["4 "]
    assert await output(StreamingStep(words, collect="-".join, items=True), [4, 5]) == "4 -5 "
    assert await output(StreamingStep(count_up, collect=backwards), 3) == [
        2,
        1,
        0,
    ]


async def test_a_value_in_the_middle_is_kept_where_it_is_asked_for(settings: dict[str, Any]) -> None:
    @step
    async def both(text: str, numbers: Annotated[list[int], From("count_up")]) -> str:
        return f"{text}{numbers}"

    kept = StreamingStep(count_up, collect=list)
    result = await Flujo(kept >> saying >> both, **settings).run_async(2)
    assert result.output == "0 1 [0, 1]"
    assert result.steps["count_up"].output == [0, 1]


async def test_an_object_with_stream_is_an_agent() -> None:
    class Shouting:
        async def stream(self, chunks: AsyncIterator[str]) -> AsyncIterator[str]:
            async for chunk in chunks:
                yield chunk.upper()

    one = StreamingStep(Shouting())
    assert one.name == "Shouting"
    assert await output(one, "a") == "A"
    assert await output(one >> one.named("again"), "a") == "A"


async def test_a_function_that_is_awaited_for_its_iterator() -> None:
    async def opened(x: int) -> AsyncIterator[int]:
        await asyncio.sleep(0)
        return count_up(x)

    assert await output(StreamingStep(opened), 2) == [0, 1]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def test_an_iterator_that_cannot_be_closed() -> None:
    class Bare:
        left = 2

        def __aiter__(self) -> "Bare":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    def made(x: int) -> AsyncIterator[int]:
        return Bare()

    assert await output(StreamingStep(made) >> doubling, 2) == [2, 0]


async def test_streams_inside_containers(settings: dict[str, Any]) -> None:
    assert await output(Map(counting >> doubling), [1, 2], **settings) == [[0], [0, 2]]
    assert await output(Parallel(counting >> saying, counting), 2, **settings) == ("0 1 ", [0, 1])


async def test_a_stream_in_a_loop_runs_each_turn(settings: dict[str, Any]) -> None:
    summed = StreamingStep(count_up) >> StreamingStep(double, collect=total)
    loop = Loop(summed, until=lambda so_far: so_far > 20, max_turns=5)
    assert await output(loop, 4, **settings) == 132


# Flowing


async def test_the_first_output_leaves_before_the_input_has_ended() -> None:
    go = asyncio.Event()

    async def slowly(x: int) -> AsyncIterator[int]:
        yield 1
        await go.wait()
        yield 2

    seen: list[Any] = []
    async for event in Flujo(StreamingStep(slowly) >> doubling >> saying).stream_async(1):
        if isinstance(event, Chunk):
            seen.append((event.address, event.value))
            if event.address == "words":
                go.set()
    assert seen[:3] == [("slowly", 1), ("double", 2), ("words", "2 ")]
    assert seen[3:] == [("slowly", 2), ("double", 4), ("words", "4 ")]


async def test_a_slow_step_holds_the_one_before_it_back() -> None:
    made, most = 0, 0

    async def fast(x: int) -> AsyncIterator[int]:
        nonlocal made
        for made in range(1, x + 1):
            yield made

    async def slow(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        nonlocal most
        async for number in numbers:
            most = max(most, made - number)
            await asyncio.sleep(0)
            yield number

    first = StreamingStep(fast, buffer=4)
    assert await output(first >> StreamingStep(slow, collect=total), 500) == 125250
    assert 0 < most <= 4 + 1


async def test_a_slow_consumer_holds_the_producer_back() -> None:
    made, ahead, seen = 0, 0, 0

    async def fast(x: int) -> AsyncIterator[int]:
        nonlocal made
        for made in range(1, x + 1):
            yield made

    runner = Flujo(StreamingStep(fast, buffer=2) >> StreamingStep(same, collect=total))
    async with aclosing(runner.stream_async(300)) as events:
        async for event in events:
            if isinstance(event, Chunk) and event.address == "same":
                seen += 1
                for _ in range(5):
                    await asyncio.sleep(0)
                ahead = max(ahead, made - seen)
    assert (made, seen) == (300, 300)
    assert 0 < ahead <= Told.AHEAD + 2 + 3


async def test_a_slow_consumer_holds_plain_steps_back_too() -> None:
    turns = 0

    @step
    async def turn(x: int) -> int:
        nonlocal turns
        turns += 1
        return x + 1

    events = Flujo(Loop(turn, until=lambda x: x >= 200, max_turns=200)).stream_async(0)
    async with aclosing(events):
        await anext(events)
        for _ in range(500):
            await asyncio.sleep(0)
        assert 0 < turns <= Told.AHEAD


async def test_a_reader_that_has_enough_ends_the_writer() -> None:
    closed: list[str] = []

    async def endless(x: int) -> AsyncIterator[int]:
        try:
            while True:
                x += 1
                yield x
        finally:
            closed.append("endless")

    async def stuck(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        try:
            async for number in numbers:
                yield number
                if number == 3:
                    await asyncio.Event().wait()
        finally:
            closed.append("stuck")

    async def two(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number
            if number == 3:
                return

    result = await Flujo(StreamingStep(endless) >> StreamingStep(stuck) >> StreamingStep(two)).run_async(0)
    assert (result.output, sorted(closed)) == ([1, 2, 3], ["endless", "stuck"])


async def test_a_reader_that_takes_chunks_in_several_tasks(settings: dict[str, Any]) -> None:
    async def slow(until: int) -> AsyncIterator[int]:
        for number in range(until):
            for _ in range(5):
                await asyncio.sleep(0)
            yield number

    async def shared(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        taken: list[int] = []

        async def take() -> None:
            taken.extend([number async for number in numbers])

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(take())
        for number in sorted(taken):
            yield number

    node = StreamingStep(slow) >> StreamingStep(shared)
    async with asyncio.timeout(5):
        assert await output(node, 20, **settings) == list(range(20))


async def test_a_reader_that_takes_nothing() -> None:
    async def deaf(numbers: AsyncIterator[int]) -> AsyncIterator[str]:
        yield "enough"

    async def endless(x: int) -> AsyncIterator[int]:
        while True:
            yield x

    assert await output(StreamingStep(endless) >> StreamingStep(deaf), 1) == "enough"


async def test_a_stream_lets_other_tasks_go_on() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    async def busy(x: int) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.1
        while loop.time() < until:
            yield x

    beating = asyncio.create_task(beat())
    await output(StreamingStep(busy, collect=total), 1)
    beating.cancel()
    assert beats > 3


# Failing and closing


def leaving(closed: list[str]) -> tuple[StreamingStep[int, Any], StreamingStep[Any, Any]]:
    """Return a source and a sink that say when they are closed."""

    async def source(x: int) -> AsyncIterator[int]:
        try:
            while True:
                yield x
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            closed.append("source")

    async def sink(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        try:
            async for number in numbers:
                yield number
        finally:
            await asyncio.sleep(0)
            closed.append("sink")

    return StreamingStep(source), StreamingStep(sink)


async def test_a_failure_closes_both_ends(settings: dict[str, Any]) -> None:
    closed: list[str] = []
    source, sink = leaving(closed)

    async def breaks(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        yield await anext(aiter(numbers))
        raise LookupError("gone")

    result = await Flujo(source >> StreamingStep(breaks) >> sink, **settings).run_async(1)
    assert result.status == "failed"
    assert isinstance(result.error, StepFailed)
    assert (result.error.address, "LookupError: gone" in result.error.message) == ("breaks", True)
    assert sorted(closed) == ["sink", "source"]


async def test_a_failure_at_the_ends_closes_the_others() -> None:
    for failing in ("source", "sink"):
        closed: list[str] = []
        source, sink = leaving(closed)

        async def broken(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
            yield 1
            yield 2
            raise OSError("broken")

        bad = StreamingStep(broken)
        result = await Flujo(bad >> sink if failing == "source" else source >> bad).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert result.error.address == "broken"
        assert closed == ["sink" if failing == "source" else "source"]


async def test_a_cancel_closes_both_ends(settings: dict[str, Any]) -> None:
    closed: list[str] = []
    source, sink = leaving(closed)
    runner = Flujo(source >> StreamingStep(same) >> sink, **settings)
    running = asyncio.create_task(runner.run_async(1, run_id="r1"))
    for _ in range(50):
        await asyncio.sleep(0)
    result = await runner.cancel("r1", "enough")
    assert (result.status, (await running).status) == ("cancelled", "cancelled")
    assert sorted(closed) == ["sink", "source"]


async def test_a_cancel_while_the_one_who_streams_does_not_look() -> None:
    closed: list[str] = []
    source, sink = leaving(closed)
    runner = Flujo(source >> sink)
    async with aclosing(runner.stream_async(1, run_id="r1")) as events:
        await anext(events)
        for _ in range(50):
            await asyncio.sleep(0)
        result = await runner.cancel("r1", "enough")
    assert result.status == "cancelled"
    assert sorted(closed) == ["sink", "source"]


async def test_leaving_the_iterator_closes_both_ends_and_the_run_can_go_on() -> None:
    closed: list[str] = []
    source, sink = leaving(closed)
    runner = Flujo(source >> sink, state=MemoryStore())
    async with aclosing(runner.stream_async(1, run_id="r1")) as events:
        async for event in events:
            if isinstance(event, Chunk) and event.address == "sink":
                break
    assert sorted(closed) == ["sink", "source"]
    assert (await runner.result("r1")).status == "paused"


async def test_a_timeout_is_of_the_whole_stream() -> None:
    closed: list[str] = []
    source, _ = leaving(closed)

    async def waits(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number
            await asyncio.sleep(60)

    result = await Flujo(source >> StreamingStep(waits, timeout=0.02)).run_async(1)
    assert isinstance(result.error, StepTimedOut)
    assert result.error.address == "waits"
    assert closed == ["source"]


async def test_a_writer_that_is_timed_out_while_its_reader_is_slow() -> None:
    async def slow(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            await asyncio.sleep(60)
            yield number

    hurried = StreamingStep(count_up, timeout=0.02, buffer=1)
    result = await Flujo(hurried >> StreamingStep(slow)).run_async(10)
    assert isinstance(result.error, StepTimedOut)
    assert result.error.address == "count_up"


async def test_chunks_of_another_type_fail_the_step() -> None:
    async def wrong(x: int) -> AsyncIterator[str]:
        yield 3  # pyright: ignore[reportReturnType]

    result = await Flujo(StreamingStep(wrong)).run_async(1)
    assert result.error is not None
    assert "it gave int, but is declared to give chunks of str" in result.error.message


async def test_what_gives_no_iterator_fails_the_step() -> None:
    def no_stream(chunks: AsyncIterator[int]) -> AsyncIterator[int]:
        return 3  # pyright: ignore[reportReturnType]

    result = await Flujo(StreamingStep(no_stream)).run_async(1)
    assert result.error is not None
    assert "it gave int, and no AsyncIterator of chunks" in result.error.message


async def test_a_stop_ends_the_run() -> None:
    closed: list[str] = []
    source, _ = leaving(closed)

    async def stops(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number
            raise StopPipeline("enough")

    result = await Flujo(source >> StreamingStep(stops)).run_async(1)
    assert (result.status, result.reason, closed) == ("stopped", "enough", ["source"])


# Context, hooks, questions, quotas


class Notes(PipelineContext):
    seen: int = 0
    said: int = 0


async def test_each_step_changes_its_own_part_of_the_context(settings: dict[str, Any]) -> None:
    async def sees(numbers: AsyncIterator[int], context: Notes) -> AsyncIterator[int]:
        async for number in numbers:
            context.seen += 1
            yield number

    async def says(numbers: AsyncIterator[int], context: Notes) -> AsyncIterator[str]:
        async for number in numbers:
            context.said += number
            yield str(number)

    node = counting >> StreamingStep(sees) >> StreamingStep(says)
    runner = Flujo(node, context_model=Notes, **settings)
    result = await runner.run_async(4, run_id="r1")
    assert (result.context.seen, result.context.said) == (4, 6)
    if settings:
        again = (await runner.result("r1")).context
        assert isinstance(again, Notes)
        assert (again.seen, again.said) == (4, 6)


async def test_two_steps_that_write_one_field_differently() -> None:
    async def one(numbers: AsyncIterator[int], context: Notes) -> AsyncIterator[int]:
        context.seen = 1
        async for number in numbers:
            yield number

    async def two(numbers: AsyncIterator[int], context: Notes) -> AsyncIterator[int]:
        context.seen = 2
        async for number in numbers:
            yield number

    result = await Flujo(counting >> StreamingStep(one) >> StreamingStep(two)).run_async(1)
    assert isinstance(result.error, ContextConflict)


async def test_a_failed_segment_leaves_the_context_as_it_was() -> None:
    async def writes(numbers: AsyncIterator[int], context: Notes) -> AsyncIterator[int]:
        context.seen = 1
        async for number in numbers:
            yield number
        raise ValueError

    result = await Flujo(counting >> StreamingStep(writes), context_model=Notes).run_async(1)
    assert result.status == "failed"
    assert result.context.seen == 0


async def test_hooks_see_what_goes_in_and_what_comes_out(settings: dict[str, Any]) -> None:
    seen: list[Any] = []

    class Looking(Hook):
        def pre_step_execution(self, step_name: str, step_input: Any, context: Any) -> Any:
            seen.append((step_name, step_input))
            return Replace(step_input + 1) if step_name == "count_up" else None

        def post_step_execution(self, step_result: Any, context: Any) -> Any:
            seen.append((step_result.name, step_result.output))

    assert await output(counting >> doubling, 1, hooks=[Looking()], **settings) == [0, 2]
    assert seen == [("count_up", 1), ("double", None), ("count_up", None), ("double", [0, 2])]


async def test_a_hook_cannot_replace_a_stream() -> None:
    class Replacing(Hook):
        def pre_step_execution(self, step_name: str, step_input: Any, context: Any) -> Any:
            return Replace(5)

    result = await Flujo(counting >> doubling, hooks=[Replacing()]).run_async(1)
    assert result.error is not None
    assert "a hook replaced the input of 'double', which is given a stream" in result.error.message


async def test_a_question_from_inside_a_stream(settings: dict[str, Any]) -> None:
    begun: list[str] = []

    async def source(x: int) -> AsyncIterator[int]:
        begun.append("source")
        for number in range(x):
            yield number

    async def asks(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
        begun.append("asks")
        async for number in numbers:
            if number == 1:
                number = await info.ask("which?", int)
            yield number

    runner = Flujo(StreamingStep(source) >> StreamingStep(asks) >> saying, **settings)
    paused = await runner.run_async(3, run_id="r1")
    assert [one.address for one in paused.pending] == ["asks#ask"]
    done = await runner.resume_async(paused, 40)
    assert done.output == "0 40 2 "
    assert begun == ["source", "asks"] * 2


async def test_two_questions_at_once_from_inside_a_stream(settings: dict[str, Any]) -> None:
    async def first(x: int, info: StepInfo) -> AsyncIterator[int]:
        yield x
        yield await info.ask("more?", int)

    async def second(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
        async for number in numbers:
            yield number + await info.ask("how much?", int)

    runner = Flujo(StreamingStep(first) >> StreamingStep(second), **settings)
    asked = await runner.run_async(3, run_id="r1")
    assert sorted(one.address for one in asked.pending) == ["first#ask", "second#ask"]
    known, answers = asked, {"first#ask": 10, "second#ask": 100, "second#ask-2": 1000}
    while known.pending:
        one = known.pending[0]
        known = await runner.resume_async(known, answers[one.address], request=one.id)
    assert known.output == [103, 1010]


async def spends(number: int, info: StepInfo) -> AsyncIterator[int]:
    info.report(Usage(requests=2))
    yield number


async def asks_for_more(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
    async for number in numbers:
        yield number
    yield await info.ask("more?", int)


spending = StreamingStep(spends, bound=Usage(requests=2)) >> StreamingStep(asks_for_more)


async def test_what_was_spent_before_a_stream_was_broken_off_counts(settings: dict[str, Any]) -> None:
    for quota in (None, Quota(requests=4)):
        runner = Flujo(spending, quota=quota, **settings)
        paused = await runner.run_async(3)
        assert (paused.status, paused.usage.requests) == ("paused", 2)
        done = await runner.resume_async(paused, 4)
        assert (done.output, done.usage.requests) == ([3, 4], 4)
    limited = Flujo(spending, quota=Quota(requests=3), **settings)
    result = await limited.resume_async(await limited.run_async(3), 4)
    assert isinstance(result.error, QuotaExceeded)


async def test_a_shared_quota_is_settled_with_a_stream_that_was_broken_off() -> None:
    store = MemoryStore()
    await Flujo(spending, quota=Quota(requests=9, per="day"), state=store).run_async(3, run_id="r1")
    assert list(await store.reservations("r1")) == []


async def test_what_was_spent_in_a_stream_that_failed_counts(settings: dict[str, Any]) -> None:
    async def fails(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number
        raise ValueError("no more")

    result = await Flujo(StreamingStep(spends) >> StreamingStep(fails), **settings).run_async(3)
    assert (result.status, result.usage.requests) == ("failed", 2)


async def test_an_effect_in_a_stream_happens_once() -> None:
    charged: list[int] = []
    stuck = [True]

    def charge(amount: int) -> int:
        charged.append(amount)
        return amount

    async def charges(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
        async for number in numbers:
            yield await info.do("charge", charge, number)
            if number == 1 and stuck:
                await asyncio.sleep(60)

    runner = Flujo(counting >> StreamingStep(charges), state=MemoryStore())
    async with aclosing(runner.stream_async(3, run_id="r1")) as events:
        async for event in events:
            if isinstance(event, Chunk) and (event.address, event.value) == ("charges", 1):
                break
    stuck.clear()
    result = await runner.resume_async("r1")
    assert (result.output, charged) == ([0, 1, 2], [0, 1, 2])


async def test_a_pause_by_raising_is_refused_in_words() -> None:
    async def raises(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        yield 1
        raise PauseForHumanInput("which?")

    result = await Flujo(StreamingStep(raises)).run_async(3)
    assert result.error is not None
    assert "a streaming step cannot wait by raising PauseForHumanInput: 'which?'" in result.error.message


async def test_a_quota_holds_for_a_stream(settings: dict[str, Any]) -> None:
    async def spends(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
        async for number in numbers:
            info.report(Usage(requests=1))
            yield number

    spending = StreamingStep(spends, bound=Usage(requests=3))
    result = await Flujo(counting >> spending, quota=Quota(requests=3), **settings).run_async(3)
    assert (result.output, result.usage.requests) == ([0, 1, 2], 3)
    refused = await Flujo(counting >> spending, quota=Quota(requests=2), **settings).run_async(3)
    assert isinstance(refused.error, QuotaExceeded)
    assert refused.error.address == "spends"


async def test_a_shared_quota_is_settled_with_the_segment() -> None:
    async def spends(numbers: AsyncIterator[int], info: StepInfo) -> AsyncIterator[int]:
        async for number in numbers:
            async with info.reserve(Usage(requests=1)) as spending:
                spending.report(Usage(requests=1))
                yield number

    store = MemoryStore()
    runner = Flujo(counting >> StreamingStep(spends), quota=Quota(requests=5, per="day"), state=store)
    assert (await runner.run_async(3, run_id="r1")).output == [0, 1, 2]
    assert list(await store.reservations("r1")) == []
    assert "step.discarded" not in {event.kind for event in await store.events("r1")}
    again = await runner.run_async(3)
    assert isinstance(again.error, QuotaExceeded)


class Watching(GovernancePolicy):
    """Denies what holds a word, and notes what it saw."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.seen: list[Any] = []

    def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        self.seen.append(("in", input_data))
        return PolicyDecision.DENY if input_data == self.word else PolicyDecision.ALLOW

    def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        self.seen.append(("out", output))
        return PolicyDecision.DENY if self.word in output else PolicyDecision.ALLOW


async def letters(word: str) -> AsyncIterator[str]:
    for letter in word:
        yield letter


class Replacing(Hook):
    def pre_step_execution(self, step_name: str, step_input: Any, context: Any) -> Any:
        return Replace(step_input)


@pytest.mark.parametrize("hooks", [[], [Replacing()]], ids=["no hook", "a hook"])
async def test_policies_judge_what_goes_in_and_the_final_value(
    settings: dict[str, Any], hooks: list[Hook]
) -> None:
    policy = Watching("secret")
    runner = Flujo(StreamingStep(letters), policies=[policy], hooks=hooks, **settings)
    assert (await runner.run_async("open")).output == "open"
    assert policy.seen == [("in", "open"), ("out", "open")]
    denied = await runner.run_async("secret")
    assert isinstance(denied.error, PolicyDenied)
    assert policy.seen[2:] == [("in", "secret")]
    late = await runner.run_async("a secret")
    assert isinstance(late.error, PolicyDenied)


async def test_nobody_sees_a_chunk_that_no_policy_has_judged() -> None:
    @step
    async def leaks(x: str, info: StepInfo) -> str:
        assert not info.watched
        await info.emit("secret")
        return "fine"

    node = leaks >> StreamingStep(letters)
    events = [event async for event in Flujo(node, policies=[Watching("secret")]).stream_async("x")]
    assert not [event for event in events if isinstance(event, Chunk | ToolCalled)]
    assert isinstance(events[-1], Finished)
    assert events[-1].result.output == "fine"


async def test_policies_refuse_what_flows_between_steps() -> None:
    with pytest.raises(ConfigError, match="it streams to or from another step, chunk by chunk"):
        Flujo(counting >> doubling, policies=[Watching("secret")])
    with pytest.raises(ConfigError, match="chunk by chunk"):
        Flujo(counting >> StreamingStep(double, policies=[Watching("secret")]))


# Being told


async def told(node: Node[Any, Any], given: Any, **settings: Any) -> list[RunEvent]:
    return [event async for event in Flujo(node, **settings).stream_async(given)]


async def test_every_chunk_is_told_with_its_address(settings: dict[str, Any]) -> None:
    events = await told(counting >> doubling >> length_of, 2, **settings)
    kinds = [type(event).__name__ for event in events if isinstance(event, StepStarted | StepCompleted)]
    assert kinds == ["StepStarted"] * 2 + ["StepCompleted"] * 2 + ["StepStarted", "StepCompleted"]
    chunks = [(event.address, event.value) for event in events if isinstance(event, Chunk)]
    assert sorted(chunks) == [("count_up", 0), ("count_up", 1), ("double", 0), ("double", 2)]


@step
async def length_of(numbers: list[int]) -> int:
    return len(numbers)


async def test_a_plain_step_tells_tokens_and_tool_calls() -> None:
    watched: list[bool] = []

    @step
    async def model(x: int, info: StepInfo) -> int:
        watched.append(info.watched)
        await info.emit("to")
        await info.emit_tool_call("search", {"query": "rain"})
        await info.emit("ken")
        return x

    events = await told(model, 1)
    shown = [event for event in events if isinstance(event, Chunk | ToolCalled)]
    run_id = events[0].run_id
    assert shown == [
        Chunk(run_id, "model", "to"),
        ToolCalled(run_id, "model", "search", {"query": "rain"}),
        Chunk(run_id, "model", "ken"),
    ]
    assert await output(model, 1) == 1
    assert watched == [True, False]


async def test_a_recorded_segment_is_not_told_again() -> None:
    store, tries = MemoryStore(), list[int]()

    @step
    async def waits_once(numbers: list[int]) -> int:
        tries.append(1)
        if len(tries) == 1:
            await asyncio.sleep(60)
        return len(numbers)

    runner = Flujo(counting >> doubling >> waits_once, state=store)
    async with aclosing(runner.stream_async(3, run_id="r1")) as events:
        async for event in events:
            if isinstance(event, StepStarted) and event.name == "waits_once":
                break
    again = [event async for event in runner.stream_resume_async("r1")]
    assert not [event for event in again if isinstance(event, Chunk)]
    last = again[-1]
    assert isinstance(last, Finished)
    assert (last.result.output, [one.reused for one in last.result.steps]) == (3, [True, True, False])


async def test_a_single_stream_needs_no_pipeline() -> None:
    assert await output(Pipeline(counting), 2) == [0, 1]
    assert Step  # a plain step and a streaming one are different nodes
