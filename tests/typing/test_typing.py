"""The wiring of pipelines, as a type checker sees it: what it must accept and what it must refuse."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_EXPECTED = re.compile(r"#\s*expect:\s*(\w+)")

Found = dict[int, set[str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """Return what the checker says of each file of this folder: rules by line."""
    files = sorted(HERE.glob("accepted_*.py")) + sorted(HERE.glob("rejected_*.py"))
    settings = tmp_path_factory.mktemp("typing") / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "include": [str(file) for file in files],
                "extraPaths": [str(ROOT / "src")],
                "typeCheckingMode": "strict",
                "pythonVersion": "3.11",
                "reportUnusedExpression": "none",
                "reportUnusedCallResult": "none",
            }
        )
    )
    checker = Path(sys.executable).parent / "basedpyright"
    done = subprocess.run(
        [checker, "--outputjson", "--pythonpath", sys.executable, "--project", settings],
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[str, Found] = defaultdict(lambda: defaultdict(set))
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        if one["severity"] == "error":
            said[Path(one["file"]).name][one["range"]["start"]["line"] + 1].add(one.get("rule", "syntax"))
    return said


def expected(file: Path) -> Found:
    lines = enumerate(file.read_text().splitlines(), 1)
    return {number: set(_EXPECTED.findall(line)) for number, line in lines if _EXPECTED.search(line)}


@pytest.mark.parametrize("file", sorted(HERE.glob("accepted_*.py")), ids=lambda file: file.stem)
def test_accepted(file: Path, found: dict[str, Found]) -> None:
    assert dict(found.get(file.name, {})) == {}


@pytest.mark.parametrize("file", sorted(HERE.glob("rejected_*.py")), ids=lambda file: file.stem)
def test_rejected(file: Path, found: dict[str, Found]) -> None:
    wanted, said = expected(file), found.get(file.name, {})
    assert wanted, "a file of refusals must expect some"
    missing = {line: rules for line, rules in wanted.items() if not said.get(line)}
    assert not missing, f"accepted though wrong: {missing}"
    assert said.keys() == wanted.keys(), "errors where none was expected"
    others = {line: said[line] for line, rules in wanted.items() if not rules & said[line]}
    assert not others, f"refused for another reason: {others}"
