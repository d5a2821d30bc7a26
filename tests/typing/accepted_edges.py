"""What a type checker must accept, and the types it must find."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal, assert_type

from pydantic import BaseModel, Field

from flujo import (
    Branch,
    Failure,
    Flujo,
    Fold,
    From,
    HumanInput,
    Loop,
    Map,
    MayMutate,
    Parallel,
    Pipeline,
    PipelineContext,
    PipelineMutation,
    PipelineResult,
    Reconfigure,
    Retry,
    Sleep,
    Step,
    StepInfo,
    StreamingStep,
    SubPipeline,
    WaitForEvent,
    step,
)


class Animal(BaseModel):
    name: str


class Dog(Animal):
    age: int


class Notes(PipelineContext):
    lines: list[str] = Field(default_factory=list[str])


@step
async def number(x: int) -> int:
    return x


@step
def text(x: int) -> str:
    return str(x)


@step
async def shout(words: str) -> str:
    return words


@step
async def everything(x: int, notes: Notes, info: StepInfo, early: Annotated[str, From("text")]) -> bool:
    return await info.do("check", check, x, strict=True)


async def check(x: int, *, strict: bool) -> bool:
    return strict


@step(retry=Retry(attempts=2), timeout=timedelta(seconds=3))
async def configured(x: int) -> Decimal:
    return Decimal(x)


@step(name="blocking", cache=True)
def configured_sync(x: str) -> bytes:
    return x.encode()


@step(may_mutate=MayMutate("skip"))
async def mutating(x: int) -> str | PipelineMutation[str]:
    return PipelineMutation(str(x)).skip("shout") if x else str(x)


@step(may_mutate=MayMutate("reconfigure", parameters=["*"]))
def reconfiguring(x: int) -> Reconfigure[str]:
    return Reconfigure(str(x), step="shout", model="large")


assert_type(mutating, Step[int, str])
assert_type(reconfiguring, Step[int, str])
assert_type(mutating >> shout, Pipeline[int, str])
assert_type(reconfiguring >> shout, Pipeline[int, str])


@step
async def start() -> int:
    return 1


@step
async def find(name: str) -> Dog:
    return Dog(name=name, age=1)


@step
async def greet(animal: Animal) -> str:
    return animal.name


@step
async def items(x: int) -> list[int]:
    return [x]


@step
async def add_up(numbers: Sequence[int]) -> int:
    return sum(numbers)


class Agent:
    async def run(self, input: int, /) -> str:
        return ""


class SyncAgent:
    def run(self, input: int, /) -> str:
        return ""


class CuriousAgent:
    async def run(self, x: int, info: StepInfo) -> str:
        return info.address


# Steps
assert_type(number, Step[int, int])
assert_type(text, Step[int, str])
assert_type(everything, Step[int, bool])
assert_type(configured, Step[int, Decimal])
assert_type(configured_sync, Step[str, bytes])
assert_type(start, Step[object, int])
assert_type(number.named("again"), Step[int, int])
assert_type(Step(Agent()), Step[int, str])
assert_type(Step(SyncAgent()), Step[int, str])
assert_type(Step(CuriousAgent()), Step[int, str])

# Edges
assert_type(number >> text, Pipeline[int, str])
assert_type(number >> text >> shout, Pipeline[int, str])
assert_type(number >> (text >> shout), Pipeline[int, str])
assert_type(find >> greet, Pipeline[str, str])
assert_type(items >> add_up, Pipeline[int, int])
assert_type(shout >> start >> text, Pipeline[str, str])


# Streams
async def tokens(topic: str) -> AsyncIterator[str]:
    yield topic


async def lengths(words: AsyncIterator[str], info: StepInfo) -> AsyncIterator[int]:
    async for word in words:
        yield len(word)


async def halves(numbers: AsyncIterator[int]) -> AsyncIterator[float]:
    async for one in numbers:
        yield one / 2


def plus(total: int, one: int) -> int:
    return total + one


class Streamer:
    async def stream(self, chunks: AsyncIterator[str]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk.encode()


assert_type(StreamingStep(tokens), StreamingStep[str, str])
assert_type(StreamingStep(lengths), StreamingStep[str | list[str], list[int]])
assert_type(StreamingStep(lengths, collect=Fold(0, plus)), StreamingStep[str | list[str], int])
assert_type(StreamingStep(lengths, collect=len), StreamingStep[str | list[str], int])
assert_type(StreamingStep(lengths, collect=list), StreamingStep[str | list[str], list[int]])
assert_type(StreamingStep(Streamer()), StreamingStep[str | list[str], bytes])
assert_type(
    shout >> StreamingStep(tokens) >> StreamingStep(lengths) >> StreamingStep(halves),
    Pipeline[str, list[float]],
)
assert_type(StreamingStep(lengths, collect=Fold(0, plus)) >> text, Pipeline[str | list[str], str])
assert_type(StreamingStep(tokens) >> shout, Pipeline[str, str])

# Containers
assert_type(Parallel(number, text), Parallel[int, tuple[int, str]])
assert_type(Parallel(number, text, number, text), Parallel[int, tuple[int, str, int, str]])
assert_type(Parallel(a=number, b=number), Parallel[int, dict[str, int]])
assert_type(Parallel(a=number, b=text), Parallel[int, dict[str, int | str]])
assert_type(Parallel(number, number, on_failure="collect"), Parallel[int, tuple[int | Failure, ...]])
assert_type(items >> Map(text), Pipeline[int, list[str]])


def lambda_free(x: int) -> str:
    return str(x)


def lambda_items(words: str) -> list[int]:
    return [len(words)]


def size(x: int) -> Literal["small", "large"]:
    return "small"


def even(x: int) -> bool:
    return x % 2 == 0


def even_and_noted(x: int, notes: Notes) -> bool:
    return bool(notes.lines)


def shown_with_notes(x: int, notes: Notes) -> str:
    return f"{x} {notes.lines}"


async def awaited_with_notes(x: int, notes: Notes) -> str:
    return f"{x} {notes.lines}"


def counted_with_notes(words: str, notes: Notes) -> int:
    return len(words) + len(notes.lines)


assert_type(Step(lambda_free), Step[int, str])
assert_type(Map(text, over=lambda_items), Map[str, list[str]])
assert_type(Map(text, over=lambda_items, on_failure="collect"), Map[str, list[str | Failure]])
assert_type(Branch(on=size, cases={"small": text, "large": text}), Branch[int, str])
assert_type(Branch(on=even, cases={True: text}, default=text), Branch[int, str])
assert_type(Loop(number, until=even, max_turns=3), Loop[int, int])
assert_type(Loop(number, until=even_and_noted, max_turns=3), Loop[int, int])
assert_type(SubPipeline(number >> text), SubPipeline[int, str])
assert_type(SubPipeline(number >> text, output=len), SubPipeline[int, int])
assert_type(SubPipeline(number, output=shown_with_notes), SubPipeline[int, str])
assert_type(SubPipeline(number, output=awaited_with_notes), SubPipeline[int, str])
assert_type(SubPipeline(number, input=counted_with_notes), SubPipeline[str, int])
assert_type(SubPipeline(number, input=counted_with_notes, output=shown_with_notes), SubPipeline[str, str])
assert_type(number >> HumanInput(shown_with_notes, subject=awaited_with_notes), Pipeline[int, str])
assert_type(number >> HumanInput("?"), Pipeline[int, str])
assert_type(number >> HumanInput("?", schema=Dog), Pipeline[int, Dog])
assert_type(number >> HumanInput("?", Dog), Pipeline[int, Dog])
assert_type(number >> WaitForEvent("paid", schema=Dog) >> greet, Pipeline[int, str])
assert_type(number >> Sleep(timedelta(1)) >> text, Pipeline[int, str])


# Running
async def running() -> None:
    runner = Flujo(number >> text)
    assert_type(runner, Flujo[int, str])
    assert_type(runner.run(1), PipelineResult[str])
    noted = Flujo(number >> text, context_model=Notes)
    assert_type(noted, Flujo[int, str, Notes])
    assert_type(noted.run(1).context.lines, list[str])
    assert_type((await noted.resume_async("r1")).context, Notes)
    assert_type((await noted.cancel("r1")).context, Notes)
    assert_type(runner.run(1).context, PipelineContext)
    result = await runner.run_async(1, run_id="r1", context=Notes())
    assert_type(result.output, str | None)
    assert_type(result.unwrap(), str)
    assert_type(await runner.resume_async(result, 5), PipelineResult[str])
    assert_type(Flujo(Parallel(a=number, b=number)).run(1).output, dict[str, int] | None)


async def inside(info: StepInfo) -> None:
    assert_type(await info.do("check", check, 1, strict=True), bool)
    assert_type(await info.do("plain", lambda_free, 1), str)
    assert_type(await info.ask("?", Dog), Dog)
    assert_type(await info.ask("?"), str)
