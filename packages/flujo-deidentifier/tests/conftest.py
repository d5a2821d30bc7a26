"""What the tests of the steps share: keys, a vault, and people."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from flujo.governance import Principal
from flujo_deidentifier import Keys, Vault

settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("soak", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys({"k1": secrets.token_bytes(32)})


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.at(tmp_path / "vault.db")


@pytest.fixture(scope="session")
def ada() -> Principal:
    """Return one who may re-identify."""
    return Principal("ada", roles=("reidentify",), tenant="north")


@pytest.fixture
def new_keys() -> Callable[..., Keys]:
    """Return what makes keys of the given names."""
    return lambda *names, **settings: Keys({name: secrets.token_bytes(32) for name in names}, **settings)
