"""Policies at the gate: what goes in, what comes out, and that whatever fails denies."""

import asyncio
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic_core import from_json
from typing_extensions import override

from flujo import Flujo, Hook, MemoryStore, Replace, Step, StepResult, step
from flujo.errors import ConfigError, PolicyDenied
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision, Verdict
from flujo.journal.store import JournalStore

calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


async def do_work(text: str) -> str:
    calls.append(text)
    return f"worked on {text}"


work = Step(do_work, name="work")


class Says(GovernancePolicy):
    """Gives one answer about inputs and one about outputs, and keeps what it was shown."""

    def __init__(self, about_input: Any = Verdict.ALLOW, about_output: Any = Verdict.ALLOW) -> None:
        self.about_input = about_input
        self.about_output = about_output
        self.shown: list[tuple[str, str, object]] = []

    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        self.shown.append((context.point, context.step, input_data))
        return self.about_input

    @override
    async def check_output(self, context: PolicyContext, output: Any) -> Any:
        self.shown.append((context.point, context.step, output))
        return self.about_output


async def verdicts(store: JournalStore, run_id: str) -> list[dict[str, Any]]:
    return [
        {"at": event.address, **from_json(event.body)}
        for event in await store.events(run_id)
        if event.kind == "verdict"
    ]


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> JournalStore | None:
    return MemoryStore() if request.param == "durable" else None


async def test_what_is_allowed_goes_on(store: JournalStore | None) -> None:
    policy = Says()
    result = await Flujo(work, state=store, policies=[policy]).run_async("a")
    assert result.output == "worked on a"
    assert policy.shown == [("input", "work", "a"), ("output", "work", "worked on a")]


async def test_a_denied_input_runs_nothing(store: JournalStore | None) -> None:
    runner = Flujo(work, state=store, policies=[Says(PolicyDecision.deny("no such data", rule="r1"))])
    result = await runner.run_async("a", run_id="one")
    assert calls == []
    assert result.status == "failed"
    error = result.error
    assert isinstance(error, PolicyDenied)
    assert (error.policy, error.rule, error.reason, error.point) == ("Says", "r1", "no such data", "input")
    assert "the input of 'work' was denied by the policy 'Says', rule 'r1': no such data" in str(error)
    assert "To fix:" in str(error)
    if store is not None:
        again = (await runner.result("one")).error
        assert isinstance(again, PolicyDenied)
        assert (again.message, again.rule, again.point) == (error.message, "r1", "input")


async def test_a_denied_output_is_nowhere(tmp_path: Path) -> None:
    runner = Flujo(work, state=tmp_path / "runs.db", policies=[Says(about_output=Verdict.DENY)])
    result = await runner.run_async("a", run_id="one")
    assert isinstance(result.error, PolicyDenied)
    assert calls == ["a"]
    assert result.output is None
    assert len(result.steps) == 0
    await runner.close()
    assert b"worked on" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


async def test_neither_retry_nor_fallback_follow_a_denial(store: JournalStore | None) -> None:
    guarded = Step(do_work, name="work", retry=5, fallback=work.named("backup"))
    result = await Flujo(guarded, state=store, policies=[Says(about_output=Verdict.DENY)]).run_async("a")
    assert isinstance(result.error, PolicyDenied)
    assert calls == ["a"]


async def test_a_denial_may_have_a_way_on(store: JournalStore | None) -> None:
    @step
    async def refuse() -> str:
        return "not today"

    guarded = Step(do_work, name="work", policies=[Says(Verdict.DENY)], on_denied=refuse)
    runner = Flujo(guarded >> work.named("then"), state=store)
    result = await runner.run_async("a", run_id="one")
    assert result.output == "worked on not today"
    assert [one.address for one in result.steps] == ["work/refuse", "work", "then"]
    if store is not None:
        assert (await runner.result("one")).output == "worked on not today"
        assert (await runner.replay("one")).equal
        assert calls == ["not today"]


async def test_redactions_compose_in_order(store: JournalStore | None) -> None:
    first = Says(PolicyDecision.redact("b"), PolicyDecision.redact("x"))
    second = Says(PolicyDecision.redact("c"), Verdict.ALLOW)
    result = await Flujo(work, state=store, policies=[first, second]).run_async("a", run_id="one")
    assert calls == ["c"]
    assert result.output == "x"
    assert second.shown == [("input", "work", "b"), ("output", "work", "x")]
    if store is not None:
        seen = await verdicts(store, "one")
        assert [one["output"] for one in seen] == ["c", "x"]
        assert [one["verdict"] for one in seen[0]["by"]] == ["redact", "redact"]


async def test_a_denial_beats_what_was_allowed_or_redacted_before() -> None:
    policies = [Says(Verdict.ALLOW), Says(PolicyDecision.redact("b")), Says(Verdict.DENY)]
    result = await Flujo(work, policies=policies).run_async("a")
    assert isinstance(result.error, PolicyDenied)
    assert calls == []


class Raises(GovernancePolicy):
    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        raise RuntimeError("boom")


class Exits(GovernancePolicy):
    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        raise SystemExit(3)


class Cancels(GovernancePolicy):
    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        raise asyncio.CancelledError


class Hangs(GovernancePolicy):
    timeout = 0.05

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        await asyncio.sleep(60)


class Blocks(GovernancePolicy):
    timeout = 0.05

    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        time.sleep(1)
        return Verdict.ALLOW


class Mutates(GovernancePolicy):
    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        input_data.append("more")
        return Verdict.ALLOW


@dataclass
class Answers(GovernancePolicy):
    answer: Any

    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        return self.answer


NONSENSE = [
    (Answers(None), "it gave NoneType, which is no decision"),
    (Answers(True), "it gave bool, which is no decision"),
    (Answers("allow"), "it gave str, which is no decision"),
    (Answers(PolicyDecision.REDACT), "gives nothing in the place"),
    (Answers(PolicyDecision.redact(5)), "int in the place of"),
    (Answers(PolicyDecision(Verdict.ALLOW, obligations=("dance",))), "it obliges to 'dance'"),
    (
        Answers(PolicyDecision(Verdict.ALLOW, errors=("no such entity",))),
        "it could not decide: no such entity",
    ),
    (Answers(PolicyDecision(Verdict.ESCALATE, approvals=0)), "it asks for 0 approvals"),
    (Raises(), "it raised RuntimeError in check_input, line "),
    (Exits(), "it raised SystemExit in check_input, line "),
    (Cancels(), "its own work was cancelled"),
    (Hangs(), "it gave no decision within 0.05 seconds"),
    (Blocks(), "it gave no decision within 0.05 seconds"),
    (Mutates(), "it changed what it was to judge"),
]


@pytest.mark.parametrize(("policy", "why"), NONSENSE)
async def test_a_policy_that_fails_denies(policy: GovernancePolicy, why: str) -> None:
    @step
    async def gather(items: list[str]) -> list[str]:
        calls.append(items)
        return items

    store, given = MemoryStore(), ["a"]
    result = await Flujo(gather, state=store, policies=[policy]).run_async(given, run_id="one")
    assert isinstance(result.error, PolicyDenied), result
    assert calls == []
    assert given == ["a"]
    (seen,) = await verdicts(store, "one")
    assert why in str(seen)
    assert seen["verdict"] == "deny"


async def test_a_verdict_tells_who_decided_what() -> None:
    store = MemoryStore()
    decided = PolicyDecision.warn("looks odd", rule="r7")
    await Flujo(work, state=store, policies=[Says(decided)]).run_async("a", run_id="one")
    seen, then = await verdicts(store, "one")
    assert seen == {
        "at": "work",
        "point": "input",
        "verdict": "warn",
        "digest": seen["digest"],
        "policy": "Says",
        "rule": "r7",
        "reason": "looks odd",
        "by": [
            {
                "policy": "Says",
                "version": seen["by"][0]["version"],
                "verdict": "warn",
                "rule": "r7",
                "reason": "looks odd",
            }
        ],
    }
    assert len(seen["digest"]) == 64
    assert (then["point"], then["verdict"]) == ("output", "allow")
    assert then["digest"] != seen["digest"]


async def test_a_recorded_verdict_is_not_asked_for_again(tmp_path: Path) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    @step
    async def slow(text: str) -> str:
        begun.set()
        await goes_on.wait()
        return text

    policy = Says(PolicyDecision.redact("safe"))
    runner = Flujo(slow, state=tmp_path / "runs.db", policies=[policy])
    task = asyncio.create_task(runner.run_async("secret", run_id="one"))
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})
    goes_on.set()
    result = await runner.resume_async("one")
    assert result.output == "safe"
    assert [point for point, *_ in policy.shown] == ["input", "output"]
    await runner.close()


async def test_observed_decisions_have_no_force() -> None:
    class Shadow(Says):
        mode = "observe"

    store = MemoryStore()
    policies = [Shadow(PolicyDecision.redact("b"), Verdict.DENY), Shadow(None)]
    result = await Flujo(work, state=store, policies=policies).run_async("a", run_id="one")
    assert result.output == "worked on a"
    seen, then = await verdicts(store, "one")
    assert [(one["verdict"], one["mode"]) for one in seen["by"]] == [
        ("redact", "observe"),
        ("deny", "observe"),
    ]
    assert (seen["verdict"], then["verdict"]) == ("allow", "allow")


async def test_what_hooks_see_and_change_is_judged() -> None:
    class Meddles(Hook):
        def __init__(self) -> None:
            self.seen: list[object] = []

        @override
        def pre_step_execution(self, step_name: str, step_input: Any, context: Any) -> Any:
            self.seen.append(step_input)
            return Replace("raw")

        @override
        def post_step_execution(self, step_result: StepResult, context: Any) -> Any:
            self.seen.append(step_result.output)
            return Replace(replace(step_result, output="raw"))

    class Cleans(GovernancePolicy):
        @override
        def check_input(self, context: PolicyContext, input_data: Any) -> Any:
            return PolicyDecision.redact("clean")

        @override
        def check_output(self, context: PolicyContext, output: Any) -> Any:
            return PolicyDecision.redact("clean")

    hook = Meddles()
    result = await Flujo(work, hooks=[hook], policies=[Cleans()]).run_async("a")
    assert hook.seen == ["clean", "clean"]
    assert calls == ["clean"]
    assert result.output == "clean"


async def test_what_is_cached_was_judged_and_is_again() -> None:
    cached = Step(do_work, name="work", cache=True)
    store = MemoryStore()
    await Flujo(cached, state=store, policies=[Says(about_output=PolicyDecision.redact("x"))]).run_async("a")
    assert (await Flujo(cached, state=store, policies=[Says()]).run_async("a")).output == "x"
    denied = await Flujo(cached, state=store, policies=[Says(about_output=Verdict.DENY)]).run_async("a")
    assert isinstance(denied.error, PolicyDenied)
    assert calls == ["a"]


async def test_short_forms_and_duck_typed_policies_are_taken() -> None:
    class Plain:
        def check_input(self, context: PolicyContext, data: str) -> Verdict:
            return Verdict.DENY if data == "bad" else Verdict.ALLOW

        def check_tool(self, tool_name: str) -> Verdict:
            return Verdict.ALLOW

    runner = Flujo(work, policies=[Plain()])  # pyright: ignore[reportArgumentType]
    assert (await runner.run_async("good")).success
    assert not (await runner.run_async("bad")).success


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (object(), "judges nothing"),
        (Says, "is a class"),
        (GovernancePolicy, "is a class"),
        ("deny", "judges nothing"),
    ],
)
def test_what_is_no_policy_is_refused(policy: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Flujo(work, policies=[policy])
    with pytest.raises(ConfigError, match=says):
        Flujo(Step(do_work, name="work", policies=[policy]))


async def test_a_thousand_runs_at_once_are_never_mixed_up() -> None:
    class OddsOnly(GovernancePolicy):
        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
            await asyncio.sleep(0)
            return Verdict.ALLOW if input_data % 2 else PolicyDecision.deny(str(input_data))

        @override
        def check_output(self, context: PolicyContext, output: Any) -> Any:
            return PolicyDecision.redact(output * 10)

    async def same(number: int) -> int:
        await asyncio.sleep(0)
        return number

    runner = Flujo(Step(same), policies=[OddsOnly()])
    results = await asyncio.gather(*(runner.run_async(number) for number in range(1000)))
    for number, result in enumerate(results):
        if number % 2:
            assert result.output == number * 10
        else:
            assert isinstance(result.error, PolicyDenied)
            assert result.error.reason == str(number)


async def test_a_plain_function_around_an_async_one_decides_as_well() -> None:
    class Around:
        def check_input(self, context: PolicyContext, data: Any) -> Any:
            return self._asked(data)

        async def _asked(self, data: str) -> PolicyDecision:
            await asyncio.sleep(0)
            return PolicyDecision.redact(data.upper())

    class Late:
        timeout = 0.05

        def check_input(self, context: PolicyContext, data: Any) -> Any:
            return asyncio.sleep(60)

    @step
    async def same(text: str) -> str:
        return text

    around, late = cast("GovernancePolicy", Around()), cast("GovernancePolicy", Late())
    assert (await Flujo(same, policies=[around]).run_async("x")).output == "X"
    assert isinstance((await Flujo(same, policies=[late]).run_async("x")).error, PolicyDenied)


def test_policies_that_cannot_work_are_refused_with_what_is_wrong() -> None:
    @step
    async def same(text: str) -> str:
        return text

    class Swapped:
        def check_input(self, input_data: Any, context: PolicyContext) -> PolicyDecision:
            return PolicyDecision.ALLOW

    class First:
        def check_tool(self, context: PolicyContext, tool_name: str, arguments: Any) -> PolicyDecision:
            return PolicyDecision.ALLOW

    class Nowhere(GovernancePolicy):
        points = ()

        @override
        def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            return PolicyDecision.ALLOW

    class Odd(Nowhere):
        points = (["input"],)  # pyright: ignore[reportAssignmentType, reportIncompatibleVariableOverride]

    for policy, said in (
        (Swapped(), "check_input takes (input_data, context)"),
        (First(), "check_tool takes (context, tool_name, arguments)"),
        (Nowhere(), "points=()"),
        (Odd(), "holds ['input']"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)):
            Flujo(same, policies=[cast("GovernancePolicy", policy)])
    for many in (Nowhere(), "deny", None):
        with pytest.raises(ConfigError, match="is no list"):
            Flujo(same, policies=cast("Any", many))
