"""A server of the shop's pipelines, and the official client, as tests need them."""

import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from flujo import Flujo
from flujo.pipeline.node import Node
from flujo.server.mcp import Offered, serving

FLUJO = Path(sys.executable).parent / "flujo"
SHOP = Path(__file__).with_name("shop.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["legacy", "auto"])
def mode(request: pytest.FixtureRequest) -> str:
    """The two ways of the protocol: with a handshake, as until 2025, and without, as since 2026."""
    return str(request.param)


Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def connect(mode: str, tmp_path: Path) -> Connect:
    """Serve pipelines in this process, and connect the official client to them."""

    @asynccontextmanager
    async def connected(
        *nodes: Node[Any, Any], approvals: bool = False, asks: bool = True, **options: Any
    ) -> AsyncGenerator[Client]:
        offered = [Offered(Flujo(node, state=tmp_path / "runs.db")) for node in nodes]
        async with (
            serving(offered, approvals=approvals, asks=asks) as serves,
            Client(serves.server, mode=mode, **options) as client,
        ):
            yield client
        for one in offered:
            await one.runner.close()

    return connected


def command(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> StdioServerParameters:
    """Return how a client starts the installed command as its server."""
    return StdioServerParameters(
        command=str(FLUJO), args=["mcp", "serve", *words], env=own(environment), cwd=folder
    )


def own(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a process of its own needs to find this tree."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return {"PYTHONPATH": path, **(environment or {})}


def shop(*names: str) -> Sequence[str]:
    return [f"{SHOP}:{name}" for name in names]
