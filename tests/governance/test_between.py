"""What functions between steps give, and what they change in the context, is judged before it is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flujo import (
    Branch,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MayMutate,
    Parallel,
    PipelineContext,
    PipelineMutation,
    StepInfo,
    SubPipeline,
    step,
)
from flujo.errors import PolicyDenied
from flujo.governance import GovernancePolicy, PIIScrubbingPolicy, PolicyDecision
from flujo.pipeline.policy import EVERYWHERE

MAIL = "jane@example.com"


class Notes(PipelineContext):
    note: str = ""


@step
async def begins(text: str) -> str:
    return text


@step
async def same(text: str) -> str:
    return text


@step
async def takes(given: dict[str, str]) -> int:
    return len(given)


@step
async def later(text: str, info: StepInfo) -> str:
    return str(info.parameters.get("to", ""))


@step(may_mutate=MayMutate("reconfigure", parameters=["later.*"]))
async def mutates(text: str) -> str | PipelineMutation[str]:
    return PipelineMutation(text).reconfigure("later", to=MAIL)


def mail(text: str) -> str:
    return f"write to {MAIL}"


def shown(text: str) -> dict[str, str]:
    return {"to": MAIL}


def mails(text: str) -> list[str]:
    return [MAIL, "b"]


def keyed(text: str) -> list[dict[str, str]]:
    return [{MAIL: "b"}]


def notes_items(text: str, context: Notes) -> list[str]:
    context.note = MAIL
    return ["b"]


def notes_end(text: str, context: Notes) -> bool:
    context.note = MAIL
    return True


def notes_case(text: str, context: Notes) -> str:
    context.note = MAIL
    return "a"


PIPELINES: dict[str, Callable[[], Any]] = {
    "prompt": lambda: begins >> HumanInput(mail, name="more"),
    "subject": lambda: begins >> HumanInput("Go on?", subject=shown, name="more"),
    "items": lambda: begins >> Map(same, over=mails),
    "keys of items": lambda: begins >> Map(takes, over=keyed),
    "items, context": lambda: Map(same, over=notes_items),
    "turn, context": lambda: Loop(same, until=notes_end, max_turns=2),
    "case, context": lambda: Branch(on=notes_case, cases={"a": same}),
    "input": lambda: begins >> SubPipeline(HumanInput("Go on?", name="more"), input=mail),
    "output": lambda: begins >> SubPipeline(same, output=mail),
    "parameters": lambda: mutates >> later,
}


def raises(text: str) -> Any:
    raise ValueError(f"cannot write to {MAIL}")


def names(text: str) -> str:
    return MAIL


COLLECTED: dict[str, Callable[[], Any]] = {
    "until": lambda: Loop(same, until=raises, max_turns=2),
    "on": lambda: Branch(on=raises, cases={"a": same}),
    "no case": lambda: Branch(on=names, cases={"a": same}),
    "input": lambda: SubPipeline(same, input=raises),
}


def written(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(place.iterdir()))


@pytest.mark.parametrize("governed", [True, False])
@pytest.mark.parametrize("name", PIPELINES)
async def test_nothing_personal_is_written_or_told(name: str, governed: bool, tmp_path: Path) -> None:
    policies = [PIIScrubbingPolicy()] if governed else []
    pipeline, state = PIPELINES[name](), tmp_path / "runs.db"
    async with Flujo(pipeline, context_model=Notes, state=state, policies=policies) as runner:
        result = await runner.run_async("x", run_id="one")
        assert result.status == ("paused" if result.pending else "completed"), result.error
        report = await runner.replay("one")
    assert (MAIL.encode() in written(tmp_path)) is not governed, "without the policy it is there"
    if governed:
        assert MAIL not in repr((result.output, result.context, result.pending, result.mutations))
    assert not report.differences, "a replay asks no policy, and takes what was recorded in the place of it"


async def test_steps_go_on_with_what_took_the_place_in_memory_as_well() -> None:
    policies = [PIIScrubbingPolicy()]
    assert (await Flujo(PIPELINES["items"](), policies=policies).run_async("x")).output == ["[EMAIL]", "b"]
    assert (await Flujo(PIPELINES["output"](), policies=policies).run_async("x")).output == "write to [EMAIL]"
    assert (await Flujo(PIPELINES["parameters"](), policies=policies).run_async("x")).output == "[EMAIL]"


class NothingEnters(GovernancePolicy):
    points = EVERYWHERE

    def check_entry(self, context: Any, data: object) -> PolicyDecision:
        return PolicyDecision.deny("none of it") if MAIL in repr(data) else PolicyDecision.ALLOW


@pytest.mark.parametrize("name", PIPELINES)
async def test_what_is_denied_ends_the_run(name: str, tmp_path: Path) -> None:
    pipeline, state = PIPELINES[name](), tmp_path / "runs.db"
    async with Flujo(pipeline, context_model=Notes, state=state, policies=[NothingEnters()]) as runner:
        result = await runner.run_async("x", run_id="one")
    assert result.status == "failed"
    assert isinstance(result.error, PolicyDenied)
    assert MAIL.encode() not in written(tmp_path)


@pytest.mark.parametrize("governed", [True, False])
@pytest.mark.parametrize("name", COLLECTED)
async def test_what_they_raise_is_judged_where_failures_are_collected(
    name: str, governed: bool, tmp_path: Path
) -> None:
    pipeline = Parallel(a=COLLECTED[name](), b=begins, on_failure="collect")
    policies = [PIIScrubbingPolicy()] if governed else []
    async with Flujo(pipeline, state=tmp_path / "runs.db", policies=policies) as runner:
        result = await runner.run_async("x", run_id="one")
    assert result.status == "completed"
    assert (MAIL in repr(result.output)) is not governed
    assert (MAIL.encode() in written(tmp_path)) is not governed
