"""Recipes, as a type checker sees them: what they take and give follows from their nodes."""

from typing import assert_type

from pydantic import BaseModel

from flujo import Node, Pipeline, Step, step
from flujo.agents import (
    Attempt,
    Ballot,
    Debate,
    DebateTurn,
    Revision,
    best_of,
    consensus,
    debate,
    refine_until,
)


class Task(BaseModel):
    topic: str


class Letter(BaseModel):
    text: str


class Review(BaseModel):
    score: float


@step
async def draft(task: str) -> Letter:
    return Letter(text=task)


@step
async def draft_task(task: Task) -> Letter:
    return Letter(text=task.topic)


@step
async def review(letter: Letter) -> Review:
    return Review(score=1)


@step
async def review_with_task(attempt: Attempt[Task, Letter]) -> Review:
    return Review(score=1)


@step
async def number(letter: Letter) -> float:
    return 1.0


@step
async def findings(letter: Letter) -> list[str]:
    return []


@step
async def revise(asked: Revision[Task, Letter, Review]) -> Letter:
    return asked.draft


@step
async def decide(ballot: Ballot[str, Letter]) -> Letter:
    return ballot.answers[0]


@step
async def count(ballot: Ballot[str, Letter]) -> int:
    return len(ballot.answers)


@step
async def argue(turn: DebateTurn[Task, str]) -> str:
    return turn.task.topic


@step
async def verdict(debate: Debate[Task, str]) -> bool:
    return bool(debate.statements)


@step
async def shout(letter: Letter) -> str:
    return letter.text


def spotless(found: list[str]) -> bool:
    return not found


async def spotless_soon(found: list[str]) -> bool:
    return not found


def size(letter: Letter) -> int:
    return len(letter.text)


class Anything:
    async def run(self, asked: object, /) -> Letter:
        return Letter(text=str(asked))


assert_type(refine_until(draft, review, until=0.9, max_turns=3), Node[str, Letter])
assert_type(refine_until(draft, number, until=0.9, max_turns=3), Node[str, Letter])
assert_type(refine_until(draft, findings, until=spotless, max_turns=3), Node[str, Letter])
assert_type(refine_until(draft, findings, until=spotless_soon, max_turns=3), Node[str, Letter])
assert_type(refine_until(draft_task, review, revise=revise, until=1, max_turns=3), Node[Task, Letter])
assert_type(
    refine_until(draft_task, review_with_task, revise=revise, until=1, max_turns=3), Node[Task, Letter]
)
assert_type(
    refine_until(draft_task, review, revise=revise, until=lambda said: said.score > 0.5, max_turns=3),
    Node[Task, Letter],
)
assert_type(refine_until(draft, review, until=0.9, max_turns=3) >> shout, Pipeline[str, str])
assert_type(refine_until(Step(Anything()), review, until=1, max_turns=3), Node[str, Letter])
assert_type(best_of(3, draft, review), Node[str, Letter])
assert_type(best_of(3, draft_task, review_with_task), Node[Task, Letter])
assert_type(best_of(3, draft_task, number) >> shout, Pipeline[Task, str])
assert_type(consensus([draft, draft]), Node[str, Letter])
assert_type(consensus([draft, draft], key=size), Node[str, Letter])
assert_type(consensus([draft, draft], agree=2, judge=decide), Node[str, Letter])
assert_type(consensus([draft, draft], judge=count), Node[str, int])
assert_type(debate({"pro": argue, "con": argue}, verdict, rounds=2), Node[Task, bool])
