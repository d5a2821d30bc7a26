"""LangGraph: a `StateGraph` over a typed dictionary, compiled once.

Durable runs use its `AsyncSqliteSaver` (which chooses the write-ahead log itself) or `AsyncPostgresSaver`,
with `durability="sync"`, so that a step is stored before the next one starts, like everybody's; its default
writes in the background. Fan-out is by `Send`, a person is asked by `interrupt`, and a resumed run continues
from its last checkpoint.
"""

import asyncio
import operator
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send, interrupt

from benchmarks.measure import Meter
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN

UNSUPPORTED: dict[str, str] = {}

Compiled = CompiledStateGraph[Any, Any, Any, Any]


class Number(TypedDict):
    x: int


async def add(state: Number) -> Number:
    return {"x": state["x"] + 1}


def chain_graph(size: int, saver: BaseCheckpointSaver[str] | None = None) -> Compiled:
    builder = StateGraph(Number)
    builder.add_sequence([(f"add_{number}", add) for number in range(size)])
    builder.add_edge(START, "add_0")
    builder.add_edge(f"add_{size - 1}", END)
    return builder.compile(checkpointer=saver)


def named(thread: str, steps: int) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}, "recursion_limit": steps + 5}


async def chain(meter: Meter, size: int) -> None:
    graph = chain_graph(size)
    for _ in meter.rounds():
        with meter.timed(size):
            state = await graph.ainvoke({"x": 0}, {"recursion_limit": size + 5})
        assert state["x"] == size


async def loop(meter: Meter, size: int) -> None:
    builder = StateGraph(Number)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: "add" if state["x"] < size else END, ["add", END])
    graph = builder.compile()
    for _ in meter.rounds():
        with meter.timed(size):
            state = await graph.ainvoke({"x": 0}, {"recursion_limit": size + 5})
        assert state["x"] == size


class Fan(TypedDict):
    size: int
    outputs: Annotated[list[int], operator.add]


async def parallel(meter: Meter, size: int) -> None:
    async def branch(state: Number) -> dict[str, list[int]]:
        return {"outputs": [state["x"] + 1]}

    builder = StateGraph(Fan)
    builder.add_node("branch", branch)
    builder.add_conditional_edges(
        START, lambda state: [Send("branch", {"x": x}) for x in range(state["size"])], ["branch"]
    )
    builder.add_edge("branch", END)
    graph = builder.compile()
    for _ in meter.rounds():
        with meter.timed(size):
            state = await graph.ainvoke({"size": size})
        assert state["outputs"] == list(range(1, size + 1))


async def concurrent(meter: Meter, size: int) -> None:
    graph = chain_graph(STEPS_PER_CONCURRENT_RUN)
    for runs in meter.sizes(size):
        with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
            states = await asyncio.gather(*(graph.ainvoke({"x": 0}) for _ in range(runs)))
        assert [state["x"] for state in states] == [STEPS_PER_CONCURRENT_RUN] * runs


@asynccontextmanager
async def opened(meter: Meter) -> AsyncGenerator[BaseCheckpointSaver[Any]]:
    if meter.url:
        async with AsyncPostgresSaver.from_conn_string(meter.url) as saver:
            await saver.setup()
            yield saver
        return
    async with AsyncSqliteSaver.from_conn_string(str(meter.database)) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=FULL")
        yield saver


async def durable(meter: Meter, size: int) -> None:
    async with opened(meter) as saver:
        graph = chain_graph(size, saver)
        for number in meter.rounds():
            with meter.timed(size):
                state = await graph.ainvoke({"x": 0}, named(f"run-{number}", size), durability="sync")
            assert state["x"] == size


class Context(TypedDict):
    text: str
    counter: int


async def durable_context(meter: Meter, size: int) -> None:
    async def count(state: Context) -> dict[str, int]:
        return {"counter": state["counter"] + 1}

    builder = StateGraph(Context)
    builder.add_sequence([(f"count_{number}", count) for number in range(size)])
    builder.add_edge(START, "count_0")
    builder.add_edge(f"count_{size - 1}", END)
    async with opened(meter) as saver:
        graph = builder.compile(checkpointer=saver)
        for number in meter.rounds():
            context: Context = {"text": meter.text, "counter": 0}
            with meter.timed(size):
                state = await graph.ainvoke(context, named(f"run-{number}", size), durability="sync")
            assert state["counter"] == size


async def durable_concurrent(meter: Meter, size: int) -> None:
    async with opened(meter) as saver:
        graph = chain_graph(STEPS_PER_CONCURRENT_RUN, saver)
        for number, runs in enumerate(meter.sizes(size)):
            names = [named(f"run-{number}-{each}", STEPS_PER_CONCURRENT_RUN) for each in range(runs)]
            with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
                states = await asyncio.gather(
                    *(graph.ainvoke({"x": 0}, name, durability="sync") for name in names)
                )
            assert [state["x"] for state in states] == [STEPS_PER_CONCURRENT_RUN] * runs


async def resume(meter: Meter, size: int) -> None:
    broken = True

    async def last(state: Number) -> Number:
        if broken:
            raise ConnectionError("the process is lost here")
        return {"x": state["x"] + 1}

    builder = StateGraph(Number)
    builder.add_sequence([*((f"add_{number}", add) for number in range(size)), ("last", last)])
    builder.add_edge(START, "add_0")
    builder.add_edge("last", END)
    for number in meter.rounds():
        name = named(f"run-{number}", size + 1)
        async with opened(meter) as saver:
            broken = True
            try:
                await builder.compile(checkpointer=saver).ainvoke({"x": 0}, name, durability="sync")
            except ConnectionError:
                broken = False
        async with opened(meter) as saver:
            graph = builder.compile(checkpointer=saver)
            with meter.timed(1):
                state = await graph.ainvoke(None, name, durability="sync")
            assert state["x"] == size + 1


class Asked(TypedDict):
    approved: bool


async def pause_resume(meter: Meter, size: int) -> None:
    async def ask(state: Asked) -> Asked:
        return {"approved": interrupt("Pay this invoice?")}

    builder = StateGraph(Asked)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    async with opened(meter) as saver:
        graph = builder.compile(checkpointer=saver)
        for number, runs in enumerate(meter.sizes(size)):
            names = [named(f"run-{number}-{each}", 2) for each in range(runs)]
            with meter.timed(runs):
                await asyncio.gather(
                    *(graph.ainvoke({"approved": False}, name, durability="sync") for name in names)
                )
                states = await asyncio.gather(
                    *(graph.ainvoke(Command(resume=True), name, durability="sync") for name in names)
                )
            assert [state["approved"] for state in states] == [True] * runs
