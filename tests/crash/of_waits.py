"""Scenarios of waiting: for people, for events, for time; and of everything at once."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from flujo import (
    Branch,
    Decision,
    HumanInput,
    Loop,
    Map,
    Parallel,
    PauseForHumanInput,
    Retry,
    Sleep,
    Step,
    StepInfo,
    SubPipeline,
    WaitForEvent,
    step,
)
from flujo.testing import Late, Signal
from tests.crash.of_flow import box, keep, spread, together, total, two
from tests.crash.of_steps import flaky, hopeless_agent, noted, risky
from tests.crash.scenario import Notes, Scenario
from tests.crash.witness import acts, did


class Verdict(BaseModel):
    fine: bool
    amount: int = 0


def prompt(number: Any) -> str:
    did("prompt", "check")
    return f"is {number} right?"


def shown(number: Any) -> dict[str, Any]:
    return {"fine": True, "amount": number}


@step
async def amount(verdict: Verdict, info: StepInfo) -> int:
    acts(info)
    return verdict.amount + verdict.fine


async def raises_agent(number: int, info: StepInfo) -> int:
    acts(info)
    raise PauseForHumanInput(f"how much for {number}?")


async def plain_raises_agent(number: int) -> int:
    raise PauseForHumanInput(f"how much for {number}?", subject=number)


def reserve(number: int) -> int:
    did("effect", "talk#reserve")
    return number + 1


async def talks_agent(number: int, context: Notes, info: StepInfo) -> int:
    acts(info)
    context.lines.append("talks")
    reserved = await info.do("reserve", reserve, number)
    first = await info.ask("first?", Verdict, subject={"reserved": reserved})
    second = await info.ask("second?")
    return reserved + first.amount + len(second)


talk = Step(talks_agent, name="talk")
raises = Step(raises_agent, name="raises")
check = HumanInput(prompt, schema=Verdict, subject=shown, name="check")
FIVE = Decision("edit", 5, reason="because", actor="ann")


def hundreds(number: int) -> bool:
    return number >= 300


def seven(number: int) -> bool:
    return number >= 7


def small(number: int) -> str:
    did("predicate", "all/route")
    return "small"


def ten(number: int) -> bool:
    did("predicate", f"all/turns[{number - 6}]")
    return number >= 8


everything = SubPipeline(
    keep
    >> Branch(
        on=small,
        cases={
            "small": Parallel(
                a=Loop(raises >> noted, until=seven, max_turns=3) >> two,
                b=Sleep(timedelta(hours=1)) >> flaky >> SubPipeline(box >> risky, name="deep"),
                c=spread
                >> Map(noted >> HumanInput("?", schema=int, name="person"), name="items")
                >> together,
                name="read",
            )
            >> total,
        },
        name="route",
    )
    >> HumanInput("in the end?", schema=int, name="end")
    >> Loop(noted, until=ten, max_turns=9, name="turns"),
    name="all",
)

WAITS = [
    Scenario("approve", noted >> check >> amount, 1, {"check": Decision("approve", actor="ann")}),
    Scenario("edit", noted >> check >> amount, 1, {"check": Decision("edit", {"fine": False, "amount": 9})}),
    Scenario(
        "deny",
        noted >> check >> amount,
        1,
        {"check": Decision("deny", reason="no", actor="ann")},
        ends="failed",
    ),
    Scenario(
        "deny_otherwise",
        noted >> HumanInput("?", schema=int, on_deny=two >> keep, name="ask") >> keep.named("after"),
        1,
        {"ask": Decision("deny")},
    ),
    Scenario(
        "raised",
        noted >> raises >> noted.named("b") >> Step(plain_raises_agent, name="plain") >> noted.named("c"),
        1,
        {"raises": FIVE, "plain": Decision("approve")},
    ),
    Scenario(
        "asked_inside",
        noted >> talk >> noted.named("after"),
        1,
        {"talk#ask": Decision("edit", {"fine": True, "amount": 3}), "talk#ask-2": Decision("edit", "four")},
    ),
    Scenario(
        "pause_in_fallback",
        noted
        >> Step(
            hopeless_agent,
            name="saved",
            retry=Retry(2, backoff=1.0),
            fallback=noted.named("first") >> HumanInput("?", schema=int, name="ask") >> keep,
        )
        >> keep.named("after"),
        1,
        {"saved/ask": FIVE},
    ),
    Scenario(
        "once_in_loop",
        Loop(risky >> keep, until=hundreds, max_turns=5) >> keep.named("after"),
        1,
        in_doubt={f"loop[{turn}]/risky": Decision("approve") for turn in range(1, 4)},
    ),
    Scenario(
        "once_asking",
        noted >> Step(talks_agent, name="talk", effects="at_most_once") >> keep,
        1,
        {
            "talk#ask": Decision("edit", {"fine": True, "amount": 3}),
            "talk#ask-2": Decision("edit", "four"),
        },
        in_doubt={"talk": Decision("approve")},
    ),
    Scenario(
        "many_at_once",
        Parallel(a=raises >> noted, b=two >> HumanInput("?", schema=int, name="h"), c=two, name="read")
        >> total,
        1,
        {"read/a/raises": FIVE, "read/b/h": Decision("edit", 6)},
        width=3,
    ),
    Scenario(
        "pause_in_loop",
        Loop(noted >> raises >> noted.named("b"), until=seven, max_turns=4) >> noted.named("after"),
        1,
        {"loop[1]/raises": FIVE, "loop[2]/raises": Decision("edit", 8)},
    ),
    Scenario(
        "pause_in_map",
        spread >> Map(noted >> HumanInput("?", schema=int, name="h") >> keep, concurrency=2) >> together,
        1,
        {f"map[{place}]/h": Decision("edit", place) for place in range(3)},
        width=3,
    ),
    Scenario(
        "sleep", noted >> Sleep(timedelta(hours=1)) >> noted.named("b") >> Sleep(timedelta()) >> keep, 1
    ),
    Scenario(
        "answer_too_late",
        noted >> HumanInput("fine?", schema=int, timeout=timedelta(days=1), on_timeout=two, name="h") >> keep,
        1,
        {"h": Late(90_000)},
    ),
    Scenario(
        "answer_never",
        noted >> HumanInput("fine?", schema=int, timeout=timedelta(days=1), name="h") >> keep,
        1,
        {"h": Late(90_000)},
        ends="failed",
    ),
    Scenario(
        "event",
        noted >> WaitForEvent("paid", schema=Verdict) >> amount,
        1,
        {"paid": Signal("paid", {"fine": True})},
    ),
    Scenario(
        "event_in_time",
        noted >> WaitForEvent("paid", schema=int, timeout=timedelta(days=1), on_timeout=two) >> keep,
        1,
        {"paid": Signal("paid", 3)},
    ),
    Scenario(
        "event_too_late",
        noted >> WaitForEvent("paid", schema=int, timeout=timedelta(days=1), on_timeout=two) >> keep,
        1,
        {"paid": Late(90_000)},
    ),
    Scenario(
        "event_never",
        noted >> WaitForEvent("paid", schema=int, timeout=timedelta(days=1)) >> keep,
        1,
        {"paid": Late(90_000)},
        ends="failed",
    ),
    Scenario(
        "everything",
        everything >> keep.named("last"),
        1,
        {
            "all/route/small/read/a/loop[1]/raises": FIVE,
            "all/route/small/read/a/loop[2]/raises": Decision("edit", 6),
            **{
                f"all/route/small/read/c/items[{place}]/person": Decision("edit", place) for place in range(3)
            },
            "all/end": Decision("edit", 6),
        },
        in_doubt={"all/route/small/read/b/deep/risky": Decision("approve")},
        width=6,
    ),
]
