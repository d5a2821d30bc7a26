"""What a type checker must refuse of agents with a role: each marked line, by the rule that it names."""

from pydantic import BaseModel

from flujo import Step, step
from flujo.agents import (
    AgentChoice,
    ClassifierAgent,
    ContextualAgentFactory,
    ExtractorAgent,
    ModelAgent,
    RouterAgent,
)


class Invoice(BaseModel):
    number: str


@step
async def pay(invoice: Invoice) -> int:
    return len(invoice.number)


@step
async def read(text: str) -> int:
    return len(text)


def choose() -> str:
    return ""


ClassifierAgent(["a", "b"])  # expect: reportCallIssue
ClassifierAgent(["a", "b"], model=5)  # expect: reportArgumentType
ClassifierAgent(["a", "b"], model="openai:gpt-5", colour="red")  # expect: reportCallIssue
ExtractorAgent(Invoice(number="1"), model="openai:gpt-5")  # expect: reportArgumentType
Step(ExtractorAgent(Invoice, model="openai:gpt-5")) >> read  # expect: reportOperatorIssue
RouterAgent(["a", "b"], model="openai:gpt-5").branch({"a": pay, "b": read})  # expect: reportArgumentType
ContextualAgentFactory(ModelAgent("openai:gpt-5"), choose)  # expect: reportArgumentType
AgentChoice(tool=("a",))  # expect: reportCallIssue
