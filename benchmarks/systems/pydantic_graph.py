"""pydantic-graph: the typed graph library under Pydantic AI, through its `GraphBuilder`.

Version 2 has no persistence of its own (the state persistence of version 1 is gone), so the durable
workloads are left out.
"""

import asyncio
import itertools

from pydantic_graph import Graph, GraphBuilder, StepContext, reduce_list_append

from benchmarks.measure import Meter
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN

_NOT_DURABLE = "pydantic-graph 2 stores no runs"

UNSUPPORTED: dict[str, str] = dict.fromkeys(
    ("durable", "durable_context", "durable_concurrent", "resume", "pause_resume"), _NOT_DURABLE
)


async def add(ctx: StepContext[None, None, int]) -> int:
    return ctx.inputs + 1


def chain_graph(size: int) -> Graph[None, None, int, int]:
    builder = GraphBuilder(input_type=int, output_type=int)
    steps = [builder.step(add, node_id=f"add_{number}") for number in range(size)]
    builder.add(
        builder.edge_from(builder.start_node).to(steps[0]),
        *(builder.edge_from(one).to(other) for one, other in itertools.pairwise(steps)),
        builder.edge_from(steps[-1]).to(builder.end_node),
    )
    return builder.build()


async def chain(meter: Meter, size: int) -> None:
    graph = chain_graph(size)
    for _ in meter.rounds():
        with meter.timed(size):
            output = await graph.run(inputs=0)
        assert output == size


async def loop(meter: Meter, size: int) -> None:
    builder = GraphBuilder(input_type=int, output_type=int)
    step = builder.step(add)
    builder.add(
        builder.edge_from(builder.start_node).to(step),
        builder.edge_from(step).to(
            builder.decision()
            .branch(builder.match(int, matches=lambda x: x < size).to(step))
            .branch(builder.match(int).to(builder.end_node))
        ),
    )
    graph = builder.build()
    for _ in meter.rounds():
        with meter.timed(size):
            output = await graph.run(inputs=0)
        assert output == size


async def parallel(meter: Meter, size: int) -> None:
    builder = GraphBuilder(input_type=int, output_type=list[int])
    step = builder.step(add)

    @builder.step
    async def numbers(ctx: StepContext[None, None, int]) -> list[int]:
        return list(range(ctx.inputs))

    collect = builder.join(reduce_list_append, initial_factory=list[int])
    builder.add(
        builder.edge_from(builder.start_node).to(numbers),
        builder.edge_from(numbers).map().to(step),
        builder.edge_from(step).to(collect),
        builder.edge_from(collect).to(builder.end_node),
    )
    graph = builder.build()
    for _ in meter.rounds():
        with meter.timed(size):
            outputs = await graph.run(inputs=size)
        assert sorted(outputs) == list(range(1, size + 1))


async def concurrent(meter: Meter, size: int) -> None:
    graph = chain_graph(STEPS_PER_CONCURRENT_RUN)
    for runs in meter.sizes(size):
        with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
            outputs = await asyncio.gather(*(graph.run(inputs=0) for _ in range(runs)))
        assert outputs == [STEPS_PER_CONCURRENT_RUN] * runs
