"""A help desk: each message is read, counted and judged; what is urgent waits for a person."""

from typing import Literal

from pydantic import BaseModel

from flujo import Branch, HumanInput, Parallel, step


class Ticket(BaseModel):
    """A message that somebody sent."""

    text: str
    words: int
    urgent: bool


class Facts(BaseModel):
    """What is known of a message."""

    text: str


@step
async def read(text: str) -> Facts:
    """Tidy a message up."""
    return Facts(text=" ".join(text.split()))


@step
async def count(facts: Facts) -> int:
    """Count its words."""
    return len(facts.text.split())


@step
async def judge(facts: Facts) -> bool:
    """Say whether it is urgent."""
    return any(word in facts.text.lower() for word in ("urgent", "down", "now"))


@step
async def ticket(found: tuple[Facts, int, bool]) -> Ticket:
    """Make a ticket of what was found."""
    facts, words, urgent = found
    return Ticket(text=facts.text, words=words, urgent=urgent)


@step
async def passed_on(facts: Facts) -> Facts:
    """Hand the message on as it is."""
    return facts


def urgency(ticket: Ticket) -> Literal["urgent", "usual"]:
    """Choose the way of a ticket."""
    return "urgent" if ticket.urgent else "usual"


@step
async def file(ticket: Ticket) -> str:
    """File a usual ticket."""
    return f"filed: {ticket.text} ({ticket.words} words)"


@step
async def escalate(ticket: Ticket) -> str:
    """Pass an urgent ticket on at once."""
    return f"escalated: {ticket.text}"


pipeline = (
    read
    >> Parallel(passed_on, count, judge, name="look")
    >> ticket
    >> Branch(
        on=urgency,
        cases={
            "usual": file,
            "urgent": HumanInput("Wake somebody up?", schema=Ticket, name="confirm") >> escalate,
        },
        name="route",
    )
).named("helpdesk")
