"""Definitions as people first write them: a call that cannot work is refused with its value and a remedy."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import flujo
from flujo import (
    Decision,
    Flujo,
    Hook,
    HumanInput,
    ResourceHints,
    Retry,
    Sleep,
    Step,
    StepInfo,
    Usage,
    WaitForEvent,
    step,
)
from flujo.errors import ConfigError, InputError, PipelineError, StepFailed


@step
async def work(x: int) -> int:
    return x


def judge(x: int) -> bool:
    return bool(x)


def call(name: str) -> Callable[..., Any]:
    """Return one of the public names, as code without types sees it."""
    return getattr(flujo, name)


MISTAKES: list[tuple[str, tuple[Any, ...], dict[str, Any], str, str]] = [
    ("HumanInput", (), {}, "missing a required argument: 'prompt'", "HumanInput(prompt, schema,"),
    ("HumanInput", ("",), {}, "HumanInput(''): no prompt", "a text"),
    ("HumanInput", ("?",), {"schema": (int, str)}, "is no type", "a class"),
    ("HumanInput", ("?",), {"subject": 3}, "HumanInput, subject=3", "a function"),
    ("HumanInput", ("?",), {"on_deny": judge}, "is no node", "@step"),
    ("HumanInput", ("?",), {"name": 3}, "HumanInput, name=3", "a text"),
    ("HumanInput", ("?",), {"shema": int}, "keyword argument 'shema'", "did you mean 'schema'?"),
    ("Sleep", (0.25,), {}, "Sleep, duration=0.25 is no timedelta", "timedelta(seconds=0.25)"),
    ("Sleep", ("1s",), {}, "Sleep, duration='1s'", "timedelta(seconds=…)"),
    ("Sleep", (timedelta(-1),), {}, "cannot be negative", "0 or more"),
    ("Sleep", (), {"seconds": 3}, "missing a required argument: 'duration'", "Sleep(duration"),
    ("WaitForEvent", ("paid",), {"timeout": 5}, "WaitForEvent, timeout=5", "timedelta(seconds=5)"),
    ("Sleep", (timedelta.max,), {}, "cannot last so long", "1000 years"),
    ("HumanInput", ("Go?",), {"timeout": timedelta.max}, "cannot last so long", "1000 years"),
    ("WaitForEvent", ("paid",), {"timeout": timedelta(0)}, "timeout=datetime.timedelta(0)", "greater than 0"),
    ("WaitForEvent", ("",), {}, "no event", "name"),
    ("WaitForEvent", (3,), {}, "WaitForEvent, event name=3", "a text"),
    (
        "WaitForEvent",
        ("paid",),
        {"timeout": timedelta(1), "on_timeout": judge},
        "on_timeout: <function judge",
        "@step",
    ),
    ("Loop", (work,), {"until": judge}, "Loop(…): missing a required argument: 'max_turns'", "max_turns=…"),
    ("Loop", (work, judge, 3), {}, "too many positional arguments", "Loop(body, until=…, max_turns=…"),
    ("Loop", (work,), {"until": judge, "max_turns": "3"}, "Loop, max_turns='3'", "whole number from 1 up"),
    ("Loop", (work,), {"until": judge, "max_turns": 0}, "Loop, max_turns=0", "whole number from 1 up"),
    ("Loop", (work,), {"until": judge, "max_turns": 2.5}, "Loop, max_turns=2.5", "whole number"),
    ("Loop", (work,), {"until": judge, "max_turns": True}, "Loop, max_turns=True", "whole number"),
    (
        "Loop",
        (work,),
        {"until": work, "max_turns": 3},
        "Loop, until=Step('work') is no function",
        "a function",
    ),
    ("Retry", ("3",), {}, "Retry(attempts='3')", "whole number"),
    ("Retry", (3,), {"delay": 2}, "keyword argument 'delay'", "backoff"),
    ("Retry", (3, timedelta(1)), {}, "backoff=datetime.timedelta(days=1)", "waits from 0 up"),
    ("Step", (judge,), {"timeout": "5"}, "step 'judge', timeout='5'", "seconds"),
    ("Step", (judge,), {"timeout": [5]}, "step 'judge', timeout=[5]", "timedelta"),
    ("Step", (judge,), {"timeout": True}, "step 'judge', timeout=True", "seconds"),
    ("Step", (judge,), {"timeout": float("nan")}, "step 'judge', timeout=nan", "seconds"),
    ("Step", (judge,), {"timeout": timedelta(0)}, "timeout=datetime.timedelta(0)", "greater than 0"),
    ("Step", (judge,), {"validators": judge}, "is no list of functions", "[function, …]"),
    ("Step", (judge,), {"validators": [3]}, "step 'judge', validators=3 is no function", "a function"),
    ("Step", (judge,), {"cache": "key"}, "step 'judge', cache='key'", "True, or a function"),
    ("Step", (judge,), {"undo": work}, "step 'judge', undo=Step('work')", "a function"),
    ("Step", (judge,), {"inputs": [work]}, "inputs=[Step('work')] is no mapping", "step.output"),
    ("Step", (judge,), {"resources": {"cpus": 1}}, "resources={'cpus': 1}", "ResourceHints("),
    ("Step", (judge,), {"name": None}, "Step, name=None", "a text"),
    ("Step", ("judge", judge), {}, "too many positional arguments", "Step(agent, settings=…)"),
    ("Step", (judge,), {"retries": 3}, "no setting retries", "retry"),
    ("ResourceHints", (), {"cpus": "2"}, "ResourceHints(cpus='2')", "a number"),
    ("ResourceHints", (), {"custom": {"tpu": -1}}, "ResourceHints(tpu=-1)", "a number"),
    ("ResourceHints", (), {"cores": 2}, "keyword argument 'cores'", "cpus"),
    ("From", (work,), {}, "name=Step('work')", "a text"),
    ("From", ("",), {}, "names no node", "name"),
    ("Parallel", (), {}, "Parallel has no branch", "at least one node"),
    ("Parallel", ([work, work],), {}, "is no node", "@step"),
    ("Map", (work,), {"concurrency": 0}, "Map, concurrency=0", "whole number from 1 up"),
    ("Map", (work,), {"concurrency": "3"}, "Map, concurrency='3'", "whole number from 1 up"),
    ("Map", (work, [1, 2]), {}, "too many positional arguments", "Map(body, over=…"),
    ("Branch", (), {"on": judge, "cases": {}}, "Branch has no case", "cases={key: node, …}"),
    ("Branch", (), {"on": judge, "cases": [work]}, "cases=[Step('work')] is no mapping", "cases={"),
    ("Branch", (), {"on": judge}, "missing a required argument: 'cases'", "Branch(on=…, cases=…"),
    ("Branch", (judge, {True: work}), {}, "too many positional arguments", "Branch(on=…"),
    ("Branch", (), {"on": judge, "cases": {1.5: work}}, "1.5 cannot be a key", "StrEnum"),
    ("Branch", (), {"on": judge, "cases": {"": work}}, "'' cannot be a key", "not empty"),
    ("SubPipeline", (work,), {"input": 3}, "SubPipeline, input=3", "a function"),
    ("SubPipeline", (work,), {"output": "x"}, "SubPipeline, output='x'", "a function"),
    ("SubPipeline", (work,), {"inputs": judge}, "keyword argument 'inputs'", "did you mean 'input'?"),
    ("Pipeline", (work,), {"name": 3}, "name=3 is no text", "a text"),
    ("Decision", ("yes",), {}, "Decision(action='yes')", '"approve"'),
    ("Decision", (), {}, "missing a required argument: 'action'", "Decision(action"),
]


@pytest.mark.parametrize(
    ("name", "args", "settings", "message", "fix"),
    MISTAKES,
    ids=[f"{name}-{message}" for name, *_, message, _ in MISTAKES],
)
def test_is_refused(
    name: str, args: tuple[Any, ...], settings: dict[str, Any], message: str, fix: str
) -> None:
    with pytest.raises(PipelineError) as raised:
        call(name)(*args, **settings)
    assert message in raised.value.message
    assert fix in raised.value.fix


@pytest.mark.parametrize("hooks", [3, judge, Hook()], ids=["number", "function", "one hook"])
def test_hooks_are_a_list(hooks: Any) -> None:
    with pytest.raises(ConfigError, match="is no list"):
        Flujo(work, hooks=hooks)


def test_a_run_id_is_a_text() -> None:
    number: Any = 3
    with pytest.raises(InputError, match="run_id=3 cannot name a run"):
        Flujo(work).run(1, run_id=number)


def test_a_cost_that_would_not_add_up_is_told_where_it_is_reported() -> None:
    inexact: Any = 0.1

    async def costs(x: int, info: StepInfo) -> int:
        info.report(Usage(cost=inexact))
        return x

    error = Flujo(Step(costs)).run(1).error
    assert isinstance(error, StepFailed)
    assert "Usage(cost=0.1) is no Decimal" in error.message
    assert 'pass Decimal("0.1")' in error.message


def test_a_function_before_a_step_is_no_node() -> None:
    function: Any = judge
    with pytest.raises(PipelineError, match=r"<function judge .*> is no node"):
        _ = function >> work


def test_only_an_edit_gives_a_value_and_the_error_does_not_repeat_it() -> None:
    with pytest.raises(PipelineError, match="only an edit gives a value") as raised:
        Decision("approve", "IBAN DE02")
    assert "IBAN" not in str(raised.value)


def test_the_calls_can_still_be_looked_up() -> None:
    assert list(inspect.signature(Retry).parameters)[:2] == ["attempts", "backoff"]
    assert list(inspect.signature(Sleep).parameters) == ["duration", "name"]


def test_what_reads_well_works() -> None:
    assert HumanInput("?", int).schema is int
    assert WaitForEvent("paid", int).schema is int
    assert Step(judge, timeout=timedelta(minutes=1)).timeout == 60
    assert Step(judge, timeout=5).timeout == 5
    assert Sleep(timedelta(0)).duration == timedelta(0)
    assert Retry(on=ValueError).on == (ValueError,)
    assert ResourceHints(cpus=0.5, custom={"tpu": 1}).cpus == 0.5
