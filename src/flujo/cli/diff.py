"""Two runs beside each other, on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from flujo.cli.config import Config
from flujo.cli.outcome import usage_json
from flujo.cli.output import DONE, FAILED, emit, emit_json, note
from flujo.cli.reading import find_run, opened
from flujo.cli.runs import terminal_width
from flujo.cli.text import brief, counted, duration, table
from flujo.engine.compare import ComparedExecution, RunComparison, RunSide, compare_runs, total, used


def diff_runs(config: Config, one: str, other: str, *, as_json: bool) -> int:
    """Compare two runs, and return what the command exits with."""

    async def compared() -> RunComparison:
        async with opened(config.store) as store:
            first, second = await find_run(store, one), await find_run(store, other)
            return await compare_runs(store, first.run_id, second.run_id)

    found = asyncio.run(compared())
    if as_json:
        emit_json(_json(found))
    else:
        _print(found)
    return DONE if found.same else FAILED


def _json(found: RunComparison) -> dict[str, Any]:
    return {
        "same": found.same,
        "first": _side_json(found.first),
        "second": _side_json(found.second),
        "parts": list(found.parts),
        "executions": [
            {
                "address": one.address,
                "state": one.state,
                "parts": list(one.parts),
                "first": one.first,
                "second": one.second,
            }
            for one in found.executions
        ],
    }


def _side_json(side: RunSide) -> dict[str, Any]:
    return {
        "run_id": side.run_id,
        "pipeline": side.pipeline,
        "fingerprint": side.fingerprint,
        "status": side.status,
        "input": side.input,
        "output": side.output,
        "error": side.error,
        "context": side.context,
        "usage": usage_json(side.usage),
        "seconds": round(side.seconds, 6),
        "verdicts": list(side.verdicts),
    }


def _print(found: RunComparison) -> None:
    first, second = found.first, found.second
    rows = [("", first.run_id, second.run_id)]
    for name, mine, theirs in _facts(first, second):
        rows.append((name, mine, theirs))
    emit(table(("", "FIRST", "SECOND"), rows, width=terminal_width()))
    if found.differing:
        cells = [_row(one) for one in found.differing]
        emit("\n" + table(("WHERE", "WHAT", "FIRST", "SECOND"), cells, width=terminal_width()))
    same = len(found.executions) - len(found.differing)
    note(f"\n{counted(len(found.differing), 'difference')}, {same} the same")


def _facts(first: RunSide, second: RunSide) -> list[tuple[str, str, str]]:
    shown = [
        ("pipeline", first.pipeline, second.pipeline),
        ("plan", first.fingerprint[:12], second.fingerprint[:12]),
        ("status", first.status, second.status),
        ("took", duration(first.seconds), duration(second.seconds)),
        ("used", total(first.usage), total(second.usage)),
        ("input", brief(first.input), brief(second.input)),
        ("output", brief(first.output), brief(second.output)),
        ("error", brief(first.error), brief(second.error)),
        ("verdicts", _verdicts(first.verdicts), _verdicts(second.verdicts)),
    ]
    shown += _context(first.context or {}, second.context or {})
    return [(name, mine, theirs) for name, mine, theirs in shown if mine or theirs]


def _context(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the fields of the context that differ."""
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return [(f"context.{name}", brief(first.get(name)), brief(second.get(name))) for name in names]


def _row(one: ComparedExecution) -> tuple[str, str, str, str]:
    what = {"only_first": "only in the first", "only_second": "only in the second"}
    said = what.get(one.state) or ", ".join(one.parts)
    return one.address, said, _told(one, one.first), _told(one, one.second)


def _told(one: ComparedExecution, execution: Mapping[str, Any] | None) -> str:
    if execution is None:
        return ""
    shown = {
        name: execution[name] for name in one.parts or ("output", "error", "verdicts") if name in execution
    }
    if "verdicts" in shown:
        shown["verdicts"] = _verdicts(execution["verdicts"])
    if "usage" in shown:
        shown["usage"] = total(used(execution))
    if len(shown) == 1:
        return brief(next(iter(shown.values())), 50)
    return brief(", ".join(f"{name} {brief(value, 30)}" for name, value in shown.items()), 80)


def _verdicts(verdicts: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(f"{one['point']}: {one['verdict']}" for one in verdicts)
