"""What a decision by policies in Cedar costs: `python -m benchmarks.cedar`."""

import asyncio
import statistics
import time
from collections.abc import Callable

from pydantic import BaseModel

from flujo import Flujo, Step
from flujo.governance import CedarPolicy, Principal
from flujo.governance.cedar_place import ToldRun
from flujo.pipeline.policy import PolicyContext


class Order(BaseModel):
    amount: int
    to: str = "ada"


async def pay(order: Order) -> str:
    return "paid"


def policies(count: int) -> str:
    rules = [
        f'@id("r{at}") forbid (principal, action == Action::"before_tool", resource == Tool::"t{at}")'
        f"when {{ context.arguments.amount > {at} }};"
        for at in range(count - 1)
    ]
    return "\n".join(["permit (principal, action, resource);", *rules])


def median(call: Callable[[], object], times: int = 3000) -> float:
    """Return what a call takes, in microseconds."""
    took: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e6


async def step(policy: CedarPolicy | None, times: int = 1500) -> float:
    """Return what a run of one step takes in memory, in microseconds."""
    runner = Flujo(Step(pay), policies=[] if policy is None else [policy])
    order, who = Order(amount=3), Principal("ada", ("clerk",))
    for _ in range(200):
        await runner.run_async(order, principal=who)
    took: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        await runner.run_async(order, principal=who)
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e6


def main() -> None:
    run = ToldRun("run", "pay", Principal("ada", ("clerk",)))
    context = PolicyContext("before_tool", "pay", "pay#t3", run, "t3")
    data = {"amount": 3, "to": "ada"}
    print("policies   a decision   with all parsed each time")
    for count in (1, 10, 100):
        text = policies(count)
        policy = CedarPolicy(text)
        kept = median(lambda policy=policy: policy.judge(context, data))
        anew = median(lambda text=text: CedarPolicy(text).judge(context, data), 200)
        print(f"{count:8}   {kept:7.0f} µs   {anew:7.0f} µs")
    plain, judged = asyncio.run(step(None)), asyncio.run(step(CedarPolicy(policies(10))))
    print(f"a run of one step in memory: {plain:.0f} µs; under 10 policies: {judged:.0f} µs (two decisions)")


if __name__ == "__main__":
    main()
