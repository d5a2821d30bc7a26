"""Forks on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flujo.cli.carry import Show, carry, tail_of
from flujo.cli.config import Config
from flujo.cli.inputs import read_value
from flujo.cli.output import user_code
from flujo.cli.runs import found_run, matching
from flujo.engine.identity import new_run_id
from flujo.engine.result import RunEvent
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fork is to change, as it was typed."""

    at: str
    set: Sequence[str] = ()
    context: Sequence[str] = ()
    run_id: str | None = None


def fork_run(config: Config, typed: str, asked: Asked, *, target: str | None, show: Show) -> int:
    """Fork a run and carry the new one on; return what the command exits with."""
    given = _pairs(asked.set, "--set")
    unknown = [key for key in given if key != "input"]
    if unknown:
        raise ConfigError(
            f"--set {unknown[0]}=… sets nothing",
            fix="write --set input=JSON; for the context, --context KEY=JSON",
        )
    changes = _pairs(asked.context, "--context")
    record, found, _ = asyncio.run(found_run(config, typed, target))
    with user_code():
        runner = matching(found, record, config)
    name = asked.run_id or new_run_id()

    async def begun(runner: Flujo[Any, Any]) -> AsyncIterator[RunEvent]:
        value = given.get("input", ...)
        await runner.start_fork(record.run_id, at=asked.at, input=value, context=changes, run_id=name)
        async for event in runner.stream_resume_async(name):
            yield event

    return carry(runner, begun, name, show=show, tail=tail_of(runner, config, target))


def _pairs(typed: Sequence[str], option: str) -> Mapping[str, Any]:
    """Return ``KEY=JSON`` as a mapping.

    Raises:
        ConfigError: A word is no such pair.
        InputError: Its value is no JSON.
    """
    pairs: dict[str, Any] = {}
    for word in typed:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise ConfigError(f"{option} {word!r} sets nothing", fix=f"write {option} KEY=JSON")
        pairs[key] = read_value(value, f"{option} {key}")
    return pairs
