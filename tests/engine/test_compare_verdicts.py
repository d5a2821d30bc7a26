"""Comparing runs by what policies said: what is a difference, and what only looks like one."""

import pytest
from typing_extensions import override

from flujo import Flujo, MemoryStore, Step, StepInfo, compare_runs
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision, Verdict
from flujo.pipeline.policy import EVERYWHERE, Point
from flujo.testing import VirtualClock


async def send(text: str) -> str:
    return f"sent {text}"


async def work(text: str, info: StepInfo) -> str:
    try:
        return await info.do("send", send, text)
    except Exception:
        return "nothing"


pipeline = Step(work)


class Says(GovernancePolicy):
    """Says one thing at one point, and allows all else."""

    points = EVERYWHERE

    def __init__(self, verdict: Verdict, point: Point, version: str = "1") -> None:
        self.version = version
        self._said = verdict, point

    def _of(self, context: PolicyContext, data: object) -> PolicyDecision:
        verdict, point = self._said
        if context.point != point:
            return PolicyDecision.ALLOW
        reason = f"at {context.at} in {context.run_id}"
        return PolicyDecision(verdict, reason, "rule-1", data, inputs=self.version * 9)

    @override
    def check_input(self, context: PolicyContext, input_data: object) -> PolicyDecision:
        return self._of(context, input_data)

    @override
    def check_tool(self, tool_name: str, arguments: object, context: PolicyContext) -> PolicyDecision:
        return self._of(context, arguments)

    @override
    def check_output(self, context: PolicyContext, output: object) -> PolicyDecision:
        return self._of(context, output)


async def two(first: Says | None, second: Says | None) -> MemoryStore:
    store, clock = MemoryStore(), VirtualClock()
    for run_id, policy in (("a", first), ("b", second)):
        policies = [] if policy is None else [policy]
        await Flujo(pipeline, state=store, policies=policies, clock=clock).run_async("x", run_id=run_id)
        await clock.sleep(3600)
    return store


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.WARN, Verdict.REDACT])
async def test_versions_times_and_digests_are_no_difference(verdict: Verdict) -> None:
    for point in EVERYWHERE - {"before_model", "after_model"}:
        found = await compare_runs(await two(Says(verdict, point), Says(verdict, point, "2")), "a", "b")
        assert found.same, (point, found)


async def test_that_it_was_allowed_is_no_difference_from_nobody_asked() -> None:
    assert (await compare_runs(await two(None, Says(Verdict.ALLOW, "input")), "a", "b")).same


@pytest.mark.parametrize(
    ("point", "address"), [("input", "work"), ("output", "work"), ("before_tool", "work#send")]
)
@pytest.mark.parametrize("verdict", [Verdict.WARN, Verdict.REDACT])
async def test_other_verdicts_show_where_they_were_given(
    verdict: Verdict, point: Point, address: str
) -> None:
    found = await compare_runs(await two(Says(Verdict.ALLOW, point), Says(verdict, point)), "a", "b")
    assert found.parts == ()
    [line] = found.differing
    assert (line.address, line.parts) == (address, ("verdicts",))
    told = {"point": point, "verdict": verdict.value, "policy": "Says", "rule": "rule-1"}
    assert line.second is not None
    assert line.second["verdicts"] == [told]


async def test_a_denial_shows_where_it_was_given() -> None:
    found = await compare_runs(
        await two(Says(Verdict.ALLOW, "before_tool"), Says(Verdict.DENY, "before_tool")), "a", "b"
    )
    shown = {line.address: line.parts for line in found.differing}
    assert "verdicts" in shown["work#send"]


@pytest.mark.parametrize("point", ["agent_start", "agent_end"])
async def test_other_verdicts_of_whole_runs_show_on_the_runs(point: Point) -> None:
    found = await compare_runs(await two(Says(Verdict.ALLOW, point), Says(Verdict.REDACT, point)), "a", "b")
    assert (found.parts, found.differing) == (("verdicts",), ())
    assert [one["verdict"] for one in found.second.verdicts] == ["redact"]
