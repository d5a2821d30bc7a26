"""Agents with a role, as a type checker sees them: what they give follows from what they are made with."""

from enum import Enum
from typing import Any, assert_type

from pydantic import BaseModel

from flujo import Node, PipelineContext, Step, step
from flujo.agents import (
    AgentChoice,
    ClassifierAgent,
    CodeGeneratorAgent,
    ContextualAgentFactory,
    ExtractorAgent,
    GeneratedCode,
    ModelAgent,
    PlannerAgent,
    Review,
    ReviewerAgent,
    RouterAgent,
    SQLAnswer,
    SQLQueryAgent,
    Summary,
    TaskPlan,
    TextSummarizerAgent,
    TranslatorAgent,
)


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Invoice(BaseModel):
    number: str


@step
async def pay(invoice: Invoice) -> int:
    return len(invoice.number)


def choose(context: PipelineContext) -> AgentChoice:
    return AgentChoice()


M = "openai:gpt-5"
assert_type(Step(ClassifierAgent(["a", "b"], model=M)), Step[Any, str])
assert_type(Step(ClassifierAgent({"a": "", "b": ""}, model=M, multiple=True)), Step[Any, list[str]])
assert_type(Step(ClassifierAgent(Mood, model=M)), Step[Any, Mood])
assert_type(Step(ClassifierAgent(Mood, model=M, multiple=True)), Step[Any, list[Mood]])
assert_type(Step(ExtractorAgent(Invoice, model=M)), Step[Any, Invoice])
assert_type(Step(ReviewerAgent(model=M)), Step[Any, Review])
assert_type(Step(ReviewerAgent(model=M, output_type=Invoice)), Step[Any, Invoice])
assert_type(Step(TextSummarizerAgent(model=M, retries=3)), Step[Any, Summary])
assert_type(Step(TextSummarizerAgent(model=M, output_type=str)), Step[Any, str])
assert_type(Step(TranslatorAgent("German", model=M)), Step[Any, str])
assert_type(Step(PlannerAgent(model=M)), Step[Any, TaskPlan])
assert_type(Step(CodeGeneratorAgent(model=M, settings={"temperature": 0})), Step[Any, GeneratedCode])
assert_type(Step(SQLQueryAgent("shop.db", model=M)), Step[Any, SQLAnswer])
assert_type(Step(RouterAgent(["a", "b"], model=M)), Step[Any, str])
assert_type(RouterAgent(["a", "b"], model=M).branch({"a": pay, "b": pay}), Node[Invoice, int])
assert_type(Step(ContextualAgentFactory(ModelAgent(M), choose)), Step[Any, str])
assert_type(Step(ContextualAgentFactory(ExtractorAgent(Invoice, model=M), choose)), Step[Any, Invoice])
assert_type(ReviewerAgent(model=M).replace(model="openai:gpt-5-mini"), ReviewerAgent[Review])
