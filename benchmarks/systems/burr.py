"""Apache Burr: a state machine of actions over an immutable state.

The graph is built once and each run is an application made from it, as Burr's documentation advises for
servers. Durable runs use its `AsyncSQLitePersister`, which stores the whole state after each action; its
connection is set to the same write-ahead log as everybody's. A person is asked by halting before the action
that needs the answer; since Burr stores nothing before its first action, an `ask` action precedes it. A run
is resumed by making the application anew from the persister.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from burr.core import Application, ApplicationBuilder, ApplicationContext, State, action, default, expr
from burr.core.graph import Graph, GraphBuilder
from burr.core.parallelism import MapStates
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks.measure import Meter
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN

UNSUPPORTED: dict[str, str] = {"postgres": "Burr's asynchronous persister takes no connection string"}


@action(reads=["x"], writes=["x"])
async def add(state: State) -> State:
    return state.update(x=state["x"] + 1)


def chain_graph(size: int) -> Graph:
    names = [f"add_{number}" for number in range(size)]
    return (
        GraphBuilder()
        .with_actions(**dict.fromkeys(names, add))
        .with_transitions(*itertools.pairwise(names))
        .build()
    )


async def run_in_memory(graph: Graph, entrypoint: str, last: str, x: int) -> State:
    application = await (
        ApplicationBuilder().with_graph(graph).with_state(x=x).with_entrypoint(entrypoint).abuild()
    )
    _, _, state = await application.arun(halt_after=[last])
    return state


async def chain(meter: Meter, size: int) -> None:
    graph = chain_graph(size)
    for _ in meter.rounds():
        with meter.timed(size):
            state = await run_in_memory(graph, "add_0", f"add_{size - 1}", 0)
        assert state["x"] == size


@action(reads=["x"], writes=["output"])
async def finish(state: State) -> State:
    return state.update(output=state["x"])


async def loop(meter: Meter, size: int) -> None:
    graph = (
        GraphBuilder()
        .with_actions(add, finish)
        .with_transitions(("add", "add", expr(f"x < {size}")), ("add", "finish", default))
        .build()
    )
    for _ in meter.rounds():
        with meter.timed(size):
            state = await run_in_memory(graph, "add", "finish", 0)
        assert state["output"] == size


class Fan(MapStates):
    """Runs `add` over one state per number, as sub-applications gathered by asyncio."""

    def is_async(self) -> bool:
        return True

    async def states(
        self, state: State, context: ApplicationContext, inputs: dict[str, Any]
    ) -> AsyncGenerator[State, None]:
        for x in range(state["size"]):
            yield state.update(x=x)

    def action(self, state: State, inputs: dict[str, Any]) -> Any:
        return add

    async def reduce(self, state: State, states: AsyncGenerator[State, None]) -> State:
        return state.update(outputs=[each["x"] async for each in states])

    @property
    def reads(self) -> list[str]:
        return ["size"]

    @property
    def writes(self) -> list[str]:
        return ["outputs"]


async def parallel(meter: Meter, size: int) -> None:
    graph = GraphBuilder().with_actions(fan=Fan()).build()
    for _ in meter.rounds():
        with meter.timed(size):
            application = await (
                ApplicationBuilder().with_graph(graph).with_state(size=size).with_entrypoint("fan").abuild()
            )
            _, _, state = await application.arun(halt_after=["fan"])
        assert state["outputs"] == list(range(1, size + 1))


async def concurrent(meter: Meter, size: int) -> None:
    graph, last = chain_graph(STEPS_PER_CONCURRENT_RUN), f"add_{STEPS_PER_CONCURRENT_RUN - 1}"
    for runs in meter.sizes(size):
        with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
            states = await asyncio.gather(*(run_in_memory(graph, "add_0", last, 0) for _ in range(runs)))
        assert [state["x"] for state in states] == [STEPS_PER_CONCURRENT_RUN] * runs


@asynccontextmanager
async def opened(meter: Meter) -> AsyncGenerator[AsyncSQLitePersister]:
    async with AsyncSQLitePersister.from_values(str(meter.database)) as persister:
        await persister.connection.execute("PRAGMA journal_mode=WAL")
        await persister.connection.execute("PRAGMA synchronous=FULL")
        await persister.initialize()
        yield persister


async def stored_run(
    graph: Graph, persister: AsyncSQLitePersister, name: str, entrypoint: str, state: dict[str, Any]
) -> "Application[Any]":
    """The run of this name, new or as far as it got."""
    return await (
        ApplicationBuilder()
        .with_graph(graph)
        .with_identifiers(app_id=name)
        .initialize_from(
            persister, resume_at_next_action=True, default_state=state, default_entrypoint=entrypoint
        )
        .with_state_persister(persister)
        .abuild()
    )


async def durable(meter: Meter, size: int) -> None:
    graph = chain_graph(size)
    async with opened(meter) as persister:
        for number in meter.rounds():
            with meter.timed(size):
                application = await stored_run(graph, persister, f"run-{number}", "add_0", {"x": 0})
                _, _, state = await application.arun(halt_after=[f"add_{size - 1}"])
            assert state["x"] == size


async def durable_context(meter: Meter, size: int) -> None:
    graph = chain_graph(size)
    async with opened(meter) as persister:
        for number in meter.rounds():
            with meter.timed(size):
                context = {"text": meter.text, "x": 0}
                application = await stored_run(graph, persister, f"run-{number}", "add_0", context)
                _, _, state = await application.arun(halt_after=[f"add_{size - 1}"])
            assert state["x"] == size


async def durable_concurrent(meter: Meter, size: int) -> None:
    graph, last = chain_graph(STEPS_PER_CONCURRENT_RUN), f"add_{STEPS_PER_CONCURRENT_RUN - 1}"

    async def run(persister: AsyncSQLitePersister, name: str) -> int:
        application = await stored_run(graph, persister, name, "add_0", {"x": 0})
        _, _, state = await application.arun(halt_after=[last])
        return state["x"]

    async with opened(meter) as persister:
        for number, runs in enumerate(meter.sizes(size)):
            with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
                outputs = await asyncio.gather(
                    *(run(persister, f"run-{number}-{each}") for each in range(runs))
                )
            assert outputs == [STEPS_PER_CONCURRENT_RUN] * runs


async def resume(meter: Meter, size: int) -> None:
    graph = chain_graph(size + 1)
    for number in meter.rounds():
        async with opened(meter) as persister:
            application = await stored_run(graph, persister, f"run-{number}", "add_0", {"x": 0})
            await application.arun(halt_after=[f"add_{size - 1}"])
        async with opened(meter) as persister:
            with meter.timed(1):
                application = await stored_run(graph, persister, f"run-{number}", "add_0", {"x": 0})
                _, _, state = await application.arun(halt_after=[f"add_{size}"])
            assert state["x"] == size + 1


@action(reads=[], writes=["question"])
async def ask(state: State) -> State:
    return state.update(question="Pay this invoice?")


@action(reads=["question"], writes=["approved"])
async def answer(state: State, approved: bool) -> State:
    return state.update(approved=approved)


async def pause_resume(meter: Meter, size: int) -> None:
    graph = GraphBuilder().with_actions(ask, answer).with_transitions(("ask", "answer")).build()

    async def until_asked(persister: AsyncSQLitePersister, name: str) -> None:
        application = await stored_run(graph, persister, name, "ask", {})
        await application.arun(halt_before=["answer"])

    async def answered(persister: AsyncSQLitePersister, name: str) -> bool:
        application = await stored_run(graph, persister, name, "ask", {})
        _, _, state = await application.arun(halt_after=["answer"], inputs={"approved": True})
        return state["approved"]

    async with opened(meter) as persister:
        for number, runs in enumerate(meter.sizes(size)):
            names = [f"run-{number}-{each}" for each in range(runs)]
            with meter.timed(runs):
                await asyncio.gather(*(until_asked(persister, name) for name in names))
                answers = await asyncio.gather(*(answered(persister, name) for name in names))
            assert answers == [True] * runs
