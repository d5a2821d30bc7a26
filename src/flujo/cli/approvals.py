"""What runs wait for, listed and decided on the command line."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flujo.cli.carry import Show, carry, runner_of, tail_of
from flujo.cli.config import Config
from flujo.cli.inputs import read_value
from flujo.cli.outcome import approval_json, command, how_to_decide
from flujo.cli.output import DONE, clean, emit, emit_json, note, user_code
from flujo.cli.reading import Waiting, begun_with, find_request, find_run, opened, waiting
from flujo.cli.runs import target_of
from flujo.cli.targets import Target
from flujo.cli.text import age, brief, counted, local
from flujo.engine.runner import Flujo
from flujo.errors import AnswerRejected, InputError
from flujo.journal.store import RunQuery
from flujo.pipeline.waits import Action, Approval, Decision


def list_approvals(config: Config, *, run: str | None, pipeline: str, limit: int, as_json: bool) -> int:
    """Print what paused runs wait for, and the commands that decide it."""

    async def read() -> list[Waiting]:
        async with opened(config.store) as store:
            prefix = "" if run is None else (await find_run(store, run)).run_id
            return await waiting(store, RunQuery(pipeline=pipeline, prefix=prefix))

    found = asyncio.run(read())
    if as_json:
        emit_json(
            {
                "approvals": [
                    {**approval_json(one.request), "pipeline": one.run.pipeline} for one in found[:limit]
                ]
            }
        )
        return DONE
    if not found:
        note("nothing waits for anybody")
        return DONE
    now = datetime.now(UTC)
    emit("\n\n".join(_told(one, now, config) for one in found[:limit]))
    if len(found) > limit:
        note(f"\n{counted(len(found) - limit, 'more request')}; add --limit {len(found)}")
    return DONE


def _told(one: Waiting, now: datetime, config: Config) -> str:
    request = one.request
    lines = [
        f"{request.id}  ({one.run.pipeline}, asked {age(request.asked_at, now)})",
        f"  {brief(request.prompt, 200)}",
    ]
    if request.subject is not None:
        lines.append(f"  about: {brief(request.subject, 200)}")
    if request.deadline is not None:
        lines.append(f"  until: {local(request.deadline)}")
    return "\n".join([*lines, *how_to_decide(request, config.store_words)])


def decide(
    config: Config,
    typed: str,
    *,
    action: Action,
    value: str | None,
    reason: str,
    resume: bool,
    target: str | None,
    show: Show,
) -> int:
    """Record what a person decided about a request; with ``resume`` go on with its run at once.

    Raises:
        UnknownRequest: Nothing waits under this id.
        AnswerRejected: The decision does not fit; the request stays open.
    """
    one, found = asyncio.run(_found(config, typed, target))
    with user_code():
        runner = runner_of(found, config)
    run_id = one.run.run_id
    decision = Decision(
        action,
        _value(value, one.request),
        reason=reason,
        actor=config.text("actor") or user(),
        channel="cli",
        digest=one.request.digest,
    )
    tail = tail_of(runner, config, target)
    if resume:
        return carry(
            runner,
            lambda runner: runner.stream_resume_async(run_id, decision, request=one.request.id),
            run_id,
            show=show,
            tail=tail,
        )

    with user_code():
        asyncio.run(_record(runner, one.request, decision))
    _confirm(one.request, decision, command("runs", "resume", run_id, *tail), show)
    return DONE


async def _record(runner: Flujo[Any, Any], request: Approval, decision: Decision) -> None:
    try:
        await runner.answer(request.run_id, decision, request=request.id)
    finally:
        await runner.close()


def _confirm(request: Approval, decision: Decision, following: str, show: Show) -> None:
    if show.as_json:
        emit_json(
            {"request": request.id, "action": decision.action, "actor": decision.actor, "next": following}
        )
    elif not show.quiet:
        note(f"recorded: {decision.action} by {clean(decision.actor)}\nto go on: {following}")


async def _found(config: Config, typed: str, target: str | None) -> tuple[Waiting, Target]:
    async with opened(config.store) as store:
        one = await find_request(store, typed)
        labels = (await begun_with(store, one.run.run_id)).get("labels", {})
    with user_code():
        return one, target_of(config, labels, one.run, target)


def _value(typed: str | None, request: Approval) -> Any:
    """Return an answer as it was typed: JSON, or plain text where a text is asked for."""
    if typed is None:
        return None
    asked_for_text = _takes_text(request.schema)
    try:
        value = read_value(typed, "--value")
    except InputError as error:
        if asked_for_text and not typed.startswith("@"):
            return typed
        raise AnswerRejected(
            f"{request.address}: {error.message}", fix=f"{error.fix}; {_wanted(request.schema)}"
        ) from None
    return typed if asked_for_text and not isinstance(value, str) else value


def _takes_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string" and "enum" not in schema


def _wanted(schema: Mapping[str, Any]) -> str:
    return f"the answer's schema is {json.dumps(dict(schema))}"


def user() -> str:
    """Return the name of the operating system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return "unknown"
