"""What `import flujo` brings along, seen from outside in an interpreter of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}

LOOK = """
import json, logging, sys
before = set(sys.modules)
written = []
def watch(event, arguments):
    if event == "open" and (arguments[1] or "r")[0] in "wax" or event in ("os.mkdir", "sqlite3.connect"):
        written.append([event, str(arguments[0])])
sys.addaudithook(watch)
{code}
print(json.dumps(dict(
    new=sorted(set(sys.modules) - before), total=len(sys.modules),
    written=written, handlers=len(logging.getLogger().handlers),
)))
"""

FLOOR = "import asyncio, sqlite3\nfrom pydantic import BaseModel\nclass Smallest(BaseModel): x: int"


class Seen:
    """The modules a piece of code loaded, and what it did besides."""

    def __init__(self, code: str, folder: Path) -> None:
        # -I leaves out the user's packages and variables, -B the byte code that any import may write.
        command = [sys.executable, "-I", "-B", "-c", LOOK.replace("{code}", code)]
        outcome = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        seen = json.loads(outcome.stdout)
        self.new: list[str] = seen["new"]
        self.total: int = seen["total"]
        self.written: list[list[str]] = seen["written"]
        self.handlers: int = seen["handlers"]

    @property
    def third_party(self) -> set[str]:
        tops = {name.partition(".")[0] for name in self.new} - sys.stdlib_module_names - {"flujo"}
        return {name for name in tops if not name.startswith("_sysconfigdata_")}  # named by the platform

    @property
    def ours(self) -> list[str]:
        return [name for name in self.new if name.partition(".")[0] == "flujo"]


def test_importing_flujo_loads_no_room(tmp_path: Path) -> None:
    seen = Seen("import flujo", tmp_path)
    assert seen.ours == ["flujo"]
    assert seen.third_party <= PYDANTIC
    assert seen.total <= 230


@pytest.mark.parametrize("code", ["import flujo", "import flujo; flujo.Flujo"])
def test_importing_writes_nothing_and_configures_no_logging(code: str, tmp_path: Path) -> None:
    seen = Seen(code, tmp_path)
    assert seen.written == []
    assert seen.handlers == 0
    assert list(tmp_path.iterdir()) == []


def test_the_runner_brings_pydantic_and_nothing_else_from_outside(tmp_path: Path) -> None:
    seen = Seen("import flujo; flujo.Flujo", tmp_path)
    assert seen.third_party <= PYDANTIC
    rooms = {name.split(".")[1] for name in seen.ours if "." in name}
    assert rooms <= {"errors", "pipeline", "plan", "journal", "engine"}


def test_the_runner_loads_few_modules_beyond_its_floor(tmp_path: Path) -> None:
    """The floor is asyncio, sqlite3 and one Pydantic model, which need over 230 modules on their own."""
    floor = set(Seen(FLOOR, tmp_path).new)
    seen = Seen("import flujo; flujo.Flujo", tmp_path)
    borrowed = [name for name in seen.new if name not in floor and name not in seen.ours]
    assert len(seen.ours) <= 68, seen.ours
    assert len(borrowed) <= 15, borrowed


def test_the_watch_sees_a_write(tmp_path: Path) -> None:
    seen = Seen("open('left-behind', 'w').close()\nimport rich", tmp_path)
    assert seen.written == [["open", "left-behind"]]
    assert "rich" in seen.third_party
