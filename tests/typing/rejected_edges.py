"""What a type checker must refuse: each marked line, by the rule that its mark names."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Literal

from flujo import (
    Branch,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MayMutate,
    Parallel,
    PipelineMutation,
    Retry,
    Sleep,
    Step,
    StepInfo,
    StreamingStep,
    SubPipeline,
    WaitForEvent,
    step,
)


@step
async def number(x: int) -> int:
    return x


@step
async def text(x: int) -> str:
    return str(x)


@step
def shout(words: str) -> str:
    return words


@step
async def items(x: int) -> list[int]:
    return [x]


@step
async def join(both: tuple[int, int]) -> int:
    return both[0]


@step
async def join_labels(both: dict[str, int]) -> int:
    return both["a"]


def kind(x: int) -> Literal["small", "large"]:
    return "small"


def long(words: str) -> bool:
    return bool(words)


def not_a_verdict(x: int) -> str:
    return "yes"


def lambda_items(x: int) -> list[int]:
    return [x]


def long_text(x: int) -> str:
    return ""


# Edges
number >> shout  # expect: reportOperatorIssue
number >> text >> number  # expect: reportOperatorIssue
number >> (shout >> shout)  # expect: reportOperatorIssue
items >> number  # expect: reportOperatorIssue
number >> len  # expect: reportOperatorIssue
number >> 5  # expect: reportOperatorIssue

# Containers
Parallel(number, text) >> join  # expect: reportOperatorIssue
Parallel(a=number, b=text) >> join_labels  # expect: reportOperatorIssue
Parallel(number, number, on_failure="collect") >> join  # expect: reportOperatorIssue
Parallel(number, shout)  # expect: reportCallIssue
Parallel(a=number, b=shout)  # expect: reportArgumentType
Parallel(number, on_failure="ignore")  # expect: reportCallIssue
items >> Map(shout)  # expect: reportOperatorIssue
number >> Map(number)  # expect: reportOperatorIssue
items >> Map(text) >> join  # expect: reportOperatorIssue
Map(shout, over=lambda_items)  # expect: reportArgumentType
Branch(on=kind, cases={"small": number, "large": shout})  # expect: reportArgumentType
Branch(on=long, cases={True: number})  # expect: reportArgumentType
Loop(text, until=long, max_turns=2)  # expect: reportArgumentType
Loop(number, until=long, max_turns=2)  # expect: reportArgumentType
Loop(number, until=not_a_verdict, max_turns=2)  # expect: reportArgumentType
Loop(number, until=bool)  # expect: reportCallIssue
number >> SubPipeline(shout >> shout)  # expect: reportOperatorIssue
SubPipeline(number, input=long_text)  # expect: reportArgumentType
number >> HumanInput("?") >> number  # expect: reportOperatorIssue
number >> HumanInput("?", schema=str) >> number  # expect: reportOperatorIssue
number >> WaitForEvent("paid", schema=str) >> number  # expect: reportOperatorIssue
number >> Sleep(timedelta(1)) >> shout  # expect: reportOperatorIssue

# Mutations


@step(may_mutate=MayMutate("skip"))
async def mutating(x: int) -> str | PipelineMutation[str]:
    return PipelineMutation(str(x))


mutating >> number  # expect: reportOperatorIssue
MayMutate("delete")  # expect: reportArgumentType
PipelineMutation("a").insert(number)  # expect: reportArgumentType


# Streams
async def tokens(topic: str) -> AsyncIterator[str]:
    yield topic


async def halves(numbers: AsyncIterator[int]) -> AsyncIterator[float]:
    async for one in numbers:
        yield one / 2


StreamingStep(tokens) >> StreamingStep(halves)  # expect: reportOperatorIssue
StreamingStep(tokens) >> number  # expect: reportOperatorIssue
StreamingStep(tokens, collect=len) >> shout  # expect: reportOperatorIssue
StreamingStep(tokens, retry=3)  # expect: reportCallIssue
StreamingStep(kind)  # expect: reportCallIssue

# Settings
Step(kind, retries=3)  # expect: reportCallIssue
Step(kind, effects="twice")  # expect: reportCallIssue
Step(5)  # expect: reportCallIssue
Retry(on=5)  # expect: reportArgumentType


# Running
def running() -> None:
    runner = Flujo(number >> text)
    runner.run("text")  # expect: reportArgumentType
    count: int = runner.run(1).unwrap()  # expect: reportAssignmentType
    print(count)
    Flujo(number, state=5)  # expect: reportArgumentType
    Flujo(number, durability="maybe")  # expect: reportArgumentType


def check(x: int) -> bool:
    return True


async def inside(info: StepInfo) -> None:
    await info.do("check", check, "text")  # expect: reportCallIssue
    await info.do("check", check)  # expect: reportCallIssue
    number_given: int = await info.ask("?")  # expect: reportAssignmentType
    print(number_given)
