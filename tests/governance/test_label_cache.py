"""What is remembered of a step's output holds what went into it, in whichever run it is found."""

from typing import Any

import pytest

from flujo import Flujo, FlujoTool, MemoryStore, Step
from flujo.agents import ModelAgent
from flujo.governance import Declassify
from flujo.testing import ScriptedModel, UseTool
from tests.governance.test_labels import Seen, plain


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param == "durable" else None


def anything(value: str) -> str:
    return "whatever it is given"


end = Step(plain, name="end")


async def given_at_the_end(runner: Flujo[Any, Any, Any], seen: Seen, *, cached: bool, **more: Any) -> Any:
    result = await runner.run_async("x", **more)
    assert result.success, result
    assert result.steps[0].cached is cached
    return seen.given("end")


async def test_what_tools_gave_is_remembered(store: MemoryStore | None) -> None:
    calls: list[str] = []

    def look(who: str) -> str:
        calls.append(who)
        return f"record of {who}"

    model = ScriptedModel(UseTool("look", {"who": "x"}), "done")
    agent = ModelAgent(model, tools=[FlujoTool(look, labels=frozenset({"phi"}))])
    seen = Seen()
    runner = Flujo(Step(agent, name="agent", cache=anything) >> end, state=store, policies=[seen])
    assert await given_at_the_end(runner, seen, cached=False) == ["phi"]
    assert await given_at_the_end(runner, seen, cached=True) == ["phi"]
    assert calls == ["x"]


async def test_what_a_key_of_its_own_does_not_tell_is_remembered(store: MemoryStore | None) -> None:
    seen = Seen()
    runner = Flujo(Step(plain, cache=anything) >> end, state=store, policies=[seen])
    assert await given_at_the_end(runner, seen, cached=False, input_labels=["phi"]) == ["phi"]
    assert await given_at_the_end(runner, seen, cached=True) == ["phi"]
    assert await given_at_the_end(runner, seen, cached=True, input_labels=["pii.name"]) == ["phi", "pii.name"]


async def test_a_remembered_output_is_declassified_as_its_step_declares_by_then() -> None:
    store, seen = MemoryStore(), Seen()

    def runner(step: Step[str, str]) -> Flujo[Any, Any, Any]:
        return Flujo(step >> end, state=store, policies=[seen])

    strict = Step(plain, name="strip", cache=anything)
    loose = Step(
        plain, name="strip", cache=anything, declassifies=Declassify("phi", reason="nothing of it is left")
    )
    assert await given_at_the_end(runner(loose), seen, cached=False, input_labels=["phi"]) == []
    assert await given_at_the_end(runner(loose), seen, cached=True) == []
    assert await given_at_the_end(runner(strict), seen, cached=True) == ["phi"]


async def test_what_a_fallback_gave_is_neither_declassified_nor_remembered(
    store: MemoryStore | None,
) -> None:
    async def fails(what: str) -> str:
        raise ValueError("no")

    seen = Seen()
    step = Step(
        fails,
        fallback=Step(plain, name="instead"),
        cache=anything,
        declassifies=Declassify("phi", reason="nothing of it is left"),
    )
    runner = Flujo(step >> end, state=store, policies=[seen])
    assert await given_at_the_end(runner, seen, cached=False) == []
    assert await given_at_the_end(runner, seen, cached=False, input_labels=["phi"]) == ["phi"]


async def test_what_was_remembered_where_nobody_looked_is_not_found() -> None:
    store, seen = MemoryStore(), Seen()
    pipeline = Step(plain, cache=anything) >> end
    assert not (await Flujo(pipeline, state=store).run_async("x", input_labels=["phi"])).steps[0].cached
    assert (await Flujo(pipeline, state=store).run_async("x")).steps[0].cached
    tracked = Flujo(pipeline, state=store, policies=[seen])
    assert await given_at_the_end(tracked, seen, cached=False) == []
    assert await given_at_the_end(tracked, seen, cached=True) == []
