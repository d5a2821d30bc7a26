"""Labels of streaming steps."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_core import from_json

from flujo import Flujo, MemoryStore, Step, StreamingStep
from flujo.errors import ConfigError
from flujo.governance import Declassify
from tests.governance.test_labels import Seen, denied, events, phi, same


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param == "durable" else None


async def words(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word


async def on(chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    async for chunk in chunks:
        yield chunk


gone = Declassify("phi", reason="nothing of it is left")
NAMED: dict[str, Any] = {"labels": ["pii.name"]}
NOTHING: dict[str, Any] = {}
CLEARED: dict[str, Any] = {"cleared_for": ["phi"]}
DECLASSIFIES: dict[str, Any] = {"declassifies": gone}


async def test_a_stream_declares_what_it_gives(store: MemoryStore | None) -> None:
    seen = Seen()
    pipeline = same >> StreamingStep(words, labels=["pii.name"]) >> same.named("end")
    assert (
        await Flujo(pipeline, state=store, policies=[seen]).run_async("a b", input_labels=["phi"])
    ).success
    assert seen.given("end") == ["phi", "pii.name"]


async def test_what_any_of_several_streams_declares_comes_out(store: MemoryStore | None) -> None:
    sent: list[str] = []

    async def send(what: str) -> str:
        sent.append(what)
        return what

    last = Step(send, cleared_for=["phi"])
    for first, second in ((NAMED, NOTHING), (NOTHING, NAMED)):
        pipeline = StreamingStep(words, **first) >> StreamingStep(on, **second) >> last
        result = await Flujo(pipeline, state=store).run_async("a b", input_labels=["phi"])
        assert denied(result) == "the step 'send' is not cleared for 'pii.name'"
    assert sent == []


async def test_a_stream_takes_only_what_it_is_cleared_for(store: MemoryStore | None) -> None:
    runner = Flujo(StreamingStep(words, cleared_for=["phi"]), state=store)
    assert (await runner.run_async("a b", input_labels=["phi"])).output == "ab"
    result = await runner.run_async("a b", input_labels=["pii.name"])
    assert denied(result) == "the step 'words' is not cleared for 'pii.name'"


async def test_a_stream_declassifies() -> None:
    store, seen = MemoryStore(), Seen()
    runner = Flujo(phi >> StreamingStep(words, declassifies=gone) >> same, state=store, policies=[seen])
    assert (await runner.run_async("a b", input_labels=["pii.name"], run_id="one")).success
    assert seen.given("same") == ["pii.name"]
    [told] = [from_json(one.body) for one in await events(store, "one") if one.kind == "declassified"]
    assert told["labels"] == ["phi"]


@pytest.mark.parametrize("settings", [CLEARED, DECLASSIFIES], ids=["cleared_for", "declassifies"])
@pytest.mark.parametrize("first", [True, False])
def test_what_flows_between_streams_is_neither_cleared_nor_declassified(
    settings: dict[str, Any], first: bool
) -> None:
    here, there = (settings, NOTHING) if first else (NOTHING, settings)
    with pytest.raises(ConfigError, match=f"has {next(iter(settings))}=, but it streams") as caught:
        Flujo(StreamingStep(words, **here) >> StreamingStep(on, **there))
    assert caught.value.fix
