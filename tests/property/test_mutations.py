"""Random pipelines that random mutations change while they run: the same, wherever their process dies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flujo import (
    Decision,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MayMutate,
    MemoryStore,
    Node,
    Parallel,
    Pipeline,
    PipelineMutation,
    Step,
    StepInfo,
    SubPipeline,
)
from flujo.pipeline.mutation import Change
from flujo.testing import Lives, VirtualClock

MODULUS = 97
MOST = 4
"""The most examples of a test that dies everywhere."""


@dataclass(frozen=True)
class Part:
    """A node of a random row: what it is called, what it does, what is inside, what it asks for."""

    kind: str
    name: str
    k: int
    rows: tuple[tuple[Part, ...], ...] = ()
    changes: tuple[Change, ...] = ()


Row = tuple[Part, ...]
Labeled = list[tuple[str, Part]]

BROUGHT = {
    "x_add": Part("add", "x_add", 5),
    "x_ask": Part("ask", "x_ask", 0),
    "x_row": Part("sub", "x_row", 0, ((Part("add", "one", 1), Part("add", "two", 2)),)),
    "x_loop": Part("loop", "x_loop", 2, ((Part("add", "again", 3),),)),
    "x_both": Part("both", "x_both", 0, ((Part("add", "left", 1),), (Part("add", "right", 2),))),
    "x_plan": Part(
        "sub",
        "x_plan",
        0,
        ((Part("plan", "inner", 1, changes=(Change("append", "x_add"),)), Part("add", "last", 1)),),
    ),
}
"""What mutations may bring in, by reference."""


# What they mean


def changed(row: Labeled, at: int, changes: Sequence[Change], given: dict[str, int]) -> None:
    """Apply a mutation that the node at a place makes."""
    inserted = 0
    for change in changes:
        labels = [label for label, _ in row]
        brought = (change.name, BROUGHT[change.node]) if change.node else ("", BROUGHT["x_add"])
        match change.operation:
            case "insert" if not change.target:
                inserted += 1
                row.insert(at + inserted, brought)
            case "insert":
                row.insert(labels.index(change.target) + 1, brought)
            case "append":
                row.append(brought)
            case "replace":
                row[labels.index(change.target)] = (change.target, brought[1])
            case "skip":
                del row[labels.index(change.target)]
            case "reconfigure":
                given[change.target] = change.parameters["k"]


def meaning(row: Row, x: int) -> int:
    """Return what a row gives, in plain Python."""
    state: Labeled = [(part.name, part) for part in row]
    given: dict[str, int] = {}
    at = 0
    while at < len(state):
        label, part = state[at]
        x = meant(part, x, given.get(label, 0)) % MODULUS
        if part.kind == "plan":
            changed(state, at, named(part.changes), given)
        at += 1
    return x


def named(changes: Sequence[Change]) -> list[Change]:
    """Return operations with the names that nodes have which come in without one."""
    return [
        Change(one.operation, one.node, one.target, one.name or one.node, one.parameters) for one in changes
    ]


def meant(part: Part, x: int, more: int) -> int:
    match part.kind:
        case "add":
            return x * 2 + part.k + more
        case "plan":
            return x + part.k
        case "ask":
            return 5
        case "sub":
            return meaning(part.rows[0], x)
        case "loop":
            for _ in range(part.k):
                x = meaning(part.rows[0], x)
                if x % 3 == 0:
                    break
            return x
        case "map":
            return sum(meaning(part.rows[0], x + index) for index in range(2))
        case _:
            return sum(place * meaning(row, x) for place, row in enumerate(part.rows, 1))


# As pipelines


def pipeline_of(row: Row) -> Pipeline[int, int]:
    return Pipeline(*(node_of(part) for part in row))


def node_of(part: Part) -> Node[Any, Any]:
    match part.kind:
        case "add":
            return Step(adding(part.k), name=part.name)
        case "plan":
            return Step(planning(part), name=part.name, may_mutate=permission())
        case "ask":
            return HumanInput("?", schema=int, name=part.name)
        case "sub":
            return SubPipeline(pipeline_of(part.rows[0]), name=part.name)
        case "loop":
            body = pipeline_of(part.rows[0])
            return Loop(body, until=by_three, max_turns=part.k, name=part.name, on_exhausted="return")
        case "map":
            mapped = Map(pipeline_of(part.rows[0]), over=next_two, name="map") >> Step(total, name="total")
            return SubPipeline(mapped, name=part.name)
        case _:
            one, other = map(pipeline_of, part.rows)
            return SubPipeline(Parallel(one, other, name="side") >> Step(weighed), name=part.name)


def permission() -> MayMutate:
    nodes = {name: node_of(part) for name, part in BROUGHT.items() if name != "x_plan"}
    inner = BROUGHT["x_plan"].rows[0]
    few = MayMutate("append", steps=1, agents=["x_add"], nodes={"x_add": nodes["x_add"]})
    planner = Step(planning(inner[0]), name="inner", may_mutate=few)
    nodes["x_plan"] = SubPipeline(planner >> node_of(inner[1]), name="x_plan")
    operations = ("insert", "replace", "skip", "append", "reconfigure")
    return MayMutate(*operations, steps=50, agents=["x_*"], nodes=nodes, parameters=["*.k"])


def adding(k: int) -> Any:
    async def add(x: int, info: StepInfo) -> int:
        return (x * 2 + await info.do("k", the_same, k) + info.parameters.get("k", 0)) % MODULUS

    return add


def the_same(k: int) -> int:
    return k


def planning(part: Part) -> Any:
    async def plan(x: int) -> PipelineMutation[int]:
        return PipelineMutation((x + part.k) % MODULUS, part.changes)

    return plan


def by_three(x: int) -> bool:
    return x % 3 == 0


def next_two(x: int) -> list[int]:
    return [x, x + 1]


async def total(found: list[int]) -> int:
    return sum(found) % MODULUS


async def weighed(found: tuple[int, int]) -> int:
    return sum(place * one for place, one in enumerate(found, 1)) % MODULUS


# At random


@st.composite
def rows(draw: st.DrawFn, depth: int = 2, begin: str = "n") -> Row:
    """Draw a row whose planners ask for what can be done where they stand."""
    kinds = ["add", "plan", "ask", *(["sub", "loop", "map", "both"] if depth else [])]
    drawn = [draw(st.sampled_from(kinds)) for _ in range(draw(st.integers(1, 2)))]
    parts = [draw(parts_of(kind, f"{begin}{at}", depth)) for at, kind in enumerate(["plan", *drawn])]
    state: Labeled = [(part.name, part) for part in parts]
    at = 0
    while at < len(state):
        label, part = state[at]
        if part.kind == "plan" and label in [one.name for one in parts]:
            changes = draw(mutations(state, at, f"{begin}{at}"))
            place = [one.name for one in parts].index(label)
            parts[place] = Part("plan", part.name, part.k, (), changes)
            changed(state, at, named(changes), {})
        at += 1
    return tuple(parts)


@st.composite
def parts_of(draw: st.DrawFn, kind: str, name: str, depth: int) -> Part:
    count = {"sub": 1, "loop": 1, "map": 1, "both": 2}.get(kind, 0)
    inside = tuple(draw(rows(depth - 1, f"{name}_{at}_")) for at in range(count))
    return Part(kind, name, draw(st.integers(1, 3)), inside)


@st.composite
def mutations(draw: st.DrawFn, state: Labeled, at: int, begin: str) -> tuple[Change, ...]:
    """Draw operations that can be applied one after another."""
    now, found = list(state), list[Change]()
    for number in range(draw(st.integers(0, 3))):
        later = [label for label, _ in now[at + 1 :]]
        adds = [label for label, part in now[at + 1 :] if part.kind == "add"]
        brought, name = draw(st.sampled_from(sorted(BROUGHT))), f"{begin}_new{number}"
        choices = [Change("insert", brought, "", name), Change("append", brought, "", name)]
        if later:
            target = draw(st.sampled_from(later))
            choices += [
                Change("insert", brought, target, name),
                Change("replace", brought, target),
                Change("skip", "", target),
            ]
        if adds:
            given = {"k": draw(st.integers(1, 9))}
            choices.append(Change("reconfigure", "", draw(st.sampled_from(adds)), parameters=given))
        change = draw(st.sampled_from(choices))
        if change.operation in ("skip", "replace") and any(one.target == change.target for one in found):
            continue  # what is reconfigured, or inserted after, is to be there in the end
        if change.operation == "insert" and any(one.operation == "insert" for one in found):
            continue  # several have an order of their own
        found.append(change)
        changed(now, at, named([change]), {})
    return tuple(found)


class Everybody(dict[str, Any]):
    """Everybody who is asked answers 5."""

    def __contains__(self, address: object) -> bool:
        return True

    def __getitem__(self, address: str) -> Decision:
        return Decision("edit", 5)

    def get(self, address: str, default: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self[address]


async def carried(runner: Flujo[int, int, Any], x: int) -> Any:
    """Carry a run to its end, answering what it asks."""
    result = await runner.run_async(x, run_id="one")
    while result.status == "paused":
        result = await runner.resume_async(result, 5, request=result.pending[0].address)
    return result


@settings(max_examples=12)
@given(rows(), st.integers(0, 20))
def test_they_mean_what_their_rows_mean(row: Row, x: int) -> None:
    async def main() -> None:
        pipeline, expected = pipeline_of(row), meaning(row, x)
        live = await carried(Flujo(pipeline, clock=VirtualClock()), x)
        assert live.unwrap() == expected, live.error
        store = MemoryStore()
        runner = Flujo(pipeline, state=store, clock=VirtualClock())
        result = await carried(runner, x)
        assert result.unwrap() == expected
        assert sorted(one.address for one in result.mutations) == sorted(
            one.address for one in live.mutations
        )
        report = await runner.replay("one")
        assert report.equal, str(report)
        read = await runner.resume_async("one")
        assert (read.output, read.usage) == (expected, result.usage)
        for event in (await store.events("one"))[1::9]:
            at = event.address.partition("#")[0]
            if at and event.kind in ("step.completed", "node.completed") and not at.endswith("]"):
                forked = await runner.fork("one", at=at)
                while forked.status == "paused":
                    forked = await runner.resume_async(forked, 5, request=forked.pending[0].address)
                assert forked.unwrap() == expected
                assert (await runner.replay(forked.run_id)).equal

    asyncio.run(main())


@settings(max_examples=MOST)
@given(rows(depth=1), st.integers(0, 20))
def test_they_come_to_the_same_wherever_they_die(row: Row, x: int) -> None:
    lives = Lives()
    outputs: list[int | None] = []
    lives.everywhere(
        lambda: outputs.append(lives.run(lambda: pipeline_of(row), x, answers=Everybody()).output)  # type: ignore[misc]
    )
    assert set(outputs) == {meaning(row, x)}
