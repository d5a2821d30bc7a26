"""Scenarios of single steps: plain, retried, judged, limited, cached, undone, in doubt."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel

from flujo import (
    Decision,
    From,
    Hook,
    Loop,
    Parallel,
    Replace,
    Retry,
    Step,
    StepInfo,
    StepResult,
    StopPipeline,
    SubPipeline,
    Usage,
    step,
)
from tests.crash.scenario import Notes, Scenario
from tests.crash.witness import acts, did

LARGE = "x" * 100_000
SWIFT = Retry(attempts=4, backoff=1.0, jitter=0.0)


class Invoice(BaseModel):
    number: str
    due: date
    gross: Decimal


@step
async def plus_one(number: int) -> int:
    did("step", "plus_one")
    return number + 1


@step
def in_a_thread(number: int) -> int:
    did("step", "in_a_thread")
    return number * 10


@step
async def noted(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.lines.append(info.address)
    context.total += number
    context.facts[info.address] = [number]
    used = abs(number)
    info.report(Usage(1, used, 2 * used, Decimal("0.001") * used))
    return number + 1


@step
async def titled(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.title = f"{info.address} of {number}"
    context.scratchpad.setdefault("seen", []).append(number)
    return number


@step
async def invoice(number: int, info: StepInfo) -> Invoice:
    acts(info)
    return Invoice(number=f"A-{number}", due=date(2027, 1, 31), gross=Decimal("19.90"))


@step
async def gross(given: Invoice, info: StepInfo, first: Annotated[int, From("plus_one")]) -> Decimal:
    acts(info)
    return given.gross + first


async def flaky_agent(number: int, info: StepInfo) -> int:
    acts(info)
    info.report(Usage(1, 10, info.attempt))
    if info.attempt < 3:
        raise ConnectionError(f"attempt {info.attempt}")
    return number + info.attempt


flaky = Step(flaky_agent, name="flaky", retry=SWIFT)


async def messy_agent(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.lines.append(f"attempt {info.attempt}")
    context.total += 1
    if info.attempt < 3:
        raise ConnectionError
    return number


async def wordy_agent(number: int, info: StepInfo) -> str:
    acts(info)
    return f"{number}: " + "; ".join(info.feedback)


def long_enough(text: str) -> str | None:
    did("validator", "wordy")
    return None if len(text) > 40 else f"only {len(text)} characters"


wordy = Step(wordy_agent, name="wordy", retry=SWIFT, validators=[long_enough])


async def hopeless_agent(number: int, info: StepInfo) -> int:
    acts(info)
    info.report(Usage(1))
    raise ValueError(f"cannot do {number}")


async def wrong_at_once_agent(number: int, info: StepInfo) -> int:
    acts(info)
    raise TypeError("no attempt can mend this")


async def silent_agent(number: int, info: StepInfo) -> int:
    acts(info)
    raise KeyError


async def slow_agent(number: int, info: StepInfo) -> int:
    acts(info)
    await asyncio.sleep(60)
    return number


async def never_right_agent(number: int, info: StepInfo) -> str:
    acts(info)
    return f"attempt {info.attempt}"


def never_right(text: str) -> str:
    did("validator", "never_right")
    return f"not {text}"


async def backup_agent(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    info.report(Usage(2))
    context.lines.append("backup")
    return -number


hopeless = Step(hopeless_agent, name="hopeless", retry=Retry(attempts=2, backoff=0.0))
saved = Step(
    hopeless_agent,
    name="saved",
    retry=Retry(attempts=2, backoff=0.0),
    fallback=Step(backup_agent, name="backup"),
)


async def thrifty_agent(number: int, info: StepInfo) -> int:
    acts(info)
    return number * number


def square(number: int) -> str:
    return f"square {number}"


thrifty = Step(thrifty_agent, name="thrifty", cache=square)


async def half_agent(number: int) -> int:
    return number // 2


async def risky_agent(number: int, info: StepInfo) -> int:
    acts(info)
    return number + 100


async def risky_flaky_agent(number: int, info: StepInfo) -> int:
    acts(info)
    if info.attempt < 2:
        raise ConnectionError("refused, nothing was done")
    return number + 200


risky = Step(risky_agent, name="risky", effects="at_most_once")
risky_flaky = Step(risky_flaky_agent, name="risky_flaky", effects="at_most_once", retry=SWIFT)


async def booked_agent(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.lines.append(f"booked {info.address}")
    return number + 1


async def unbook(number: int, context: Notes) -> None:
    did("undo", f"book_{number - 1}")
    context.lines.append(f"unbooked {number}")


async def cannot_unbook(number: int) -> None:
    did("undo", f"book_{number - 1}")
    raise RuntimeError("the other side does not answer")


def three(number: int) -> bool:
    return number >= 3


async def hopeless_with_dict_agent(parts: dict[str, int], info: StepInfo) -> int:
    acts(info)
    raise ValueError(f"cannot do {parts}")


async def unbook_address(number: int, context: Notes, info: StepInfo) -> None:
    did("undo", info.address.removesuffix("#undo"))
    context.lines.append(f"unbooked {info.address}")


booked = Step(booked_agent, name="booked", undo=unbook_address)
book_0 = Step(booked_agent, name="book_0", undo=unbook)
book_1 = Step(booked_agent, name="book_1", undo=cannot_unbook)
book_2 = Step(booked_agent, name="book_2", undo=unbook)


def charge(amount: int, card: str) -> str:
    did("effect", f"pay#charge{'' if amount == 1 else f'-{amount}'}")
    return f"{card} charged {amount}"


async def receipt(amount: int) -> Invoice:
    did("effect", "pay#receipt")
    return Invoice(number=str(amount), due=date(2027, 2, 1), gross=Decimal(amount))


async def pay_agent(number: int, context: Notes, info: StepInfo) -> str:
    acts(info)
    first = await info.do("charge", charge, 1, "visa")
    second = await info.do("charge", charge, 2, card="amex")
    if info.attempt == 1:
        raise ConnectionError("after two effects")
    printed = await info.do("receipt", receipt, number)
    context.facts["receipt"] = printed.number
    return f"{first}, {second}, {printed.gross}"


pay = Step(pay_agent, name="pay", retry=SWIFT)


@step
async def heavy(number: int, context: Notes, info: StepInfo) -> str:
    acts(info)
    context.facts["large"] = LARGE[:10_000]
    return LARGE + str(number)


@step
async def weigh(text: str, info: StepInfo) -> int:
    acts(info)
    return len(text)


@step
async def stops(number: int, info: StepInfo) -> int:
    acts(info)
    raise StopPipeline(f"{number} is enough")


class Starting(Hook):
    """Replaces the input of a run before it begins, and that of a step."""

    async def on_pipeline_start(self, initial_input: Any, context: Any) -> Any:
        did("hook", "start")
        context.lines.append("started")
        return Replace(initial_input + 10)

    async def pre_step_execution(self, step_name: str, step_input: Any, context: Any) -> Any:
        context.lines.append(f"before {step_name}")
        return Replace(step_input + 1)


class Doubling(Hook):
    """Replaces what steps give, and notes in the context that it saw them."""

    async def post_step_execution(self, step_result: StepResult, context: Any) -> Any:
        did("hook", step_result.address)
        context.lines.append(f"saw {step_result.name}")
        return Replace(
            StepResult(step_result.name, step_result.address, step_result.output * 2, usage=Usage(1))
        )


STEPS = [
    Scenario("chain", plus_one >> in_a_thread >> titled >> noted >> titled.named("again"), 1),
    Scenario("values", plus_one >> invoice >> gross, 1),
    Scenario("retry", noted >> flaky >> noted.named("after"), 1),
    Scenario("retry_with_context", Step(messy_agent, name="messy", retry=SWIFT) >> noted, 1),
    Scenario("validators", noted >> wordy >> weigh, 1),
    Scenario("fallback", noted >> saved >> noted.named("after"), 1),
    Scenario("cache", thrifty >> Step(half_agent, name="half") >> thrifty.named("again"), 2),
    Scenario(
        "doubt_settled",
        noted >> risky >> noted.named("after"),
        1,
        in_doubt={"risky": Decision("edit", 102)},
    ),
    Scenario(
        "doubt_run_again",
        noted >> risky_flaky >> noted.named("after"),
        1,
        in_doubt={"risky_flaky": Decision("approve")},
    ),
    Scenario("undo", book_0 >> book_1 >> book_2 >> hopeless, 0, ends="failed"),
    Scenario(
        "undo_inside",
        Loop(booked, until=three, max_turns=5)
        >> SubPipeline(booked.named("book_3"), name="sub")
        >> Parallel(a=booked.named("book_4"), b=booked.named("book_5"), name="both")
        >> Step(hopeless_with_dict_agent, name="hopeless"),
        0,
        width=2,
        ends="failed",
    ),
    Scenario("effects", noted >> pay >> weigh, 7),
    Scenario("large", heavy >> weigh >> heavy.named("heavier") >> weigh.named("weigh_again"), 7),
    Scenario("hooks", noted >> noted.named("twice"), 1, hooks=[Doubling()]),
    Scenario("hooks_before", noted >> noted.named("twice"), 1, hooks=[Starting()]),
    Scenario("stopped", noted >> stops >> noted.named("never"), 1, ends="stopped"),
    Scenario("failed", noted >> hopeless >> noted.named("never"), 1, ends="failed"),
    Scenario(
        "failed_at_once",
        noted >> Step(wrong_at_once_agent, name="wrong", retry=Retry(4, on=(OSError,))),
        1,
        ends="failed",
    ),
    Scenario("failed_silently", noted >> Step(silent_agent, name="silent"), 1, ends="failed"),
    Scenario(
        "rejected",
        noted >> Step(never_right_agent, name="never_right", retry=2, validators=[never_right]),
        1,
        ends="failed",
    ),
    Scenario(
        "timed_out",
        noted >> Step(slow_agent, name="slow", timeout=timedelta(milliseconds=1)),
        1,
        ends="failed",
    ),
    Scenario(
        "once_timed_out",
        noted
        >> Step(slow_agent, name="slow", timeout=0.001, effects="at_most_once", retry=SWIFT)
        >> noted.named("b"),
        1,
        in_doubt={"slow": Decision("edit", 7)},
    ),
]
