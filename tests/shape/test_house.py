"""A ratchet: the counts in ratchet.toml may only go down, and must be lowered when they do."""

import tomllib
from pathlib import Path

import pytest

from tests.shape.house import beyond_the_limit, measure

PACKAGE = Path(__file__).parents[2] / "src" / "flujo"
RATCHET = Path(__file__).with_name("ratchet.toml")


@pytest.mark.parametrize("kind", tomllib.loads(RATCHET.read_text()))
def test_the_ratchet(kind: str) -> None:
    allowed: int = tomllib.loads(RATCHET.read_text())[kind]
    found = measure(PACKAGE)[kind]
    assert len(found) <= allowed, f"{kind}: {len(found)} where {allowed} are allowed:\n" + "\n".join(found)
    assert len(found) == allowed, (
        f"{kind} went down to {len(found)}: lower it in tests/shape/ratchet.toml, too"
    )


def test_no_file_or_function_is_past_the_hard_limit() -> None:
    assert list(beyond_the_limit(PACKAGE)) == []


def test_the_ratchet_watches_every_measure() -> None:
    assert set(tomllib.loads(RATCHET.read_text())) == set(measure(PACKAGE))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("long_files", "x = 1\n" * 401),
        ("long_functions", "async def f():\n" + "    x = 1\n" * 60),
        ("broad_excepts", "try:\n    pass\nexcept (OSError, Exception):\n    pass"),
        ("broad_excepts", "try:\n    pass\nexcept:\n    pass"),
        ("reflection", "getattr(object(), 'x', None)"),
        ("ignores", "x = 1  # type: ignore"),
        ("ignores", "x = 1  # noqa: E501"),
    ],
)
def test_each_measure_sees_its_kind(kind: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(code)
    assert {name: len(places) for name, places in measure(tmp_path).items() if places} == {kind: 1}


def test_the_hard_limit_sees_both_kinds(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("def f():\n" + "    x = 1\n" * 601)
    assert len(list(beyond_the_limit(tmp_path))) == 2
