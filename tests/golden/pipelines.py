"""The pipelines whose journals are kept. A recorded one must not change: add another instead."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from flujo import (
    Append,
    Branch,
    Decision,
    From,
    HumanInput,
    Loop,
    Map,
    Parallel,
    PauseForHumanInput,
    PipelineContext,
    Retry,
    Sleep,
    Step,
    StepInfo,
    SubPipeline,
    Usage,
    WaitForEvent,
    step,
)


class Ledger(PipelineContext):
    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])
    total: Decimal = Decimal(0)


class Invoice(BaseModel):
    supplier: str
    due: date
    gross: Decimal


@step
async def read(text: str, context: Ledger, info: StepInfo) -> Invoice:
    info.report(Usage(1, 120, 30, Decimal("0.0004")))
    context.lines.append(f"read {text}")
    return Invoice(supplier=text.title(), due=date(2027, 3, 1), gross=Decimal("119.00"))


@step
async def net(invoice: Invoice) -> Decimal:
    return invoice.gross / Decimal("1.19")


@step
async def days(invoice: Invoice, context: Ledger) -> int:
    context.lines.append("days")
    return (invoice.due - date(2027, 2, 1)).days


@step
async def tell(parts: dict[str, Decimal | int], invoice: Annotated[Invoice, From("read")]) -> str:
    return f"{invoice.supplier}: {parts['net']} in {parts['days']} days"


async def flaky_agent(number: int, info: StepInfo) -> int:
    if info.attempt < 3:
        raise ConnectionError(f"no answer to attempt {info.attempt}")
    return number + 1


@step
async def words(text: str) -> list[str]:
    return text.split()


@step
async def shout(word: str, context: Ledger) -> str:
    context.lines.append(word)
    return word.upper()


@step
async def join(parts: list[str]) -> str:
    return " ".join(parts)


@step
async def count(text: str) -> int:
    return len(text)


@step
async def one_more(number: int, context: Ledger) -> int:
    context.total += 1
    return number + 1


@step
async def long(number: int) -> str:
    return f"{number} " * 3000


async def pay(amount: int) -> str:
    return f"paid {amount}"


async def pays_agent(number: int, info: StepInfo) -> int:
    paid = await info.do("pay", pay, number)
    fine = await info.ask("was it right?", bool, subject=paid)
    return number if fine else -number


async def raises_agent(number: int) -> int:
    raise PauseForHumanInput("how many?", subject=number)


async def fails_agent(number: int) -> int:
    raise ValueError(f"{number} is too much")


async def undone_agent(number: int) -> int:
    return number + 1


async def undo(number: int, context: Ledger) -> None:
    context.lines.append(f"undone {number}")


def long_enough(number: int) -> bool:
    return number >= 15


def parity(number: int) -> str:
    return "odd" if number % 2 else "even"


flaky = Step(flaky_agent, name="flaky", retry=Retry(attempts=4, backoff=2.0, jitter=0.5))
fails = Step(fails_agent, name="fails", retry=Retry(attempts=2, backoff=0.0))
invoices = read >> Parallel(net=net, days=days, name="facts") >> tell
counting = (
    count
    >> Branch(on=parity, cases={"odd": one_more, "even": one_more.named("add") >> flaky}, name="route")
    >> Loop(one_more >> one_more.named("again"), until=long_enough, max_turns=9)
    >> SubPipeline(long >> count, name="size")
)


class Golden(NamedTuple):
    """A pipeline, its input, and the decisions that carry it from pause to pause to its end.

    Attributes:
        recorded: How many of the decisions were made when the journal was recorded.
    """

    pipeline: Any
    input: Any
    decisions: tuple[tuple[str, Decision], ...] = ()
    recorded: int = 0


def decided(action: Any, value: Any = None) -> Decision:
    return Decision(action, value, reason="as agreed", actor="ann", at=datetime(2027, 1, 2, tzinfo=UTC))


GOLDEN = {
    "parallel": Golden(invoices, "acme ltd"),
    "branch_loop_sub": Golden(counting, "twelve chars"),
    "map": Golden(words >> Map(shout, concurrency=2) >> join, "not so loud"),
    "failed": Golden(one_more >> fails, 1),
    "undone": Golden(Step(undone_agent, name="book", undo=undo) >> fails, 1),
    "fallback": Golden(Step(fails_agent, name="saved", fallback=one_more.named("backup")), 1),
    "paused": Golden(
        one_more >> HumanInput("how much?", schema=int, name="ask") >> one_more.named("after"),
        1,
        (("ask", decided("edit", 40)),),
    ),
    "paused_in_parallel": Golden(
        Parallel(
            a=Step(pays_agent, name="pays") >> one_more,
            b=Step(raises_agent, name="raises"),
            c=one_more.named("c") >> flaky,
            name="both",
        ),
        7,
        (("both/a/pays#ask", decided("edit", False)), ("both/b/raises", decided("approve"))),
        recorded=1,
    ),
    "paused_in_loop": Golden(
        Loop(one_more >> HumanInput("go on with?", schema=int, name="ask"), until=long_enough, max_turns=5),
        1,
        (
            ("loop[1]/ask", decided("edit", 5)),
            ("loop[2]/ask", decided("approve")),
            ("loop[3]/ask", decided("edit", 20)),
        ),
        recorded=1,
    ),
    "waits": Golden(
        one_more
        >> Sleep(timedelta(hours=1))
        >> WaitForEvent("paid", schema=Invoice, timeout=timedelta(days=9))
        >> net,
        1,
        (("paid", Decision("edit", {"supplier": "A", "due": "2027-01-01", "gross": "11.90"})),),
    ),
    "denied": Golden(
        one_more >> HumanInput("how much?", schema=int, name="ask"),
        1,
        (("ask", decided("deny")),),
        recorded=1,
    ),
    "in_doubt": Golden(
        one_more >> Step(undone_agent, name="risky", effects="at_most_once"),
        1,
        (("risky", decided("edit", 30)),),
    ),
}
