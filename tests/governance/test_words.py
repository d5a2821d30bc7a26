"""What code says of itself is judged before it is written: errors, reasons to stop, questions to people."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import (
    Flujo,
    HumanInput,
    Loop,
    PauseForHumanInput,
    Retry,
    Step,
    StepInfo,
    StopPipeline,
    StreamingStep,
    step,
)
from flujo.governance import GovernancePolicy, PIIScrubbingPolicy, PolicyDecision
from flujo.pipeline.policy import EVERYWHERE

MAIL = "jane@example.com"


class Count(BaseModel):
    number: int


async def fails(text: str) -> str:
    raise ValueError(f"cannot write to {MAIL}")


async def fails_in_a_library(text: str) -> str:
    return str(Count.model_validate({"number": MAIL}))


async def fails_because(text: str) -> str:
    try:
        return await fails(text)
    except ValueError as error:
        raise RuntimeError("no letter was written") from error


async def exits(text: str) -> str:
    raise SystemExit(f"no way to {MAIL}")


async def stops(text: str) -> str:
    raise StopPipeline(f"{MAIL} is done")


async def pauses(text: str) -> str:
    raise PauseForHumanInput(f"Write to {MAIL}?", subject={"to": [MAIL]})


async def asks(text: str, info: StepInfo) -> str:
    return await info.ask(f"Write to {MAIL}?", str, subject=MAIL)


async def gives(text: str) -> str:
    return "done"


async def rejects(text: str) -> None:
    raise ValueError(f"{MAIL} is not to be named")


async def undoes(text: str) -> None:
    raise ValueError(f"{MAIL} was told already")


async def breaks(text: str) -> str:
    raise ValueError("broken")


async def chunks(text: str) -> AsyncIterator[str]:
    yield "a"
    raise ValueError(f"cannot write to {MAIL}")


def raises(text: str) -> Any:
    raise ValueError(f"cannot write to {MAIL}")


def pipelines() -> dict[str, Callable[[], Any]]:
    return {
        "error": lambda: Step(fails),
        "retried": lambda: Step(fails, retry=Retry(3, backoff=0)),
        "library": lambda: Step(fails_in_a_library),
        "exit": lambda: Step(exits),
        "stop": lambda: Step(stops),
        "pause": lambda: Step(pauses),
        "ask": lambda: Step(asks),
        "validator": lambda: Step(gives, validators=[rejects]),
        "undo": lambda: Step(gives, undo=undoes) >> Step(breaks),
        "between steps": lambda: Loop(Step(gives), until=raises, max_turns=2),
        "prompt": lambda: Step(gives) >> HumanInput(raises, schema=str, name="more"),
        "stream": lambda: StreamingStep(chunks),
    }


def written(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(place.iterdir()))


def told(result: Any) -> str:
    return repr((result.error, str(result.error), result.reason, result.pending))


@pytest.mark.parametrize("governed", [True, False])
@pytest.mark.parametrize("name", pipelines())
async def test_nothing_personal_is_written_or_told(name: str, governed: bool, tmp_path: Path) -> None:
    policies = [PIIScrubbingPolicy()] if governed else []
    async with Flujo(pipelines()[name](), state=tmp_path / "runs.db", policies=policies) as runner:
        result = await runner.run_async("x", run_id="one")
    found = MAIL.encode() in written(tmp_path)
    assert found is not governed, "without the policy it is there: otherwise this test would see nothing"
    if governed:
        assert MAIL not in told(result)
        assert result.status == {"stop": "stopped", "pause": "paused", "ask": "paused"}.get(name, "failed")


async def test_what_a_failure_came_of_is_not_shown_by_its_traceback() -> None:
    result = await Flujo(Step(fails_because), policies=[PIIScrubbingPolicy()]).run_async("x")
    error: BaseException | None = result.error
    assert "RuntimeError: no letter was written" in str(error)
    while error is not None:
        assert MAIL not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


async def test_a_failure_that_says_nothing_personal_stays_as_it_is() -> None:
    result = await Flujo(Step(breaks), policies=[PIIScrubbingPolicy()]).run_async("x")
    assert isinstance(result.error and result.error.__cause__, ValueError)


async def test_the_type_of_an_error_still_decides_whether_to_try_again() -> None:
    tries: list[int] = []

    async def counts(text: str, info: StepInfo) -> str:
        tries.append(info.attempt)
        raise ValueError(f"cannot write to {MAIL}")

    retry = Retry(3, backoff=0, on=(ValueError,))
    await Flujo(Step(counts, retry=retry), policies=[PIIScrubbingPolicy()]).run_async("x")
    assert tries == [1, 2, 3]


async def test_feedback_is_judged_as_well() -> None:
    seen: list[tuple[str, ...]] = []

    async def writes(text: str, info: StepInfo) -> str:
        seen.append(info.feedback)
        return "done"

    policies = [PIIScrubbingPolicy()]
    await Flujo(Step(writes, validators=[rejects], retry=Retry(2, backoff=0)), policies=policies).run_async(
        "x"
    )
    assert seen == [(), ("[EMAIL] is not to be named",)]


class NothingIsSaid(GovernancePolicy):
    points = EVERYWHERE

    def check_entry(self, context: Any, data: object) -> PolicyDecision:
        return PolicyDecision.deny("say nothing") if isinstance(data, str) else PolicyDecision.ALLOW


@pytest.mark.parametrize("agent", [fails, stops, pauses, asks])
async def test_what_is_denied_is_withheld_and_the_run_ends_all_the_same(agent: Any) -> None:
    result = await Flujo(Step(agent), policies=[NothingIsSaid()]).run_async("x")
    assert MAIL not in told(result)
    assert result.status == ("stopped" if agent is stops else "failed")
    assert "NothingIsSaid" in told(result)


async def test_a_step_that_was_asked_goes_on_with_the_answer() -> None:
    @step
    async def asks_once(text: str, info: StepInfo) -> str:
        return f"said {await info.ask(f'Write to {MAIL}?', str)}"

    runner = Flujo(asks_once, policies=[PIIScrubbingPolicy()])
    paused = await runner.run_async("x")
    assert paused.pending[0].prompt == "Write to [EMAIL]?"
    assert (await runner.resume_async(paused, "yes")).output == "said yes"


@pytest.mark.parametrize("governed", [True, False])
async def test_why_a_run_was_cancelled_is_judged(governed: bool, tmp_path: Path) -> None:
    policies = [PIIScrubbingPolicy()] if governed else []
    pipeline = Step(gives) >> HumanInput("Go on?", schema=str, name="more")
    async with Flujo(pipeline, state=tmp_path / "runs.db", policies=policies) as runner:
        await runner.run_async("x", run_id="one")
        result = await runner.cancel("one", f"{MAIL} asked for it")
    assert result.status == "cancelled"
    assert (MAIL in told(result)) is not governed
    assert (MAIL.encode() in written(tmp_path)) is not governed
