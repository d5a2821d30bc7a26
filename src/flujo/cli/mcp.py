"""Pipelines as tools of an MCP server, on the command line."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flujo.cli.approvals import user
from flujo.cli.carry import runner_of
from flujo.cli.config import MCP_VARIABLE, Config
from flujo.cli.output import DONE, note, stdout, user_code
from flujo.cli.targets import load_target
from flujo.cli.text import counted
from flujo.errors import ConfigError

if TYPE_CHECKING:
    from flujo.server import Offered


@dataclass(frozen=True, slots=True)
class Terms:
    """How pipelines are served, as it was typed; over stdio where no port is named."""

    host: str
    port: int | None
    approvals: bool
    asks: bool
    tenant: str


def serve(config: Config, targets: Sequence[str], terms: Terms) -> int:
    """Serve pipelines until the client goes or a signal comes, and return what the command exits with.

    Raises:
        FlujoError: A target or the store cannot be used, or there is no token to serve over HTTP with.
    """
    names = targets or list(config.targets)
    if not names:
        raise ConfigError(
            "no pipeline to serve was named",
            fix="name one: `flujo mcp serve file.py:object`; or list them in [targets] of flujo.toml",
        )
    token = _token() if terms.port is not None else ""
    read = _own_stdin() if terms.port is None else 0
    with user_code():
        offered = _offered(config, names, terms.tenant)
        _log_to_stderr()
        asyncio.run(_serve(offered, terms, config.text("actor") or user(), token, read))
    note("stopped")
    return DONE


def _offered(config: Config, names: Sequence[str], tenant: str) -> list[Offered]:
    from flujo.server import Offered

    found: list[Offered] = []
    for name in names:
        target = load_target(name, names=config.targets, folder=config.folder)
        found.append(Offered(runner_of(target, config), target.about, target.labels, tenant))
    return found


async def _serve(offered: Sequence[Offered], terms: Terms, actor: str, token: str, read: int) -> None:
    from flujo.server import serve_http, serve_stdio

    pipelines = counted(len(offered), "pipeline")
    try:
        if terms.port is None:
            note(f"serving {pipelines} over stdio; closing stdin, Ctrl-C or SIGTERM stops")
            write = os.dup(stdout().fileno())
            await serve_stdio(
                offered, approvals=terms.approvals, asks=terms.asks, actor=actor, read=read, write=write
            )
        else:
            await serve_http(
                offered,
                port=terms.port,
                token=token,
                host=terms.host,
                approvals=terms.approvals,
                asks=terms.asks,
                actor=actor,
                listening=lambda address: note(f"serving {pipelines} at {address}; Ctrl-C or SIGTERM stops"),
            )
    finally:
        for one in offered:
            await one.runner.close()


def _token() -> str:
    """Return what clients must present over HTTP.

    Raises:
        ConfigError: The environment has none.
    """
    token = os.environ.get(MCP_VARIABLE, "")
    if not token:
        raise ConfigError(
            f"to serve over HTTP, {MCP_VARIABLE} must hold the token that clients present",
            fix=f'make one: export {MCP_VARIABLE}="$(openssl rand -hex 32)"',
        )
    return token


def _own_stdin() -> int:
    """Take the process's stdin for the protocol alone: what pipelines start reads nothing of it."""
    own = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return own


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
