"""Scenarios of control flow: side by side, over items, one of several, again and again, nested."""

from typing import Annotated

from flujo import Branch, Failure, From, Loop, Map, Parallel, Step, StepInfo, SubPipeline, step
from tests.crash.of_steps import LARGE, flaky, hopeless, noted, saved, titled
from tests.crash.scenario import Notes, Scenario
from tests.crash.witness import acts, did


@step
async def keep(number: int, info: StepInfo) -> int:
    acts(info)
    return number


@step
async def plain(number: int) -> int:
    return number


@step
async def total(parts: dict[str, int], info: StepInfo) -> int:
    acts(info)
    return sum(parts.values())


@step
async def together(parts: list[int], info: StepInfo) -> int:
    acts(info)
    return sum(parts)


@step
async def product(parts: tuple[int, int], info: StepInfo) -> int:
    acts(info)
    return parts[0] * parts[1]


@step
async def described(parts: dict[str, int | Failure], info: StepInfo) -> str:
    acts(info)
    return repr(parts)


@step
async def listed(parts: list[int | Failure], info: StepInfo) -> str:
    acts(info)
    return repr(parts)


@step
async def spread(number: int, info: StepInfo) -> list[int]:
    acts(info)
    return [number + place for place in range(3)]


async def picky_agent(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.lines.append(f"picky {number}")
    if number == 2:
        raise ValueError("not two")
    return number


@step
async def compare(number: int, info: StepInfo, first: Annotated[int, From("noted")]) -> int:
    acts(info)
    return 100 * number + first


async def using_agent(number: int, inside: int, info: StepInfo) -> int:
    acts(info)
    return number * 1000 + inside


@step
async def gigantic(text: str, context: Notes, info: StepInfo) -> str:
    acts(info)
    context.facts[info.address] = LARGE[:5000]
    return LARGE + str(len(text))


@step
async def opened(number: int, info: StepInfo) -> str:
    acts(info)
    return str(number)


def digits(number: int) -> set[int]:
    did("predicate", "digits[]")
    return {int(digit) for digit in str(number)}


def up_to(number: int) -> range:
    return range(number)


def plus_one(number: int) -> int:
    did("predicate", "sub/inner[]")
    return number + 1


def minus(number: int) -> int:
    return -number


def size(number: int) -> str:
    did("predicate", "route")
    return "large" if number > 10 else "small"


def parity(number: int, context: Notes) -> bool:
    did("predicate", "route/small/inner")
    return (number + context.total) % 2 == 0


def unknown(number: int) -> str:
    did("predicate", "other")
    return f"none of them: {number}"


def noting(number: int, context: Notes) -> str:
    did("predicate", "noting")
    context.facts["asked"] = number
    return "only"


def up_to_five(number: int) -> bool:
    did("predicate", f"count[{number - 1}]")
    return number >= 5


def six_lines(number: int, context: Notes) -> bool:
    turn = len(context.lines) // 2
    did("predicate", f"again[{turn}]")
    context.facts["turns"] = turn
    return turn >= 3


def two_large(text: str, context: Notes) -> bool:
    return len(context.facts) >= 2


def third(number: int) -> bool:
    return number % 3 == 0


def seven(number: int) -> bool:
    return number >= 7


def never(number: int) -> bool:
    did("predicate", f"count[{number - 1}]")
    return False


two = noted >> noted.named("second")
kept_inside = keep.named("kept_inside")
box = SubPipeline(noted.named("a") >> kept_inside >> noted.named("b"), name="box")
inner = SubPipeline(two >> flaky, input=plus_one, output=minus, name="inner")

FLOW = [
    Scenario("sequences", (noted >> keep) >> (noted.named("b") >> keep.named("c")), 1),
    Scenario(
        "parallel",
        keep >> Parallel(a=two, b=flaky, c=keep.named("c") >> noted, name="read") >> total,
        1,
        width=3,
    ),
    Scenario(
        "parallel_tuple",
        Parallel(two, Parallel(noted, keep, name="deep") >> product) >> product.named("whole"),
        2,
        width=3,
    ),
    Scenario(
        "parallel_failing",
        keep >> Parallel(a=two, b=hopeless, name="read") >> total,
        1,
        width=2,
        exact=False,
        ends="failed",
    ),
    Scenario(
        "parallel_conflicting",
        keep >> Parallel(a=titled, b=titled.named("other"), name="read") >> total,
        1,
        width=2,
        ends="failed",
    ),
    Scenario(
        "parallel_collecting",
        Parallel(a=two, b=hopeless, c=saved, name="read", on_failure="collect") >> described,
        1,
        width=3,
    ),
    Scenario("map", spread >> Map(noted >> flaky, concurrency=2, name="each") >> together, 1, width=2),
    Scenario("map_over", Map(two, over=digits, name="digits") >> together, 3217, width=4),
    Scenario(
        "map_collecting",
        spread >> Map(Step(picky_agent, name="picky"), on_failure="collect") >> listed,
        1,
        width=3,
    ),
    Scenario("map_of_nothing", Map(two, over=up_to) >> together, 0),
    Scenario(
        "branch",
        noted
        >> Branch(
            on=size,
            cases={
                "large": noted.named("big"),
                "small": Branch(on=parity, cases={True: two, False: keep >> two}, name="inner"),
            },
            name="route",
        )
        >> Branch(on=unknown, cases={"x": keep}, default=noted.named("fallen"), name="other"),
        1,
    ),
    Scenario(
        "branch_noting",
        noted >> Branch(on=noting, cases={"only": keep}, name="noting") >> keep.named("b"),
        1,
    ),
    Scenario(
        "branch_without_a_case",
        noted >> Branch(on=unknown, cases={"x": keep}, name="other"),
        1,
        ends="failed",
    ),
    Scenario(
        "loop",
        keep.named("before")
        >> Loop(keep >> noted, until=up_to_five, max_turns=9, name="count")
        >> noted.named("after"),
        1,
    ),
    Scenario("loop_on_context", Loop(two, until=six_lines, max_turns=5, name="again") >> noted, 1),
    Scenario(
        "loop_exhausted",
        Loop(keep >> noted, until=never, max_turns=3, name="count") >> keep,
        1,
        ends="failed",
    ),
    Scenario(
        "loop_in_loop",
        Loop(
            Loop(noted, until=third, max_turns=5, name="in") >> noted.named("more"), until=seven, max_turns=5
        )
        >> keep,
        1,
    ),
    Scenario("sub", keep.named("open") >> SubPipeline(keep >> inner >> noted, name="sub") >> keep, 1),
    Scenario(
        "named_inputs",
        noted >> box >> compare >> Step(using_agent, name="using", inputs={"inside": kept_inside.output}),
        1,
    ),
    Scenario(
        "large_everywhere",
        opened
        >> Loop(gigantic, until=two_large, max_turns=3)
        >> SubPipeline(gigantic.named("more"), name="sub")
        >> Parallel(a=gigantic, b=gigantic.named("other"), name="both"),
        1,
        width=2,
    ),
]
