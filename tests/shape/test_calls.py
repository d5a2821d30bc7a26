"""A step stays small: how many calls it makes, and how many files and functions of ours it passes."""

import cProfile
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from flujo import Quota
from tests.shape.calls import count

STRETCH = 100


def test_a_step_in_memory_makes_few_calls() -> None:
    assert count(STRETCH).calls / STRETCH <= 40


def test_a_quota_adds_few_calls() -> None:
    without = count(STRETCH).calls / STRETCH
    assert count(STRETCH, quota=Quota(usd=1)).calls / STRETCH <= without + 10
    assert count(STRETCH, quota=Quota(steps=10_000)).calls / STRETCH <= without + 25


def test_a_durable_step_makes_few_calls(tmp_path: Path) -> None:
    assert count(STRETCH, store=tmp_path / "runs.db").calls / STRETCH <= 150


def test_a_durable_step_passes_few_files_and_functions(tmp_path: Path) -> None:
    one = count(1, store=tmp_path / "runs.db")
    assert len(one.files) <= 12, one.files
    assert len(one.functions) <= 100, one.functions
    assert {"engine/record.py", "journal/sqlite_writer.py"} <= set(one.files)  # the writer's thread is seen


def test_calls_are_counted_as_cprofile_counts_them() -> None:
    def work(number: int) -> int:
        return abs(number)

    profile = cProfile.Profile()
    profile.enable()
    for number in range(20, 20 + STRETCH):
        work(number)
    profile.disable()
    alone = sum(entry.callcount for entry in profile.getstats()) - 1  # without `disable` itself
    assert count(STRETCH, work=work).calls - count(STRETCH, work=int).calls == alone
    assert alone == 2 * STRETCH


def test_wasted_calls_are_seen() -> None:
    def wasteful(_: int) -> int:
        return sum(abs(number) for number in range(40))

    with pytest.raises(AssertionError, match="<= 40"):
        assert count(STRETCH, work=wasteful).calls / STRETCH <= 40


def test_more_files_and_functions_are_seen(tmp_path: Path) -> None:
    spread = [planted(tmp_path / "ours", f"part_{at}") for at in range(13)]

    def work(number: int) -> int:
        return sum(part(number) for part in spread)

    seen = count(1, work=work, package=tmp_path / "ours")
    assert seen.files == sorted(f"part_{at}.py" for at in range(13))
    assert len(seen.functions) == 2 * len(seen.files)


def planted(folder: Path, name: str) -> Callable[[int], int]:
    """Return a function of a new file that calls another one of it, twice."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text("def work(n):\n    return inner(n) + inner(n)\n\n\ndef inner(n):\n    return n\n")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.work
