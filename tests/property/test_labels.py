"""No labelled value reaches a sink that is not cleared for it, in random pipelines, whenever they die."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st
from pydantic_core import from_json
from typing_extensions import override

from flujo import Approval, Decision, Flujo, MemoryStore, PipelineResult
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision
from flujo.journal.store import JournalStore
from flujo.pipeline.labels import uncleared
from flujo.testing import VirtualClock
from flujo.testing.carrying import Signal, carry_on
from flujo.testing.mortal import Mortal, died
from tests.property.marked import MARKS, Marked, Notes, Part, rows

_ids = count(1)
PAYLOAD = "from outside untrusted"


class Tools(GovernancePolicy):
    """Judges nothing but tools, so that streams may flow, and allows everything."""

    @override
    async def check_tool(self, tool_name: str, arguments: Any, context: PolicyContext) -> PolicyDecision:
        return PolicyDecision.ALLOW


def answered(request: Approval) -> Decision | Signal:
    if request.kind == "event":
        return Signal(request.address.rpartition("/")[2], PAYLOAD)
    return Decision("approve")


async def carried(
    part: Part, held: Sequence[str], deaths: Sequence[tuple[int, Any]], inner: MemoryStore | None
) -> tuple[PipelineResult[Any], Marked, str]:
    """Carry a run over as many lives as it takes, each with a runner of its own; return its name as well."""
    marked, clock = Marked(), VirtualClock()
    run_id, text = f"run-{next(_ids)}", " ".join(["a", *held])

    def runner(store: JournalStore | None) -> Flujo[Any, Any, Any]:
        return Flujo(marked.build(part), context_model=Notes, state=store, policies=[Tools()], clock=clock)

    async def go(store: JournalStore) -> PipelineResult[Any]:
        if await store.run(run_id) is None:
            await runner(store).run_async(text, run_id=run_id, input_labels=held)
        return await carry_on(runner(store), run_id, text, answered, clock=clock)

    if inner is None:
        return await lived(runner(None), run_id, text, held), marked, run_id
    for at, how in deaths:
        mortal = Mortal(inner, at, how)
        try:
            return await go(mortal), marked, run_id
        except BaseException as error:
            if not died(error):
                raise
        await mortal.settled()
    return await go(inner), marked, run_id


async def labels(store: MemoryStore, run_id: str) -> dict[str, Any]:
    """Return what a run recorded of labels, by address."""
    told = [one for one in await store.events(run_id) if one.kind == "labelled"]
    return {one.address: from_json(one.body) for one in told}


async def lived(runner: Flujo[Any, Any, Any], run_id: str, text: str, held: Sequence[str]) -> Any:
    """Carry a run that has no store, from result to result."""
    result = await runner.run_async(text, run_id=run_id, input_labels=held)
    while result.status == "paused":
        said = answered(result.pending[0])
        value = said.payload if isinstance(said, Signal) else said
        result = await runner.resume_async(result, value, request=result.pending[0].address)
    return result


def check_sinks(marked: Marked) -> Counter[str]:
    """Check what reached sinks; return how often labelled data did."""
    came = Counter[str]()
    for cleared_for, text in marked.reached:
        marks = {word for word in text.split() if word in MARKS}
        assert uncleared(marks, cleared_for, "") == [], (cleared_for, text)
        came["labelled" if marks else "plain"] += 1
    return came


deaths = st.lists(st.tuples(st.integers(1, 12), st.sampled_from(("before", "after"))), max_size=3)
held = st.lists(st.sampled_from(MARKS), max_size=2, unique=True)
often = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "live"])
@given(part=rows, held=held)
@often
def test_no_labelled_value_reaches_a_sink_not_cleared_for_it(
    part: Part, held: list[str], stored: bool
) -> None:
    result, marked, _ = asyncio.run(carried(part, held, (), MemoryStore() if stored else None))
    note(result)
    assert result.status == "completed", result
    came = check_sinks(marked)
    event(f"labelled data reached {min(came['labelled'], 2)} sinks")


@given(part=rows, held=held, deaths=deaths)
@often
def test_a_run_that_died_on_the_way_holds_the_same(part: Part, held: list[str], deaths: list[Any]) -> None:
    async def both() -> None:
        store = MemoryStore()
        whole, _, one = await carried(part, held, (), store)
        result, marked, other = await carried(part, held, deaths, store)
        note(result)
        assert (result.status, result.output) == (whole.status, whole.output)
        check_sinks(marked)
        assert await labels(store, other) == await labels(store, one)

    asyncio.run(both())


@pytest.mark.parametrize("kind", ["sink", "send"])
def test_what_a_sink_is_cleared_for_arrives(kind: str) -> None:
    """So that the properties do not hold because nothing arrives anywhere."""
    for cleared_for, mark, comes in [
        (("pii.*",), "pii.name", True),
        (("*",), "phi", True),
        ((), "phi", False),
        (("phi",), "pii.name", False),
    ]:
        part = Part("row", parts=(Part("label", mark), Part(kind, cleared_for=cleared_for)))
        _, marked, _ = asyncio.run(carried(part, (), (), MemoryStore()))
        assert check_sinks(marked)["labelled"] == comes
