"""Hooks: when they are called, with what, and what they may do."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from flujo import (
    Flujo,
    Hook,
    HumanInput,
    MemoryStore,
    Parallel,
    PipelineContext,
    PipelineResult,
    Replace,
    Retry,
    StepInfo,
    StepResult,
    StopPipeline,
    step,
)
from flujo.errors import HookFailed, StepFailed


@step
async def add(x: int) -> int:
    return x + 1


@step
async def double(x: int) -> int:
    return 2 * x


class Diary(Hook):
    """Writes down what it is shown."""

    def __init__(self, lines: list[str], name: str = "") -> None:
        self.lines = lines
        self.name = name

    def on_pipeline_start(self, initial_input: Any, context: PipelineContext) -> None:
        self.lines.append(f"{self.name}start {initial_input}")

    async def pre_step_execution(self, step_name: str, step_input: Any, context: PipelineContext) -> None:
        await asyncio.sleep(0)
        self.lines.append(f"{self.name}before {step_name} {step_input}")

    def post_step_execution(self, step_result: StepResult, context: PipelineContext) -> None:
        self.lines.append(f"{self.name}after {step_result.address} {step_result.output}")

    async def on_pipeline_end(self, pipeline_result: PipelineResult[Any], context: PipelineContext) -> None:
        self.lines.append(f"{self.name}end {pipeline_result.status} {pipeline_result.output}")


async def test_they_are_called_in_order_async_or_not() -> None:
    lines: list[str] = []
    await Flujo(add >> double, hooks=[Diary(lines)]).run_async(1)
    assert lines == [
        "start 1",
        "before add 1",
        "after add 2",
        "before double 2",
        "after double 4",
        "end completed 4",
    ]


async def test_several_are_called_as_listed_and_callbacks_after_them() -> None:
    lines: list[str] = []

    def callback(step_name: str, step_input: Any, context: PipelineContext) -> None:
        lines.append(f"callback {step_name}")

    await Flujo(add, hooks=[Diary(lines, "a "), Diary(lines, "b ")], pre_step_execution=callback).run_async(1)
    assert lines == [
        "a start 1",
        "b start 1",
        "a before add 1",
        "b before add 1",
        "callback add",
        "a after add 2",
        "b after add 2",
        "a end completed 2",
        "b end completed 2",
    ]


async def test_each_callback_may_be_given_alone() -> None:
    seen: list[Any] = []

    def start(initial_input: Any, context: PipelineContext) -> None:
        seen.append(initial_input)

    async def after(step_result: StepResult, context: PipelineContext) -> None:
        seen.append(step_result.name)

    def end(pipeline_result: PipelineResult[Any], context: PipelineContext) -> None:
        seen.append(pipeline_result.status)

    runner = Flujo(add, on_pipeline_start=start, post_step_execution=after, on_pipeline_end=end)
    await runner.run_async(1)
    assert seen == [1, "add", "completed"]


@pytest.mark.parametrize("durable", [False, True])
async def test_what_they_replace_is_what_counts(durable: bool) -> None:
    class Ten(Hook):
        def on_pipeline_start(self, initial_input: int, context: PipelineContext) -> Replace:
            return Replace(initial_input * 10)

        def pre_step_execution(
            self, step_name: str, step_input: int, context: PipelineContext
        ) -> Replace | None:
            return Replace(step_input + 100) if step_name == "double" else None

        def post_step_execution(self, step_result: StepResult, context: PipelineContext) -> Replace | None:
            if step_result.name == "add":
                return Replace(replace(step_result, output=step_result.output + 1000))
            return None

        def on_pipeline_end(self, pipeline_result: PipelineResult[Any], context: PipelineContext) -> Replace:
            return Replace(replace(pipeline_result, output=pipeline_result.unwrap() + 1))

    runner = Flujo(add >> double, hooks=[Ten()], state=MemoryStore() if durable else None)
    result = await runner.run_async(1)
    assert result.output == ((1 * 10 + 1 + 1000) + 100) * 2 + 1
    assert result.steps["add"].output == 1011
    if durable:
        assert (await runner.result(result.run_id)).output == result.output


async def test_a_replacement_is_seen_by_the_next_hook() -> None:
    lines: list[str] = []

    class Ten(Hook):
        async def pre_step_execution(
            self, step_name: str, step_input: int, context: PipelineContext
        ) -> Replace:
            return Replace(10)

    await Flujo(add, hooks=[Ten(), Diary(lines)]).run_async(1)
    assert "before add 10" in lines


@pytest.mark.parametrize(
    "moment", ["on_pipeline_start", "pre_step_execution", "post_step_execution", "on_pipeline_end"]
)
class TestAtEachMoment:
    async def test_a_hook_that_raises_fails_the_run(self, moment: str) -> None:
        def breaks(*shown: Any) -> None:
            raise LookupError("the hook's own")

        runner = Flujo(add >> double, state=MemoryStore(), **{moment: breaks})  # pyright: ignore[reportArgumentType]
        result = await runner.run_async(1)
        assert (result.status, result.output) == ("failed", None)
        assert isinstance(result.error, HookFailed)
        assert isinstance(result.error.__cause__, LookupError)
        assert "the hook's own" in str(result.error)
        assert "breaks" in str(result.error)
        assert (await runner.result(result.run_id)).status == "failed"

    async def test_a_hook_may_end_the_run(self, moment: str) -> None:
        def stops(*shown: Any) -> None:
            raise StopPipeline("enough")

        runner = Flujo(add >> double, state=MemoryStore(), **{moment: stops})  # pyright: ignore[reportArgumentType]
        result = await runner.run_async(1)
        assert (result.status, result.success, result.reason) == ("stopped", False, "enough")
        assert (await runner.result(result.run_id)).status == "stopped"

    async def test_a_hook_that_returns_something_else_is_told_how(self, moment: str) -> None:
        def forgets(*shown: Any) -> Any:
            return 5

        result = await Flujo(add, **{moment: forgets}).run_async(1)  # pyright: ignore[reportArgumentType]
        assert isinstance(result.error, HookFailed)
        assert "Replace" in str(result.error)


async def test_a_hook_that_stops_before_a_step_keeps_it_from_running() -> None:
    ran: list[int] = []

    @step
    async def watched(x: int) -> int:
        ran.append(x)
        return x

    def stops(step_name: str, step_input: Any, context: PipelineContext) -> None:
        raise StopPipeline

    await Flujo(watched, pre_step_execution=stops).run_async(1)
    assert ran == []


async def test_they_are_called_once_a_step_whatever_its_attempts() -> None:
    lines: list[str] = []

    @step(retry=Retry(attempts=3, backoff=0))
    async def flaky(x: int, info: StepInfo) -> int:
        if info.attempt < 3:
            raise RuntimeError("busy")
        return x

    await Flujo(flaky, hooks=[Diary(lines)]).run_async(1)
    assert lines == ["start 1", "before flaky 1", "after flaky 1", "end completed 1"]


async def test_they_are_not_called_for_what_is_recorded() -> None:
    lines: list[str] = []
    runner = Flujo(add >> HumanInput("?", schema=int) >> double, hooks=[Diary(lines)], state=MemoryStore())
    paused = await runner.run_async(1)
    assert lines == ["start 1", "before add 1", "after add 2", "end paused None"]
    lines.clear()
    await runner.resume_async(paused, 5)
    assert lines == ["before double 5", "after double 10", "end completed 10"]


async def test_they_may_change_the_context() -> None:
    class Count(PipelineContext):
        steps: int = 0

    def count(step_result: StepResult, context: Count) -> None:
        context.steps += 1

    runner = Flujo(
        add >> HumanInput("?", schema=int) >> double,
        context_model=Count,
        post_step_execution=count,
        state=MemoryStore(),
    )
    paused = await runner.run_async(1)
    result = await runner.resume_async(paused, 5)
    assert isinstance(result.context, Count)
    assert result.context.steps == 2


async def test_in_a_parallel_each_branch_is_shown() -> None:
    lines: list[str] = []
    await Flujo(Parallel(a=add, b=double), hooks=[Diary(lines)]).run_async(3)
    assert sorted(lines[1:-1]) == [
        "after parallel/a/add 4",
        "after parallel/b/double 6",
        "before add 3",
        "before double 3",
    ]


async def test_a_failing_step_reaches_the_end_hook_with_its_error() -> None:
    seen: list[Any] = []

    @step
    async def breaks(x: int) -> int:
        raise LookupError("no")

    def end(pipeline_result: PipelineResult[Any], context: PipelineContext) -> None:
        seen.append(pipeline_result.error)

    result = await Flujo(breaks, on_pipeline_end=end).run_async(1)
    assert seen == [result.error]
    assert isinstance(result.error, StepFailed)


async def test_a_replaced_result_must_be_a_result() -> None:
    def after(step_result: StepResult, context: PipelineContext) -> Replace:
        return Replace(step_result.output)

    result = await Flujo(add, post_step_execution=after).run_async(1)
    assert isinstance(result.error, HookFailed)
    assert "StepResult" in str(result.error)


async def test_a_replacement_of_a_wrong_type_is_an_error_that_names_the_place() -> None:
    def after(step_result: StepResult, context: PipelineContext) -> Replace:
        return Replace(replace(step_result, output="text"))

    result = await Flujo(add, post_step_execution=after, state=MemoryStore()).run_async(1)
    assert result.status == "failed"
    assert "add" in str(result.error)
