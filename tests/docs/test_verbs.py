"""Every verb of the Makefile is listed by `make help` and told to contributors."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
VERBS = re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "help"])
def test_a_verb_is_told_to_contributors(verb: str) -> None:
    assert f"| `make {verb}` |" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_the_verbs() -> None:
    listed = subprocess.run(["make", "-C", ROOT, "-s"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"make ([a-z]+) ", listed) == VERBS
