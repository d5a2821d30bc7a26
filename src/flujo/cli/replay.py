"""Replays on the command line."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from flujo.cli.carry import runner_of
from flujo.cli.config import Config
from flujo.cli.outcome import outcome_code, result_json, tell
from flujo.cli.output import DONE, FAILED, emit, emit_json, note, user_code
from flujo.cli.runs import found_run
from flujo.cli.text import brief, counted
from flujo.engine.differences import Difference, ReplayReport
from flujo.engine.runner import Flujo


def replay_run(config: Config, typed: str, *, target: str | None, live: bool, as_json: bool) -> int:
    """Replay a run, and return what the command exits with."""
    begun = monotonic()
    record, found, _ = asyncio.run(found_run(config, typed, target))

    async def replayed(runner: Flujo[Any, Any]) -> ReplayReport:
        try:
            return await runner.replay(record.run_id, live_after_divergence=live)
        finally:
            await runner.close()

    with user_code():
        report = asyncio.run(replayed(runner_of(found, config)))
    if as_json:
        emit_json(report_json(report))
    else:
        _print(report)
    if report.live is None:
        return DONE if report.equal else FAILED
    if not as_json:
        tell(report.live, as_json=False, line=False, quiet=False, took=monotonic() - begun)
    return outcome_code(report.live)


def report_json(report: ReplayReport) -> dict[str, Any]:
    """Return a report as JSON."""
    return {
        "run_id": report.run_id,
        "pipeline": report.pipeline,
        "status": report.status,
        "equal": report.equal,
        "same_plan": report.same_plan,
        "steps": report.steps,
        "effects": report.effects,
        "decisions": report.decisions,
        "differences": [difference_json(one) for one in report.differences],
        "unanswered": list(report.unanswered),
        "unreached": list(report.unreached),
        **({} if report.live is None else {"live": result_json(report.live)}),
    }


def difference_json(one: Difference) -> dict[str, Any]:
    """Return one difference as JSON."""
    return {
        "address": one.address,
        "kind": one.kind,
        "message": one.message,
        "recorded": one.recorded,
        "now": one.now,
    }


def _print(report: ReplayReport) -> None:
    answered = f"{counted(report.steps, 'step')} and {counted(report.effects, 'effect')} answered"
    if report.equal:
        emit(f"equal: {answered}, {counted(report.decisions, 'decision')} made again")
        if report.unanswered and report.status != "completed":
            note(f"the journal ends at {', '.join(report.unanswered)}")
        return
    for one in report.differences:
        emit(f"{one.address or 'the run'}: {one.message}")
        if one.recorded is not None or one.now is not None:
            emit(f"  recorded: {brief(one.recorded, 200)}\n  now:      {brief(one.now, 200)}")
    if report.unreached:
        note(f"behind that, nothing can be said of {', '.join(report.unreached)}")
    note(f"{counted(len(report.differences), 'difference')}; {answered}")
