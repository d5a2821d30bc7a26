"""Who may import whom (DESIGN: the core knows no other room), proven by planting violations."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shape.imports import violations

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "flujo"

ESCAPE_ROUTES = {
    "plain": "import flujo.cli",
    "aliased": "import flujo.cli as c",
    "from the root": "from flujo import cli",
    "by the facade": "from flujo import Flujo",
    "relative": "from ..cli import main",
    "relative to the root": "from .. import cli",
    "lazy": "def later():\n    from flujo.cli import main\n    return main",
    "for types only": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from flujo.cli import main",
    "in a try": "try:\n    import flujo.cli\nexcept ImportError:\n    pass",
    "dynamic": "import importlib\nimportlib.import_module('flujo.cli')",
    "dynamic, bare": "from importlib import import_module\nimport_module('flujo.cli')",
    "dynamic, relative": "import importlib\nimportlib.import_module('..cli', __package__)",
    "dynamic, unreadable": "import importlib\nname = 'cli'\nimportlib.import_module(f'flujo.{name}')",
    "builtin": "__import__('flujo.cli')",
    "modules table": "import sys\nsys.modules['flujo.cli']",
    "entry point": "import pkgutil\npkgutil.resolve_name('flujo.cli:main')",
}


def test_rooms_import_in_the_drawn_directions() -> None:
    assert violations(PACKAGE) == []


@pytest.mark.parametrize("code", ESCAPE_ROUTES.values(), ids=ESCAPE_ROUTES.keys())
def test_a_planted_violation_is_found(code: str, tmp_path: Path) -> None:
    planted = tmp_path / "flujo" / "journal" / "planted.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(code)
    (found,) = violations(tmp_path / "flujo")
    assert found.startswith("journal/planted.py:")


@pytest.mark.parametrize(
    ("room", "code", "allowed"),
    [
        ("plan", "from flujo.pipeline import Step", True),
        ("plan", "from flujo.journal import Event", False),
        ("pipeline", "from flujo.errors import FlujoError", True),
        ("pipeline", "from flujo.plan import compile_plan", False),
        ("errors", "from flujo.pipeline import Step", False),
        ("engine", "from flujo.journal import Event", True),
        ("engine", "from flujo import Flujo", False),
        ("skills", "from flujo import Flujo\nfrom flujo.agents import AgentBuilder", True),
        ("agents", "from flujo.skills import SkillRegistry", False),
        ("cli", "from flujo.server import app", True),
        ("server", "from flujo.cli import main", False),
        ("helpers", "", False),
        ("journal", '"""Prose may name it."""\n\n"flujo.cli"', True),
    ],
)
def test_each_direction_of_the_table(room: str, code: str, allowed: bool, tmp_path: Path) -> None:
    module = tmp_path / "flujo" / room / "some.py"
    module.parent.mkdir(parents=True)
    module.write_text(code)
    assert (violations(tmp_path / "flujo") == []) is allowed


@pytest.mark.parametrize(("code", "status"), [("", 0), ("from flujo.engine import Flujo", 1)])
def test_the_linter_of_make_check_sees_a_planted_violation(code: str, status: int, tmp_path: Path) -> None:
    """`lint-imports` also follows chains of imports, which the table above does not."""
    copy = tmp_path / "src" / "flujo"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("engine", "journal"):
        (copy / room).mkdir(exist_ok=True)
        (copy / room / "__init__.py").touch()
    (copy / "journal" / "planted.py").write_text(code)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    linter = Path(sys.executable).parent / "lint-imports"
    outcome = subprocess.run(
        [linter, "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == status, outcome.stdout + outcome.stderr
    assert ("flujo.journal is not allowed to import flujo.engine" in outcome.stdout) is bool(status)
