"""Labels of forks: what is given in the place of labelled data holds as much."""

from flujo import Flujo, MemoryStore, PipelineContext, Step
from tests.governance.test_labels import Seen, phi, same


class Notes(PipelineContext):
    text: str = ""


async def reads(what: str, context: Notes) -> str:
    return what + context.text


async def test_a_fork_with_another_input_holds_what_the_old_one_held() -> None:
    store, seen = MemoryStore(), Seen()
    runner = Flujo(phi >> same, state=store, policies=[seen])
    await runner.run_async("x", input_labels=["pii.name"], run_id="one")
    seen.at.clear()
    forked = await runner.fork("one", at="same", input="y")
    assert (forked.status, forked.output) == ("completed", "y")
    assert ("input", "phi") not in seen.at
    assert seen.given("same") == seen.gave("same") == ["phi", "pii.name"]


async def test_a_fork_with_another_context_holds_what_the_old_one_held() -> None:
    store, seen = MemoryStore(), Seen()
    pipeline = same >> Step(reads) >> same.named("end")
    runner = Flujo(pipeline, context_model=Notes, state=store, policies=[seen])
    await runner.run_async("x", context=Notes(text="a"), input_labels=["phi"], run_id="one")
    seen.at.clear()
    forked = await runner.fork("one", at="reads", context={"text": "b"})
    assert forked.output == "xb"
    assert seen.given("reads") == seen.given("end") == ["phi"]
