"""Texts that no UTF-8 holds, from a file's name or a model's answer, do not break the run that meets them."""

from pathlib import Path

import pytest

from flujo import Decision, Flujo, HumanInput, MemoryStore, Retry, StopPipeline, step
from flujo.errors import InputError
from flujo.journal.store import JournalStore

ODD = "no file \udcff"


@pytest.fixture(params=["no store", "memory", "file"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore | str | None:
    return {"no store": None, "memory": MemoryStore(), "file": str(tmp_path / "runs.db")}[request.param]


@step(retry=Retry(attempts=2, backoff=0))
async def fails(name: str) -> str:
    raise FileNotFoundError(ODD)


@step
async def stops(name: str) -> str:
    raise StopPipeline(ODD)


async def test_a_step_that_raises_one_fails_after_its_attempts(state: JournalStore | str | None) -> None:
    async with Flujo(fails, state=state) as runner:
        result = await runner.run_async("x")
        assert result.status == "failed"
        assert "attempt 2" in str(result.error)
        if state is not None:
            stored = await runner.result(result.run_id)
            assert r"no file \udcff" in str(stored.error)
            assert (await runner.replay(result.run_id)).equal


async def test_a_run_may_stop_for_one(state: JournalStore | str | None) -> None:
    async with Flujo(stops, state=state) as runner:
        assert (await runner.run_async("x")).status == "stopped"


async def test_a_run_may_be_cancelled_for_one(state: JournalStore | str | None) -> None:
    async with Flujo(HumanInput("?"), state=state or MemoryStore(), input_type=str) as runner:
        await runner.run_async("x", run_id="r")
        assert (await runner.cancel("r", ODD)).status == "cancelled"


async def test_a_decision_may_say_one(state: JournalStore | str | None) -> None:
    async with Flujo(HumanInput("?"), state=state, input_type=str) as runner:
        paused = await runner.run_async("x")
        result = await runner.resume_async(paused, Decision("edit", "yes", reason=ODD, actor=ODD))
        assert result.output == "yes"


async def test_a_run_is_not_named_by_one(state: JournalStore | str | None) -> None:
    async with Flujo(stops, state=state) as runner:
        with pytest.raises(InputError, match="cannot name a run"):
            await runner.run_async("x", run_id=ODD)
