"""Two runs side by side, on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from flujo.cli.config import Config
from flujo.cli.output import DONE, FAILED, emit, emit_json, note
from flujo.cli.reading import find_run, opened
from flujo.cli.runs import record_json, terminal_width
from flujo.cli.text import brief, counted, duration, table
from flujo.engine.compare import Comparison, Deed, Line, Side, compare
from flujo.pipeline.info import Usage


def diff_runs(config: Config, first: str, second: str, *, everything: bool, as_json: bool) -> int:
    """Print in what two runs differ; return 1 where they do."""

    async def read() -> Comparison:
        async with opened(config.store) as store:
            a, b = await find_run(store, first), await find_run(store, second)
            return await compare(store, a.run_id, b.run_id)

    found = asyncio.run(read())
    if as_json:
        emit_json(_json(found, everything))
    else:
        _print(found, everything)
    return DONE if found.same else FAILED


def _print(found: Comparison, everything: bool) -> None:
    width = terminal_width()
    a, b = found.first, found.second
    rows = [(name, one, "=" if one == two else two) for name, one, two in _facts(a, b)]
    emit(table(("", a.record.run_id, b.record.run_id), rows, width=width))
    fields = [(name, brief(one), brief(two)) for name, (one, two) in found.context.items()]
    if fields:
        emit("\n" + table(("CONTEXT", "FIRST", "SECOND"), fields, width=width))
    shown = [line for line in found.lines if line.differs or everything]
    if shown:
        lines = [
            (", ".join(line.differs) or "=", line.address, _said(line.first), _said(line.second))
            for line in shown
        ]
        emit("\n" + table(("DIFFERS", "WHERE", "FIRST", "SECOND"), lines, width=width))
    same = sum(not line.differs for line in found.lines)
    note("\nthe same" if found.same else f"\nthe same at {counted(same, 'place')}")


def _facts(a: Side, b: Side) -> list[tuple[str, str, str]]:
    facts = [
        ("pipeline", a.record.pipeline, b.record.pipeline),
        ("plan", a.record.fingerprint[:16], b.record.fingerprint[:16]),
        ("status", a.record.status, b.record.status),
        ("input", brief(a.input), brief(b.input)),
        ("output", brief(a.output), brief(b.output)),
        ("error", brief(a.error), brief(b.error)),
        ("took", duration(a.seconds), duration(b.seconds)),
        ("used", _used(a.usage), _used(b.usage)),
    ]
    return [(name, one, two) for name, one, two in facts if one or two]


def _used(usage: Usage) -> str:
    if not usage:
        return ""
    tokens = f"{usage.input_tokens}+{usage.output_tokens} tokens"
    return f"{counted(usage.requests, 'request')}, {tokens}, ${usage.cost}"


def _said(deeds: Sequence[Deed]) -> str:
    if not deeds:
        return "-"
    last = deeds[-1]
    many = f" ({last.attempts} attempts)" if last.attempts > 1 else ""
    who = f"{last.decision[0]} by {last.decision[1] or last.decision[2]}: " if last.decision else ""
    return f"{who}{brief(last.output, 40)}{many}"


def _json(found: Comparison, everything: bool) -> dict[str, Any]:
    return {
        "same": found.same,
        "first": _side_json(found.first),
        "second": _side_json(found.second),
        "context": {name: list(values) for name, values in found.context.items()},
        "steps": [_line_json(line) for line in found.lines if line.differs or everything],
    }


def _side_json(side: Side) -> dict[str, Any]:
    return {
        **record_json(side.record),
        "input": side.input,
        "output": side.output,
        "error": side.error,
        "seconds": side.seconds,
        "usage": _usage_json(side.usage),
    }


def _line_json(line: Line) -> dict[str, Any]:
    return {
        "address": line.address,
        "differs": list(line.differs),
        "first": [_deed_json(deed) for deed in line.first],
        "second": [_deed_json(deed) for deed in line.second],
    }


def _deed_json(deed: Deed) -> dict[str, Any]:
    return {
        "kind": deed.kind,
        "output": deed.output,
        "patch": deed.patch,
        "attempts": deed.attempts,
        "took": deed.took,
        "usage": _usage_json(deed.usage),
        "decision": None if deed.decision is None else list(deed.decision),
    }


def _usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": str(usage.cost),
    }
