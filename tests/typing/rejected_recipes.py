"""What a type checker must refuse of recipes: each marked line, by the rule that its mark names."""

from pydantic import BaseModel

from flujo import step
from flujo.agents import Ballot, Debate, DebateTurn, Revision, best_of, consensus, debate, refine_until


class Review(BaseModel):
    score: float


class Findings(BaseModel):
    lines: list[str]


@step
async def draft(task: str) -> str:
    return task


@step
async def draft_number(task: int) -> str:
    return str(task)


@step
async def review(text: str) -> Review:
    return Review(score=1)


@step
async def review_number(number: int) -> Review:
    return Review(score=1)


@step
async def find(text: str) -> Findings:
    return Findings(lines=[])


@step
async def revise(asked: Revision[int, str, Findings]) -> str:
    return asked.draft


@step
async def decide(ballot: Ballot[str, int]) -> str:
    return str(ballot.answers)


@step
async def argue(turn: DebateTurn[str, str]) -> str:
    return turn.task


@step
async def verdict(debate: Debate[int, str]) -> str:
    return str(debate.task)


def spotless(found: list[str]) -> bool:
    return not found


refine_until(draft, find, until=0.9, max_turns=3)  # expect: reportCallIssue
refine_until(draft, find, until=spotless, max_turns=3)  # expect: reportArgumentType
refine_until(draft, review_number, until=0.9, max_turns=3)  # expect: reportArgumentType
refine_until(draft_number, review, until=0.9, max_turns=3)  # expect: reportCallIssue
refine_until(draft_number, review, until=0.9, max_turns=3, revise=revise)  # expect: reportArgumentType
refine_until(draft, review, until=0.9)  # expect: reportCallIssue
refine_until(draft, review, until=0.9, max_turns=3) >> review_number  # expect: reportOperatorIssue
best_of(3, draft, find)  # expect: reportArgumentType
best_of(3, draft, review_number)  # expect: reportArgumentType
consensus([draft, draft], judge=decide)  # expect: reportArgumentType
consensus([draft, draft], agree=2, judge=decide)  # expect: reportArgumentType
debate({"pro": argue, "con": argue}, verdict, rounds=2)  # expect: reportArgumentType
