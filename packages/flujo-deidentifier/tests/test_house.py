"""The package keeps to the house: its size, what it takes of flujo, and what it says on the command line."""

import ast
import subprocess
import sys
from pathlib import Path

import flujo_deidentifier
from flujo_deidentifier import Keys
from flujo_deidentifier.__main__ import main
from tests.shape.house import beyond_the_limit, measure

PACKAGE = Path(flujo_deidentifier.__file__).parent
ALLOWED = {"broad_excepts": 0, "ignores": 1, "long_files": 0, "long_functions": 0, "reflection": 1}
TAKEN = {
    "flujo", "flujo.errors", "flujo.governance", "flujo.governance.pii", "flujo.pipeline.effect",
    "flujo.pipeline.info", "flujo.pipeline.policy",
}  # fmt: skip


def test_its_shape() -> None:
    assert list(beyond_the_limit(PACKAGE)) == []
    assert {kind: len(places) for kind, places in measure(PACKAGE).items()} == ALLOWED


def test_it_takes_of_flujo_what_agents_of_steps_take() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    taken = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name for name in taken if name.partition(".")[0] == "flujo"} <= TAKEN


def test_each_name_is_exported_once_and_is_there() -> None:
    assert sorted({*flujo_deidentifier.__all__}) == sorted(flujo_deidentifier.__all__)
    assert [name for name in flujo_deidentifier.__all__ if name not in vars(flujo_deidentifier)] == []


def test_optional_packages_are_loaded_only_where_they_are_used() -> None:
    code = "import sys, flujo_deidentifier; print({'asyncpg', 'keyring', 'phonenumbers'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_the_command_makes_keys_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    assert main(["new-key", str(path)]) == 0
    assert main(["new-key", str(path), "--id", "spring"]) == 0
    assert (Keys.from_file(path).active, Keys.from_file(path).anchor) == ("spring", "k1")
    assert main(["new-key", str(path), "--id", "spring"]) == 1
    assert main(["new-key", str(tmp_path / "none" / "keys.toml")]) == 1
