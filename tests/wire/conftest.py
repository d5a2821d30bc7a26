"""What every test of the wire may count on: nothing leaves this machine, no developer's key is used."""

import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from flujo.agents.requests import breakers
from tests.wire.aimock import CannotServeError, Served, serving
from tests.wire.protocols import PROTOCOLS, Spoken
from tests.wire.runs import Desk

KEYS = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
)


class NetworkError(AssertionError):
    """A test tried to reach another machine."""


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail whatever looks up a name or connects beyond the loopback."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host not in {"127.0.0.1", "::1"}:
                raise NetworkError(f"a test connects to {host}")
        connect(self, address)

    def looked_up(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
        if host not in {None, "127.0.0.1", "::1", "localhost"}:
            raise NetworkError(f"a test looks up {host!r}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_breaker_is_open() -> None:
    """What failed in one test is no reason to hold requests back in the next."""
    breakers.clear()


@pytest.fixture(params=PROTOCOLS, ids=lambda spoken: spoken.name)
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Each of the protocols in turn."""
    return request.param


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A store and a clock for this test alone."""
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def aimock() -> Iterator[str]:
    """The address of a server of models on this machine, one for all tests."""
    try:
        with serving() as url:
            yield url
    except CannotServeError as why:
        pytest.skip(f"the wire is not tested against a server: {why}")


@pytest.fixture
async def served(aimock: str, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """That server, as this test alone has it answer."""
    served = Served(aimock, re.sub(r"\W+", "-", request.node.nodeid))
    yield served
    await served.close()
