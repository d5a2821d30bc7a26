"""What `make` tells the programs it calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = "show-settings:\n\t@echo $$UV_SYSTEM_CERTS $$UV_NATIVE_TLS\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("given", "said"), [({}, "1 1"), ({"UV_SYSTEM_CERTS": "0"}, "0 1")])
def test_uv_trusts_the_certificates_of_the_system(given: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "more.mk").write_text(SHOW)
    unset = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    told = subprocess.run(
        ["make", "-s", "-f", ROOT / "Makefile", "-f", tmp_path / "more.mk", "show-settings"],
        env=unset | given,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == said
