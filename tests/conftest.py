"""What every test may count on: no setting of the machine it runs on reaches it."""

import os

import pytest
from hypothesis import settings

# Flujo's own plugin is tested by running pytest inside of pytest.
pytest_plugins = ["pytester"]

# A property test that fails must fail again for the next reader, and slow machines are not failures.
settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("soak", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Keep a developer's own FLUJO_ settings, colors and terminal width out of the tests."""
    for name in list(os.environ):
        if name.startswith("FLUJO_") or name in {"FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"}:
            monkeypatch.delenv(name)
