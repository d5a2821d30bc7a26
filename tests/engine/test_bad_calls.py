"""Calls as people write them: those that are meant to work do, and those that cannot say why."""

from collections.abc import Callable
from typing import Any

import pytest

from flujo import (
    Branch,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    PipelineContext,
    Retry,
    Step,
    StepInfo,
    step,
)
from flujo.errors import ConfigError, OutputRejected, PipelineError, RunError
from flujo.testing import VirtualClock


@step
async def double(x: int) -> int:
    return 2 * x


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


class TestThatWork:
    async def test_resuming_by_keyword(self, store: MemoryStore | None) -> None:
        runner = Flujo(HumanInput("?", schema=int) >> double, state=store)
        paused = await runner.run_async(1)
        state = paused if store is None else paused.run_id
        assert (await runner.resume_async(pipeline_state=state, human_input=4)).output == 8

    def test_retry_by_place(self) -> None:
        retry = Retry(3, 0.5, 0.1, on=(OSError,))
        assert (retry.attempts, retry.backoff, retry.jitter, retry.on) == (3, 0.5, 0.1, (OSError,))

    async def test_optional_context_and_info(self, store: MemoryStore | None) -> None:
        async def looks(
            x: int, context: PipelineContext | None = None, info: StepInfo | None = None
        ) -> list[str]:
            return [type(context).__name__, "" if info is None else info.address]

        assert (await Flujo(Step(looks), state=store).run_async(1)).output == ["PipelineContext", "looks"]

    async def test_a_validator_without_retry(self, store: MemoryStore | None) -> None:
        seen: list[tuple[str, ...]] = []

        async def grows(x: int, info: StepInfo) -> int:
            seen.append(info.feedback)
            return info.attempt

        def large(output: int) -> str | None:
            return None if output > 1 else "too small"

        def never(output: int) -> str:
            return "no"

        clock = VirtualClock()
        result = await Flujo(Step(grows, validators=[large]), state=store, clock=clock).run_async(1)
        assert (result.output, seen) == (2, [(), ("too small",)])
        result = await Flujo(Step(grows, validators=[never]), state=store, clock=clock).run_async(1)
        assert isinstance(result.error, OutputRejected)
        assert result.error.attempt == 3
        assert sum(clock.slept) == 0


def node(kind: str) -> Any:
    wrong: Any = {"map": double.output, "loop": 3, "branch": "x"}[kind]
    match kind:
        case "map":
            return Map(double, over=wrong)
        case "loop":
            return Loop(double, until=wrong, max_turns=2)
        case _:
            return Branch(on=wrong, cases={"x": double})


class TestThatCannot:
    @pytest.mark.parametrize(("kind", "word"), [("map", "over"), ("loop", "until"), ("branch", "on")])
    def test_what_is_no_function_beside_a_node(self, kind: str, word: str) -> None:
        with pytest.raises(PipelineError, match=word) as caught:
            node(kind)
        assert caught.value.fix

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("state", 5),
            ("context_model", dict),
            ("on_pipeline_start", [print]),
            ("pre_step_execution", [print]),
            ("post_step_execution", [print]),
            ("on_pipeline_end", [print]),
        ],
    )
    def test_settings_of_a_runner(self, setting: str, value: Any) -> None:
        settings: dict[str, Any] = {setting: value}
        with pytest.raises(ConfigError, match=setting) as caught:
            Flujo(double, **settings)
        assert caught.value.fix

    @pytest.mark.parametrize("key", [[], {}], ids=["list", "dict"])
    async def test_a_key_that_is_none(self, store: MemoryStore | None, key: Any) -> None:
        def on(x: int) -> Any:
            return key

        chosen: Callable[[int], Any] = on
        result = await Flujo(Branch(on=chosen, cases={"a": double}, name="route"), state=store).run_async(1)
        assert result.status == "failed"
        assert isinstance(result.error, RunError)
        assert "route" in str(result.error)
        assert type(key).__name__ in str(result.error)
        assert result.error.fix
