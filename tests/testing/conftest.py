"""A pytest inside of a test, without what it has no use for."""

import pytest

from tests.conftest import WITHOUT


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """As pytest's own, which forgets what the environment asks for."""
    monkeypatch.setenv("PYTEST_ADDOPTS", f"{WITHOUT} -p no:inline_snapshot")
    return pytester
