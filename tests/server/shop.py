"""Pipelines that the tests serve."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, Field

from flujo import Flujo, HumanInput, Parallel, step


class Order(BaseModel):
    item: str
    amount: int = Field(default=1, alias="how_many")


class Letter(BaseModel):
    to: str
    lines: list[str]


@step
async def pack(order: Order) -> Order:
    """Pack an order into a box."""
    return order


@step
async def shout(text: str) -> str:
    return text.upper()


@step
async def send(letter: str) -> str:
    return f"sent: {letter}"


@step
async def fail(text: str) -> str:
    raise ValueError(f"no {text} at https://me:{os.environ.get('SHOP_API_KEY', '-')}@host/")


@step
def loud(text: str) -> str:
    print("printed by a step")
    sys.stdout.flush()
    os.write(1, b"written by a step\n")
    subprocess.run(["echo", "printed by a child"], check=True)
    read = subprocess.run(["cat"], check=True, capture_output=True).stdout
    return f"{text}, {len(read)} bytes of stdin"


@step
async def slow(place: str) -> str:
    """Wait until somebody ends it, leaving a mark when it begins."""
    await asyncio.to_thread(Path(place).write_text, "begun")
    await asyncio.sleep(60)
    return place


_two = asyncio.Barrier(2)


@step
async def meet(name: str) -> str:
    """Wait until somebody else waits here, too."""
    await _two.wait()
    return name


@step
async def write(to: str) -> Letter:
    return Letter(to=to, lines=["Dear", to])


@step
async def post(letter: Letter) -> str:
    return f"{letter.to}: {' '.join(letter.lines)}"


@step
async def nothing() -> int:
    return 17


letter = (shout >> HumanInput("Send it?", schema=str, name="confirm") >> send).named("letter")
note = (write >> HumanInput("Post it?", schema=Letter, name="confirm") >> post).named("note")
both = (shout >> Parallel(a=HumanInput("a?", name="ask_a"), b=HumanInput("b?", name="ask_b"))).named("both")
unkept = Flujo(letter)


def made() -> object:
    """Write to somebody who is loved."""
    return letter.named("Billet doux!")
