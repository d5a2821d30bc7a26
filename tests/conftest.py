"""What every test may count on: no setting of the machine it runs on reaches it."""

import os
import signal
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from hypothesis import settings

import flujo
from flujo.journal.store import JournalStore
from tests.endings import endings

# Flujo's own plugin is tested by running pytest inside of pytest.
pytest_plugins = ["pytester"]

# A property test that fails must fail again for the next reader, and slow machines are not failures.
settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("soak", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    endings.close()


WITHOUT = "-p no:langsmith_plugin -p no:faker -p no:xdist -p no:xdist.looponfail"
"""Plugins that happen to be installed here: to load them a pytest in a test would take longer than to run."""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Keep a developer's own FLUJO_ settings, colors and terminal width out of the tests."""
    for name in list(os.environ):
        if name.startswith("FLUJO_") or name in {"FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_ADDOPTS", WITHOUT)
    # Only byte code that is there is used: a file that a test writes anew must not be taken for the old one.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The place of each durable store: a file, or the URL of a schema of its own."""
    if request.param == "sqlite":
        yield str(tmp_path / "flujo_ops.db")
        return
    from tests.postgres import schema  # loads what starts a server

    with schema() as url:
        yield url


@pytest.fixture
async def store(place: str) -> AsyncGenerator[JournalStore]:
    """Each durable store, open and empty."""
    store = flujo.PostgresStore(place) if "://" in place else flujo.SQLiteStore(place)
    yield store
    await store.close()
