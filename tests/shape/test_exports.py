"""The names that `flujo` exports: sorted, importable one by one, and described in the reference."""

import subprocess
import sys
from pathlib import Path

import pytest

import flujo

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_exported_names_are_sorted_and_stand_once() -> None:
    assert list(flujo.__all__) == sorted(set(flujo.__all__))
    assert set(flujo.__all__) <= set(dir(flujo))


@pytest.mark.parametrize("name", flujo.__all__)
def test_each_name_is_importable_and_documented(name: str) -> None:
    assert getattr(flujo, name) is not None
    assert f"`{name}`" in REFERENCE.read_text(encoding="utf-8"), f"{name} is missing: run `make docs`"


def test_each_name_is_importable_first() -> None:
    """No name leans on another one having been imported before it."""
    for name in flujo.__all__:
        subprocess.run([sys.executable, "-I", "-W", "error", "-c", f"from flujo import {name}"], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Pipelin"):
        getattr(flujo, "Pipelin")  # noqa: B009  # pyright must not see the wrong name
