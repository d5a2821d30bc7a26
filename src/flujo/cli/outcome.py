"""What a run came to: for machines, for people, and as an exit code."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from flujo.cli.output import (
    DENIED,
    DONE,
    FAILED,
    WAITING,
    Fault,
    clean,
    emit,
    emit_json,
    note,
    plain_json,
    speaks_unicode,
    stdout,
    told,
)
from flujo.cli.text import brief, duration
from flujo.engine.result import PipelineResult, StepResult
from flujo.errors import RequestDenied
from flujo.pipeline.info import Usage
from flujo.pipeline.waits import Approval


def outcome_code(result: PipelineResult[Any]) -> int:
    """Return what the command exits with after a run."""
    match result.status:
        case "completed" | "stopped":  # stopped on purpose: it has not failed
            return DONE
        case "paused":
            return WAITING if result.pending else FAILED
        case _:
            return DENIED if isinstance(result.error, RequestDenied) else FAILED


def result_json(result: PipelineResult[Any]) -> dict[str, Any]:
    """Return a result as the one document that `--json` prints."""
    document: dict[str, Any] = {
        "run_id": result.run_id,
        "status": result.status,
        "output": result.output,
        "steps": [step_json(step) for step in result.steps],
        "usage": usage_json(result.usage),
        "pending": [approval_json(one) for one in result.pending],
    }
    if result.reason:
        document["reason"] = result.reason
    if result.error is not None:
        document["error"] = Fault.of(result.error).envelope()
    return document


def step_json(step: StepResult) -> dict[str, Any]:
    """Return one step as JSON."""
    return {
        "address": step.address,
        "name": step.name,
        "output": step.output,
        "attempts": step.attempts,
        "seconds": round(step.duration, 6),
        "usage": usage_json(step.usage),
        "reused": step.reused,
        "cached": step.cached,
    }


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return a usage as JSON; money is text, so that no digit is lost."""
    return {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": str(usage.cost),
    }


def approval_json(request: Approval) -> dict[str, Any]:
    """Return what a run waits for as JSON."""
    return {
        "id": request.id,
        "run_id": request.run_id,
        "address": request.address,
        "kind": request.kind,
        "prompt": request.prompt,
        "subject": request.subject,
        "schema": dict(request.schema),
        "actions": list(request.actions),
        "asked_at": request.asked_at.isoformat(),
        "deadline": None if request.deadline is None else request.deadline.isoformat(),
        "digest": request.digest,
    }


def tell(
    result: PipelineResult[Any],
    *,
    as_json: bool,
    line: bool,
    quiet: bool,
    took: float,
    tail: Sequence[str] = (),
) -> None:
    """Print what a run came to: its output on stdout, the rest on stderr.

    Args:
        result: The result.
        as_json: Whether to print one JSON document instead.
        line: Whether that document is the last of several lines.
        quiet: Whether to print the output only.
        took: How long the command worked on it, in seconds.
        tail: Options that every next command needs to find the run again.
    """
    if as_json:
        document = {"event": "finished", **result_json(result)} if line else result_json(result)
        emit_json(document, line=line)
        return
    if result.status == "completed" and result.output is not None:
        emit(written(result.output))
    if result.error is not None:
        note(told(Fault.of(result.error)))
    if not quiet:
        reason = f": {clean(result.reason)}" if result.reason else ""
        note(f"{result.status}{reason} in {duration(took)}  (run {result.run_id})")
    if result.status == "paused":
        note("\n".join(waiting_lines(result.pending, result.run_id, tail)))


def waiting_lines(pending: Sequence[Approval], run_id: str, tail: Sequence[str]) -> list[str]:
    """Return what a paused run waits for, and the commands that go on with it."""
    lines: list[str] = []
    for request in pending:
        lines += [f"waits at {clean(request.address)}: {brief(request.prompt, 200)}"]
        lines += how_to_decide(request, tail, alone=len(pending) == 1)
    return lines or [f"to go on: {command('runs', 'resume', run_id, *tail)}"]


def how_to_decide(request: Approval, tail: Sequence[str], *, alone: bool = False) -> list[str]:
    """Return the commands that answer a request; ``alone`` where its run waits for nothing else."""
    example = json.dumps(schema_example(request.schema))
    words = {
        "approve": ("approve",),
        "edit": ("answer", "--value", example),
        "deny": ("deny", "--reason", "…" if speaks_unicode(sys.stderr) else "..."),
    }
    name = request.run_id if alone else request.id
    return [
        f"  {command('approvals', verb, name, *options, *tail, '--resume')}"
        for verb, *options in (words[action] for action in request.actions)
    ]


def command(*words: str) -> str:
    """Return a command as one types it."""
    return shlex.join(["flujo", *words])


def written(output: Any) -> str:
    """Return an output for stdout: text as it is, anything else as JSON."""
    value = plain_json(output)
    if isinstance(value, str):
        return clean(value) if stdout().isatty() else value
    return json.dumps(value, ensure_ascii=not speaks_unicode(stdout()), indent=2)


def schema_example(schema: Any, known: Any = None) -> Any:
    """Return a value that shows what a JSON Schema asks for."""
    known = schema.get("$defs", known or {})
    if "$ref" in schema:
        return schema_example(known.get(schema["$ref"].rsplit("/", 1)[-1], {}), known)
    for one in ("anyOf", "oneOf", "allOf"):
        if one in schema:
            return schema_example(schema[one][0], known)
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    properties = schema.get("properties", {})
    match schema.get("type"):
        case "object":
            needed = schema.get("required", list(properties))
            return {name: schema_example(properties[name], known) for name in needed if name in properties}
        case "array":
            return [schema_example(schema.get("items", {}), known)]
        case "integer" | "number" | "boolean" | "null" as kind:
            return {"integer": 1, "number": 1.5, "boolean": True, "null": None}[kind]
        case _:
            return {"date": "2025-01-31", "date-time": "2025-01-31T12:00:00Z"}.get(
                schema.get("format", ""), "text"
            )
