"""What a call is answered: how a run stands, or what went wrong; in the words of MCP."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from mcp_types import CallToolResult, TextContent
from pydantic_core import to_json, to_jsonable_python

from flujo.engine.result import PipelineResult
from flujo.errors import FlujoError, RequestDenied, RunCancelled
from flujo.pipeline.waits import Approval
from flujo.plan.codec import Unrecordable
from flujo.server.mcp_tools import PipelineTool

RUN_ID, IDEMPOTENCY_KEY = "flujo/run-id", "flujo/idempotency-key"
"""What an answer's ``_meta`` calls the run, and a call's the key that makes it one with another call."""

_GIVEN = ("after_model", "after_tool", "output", "agent_end")
"""Where policies judge what comes out."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|_DSN", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SHORTEST_SECRET = 8


def answered(tool: PipelineTool, result: PipelineResult[Any, Any], said: str = "") -> CallToolResult:
    """Return how a run stands as the result of a call.

    Args:
        tool: The pipeline.
        result: How it stands.
        said: What is to be said beside it: why an answer was not taken.
    """
    document: dict[str, Any] = {"run_id": result.run_id, "status": result.status}
    match result.status:
        case "completed":
            try:
                document["output"] = tool.written(result.output)
            except Unrecordable as error:
                return failed(FlujoError(error.message, fix=error.fix), result.run_id)
        case "paused":
            document["message"] = waits(result, said)
            document["pending"] = [_to_callers(request) for request in result.pending]
        case "stopped":
            document["message"] = without_secrets(result.reason) or "the pipeline ended the run on purpose"
        case "cancelled" | "failed":
            reason = f": {result.reason}" if result.reason else ""
            error = result.error or RunCancelled(f"run {result.run_id} was {result.status}{reason}")
            return failed(error, result.run_id)
    return CallToolResult(
        content=[TextContent(text=to_json(document).decode())],
        structured_content=document,
        _meta={RUN_ID: result.run_id},
    )


def waits(result: PipelineResult[Any, Any], said: str = "") -> str:
    """Return in words what a paused run waits for."""
    if not result.pending:
        return (
            f"run {result.run_id} waits for nobody: it is under way elsewhere, waits for a time, or was "
            f"interrupted. `flujo runs show {result.run_id}` tells; a call with the same key goes on with it"
        )
    asked = "; ".join(f"{one.address}: {one.prompt}" for one in result.pending)
    told = f"{said}. " if said else ""
    return f"{told}Run {result.run_id} waits for a person, who decides with `flujo approvals`: {asked}"


def shown(request: Approval) -> dict[str, Any]:
    """Return what a run waits for as JSON."""
    return {
        "id": request.id,
        "address": request.address,
        "kind": request.kind,
        "prompt": request.prompt,
        "subject": to_jsonable_python(request.subject),
        "schema": dict(request.schema),
        "actions": list(request.actions),
        "deadline": None if request.deadline is None else request.deadline.isoformat(),
        "digest": request.digest,
        "approvals": request.approvals,
        "approved_by": list(request.approved_by),
    }


def _to_callers(request: Approval) -> dict[str, Any]:
    """Return the same for whoever began the run: without what policies hold back until people agree."""
    held = request.kind == "policy" and request.address.rpartition("#gate/")[2] in _GIVEN
    return shown(request) | ({"subject": None} if held else {})


def failed(error: FlujoError, run_id: str = "") -> CallToolResult:
    """Return an error of ours as the result of a call: what happened and what to do, and nothing else."""
    message, fix = without_secrets(error.message), without_secrets(error.fix)
    if isinstance(error, RequestDenied):
        fix = ""
    elif run_id and not fix:
        fix = f"look at what it did: `flujo runs show {run_id}`"
    told: dict[str, Any] = {"code": error.code, "message": message, "fix": fix}
    document: dict[str, Any] = {"status": "failed", "error": told}
    if run_id:
        document["run_id"] = run_id
    text = message + (f"\nTo fix: {fix}" if fix else "") + (f"\n(run {run_id})" if run_id else "")
    return CallToolResult(
        content=[TextContent(text=text)],
        structured_content=document,
        is_error=True,
        _meta={RUN_ID: run_id} if run_id else None,
    )


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text without the secrets that this process knows: of its environment, and in URLs.

    A message may hold what the pipeline's code said when it raised, and that may hold the key it used.
    """
    env = os.environ if environment is None else environment
    known = {value for name, value in env.items() if _SECRET_NAME.search(name)}
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return _IN_URL.sub("***", text)
