"""Policies that a run keeps as they were when it began to be judged by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from flujo.engine.judge import Asking, Judge, facts_of
from flujo.engine.policies import judge_of
from flujo.errors import ConfigError
from flujo.pipeline.policy import NOBODY, GovernancePolicy, PolicyDecision, Principal, Verdict

if TYPE_CHECKING:
    from flujo.engine.run import Run


@runtime_checkable
class KeptPolicy(Protocol):
    """A policy whose rules are data: each run keeps those that it began with."""

    @property
    def recorded(self) -> bytes:
        """What a run keeps of it."""
        ...

    def as_recorded(self, content: bytes) -> GovernancePolicy:
        """Return the policy with what a run kept."""
        ...

    def may_observe(self, principal: Principal, pipeline: str, tenant: str, at: datetime) -> PolicyDecision:
        """Return whether it allows to lose its force in a run."""
        ...


def check_names(judges: Sequence[Judge]) -> None:
    """Check that runs can tell the policies that they keep from each other.

    Raises:
        ConfigError: Two of them have one id.
    """
    versions: dict[str, str] = {}
    for judge in judges:
        if (
            isinstance(judge.policy, KeptPolicy)
            and versions.setdefault(judge.id, judge.version) != judge.version
        ):
            raise ConfigError(
                f"two policies have the id {judge.id!r}, and runs keep each by its id",
                fix='name them: CedarPolicy(…, name="…")',
            )


async def as_begun(run: Run, pipeline: str, asking: Asking, method: str) -> Asking:
    """Return whom to ask, with policies as the run keeps them."""
    found: list[Any] = []
    for judge, check in asking:
        if isinstance(judge.policy, KeptPolicy):
            kept = run.kept.get(judge.id) or await _kept(run, pipeline, judge, judge.policy)
            found.append((kept, kept.checks[method]))
        else:
            found.append((judge, check))
    return found


async def _kept(run: Run, pipeline: str, judge: Judge, policy: KeptPolicy) -> Judge:
    """Return a policy as the run keeps it; note it where the run has none yet."""
    known = [
        note.body for note in run.noted("") if note.kind == "policies" and note.body["policy"] == judge.id
    ]
    if not known:
        _note(run, judge, policy.recorded)
        run.kept[judge.id] = judge
        return judge
    last, kept = known[-1], judge
    if last["version"] != judge.version:
        if run.recorder is None:
            content = last["live"]
        else:
            content = await run.recorder.store.payload(bytes.fromhex(last["bundle_ref"]))
        place = f"run {run.id}, the policy {judge.id!r} that it keeps"
        kept = replace(judge_of(policy.as_recorded(content), place), id=judge.id, observes=judge.observes)
    if judge.id in run.kept:  # another branch of the run came first
        return run.kept[judge.id]
    if last["mode"] != judge.mode:
        kept = _changed(run, pipeline, kept)
    run.kept[judge.id] = kept
    return kept


def _changed(run: Run, pipeline: str, kept: Judge) -> Judge:
    """Return a policy in the mode that it may have: to enforce may be begun, to stop it must be allowed."""
    assert isinstance(kept.policy, KeptPolicy)
    if not kept.observes:
        _note(run, kept, kept.policy.recorded)
        return kept
    at = datetime.fromtimestamp(run.clock.now() / 1e6, UTC)
    decision = kept.policy.may_observe(run.principal or NOBODY, pipeline, run.tenant, at)
    said = {"point": "observe", "verdict": decision.verdict.value, "digest": decision.inputs}
    run.note("verdict", "", {**said, "by": [facts_of(kept, decision, force=True)]})
    if decision.verdict is not Verdict.ALLOW:
        return replace(kept, observes=False)
    _note(run, kept, kept.policy.recorded)
    return kept


def _note(run: Run, judge: Judge, content: bytes) -> None:
    """Record which policy the run keeps, and in which mode."""
    body: dict[str, Any] = {"policy": judge.id, "version": judge.version, "mode": judge.mode}
    if run.recorder is None:
        run.note("policies", "", {**body, "live": content})
    else:
        run.note("policies", "", {**body, "bundle_ref": run.recorder.keep(content)})
