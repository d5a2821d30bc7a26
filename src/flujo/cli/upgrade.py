"""Carrying open runs over to changed code, on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flujo.cli.carry import runner_of
from flujo.cli.config import Config
from flujo.cli.output import DONE, FAILED, emit, emit_json, note, user_code
from flujo.cli.reading import begun_with, find_run, opened
from flujo.cli.replay import difference_json
from flujo.cli.runs import target_of, terminal_width
from flujo.cli.targets import Target, load_target
from flujo.cli.text import counted, table
from flujo.engine.runner import Flujo
from flujo.engine.upgrade import UpgradeReport
from flujo.errors import ConfigError
from flujo.journal.store import JournalStore, RunQuery, RunRecord

_OPEN = ("queued", "running", "paused")
Open = tuple[RunRecord, dict[str, str]]
"""A run that has not ended, and the labels that it was begun with."""


def upgrade_runs(
    config: Config, typed: str | None, *, targets: Sequence[str], check: bool, allow: bool, as_json: bool
) -> int:
    """Check open runs against their pipelines as they are now, or carry one over; return the exit code."""
    if typed is None and not check:
        raise ConfigError("no run is named", fix="name one, or look at all of them with --check")
    found = asyncio.run(_open_runs(config, typed))
    with user_code():
        given = [load_target(name, names=config.targets, folder=config.folder) for name in targets]
        reports = asyncio.run(_reports(config, found, given, check=check, allow=allow, all_=typed is None))
    safe = all(report.verdict == "safe" or report.upgraded for report in reports)
    if as_json:
        emit_json({"safe": safe, "runs": [_json(report) for report in reports]})
    else:
        _print(reports)
    return DONE if safe else FAILED


async def _open_runs(config: Config, typed: str | None) -> list[Open]:
    async with opened(config.store) as store:
        if typed is not None:
            record = await find_run(store, typed)
            return [(record, await _labels(store, record))]
        found: list[Open] = []
        query = RunQuery(status=_OPEN)
        while True:
            page = await store.runs(query)
            found += [(record, await _labels(store, record)) for record in page.runs]
            if not page.next:
                return found
            query = replace(query, after=page.next)


async def _labels(store: JournalStore, record: RunRecord) -> dict[str, str]:
    return (await begun_with(store, record.run_id)).get("labels", {})


async def _reports(
    config: Config, found: Sequence[Open], given: Sequence[Target], *, check: bool, allow: bool, all_: bool
) -> list[UpgradeReport]:
    """Return what came of each run; of all runs, those that no given target is of are left out."""
    runners: dict[str, Flujo[Any, Any]] = {}

    def runner(target: Target) -> Flujo[Any, Any]:
        if target.name not in runners:
            runners[target.name] = runner_of(target, config)
        return runners[target.name]

    reports: list[UpgradeReport] = []
    try:
        for record, labels in found:
            target = next((one for one in given if runner(one).plan.name == record.pipeline), None)
            if target is None and given and all_:
                continue
            target = target or (given[0] if given else target_of(config, labels, record, None))
            reports.append(await runner(target).upgrade(record.run_id, check=check, allow=allow))
    finally:
        for one in runners.values():
            await one.close()
    return reports


def _json(report: UpgradeReport) -> dict[str, Any]:
    return {
        "run_id": report.run_id,
        "verdict": report.verdict,
        "reason": report.reason,
        "addresses": list(report.addresses),
        "policies": list(report.policies),
        "differences": [difference_json(one) for one in report.replay.differences],
        "upgraded": report.upgraded,
    }


def _print(reports: Sequence[UpgradeReport]) -> None:
    rows = [
        (
            report.run_id,
            "carried over" if report.upgraded else report.verdict,
            report.reason or "; ".join(report.told),
        )
        for report in reports
    ]
    if rows:
        emit(table(("RUN", "VERDICT", "WHY"), rows, width=terminal_width()))
    note(counted(len(reports), "open run") if rows else "no run is open")
